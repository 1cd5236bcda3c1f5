//! A message with its addresses in another order.
//!
//! Addresses of one owner are shuffled in place: their TTL and RDATA change places, all of one length and without names,
//! so that no compression pointer is touched. Only what has to move as a whole (MX, a CNAME behind addresses) is
//! taken apart and written anew.

use crate::wire::{Message, Name, Record, RecordType, ReplyView, ResourceRecord, Section, record_count, whole_name};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

/// Shuffles a message that may be `limit` octets long. What cannot be read is left as it is.
pub(super) fn shuffle(packet: &mut Vec<u8>, random: u64, limit: usize) {
    if record_count(packet) < 2 {
        return;
    }
    let Some(view) = ReplyView::parse(packet) else { return };
    let records: Vec<_> = view.records().collect();
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
    for set in address_sets(packet, records) {
        for (last, index) in dice.swaps(set.places.len()) {
            swap(packet, &set.places[last], &set.places[index]);
        }
    }
}

/// Puts one address of each owner in the answer section first, each as likely as its share of the weights.
pub(super) fn put_weighted_first(packet: &mut [u8], random: u64, weight: impl Fn(&Name, IpAddr) -> u8) {
    let mut dice = Dice(random);
    for set in answer_sets(packet) {
        let Some(owner) = Name::from_wire(&set.owner) else { continue };
        let weights: Vec<_> = set
            .places
            .iter()
            .map(|place| address(packet, place).map_or(0, |ip| usize::from(weight(&owner, ip))))
            .collect();
        let mut left = dice.below(weights.iter().sum());
        let picked = weights.iter().position(|weight| {
            let is_here = left < *weight;
            left = left.saturating_sub(*weight);
            is_here
        });
        if let Some(picked) = picked {
            swap(packet, &set.places[0], &set.places[picked]);
        }
    }
}

/// Moves the addresses that `prefers` picks before the others of their owner in the answer section; both keep their
/// order.
pub(super) fn put_first(packet: &mut [u8], prefers: impl Fn(IpAddr) -> bool) {
    for set in answer_sets(packet) {
        let mut records: Vec<_> = set.places.iter().map(|place| packet[place.clone()].to_vec()).collect();
        let is_other = |record: &Vec<u8>| !address(record, &(0..record.len())).is_some_and(&prefers);
        records.sort_by_key(is_other);
        for (place, record) in set.places.iter().zip(records) {
            packet[place.clone()].copy_from_slice(&record);
        }
    }
}

/// The address in a place of an [`AddressSet`].
fn address(packet: &[u8], place: &Range<usize>) -> Option<IpAddr> {
    let rdata = packet.get(place.start + 6..place.end)?;
    <[u8; 4]>::try_from(rdata).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(rdata).map(IpAddr::from)).ok()
}

fn answer_sets(packet: &[u8]) -> Vec<AddressSet> {
    let Some(view) = ReplyView::parse(packet) else { return Vec::new() };
    let records: Vec<_> = view.records().collect();
    if records.iter().any(|record| record.rtype == RecordType::TSIG) {
        return Vec::new();
    }
    let in_answer: Vec<_> = records.into_iter().filter(|record| record.section == Section::Answer).collect();
    address_sets(packet, &in_answer)
}

/// The addresses of one owner, type and section.
struct AddressSet {
    /// In wire form, lower-case.
    owner: Vec<u8>,
    /// TTL, RDLENGTH and RDATA of each record, all of one length, in message order.
    places: Vec<Range<usize>>,
}

fn address_sets(packet: &[u8], records: &[Record]) -> Vec<AddressSet> {
    // The sets are numbered in message order: the same seed gives the same order.
    let mut numbers = HashMap::new();
    let mut sets: Vec<AddressSet> = Vec::new();
    for record in records.iter().filter(|record| is_address(record)) {
        if let Some(mut owner) = whole_name(packet, &mut { record.start }) {
            owner.make_ascii_lowercase();
            let number = *numbers.entry((record.section as usize, record.rtype, owner.clone())).or_insert(sets.len());
            if number == sets.len() {
                sets.push(AddressSet { owner, places: Vec::new() });
            }
            sets[number].places.push(record.ttl_at..record.rdata.end);
        }
    }
    sets
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
    [Section::Answer, Section::Authority, Section::Additional].into_iter().any(|section| {
        let here = || records.iter().filter(move |record| record.section == section);
        let first_address = here().position(is_address);
        let last_cname = here().enumerate().filter(|(_, record)| record.rtype == RecordType::CNAME).last();
        here().filter(|record| record.rtype == RecordType::MX).count() > 1
            || first_address.zip(last_cname).is_some_and(|(address, (cname, _))| address < cname)
    })
}

/// The message taken apart, in order, and written again: CNAMEs, others, addresses, MX. Records change places with
/// those of their own owner and type only: whoever looks for the addresses of one name finds them together, as they
/// were.
fn moved(packet: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut message = Message::parse(packet)?;
    for section in message.sections_mut() {
        // What is not random keeps the order it had.
        let (mut random, fixed): (Vec<_>, Vec<_>) = section.drain(..).partition(|record| place(record) >= FIRST_RANDOM);
        let mut numbers = HashMap::new();
        for record in &random {
            let next = numbers.len();
            numbers.entry(set_of(record)).or_insert(next);
        }
        for (last, index) in dice.swaps(random.len()) {
            random.swap(last, index);
        }
        random.sort_by_key(|record| numbers.get(&set_of(record)).copied());
        section.extend(fixed.into_iter().chain(random));
        section.sort_by_key(place);
    }
    Some(message.to_octets(usize::from(u16::MAX)))
}

/// The RRset that a record belongs to.
fn set_of(record: &ResourceRecord) -> (RecordType, Vec<u8>) {
    (record.rtype, record.owner.to_ascii_lowercase())
}

/// The first place in which the order is random.
const FIRST_RANDOM: u8 = 2;

fn place(record: &ResourceRecord) -> u8 {
    match record.rtype {
        RecordType::CNAME => 0,
        RecordType::A | RecordType::AAAA => FIRST_RANDOM,
        RecordType::MX => FIRST_RANDOM + 1,
        _ => 1,
    }
}

fn is_address(record: &Record) -> bool {
    matches!((record.rtype, record.rdata.len()), (RecordType::A, 4) | (RecordType::AAAA, 16))
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
    use hickory_proto::op::{Message, Query};
    use hickory_proto::rr::{Name as WholeName, RData, Record as WholeRecord, RecordType as WholeType, rdata};
    use std::collections::HashSet;

    fn record(owner: &str, data: RData) -> WholeRecord {
        WholeRecord::from_rdata(WholeName::from_ascii(owner).unwrap(), 30, data)
    }

    fn a(owner: &str, last: u8) -> WholeRecord {
        record(owner, RData::A(rdata::A::new(10, 0, 0, last)))
    }

    fn cname(owner: &str, target: &str) -> WholeRecord {
        record(owner, RData::CNAME(rdata::CNAME(WholeName::from_ascii(target).unwrap())))
    }

    fn mx(owner: &str, host: &str) -> WholeRecord {
        record(owner, RData::MX(rdata::MX::new(10, WholeName::from_ascii(host).unwrap())))
    }

    fn message(answers: Vec<WholeRecord>) -> Vec<u8> {
        let mut message = Message::response(7, hickory_proto::op::OpCode::Query);
        message.queries.push(Query::query(WholeName::from_ascii("w.test.").unwrap(), WholeType::A));
        message.answers = answers;
        message.to_vec().unwrap()
    }

    fn answers(packet: &[u8]) -> Vec<String> {
        let shown =
            |record: &WholeRecord| format!("{} {} {}", record.name.to_lowercase(), record.record_type(), record.data);
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
    fn weights_are_the_odds_of_the_first_place() {
        let before = message((1..=3).map(|last| a("w.test.", last)).collect());
        let weigh = |owner: &Name, ip: IpAddr| {
            assert_eq!(owner, &Name::from_text("w.test").unwrap());
            if ip == IpAddr::from([10, 0, 0, 2]) { 8 } else { 1 }
        };
        let mut first = HashMap::new();
        for random in 0..4000 {
            let mut packet = before.clone();
            put_weighted_first(&mut packet, random, weigh);
            *first.entry(answers(&packet)[0].clone()).or_insert(0) += 1;
        }
        assert!((3050..3350).contains(&first["w.test. A 10.0.0.2"]), "{first:?}");
        assert!((330..470).contains(&first["w.test. A 10.0.0.1"]), "{first:?}");
    }

    #[test]
    fn preferred_addresses_come_first_and_keep_their_order() {
        let mut packet = message(vec![cname("w.test.", "x.test."), a("x.test.", 1), a("x.test.", 9), a("x.test.", 8)]);
        put_first(&mut packet, |ip| ip == IpAddr::from([10, 0, 0, 9]) || ip == IpAddr::from([10, 0, 0, 8]));
        let order = ["w.test. CNAME x.test.", "x.test. A 10.0.0.9", "x.test. A 10.0.0.8", "x.test. A 10.0.0.1"];
        assert_eq!(answers(&packet), order);
    }

    #[test]
    fn owners_are_not_mixed_however_they_are_spelt() {
        for order in orders(vec![cname("w.test.", "x.test."), a("x.test.", 1), a("X.test.", 2), a("y.test.", 3)]) {
            assert_eq!((order[0].as_str(), order[3].as_str()), ("w.test. CNAME x.test.", "y.test. A 10.0.0.3"));
            assert!(order[1].starts_with("x.test.") && order[2].starts_with("x.test."), "{order:?}");
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

    /// Additional addresses of the exchangers, which the MX records make a whole message of.
    #[test]
    fn the_addresses_of_one_exchanger_stay_together() {
        let answer = vec![mx("m.test.", "a.test."), mx("m.test.", "b.test.")];
        let mut whole = Message::from_vec(&message(answer)).unwrap();
        whole.additionals =
            vec![a("a.test.", 1), a("a.test.", 2), a("b.test.", 3), a("b.test.", 4), a("A.test.", 5), a("c.test.", 6)];
        let before = whole.to_vec().unwrap();
        let mut orders = HashSet::new();
        for random in 0..400 {
            let mut packet = before.clone();
            shuffle(&mut packet, random, 4096);
            let after = Message::from_vec(&packet).unwrap();
            let lasts: Vec<u8> = after
                .additionals
                .iter()
                .map(|record| match &record.data {
                    RData::A(address) => address.0.octets()[3],
                    other => panic!("{other}"),
                })
                .collect();
            let mut sorted = lasts.clone();
            sorted[..3].sort_unstable();
            sorted[3..5].sort_unstable();
            assert_eq!(sorted, [1, 2, 5, 3, 4, 6], "{lasts:?}");
            orders.insert((answers(&packet), lasts));
        }
        assert_eq!(orders.len(), 2 * 6 * 2);
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
            put_weighted_first(&mut packet, 1, |_, _| 1);
            put_first(&mut packet, |ip| ip.is_loopback());
            assert!(packet.len() <= 4096 && len > 0);
        }
    }
}
