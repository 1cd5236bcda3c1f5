//! The plugin's metrics: counted without sharing a cache line, handed to prometheus once a second.

use super::table::Table;
use crate::metrics::{Descriptor, MetricKind};
use prometheus::{Gauge, IntCounter};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const LABELS: &[&str] = &["server", "zones", "view"];
const TYPE_LABELS: &[&str] = &["server", "type", "zones", "view"];

macro_rules! descriptors {
    ($($name:ident $metric:literal $kind:ident $labels:ident $help:literal;)+) => {
        $(pub(super) static $name: Descriptor =
            Descriptor { name: $metric, help: $help, labels: $labels, kind: MetricKind::$kind };)+
        /// All of them.
        pub(super) static ALL: &[&Descriptor] = &[$(&$name),+];
    };
}

descriptors! {
    ENTRIES "coredns_cache_entries" Gauge TYPE_LABELS "The number of elements in the cache.";
    HITS "coredns_cache_hits_total" Counter TYPE_LABELS "The count of cache hits.";
    MISSES "coredns_cache_misses_total" Counter LABELS "The count of cache misses.";
    REQUESTS "coredns_cache_requests_total" Counter LABELS "The count of cache requests.";
    DROPS "coredns_cache_drops_total" Counter LABELS "The count of replies that were not stored because of what they hold.";
    PREFETCHES "coredns_cache_prefetch_total" Counter LABELS "The count of elements fetched again before their end.";
    STALE "coredns_cache_served_stale_total" Counter LABELS "The count of requests served from expired elements.";
    BYTES "dunlin_cache_bytes" Gauge TYPE_LABELS "The memory of the elements in the cache.";
    EVICTIONS "coredns_cache_evictions_total" Counter TYPE_LABELS "The count of live elements replaced by others.";
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A hit in the table of answers.
    Success,
    /// A hit in the table of denials.
    Denial,
    Miss,
    Drop,
    Prefetch,
    /// A hit that had expired, counted beside the hit.
    Stale,
}

const EVENTS: usize = 6;
const SHARDS: usize = 16;

/// Counters of their own cache line for as many threads as there are shards.
#[derive(Default)]
pub(super) struct Tally {
    shards: [Shard; SHARDS],
}

#[derive(Default)]
#[repr(align(128))]
struct Shard([AtomicU64; EVENTS]);

impl Tally {
    #[inline]
    pub fn count(&self, event: Event) {
        self.shards[shard()].0[event as usize].fetch_add(1, Relaxed);
    }

    /// How often it happened.
    pub fn total(&self, event: Event) -> u64 {
        self.shards.iter().map(|shard| shard.0[event as usize].load(Relaxed)).sum()
    }
}

/// The shard of this thread.
#[inline]
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<usize> = const { Cell::new(usize::MAX) });
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        own.get()
    })
}

/// Where the counts go.
pub(super) struct Meters {
    pub success_entries: Gauge,
    pub denial_entries: Gauge,
    pub success_octets: Gauge,
    pub denial_octets: Gauge,
    pub success_hits: IntCounter,
    pub denial_hits: IntCounter,
    pub misses: IntCounter,
    pub requests: IntCounter,
    pub drops: IntCounter,
    pub prefetches: IntCounter,
    pub stale: IntCounter,
    pub success_evictions: IntCounter,
    pub denial_evictions: IntCounter,
}

impl Meters {
    /// The meters of one server block.
    pub fn new(metrics: &crate::metrics::Metrics, server: &str, zones: &str, view: &str) -> Meters {
        let typed = |class| [server, class, zones, view];
        let plain = [server, zones, view];
        let (success, denial) = (typed("success"), typed("denial"));
        Meters {
            success_entries: metrics.gauge(&ENTRIES).with_label_values(&success),
            denial_entries: metrics.gauge(&ENTRIES).with_label_values(&denial),
            success_octets: metrics.gauge(&BYTES).with_label_values(&success),
            denial_octets: metrics.gauge(&BYTES).with_label_values(&denial),
            success_hits: metrics.counter(&HITS).with_label_values(&success),
            denial_hits: metrics.counter(&HITS).with_label_values(&denial),
            misses: metrics.counter(&MISSES).with_label_values(&plain),
            requests: metrics.counter(&REQUESTS).with_label_values(&plain),
            drops: metrics.counter(&DROPS).with_label_values(&plain),
            prefetches: metrics.counter(&PREFETCHES).with_label_values(&plain),
            stale: metrics.counter(&STALE).with_label_values(&plain),
            success_evictions: metrics.counter(&EVICTIONS).with_label_values(&success),
            denial_evictions: metrics.counter(&EVICTIONS).with_label_values(&denial),
        }
    }

    /// Hands over what was counted since the last call. `handed` keeps what was.
    pub fn take(&self, tally: &Tally, success: &Table, denial: &Table, handed: &mut Handed) {
        self.success_entries.set(success.entries() as f64);
        self.denial_entries.set(denial.entries() as f64);
        self.success_octets.set(success.octets() as f64);
        self.denial_octets.set(denial.octets() as f64);
        let (hits, denials, misses) =
            (tally.total(Event::Success), tally.total(Event::Denial), tally.total(Event::Miss));
        let totals = [
            (&self.success_hits, hits),
            (&self.denial_hits, denials),
            (&self.misses, misses),
            (&self.requests, hits + denials + misses),
            (&self.drops, tally.total(Event::Drop)),
            (&self.prefetches, tally.total(Event::Prefetch)),
            (&self.stale, tally.total(Event::Stale)),
            (&self.success_evictions, success.evictions()),
            (&self.denial_evictions, denial.evictions()),
        ];
        for ((meter, total), handed) in totals.into_iter().zip(&mut handed.0) {
            meter.inc_by(total.saturating_sub(*handed));
            *handed = total;
        }
    }
}

/// What has been handed over.
#[derive(Default)]
pub(super) struct Handed([u64; 9]);

impl Handed {
    /// Begins with what tables that outlived a reload have counted already.
    pub fn from_tables(success: &Table, denial: &Table) -> Handed {
        Handed([0, 0, 0, 0, 0, 0, 0, success.evictions(), denial.evictions()])
    }
}
