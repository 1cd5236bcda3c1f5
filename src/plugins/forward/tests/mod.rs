//! Relaying over real sockets to upstreams that follow a script.

mod batches;
mod directive;
mod fake;
mod finding;
mod health;
mod secure;
mod tcp;
mod udp;

use super::policy::Policy;
use super::{DEFINITION, Forward, Options};
use crate::metrics::Metrics;
use crate::plugin::{Datagrams, Failure, Handler, Next, Outcome, Request, Transport};
use crate::plugins::testing::{Bench, DATAGRAMS, query, query_with_edns, request};
use crate::wire::{HEADER, Name, NameBuffer, Query, Rcode, RecordType};
use fake::{Act, Fake, Seen};
use hickory_proto::op::Message;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A `forward` to these, as the options say.
struct Relay {
    forward: Forward,
    metrics: Metrics,
}

impl Relay {
    fn new(targets: &[SocketAddr], change: impl FnOnce(&mut Options)) -> Relay {
        Relay::with(DATAGRAMS, targets, change)
    }

    /// With these in the place of the engine's calls.
    fn with(datagrams: Datagrams, targets: &[SocketAddr], change: impl FnOnce(&mut Options)) -> Relay {
        let mut options = Options::new(Name::root(), targets.iter().map(|address| (*address).into()).collect());
        options.read_timeout = Duration::from_millis(300);
        options.check.max_fails = 0;
        change(&mut options);
        let metrics = Metrics::new();
        Relay { forward: Forward::new(options, &metrics, datagrams).unwrap().0, metrics }
    }

    async fn ask(&self, request: &Request) -> Outcome {
        self.forward.handle(request, Next::all(&[])).await
    }

    /// The reply, decoded; its id and question are the request's.
    async fn message(&self, request: &Request) -> Message {
        match self.ask(request).await {
            Outcome::Reply(reply) => {
                let end = HEADER + request.name.wire().len() + 4;
                assert_eq!(reply.packet[..2], request.packet[..2], "the id");
                assert_eq!(reply.packet[HEADER..end], request.packet[HEADER..end], "the question");
                Message::from_vec(&reply.packet).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|found| found.starts_with(line))
    }
}

/// A plain question over UDP.
fn question() -> Request {
    request(query("WwW.example.org", RecordType::A))
}

fn over_tcp(mut request: Request) -> Request {
    request.transport = Transport::Tcp;
    request
}

/// The reply to a query, with so many address records.
fn answer(query: &[u8], records: u8) -> Vec<u8> {
    let mut buffer = NameBuffer::default();
    let end = Query::parse(query, &mut buffer).unwrap().question_end();
    let mut packet = query[..end].to_vec();
    packet[2] |= 0x80;
    packet[3] |= 0x80;
    packet[7] = records;
    packet[11] = 0;
    for last in 0..records {
        packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, 0, last]);
    }
    packet
}

/// An upstream that answers with one address.
async fn good() -> Fake {
    Fake::start(|seen| vec![Act::Send(answer(&seen.packet, 1))]).await
}

/// An upstream that answers nothing.
async fn silent() -> Fake {
    Fake::start(|_| Vec::new()).await
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    good().await.address
}

fn failure(outcome: &Outcome) -> &Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}
