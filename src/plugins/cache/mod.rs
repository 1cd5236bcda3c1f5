//! # Description
//!
//! `cache` keeps the answers of what stands behind it in the chain (`forward`, `template`, ...) and gives them again
//! until their time is over. All records of an answer show one TTL: the lowest in the message, held between the
//! class's minimum and its cap, already when the answer is fetched. Zones that are held in memory (`kubernetes`,
//! `hosts`) are never copied: their answers change with the cluster, and only take the TTL rule.
//!
//! Answers are told apart by name (without case), type, class, DO and CD. Not stored: truncated answers, REFUSED and
//! other errors, NXDOMAIN without a SOA, CNAMEs that lead nowhere and have no SOA, zone transfers, expired signatures,
//! messages above 16 KiB. Clients that miss the same name at the same time share one upstream query.
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
//! `prefetch` and `serve_stale` are not supported yet.
//!
//! The stored answers outlive a reload that changes nothing behind the cache.
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
//! # Metrics
//!
//! `coredns_cache_entries{server,type,zones,view}`, `coredns_cache_hits_total{server,type,zones,view}`,
//! `coredns_cache_misses_total{server,zones,view}`, `coredns_cache_requests_total{server,zones,view}`,
//! `coredns_cache_drops_total{server,zones,view}`, `coredns_cache_evictions_total{server,type,zones,view}`; `type` is
//! `success` or `denial`. They are brought up to date once a second.
//!
//! # See also
//!
//! `forward`, `loadbalance`. RFC 2308 (negative answers), RFC 2181 section 5.2 (TTLs of a set).

mod count;
mod entry;
mod flight;
mod judge;
mod options;
mod table;
#[cfg(test)]
mod tests;

use crate::plugin::{
    BoxFuture, Context, Definition, Directive, Error, Failure, Handler, Lifecycle, Next, Outcome, Reply, Request,
    Setup, Source, TtlRule, Verdict,
};
use crate::wire::{self, LowerName, Query, RecordType, ReplyView};
use count::{Event, Handed, Meters, Tally};
use entry::{Entry, Key};
use flight::{Flights, Seat};
use foldhash::quality::RandomState;
use options::Options;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use table::Table;

/// The directive `cache`.
pub static DEFINITION: Definition = Definition { directive: "cache", setup, metrics: count::ALL };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let options = options::read(setup)?;
    let zones: Vec<String> = options.zones.iter().map(ToString::to_string).collect();
    let meters = Meters::new(setup.metrics, &setup.plan.server, &zones.join(","));
    let kept = format!("cache {} {:?} {}", setup.block.index, setup.block.zones, text_of_chain(setup.siblings));
    let tables = setup.kept.get(&kept).unwrap_or_else(|| Arc::new(Tables::new(&options)));
    setup.keep.put(kept, tables.clone());
    let rule = TtlRule { positive: options.success.ttl, negative: options.denial.ttl };
    setup.plan.rule_ttls(options.zones.clone(), rule);
    let cache = Arc::new(Cache::new(options, tables, Some(meters)));
    setup.plan.cache = Some(cache.clone());
    setup.plan.chain.push(cache.clone());
    setup.process.lifecycles.push(Arc::new(Settling(cache)));
    Ok(())
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
        Tables {
            seed: RandomState::default(),
            success: Table::new(options.success.capacity),
            denial: Table::new(options.denial.capacity),
        }
    }
}

/// The cache of one server block.
struct Cache {
    options: Options,
    tables: Arc<Tables>,
    flights: Flights,
    tally: Tally,
    meters: Option<(Meters, Mutex<Handed>)>,
}

/// The fast lane: a hit, or none of its business.
impl Source for Cache {
    #[inline]
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        if !self.is_ours(query) {
            return Verdict::Pass;
        }
        match self.hit(query, context, out) {
            Some(len) => Verdict::Answered(len),
            None => Verdict::Pass,
        }
    }
}

impl Cache {
    fn new(options: Options, tables: Arc<Tables>, meters: Option<Meters>) -> Cache {
        let handed = Handed::from_tables(&tables.success, &tables.denial);
        let meters = meters.map(|meters| (meters, Mutex::new(handed)));
        Cache { options, tables, flights: Flights::default(), tally: Tally::default(), meters }
    }

    #[inline]
    fn is_ours(&self, query: &Query<'_>) -> bool {
        query.opcode() == 0 && !query.signed && self.covers(&query.name)
    }

    #[inline]
    fn covers(&self, name: &LowerName<'_>) -> bool {
        self.options.zones.iter().any(|zone| name.is_within(zone))
    }

    /// Writes a stored answer that still holds. A buffer that is too small for it is a miss.
    #[inline]
    fn hit(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Option<usize> {
        let key = Key::of(query, &self.tables.seed);
        for (table, event) in [(&self.tables.success, Event::Success), (&self.tables.denial, Event::Denial)] {
            let Some(found) = table.find(&key) else { continue };
            let Some(entry) = found.as_ref() else { continue };
            let Some(left) = entry.remaining(context.moment.seconds) else { continue };
            let ttl = if self.options.keep_ttl { entry.ttl() } else { left };
            let len = entry.write(query, context, ttl, out)?;
            self.tally.count(event);
            return Some(len);
        }
        None
    }

    /// A hit as a message of its own.
    fn hit_message(&self, query: &Query<'_>, context: &Context) -> Option<Vec<u8>> {
        let key = Key::of(query, &self.tables.seed);
        let size = [&self.tables.success, &self.tables.denial]
            .into_iter()
            .filter_map(|table| Some(table.find(&key)?.as_ref()?.answer_size()))
            .max()?;
        let mut packet = vec![0; size];
        let len = self.hit(query, context, &mut packet)?;
        packet.truncate(len);
        Some(packet)
    }
}

/// The slow lane: a hit, or what the rest of the chain says.
impl Handler for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.run(request, next))
    }
}

impl Cache {
    async fn run(&self, request: &Request, next: Next<'_>) -> Outcome {
        let context = request.context();
        let look = request.with_query(|query| {
            let ours = self.is_ours(query);
            (ours, if ours { self.hit_message(query, &context) } else { None })
        });
        match look {
            Some((true, Some(packet))) => return Outcome::Reply(Reply::new(packet)),
            Some((true, None)) => self.tally.count(Event::Miss),
            _ => return next.run(request).await,
        }
        // The probe of `loop` has to come round, so it must not wait for itself.
        if request.qtype == RecordType::HINFO {
            return self.ask(request, next).await;
        }
        match self.flights.board(&flight_key(request)) {
            Seat::Leader(leader) => {
                let outcome = self.ask(request, next).await;
                leader.land(&outcome);
                outcome
            }
            Seat::Follower(follower) => match follower.wait().await {
                Some(outcome) => share(request, &outcome),
                None => self.ask(request, next).await,
            },
            Seat::Alone => self.ask(request, next).await,
        }
    }

    /// Asks the rest of the chain, holds the answer's TTLs, and stores it.
    async fn ask(&self, request: &Request, next: Next<'_>) -> Outcome {
        let began = Instant::now();
        let mut outcome = next.run(request).await;
        if let Outcome::Reply(reply) = &mut outcome {
            let now = request.moment.seconds + began.elapsed().as_secs();
            request.with_query(|query| self.digest(query, &mut reply.packet, now));
        }
        outcome
    }

    fn digest(&self, query: &Query<'_>, packet: &mut [u8], now: u64) {
        let Some(view) = ReplyView::parse(packet) else { return };
        let kind = judge::kind(query, &view, now);
        let ttl = judge::ttl(kind, &view, &self.options);
        if !view.question_matches(query.question()) {
            self.tally.count(Event::Drop);
        } else if ttl > 0 && judge::is_wanted(kind, query, &self.options) {
            self.store(query, &view, kind, ttl, now);
        }
        let places: Vec<usize> =
            view.records().filter(|record| record.rtype != RecordType::OPT).map(|record| record.ttl_at).collect();
        for at in places {
            packet[at..at + 4].copy_from_slice(&ttl.to_be_bytes());
        }
        if !query.dnssec_ok() && !query.authentic_data() {
            packet[3] &= !0x20;
        }
    }

    fn store(&self, query: &Query<'_>, view: &ReplyView<'_>, kind: judge::Kind, ttl: u32, now: u64) {
        let Some(entry) = Entry::new(query, view, ttl, now) else { return };
        let key = Key::of(query, &self.tables.seed);
        let (into, other) = match kind {
            judge::Kind::Success => (&self.tables.success, &self.tables.denial),
            _ => (&self.tables.denial, &self.tables.success),
        };
        other.remove(&key);
        into.insert(&key, entry, now);
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

/// What clients must have in common to take the same message: the question, DO, CD, RD, and how much room there is.
fn flight_key(request: &Request) -> Vec<u8> {
    let mut key = request.name.wire().to_vec();
    key.extend(request.qtype.0.to_be_bytes());
    key.extend(request.qclass.to_be_bytes());
    key.extend([request.packet[2] & 0x01, request.packet[3] & 0x30]);
    key.extend([request.transport as u8, u8::from(request.edns.is_some_and(|edns| edns.dnssec_ok))]);
    key.extend((request.limit() as u16).to_be_bytes());
    key
}

/// A leader's outcome, addressed to another client.
fn share(request: &Request, outcome: &Outcome) -> Outcome {
    let Outcome::Reply(reply) = outcome else { return outcome.clone() };
    let addressed = request.with_query(|query| {
        let view = ReplyView::parse(&reply.packet).filter(|view| view.question_matches(query.question()))?;
        let mut packet = view.without_opt();
        let len = packet.len();
        packet.resize(len + 11, 0);
        let len = wire::address_reply(query, &mut packet, len, request.limit());
        packet.truncate(len);
        Some(packet)
    });
    match addressed.flatten() {
        Some(packet) => Outcome::Reply(Reply { packet, reason: reply.reason.clone() }),
        None => Outcome::Failed(Failure::servfail("the shared reply does not answer the question")),
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
