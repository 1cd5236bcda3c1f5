//! The walk over a reply: checked once from end to end, then patched and cut in place, never decoded.
//!
//! What stands in RDATA is relayed as it came. What is read here (owners, counts, TTLs, OPT) has strict bounds, and a
//! compression pointer must point backwards, so that every walk ends.

use super::query::skip_name;
use super::{HEADER, MAX_NAME, Query, Rcode, RecordType, Section, UDP_PAYLOAD};
use std::ops::Range;

/// Octets of an OPT record without options.
const OPT: usize = 11;

/// A well-formed reply: at most one question, every record whole.
#[derive(Clone, Copy, Debug)]
pub struct ReplyView<'a> {
    packet: &'a [u8],
    question_end: usize,
    counts: [u16; 3],
    end: usize,
    lowest_ttl: Option<u32>,
    authority_soa: bool,
    /// Where OPT starts and ends.
    opt: Option<(usize, usize)>,
}

/// Where one record of a reply stands. Offsets are from the start of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The section it stands in.
    pub section: Section,
    /// Where the owner's name starts.
    pub start: usize,
    /// Its type.
    pub rtype: RecordType,
    /// Its class; the payload size of an OPT.
    pub class: u16,
    /// Where the four octets of the TTL start.
    pub ttl_at: usize,
    /// Its RDATA.
    pub rdata: Range<usize>,
}

impl<'a> ReplyView<'a> {
    /// Reads a reply. `None` if it is a query, has two questions or two OPTs, or does not hold what its counts say.
    ///
    /// Octets behind the last record are not looked at; [`ReplyView::octets`] is without them.
    pub fn parse(packet: &'a [u8]) -> Option<ReplyView<'a>> {
        if packet.len() < HEADER || packet[2] & 0x80 == 0 {
            return None;
        }
        let count = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let question_end = match count(4) {
            0 => HEADER,
            1 => Some(name_end(packet, HEADER)? + 4).filter(|end| *end <= packet.len())?,
            _ => return None,
        };
        let mut view = ReplyView {
            packet,
            question_end,
            counts: [count(6), count(8), count(10)],
            end: question_end,
            lowest_ttl: None,
            authority_soa: false,
            opt: None,
        };
        let names = if count(4) == 1 { name_end_below_question } else { name_end };
        let mut walk = Walk { names, ..view.walk() };
        while walk.left() > 0 {
            let record = walk.next()?;
            view.note(&record)?;
            view.end = record.rdata.end;
        }
        Some(view)
    }

    fn note(&mut self, record: &Record) -> Option<()> {
        if record.rtype == RecordType::OPT {
            let fits = record.section == Section::Additional && self.opt.is_none() && self.packet[record.start] == 0;
            self.opt = Some((record.start, record.rdata.end));
            return fits.then_some(());
        }
        let ttl = self.packet[record.ttl_at..].first_chunk().map(|ttl| u32::from_be_bytes(*ttl))?;
        self.lowest_ttl = Some(self.lowest_ttl.map_or(ttl, |lowest| lowest.min(ttl)));
        self.authority_soa |= record.section == Section::Authority && record.rtype == RecordType::SOA;
        Some(())
    }

    /// The message without what follows its last record.
    pub fn octets(&self) -> &'a [u8] {
        &self.packet[..self.end]
    }

    /// The message's id.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.packet[0], self.packet[1]])
    }

    /// The TC bit.
    pub fn is_truncated(&self) -> bool {
        self.packet[2] & 0x02 != 0
    }

    /// The response code, OPT's upper bits included.
    pub fn rcode(&self) -> Rcode {
        let upper = self.opt.map_or(0, |(start, _)| u16::from(self.packet[start + 5]));
        Rcode(upper << 4 | u16::from(self.packet[3] & 0x0f))
    }

    /// The question in wire form: name, type, class. Empty where the reply has none.
    pub fn question(&self) -> &'a [u8] {
        &self.packet[HEADER..self.question_end]
    }

    /// Whether the question is this one, octet for octet.
    pub fn question_is(&self, question: &[u8]) -> bool {
        self.question() == question
    }

    /// Whether the question is this one but for the case of its name.
    pub fn question_matches(&self, question: &[u8]) -> bool {
        let own = self.question();
        let Some(name) = own.len().checked_sub(4) else { return false };
        own.len() == question.len()
            && own[name..] == question[name..]
            && own[..name].eq_ignore_ascii_case(&question[..name])
    }

    /// How many records a section has by the header, an OPT included.
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// How many records all sections have.
    pub fn all_records(&self) -> usize {
        record_count(self.packet)
    }

    /// The lowest TTL of all records but OPT; `None` where there are none.
    pub fn lowest_ttl(&self) -> Option<u32> {
        self.lowest_ttl
    }

    /// Whether a SOA stands in the authority section: the mark of a negative answer (RFC 2308 section 2).
    pub fn has_authority_soa(&self) -> bool {
        self.authority_soa
    }

    /// Whether the answer section has a record of the type asked for, or any record where that is `ANY`.
    pub fn reaches(&self, qtype: RecordType) -> bool {
        self.records()
            .take_while(|record| record.section == Section::Answer)
            .any(|record| record.rtype == qtype || qtype == RecordType::ANY)
    }

    /// Whether the message has an OPT.
    pub fn has_opt(&self) -> bool {
        self.opt.is_some()
    }

    /// The records in message order, OPT included.
    pub fn records(&self) -> impl Iterator<Item = Record> + 'a {
        self.walk()
    }

    fn walk(&self) -> Walk<'a> {
        self.layout().walk(self.packet)
    }

    /// Where its records are, without the message, which may then be changed.
    pub fn layout(&self) -> Layout {
        Layout { records: self.question_end, counts: self.counts }
    }

    /// Copies the message without its OPT, and without a TSIG, both of which are between two neighbours only.
    ///
    /// OPT is nearly always last. Of the additional records behind it, addresses are kept; anything else there goes,
    /// because its pointers could no longer be trusted.
    pub fn without_opt(&self) -> Vec<u8> {
        let Some((start, end)) = self.opt else { return with_room(self.octets()) };
        let mut copy = Vec::with_capacity(self.end + OPT);
        copy.extend(&self.packet[..start]);
        let before = self.records().filter(|record| record.section == Section::Additional && record.start < start);
        let mut additional = before.count() as u16;
        for record in self.records().filter(|record| record.start >= end) {
            let is_address = matches!(record.rtype, RecordType::A | RecordType::AAAA);
            if is_address && self.packet[record.start] >= 0xc0 && pointer(self.packet, record.start) < Some(start) {
                copy.extend(&self.packet[record.start..record.rdata.end]);
                additional += 1;
            }
        }
        copy[10..HEADER].copy_from_slice(&additional.to_be_bytes());
        copy
    }
}

/// Where the records of a well-formed reply are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    records: usize,
    counts: [u16; 3],
}

impl Layout {
    /// Gives every record of the message that this is the layout of a TTL, in seconds.
    pub fn set_ttls(self, message: &mut [u8], ttl: u32) {
        let Layout { records: mut at, mut counts } = self;
        loop {
            let mut walk = Layout { records: at, counts }.walk(message);
            let Some(record) = walk.next() else { return };
            (at, counts) = (walk.at, walk.counts);
            if record.rtype != RecordType::OPT {
                message[record.ttl_at..record.ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
            }
        }
    }

    fn walk(self, packet: &[u8]) -> Walk<'_> {
        Walk { packet, at: self.records, counts: self.counts, names: skip_name }
    }
}

/// How many records a message has by its header.
pub fn record_count(message: &[u8]) -> usize {
    let counts = message.get(6..HEADER).unwrap_or_default().chunks_exact(2);
    counts.map(|count| usize::from(u16::from_be_bytes([count[0], count[1]]))).sum()
}

/// A copy that an OPT can be added to in place.
pub fn with_room(octets: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(octets.len() + OPT);
    copy.extend(octets);
    copy
}

struct Walk<'a> {
    packet: &'a [u8],
    at: usize,
    /// What is left of each section.
    counts: [u16; 3],
    /// The offset behind the name at an offset: checked the first time, skipped from then on.
    names: fn(&[u8], usize) -> Option<usize>,
}

impl Walk<'_> {
    fn left(&self) -> usize {
        self.counts.iter().map(|count| usize::from(*count)).sum()
    }
}

impl Iterator for Walk<'_> {
    type Item = Record;

    /// The next record; `None` at the end and where the packet does not hold one.
    fn next(&mut self) -> Option<Record> {
        const SECTIONS: [Section; 3] = [Section::Answer, Section::Authority, Section::Additional];
        let section = SECTIONS.into_iter().find(|section| self.counts[*section as usize] > 0)?;
        let start = self.at;
        let fixed = (self.names)(self.packet, start)?;
        let &[t0, t1, c0, c1, _, _, _, _, l0, l1] = self.packet.get(fixed..)?.first_chunk()?;
        let rdata = fixed + 10..fixed + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        if rdata.end > self.packet.len() {
            return None;
        }
        self.counts[section as usize] -= 1;
        self.at = rdata.end;
        Some(Record {
            section,
            start,
            rtype: RecordType(u16::from_be_bytes([t0, t1])),
            class: u16::from_be_bytes([c0, c1]),
            ttl_at: fixed + 4,
            rdata,
        })
    }
}

/// The offset behind the name at `start`, whose pointers are followed to their end. `None` if it is cut, longer than
/// 255 octets, has a reserved label type, or a pointer that does not point before the labels it was reached by, or to
/// labels that reach into the name itself: what stands before a name says all of it, also when the rest is cut off.
fn name_end(packet: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut floor, mut length, mut end) = (start, start, 1, None);
    loop {
        if end.is_some() && at >= start {
            return None;
        }
        match *packet.get(at)? {
            0 => return end.or(Some(at + 1)),
            len @ 1..=63 => {
                at += 1 + usize::from(len);
                length += 1 + usize::from(len);
                if length > MAX_NAME {
                    return None;
                }
            }
            0xc0.. => {
                let target = pointer(packet, at)?;
                let reaches_in = end.is_some() && at + 2 > start;
                if target < HEADER || target >= floor || reaches_in {
                    return None;
                }
                end = end.or(Some(at + 2));
                (at, floor) = (target, target);
            }
            _ => return None,
        }
    }
}

/// As [`name_end`], behind a question whose name has been looked at: most owners are a pointer to it.
fn name_end_below_question(packet: &[u8], start: usize) -> Option<usize> {
    match packet.get(start..)?.first_chunk() {
        Some([0xc0, at]) if usize::from(*at) == HEADER => Some(start + 2),
        _ => name_end(packet, start),
    }
}

/// Where the pointer at `at` leads.
fn pointer(packet: &[u8], at: usize) -> Option<usize> {
    let octets = packet.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*octets) & 0x3fff))
}

/// Cuts the well-formed reply in `message` to at most `limit` octets at a record's border and sets TC if anything had to
/// go. Records go from the end, whatever their section. Returns the new length; what has no room at all keeps its
/// header and question.
pub fn cut_reply(message: &mut [u8], limit: usize) -> usize {
    let Some(view) = ReplyView::parse(message) else { return message.len().min(limit) };
    if view.end <= limit {
        return view.end;
    }
    let (mut counts, mut end) = ([0u16; 3], view.question_end);
    for record in view.records().take_while(|record| record.rdata.end <= limit) {
        counts[record.section as usize] += 1;
        end = record.rdata.end;
    }
    message[2] |= 0x02;
    for (index, count) in counts.iter().enumerate() {
        message[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
    }
    end
}

/// Cuts the well-formed reply in `message` to at most `limit` octets as [`cut_reply`] does, but keeps its OPT: without
/// its options where they and the question alone are too much.
pub fn cut(mut message: Vec<u8>, limit: usize) -> Vec<u8> {
    let Some(view) = ReplyView::parse(&message).filter(|view| view.end > limit) else { return message };
    let room = limit.saturating_sub(view.question_end);
    let opt = view.opt.map(|(start, end)| shortened(&message[start..end], room)).unwrap_or_default();
    message = view.without_opt();
    let len = cut_reply(&mut message, limit - opt.len());
    message.truncate(len);
    message[2] |= 0x02;
    if !opt.is_empty() {
        message.extend(opt);
        count_one_additional(&mut message);
    }
    message
}

/// An OPT record whole, without its options, or not at all: the first that fits in `room` octets.
fn shortened(opt: &[u8], room: usize) -> Vec<u8> {
    match opt.first_chunk::<OPT>() {
        _ if opt.len() <= room => opt.to_vec(),
        Some(fixed) if OPT <= room => [&fixed[..OPT - 2], &[0, 0]].concat(),
        _ => Vec::new(),
    }
}

/// Gives every record of the well-formed reply in `message` this TTL, in seconds.
pub fn set_ttls(message: &mut [u8], ttl: u32) {
    if let Some(layout) = ReplyView::parse(message).map(|view| view.layout()) {
        layout.set_ttls(message, ttl);
    }
}

/// Makes a reply that has no OPT the reply to `query`: its id, its question in its case, its RD and CD, an OPT if it has
/// one (RFC 6891 section 7), cut to `limit` octets. The reply's question must be the query's but for case. `out` holds
/// the reply in its first `len` octets and should have room for an OPT. Returns the length.
#[inline]
pub fn address_reply(query: &Query<'_>, out: &mut [u8], len: usize, limit: usize) -> usize {
    let reserved = if query.edns.is_some() { OPT } else { 0 };
    let limit = limit.min(out.len()).saturating_sub(reserved).max(query.question_end());
    let len = if len > limit { cut_reply(&mut out[..len], limit) } else { len };
    out[..2].copy_from_slice(&query.packet[..2]);
    out[2] = out[2] & !0x01 | query.packet[2] & 0x01;
    out[3] = out[3] & !0x10 | query.packet[3] & 0x10;
    out[HEADER..query.question_end()].copy_from_slice(query.question());
    let Some(edns) = query.edns.filter(|_| len + OPT <= out.len()) else { return len };
    out[len..len + OPT].copy_from_slice(&opt(UDP_PAYLOAD, edns.dnssec_ok));
    count_one_additional(out);
    len + OPT
}

#[inline]
fn count_one_additional(message: &mut [u8]) {
    let additional = u16::from_be_bytes([message[10], message[11]]).saturating_add(1);
    message[10..HEADER].copy_from_slice(&additional.to_be_bytes());
}

/// An OPT record of version 0 without options (RFC 6891 section 6.1.2).
#[inline]
pub fn opt(payload: u16, dnssec_ok: bool) -> [u8; 11] {
    let [size0, size1] = payload.to_be_bytes();
    let [type0, type1] = RecordType::OPT.0.to_be_bytes();
    [0, type0, type1, size0, size1, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]
}

#[cfg(test)]
mod tests;
