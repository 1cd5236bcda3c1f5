//! # Description
//! `timeouts` bounds how long TCP connections may wait in CoreDNS. Here it is read and checked; the listeners keep their
//! own bounds, which are CoreDNS's defaults, and a value that differs is warned about.
//!
//! # Syntax
//! ```text
//! timeouts {
//!     read DURATION
//!     write DURATION
//!     idle DURATION
//!     maxtcpqueries NUMBER
//! }
//! ```
//! Durations are from 1s to 24h, a bare number means seconds; at least one option has to be there. The defaults: `read`
//! 3s, `write` 5s, `idle` 10s, `maxtcpqueries` -1 for no bound.
//!
//! # Examples
//! ```corefile
//! . {
//!     timeouts {
//!         idle 10s
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `cancel`, for queries.

use crate::corefile::values;
use crate::plugin::{Definition, Directive, Error, Setup};
use std::time::Duration;

/// `timeouts`.
pub const DEFINITION: Definition = Definition { directive: "timeouts", setup, metrics: &[] };

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "timeouts { read|write|idle DURATION }"));
    }
    if directive.options().is_empty() {
        return Err(setup.error(&directive.name, "config block has no options; expected read, write, idle"));
    }
    for option in directive.options() {
        let is_default = match option.name.text.as_str() {
            "read" => read(setup, option)? == Duration::from_secs(3),
            "write" => read(setup, option)? == Duration::from_secs(5),
            "idle" => read(setup, option)? == Duration::from_secs(10),
            "maxtcpqueries" => read_count(setup, option)?,
            _ => return Err(setup.unknown(option, "read, write, idle, maxtcpqueries")),
        };
        if !is_default {
            setup.warn(&option.name, format!("{} cannot be changed yet; the default holds", option.name.text));
        }
    }
    Ok(())
}

fn read(setup: &Setup<'_>, option: &Directive) -> Result<Duration, Error> {
    let [word] = option.args.as_slice() else {
        return Err(setup.arguments(option, &format!("{} DURATION", option.name.text)));
    };
    let duration = values::seconds(&word.text).map_err(|why| setup.error(word, why))?;
    if !(SHORTEST..=LONGEST).contains(&duration) {
        return Err(setup.error(word, format!("timeout '{}' must be between 1s and 24h", word.text)));
    }
    Ok(duration)
}

/// Whether the number stands for no bound.
fn read_count(setup: &Setup<'_>, option: &Directive) -> Result<bool, Error> {
    let [word] = option.args.as_slice() else { return Err(setup.arguments(option, "maxtcpqueries NUMBER")) };
    if word.text == "-1" {
        return Ok(true);
    }
    values::integer(&word.text, 1..=u64::from(u32::MAX)).map_err(|why| setup.error(word, format!("{why}, or -1")))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    fn warnings(lines: &str) -> Vec<String> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        std::mem::take(&mut bench.done().process.warnings)
    }

    #[test]
    fn what_differs_is_warned_about() {
        assert!(warnings("timeouts {\nread 3s\nwrite 5\nidle 10s\nmaxtcpqueries -1\n}").is_empty());
        let warned = warnings("timeouts {\nread 4s\nwrite 24h\nidle 1s\nmaxtcpqueries 5\n}");
        assert_eq!(warned.len(), 4, "{warned:?}");
        assert!(warned[0].contains("Corefile:3") && warned[0].contains("read cannot be changed yet"));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("timeouts", "has no options"),
                ("timeouts {\n}", "has no options"),
                ("timeouts 5s", "expected: timeouts"),
                ("timeouts {\nread\n}", "expected: read DURATION"),
                ("timeouts {\nread 500ms\n}", "between 1s and 24h"),
                ("timeouts {\nidle 25h\n}", "between 1s and 24h"),
                ("timeouts {\nidle soon\n}", "is no duration"),
                ("timeouts {\nmaxtcpqueries 0\n}", "or -1"),
                ("timeouts {\naccept 1s\n}", "unknown property 'accept'"),
                ("timeouts {\nread 3s\n}\ntimeouts {\nread 3s\n}", "once"),
            ],
        );
    }
}
