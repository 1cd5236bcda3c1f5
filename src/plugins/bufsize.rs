//! # Description
//! `bufsize` bounds the size of UDP answers, so that they are not sent in fragments: answers are cut (TC) to the smaller
//! of this size and the client's, and upstreams are told no larger size than this. It never raises what a client takes.
//! Without this directive the bound is 1232 octets.
//!
//! # Syntax
//! ```text
//! bufsize [SIZE]
//! ```
//! **SIZE** is in octets, 512 to 4096; 1232 where it is not given.
//!
//! # Examples
//! ```corefile
//! . {
//!     bufsize 1100
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! RFC 6891 (EDNS), RFC 9715 (fragmentation), and `forward`, whose upstreams are told the size.

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::UDP_PAYLOAD;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// `bufsize`.
pub const DEFINITION: Definition = Definition { directive: "bufsize", setup, metrics: &[] };

const ALLOWED: RangeInclusive<u16> = 512..=4096;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.first()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let size = match directive.args.as_slice() {
        [] => UDP_PAYLOAD,
        [word] => match word.text.parse() {
            Ok(size) if ALLOWED.contains(&size) => size,
            _ => return Err(setup.error(word, format!("'{}' is not a size from 512 to 4096", word.text))),
        },
        _ => return Err(setup.arguments(directive, "bufsize [SIZE]")),
    };
    setup.plan.shape.udp_payload = size;
    setup.plan.chain.push(Arc::new(Bufsize { size }));
    Ok(())
}

/// Lowers the size in the client's OPT, for the handlers that pass the packet on.
struct Bufsize {
    size: u16,
}

impl Handler for Bufsize {
    fn name(&self) -> &'static str {
        "bufsize"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        match self.lowered(request) {
            Some(lowered) => Box::pin(async move { next.run(&lowered).await }),
            None => next.run(request),
        }
    }
}

impl Bufsize {
    /// The request with a lower size, where the client's is above.
    fn lowered(&self, request: &Request) -> Option<Request> {
        let edns = request.edns().filter(|edns| edns.payload > self.size)?;
        let mut lowered = request.clone();
        // OPT's CLASS holds the size; TTL and RDLENGTH stand between it and RDATA (RFC 6891 section 6.1.2).
        let class = usize::from(edns.options.0).checked_sub(8)?;
        lowered.packet.get_mut(class..class + 2)?.copy_from_slice(&self.size.to_be_bytes());
        lowered.known.edns.as_mut()?.payload = self.size;
        Some(lowered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, query_with_edns, request};
    use crate::wire::RecordType;

    #[test]
    fn the_size_becomes_the_blocks() {
        for (text, size) in [("bufsize", 1232), ("bufsize 512", 512), ("bufsize 4096", 4096)] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, text).unwrap();
            assert_eq!(bench.done().plan.shape.udp_payload, size, "{text}");
        }
    }

    #[test]
    fn a_larger_size_is_lowered_and_a_smaller_one_left() {
        let bufsize = Bufsize { size: 1232 };
        let lowered = bufsize.lowered(&request(query_with_edns("a.test", RecordType::A, 4096, true))).unwrap();
        assert_eq!(lowered.packet, query_with_edns("a.test", RecordType::A, 1232, true));
        assert_eq!((lowered.edns().unwrap().payload, lowered.limit()), (1232, 1232));
        assert!(bufsize.lowered(&request(query_with_edns("a.test", RecordType::A, 1232, true))).is_none());
        assert!(bufsize.lowered(&request(query("a.test", RecordType::A))).is_none());
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("bufsize 511", "'511' is not a size from 512 to 4096"),
                ("bufsize 4097", "512 to 4096"),
                ("bufsize many", "512 to 4096"),
                ("bufsize 512 512", "expected: bufsize [SIZE]"),
                ("bufsize {\nx\n}", "unknown property 'x'"),
            ],
        );
    }
}
