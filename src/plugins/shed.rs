//! # Description
//! `shed` is read and changes nothing: what waits for the slow lane, and answers on their way out, are bounded whether it
//! is there or not, and what is past the bound is dropped.
//!
//! # Syntax
//! ```text
//! shed
//! ```
//!
//! # Examples
//! ```corefile
//! . {
//!     shed
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None: `coredns_shed_dropped_total` is not counted.
//!
//! # See also
//! `forward`, whose `max_concurrent` bounds what waits for upstreams.

use crate::plugin::{Definition, Error, Setup};

/// `shed`.
pub const DEFINITION: Definition = Definition { directive: "shed", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "shed"));
    }
    match directive.options().first() {
        Some(option) => Err(setup.unknown(option, "none")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn it_is_read_and_takes_nothing() {
        Bench::new().set_up(&DEFINITION, "shed").unwrap();
        let cases = [("shed 10", "expected: shed"), ("shed {\nqueue 1\n}", "'queue'"), ("shed\nshed", "once")];
        Bench::errors(&DEFINITION, &cases);
    }
}
