//! What the binary does beside serving: `check`, `migrate`, `explain`, `query`, `compare`, and what is made from its own
//! tables: `man`, `completions`.
//!
//! A command is a function from its words to what is to be said: nothing here prints but [`run`].

mod check;
mod compare;
mod completions;
mod explain;
mod man;
mod migrate;
mod options;
mod query;

use crate::cli::COMMANDS;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// What a command says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// For standard output.
    output: String,
    /// For standard error.
    error: String,
    /// The exit code: 0, 1 for a Corefile that cannot run, 2 for words that are wrong; what else is the command's.
    code: u8,
}

/// Runs the command that the first word names; `None` where it names none.
pub fn run(words: &[OsString]) -> Option<ExitCode> {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let said = dispatch(&words)?;
    // A reader that has gone away is no failure.
    let _ = std::io::stdout().write_all(said.output.as_bytes());
    let _ = std::io::stderr().write_all(said.error.as_bytes());
    Some(ExitCode::from(said.code))
}

fn dispatch(words: &[String]) -> Option<Said> {
    let (name, words) = words.split_first()?;
    match name.as_str() {
        "check" => Some(check::run(words)),
        "migrate" => Some(migrate::run(words)),
        "explain" => Some(explain::run(words)),
        "query" => Some(query::run(words)),
        "compare" => Some(compare::run(words)),
        "man" => Some(man::run(words)),
        "completions" => Some(completions::run(words)),
        _ => None,
    }
}

/// The words behind a command are wrong: `why`, and how they should be.
fn usage(name: &str, why: &str) -> Said {
    let arguments = COMMANDS.iter().find(|command| command.name == name).map_or("", |command| command.arguments);
    Said { error: format!("{why}\nUsage: dunlin {name} {arguments}\n"), code: 2, ..Said::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_word_is_a_command_or_is_not() {
        for command in COMMANDS {
            let said = dispatch(&[command.name.to_owned()]).unwrap();
            if command.arguments.is_empty() {
                assert_eq!(said.code, 0, "{}", command.name);
                continue;
            }
            assert_eq!(said.code, 2);
            assert!(
                said.error.ends_with(&format!("Usage: dunlin {} {}\n", command.name, command.arguments)),
                "{said:?}"
            );
        }
        assert_eq!(dispatch(&[]), None);
        for other in ["-conf", "serve", "", "-check"] {
            assert_eq!(dispatch(&[other.to_owned(), "check".to_owned()]), None);
        }
    }
}
