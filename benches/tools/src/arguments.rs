//! Arguments of the form `WORD… --option value --switch`.

use std::collections::HashMap;
use std::str::FromStr;

/// A command line, read.
pub struct Arguments {
    usage: &'static str,
    words: Vec<String>,
    options: HashMap<String, String>,
}

impl Arguments {
    /// Reads the command line; the names in `switches` take no value.
    pub fn read(usage: &'static str, switches: &[&str]) -> Arguments {
        let mut read = Arguments { usage, words: Vec::new(), options: HashMap::new() };
        let mut rest = std::env::args().skip(1);
        while let Some(word) = rest.next() {
            match word.strip_prefix("--") {
                Some(name) if switches.contains(&name) => drop(read.options.insert(name.into(), String::new())),
                Some(name) => drop(rest.next().and_then(|value| read.options.insert(name.into(), value))),
                None => read.words.push(word),
            }
        }
        read
    }

    /// The word at `index`; without it the process ends with the usage.
    pub fn word<T: FromStr>(&self, index: usize) -> T {
        self.words.get(index).and_then(|word| word.parse().ok()).unwrap_or_else(|| self.refuse())
    }

    /// The value of an option, if it is given.
    pub fn option<T: FromStr>(&self, name: &str) -> Option<T> {
        self.options.get(name).map(|value| value.parse().unwrap_or_else(|_| self.refuse()))
    }

    /// Whether a switch is given.
    pub fn switch(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    fn refuse(&self) -> ! {
        eprintln!("usage: {}", self.usage);
        std::process::exit(2)
    }
}
