//! The answer writer: header and question as asked, records behind them, pointers instead of names.

use super::{CLASS_IN, HEADER, NameBuffer, Query, Rcode, RecordType, UDP_PAYLOAD, opt};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Octets of an OPT record without options.
const OPT: usize = 11;

/// The sections a record can stand in, in the order they must be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    /// The answer section.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

/// How a record names its owner.
#[derive(Clone, Copy)]
pub enum Owner<'a> {
    /// The name asked, in the case it was asked in.
    Question,
    /// The name that starts at this offset of the message: part of the question, or of a record written before.
    At(u16),
    /// Labels in wire form (no root), then the name at an offset.
    Below(&'a [u8], u16),
    /// A whole name in wire form.
    Name(&'a [u8]),
}

/// An answer under construction, in a buffer of the caller's.
///
/// Records that do not fit whole are left out and the answer is marked truncated (RFC 2181 section 9); whatever
/// follows is left out too.
pub struct Answer<'q, 'o> {
    query: &'q Query<'q>,
    out: &'o mut [u8],
    at: usize,
    /// How far records may go: the size limit less the OPT that will follow.
    limit: usize,
    counts: [u16; 3],
    truncated: bool,
}

impl<'q, 'o> Answer<'q, 'o> {
    /// Starts the answer to `query`, at most `limit` octets long. `out` must hold a header and the question.
    #[inline]
    pub fn begin(query: &'q Query<'q>, out: &'o mut [u8], limit: usize) -> Answer<'q, 'o> {
        let end = query.question_end();
        out[..end].copy_from_slice(&query.packet[..end]);
        let reserved = if query.edns.is_some() { OPT } else { 0 };
        let limit = limit.min(out.len()).saturating_sub(reserved).max(end);
        Answer { query, out, at: end, limit, counts: [0; 3], truncated: false }
    }

    /// The offset in the message where the label at `index` of the question's name starts.
    #[inline]
    pub fn question_label(&self, index: usize) -> u16 {
        (HEADER + self.query.name.start(index)) as u16
    }

    /// Where the next record would start.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many records a section has so far.
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Whether something was left out.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Marks the answer as truncated, for an inner answer that was.
    pub fn set_truncated(&mut self) {
        self.truncated = true;
    }

    /// Forgets all records: the answer is as it began.
    #[inline]
    pub fn clear(&mut self) {
        (self.at, self.counts, self.truncated) = (self.query.question_end(), [0; 3], false);
    }

    /// Writes one A record.
    #[inline]
    pub fn a(&mut self, section: Section, owner: Owner<'_>, ttl: u32, address: Ipv4Addr) -> bool {
        self.record(section, owner, RecordType::A, ttl, &[&address.octets()])
    }

    /// Writes one AAAA record.
    #[inline]
    pub fn aaaa(&mut self, section: Section, owner: Owner<'_>, ttl: u32, address: Ipv6Addr) -> bool {
        self.record(section, owner, RecordType::AAAA, ttl, &[&address.octets()])
    }

    /// Writes one record of class IN whose RDATA is the parts in a row. False if it did not fit.
    #[inline]
    pub fn record<const PARTS: usize>(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: RecordType,
        ttl: u32,
        rdata: &[&[u8]; PARTS],
    ) -> bool {
        let rdata_len: usize = rdata.iter().map(|part| part.len()).sum();
        let len = owner.len() + 10 + rdata_len;
        if self.truncated || self.at + len > self.limit {
            self.truncated = true;
            return false;
        }
        // What is read from here on is bounded once: the limit is inside of the buffer.
        let mut room = &mut self.out[self.at..self.at + len];
        let [t0, t1] = rtype.0.to_be_bytes();
        let [c0, c1] = CLASS_IN.to_be_bytes();
        let [l0, l1, l2, l3] = ttl.to_be_bytes();
        let [r0, r1] = (rdata_len as u16).to_be_bytes();
        match owner {
            Owner::Question | Owner::At(_) => {
                let offset = if let Owner::At(offset) = owner { offset } else { HEADER as u16 };
                let [p0, p1] = pointer(offset);
                put(&mut room, &[p0, p1, t0, t1, c0, c1, l0, l1, l2, l3, r0, r1]);
            }
            Owner::Below(labels, offset) => {
                put(&mut room, labels);
                put(&mut room, &pointer(offset));
                put(&mut room, &[t0, t1, c0, c1, l0, l1, l2, l3, r0, r1]);
            }
            Owner::Name(wire) => {
                put(&mut room, wire);
                put(&mut room, &[t0, t1, c0, c1, l0, l1, l2, l3, r0, r1]);
            }
        }
        rdata.iter().for_each(|part| put(&mut room, part));
        self.at += len;
        self.counts[section as usize] += 1;
        true
    }

    /// Ends the answer: flags, counts, and an OPT if the client sent one (RFC 6891 section 7). Returns its length.
    ///
    /// QR is set; opcode, RD and CD are the query's; RA, AD and Z are clear.
    #[inline]
    pub fn finish(mut self, rcode: Rcode, authoritative: bool) -> usize {
        if let Some(edns) = self.query.edns {
            let mut opt = opt(UDP_PAYLOAD, edns.dnssec_ok);
            opt[5] = (rcode.0 >> 4) as u8;
            if let Some(room) = self.out.get_mut(self.at..self.at + OPT) {
                room.copy_from_slice(&opt);
                self.at += OPT;
                self.counts[Section::Additional as usize] += 1;
            }
        }
        let [id0, id1, asked0, asked1] = [0, 1, 2, 3].map(|at| self.query.packet[at]);
        let flags0 = 0x80 | asked0 & 0x79 | u8::from(authoritative) << 2 | u8::from(self.truncated) << 1;
        let flags1 = asked1 & 0x10 | (rcode.0 & 0x0f) as u8;
        let [[an0, an1], [ns0, ns1], [ar0, ar1]] = self.counts.map(u16::to_be_bytes);
        let header = [id0, id1, flags0, flags1, 0, 1, an0, an1, ns0, ns1, ar0, ar1];
        self.out[..HEADER].copy_from_slice(&header);
        self.at
    }
}

/// Puts octets at the front of the room that is left.
#[inline(always)]
fn put(room: &mut &mut [u8], octets: &[u8]) {
    let (front, rest) = std::mem::take(room).split_at_mut(octets.len());
    front.copy_from_slice(octets);
    *room = rest;
}

impl Owner<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Owner::Question | Owner::At(_) => 2,
            Owner::Below(labels, _) => labels.len() + 2,
            Owner::Name(wire) => wire.len(),
        }
    }
}

/// A compression pointer (RFC 1035 section 4.1.4).
fn pointer(offset: u16) -> [u8; 2] {
    (0xc000 | offset).to_be_bytes()
}

/// A reply without records for a packet that could not be viewed, with its question where there is a whole one. `packet`
/// must hold a header, `out` 512 octets. Returns its length.
///
/// BADVERS comes with the OPT that carries its upper bits; every other code stands in the header alone.
pub fn error_reply(packet: &[u8], rcode: Rcode, out: &mut [u8]) -> usize {
    let question = question(packet).unwrap_or_default();
    let end = HEADER + question.len();
    out[..HEADER].fill(0);
    out[..2].copy_from_slice(&packet[..2]);
    out[2] = 0x80 | packet[2] & 0x79;
    out[3] = packet[3] & 0x10 | (rcode.0 & 0x0f) as u8;
    out[5] = u8::from(!question.is_empty());
    out[HEADER..end].copy_from_slice(question);
    if rcode.0 < 16 {
        return end;
    }
    out[11] = 1;
    out[end..end + OPT].fill(0);
    out[end + 1..end + 3].copy_from_slice(&RecordType::OPT.0.to_be_bytes());
    out[end + 3..end + 5].copy_from_slice(&UDP_PAYLOAD.to_be_bytes());
    out[end + 5] = (rcode.0 >> 4) as u8;
    end + OPT
}

/// The only question of a packet, if it is whole and its name is no longer than names are.
fn question(packet: &[u8]) -> Option<&[u8]> {
    if packet[4..6] != [0, 1] {
        return None;
    }
    let mut names = NameBuffer::default();
    let end = HEADER + names.lower(&packet[HEADER..])?.wire().len() + 4;
    packet.get(HEADER..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Message;

    fn query(edns: bool) -> Vec<u8> {
        let mut packet =
            b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03WeB\x04test\x00\x00\x01\x00\x01".to_vec();
        if edns {
            packet[11] = 1;
            packet.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00");
        }
        packet
    }

    fn answer(packet: &[u8], limit: usize, records: u8) -> Vec<u8> {
        let mut buffer = NameBuffer::default();
        let query = Query::parse(packet, &mut buffer).unwrap();
        let mut out = [0; 4096];
        let mut answer = Answer::begin(&query, &mut out, limit);
        for last in 0..records {
            answer.a(Section::Answer, Owner::Question, 30, [10, 0, 0, last].into());
        }
        let len = answer.finish(Rcode::NOERROR, true);
        out[..len].to_vec()
    }

    #[test]
    fn an_independent_decoder_reads_what_we_write() {
        let bytes = answer(&query(true), 1232, 3);
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!((message.metadata.id, message.metadata.authoritative, message.answers.len()), (0xabcd, true, 3));
        assert_eq!(message.answers[0].name.to_string(), "WeB.test.");
        assert_eq!(message.edns.as_ref().map(|edns| edns.max_payload()), Some(1232));
        assert_eq!(message.to_vec().unwrap().len(), bytes.len());
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let bytes = answer(&query(false), 512, 200);
        let message = Message::from_vec(&bytes).unwrap();
        assert!(message.metadata.truncation);
        assert_eq!(message.answers.len(), (512 - 26) / 16);
        assert!(bytes.len() <= 512);
    }

    #[test]
    fn room_for_the_opt_is_kept() {
        let bytes = answer(&query(true), 512, 200);
        let message = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= 512 && message.metadata.truncation && message.edns.is_some());
    }

    #[test]
    fn bad_version_carries_an_opt() {
        let mut out = [0; 512];
        let len = error_reply(&query(false), Rcode::BADVERS, &mut out);
        let message = Message::from_vec(&out[..len]).unwrap();
        assert_eq!((message.metadata.id, u16::from(message.metadata.response_code)), (0xabcd, 16));
        assert_eq!(message.queries[0].name().to_string(), "WeB.test.");
    }

    #[test]
    fn a_question_that_is_cut_is_not_repeated() {
        let mut out = [0; 512];
        assert_eq!(error_reply(&query(false)[..20], Rcode::FORMERR, &mut out), HEADER);
        assert_eq!(error_reply(&query(false)[..HEADER], Rcode::FORMERR, &mut out), HEADER);
    }
}
