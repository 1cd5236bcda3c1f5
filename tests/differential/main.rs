//! What CoreDNS was recorded to answer, and which Corefiles it was recorded to take (tests/data/differential).
//!
//! `DUNLIN_RECORD=PROGRAM cargo test --test differential` records anew from another program; `DUNLIN_DIFFERENTIAL=WORD`
//! runs only what has WORD in its name. `DUNLIN_WRITE_OURS=1` keeps what dunlin answers where that differs on purpose.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod deliberate;
mod loads;
mod script;
mod timelines;

use deliberate::{Deliberate, Ours, rule};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{repository, wait_until};

const FOLDER: &str = "tests/data/differential";

/// The names of the files that end so, sorted.
fn names(ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(FOLDER)).expect("the recordings");
    let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let only = std::env::var("DUNLIN_DIFFERENTIAL").unwrap_or_default();
    let mut names: Vec<_> = files
        .filter_map(|file| file.strip_suffix(ending).map(str::to_owned))
        .filter(|name| name.contains(&only))
        .collect();
    names.sort();
    names
}

/// The program to record from, if that is what is wanted.
fn recorded_program() -> Option<String> {
    std::env::var("DUNLIN_RECORD").ok()
}

/// A process of the program that is recorded from; it ends with the value.
struct Recorded(Child);

impl Recorded {
    fn start(program: &str, corefile: &std::path::Path, environment: &[(&str, String)]) -> Recorded {
        let mut command = Command::new(program);
        command.arg("-conf").arg(corefile).envs(environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(corefile.parent().expect("a file has a directory"));
        let output = std::fs::File::create(corefile.with_extension("output")).expect("a file");
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        Recorded(command.spawn().expect("the program starts"))
    }

    /// Starts it and waits until it listens on this port.
    fn listening(program: &str, corefile: &std::path::Path, port: u16, environment: &[(&str, String)]) -> Recorded {
        let running = Recorded::start(program, corefile, environment);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(wait_until(Duration::from_secs(10), listens), "{}: it listens", corefile.display());
        running
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts what is equal, differs as listed, and is wrong.
struct Tally {
    equal: usize,
    listed: usize,
    wrong: Vec<String>,
    deliberate: Deliberate,
    ours: Ours,
}

impl Tally {
    fn new() -> Tally {
        Tally { equal: 0, listed: 0, wrong: Vec::new(), deliberate: Deliberate::load(), ours: Ours::load() }
    }

    /// Holds ours against what was recorded.
    fn add(&mut self, case: &str, theirs: &str, ours: &str) {
        let rule = rule(case, theirs, ours);
        let line = self.deliberate.of(rule.unwrap_or(case));
        match (theirs == ours, line) {
            (true, _) => self.equal += 1,
            (false, Some(line)) => {
                line.met = true;
                self.listed += 1;
                if rule.is_none() {
                    self.wrong.extend(self.ours.differs(case, ours));
                }
            }
            (false, None) => self.wrong.push(format!("{case}\n  theirs {theirs}\n  ours   {ours}")),
        }
    }

    /// Prints the counts; fails where something is wrong, or where a line for `names` lists what does not occur.
    fn report(mut self, what: &str, names: &[String]) {
        self.wrong.extend(self.deliberate.idle(names));
        self.ours.save();
        support::say(format!("{what}: equal {}, deliberate {}, wrong {}", self.equal, self.listed, self.wrong.len()));
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}
