//! # Description
//!
//! `cache` keeps the answers of what stands behind it in the chain (`forward`, `template`, ...) and gives them again
//! until their time is over. All records of an answer show one TTL: the lowest in the message, held between the
//! class's minimum and its cap, already when the answer is fetched. Zones that are held in memory (`kubernetes`,
//! `hosts`) are never copied: their answers change with the cluster, and only take the TTL rule.
//!
//! Answers are told apart by name (without case), type, class, DO and CD. Not stored: truncated answers, REFUSED and
//! other errors, NXDOMAIN without a SOA, CNAMEs that lead nowhere and have no SOA, zone transfers, expired signatures,
//! messages above 16 KiB, and what the question does not lead to: answers of other names than the one asked and those
//! that its aliases lead to, authority above neither of them; additional records of hosts that nothing names are left
//! out. Clients that miss the same name at the same time share one upstream query.
//!
//! # Syntax
//!
//! ```text
//! cache [TTL] [ZONES...] {
//!     success CAPACITY [TTL [MINTTL]]
//!     denial CAPACITY [TTL [MINTTL]]
//!     disable success|denial [ZONES...]
//!     servfail DURATION
//!     keepttl
//!     prefetch AMOUNT [DURATION [PERCENT%]]
//!     serve_stale [DURATION [immediate [TTL [RECHECK]] | verify|rfc8767 [TIMEOUT [TTL [RECHECK]]]]]
//!     serve_stale_policy prefer_positive
//! }
//! ```
//!
//! * `TTL` caps both classes, in seconds; without it 3600 for answers and 1800 for denials.
//! * `ZONES` are where it caches; without them, the server block's zones.
//! * `success`, `denial`: how many entries (9984 each, at least 1024), the cap, and the least TTL (5). A full set of
//!   eight gives up an expired entry, else any.
//! * `disable`: the zones, or all, where a class is not stored. TTLs are held there all the same.
//! * `servfail`: how long a SERVFAIL that an upstream wrote is kept, 5s without it, at most 5m; 0 keeps none.
//! * `keepttl`: hits show the TTL they were stored with instead of what is left of it.
//!
//! * `prefetch`: an answer that was hit `AMOUNT` times, never more than `DURATION` (1m) apart, is fetched again when it
//!   has less than `PERCENT` (10%) of its time left. One client in the slow lane starts it and nobody waits for it.
//! * `serve_stale`: an answer that expired less than `DURATION` (1h) ago is given while it is fetched again:
//!   `immediate` gives it at once; `verify` waits for the upstream first, `TIMEOUT` at most or as long as it takes. It
//!   shows `TTL` (0). `rfc8767` is `verify` with the numbers of RFC 8767: 1800ms, 30s, 30s. After a failure the
//!   upstream is not asked for it again for `RECHECK` (0, at most 5m). An error never takes the place of an answer that
//!   may still be given.
//!
//! * `serve_stale_policy prefer_positive`: an answer that is fresh or may be given stale is neither given up for a denial
//!   that came after it nor hidden by it. It hides what has really been deleted, for as long as `serve_stale` says.
//!
//! A class also has a bound in octets, 2 KiB for each of its entries. The stored answers of a server block outlive a
//! reload that changes nothing of what stands behind its cache, wherever the block then stands.
//!
//! # Examples
//!
//! ```corefile
//! .:53 {
//!     cache 30
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! ```corefile
//! example.org:53 {
//!     cache 300 {
//!         success 20000 600 10
//!         denial 5000 30
//!         disable denial internal.example.org
//!         servfail 0
//!         keepttl
//!     }
//!     forward . 192.0.2.53 192.0.2.54
//! }
//! ```
//!
//! Answers of popular names are ready before they are needed, and outlive their upstream by a day:
//!
//! ```corefile
//! .:53 {
//!     cache 3600 {
//!         prefetch 10 1m 20%
//!         serve_stale 24h verify 1500ms 5s 30s
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! Expired answers as RFC 8767 has them:
//!
//! ```corefile
//! .:53 {
//!     cache 300 {
//!         serve_stale 24h rfc8767
//!         serve_stale_policy prefer_positive
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//!
//! `coredns_cache_entries{server,type,zones,view}`, `coredns_cache_hits_total{server,type,zones,view}`,
//! `coredns_cache_misses_total{server,zones,view}`, `coredns_cache_requests_total{server,zones,view}`,
//! `coredns_cache_drops_total{server,zones,view}`, `coredns_cache_prefetch_total{server,zones,view}`,
//! `coredns_cache_served_stale_total{server,zones,view}`, `coredns_cache_evictions_total{server,type,zones,view}`, and
//! `dunlin_cache_bytes{server,type,zones,view}`, the memory of the entries; `type` is
//! `success` or `denial`. They are brought up to date once a second.
//!
//! # See also
//!
//! `forward`, `loadbalance`. RFC 2308 (negative answers), RFC 2181 section 5.2 (TTLs of a set), RFC 8767 (stale answers).

mod bailiwick;
mod count;
mod entry;
mod flight;
mod judge;
mod lanes;
mod options;
mod refresh;
mod table;
#[cfg(test)]
mod tests;

use crate::plugin::{BoxFuture, Definition, Directive, Error, Lifecycle, Setup, TtlRule};
use crate::wire::Name;
use count::{Handed, Meters, Tally};
use flight::Flights;
use foldhash::quality::RandomState;
use options::Options;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use table::Table;

/// The directive `cache`.
pub static DEFINITION: Definition = Definition { directive: "cache", setup, metrics: count::ALL };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut options = options::read(setup)?;
    let zones: Vec<String> = options.zones.iter().map(ToString::to_string).collect();
    let meters = Meters::new(setup.metrics, &setup.plan.server, &zones.join(","), setup.plan.view_name());
    let kept = key_of(setup);
    let tables = setup.kept.get(&kept).unwrap_or_else(|| Arc::new(Tables::new(&options)));
    setup.keep.put(kept, tables.clone());
    let rule = TtlRule { positive: options.success.ttl, negative: options.denial.ttl };
    setup.plan.rule_ttls(&options.zones, rule);
    options.zones = Name::outermost(&options.zones);
    let cache = Cache::new(options, tables, Some(meters));
    setup.plan.cache = Some(cache.clone());
    setup.plan.chain.push(cache.clone());
    setup.process.lifecycles.push(Arc::new(Settling(cache)));
    Ok(())
}

/// What names the tables of this block to the next plan: its listener, its zones, and what makes their answers. Blocks
/// that have all of that in common are told apart by their order.
fn key_of(setup: &Setup<'_>) -> String {
    let (plan, zones) = (&*setup.plan, &setup.block.zones);
    let (server, view, makers) = (&plan.server, plan.view_name(), text_of_chain(setup.siblings));
    let block = format!("cache {server} {:?} {view:?} {zones:?} {makers}", plan.binds);
    let is_taken = |key: &String| setup.keep.get::<Tables>(key).is_some();
    let mut keys = (0u32..).map(|number| format!("{number} {block}"));
    keys.find(|key| !is_taken(key)).unwrap_or(block)
}

/// Directives that cannot change what a cache stores.
const HARMLESS: &[&str] = &[
    "bind",
    "bufsize",
    "errors",
    "health",
    "kubernetes",
    "loadbalance",
    "log",
    "loop",
    "prometheus",
    "ready",
    "reload",
];

/// The text of every directive that may have made what a cache holds: it outlives a reload only while this stays.
fn text_of_chain(siblings: &[Directive]) -> String {
    fn write(directive: &Directive, text: &mut String) {
        for word in std::iter::once(&directive.name).chain(&directive.args) {
            text.push_str(&format!("{:?} ", word.text));
        }
        text.push_str("{ ");
        directive.options().iter().for_each(|option| write(option, text));
        text.push_str("} ");
    }
    let mut text = String::new();
    let makers = siblings.iter().filter(|sibling| !HARMLESS.contains(&sibling.name.text.as_str()));
    makers.for_each(|sibling| write(sibling, &mut text));
    text
}

/// What outlives a reload.
struct Tables {
    seed: RandomState,
    success: Table,
    denial: Table,
}

impl Tables {
    fn new(options: &Options) -> Tables {
        let window = options.stale.map_or(0, |stale| stale.window);
        Tables {
            seed: RandomState::default(),
            success: Table::new(options.success.capacity, window),
            denial: Table::new(options.denial.capacity, window),
        }
    }
}

/// The cache of one server block.
struct Cache {
    options: Options,
    tables: Arc<Tables>,
    flights: Arc<Flights>,
    tally: Tally,
    meters: Option<(Meters, Mutex<Handed>)>,
    /// Itself, for what goes on after a client has been answered.
    own: Weak<Cache>,
}

impl Cache {
    fn new(options: Options, tables: Arc<Tables>, meters: Option<Meters>) -> Arc<Cache> {
        let handed = Handed::from_tables(&tables.success, &tables.denial);
        let meters = meters.map(|meters| (meters, Mutex::new(handed)));
        let (flights, tally) = (Arc::default(), Tally::default());
        Arc::new_cyclic(|own| Cache { options, tables, flights, tally, meters, own: own.clone() })
    }

    /// Hands the counts to prometheus.
    fn settle(&self) {
        if let Some((meters, handed)) = &self.meters
            && let Ok(mut handed) = handed.lock()
        {
            meters.take(&self.tally, &self.tables.success, &self.tables.denial, &mut handed);
        }
    }
}

/// Brings the metrics up to date once a second for as long as the cache is in use.
struct Settling(Arc<Cache>);

impl Lifecycle for Settling {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        let cache = Arc::downgrade(&self.0);
        Box::pin(async move {
            tokio::spawn(settle_regularly(cache));
            Ok(())
        })
    }
}

async fn settle_regularly(cache: Weak<Cache>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        match cache.upgrade() {
            Some(cache) => cache.settle(),
            None => return,
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.settle();
    }
}
