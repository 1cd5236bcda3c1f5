//! What is stored and for how long, what a hit looks like, who waits for whom.

mod hits;
mod refreshing;
mod sharing;
mod storing;
mod tables;

use super::{Cache, DEFINITION};
use crate::plugin::{BoxFuture, Handler, Next, Outcome, Reply, Request, Verdict};
use crate::plugins::testing::{Bench, query, request};
use crate::wire::{CLASS_IN, NameBuffer, Query, RecordType};
use hickory_proto::op::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A record as a test writes it: owner, type, TTL, RDATA. An empty owner is the question's name.
type Line<'a> = (&'a str, RecordType, u32, &'a [u8]);

/// MNAME and RNAME the root, five numbers.
const SOA: &[u8] = b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05";

fn soa(ttl: u32) -> Line<'static> {
    ("example.org", RecordType::SOA, ttl, SOA)
}

fn name(text: &str) -> Vec<u8> {
    query(text, RecordType::A)[12..].split_last_chunk::<4>().unwrap().0.to_vec()
}

/// The reply to a request: these flags and rcode in its third and fourth octet, these sections.
fn reply(request: &[u8], flags: u16, sections: [&[Line<'_>]; 3]) -> Vec<u8> {
    let mut buffer = NameBuffer::default();
    let query = Query::parse(request, &mut buffer).unwrap();
    let mut packet = request[..query.question_end()].to_vec();
    packet[2..4].copy_from_slice(&(0x8000 | flags).to_be_bytes());
    for (section, lines) in sections.iter().enumerate() {
        packet[7 + 2 * section] = lines.len() as u8;
        for (owner, rtype, ttl, rdata) in *lines {
            match owner.is_empty() {
                true => packet.extend([0xc0, 0x0c]),
                false => packet.extend(name(owner)),
            }
            packet.extend(rtype.0.to_be_bytes());
            packet.extend(CLASS_IN.to_be_bytes());
            packet.extend(ttl.to_be_bytes());
            packet.extend((rdata.len() as u16).to_be_bytes());
            packet.extend(*rdata);
        }
    }
    packet
}

/// A cache behind which an upstream counts what it is asked.
struct Stand {
    bench: Bench,
    asked: Arc<AtomicUsize>,
}

struct Upstream<F>(Arc<AtomicUsize>, F);

impl<F: Fn(&Request) -> Outcome + Send + Sync> Handler for Upstream<F> {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.0.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            (self.1)(request)
        })
    }
}

impl Stand {
    fn new(lines: &str) -> Stand {
        let bench = Bench::new();
        bench.done().plan.server = "dns://:53".into();
        bench.set_up(&DEFINITION, lines).unwrap();
        Stand { bench, asked: Arc::default() }
    }

    /// Asks the slow lane; a miss gets what `upstream` answers.
    async fn ask(&self, request: &Request, upstream: impl Fn(&Request) -> Outcome + Send + Sync + 'static) -> Outcome {
        let mut chain = self.bench.done().plan.chain.clone();
        chain.push(Arc::new(Upstream(self.asked.clone(), upstream)));
        Next::all(&chain).run(request).await
    }

    /// As `ask` with a reply of these flags and sections, decoded.
    async fn message(&self, request: &Request, flags: u16, sections: [&'static [Line<'static>]; 3]) -> Message {
        let answer = move |request: &Request| Outcome::Reply(Reply::new(reply(&request.packet, flags, sections)));
        match self.ask(request, answer).await {
            Outcome::Reply(reply) => Message::from_vec(&reply.packet).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Asks the fast lane.
    fn hit(&self, request: &Request) -> Option<Vec<u8>> {
        let source = self.bench.done().plan.cache.clone().unwrap();
        let mut out = vec![0; 65535];
        let verdict = source.answer(&request.query(), &request.context(), &mut out);
        match verdict {
            Verdict::Answered(len) => Some(out[..len].to_vec()),
            Verdict::Pass => None,
            Verdict::Alias { .. } | Verdict::Slow => panic!("a cache answers, or is passed"),
        }
    }

    /// How often it was counted, once it was: the last one to use the cache settles its counts.
    async fn counted(self, name: &str) -> f64 {
        let line = format!("{name},view=\"\",zones=\".\"}} ");
        self.bench.done().plan.chain.clear();
        self.bench.done().plan.cache = None;
        let metrics = self.bench.metrics.clone();
        drop(self);
        let began = std::time::Instant::now();
        loop {
            let text = metrics.render();
            let value = text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
            match value.filter(|value| *value > 0.0) {
                Some(value) => return value,
                None => assert!(began.elapsed().as_secs() < 5, "{line}\n{text}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

/// A plain question for an address, `seconds` after the first.
fn question(text: &str, seconds: u64) -> Request {
    let mut request = request(query(text, RecordType::A));
    request.moment.seconds += seconds;
    request
}

const A: &[u8] = b"\x0a\x00\x00\x01";
const NOERROR: u16 = 0x0080;
const ONE: [&[Line<'static>]; 3] = [&[("", RecordType::A, 60, A)], &[], &[]];

#[test]
fn options_are_read() {
    for lines in [
        "cache",
        "cache 30",
        "cache 30 example.org 10.0.0.0/8",
        "cache example.org",
        "cache {\nsuccess 9984\ndenial 9984 30 0\nservfail 0\nkeepttl\n}",
        "cache {\nprefetch 10\nserve_stale\n}",
        "cache {\nprefetch 10 5m 90%\nserve_stale 3600s immediate\n}",
        "cache {\nserve_stale 24h verify 1500ms 5s 30s\n}",
        "cache {\nserve_stale 24h rfc8767\nserve_stale_policy prefer_positive\n}",
        "cache {\nserve_stale 24h rfc8767 500ms 10s 1m\n}",
        "cache {\nsuccess 9984 30\ndisable success cluster.local\ndisable denial\nservfail 5m\n}",
    ] {
        Bench::new().set_up(&DEFINITION, lines).unwrap();
    }
    Bench::errors(
        &DEFINITION,
        &[
            ("cache 0", "cache TTL can not be zero or negative: 0"),
            ("cache -5", "cache TTL can not be zero or negative: -5"),
            ("cache {\nsuccess\n}", "expected: success CAPACITY [TTL [MINTTL]]"),
            ("cache {\nsuccess many\n}", "capacity is not a number"),
            ("cache {\ndenial 9984 0\n}", "cache TTL can not be zero or negative: 0"),
            ("cache {\ndenial 9984 5 x\n}", "cache min TTL is not a number"),
            ("cache {\ndisable\n}", "expected: disable success|denial [ZONES...]"),
            ("cache {\ndisable both\n}", "cannot disable 'both'"),
            ("cache {\nservfail 6m\n}", "over 5 minutes is not permitted"),
            ("cache {\nservfail 5\n}", "5"),
            ("cache {\nkeepttl now\n}", "expected: keepttl"),
            ("cache {\nserve_stale_policy prefer_positive\n}", "serve_stale_policy needs serve_stale beside it"),
            ("cache {\nserve_stale 0\nserve_stale_policy prefer_positive\n}", "needs serve_stale beside it"),
            ("cache {\nserve_stale\nserve_stale_policy newest\n}", "unknown policy 'newest'"),
            ("cache {\nserve_stale\nserve_stale_policy\n}", "expected: serve_stale_policy prefer_positive"),
            ("cache {\nserve_stale 24h rfc8767 1s 1s 6m\n}", "over 5 minutes"),
            ("cache {\nserve_stale 1h now\n}", "unknown mode 'now'"),
            ("cache {\nserve_stale 1h immediate 5s 6m\n}", "over 5 minutes"),
            ("cache {\nserve_stale 1h immediate 5s 1m 1m\n}", "expected: serve_stale"),
            ("cache {\nserve_stale forever\n}", "forever"),
            ("cache {\nprefetch\n}", "expected: prefetch AMOUNT"),
            ("cache {\nprefetch 10 1m 95%\n}", "'95%' is no percentage from 10% to 90%"),
            ("cache {\nprefetch 10 1m 20\n}", "'20' is no percentage"),
            ("cache {\nshards 4\n}", "unknown property 'shards'"),
            ("cache\ncache", "can only be used once per Server Block"),
        ],
    );
}

#[test]
fn stores_take_its_ttl_rule() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "cache example.org {\nsuccess 9984 30 10\ndenial 9984 7\n}").unwrap();
    let parts = bench.done();
    let mut buffer = NameBuffer::default();
    let rule = parts.plan.shape_for(&buffer.lower(&name("a.example.org")).unwrap()).ttl.unwrap();
    assert_eq!((rule.positive.hold(300), rule.positive.hold(0), rule.negative.hold(300)), (30, 10, 7));
    assert!(parts.plan.shape_for(&buffer.lower(&name("example.com")).unwrap()).ttl.is_none());
}

#[tokio::test]
async fn the_metrics_are_coredns_s() {
    let stand = Stand::new("cache");
    stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    stand.hit(&question("www.example.org", 1)).unwrap();
    stand.bench.done().plan.chain.clear();
    stand.bench.done().plan.cache = None;
    let metrics = stand.bench.metrics.clone();
    // The last one to use the cache settles its counts.
    drop(stand);
    let text = metrics.render();
    for line in [
        "coredns_cache_hits_total{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"} 1",
        "coredns_cache_misses_total{server=\"dns://:53\",view=\"\",zones=\".\"} 1",
        "coredns_cache_requests_total{server=\"dns://:53\",view=\"\",zones=\".\"} 2",
        "coredns_cache_entries{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"} 1",
        "coredns_cache_entries{server=\"dns://:53\",type=\"denial\",view=\"\",zones=\".\"} 0",
        "dunlin_cache_bytes{server=\"dns://:53\",type=\"denial\",view=\"\",zones=\".\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let octets =
        text.lines().find_map(|line| line.strip_prefix("dunlin_cache_bytes{server=\"dns://:53\",type=\"success\""));
    let octets = octets.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap();
    assert!((48.0..2048.0).contains(&octets), "{octets}");
}

#[tokio::test]
async fn a_reload_keeps_the_answers_while_their_makers_stay() {
    let forward = "forward . 192.0.2.53";
    let stand = Stand::new(&format!("errors\ncache 30\n{forward}"));
    stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    for (lines, kept) in [
        // What stands beside it does not matter, what stands behind it does.
        (format!("log\nerrors\n\ncache 30\n{forward}"), true),
        (format!("cache 31\n{forward}"), false),
        (format!("cache 30\n{forward} {{\nforce_tcp\n}}"), false),
    ] {
        let bench = stand.bench.reloaded();
        bench.done().plan.server = "dns://:53".into();
        bench.set_up(&DEFINITION, &lines).unwrap();
        let next = Stand { bench, asked: Arc::default() };
        assert_eq!(next.hit(&question("www.example.org", 1)).is_some(), kept, "{lines}");
    }
}

#[tokio::test]
async fn a_reload_keeps_them_wherever_the_block_stands() {
    let stand = Stand::new("cache 30\nforward . 192.0.2.53");
    stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    for (index, binds, kept) in [(3, vec![], true), (0, vec![[127, 0, 0, 1].into()], false)] {
        let bench = stand.bench.reloaded();
        bench.done().plan.server = "dns://:53".into();
        bench.done().plan.binds = binds;
        bench.done().block.index = index;
        bench.set_up(&DEFINITION, "cache 30\nforward . 192.0.2.53").unwrap();
        let next = Stand { bench, asked: Arc::default() };
        assert_eq!(next.hit(&question("www.example.org", 1)).is_some(), kept, "{index}");
        // A second block just like it is another cache.
        next.bench.done().plan.chain.clear();
        next.bench.set_up(&DEFINITION, "cache 30\nforward . 192.0.2.53").unwrap();
        assert!(next.hit(&question("www.example.org", 1)).is_none());
    }
}

/// The cache that was set up, for its insides.
fn inside(lines: &str) -> Arc<Cache> {
    let bench = Bench::new();
    let text = format!(". {{\n{lines}\n}}\n");
    let corefile = crate::corefile::parse(std::path::Path::new("Corefile"), &text, &|_| None).unwrap();
    let options = bench.with_setup(&corefile.blocks[0].directives, super::options::read).unwrap();
    let tables = Arc::new(super::Tables::new(&options));
    Cache::new(options, tables, None)
}
