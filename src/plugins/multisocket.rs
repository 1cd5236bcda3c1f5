//! # Description
//! `multisocket` opens several sockets an address in CoreDNS, so that queries are taken by several threads. Here every
//! address has a socket and a thread for each CPU that the process may use, always; the directive is read
//! and checked, and a number is warned about.
//!
//! # Syntax
//! ```text
//! multisocket [NUMBER]
//! ```
//! **NUMBER** is from 1 to 1024.
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
        [] => Ok(()),
        [word] => match values::integer(&word.text, 1..=1024) {
            Ok(_) => {
                setup.warn(word, "the number is not used: every address has a socket for each CPU");
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
    fn numbers_are_checked_and_not_used() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "multisocket 7").unwrap();
        assert!(bench.done().process.warnings[0].contains("is not used"));
        for lines in ["multisocket", "multisocket 1", "multisocket 1024"] {
            Bench::new().set_up(&DEFINITION, lines).unwrap();
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
