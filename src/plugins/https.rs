//! # Description
//! `https` bounds what clients of the block's `https://` listeners may have: DNS over HTTPS (RFC 8484).
//!
//! # Syntax
//! ```text
//! https {
//!     max_connections NUMBER
//! }
//! ```
//! * `max_connections` (200): connections of the listener; 0 for as many as half of the process's files. Each may have
//!   256 requests in flight.
//!
//! Where several blocks share a listener, the first one's `https` counts.
//!
//! # Examples
//! ```corefile
//! https://.:443 {
//!     tls /etc/dunlin/tls.crt /etc/dunlin/tls.key
//!     https {
//!         max_connections 1000
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//! None of its own; see `tls`. Refused connections are in `dunlin_engine_dropped_total`.
//!
//! # See also
//! `tls`, `quic`.

use crate::corefile::values;
use crate::plugin::{Definition, Error, Setup};

/// `https`.
pub const DEFINITION: Definition = Definition { directive: "https", setup, metrics: &[] };

/// Connections are no more than this, or as many as can be.
const MOST: u64 = 1_000_000;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.first()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "https { max_connections NUMBER }"));
    }
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("max_connections", [word]) => {
                let number = values::integer(&word.text, 0..=MOST).map_err(|why| setup.error(word, why))?;
                setup.plan.https_connections = Some(if number == 0 { usize::MAX } else { number as usize });
            }
            ("max_connections", _) => return Err(setup.arguments(option, "max_connections NUMBER")),
            _ => return Err(setup.unknown(option, "max_connections")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn connections_are_bounded_or_not() {
        for (lines, expected) in [
            ("https", None),
            ("https {\nmax_connections 100\n}", Some(100)),
            ("https {\nmax_connections 0\n}", Some(usize::MAX)),
        ] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, lines).unwrap();
            assert_eq!(bench.done().plan.https_connections, expected, "{lines}");
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("https 100", "expected: https { max_connections NUMBER }"),
                ("https {\nmax_connections\n}", "expected: max_connections NUMBER"),
                ("https {\nmax_connections -1\n}", "'-1'"),
                ("https {\nmax_streams 1\n}", "unknown property 'max_streams'"),
            ],
        );
    }
}
