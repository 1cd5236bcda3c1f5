//! An alias and what is at its target, as one answer.

use super::reply::{ReplyView, opt};
use super::{HEADER, Query, Rcode, RecordType, Section, UDP_PAYLOAD};

/// The mark of a compression pointer, and the offsets that fit one.
const POINTER: u16 = 0xc000;

/// Puts the answer section of `inner` behind the records of an answer that is nothing but aliases.
///
/// `out` holds in its first `len` octets the answer to `query`, CNAME records alone, an OPT behind them if the query has
/// one. The last one's target stands whole at the offset `target`, and `inner` is the reply to the same question for that
/// name. Returns the length of both as one answer of at most `limit` octets. `None` where it takes more than moving
/// records: an inner reply that is cut, empty or an error, one with types other than A, AAAA and CNAME, or no room.
pub fn join_alias(
    query: &Query<'_>,
    out: &mut [u8],
    (len, target): (usize, usize),
    inner: &[u8],
    limit: usize,
) -> Option<usize> {
    let view = ReplyView::parse(inner)?;
    if view.rcode() != Rcode::NOERROR || view.is_truncated() || view.count(Section::Answer) == 0 {
        return None;
    }
    let opt = query.edns.map(|edns| opt(UDP_PAYLOAD, edns.dnssec_ok));
    let opt = opt.as_ref().map_or(&[][..], |opt| opt);
    let first = len.checked_sub(opt.len())?;
    let moved = Moved { question_end: HEADER + view.question().len(), target, first };
    let mut at = first;
    for record in view.records().take_while(|record| record.section == Section::Answer) {
        let octets = &inner[record.start..record.rdata.end];
        if at + octets.len() + opt.len() > limit.min(out.len()) {
            return None;
        }
        out[at..at + octets.len()].copy_from_slice(octets);
        moved.mend(out, at)?;
        match record.rtype {
            RecordType::A | RecordType::AAAA => {}
            RecordType::CNAME => moved.mend(out, at + record.rdata.start - record.start)?,
            _ => return None,
        }
        at += octets.len();
    }
    let answers = u16::from_be_bytes([out[6], out[7]]) + view.count(Section::Answer);
    out[6..8].copy_from_slice(&answers.to_be_bytes());
    out[at..at + opt.len()].copy_from_slice(opt);
    Some(at + opt.len())
}

/// Where the parts of the inner reply have come to stand.
struct Moved {
    /// Its name is now at `target`.
    question_end: usize,
    target: usize,
    /// Its records, which began behind its question, now begin here.
    first: usize,
}

impl Moved {
    /// Turns the pointer that ends the name at `at`, if one does. `None` if it leads to what has not been moved.
    fn mend(&self, out: &mut [u8], mut at: usize) -> Option<()> {
        loop {
            match *out.get(at)? {
                0 => return Some(()),
                length @ 1..=63 => at += 1 + usize::from(length),
                _ => break,
            }
        }
        let pointer = out.get_mut(at..)?.first_chunk_mut()?;
        let old = usize::from(u16::from_be_bytes(*pointer) & !POINTER);
        let new = match old.checked_sub(self.question_end) {
            Some(into_records) => self.first + into_records,
            None => self.target + old.checked_sub(HEADER)?,
        };
        let new = u16::try_from(new).ok().filter(|new| new & POINTER == 0)?;
        *pointer = (POINTER | new).to_be_bytes();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, NameBuffer, Owner};
    use hickory_proto::op::Message;

    /// A query for `web.test`, type A.
    fn query(edns: bool) -> Vec<u8> {
        let mut packet = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03WeB\x04test\0\0\x01\0\x01".to_vec();
        if edns {
            packet[11] = 1;
            packet.extend(b"\0\0\x29\x04\xd0\0\0\x80\0\0\0");
        }
        packet
    }

    /// The reply to `a.example` with these records and counts.
    fn inner(answers: u8, records: &[u8]) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0];
        packet.extend(b"\x01a\x07example\0\0\x01\0\x01");
        packet.extend(records);
        packet
    }

    /// An alias of `a.example`, joined with that reply.
    fn joined(edns: bool, limit: usize, inner: &[u8]) -> Option<Message> {
        let packet = query(edns);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let mut out = [0; 4096];
        let mut answer = Answer::begin(&query, &mut out, limit);
        let target = answer.position() + 12;
        answer.record(Section::Answer, Owner::Question, RecordType::CNAME, 30, &[b"\x01a\x07example\0"]);
        let len = answer.finish(Rcode::NOERROR, true);
        let len = join_alias(&query, &mut out, (len, target), inner, limit)?;
        assert!(len <= limit);
        Some(Message::from_vec(&out[..len]).unwrap())
    }

    /// `a.example CNAME b.example`, then `b.example A 192.0.2.1`, with pointers to the question and to a record.
    const CHAIN: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01b\xc0\x0e\
        \xc0\x27\0\x01\0\x01\0\0\0\x07\0\x04\xc0\0\x02\x01";

    #[test]
    fn an_independent_decoder_reads_aliases_and_addresses() {
        for edns in [false, true] {
            let message = joined(edns, 512, &inner(2, CHAIN)).unwrap();
            let text: Vec<_> = message.answers.iter().map(ToString::to_string).collect();
            assert_eq!(
                text,
                ["WeB.test. 30 IN CNAME a.example.", "a.example. 9 IN CNAME b.example.", "b.example. 7 IN A 192.0.2.1"]
            );
            assert_eq!(message.edns.is_some(), edns);
            assert!(message.metadata.authoritative && !message.metadata.truncation);
        }
    }

    #[test]
    fn every_record_but_opt_gets_one_ttl() {
        let mut packet = inner(2, CHAIN);
        packet[11] = 1;
        packet.extend(opt(UDP_PAYLOAD, true));
        crate::wire::set_ttls(&mut packet, 4);
        let message = Message::from_vec(&packet).unwrap();
        assert_eq!(message.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [4, 4]);
        assert!(message.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    }

    #[test]
    fn what_is_more_than_moving_records_is_left_alone() {
        let with = |at: usize, octet: u8| {
            let mut packet = inner(2, CHAIN);
            packet[at] = octet;
            packet
        };
        assert!(joined(true, 100, &inner(2, CHAIN)).is_some());
        assert!(joined(true, 80, &inner(2, CHAIN)).is_none(), "no room");
        assert!(joined(true, 512, &inner(0, b"")).is_none(), "no answers");
        assert!(joined(true, 512, &with(3, 0x83)).is_none(), "NXDOMAIN");
        assert!(joined(true, 512, &with(2, 0x83)).is_none(), "cut");
        assert!(joined(true, 512, &with(12 + 15 + 3, 2)).is_none(), "another type");
        assert!(joined(true, 512, &inner(2, CHAIN)[..40]).is_none(), "not whole");
    }
}
