//! # Description
//! `whoami` answers every query with what the server knows of the client: its address and port, in the additional
//! section. It is for tests of the way to the server.
//!
//! # Syntax
//! ```text
//! whoami
//! ```
//! The answer is NOERROR with AA and no answers. Its additional records have the TTL 0: A or AAAA with the client's
//! address at the name asked, and SRV with the client's port at `_udp.` or `_tcp.` below it. (SRV is left out where that
//! name would be longer than 255 octets.)
//!
//! # Examples
//! ```corefile
//! example.org {
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `log`, which writes the same into a log line.

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Reply, Request, Setup, Transport};
use crate::wire::{Answer, HEADER, MAX_NAME, Owner, Query, Rcode, RecordType, Section};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// `whoami`.
pub const DEFINITION: Definition = Definition { directive: "whoami", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "whoami"));
    }
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.plan.chain.push(Arc::new(Whoami));
    Ok(())
}

struct Whoami;

impl Handler for Whoami {
    fn name(&self) -> &'static str {
        "whoami"
    }

    fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        let packet = reply(&request.query(), request.client, request.transport, request.limit());
        Box::pin(async { Outcome::Reply(Reply::new(packet)) })
    }
}

/// SRV's priority and weight.
const PRIORITY_AND_WEIGHT: &[u8] = &[0, 0, 0, 0];
/// SRV's target `.`.
const ROOT: &[u8] = &[0];

fn reply(query: &Query<'_>, client: SocketAddr, transport: Transport, limit: usize) -> Vec<u8> {
    let mut out = vec![0; limit.max(query.question_end())];
    let mut answer = Answer::begin(query, &mut out, limit);
    match client.ip().to_canonical() {
        IpAddr::V4(ip) => answer.a(Section::Additional, Owner::Question, 0, ip),
        IpAddr::V6(ip) => answer.aaaa(Section::Additional, Owner::Question, 0, ip),
    };
    let label: &[u8] = match transport {
        Transport::Udp => b"\x04_udp",
        Transport::Tcp => b"\x04_tcp",
    };
    if query.name.wire().len() + label.len() <= MAX_NAME {
        let port = client.port().to_be_bytes();
        let owner = Owner::Below(label, HEADER as u16);
        answer.record(Section::Additional, owner, RecordType::SRV, 0, &[PRIORITY_AND_WEIGHT, &port, ROOT]);
    }
    let len = answer.finish(Rcode::NOERROR, true);
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, request};
    use hickory_proto::op::Message;

    async fn ask(request: Request) -> Message {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "whoami").unwrap();
        let Outcome::Reply(reply) = bench.ask(&request, Outcome::Dropped).await else { panic!("no reply") };
        Message::from_vec(&reply.packet).unwrap()
    }

    #[tokio::test]
    async fn the_client_is_in_the_additional_section() {
        let mut request = request(query("Example.org", RecordType::MX));
        let message = ask(request.clone()).await;
        assert!(message.metadata.authoritative && message.answers.is_empty());
        let records: Vec<_> = message.additionals.iter().map(ToString::to_string).collect();
        assert_eq!(records, ["Example.org. 0 IN A 10.1.2.3", "_udp.Example.org. 0 IN SRV 0 0 40000 ."]);

        request.client = "[2001:db8::1]:99".parse().unwrap();
        request.transport = Transport::Tcp;
        let message = ask(request).await;
        let records: Vec<_> = message.additionals.iter().map(ToString::to_string).collect();
        assert_eq!(records, ["Example.org. 0 IN AAAA 2001:db8::1", "_tcp.Example.org. 0 IN SRV 0 0 99 ."]);
    }

    #[tokio::test]
    async fn a_name_too_long_for_a_label_more_has_no_srv() {
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(60)].join(".");
        assert_eq!(ask(request(query(&name, RecordType::A))).await.additionals.len(), 1);
    }

    #[test]
    fn errors() {
        Bench::errors(&DEFINITION, &[("whoami me", "expected: whoami")]);
    }
}
