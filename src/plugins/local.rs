//! # Description
//! `local` answers the names that every machine has for itself, so that they trouble no upstream (RFC 6761, RFC 6303).
//!
//! # Syntax
//! ```text
//! local {
//!     localhost_prefix on|off
//! }
//! ```
//! `localhost` and the names below it are 127.0.0.1 and ::1; `1.0.0.127.in-addr.arpa` is `localhost`. They and the zones
//! `0.in-addr.arpa`, `127.in-addr.arpa` and `255.in-addr.arpa` have SOA and NS at their apex; all else in them is NOERROR
//! with the SOA. The TTL is 604800.
//!
//! - `localhost_prefix` (on): names that only begin with the label `localhost`, as search lists make them
//!   (`localhost.default.svc.cluster.local`), are 127.0.0.1 and ::1 too.
//!
//! Answers have no AA and come from the fast lane.
//!
//! # Examples
//! ```corefile
//! . {
//!     local
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_local_localhost_requests_total`: answers by `localhost_prefix`.
//!
//! # See also
//! RFC 6303 and RFC 6761 section 6.3.

use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{BoxFuture, Context, Definition, Error, Handler, Next, Outcome, Request, Setup, Source, Verdict};
use crate::wire::{Answer, Owner, Query, Rcode, RecordType, Section};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// `local`.
pub const DEFINITION: Definition = Definition { directive: "local", setup, metrics: &[&PREFIXED] };

const PREFIXED: Descriptor = Descriptor {
    name: "coredns_local_localhost_requests_total",
    help: "Counter of localhost.<domain> requests.",
    labels: &[],
    kind: MetricKind::Counter,
};

const TTL: u32 = 604_800;
const LOCALHOST: &[u8] = b"\x09localhost\x00";
/// `127.0.0.1` in reverse: with those above it, all that exists below the reverse zones.
const LOOPBACK: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\x00";
const REVERSE_ZONES: [&[u8]; 3] =
    [b"\x010\x07in-addr\x04arpa\x00", b"\x03127\x07in-addr\x04arpa\x00", b"\x03255\x07in-addr\x04arpa\x00"];
/// The mailbox of the SOA.
const MAILBOX: &[u8] = b"\x04root\x09localhost\x00";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "local"));
    }
    let mut prefix = true;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("localhost_prefix", [word]) if word.text == "on" => prefix = true,
            ("localhost_prefix", [word]) if word.text == "off" => prefix = false,
            ("localhost_prefix", _) => return Err(setup.arguments(option, "localhost_prefix on|off")),
            _ => return Err(setup.unknown(option, "localhost_prefix")),
        }
    }
    let prefixed = setup.metrics.counter(&PREFIXED).with_label_values::<&str>(&[]);
    let local = Arc::new(Local { prefix, prefixed });
    setup.plan.stores.push(local.clone());
    setup.plan.chain.push(local);
    Ok(())
}

struct Local {
    prefix: bool,
    prefixed: prometheus::IntCounter,
}

impl Source for Local {
    #[inline]
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        let labels = query.name.label_count();
        if labels == 0 {
            return Verdict::Pass;
        }
        if query.name.suffix(1) == LOCALHOST {
            return Verdict::Answered(write(query, context, out, labels - 1));
        }
        if self.prefix && query.name.label(0) == b"localhost" {
            self.prefixed.inc();
            return Verdict::Answered(write(query, context, out, 0));
        }
        if labels > 2 && REVERSE_ZONES.contains(&query.name.suffix(3)) {
            return Verdict::Answered(write(query, context, out, labels - 3));
        }
        Verdict::Pass
    }
}

/// Writes the answer from the zone whose apex starts at a label of the question.
fn write(query: &Query<'_>, context: &Context, out: &mut [u8], apex: usize) -> usize {
    let mut answer = Answer::begin(query, out, context.limit);
    let zone = Owner::At(answer.question_label(apex));
    let is_host = query.name.label(apex) == b"localhost";
    let numbers = [1, 0, 0, 0, TTL].map(u32::to_be_bytes).concat();
    let soa: [&[u8]; 3] = [LOCALHOST, MAILBOX, &numbers];
    let exists = is_host || apex == 0 || LOOPBACK.ends_with(query.name.wire());
    match query.qtype {
        RecordType::A if is_host => answer.a(Section::Answer, Owner::Question, TTL, Ipv4Addr::LOCALHOST),
        RecordType::AAAA if is_host => answer.aaaa(Section::Answer, Owner::Question, TTL, Ipv6Addr::LOCALHOST),
        RecordType::SOA if apex == 0 => answer.record(Section::Answer, zone, RecordType::SOA, TTL, &soa),
        RecordType::NS if apex == 0 => answer.record(Section::Answer, zone, RecordType::NS, TTL, &[LOCALHOST]),
        RecordType::PTR if query.name.wire() == LOOPBACK => {
            answer.record(Section::Answer, Owner::Question, RecordType::PTR, TTL, &[LOCALHOST])
        }
        _ => answer.record(Section::Authority, zone, RecordType::SOA, TTL, &soa),
    };
    answer.finish(if exists { Rcode::NOERROR } else { Rcode::NXDOMAIN }, false)
}

impl Handler for Local {
    fn name(&self) -> &'static str {
        "local"
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

    /// The records of answer and authority; `None` where the next plugin is asked.
    async fn records(bench: &Bench, name: &str, qtype: RecordType) -> Option<Vec<String>> {
        let outcome = bench.ask(&request(query(name, qtype)), Outcome::Dropped).await;
        let Outcome::Reply(reply) = outcome else { return None };
        let message = Message::from_vec(&reply.packet).unwrap();
        assert!(!message.metadata.authoritative);
        Some(message.answers.iter().chain(&message.authorities).map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn names_of_the_machine_itself() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "local").unwrap();
        let soa = |zone: &str| format!("{zone}. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800");
        let table = [
            ("LocalHost", RecordType::A, "LocalHost. 604800 IN A 127.0.0.1".to_owned()),
            ("a.b.localhost", RecordType::AAAA, "a.b.localhost. 604800 IN AAAA ::1".to_owned()),
            ("localhost", RecordType::SOA, soa("localhost")),
            ("localhost", RecordType::NS, "localhost. 604800 IN NS localhost.".to_owned()),
            ("localhost", RecordType::MX, soa("localhost")),
            ("a.localhost", RecordType::SOA, soa("localhost")),
            ("1.0.0.127.in-addr.arpa", RecordType::PTR, "1.0.0.127.in-addr.arpa. 604800 IN PTR localhost.".to_owned()),
            ("2.0.0.127.in-addr.arpa", RecordType::PTR, soa("127.in-addr.arpa")),
            ("127.in-addr.arpa", RecordType::NS, "127.in-addr.arpa. 604800 IN NS localhost.".to_owned()),
            ("0.in-addr.arpa", RecordType::A, soa("0.in-addr.arpa")),
            ("255.255.255.255.in-addr.arpa", RecordType::PTR, soa("255.in-addr.arpa")),
            ("localhost.svc.test", RecordType::A, "localhost.svc.test. 604800 IN A 127.0.0.1".to_owned()),
        ];
        for (name, qtype, expected) in table {
            assert_eq!(records(&bench, name, qtype).await, Some(vec![expected]), "{name} {qtype}");
        }
        for name in ["", "arpa", "in-addr.arpa", "10.in-addr.arpa", "127.test", "xlocalhost", "mylocalhost.test"] {
            assert_eq!(records(&bench, name, RecordType::A).await, None, "{name}");
        }
        assert!(bench.metrics.render().contains("coredns_local_localhost_requests_total 1"));
    }

    #[tokio::test]
    async fn the_prefix_can_be_off() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "local {\nlocalhost_prefix off\n}").unwrap();
        assert_eq!(records(&bench, "localhost.test", RecordType::A).await, None);
        assert!(records(&bench, "localhost", RecordType::A).await.is_some());
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("local host", "expected: local"),
                ("local {\nlocalhost_prefix\n}", "expected: localhost_prefix on|off"),
                ("local {\nlocalhost_prefix maybe\n}", "expected: localhost_prefix on|off"),
                ("local {\nprefix on\n}", "unknown property 'prefix'"),
            ],
        );
    }
}
