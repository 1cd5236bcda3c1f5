//! # Description
//! `any` answers queries for the type ANY with one short record instead of everything there is (RFC 8482).
//!
//! # Syntax
//! ```text
//! any
//! ```
//! The answer is `HINFO "ANY obsoleted" "See RFC 8482"` with a TTL of 8482 seconds.
//!
//! # Examples
//! ```corefile
//! . {
//!     any
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! RFC 8482.

use crate::plugin::{BoxFuture, Context, Definition, Error, Handler, Next, Outcome, Request, Setup, Source, Verdict};
use crate::wire::{Answer, Owner, Query, Rcode, RecordType, Section};
use std::sync::Arc;

/// `any`.
pub const DEFINITION: Definition = Definition { directive: "any", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "any"));
    }
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.plan.stores.push(Arc::new(Any));
    setup.plan.chain.push(Arc::new(Any));
    Ok(())
}

const TTL: u32 = 8482;
const HINFO: &[u8] = b"\x0dANY obsoleted\x0cSee RFC 8482";

struct Any;

impl Source for Any {
    #[inline]
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        if query.qtype != RecordType::ANY {
            return Verdict::Pass;
        }
        let mut answer = Answer::begin(query, out, context.limit);
        answer.record(Section::Answer, Owner::Question, RecordType::HINFO, TTL, &[HINFO]);
        Verdict::Answered(answer.finish(Rcode::NOERROR, false))
    }
}

impl Handler for Any {
    fn name(&self) -> &'static str {
        "any"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        request.ask_or(self, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, request};
    use hickory_proto::op::Message;

    #[tokio::test]
    async fn any_is_hinfo_and_the_rest_passes() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "any").unwrap();
        let outcome = bench.ask(&request(query("a.test", RecordType::ANY)), Outcome::Dropped).await;
        let Outcome::Reply(reply) = outcome else { panic!("no reply") };
        let message = Message::from_vec(&reply.packet).unwrap();
        assert_eq!(message.answers[0].to_string(), "a.test. 8482 IN HINFO ANY obsoleted See RFC 8482");
        assert!(!message.metadata.authoritative);
        assert_eq!(bench.ask(&request(query("a.test", RecordType::A)), Outcome::Dropped).await, Outcome::Dropped);
    }

    #[test]
    fn errors() {
        let cases = [("any thing", "expected: any"), ("any {\nx\n}", "unknown property")];
        Bench::errors(&DEFINITION, &cases);
    }
}
