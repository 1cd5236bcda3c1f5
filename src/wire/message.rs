//! A message taken apart and put together again, for the slow lane's plugins that change one.
//!
//! Names are held whole, in RDATA too where a sender may have compressed them (RFC 3597 section 4), so that records can
//! be renamed, dropped and moved freely. Octets that are no names are relayed as they came.

use super::{HEADER, MAX_NAME, Query, Rcode, RecordType, UDP_PAYLOAD};
use flags::{CD, OPCODE, QR, RD, TC};
use std::collections::HashMap;
use std::ops::Range;

/// The header's flags (RFC 1035 section 4.1.1, RFC 4035 section 3).
#[allow(missing_docs)]
pub mod flags {
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
    /// The four bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
}

/// A query or a reply of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message's id.
    pub id: u16,
    /// The header's flags, opcode, and the lower four bits of the response code.
    pub flags: u16,
    /// The question.
    pub question: Question,
    /// The answer section.
    pub answers: Vec<ResourceRecord>,
    /// The authority section.
    pub authorities: Vec<ResourceRecord>,
    /// The additional section without OPT and TSIG.
    pub additionals: Vec<ResourceRecord>,
    /// OPT.
    pub opt: Option<Opt>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name in wire form and in the client's case.
    pub name: Vec<u8>,
    /// QTYPE.
    pub qtype: RecordType,
    /// QCLASS.
    pub qclass: u16,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRecord {
    /// The owner's name in wire form.
    pub owner: Vec<u8>,
    /// The type.
    pub rtype: RecordType,
    /// The class.
    pub class: u16,
    /// Seconds to live.
    pub ttl: u32,
    /// RDATA, its names whole.
    pub rdata: Vec<u8>,
}

/// EDNS as one OPT record carries it (RFC 6891).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The UDP payload its sender can take, in octets.
    pub payload: u16,
    /// The response code's upper eight bits.
    pub upper_rcode: u8,
    /// DO and the flags that have no name.
    pub flags: u16,
    /// The options, each with its code and its data.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// OPT's flag DO.
const DO: u16 = 0x8000;
/// EDE's option code (RFC 8914).
const EXTENDED_ERROR: u16 = 15;

impl Message {
    /// The empty answer to a query: NOERROR, not authoritative, with an OPT if the query has one.
    pub fn answering(query: &Query<'_>) -> Message {
        let asked = u16::from_be_bytes([query.packet[2], query.packet[3]]);
        let name = query.question();
        Message {
            id: query.id(),
            flags: QR | asked & (OPCODE | RD | CD),
            question: Question { name: name[..name.len() - 4].to_vec(), qtype: query.qtype, qclass: query.qclass },
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            opt: query.edns.map(|edns| Opt::new(UDP_PAYLOAD, edns.dnssec_ok)),
        }
    }

    /// Reads a query or a reply. `None` if it has not one question, or does not hold what its counts say.
    pub fn parse(packet: &[u8]) -> Option<Message> {
        Message::parse_following(packet).filter(|message| !message.question.name.is_empty())
    }

    /// As [`Message::parse`], for a message of a transfer behind the first, which may be without the question (RFC 5936
    /// section 2.2.1): its name is empty then, which no question's is.
    pub fn parse_following(packet: &[u8]) -> Option<Message> {
        let word = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
        let mut at = HEADER;
        let mut question = Question { name: Vec::new(), qtype: RecordType(0), qclass: 0 };
        match word(4)? {
            0 => {}
            1 => {
                let name = whole_name(packet, &mut at)?;
                question = Question { name, qtype: RecordType(word(at)?), qclass: word(at + 2)? };
                at += 4;
            }
            _ => return None,
        }
        let mut message = Message {
            id: word(0)?,
            flags: word(2)?,
            question,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            opt: None,
        };
        for (section, count) in [word(6)?, word(8)?, word(10)?].into_iter().enumerate() {
            for _ in 0..count {
                message.read_record(section, packet, &mut at)?;
            }
        }
        Some(message)
    }

    fn read_record(&mut self, section: usize, packet: &[u8], at: &mut usize) -> Option<()> {
        let owner = whole_name(packet, at)?;
        let &[t0, t1, c0, c1, l0, l1, l2, l3, s0, s1] = packet.get(*at..)?.first_chunk()?;
        let rdata = *at + 10..*at + 10 + usize::from(u16::from_be_bytes([s0, s1]));
        let octets = packet.get(rdata.clone())?;
        *at = rdata.end;
        let (rtype, class) = (RecordType(u16::from_be_bytes([t0, t1])), u16::from_be_bytes([c0, c1]));
        match rtype {
            RecordType::OPT if self.opt.is_some() => return None,
            RecordType::OPT => {
                let options = read_options(octets)?;
                self.opt = Some(Opt { payload: class, upper_rcode: l0, flags: u16::from_be_bytes([l2, l3]), options });
            }
            RecordType::TSIG => {}
            _ => {
                let ttl = u32::from_be_bytes([l0, l1, l2, l3]);
                let rdata = whole_rdata(packet, rtype, rdata)?;
                self.sections_mut()[section].push(ResourceRecord { owner, rtype, class, ttl, rdata });
            }
        }
        Some(())
    }

    /// Answer, authority and additional section.
    pub fn sections(&self) -> [&Vec<ResourceRecord>; 3] {
        [&self.answers, &self.authorities, &self.additionals]
    }

    /// Answer, authority and additional section.
    pub fn sections_mut(&mut self) -> [&mut Vec<ResourceRecord>; 3] {
        [&mut self.answers, &mut self.authorities, &mut self.additionals]
    }

    /// The response code, OPT's upper bits included.
    pub fn rcode(&self) -> Rcode {
        let upper = self.opt.as_ref().map_or(0, |opt| u16::from(opt.upper_rcode));
        Rcode(upper << 4 | self.flags & 0x0f)
    }

    /// Sets the response code; without an OPT only its lower four bits.
    pub fn set_rcode(&mut self, rcode: Rcode) {
        self.flags = self.flags & !0x0f | rcode.0 & 0x0f;
        if let Some(opt) = &mut self.opt {
            opt.upper_rcode = (rcode.0 >> 4) as u8;
        }
    }

    /// Adds an extended error (RFC 8914), where the client takes OPT.
    pub fn add_extended_error(&mut self, code: u16, text: &str) {
        if let Some(opt) = &mut self.opt {
            let data = [&code.to_be_bytes(), text.as_bytes()].concat();
            opt.options.push((EXTENDED_ERROR, data));
        }
    }

    /// How many octets it would have without compression and without its OPT.
    pub fn uncompressed_len(&self) -> usize {
        let sections = [&self.answers, &self.authorities, &self.additionals];
        let records = sections.into_iter().flatten().map(|record| record.owner.len() + 10 + record.rdata.len());
        HEADER + self.question.name.len() + 4 + records.sum::<usize>()
    }

    /// The message's octets, names compressed, at most `limit` of them: records that do not fit are left out from the
    /// first on, and TC is set (RFC 2181 section 9). Header, question and OPT always stand.
    pub fn to_octets(&self, limit: usize) -> Vec<u8> {
        let mut writer = Writer { out: Vec::with_capacity(512), names: HashMap::new() };
        let opt = self.opt.as_ref().map(Opt::to_octets).unwrap_or_default();
        writer.out.extend([0; HEADER]);
        writer.name(&self.question.name);
        writer.out.extend(self.question.qtype.0.to_be_bytes());
        writer.out.extend(self.question.qclass.to_be_bytes());
        let (mut flags, mut counts) = (self.flags, [0u16; 3]);
        'records: for (section, count) in self.sections().into_iter().zip(&mut counts) {
            for record in section {
                let before = writer.out.len();
                writer.record(record);
                if writer.out.len() + opt.len() > limit || *count == u16::MAX {
                    writer.out.truncate(before);
                    flags |= TC;
                    break 'records;
                }
                *count += 1;
            }
        }
        if !opt.is_empty() {
            writer.out.extend(opt);
            counts[2] = counts[2].saturating_add(1);
        }
        let header = [self.id, flags, 1, counts[0], counts[1], counts[2]];
        for (octets, word) in writer.out.chunks_exact_mut(2).zip(header) {
            octets.copy_from_slice(&word.to_be_bytes());
        }
        writer.out
    }
}

impl ResourceRecord {
    /// Where names stand in RDATA: targets, exchanges, the SOA's names.
    pub fn names(&self) -> Vec<Range<usize>> {
        let Some((prefix, count)) = name_layout(self.rtype, &self.rdata) else { return Vec::new() };
        let mut at = prefix;
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            let start = at;
            if whole_name(&self.rdata, &mut at).is_some() {
                names.push(start..at);
            }
        }
        names
    }

    /// The first name in RDATA, as a CNAME's target.
    pub fn target(&self) -> Option<&[u8]> {
        self.names().first().map(|range| &self.rdata[range.clone()])
    }
}

impl Opt {
    /// An OPT without options.
    pub fn new(payload: u16, dnssec_ok: bool) -> Opt {
        Opt { payload, upper_rcode: 0, flags: if dnssec_ok { DO } else { 0 }, options: Vec::new() }
    }

    fn to_octets(&self) -> Vec<u8> {
        let mut rdata = Vec::new();
        for (code, data) in &self.options {
            rdata.extend(code.to_be_bytes());
            rdata.extend((data.len() as u16).to_be_bytes());
            rdata.extend(data);
        }
        let mut out = vec![0];
        out.extend(RecordType::OPT.0.to_be_bytes());
        out.extend(self.payload.to_be_bytes());
        out.extend([self.upper_rcode, 0]);
        out.extend(self.flags.to_be_bytes());
        out.extend((rdata.len() as u16).to_be_bytes());
        out.extend(rdata);
        out
    }
}

/// The options in OPT's RDATA, by code. `None` if one is cut.
pub fn read_options(mut octets: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    while !octets.is_empty() {
        let (&[c0, c1, l0, l1], rest) = octets.split_first_chunk()?;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        options.push((u16::from_be_bytes([c0, c1]), data.to_vec()));
        octets = rest;
    }
    Some(options)
}

/// What stands before the names in RDATA, in octets, and how many names there are; `None` where a sender compresses none.
fn name_layout(rtype: RecordType, rdata: &[u8]) -> Option<(usize, usize)> {
    // MD MF MB MG MR; MINFO RP; AFSDB RT KX; PX, which have no constants.
    match rtype {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => Some((0, 1)),
        RecordType(3 | 4 | 7 | 8 | 9) => Some((0, 1)),
        RecordType::SOA | RecordType(14 | 17) => Some((0, 2)),
        RecordType::MX | RecordType(18 | 21 | 36) => Some((2, 1)),
        RecordType(26) => Some((2, 2)),
        RecordType::SRV => Some((6, 1)),
        RecordType::NAPTR => {
            let text = |at: usize| rdata.get(at).map(|len| at + 1 + usize::from(*len));
            Some((text(text(text(4)?)?)?, 1))
        }
        _ => None,
    }
}

/// Whether names in RDATA may be compressed by us: the types of RFC 1035 (RFC 3597 section 4).
fn is_compressible(rtype: RecordType) -> bool {
    matches!(rtype, RecordType::NS | RecordType::CNAME | RecordType::SOA | RecordType::PTR | RecordType::MX)
}

fn whole_rdata(packet: &[u8], rtype: RecordType, range: Range<usize>) -> Option<Vec<u8>> {
    let rdata = &packet[range.clone()];
    let Some((prefix, count)) = name_layout(rtype, rdata) else { return Some(rdata.to_vec()) };
    let mut whole = rdata.get(..prefix)?.to_vec();
    let mut at = range.start + prefix;
    for _ in 0..count {
        whole.extend(whole_name(packet, &mut at)?);
    }
    whole.extend(packet.get(at..range.end)?);
    Some(whole)
}

/// The name at `at` in the case it has, its pointers followed, and `at` moved behind it. `None` if it is cut, longer than 255 octets, has a
/// reserved label type, or a pointer that does not point before the labels it was reached by.
pub fn whole_name(packet: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let (mut name, mut from, mut floor, mut end) = (Vec::with_capacity(32), *at, *at, None);
    loop {
        match *packet.get(from)? {
            0 => break,
            len @ 1..=63 => {
                name.extend(packet.get(from..=from + usize::from(len))?);
                from += 1 + usize::from(len);
                if name.len() >= MAX_NAME {
                    return None;
                }
            }
            high @ 0xc0.. => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, *packet.get(from + 1)?]));
                if target >= floor {
                    return None;
                }
                end = end.or(Some(from + 2));
                (from, floor) = (target, target);
            }
            _ => return None,
        }
    }
    *at = end.unwrap_or(from + 1);
    name.push(0);
    Some(name)
}

/// Octets being written, and where each name's tails stand.
struct Writer<'m> {
    out: Vec<u8>,
    names: HashMap<&'m [u8], u16>,
}

impl<'m> Writer<'m> {
    fn record(&mut self, record: &'m ResourceRecord) {
        self.name(&record.owner);
        self.out.extend(record.rtype.0.to_be_bytes());
        self.out.extend(record.class.to_be_bytes());
        self.out.extend(record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend([0; 2]);
        let mut copied = 0;
        if is_compressible(record.rtype) {
            for name in record.names() {
                self.out.extend(&record.rdata[copied..name.start]);
                copied = name.end;
                self.name(&record.rdata[name]);
            }
        }
        self.out.extend(&record.rdata[copied..]);
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Writes a whole name, the longest tail that stands already as a pointer (RFC 1035 section 4.1.4).
    fn name(&mut self, name: &'m [u8]) {
        let mut rest = name;
        while let [len @ 1..=63, ..] = rest {
            // What is cut away again is never pointed to: a cut ends the records.
            if let Some(at) = self.names.get(rest) {
                self.out.extend((0xc000 | at).to_be_bytes());
                return;
            }
            if self.out.len() < 0x4000 {
                self.names.insert(rest, self.out.len() as u16);
            }
            let (label, tail) = rest.split_at(rest.len().min(1 + usize::from(*len)));
            self.out.extend(label);
            rest = tail;
        }
        self.out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NameBuffer;
    use hickory_proto::op::Message as Independent;

    fn name(text: &str) -> Vec<u8> {
        let mut wire: Vec<u8> = text
            .split('.')
            .filter(|label| !label.is_empty())
            .flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes()))
            .collect();
        wire.push(0);
        wire
    }

    fn record(owner: &str, rtype: RecordType, rdata: &[u8]) -> ResourceRecord {
        ResourceRecord { owner: name(owner), rtype, class: 1, ttl: 60, rdata: rdata.to_vec() }
    }

    fn sample() -> Message {
        let mut packet =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03WeB\x04test\x00\x00\x01\x00\x01".to_vec();
        packet.extend(b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00");
        let mut buffer = NameBuffer::default();
        let mut message = Message::answering(&Query::parse(&packet, &mut buffer).unwrap());
        message.answers = vec![
            record("WeB.test", RecordType::CNAME, &name("a.WeB.test")),
            record("a.WeB.test", RecordType::SRV, &[&[0, 1, 0, 2, 0, 53], &name("b.test")[..]].concat()),
            record("a.WeB.test", RecordType::MX, &[&[0, 9], &name("mail.test")[..]].concat()),
            record("a.WeB.test", RecordType::NAPTR, &[&[0, 1, 0, 2, 1, b'u', 0, 0], &name("n.test")[..]].concat()),
        ];
        let numbers = [0; 20];
        message.authorities =
            vec![record("test", RecordType::SOA, &[&name("ns.test")[..], &name("admin.test"), &numbers].concat())];
        message.additionals = vec![record("b.test", RecordType::A, &[10, 0, 0, 1])];
        message
    }

    #[test]
    fn an_independent_decoder_reads_what_we_write_and_we_read_it_back() {
        let message = sample();
        let octets = message.to_octets(4096);
        let independent = Independent::from_vec(&octets).unwrap();
        let texts: Vec<_> = independent.answers.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "WeB.test. 60 IN CNAME a.WeB.test.");
        assert_eq!(texts[1], "a.WeB.test. 60 IN SRV 1 2 53 b.test.");
        assert_eq!((independent.authorities.len(), independent.additionals.len()), (1, 1));
        assert!(independent.edns.is_some());
        assert_eq!(Message::parse(&octets), Some(message.clone()));
        // Pointers save most of it.
        assert!(octets.len() < 230, "{}", octets.len());
    }

    #[test]
    fn names_in_rdata_are_found() {
        let names: Vec<Vec<_>> = sample()
            .answers
            .iter()
            .chain(&sample().authorities)
            .map(|record| record.names().into_iter().map(|range| record.rdata[range].to_vec()).collect())
            .collect();
        assert_eq!(names[..3], [[name("a.WeB.test")], [name("b.test")], [name("mail.test")]]);
        assert_eq!(names[3..], [vec![name("n.test")], vec![name("ns.test"), name("admin.test")]]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_opt_stands() {
        let octets = sample().to_octets(100);
        let independent = Independent::from_vec(&octets).unwrap();
        assert!(octets.len() <= 100 && independent.metadata.truncation && independent.edns.is_some());
        assert_eq!(independent.answers.len(), 3);
    }

    #[test]
    fn loops_and_cuts_are_none() {
        let octets = sample().to_octets(4096);
        for end in 0..octets.len() {
            assert!(Message::parse(&octets[..end]).is_none(), "{end}");
        }
        let header = b"\0\0\x80\0\0\x01\0\0\0\0\0\0".to_vec();
        for question in [&b"\xc0\x0c\0\x01\0\x01"[..], b"\xc0\x0e\0\x01\0\x01", b"\x01a\xc0\x0c\0\x01\0\x01"] {
            assert!(Message::parse(&[&header[..], question].concat()).is_none(), "{question:?}");
        }
    }

    #[test]
    fn codes_and_extended_errors_go_into_opt() {
        let mut message = sample();
        message.set_rcode(Rcode::BADVERS);
        message.add_extended_error(15, "no");
        let read = Message::parse(&message.to_octets(4096)).unwrap();
        assert_eq!(read.rcode(), Rcode::BADVERS);
        assert_eq!(read.opt.unwrap().options, [(15, b"\x00\x0fno".to_vec())]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_was_changed_on_the_way_is_read_or_refused(
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..6),
            limit in 0usize..600,
        ) {
            let mut octets = sample().to_octets(4096);
            for (place, octet) in changes {
                let place = place.index(octets.len());
                octets[place] = octet;
            }
            if let Some(message) = Message::parse(&octets) {
                let written = message.to_octets(limit);
                let read = Message::parse(&written);
                proptest::prop_assert!(read.is_some_and(|read| read.question == message.question));
                proptest::prop_assert!(message.sections().into_iter().flatten().all(|record| record.names().len() < 3));
            }
        }
    }
}
