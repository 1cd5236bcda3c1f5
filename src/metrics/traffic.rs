//! The counters that every packet touches.

use super::labels::{RCODE_COUNT, TYPE_COUNT, rcode_index, type_index};
use crate::wire::{Rcode, RecordType, Transport};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The family label: 1 for IPv4, 2 for IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

/// What is counted of one answered query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The label `proto`; DoT and DoH count as TCP.
    pub transport: Transport,
    /// The client's family.
    pub family: Family,
    /// QTYPE.
    pub qtype: RecordType,
    /// Whether the client set DO.
    pub dnssec_ok: bool,
    /// Octets of the query.
    pub request: usize,
    /// Octets of the answer.
    pub response: usize,
    /// The answer's code.
    pub rcode: Rcode,
}

/// The counters of one server block on one listener, summed over its shards when scraped.
#[derive(Default)]
pub struct Traffic {
    /// What any thread counts, and what ended shards had.
    shared: Cells,
    shards: Mutex<Vec<Arc<Cells>>>,
}

impl Traffic {
    /// A shard for one writer (a worker thread). Shards of ended writers keep their counts.
    pub fn shard(self: &Arc<Self>) -> TrafficShard {
        let cells = Arc::<Cells>::default();
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(cells.clone());
        TrafficShard { cells, traffic: self.clone() }
    }

    /// Counts one answered query of the slow lane, from any thread.
    pub fn record_slow(&self, query: Counted, took: Duration) {
        self.record_shared(query, took);
        self.shared.add(SLOW, 1);
    }

    /// Counts one answered query of the fast lane, from any thread (TCP).
    pub fn record_shared(&self, query: Counted, took: Duration) {
        let add = |cell: usize, count: u64| self.shared.add(cell, count);
        count_query(add, query);
        count_durations(add, 1, took);
    }

    /// Every cell, summed over the writers.
    pub(super) fn sum(&self) -> [u64; CELLS] {
        // The lock keeps a shard from moving into `shared` between the two.
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        std::array::from_fn(|cell| self.shared.get(cell) + shards.iter().map(|shard| shard.get(cell)).sum::<u64>())
    }
}

/// One writer's counters. Recording is a few plain stores: no atomic read-modify-write, no clock, no allocation.
pub struct TrafficShard {
    /// Written by this shard alone, so that adding is a load and a store.
    cells: Arc<Cells>,
    traffic: Arc<Traffic>,
}

impl TrafficShard {
    /// Counts one answered query but for its duration.
    #[inline]
    pub fn record(&mut self, query: Counted) {
        let cells = &*self.cells;
        count_query(|cell, count| cells.add_alone(cell, count), query);
    }

    /// Counts the duration of the `queries` recorded since the last call: one clock read a batch.
    pub fn record_durations(&mut self, queries: u64, each: Duration) {
        count_durations(|cell, count| self.cells.add_alone(cell, count), queries, each);
    }
}

impl Drop for TrafficShard {
    fn drop(&mut self) {
        let mut shards = self.traffic.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|shard| !Arc::ptr_eq(shard, &self.cells));
        (0..CELLS).for_each(|cell| self.traffic.shared.add(cell, self.cells.get(cell)));
    }
}

/// The upper bounds of the size buckets in octets; those above the last are counted behind it.
pub(super) const SIZE_BOUNDS: [u64; 14] =
    [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];
/// The upper bound of the first duration bucket; each further bound is twice the one before.
pub(super) const FIRST_DURATION: Duration = Duration::from_micros(250);
/// How many duration buckets have a bound.
pub(super) const DURATION_BOUNDS: usize = 16;

/// Cells of a size histogram: buckets (not cumulative), one above all bounds, the sum.
pub(super) const SIZE_CELLS: usize = SIZE_BOUNDS.len() + 2;
/// Cells of the duration histogram: the same, the sum in nanoseconds.
pub(super) const DURATION_CELLS: usize = DURATION_BOUNDS + 2;

/// Where the counters stand: requests by transport, family and type, …
pub(super) const REQUESTS: usize = 0;
/// … request and response sizes by transport, …
pub(super) const REQUEST_SIZE: usize = REQUESTS + 4 * TYPE_COUNT;
pub(super) const RESPONSE_SIZE: usize = REQUEST_SIZE + 2 * SIZE_CELLS;
/// … responses by code, …
pub(super) const RESPONSES: usize = RESPONSE_SIZE + 2 * SIZE_CELLS;
/// … durations, …
pub(super) const DURATIONS: usize = RESPONSES + RCODE_COUNT;
/// … requests with DO, …
pub(super) const DNSSEC_OK: usize = DURATIONS + DURATION_CELLS;
/// … requests that the slow lane has answered: the others are the fast lane's, which thus counts nothing for it.
pub(super) const SLOW: usize = DNSSEC_OK + 1;
/// How many there are: 1.4 KiB.
pub(super) const CELLS: usize = SLOW + 1;

/// One set of counters, on cache lines of its own (two at a time are fetched by some processors).
#[repr(align(128))]
struct Cells([AtomicU64; CELLS]);

impl Default for Cells {
    fn default() -> Self {
        Cells([const { AtomicU64::new(0) }; CELLS])
    }
}

impl Cells {
    fn get(&self, cell: usize) -> u64 {
        self.0[cell].load(Ordering::Relaxed)
    }

    /// For any writer.
    fn add(&self, cell: usize, count: u64) {
        self.0[cell].fetch_add(count, Ordering::Relaxed);
    }

    /// For the only writer.
    #[inline(always)]
    fn add_alone(&self, cell: usize, count: u64) {
        self.0[cell].store(self.0[cell].load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }
}

#[inline(always)]
fn count_query(add: impl Fn(usize, u64), query: Counted) {
    let (transport, family) = (query.transport as usize, query.family as usize);
    add(REQUESTS + (transport * 2 + family) * TYPE_COUNT + type_index(query.qtype), 1);
    for (base, octets) in [(REQUEST_SIZE, query.request as u64), (RESPONSE_SIZE, query.response as u64)] {
        let histogram = base + transport * SIZE_CELLS;
        add(histogram + size_bucket(octets), 1);
        add(histogram + SIZE_CELLS - 1, octets);
    }
    add(RESPONSES + rcode_index(query.rcode), 1);
    if query.dnssec_ok {
        add(DNSSEC_OK, 1);
    }
}

fn count_durations(add: impl Fn(usize, u64), queries: u64, each: Duration) {
    let nanos = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
    add(DURATIONS + duration_bucket(nanos), queries);
    add(DURATIONS + DURATION_CELLS - 1, queries.saturating_mul(nanos));
}

/// The first bound that is not below. Most messages are small, and the bounds of those a hundred octets apart.
#[inline(always)]
fn size_bucket(octets: u64) -> usize {
    match octets {
        0..=400 => octets.div_ceil(100) as usize,
        _ => SIZE_BOUNDS.iter().position(|bound| octets <= *bound).unwrap_or(SIZE_BOUNDS.len()),
    }
}

/// The same for durations, whose bounds double.
fn duration_bucket(nanos: u64) -> usize {
    let whole_firsts = nanos.saturating_sub(1) / FIRST_DURATION.as_nanos() as u64;
    ((u64::BITS - whole_firsts.leading_zeros()) as usize).min(DURATION_BOUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        for (octets, bucket) in
            [(0, 0), (1, 1), (100, 1), (101, 2), (400, 4), (401, 5), (511, 5), (64_000, 13), (64_001, 14)]
        {
            assert_eq!(size_bucket(octets), bucket, "{octets}");
        }
        for (micros, bucket) in [(0, 0), (250, 0), (251, 1), (500, 1), (501, 2), (1000, 2), (8_192_000, 15)] {
            assert_eq!(duration_bucket(micros * 1000), bucket, "{micros}");
        }
        assert_eq!(duration_bucket(8_192_000_001), 16);
        assert_eq!(duration_bucket(u64::MAX), 16);
    }

    #[test]
    fn ended_shards_keep_their_counts() {
        let traffic = Arc::<Traffic>::default();
        let record = |shard: &mut TrafficShard| {
            shard.record(Counted {
                transport: Transport::Udp,
                family: Family::V4,
                qtype: RecordType::A,
                dnssec_ok: true,
                request: 40,
                response: 120,
                rcode: Rcode::NOERROR,
            });
            shard.record_durations(1, Duration::from_micros(3));
        };
        let (mut one, mut other) = (traffic.shard(), traffic.shard());
        record(&mut one);
        record(&mut other);
        drop(one);
        record(&mut other);
        let sum = traffic.sum();
        assert_eq!((sum[REQUESTS], sum[DNSSEC_OK], sum[DURATIONS], sum[RESPONSES]), (3, 3, 3, 3));
        assert_eq!((sum[REQUEST_SIZE + SIZE_CELLS - 1], sum[DNSSEC_OK - 1]), (120, 9000));
        assert_eq!(traffic.shards.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_shard_is_small() {
        assert!(size_of::<Cells>() < 2048);
    }
}
