//! # Description
//! `multisocket` says how many UDP sockets, with a thread each, an address has. Without it that is one for each CPU
//! that the process may use, but at most eight, which is what most machines are best served by; with it and without a
//! number it is one for each CPU, however many there are. TCP needs no such number: its connections are spread over all
//! threads of the process.
//!
//! # Syntax
//! ```text
//! multisocket [NUMBER]
//! ```
//! **NUMBER** is from 1 to 1024. Where several server blocks share an address, the first that has one decides. An address
//! that stays open over a reload keeps the sockets it has.
//!
//! # Examples
//! ```corefile
//! . {
//!     multisocket 4
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `bind`.

use crate::corefile::values;
use crate::plugin::{Definition, Error, Setup};

/// `multisocket`.
pub const DEFINITION: Definition = Definition { directive: "multisocket", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    match directive.args.as_slice() {
        [] => {
            setup.plan.sockets = std::thread::available_parallelism().ok().map(usize::from);
            Ok(())
        }
        [word] => match values::integer(&word.text, 1..=1024) {
            Ok(number) => {
                setup.plan.sockets = usize::try_from(number).ok();
                Ok(())
            }
            Err(why) => Err(setup.error(word, format!("invalid num sockets: {why}"))),
        },
        _ => Err(setup.arguments(directive, "multisocket [NUMBER]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn numbers_are_checked_and_taken() {
        let cpus = std::thread::available_parallelism().unwrap().get();
        let cases = [("multisocket", cpus), ("multisocket 1", 1), ("multisocket 1024", 1024)];
        for (lines, sockets) in cases {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, lines).unwrap();
            assert_eq!(bench.done().plan.sockets, Some(sockets));
        }
        Bench::errors(
            &DEFINITION,
            &[
                ("multisocket 0", "invalid num sockets"),
                ("multisocket 1025", "1 to 1024"),
                ("multisocket many", "is no number"),
                ("multisocket 1 2", "expected: multisocket [NUMBER]"),
                ("multisocket {\nx\n}", "unknown property"),
                ("multisocket\nmultisocket", "once"),
            ],
        );
    }
}
