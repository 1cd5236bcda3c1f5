//! How a plugin meets the slow lane: as a handler in a chain, around whole messages.

use super::{BoxFuture, Context, Following, Metadata, Moment, Shape, Source, Verdict};
use crate::wire::{self, Edns, KnownQuery, Name, NameBuffer, Query, Rcode, RecordType, Transport};
use std::net::SocketAddr;
use std::sync::Arc;

/// One query on its way through the slow lane. The packet is known to be one well-formed query.
#[derive(Clone)]
pub struct Request {
    /// The packet as received, or as a plugin before made it. Bits of its header may be changed in place; for anything
    /// else there is [`Request::with_packet`].
    pub packet: Vec<u8>,
    /// What the packet says, for [`Request::query`].
    pub known: KnownQuery,
    /// The question's name, lowered.
    pub name: Name,
    /// Options of the OPT that upstreams are to be sent, by code (`rewrite edns0`). What the client's OPT had is
    /// between it and us (RFC 6891 section 6.1.1).
    pub options: Vec<(u16, Vec<u8>)>,
    /// The client.
    pub client: SocketAddr,
    /// The address the client sent to.
    pub local: SocketAddr,
    /// The transport it came by.
    pub transport: Transport,
    /// The shape of the block's answers.
    pub shape: Shape,
    /// The clock and the dice, at receipt.
    pub moment: Moment,
    /// What plugins know of the query (`metadata`).
    pub metadata: Metadata,
    /// How many internal lookups led here; see [`Request::lookup`].
    pub depth: u8,
    /// The whole server, for lookups.
    pub server: Arc<dyn Lookup>,
}

/// Internal lookups that may nest (a CNAME chase, a rewrite): more is a loop.
const MAX_DEPTH: u8 = 8;

impl Request {
    /// The view of the packet.
    pub fn query(&self) -> Query<'_> {
        self.known.view(&self.packet)
    }

    /// The same client's request with another packet, which must be a well-formed query; `None` if it is not.
    pub fn with_packet(&self, packet: Vec<u8>) -> Option<Request> {
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).ok()?;
        let (name, known) = (query.name.to_name(), KnownQuery::from(&query));
        Some(Request { packet, known, name, ..self.clone() })
    }

    /// QTYPE.
    pub fn qtype(&self) -> RecordType {
        self.known.qtype
    }

    /// QCLASS.
    pub fn qclass(&self) -> u16 {
        self.known.qclass
    }

    /// The client's OPT.
    pub fn edns(&self) -> Option<Edns> {
        self.known.edns
    }

    /// The question's name in wire form, in the client's case.
    pub fn name_as_asked(&self) -> &[u8] {
        &self.packet[wire::HEADER..wire::HEADER + self.name.wire().len()]
    }

    /// The outcome of answering with this message: it is cut to what the client takes.
    pub fn reply(&self, message: &wire::Message) -> Outcome {
        Outcome::Reply(Reply::new(message.to_octets(self.limit())))
    }

    /// The empty answer to this request, to be filled.
    pub fn answer(&self) -> wire::Message {
        wire::Message::answering(&self.query())
    }

    /// What a source answers to this request; `None` where it leaves the query to others.
    pub fn ask(&self, source: &dyn Source) -> Option<Outcome> {
        let query = self.query();
        let mut out = vec![0; self.limit().max(query.question_end())];
        let Verdict::Answered(len) = source.answer(&query, &self.context(), &mut out) else { return None };
        out.truncate(len);
        Some(Outcome::Reply(Reply::new(out)))
    }

    /// Asks a source, and what is left to it the rest of the chain: the whole of a handler whose answers are in memory.
    pub fn ask_or<'a>(&'a self, source: &dyn Source, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        match self.ask(source) {
            Some(outcome) => Box::pin(async { outcome }),
            None => next.run(self),
        }
    }

    /// The context of an answer to this request: the client's size limit, the block's shape.
    pub fn context(&self) -> Context {
        Context { limit: self.limit(), shape: self.shape, moment: self.moment }
    }

    /// The octets an answer may have for this client.
    pub fn limit(&self) -> usize {
        wire::answer_limit(self.edns(), self.transport, self.shape.udp_payload)
    }

    /// Asks the whole server for another name on behalf of this client: block routing, plugins, metrics and all.
    /// The name keeps the case given. Lookups nest at most eight deep.
    pub async fn lookup(&self, name: &[u8], qtype: RecordType) -> Outcome {
        if self.depth >= MAX_DEPTH {
            return Outcome::Failed(Failure::servfail("internal lookups nest too deep"));
        }
        let mut packet = self.packet[..wire::HEADER].to_vec();
        packet.extend(name);
        packet.extend(qtype.0.to_be_bytes());
        packet.extend(wire::CLASS_IN.to_be_bytes());
        let question_end = wire::HEADER + self.name.wire().len() + 4;
        packet.extend(&self.packet[question_end..]);
        self.server.lookup(packet, self).await
    }
}

/// The whole server as a plugin may ask it.
pub trait Lookup: Send + Sync {
    /// Answers `packet`, which is a well-formed query, for the client of `request`.
    fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome>;
}

/// What the chain makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message was written.
    Reply(Reply),
    /// The server writes an empty reply of this code; the reason goes to `errors`.
    Failed(Failure),
    /// Nothing is sent.
    Dropped,
}

/// A written message. It is at most the request's limit long, or is cut by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message, with the request's id and question.
    pub packet: Vec<u8>,
    /// What went wrong although a message was written, for `errors`.
    pub reason: Option<String>,
    /// The messages behind the first, of a zone transfer over TCP.
    pub more: Option<Arc<Following>>,
}

impl Reply {
    /// A message that nothing is to be said about.
    pub fn new(packet: Vec<u8>) -> Reply {
        Reply { packet, reason: None, more: None }
    }

    /// The response code in the header (without OPT's upper bits).
    pub fn rcode(&self) -> Rcode {
        Rcode(u16::from(self.packet.get(3).copied().unwrap_or(2) & 0x0f))
    }
}

/// A response code that the server writes itself, without AA and without records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Failure {
    pub rcode: Rcode,
    pub reason: String,
}

impl Failure {
    /// SERVFAIL with a reason.
    pub fn servfail(reason: impl Into<String>) -> Failure {
        Failure { rcode: Rcode::SERVFAIL, reason: reason.into() }
    }
}

/// One link of the slow lane's chain.
pub trait Handler: Send + Sync {
    /// The directive's name, for logs and metrics.
    fn name(&self) -> &'static str;
    /// Answers, or passes on with `next.run(request)` and may change what comes back.
    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome>;
}

/// The rest of the chain.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    rest: &'a [Arc<dyn Handler>],
    /// The handler that passes on; none at the start.
    before: &'static str,
}

impl<'a> Next<'a> {
    /// The whole of a chain.
    pub fn all(chain: &'a [Arc<dyn Handler>]) -> Next<'a> {
        Next { rest: chain, before: "" }
    }

    /// Passes the request to the next handler; behind the last one is SERVFAIL.
    pub fn run(self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        match self.rest.split_first() {
            Some((first, rest)) => first.handle(request, Next { rest, before: first.name() }),
            None => {
                let reason = format!("plugin/{}: no next plugin found", self.before);
                Box::pin(async { Outcome::Failed(Failure::servfail(reason)) })
            }
        }
    }

    /// The rest of the chain as its own, for what goes on after the client has been answered (a refresh).
    pub fn rest(self) -> Vec<Arc<dyn Handler>> {
        self.rest.to_vec()
    }

    /// The name of the next handler, empty behind the last.
    pub fn name(self) -> &'static str {
        self.rest.first().map_or("", |handler| handler.name())
    }
}
