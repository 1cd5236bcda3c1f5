//! A message taken apart and put together again, for the slow lane's plugins that change one.
//!
//! Names are held whole, in RDATA too where a sender may have compressed them (RFC 3597 section 4), so that records can
//! be renamed, dropped and moved freely. Octets that are no names are relayed as they came.

mod names;
#[cfg(test)]
mod tests;
mod writing;

use super::{HEADER, Query, Rcode, RecordType, UDP_PAYLOAD};
use flags::{CD, OPCODE, QR, RD};
use names::{name_layout, whole_rdata};
use std::ops::Range;

pub use names::whole_name;

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
