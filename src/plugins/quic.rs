//! # Description
//! `quic` bounds what clients of the block's `quic://` listeners may have: DNS over QUIC (RFC 9250), on UDP port 853
//! unless the address says another. The listener itself needs `tls` alone.
//!
//! # Syntax
//! ```text
//! quic {
//!     max_streams NUMBER
//!     worker_pool_size NUMBER
//! }
//! ```
//! * `max_streams` (256): queries that one connection may have in flight.
//! * `worker_pool_size` (512): queries that all connections together may have in flight; more wait.
//!
//! A listener keeps 200 connections at most, each for 30 seconds without a query; when half of them are taken, new
//! clients have to prove their addresses first. Where several blocks share a listener, the first one's `quic` counts.
//!
//! # Examples
//! ```corefile
//! quic://.:853 {
//!     tls /etc/dunlin/tls.crt /etc/dunlin/tls.key
//!     quic {
//!         max_streams 64
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//! None of its own. `quic://` listeners count `coredns_dns_quic_responses_total{server,status}`, the status as `0x0`
//! (answered), `0x1` (no answer) or `0x2` (no proper query), and refused connections in `dunlin_engine_dropped_total`.
//!
//! # See also
//! `tls`, `https`.

use crate::corefile::values;
use crate::plugin::{Definition, Error, Setup};

/// `quic`.
pub const DEFINITION: Definition = Definition { directive: "quic", setup, metrics: &[] };

/// Streams of one connection, and of all, are no more than this.
const MOST: u64 = 1_000_000;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.first()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "quic { max_streams NUMBER }"));
    }
    for option in directive.options() {
        let name = option.name.text.as_str();
        if !matches!(name, "max_streams" | "worker_pool_size") {
            return Err(setup.unknown(option, "max_streams, worker_pool_size"));
        }
        let [word] = option.args.as_slice() else { return Err(setup.arguments(option, &format!("{name} NUMBER"))) };
        let number = values::integer(&word.text, 1..=MOST).map_err(|why| setup.error(word, why))?;
        match name {
            "max_streams" => setup.plan.quic_streams.0 = Some(number as u32),
            _ => setup.plan.quic_streams.1 = Some(number as usize),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn limits_are_read() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "quic").unwrap();
        assert_eq!(bench.done().plan.quic_streams, (None, None));
        bench.set_up(&DEFINITION, "quic {\nmax_streams 16\nworker_pool_size 65536\n}").unwrap();
        assert_eq!(bench.done().plan.quic_streams, (Some(16), Some(65_536)));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("quic 16", "expected: quic { max_streams NUMBER }"),
                ("quic {\nmax_streams\n}", "expected: max_streams NUMBER"),
                ("quic {\nmax_streams 0\n}", "'0'"),
                ("quic {\nworker_pool_size many\n}", "'many'"),
                ("quic {\nx\n}", "unknown property 'x'"),
            ],
        );
    }
}
