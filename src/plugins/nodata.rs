//! # Description
//! `nodata` answers queries for some types with nothing: NOERROR without records. What the block holds itself, as the
//! names of `kubernetes` and `hosts`, is answered as ever; all other names have no such records. In an IPv4-only cluster
//! `nodata AAAA` spares every lookup of an outside name one query to the upstream, and clients addresses that nobody
//! can reach.
//!
//! This directive is dunlin's own; in CoreDNS it is a `template` of two lines.
//!
//! # Syntax
//! ```text
//! nodata TYPE... {
//!     except ZONE...
//! }
//! ```
//! - **TYPE...**: record types, as `AAAA` or `HTTPS`.
//! - `except`: names in these zones are asked for as ever.
//!
//! The answer has AA and comes from the fast lane.
//!
//! # Examples
//! ```corefile
//! . {
//!     kubernetes cluster.local in-addr.arpa ip6.arpa
//!     nodata AAAA
//!     forward . /etc/resolv.conf
//!     cache 30
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `template`, for other answers; `acl filter`, for some clients only.

use crate::plugin::{BoxFuture, Context, Definition, Error, Handler, Next, Outcome, Request, Setup, Source, Verdict};
use crate::wire::{Answer, Name, Query, Rcode, RecordType};
use std::sync::Arc;

/// `nodata`.
pub const DEFINITION: Definition = Definition { directive: "nodata", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if directive.args.is_empty() {
        return Err(setup.arguments(directive, "nodata TYPE..."));
    }
    let (mut types, mut except) = (Vec::new(), Vec::new());
    for word in &directive.args {
        let known = RecordType::from_mnemonic(&word.text).filter(|known| *known != RecordType::ANY);
        types.push(known.ok_or_else(|| setup.error(word, format!("'{}' is no record type", word.text)))?);
    }
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("except", []) => return Err(setup.arguments(option, "except ZONE...")),
            ("except", zones) => except.extend(setup.zones_or_block(zones)?),
            _ => return Err(setup.unknown(option, "except")),
        }
    }
    let nodata = Arc::new(NoData { types, except });
    setup.plan.stores.push(nodata.clone());
    setup.plan.chain.push(nodata);
    Ok(())
}

struct NoData {
    types: Vec<RecordType>,
    except: Vec<Name>,
}

impl Source for NoData {
    #[inline]
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        if !self.types.contains(&query.qtype) || self.except.iter().any(|zone| query.name.is_within(zone)) {
            return Verdict::Pass;
        }
        Verdict::Answered(Answer::begin(query, out, context.limit).finish(Rcode::NOERROR, true))
    }
}

impl Handler for NoData {
    fn name(&self) -> &'static str {
        "nodata"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        request.ask_or(self, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query_with_edns, request};
    use hickory_proto::op::{Message, ResponseCode};

    async fn is_nodata(lines: &str, name: &str, qtype: RecordType) -> bool {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        match bench.ask(&request(query_with_edns(name, qtype, 1232, true)), Outcome::Dropped).await {
            Outcome::Reply(reply) => {
                let message = Message::from_vec(&reply.packet).unwrap();
                assert_eq!(message.metadata.response_code, ResponseCode::NoError);
                assert!(message.metadata.authoritative && message.answers.is_empty() && message.edns.is_some());
                true
            }
            other => {
                assert_eq!(other, Outcome::Dropped);
                false
            }
        }
    }

    #[tokio::test]
    async fn the_types_named_have_no_data() {
        assert!(is_nodata("nodata AAAA", "example.org", RecordType::AAAA).await);
        assert!(!is_nodata("nodata AAAA", "example.org", RecordType::A).await);
        assert!(is_nodata("nodata aaaa https", "example.org", RecordType::HTTPS).await);
        let except = "nodata AAAA {\nexcept v6.test 2001:db8::/32\n}";
        assert!(!is_nodata(except, "a.v6.test", RecordType::AAAA).await);
        assert!(is_nodata(except, "a.test", RecordType::AAAA).await);
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("nodata", "expected: nodata TYPE..."),
                ("nodata AAAB", "'AAAB' is no record type"),
                ("nodata ANY", "'ANY' is no record type"),
                ("nodata AAAA {\nexcept\n}", "expected: except ZONE..."),
                ("nodata AAAA {\nonly x\n}", "unknown property 'only'"),
                ("nodata A\nnodata AAAA", "once"),
            ],
        );
    }
}
