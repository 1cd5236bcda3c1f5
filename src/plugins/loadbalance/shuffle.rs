//! A message with its addresses in another order.
//!
//! Addresses of one owner are shuffled in place: their TTL and RDATA change places, all of one length and without names,
//! so that no compression pointer is touched. Only what has to move as a whole (MX, a CNAME behind addresses) is
//! decoded and written anew.

use crate::wire::{HEADER, MAX_NAME, RecordType};
use hickory_proto::op::Message;
use hickory_proto::rr::{Record as WholeRecord, RecordType as WholeType};
use std::collections::HashMap;
use std::ops::Range;

/// Shuffles a message that may be `limit` octets long. What cannot be read is left as it is.
pub(super) fn shuffle(packet: &mut Vec<u8>, random: u64, limit: usize) {
    let Some(records) = records(packet) else { return };
    if records.iter().any(|record| record.rtype == RecordType::TSIG) {
        return;
    }
    let mut dice = Dice(random);
    let moved = if needs_moving(&records) { moved(packet, &mut dice) } else { None };
    match moved.filter(|moved| moved.len() <= limit) {
        Some(moved) => *packet = moved,
        None => shuffle_in_place(packet, &records, &mut dice),
    }
}

fn shuffle_in_place(packet: &mut [u8], records: &[Record], dice: &mut Dice) {
    let mut sets: HashMap<(usize, RecordType, Vec<u8>), Vec<Range<usize>>> = HashMap::new();
    for record in records.iter().filter(|record| is_address(record)) {
        if let Some(owner) = name_at(packet, record.start) {
            sets.entry((record.section, record.rtype, owner)).or_default().push(record.payload.clone());
        }
    }
    for set in sets.values() {
        for (last, index) in dice.swaps(set.len()) {
            swap(packet, &set[last], &set[index]);
        }
    }
}

/// Exchanges two ranges of one length; the same range twice is left.
fn swap(packet: &mut [u8], one: &Range<usize>, other: &Range<usize>) {
    let (low, high) = if one.start <= other.start { (one, other) } else { (other, one) };
    if low.end <= high.start {
        let (front, back) = packet.split_at_mut(high.start);
        front[low.clone()].swap_with_slice(&mut back[..high.len()]);
    }
}

/// Whether shuffling in place would not do: more than one MX, or a CNAME behind an address.
fn needs_moving(records: &[Record]) -> bool {
    (0..3).any(|section| {
        let here = || records.iter().filter(move |record| record.section == section);
        let first_address = here().position(is_address);
        let last_cname = here().enumerate().filter(|(_, record)| record.rtype == RecordType::CNAME).last();
        here().filter(|record| record.rtype == RecordType::MX).count() > 1
            || first_address.zip(last_cname).is_some_and(|(address, (cname, _))| address < cname)
    })
}

/// The message decoded, in order, and written again: CNAMEs, others, addresses, MX.
fn moved(packet: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(packet).ok()?;
    for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        for (last, index) in dice.swaps(section.len()) {
            if place(&section[last]) >= FIRST_SHUFFLED && place(&section[index]) >= FIRST_SHUFFLED {
                section.swap(last, index);
            }
        }
        section.sort_by_key(place);
    }
    message.to_vec().ok()
}

/// The first place in which the order is random.
const FIRST_SHUFFLED: u8 = 2;

fn place(record: &WholeRecord) -> u8 {
    match record.record_type() {
        WholeType::CNAME => 0,
        WholeType::A | WholeType::AAAA => FIRST_SHUFFLED,
        WholeType::MX => FIRST_SHUFFLED + 1,
        _ => 1,
    }
}

/// Where a record stands.
struct Record {
    /// 0 answer, 1 authority, 2 additional.
    section: usize,
    start: usize,
    rtype: RecordType,
    /// TTL, RDLENGTH and RDATA.
    payload: Range<usize>,
}

fn is_address(record: &Record) -> bool {
    // TTL and RDLENGTH have 6 octets.
    matches!((record.rtype, record.payload.len()), (RecordType::A, 10) | (RecordType::AAAA, 22))
}

fn records(packet: &[u8]) -> Option<Vec<Record>> {
    let number = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let mut at = HEADER;
    for _ in 0..number(4)? {
        at = behind_name(packet, at)? + 4;
    }
    let mut records = Vec::new();
    for section in 0..3 {
        for _ in 0..number(6 + 2 * section)? {
            let start = at;
            let fixed = behind_name(packet, at)?;
            at = fixed + 10 + usize::from(number(fixed + 8)?);
            if at > packet.len() {
                return None;
            }
            records.push(Record { section, start, rtype: RecordType(number(fixed)?), payload: fixed + 4..at });
        }
    }
    Some(records)
}

/// The offset behind the possibly compressed name at `at`.
fn behind_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            len @ 1..=63 => at += 1 + usize::from(len),
            _ => return None,
        }
    }
}

/// The name at `at` in lower case, pointers followed. `None` if it is none, or its pointers do not lead backwards.
fn name_at(packet: &[u8], mut at: usize) -> Option<Vec<u8>> {
    let (mut name, mut before) = (Vec::new(), at + 1);
    loop {
        match *packet.get(at)? {
            0 => return Some(name),
            high @ 0xc0.. => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, *packet.get(at + 1)?]));
                if target >= before {
                    return None;
                }
                (at, before) = (target, target);
            }
            len @ 1..=63 => {
                let end = at + 1 + usize::from(len);
                name.extend(packet.get(at..end)?.iter().map(u8::to_ascii_lowercase));
                if name.len() > MAX_NAME {
                    return None;
                }
                at = end;
            }
            _ => return None,
        }
    }
}

/// Random numbers from one seed (splitmix64); not for secrets.
struct Dice(u64);

impl Dice {
    /// The swaps that shuffle `len` things (Fisher and Yates): each index from the last, with one not behind it.
    fn swaps(&mut self, len: usize) -> impl Iterator<Item = (usize, usize)> {
        (1..len).rev().map(|last| (last, self.below(last + 1)))
    }

    fn below(&mut self, bound: usize) -> usize {
        // The odd constant (2^64 divided by the golden ratio) is the step of splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::{Name, RData, rdata};
    use std::collections::HashSet;

    fn record(owner: &str, data: RData) -> WholeRecord {
        WholeRecord::from_rdata(Name::from_ascii(owner).unwrap(), 30, data)
    }

    fn a(owner: &str, last: u8) -> WholeRecord {
        record(owner, RData::A(rdata::A::new(10, 0, 0, last)))
    }

    fn cname(owner: &str, target: &str) -> WholeRecord {
        record(owner, RData::CNAME(rdata::CNAME(Name::from_ascii(target).unwrap())))
    }

    fn mx(owner: &str, host: &str) -> WholeRecord {
        record(owner, RData::MX(rdata::MX::new(10, Name::from_ascii(host).unwrap())))
    }

    fn message(answers: Vec<WholeRecord>) -> Vec<u8> {
        let mut message = Message::response(7, hickory_proto::op::OpCode::Query);
        message.answers = answers;
        message.to_vec().unwrap()
    }

    fn answers(packet: &[u8]) -> Vec<String> {
        let shown = |record: &WholeRecord| format!("{} {} {}", record.name, record.record_type(), record.data);
        Message::from_vec(packet).unwrap().answers.iter().map(shown).collect()
    }

    /// The orders that many shuffles of one message give.
    fn orders(answers_before: Vec<WholeRecord>) -> HashSet<Vec<String>> {
        let before = message(answers_before);
        let mut sorted = answers(&before);
        sorted.sort();
        let shuffled = (0..400).map(|random| {
            let mut packet = before.clone();
            shuffle(&mut packet, random, 4096);
            let after = answers(&packet);
            let mut sorted_after = after.clone();
            sorted_after.sort();
            assert_eq!(sorted_after, sorted, "nothing is lost or changed");
            after
        });
        shuffled.collect()
    }

    #[test]
    fn every_order_of_addresses_comes_up() {
        assert_eq!(orders(vec![a("w.test.", 1), a("w.test.", 2), a("w.test.", 3)]).len(), 6);
    }

    #[test]
    fn orders_are_about_equally_likely() {
        let before = message((1..=4).map(|last| a("w.test.", last)).collect());
        let mut first = HashMap::new();
        for random in 0..4000 {
            let mut packet = before.clone();
            shuffle(&mut packet, random, 4096);
            *first.entry(answers(&packet)[0].clone()).or_insert(0) += 1;
        }
        assert!(first.len() == 4 && first.values().all(|count| (850..1150).contains(count)), "{first:?}");
    }

    #[test]
    fn owners_are_not_mixed_however_they_are_spelt() {
        for order in orders(vec![cname("w.test.", "x.test."), a("x.test.", 1), a("X.test.", 2), a("y.test.", 3)]) {
            assert_eq!((order[0].as_str(), order[3].as_str()), ("w.test. CNAME x.test.", "y.test. A 10.0.0.3"));
            assert!(order[1].starts_with("x.test.") && order[2].to_lowercase().starts_with("x.test."), "{order:?}");
        }
    }

    #[test]
    fn cnames_come_to_the_front_and_mx_are_shuffled() {
        let orders = orders(vec![
            a("x.test.", 1),
            mx("m.test.", "a.test."),
            cname("w.test.", "x.test."),
            mx("m.test.", "b.test."),
        ]);
        assert_eq!(orders.len(), 2);
        assert!(orders.iter().all(|order| order[0].contains("CNAME") && order[1].contains(" A ")), "{orders:?}");
    }

    #[test]
    fn what_would_become_too_long_is_only_shuffled_in_place() {
        let before = message(vec![mx("m.test.", "a.test."), mx("m.test.", "b.test.")]);
        let mut packet = before.clone();
        shuffle(&mut packet, 3, before.len() - 1);
        assert_eq!(packet, before);
    }

    #[test]
    fn any_bytes_are_survived() {
        let whole = message(vec![a("w.test.", 1), a("w.test.", 2), mx("w.test.", "m.test."), mx("w.test.", "n.test.")]);
        let mut dice = Dice(1);
        for len in 0..whole.len() {
            shuffle(&mut whole[..len].to_vec(), 1, 4096);
        }
        for _ in 0..20_000 {
            let mut packet = whole.clone();
            for _ in 0..3 {
                let at = dice.below(packet.len());
                packet[at] = dice.below(256) as u8;
            }
            let len = packet.len();
            shuffle(&mut packet, 1, 4096);
            assert!(packet.len() <= 4096 && len > 0);
        }
    }

    #[test]
    fn a_pointer_loop_is_no_name() {
        assert_eq!(name_at(&[0xc0, 0], 0), None);
        assert_eq!(name_at(&[1, b'a', 0xc0, 0], 0), None);
    }
}
