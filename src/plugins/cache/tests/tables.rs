//! The table: bounded, and never another name's answer.

use super::super::entry::{Entry, Key, Span};
use super::super::table::Table;
use super::*;
use crate::plugin::Source;
use crate::wire::ReplyView;
use foldhash::quality::RandomState;
use proptest::prelude::*;
use std::collections::HashMap;

/// Puts the answer `address` for host number `host` in.
fn put(table: &Table, seed: &RandomState, host: u16, address: u8, now: u64) {
    let packet = query(&format!("h{host}.example.org"), RecordType::A);
    let bytes = reply(&packet, NOERROR, [&[("", RecordType::A, 60, &[10, 0, 0, address])], &[], &[]]);
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).unwrap();
    let view = ReplyView::parse(&bytes).unwrap();
    let entry = Entry::new(&query, &view, 60, now).unwrap();
    table.insert(&Key::of(&query, seed), entry, now);
}

fn get(table: &Table, seed: &RandomState, host: u16) -> Option<u8> {
    let packet = query(&format!("H{host}.example.org"), RecordType::A);
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).unwrap();
    let found = table.find(&Key::of(&query, seed))?;
    let mut out = [0; 512];
    let request = request(packet.clone());
    let len = found.write(&query, &request.context(), 60, &mut out)?;
    Some(out[len - 1])
}

#[test]
fn it_is_bounded_by_count() {
    let (table, seed) = (Table::new(64, 0), RandomState::default());
    for host in 0..1000 {
        put(&table, &seed, host, 1, 0);
        assert!(table.entries() <= 64);
        assert_eq!(get(&table, &seed, host), Some(1), "the newest is there");
    }
    assert!(table.entries() > 56 && table.evictions() >= 900, "{} {}", table.entries(), table.evictions());
}

#[test]
fn expired_entries_go_first_and_are_no_evictions() {
    let (table, seed) = (Table::new(64, 0), RandomState::default());
    for host in 0..1000 {
        put(&table, &seed, host, 1, u64::from(host) * 100);
    }
    assert_eq!(table.evictions(), 0);
}

#[test]
fn it_is_bounded_by_memory() {
    let cache = inside("cache {\nsuccess 1024\n}");
    let octets: &'static [u8] = vec![0u8; 200].leak();
    for host in 0..600 {
        let packet = query(&format!("h{host}.example.org"), RecordType::TXT);
        let lines: Vec<Line<'_>> = (0..60).map(|_| ("", RecordType::TXT, 60, octets)).collect();
        let mut bytes = reply(&packet, NOERROR, [&lines, &[], &[]]);
        let mut buffer = NameBuffer::default();
        cache.digest(&Query::parse(&packet, &mut buffer).unwrap(), &mut bytes, 0);
    }
    let entries = cache.tables.success.entries();
    assert!((50..=170).contains(&entries), "at most 2 MiB of 13 KB each: {entries}");
}

#[test]
fn a_giant_is_not_stored() {
    let cache = inside("cache");
    let octets: &'static [u8] = vec![0u8; 250].leak();
    let packet = query("giant.example.org", RecordType::TXT);
    let lines: Vec<Line<'_>> = (0..80).map(|_| ("", RecordType::TXT, 60, octets)).collect();
    let mut bytes = reply(&packet, NOERROR, [&lines, &[], &[]]);
    let mut buffer = NameBuffer::default();
    cache.digest(&Query::parse(&packet, &mut buffer).unwrap(), &mut bytes, 0);
    assert_eq!(cache.tables.success.entries(), 0);
}

#[test]
fn readers_and_writers_at_once_see_whole_answers() {
    let (table, seed) = (Table::new(16, 0), RandomState::default());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    for host in 0..40 {
                        if let Some(address) = get(&table, &seed, host) {
                            assert_eq!(u16::from(address), host, "another name's answer");
                        }
                    }
                }
            });
        }
        for round in 0..100 {
            (0..40).for_each(|host| put(&table, &seed, host, host as u8, round));
        }
        done.store(true, Relaxed);
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u16, u8),
    Remove(u16),
    Get(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u16..300, any::<u8>()).prop_map(|(host, address)| Step::Put(host, address)),
        (0u16..300).prop_map(Step::Remove),
        (0u16..300).prop_map(Step::Get),
    ]
}

proptest! {
    /// What the table knows of an entry is what the entry says.
    #[test]
    fn a_span_is_over_when_the_entry_is_worth_nothing(
        stored in 0u64..10_000, ttl in 1u32..5_000, window in 0u64..5_000, now in 0u64..20_000, rcode in 0u16..4,
    ) {
        let packet = query("h.example.org", RecordType::A);
        let bytes = reply(&packet, NOERROR | rcode, [&[("", RecordType::A, 60, &[10, 0, 0, 1])], &[], &[]]);
        let mut buffer = NameBuffer::default();
        let entry =
            Entry::new(&Query::parse(&packet, &mut buffer).unwrap(), &ReplyView::parse(&bytes).unwrap(), ttl, stored).unwrap();
        let span = Span::unpacked(entry.span(window).packed());
        prop_assert_eq!(span.is_over(now), entry.remaining(now).is_none() && !entry.is_stale(now, window));
    }

    /// What the table gives is what was put in last, or nothing.
    #[test]
    fn it_forgets_but_never_lies(steps in proptest::collection::vec(step(), 1..400)) {
        let (table, seed) = (Table::new(128, 0), RandomState::default());
        let mut model = HashMap::new();
        for step in steps {
            match step {
                Step::Put(host, address) => {
                    put(&table, &seed, host, address, 0);
                    model.insert(host, address);
                    prop_assert_eq!(get(&table, &seed, host), Some(address));
                }
                Step::Remove(host) => {
                    let packet = query(&format!("h{host}.example.org"), RecordType::A);
                    let mut buffer = NameBuffer::default();
                    table.remove(&Key::of(&Query::parse(&packet, &mut buffer).unwrap(), &seed));
                    model.remove(&host);
                    prop_assert_eq!(get(&table, &seed, host), None);
                }
                Step::Get(host) => {
                    let found = get(&table, &seed, host);
                    prop_assert!(found.is_none() || found == model.get(&host).copied());
                }
            }
            prop_assert!(table.entries() <= 128);
        }
    }

    /// Whatever octets come from behind, nothing panics, and a hit is a well-formed message.
    #[test]
    fn any_reply_is_survived(at in 0usize..120, octet: u8, flags in 0u16..0x0400) {
        let cache = inside("cache {\nsuccess 1024\ndenial 1024\n}");
        let packet = query("www.example.org", RecordType::A);
        let mut bytes = reply(&packet, flags, [&[("", RecordType::A, 60, A), ("", RecordType::A, 60, A)], &[soa(5)], &[]]);
        let at = at % bytes.len();
        bytes[at] = octet;
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        cache.digest(&query, &mut bytes, 0);
        let mut out = [0; 1232];
        let mut context = request(packet.clone()).context();
        (context.moment.seconds, context.shape.shuffle) = (0, true);
        if let Verdict::Answered(len) = cache.answer(&query, &context, &mut out) {
            prop_assert!(ReplyView::parse(&out[..len]).is_some());
        }
    }
}
