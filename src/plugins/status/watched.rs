//! What the page shows, as JSON.

use super::State;
use super::condition::Seen;
use super::snapshot::{Block, Counts, EVERY, Past, RECENT, Snapshot};
use crate::metrics::{Distribution, Metrics, Sampled, Tops};
use crate::plugin::{History, KnownClients, Readiness, Sections, Table};
use crate::wire::Name;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rows of the lists of what is asked most, and of a plugin's table.
const TOP: usize = 15;
const ROWS: usize = 100;
/// The past weighs half as much after so many readings: five minutes.
const HALF_LIFE: u64 = 150;

/// Everything there is to look at.
pub(super) struct Watched {
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub sections: Sections,
    pub history: History,
    pub clients: KnownClients,
    pub state: Arc<State>,
}

impl Watched {
    /// Reads the metrics, again and again.
    pub async fn tick(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watched = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || watched.look()).await;
        }
    }

    fn look(&self) {
        let snapshot = Snapshot::of(&self.metrics.read());
        if self.past().add(snapshot).is_multiple_of(HALF_LIFE) {
            self.state.sampled.halve();
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.state.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole of it.
    pub fn json(&self) -> Value {
        let (history, sections) = (self.history.all(), self.sections.read());
        let tops = self.tops();
        let past = self.past();
        let now = seconds(SystemTime::now());
        let seen =
            Seen { readiness: &self.readiness, history: &history, sections: &sections, window: past.window(), now };
        let (state, reasons) = seen.condition();
        let empty = Snapshot::default();
        let (latest, earlier) = past.window().unwrap_or((&empty, &empty));
        let started = history.iter().rev().find(|occasion| occasion.what == "start");
        let occasions = history.iter().map(|occasion| {
            json!({
                "at": seconds(occasion.at).round(),
                "what": occasion.what,
                "ok": occasion.failure.is_none(),
                "why": occasion.failure,
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "host": host(),
            "now": (now * 10.0).round() / 10.0,
            "started": started.map(|occasion| seconds(occasion.at).round()),
            "state": state.word(),
            "reasons": reasons,
            "traffic": traffic(latest, earlier),
            "past": lines(&past),
            "blocks": blocks(latest, earlier),
            "caches": caches(latest, earlier),
            "upstreams": upstreams(latest, earlier),
            "watches": watches(latest, now),
            "changes": distribution(&latest.changes),
            "history": occasions.collect::<Vec<_>>(),
            "top": tops,
            "sections": sections.iter().map(|(title, table)| section(title, table)).collect::<Vec<_>>(),
        })
    }

    fn tops(&self) -> Value {
        let mut all = self.state.sampled.tops(usize::MAX);
        let waste =
            all.search_waste().into_iter().take(TOP).map(|(name, share)| json!({"name": name, "share": part(share)}));
        let waste: Vec<_> = waste.collect();
        let (namespaces, from) = self.namespaces(&all);
        let namespaces = namespaces.iter().map(|(name, share)| json!({"name": name, "share": part(*share)}));
        all.names.truncate(TOP);
        all.clients.truncate(TOP);
        let names = all.names.iter().map(|(wire, share)| {
            let name = Name::from_wire(wire).map_or_else(|| wire.escape_ascii().to_string(), |name| name.to_string());
            json!({"name": name, "share": part(*share)})
        });
        let clients = all.clients.iter().map(|(ip, share)| json!({"name": ip.to_string(), "share": part(*share)}));
        json!({
            "names": names.collect::<Vec<_>>(),
            "clients": clients.collect::<Vec<_>>(),
            "namespaces": namespaces.collect::<Vec<_>>(),
            "namespaces_from": from,
            "search_waste": waste,
            "memory_octets": Sampled::OCTETS * self.state.sampled.lanes(),
        })
    }
}

impl Watched {
    /// The namespaces that ask most, and how they are known: by the clients' pods, or by their search lists.
    fn namespaces(&self, tops: &Tops) -> (Vec<(String, f64)>, &'static str) {
        let known = self.clients.all();
        let (mut namespaces, from) = if known.is_empty() {
            (tops.searching_namespaces(), "search lists")
        } else {
            let mut sums = BTreeMap::new();
            for (client, share) in &tops.clients {
                if let Some(namespace) = known.iter().find_map(|clients| clients.namespace(*client)) {
                    *sums.entry(namespace).or_insert(0.0) += share;
                }
            }
            let mut sums: Vec<_> = sums.into_iter().collect();
            sums.sort_by(|one, other| other.1.total_cmp(&one.1));
            (sums, "pods")
        };
        namespaces.truncate(TOP);
        (namespaces, from)
    }
}

fn traffic(latest: &Snapshot, earlier: &Snapshot) -> Value {
    let (sums, per) = (latest.all(), latest.seconds_since(earlier));
    let counts = sums.since(&earlier.all());
    let (cache, before) = (latest.cache(), earlier.cache());
    let looked = cache.requests - before.requests;
    let mut value = rates(&counts, &sums, per);
    value.insert("over_seconds".to_owned(), json!(EVERY.as_secs() * RECENT as u64));
    value.insert("cache_hits".to_owned(), json!((looked > 0.0).then(|| part((cache.hits - before.hits) / looked))));
    value.into()
}

/// Rates of what has come in `seconds`, with the sums since the start.
fn rates(counts: &Counts, sums: &Counts, seconds: f64) -> Map<String, Value> {
    let each = |counts: &BTreeMap<String, f64>| -> Map<String, Value> {
        counts.iter().map(|(name, count)| (name.clone(), json!(rate(count / seconds)))).collect()
    };
    let mut value = Map::new();
    value.insert("queries".to_owned(), json!(rate(counts.total() / seconds)));
    value.insert("total".to_owned(), json!(sums.total()));
    value.insert("rcodes".to_owned(), each(&counts.rcodes).into());
    value.insert("transports".to_owned(), each(&counts.transports).into());
    value.insert("mean_us".to_owned(), json!(counts.durations.mean().map(|mean| rate(mean * 1e6))));
    value.insert("p99_at_most_ms".to_owned(), json!(finite(counts.durations.at_most(0.99).map(|bound| bound * 1e3))));
    value
}

fn blocks(latest: &Snapshot, earlier: &Snapshot) -> Vec<Value> {
    let per = latest.seconds_since(earlier);
    let before = |block: &Block| earlier.blocks.get(block).cloned().unwrap_or_default();
    let block = |(block, sums): (&Block, &Counts)| {
        let mut value = rates(&sums.since(&before(block)), sums, per);
        value.insert("server".to_owned(), json!(block.server));
        value.insert("zone".to_owned(), json!(block.zone));
        Value::from(value)
    };
    latest.blocks.iter().map(block).collect()
}

fn caches(latest: &Snapshot, earlier: &Snapshot) -> Vec<Value> {
    let caches = latest.caches.iter().map(|(block, cache)| {
        let before = earlier.caches.get(block).copied().unwrap_or_default();
        let (hits, looked) = (cache.hits - before.hits, cache.requests - before.requests);
        json!({
            "server": block.server,
            "zones": block.zone,
            "lookups": rate(looked / latest.seconds_since(earlier)),
            "hits": (looked > 0.0).then(|| part(hits / looked)),
            "entries": cache.entries,
        })
    });
    caches.collect()
}

fn upstreams(latest: &Snapshot, earlier: &Snapshot) -> Vec<Value> {
    let upstreams = latest.upstreams.iter().map(|(name, upstream)| {
        let before = earlier.upstreams.get(name).cloned().unwrap_or_default();
        let recent = upstream.durations.since(&before.durations);
        json!({
            "name": name,
            "up": upstream.failing == 0.0,
            "failed_checks": upstream.failed_checks,
            "queries": rate(recent.count as f64 / latest.seconds_since(earlier)),
            "mean_ms": recent.mean().or(upstream.durations.mean()).map(|mean| rate(mean * 1e3)),
        })
    });
    upstreams.collect()
}

fn watches(latest: &Snapshot, now: f64) -> Vec<Value> {
    let watches = latest.watches.iter().map(|(kind, watch)| {
        json!({
            "kind": kind,
            "age_seconds": (watch.last_event > 0.0).then(|| rate((now - watch.last_event).max(0.0))),
            "events": watch.events,
            "relists": watch.relists,
            "failures": watch.failures,
        })
    });
    watches.collect()
}

fn distribution(all: &Distribution) -> Value {
    json!({
        "count": all.count,
        "p50_at_most_seconds": finite(all.at_most(0.5)),
        "p99_at_most_seconds": finite(all.at_most(0.99)),
    })
}

/// One value a reading, the oldest first.
fn lines(past: &Past) -> Value {
    let line =
        |value: fn(&super::snapshot::Point) -> f64| past.points().map(|point| rate(value(point))).collect::<Vec<_>>();
    json!({
        "every_seconds": EVERY.as_secs(),
        "queries": line(|point| point.queries),
        "failures": line(|point| point.failures),
        "mean_us": line(|point| point.mean),
        "cache_hits": past.points().map(|point| (point.hits >= 0.0).then(|| part(point.hits))).collect::<Vec<_>>(),
    })
}

fn section(title: &str, table: &Table) -> Value {
    json!({"title": title, "columns": table.columns, "rows": &table.rows[..table.rows.len().min(ROWS)], "trouble": table.trouble})
}

/// Two places behind the point are enough.
fn rate(value: f64) -> f64 {
    // An empty sum is -0.0.
    (value * 100.0).round() / 100.0 + 0.0
}

fn part(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// JSON has no infinity: more than the last bound is nothing that can be said.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Which of the replicas this is.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
