//! The two sides of a relayed message: what an upstream is sent, and what the client gets.

use super::case;
use crate::plugin::{Failure, Outcome, Reply, Request};
use crate::wire::{self, HEADER, Name, Query, RecordType, ReplyView};

/// A query as upstreams get it, but for the id, which every attempt draws anew.
pub(super) struct Outgoing {
    packet: Vec<u8>,
    question_end: usize,
    /// Whether it is header, question and at most an OPT of ours; anything else is relayed octet for octet.
    plain: bool,
}

impl Outgoing {
    /// The query of a request.
    ///
    /// An OPT is between two neighbours only (RFC 6891 section 6.1.1): ours replaces the client's, with its DO bit and
    /// no options but those that `rewrite` has set, and promises no more than the client will be sent. A message that
    /// carries more than a question (a NOTIFY, an IXFR, a TSIG) goes as it came.
    pub fn of(request: &Request) -> Outgoing {
        let query = request.query();
        let question_end = query.question_end();
        let plain = is_plain(&query);
        let mut packet = Vec::with_capacity(question_end + 11);
        if plain {
            packet.extend(&query.packet[..question_end]);
            if let Some(edns) = query.edns {
                let payload = edns.payload.min(request.shape.udp_payload).max(wire::UDP_PLAIN);
                add_opt(&mut packet, payload, edns.dnssec_ok, &request.options);
            }
        } else {
            packet.extend(query.packet);
        }
        Outgoing { packet, question_end, plain }
    }

    /// A health check's question: the name servers of a name.
    pub fn probe(domain: &Name, recursion_desired: bool) -> Outgoing {
        Outgoing::asking(domain, RecordType::NS, recursion_desired)
    }

    /// A question of our own to a resolver.
    pub fn question_of(name: &Name, qtype: RecordType) -> Outgoing {
        Outgoing::asking(name, qtype, true)
    }

    fn asking(name: &Name, qtype: RecordType, recursion_desired: bool) -> Outgoing {
        let mut packet = vec![0, 0, u8::from(recursion_desired), 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(name.wire());
        packet.extend(qtype.0.to_be_bytes());
        packet.extend(wire::CLASS_IN.to_be_bytes());
        Outgoing { question_end: packet.len(), packet, plain: true }
    }

    /// The question in wire form, in the client's case.
    pub fn question(&self) -> &[u8] {
        &self.packet[HEADER..self.question_end]
    }

    /// Adds the message with this id to `out`.
    pub fn write(&self, id: u16, out: &mut Vec<u8>) {
        out.extend(id.to_be_bytes());
        out.extend(&self.packet[2..]);
    }

    /// As `write`, with the letters of the question in the case of a pattern.
    pub fn write_in_case(&self, id: u16, pattern: Option<u64>, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(id, out);
        if let Some(pattern) = pattern {
            case::apply(&mut out[start + HEADER..start + self.question_end - 4], pattern);
        }
    }

    /// Whether it is header, question and at most an OPT of ours.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Octets of the message.
    pub fn len(&self) -> usize {
        self.packet.len()
    }

    /// Turns an upstream's accepted reply into the client's. It stays whole, for `cache`; the server cuts what is too
    /// large for the client.
    pub fn outcome(&self, request: &Request, mut packet: Vec<u8>) -> Outcome {
        if !self.plain {
            packet[..2].copy_from_slice(&request.packet[..2]);
            return Outcome::Reply(Reply::new(packet));
        }
        let query = request.query();
        let Some(view) = ReplyView::parse(&packet).filter(|view| view.rcode().0 < 16) else {
            return Outcome::Failed(Failure::servfail("the upstream does not speak EDNS version 0"));
        };
        let mut message = if is_ready(&view) {
            let len = view.octets().len();
            packet.truncate(len);
            packet
        } else {
            let mut message = view.without_opt();
            own_case(&view, query.question(), &mut message);
            if view.question().is_empty() {
                // An error without its question (see `is_bare_error`).
                message.extend(query.question());
                message[5] = 1;
            }
            message
        };
        let len = message.len();
        message.resize(len + 11, 0);
        let len = wire::address_reply(&query, &mut message, len, usize::MAX);
        message.truncate(len);
        Outcome::Reply(Reply::new(message))
    }
}

/// Whether a reply goes to the client as it is but for what every reply gets: no OPT, and owners that are pointers.
fn is_ready(view: &ReplyView<'_>) -> bool {
    let octets = view.octets();
    !view.has_opt() && !view.question().is_empty() && view.records().all(|record| octets[record.start] >= 0xc0)
}

/// Adds an OPT with options, those of them that fit in it.
fn add_opt(packet: &mut Vec<u8>, payload: u16, dnssec_ok: bool, options: &[(u16, Vec<u8>)]) {
    packet.extend(wire::opt(payload, dnssec_ok));
    let start = packet.len();
    for (code, data) in options {
        let Ok(len) = u16::try_from(data.len()) else { continue };
        if packet.len() - start + 4 + data.len() > MAX_OPTIONS {
            break;
        }
        packet.extend(code.to_be_bytes());
        packet.extend(len.to_be_bytes());
        packet.extend(data);
    }
    let len = (packet.len() - start) as u16;
    packet[start - 2..start].copy_from_slice(&len.to_be_bytes());
}

/// Octets of options in a query: a few for each rule of `rewrite`.
const MAX_OPTIONS: usize = 2048;

/// Gives owners that repeat the question's name in full the client's case, which need not be the one that was sent.
fn own_case(view: &ReplyView<'_>, question: &[u8], message: &mut [u8]) {
    let name = &question[..question.len().saturating_sub(4)];
    if view.question_is(question) {
        return;
    }
    for record in view.records() {
        let owner = message.get_mut(record.start..record.start + name.len());
        if let Some(owner) = owner.filter(|owner| owner.eq_ignore_ascii_case(name)) {
            owner.copy_from_slice(name);
        }
    }
}

fn is_plain(query: &Query<'_>) -> bool {
    let expected = [0, 0, 0, 0, 0, u8::from(query.edns.is_some())];
    query.opcode() == 0 && query.packet[6..HEADER] == expected && !query.signed
}

/// Whether a reply is an error that has nothing but a header: servers that cannot read a query cannot repeat it.
pub(super) fn is_bare_error(view: &ReplyView<'_>) -> bool {
    view.octets().len() == HEADER && !matches!(view.rcode().0, 0 | 3)
}

/// The header and question of a reply that is cut or damaged behind them, as an empty truncated reply.
pub(super) fn truncated_stub(packet: &[u8], question: &[u8]) -> Option<Vec<u8>> {
    let end = HEADER + question.len();
    let is_reply = packet.len() >= end && packet[2] & 0x80 != 0 && packet[4..6] == [0, 1];
    if !is_reply || !packet[HEADER..end].eq_ignore_ascii_case(question) {
        return None;
    }
    let mut stub = packet[..end].to_vec();
    stub[2] |= 0x02;
    stub[6..HEADER].fill(0);
    Some(stub)
}
