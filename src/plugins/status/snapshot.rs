//! What is read off the metrics every two seconds, and what is kept of it: five minutes.

use crate::metrics::{Distribution, Reading};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How often the metrics are read.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// How many readings are kept: five minutes.
const KEPT: usize = 150;
/// What "now" is: the last so many readings, ten seconds.
pub(super) const RECENT: usize = 5;

/// A server block on its listener as metrics name them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Block {
    pub server: String,
    pub zone: String,
}

/// Sums since the start, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub at: Option<Instant>,
    pub blocks: BTreeMap<Block, Counts>,
    /// By server and zones.
    pub caches: BTreeMap<Block, Cache>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub watches: BTreeMap<String, Watch>,
    /// From a change's cause to its answers, in seconds.
    pub changes: Distribution,
    pub panics: f64,
    /// Queries and replies that the engine let go.
    pub dropped: f64,
}

/// What is counted of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub rcodes: BTreeMap<String, f64>,
    pub transports: BTreeMap<String, f64>,
    /// Seconds.
    pub durations: Distribution,
}

impl Counts {
    pub fn total(&self) -> f64 {
        self.rcodes.values().sum()
    }

    pub fn add(&mut self, other: &Counts) {
        other.rcodes.iter().for_each(|(name, count)| *self.rcodes.entry(name.clone()).or_default() += count);
        other.transports.iter().for_each(|(name, count)| *self.transports.entry(name.clone()).or_default() += count);
        self.durations.add(&other.durations);
    }

    /// What has come since an earlier moment.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let less = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let since = |(name, count): (&String, &f64)| (name.clone(), count - then.get(name).unwrap_or(&0.0));
            now.iter().map(since).collect()
        };
        Counts {
            rcodes: less(&self.rcodes, &earlier.rcodes),
            transports: less(&self.transports, &earlier.transports),
            durations: self.durations.since(&earlier.durations),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cache {
    pub hits: f64,
    pub requests: f64,
    pub entries: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Upstream {
    /// Seconds.
    pub durations: Distribution,
    /// Failed health checks, since the start.
    pub failed_checks: f64,
    /// Failed health checks in a row: 0 for one that is well.
    pub failing: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// Unix seconds; 0 for none.
    pub last_event: f64,
    pub events: f64,
    pub relists: f64,
    pub failures: f64,
}

impl Snapshot {
    pub fn of(reading: &Reading) -> Snapshot {
        let mut snapshot = Snapshot { at: Some(Instant::now()), ..Snapshot::default() };
        snapshot.read_blocks(reading);
        snapshot.read_caches(reading);
        snapshot.read_upstreams(reading);
        snapshot.read_watches(reading);
        for series in reading.series("coredns_kubernetes_dns_programming_duration_seconds") {
            snapshot.changes.add(&series.distribution());
        }
        snapshot.panics = reading.sum("coredns_panics_total");
        snapshot.dropped = reading.sum("dunlin_engine_dropped_total");
        snapshot
    }

    fn read_blocks(&mut self, reading: &Reading) {
        let block = |server: &str, zone: &str| Block { server: server.to_owned(), zone: zone.to_owned() };
        for series in reading.series("coredns_dns_responses_total") {
            let counts = self.blocks.entry(block(series.label("server"), series.label("zone"))).or_default();
            *counts.rcodes.entry(series.label("rcode").to_owned()).or_default() += series.value();
        }
        for series in reading.series("coredns_dns_requests_total") {
            let counts = self.blocks.entry(block(series.label("server"), series.label("zone"))).or_default();
            *counts.transports.entry(series.label("proto").to_owned()).or_default() += series.value();
        }
        for series in reading.series("coredns_dns_request_duration_seconds") {
            let counts = self.blocks.entry(block(series.label("server"), series.label("zone"))).or_default();
            counts.durations.add(&series.distribution());
        }
    }

    fn read_caches(&mut self, reading: &Reading) {
        type Field = fn(&mut Cache) -> &mut f64;
        let fields: [(&str, Field); 3] = [
            ("coredns_cache_hits_total", |cache| &mut cache.hits),
            ("coredns_cache_requests_total", |cache| &mut cache.requests),
            ("coredns_cache_entries", |cache| &mut cache.entries),
        ];
        for (name, field) in fields {
            for series in reading.series(name) {
                let block = Block { server: series.label("server").to_owned(), zone: series.label("zones").to_owned() };
                *field(self.caches.entry(block).or_default()) += series.value();
            }
        }
    }

    fn read_upstreams(&mut self, reading: &Reading) {
        for series in reading.series("coredns_proxy_request_duration_seconds") {
            let upstream = self.upstreams.entry(series.label("to").to_owned()).or_default();
            upstream.durations.add(&series.distribution());
        }
        for series in reading.series("coredns_proxy_healthcheck_failures_total") {
            self.upstreams.entry(series.label("to").to_owned()).or_default().failed_checks += series.value();
        }
        for series in reading.series("dunlin_forward_failed_checks") {
            self.upstreams.entry(series.label("to").to_owned()).or_default().failing += series.value();
        }
    }

    fn read_watches(&mut self, reading: &Reading) {
        type Field = fn(&mut Watch) -> &mut f64;
        let fields: [(&str, Field); 4] = [
            ("dunlin_watch_last_event_timestamp_seconds", |watch| &mut watch.last_event),
            ("dunlin_watch_events_total", |watch| &mut watch.events),
            ("dunlin_watch_relists_total", |watch| &mut watch.relists),
            ("dunlin_watch_failures_total", |watch| &mut watch.failures),
        ];
        for (name, field) in fields {
            for series in reading.series(name) {
                *field(self.watches.entry(series.label("kind").to_owned()).or_default()) += series.value();
            }
        }
    }

    /// All blocks as one.
    pub fn all(&self) -> Counts {
        let mut all = Counts::default();
        self.blocks.values().for_each(|counts| all.add(counts));
        all
    }

    /// All caches as one.
    pub fn cache(&self) -> Cache {
        self.caches.values().fold(Cache::default(), |sum, cache| Cache {
            hits: sum.hits + cache.hits,
            requests: sum.requests + cache.requests,
            entries: sum.entries + cache.entries,
        })
    }

    /// Seconds since an earlier one; never 0, so that it divides.
    pub fn seconds_since(&self, earlier: &Snapshot) -> f64 {
        let passed = self.at.zip(earlier.at).map(|(now, then)| now.duration_since(then));
        passed.unwrap_or(EVERY).as_secs_f64().max(0.001)
    }
}

/// What is drawn as a line: one value a reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    pub queries: f64,
    /// SERVFAIL and its kin, a second.
    pub failures: f64,
    /// Microseconds; 0 without queries.
    pub mean: f64,
    /// From 0 to 1; negative without cache lookups.
    pub hits: f64,
}

/// The last five minutes: a few readings whole, of the others what is drawn.
#[derive(Debug, Default)]
pub(super) struct Past {
    recent: VecDeque<Snapshot>,
    points: VecDeque<Point>,
    ticks: u64,
}

impl Past {
    /// Adds a reading. Returns how many there have been.
    pub fn add(&mut self, now: Snapshot) -> u64 {
        if let Some(before) = self.recent.back() {
            self.points.push_back(point(&now, before));
        }
        if self.points.len() > KEPT {
            self.points.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() > RECENT + 1 {
            self.recent.pop_front();
        }
        self.ticks += 1;
        self.ticks
    }

    /// The latest reading, and the one that "now" is counted from.
    pub fn window(&self) -> Option<(&Snapshot, &Snapshot)> {
        self.recent.back().zip(self.recent.front())
    }

    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }
}

/// Whether a code says that the server could not answer.
pub(super) fn is_failure(rcode: &str) -> bool {
    matches!(rcode, "SERVFAIL" | "FORMERR" | "NOTIMP")
}

fn point(now: &Snapshot, before: &Snapshot) -> Point {
    let (seconds, counts) = (now.seconds_since(before), now.all().since(&before.all()));
    let failures: f64 = counts.rcodes.iter().filter(|(name, _)| is_failure(name)).map(|(_, count)| count).sum();
    let (cache, earlier) = (now.cache(), before.cache());
    let looked = cache.requests - earlier.requests;
    Point {
        queries: counts.total() / seconds,
        failures: failures / seconds,
        mean: counts.durations.mean().unwrap_or(0.0) * 1e6,
        hits: if looked > 0.0 { (cache.hits - earlier.hits) / looked } else { -1.0 },
    }
}
