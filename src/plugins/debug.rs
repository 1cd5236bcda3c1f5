//! # Description
//! `debug` prints what plugins say at the level of `[DEFINITION]`. A panic while a query is answered is recovered from
//! whether or not this directive is given: that query gets SERVFAIL and `coredns_panics_total` counts it.
//!
//! # Syntax
//! ```text
//! debug
//! ```
//! One `debug` in any server block counts for the process.
//!
//! # Examples
//! ```corefile
//! . {
//!     debug
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `errors` and `log`, which print without it.

use crate::plugin::{Definition, Error, Setup};

/// `debug`.
pub const DEFINITION: Definition = Definition { directive: "debug", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "debug"));
    }
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.process.debug = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn debug_lines_are_asked_for() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "debug").unwrap();
        assert!(bench.done().process.debug);
    }

    #[test]
    fn errors() {
        Bench::errors(&DEFINITION, &[("debug on", "expected: debug"), ("debug {\nx\n}", "unknown property 'x'")]);
    }
}
