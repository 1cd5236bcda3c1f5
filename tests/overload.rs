//! More queries than can be answered: what can be is, nobody starves another, and forwarded names never slow those of the
//! cluster.
//!
//! `DUNLIN_OVERLOAD=60 cargo test --release --test overload` goes on for a minute. Prints queries sent and answered, by
//! the client that floods and by the one beside it, and memory. The server has one processor, and under the flood about a
//! tenth of it, so that the flood, from another, is some ten times what it can answer.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Dunlin, Question, Scratch, Start, Steady, Upstream, free_port, http_get, say};

const MANIFEST: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80, protocol: TCP}]}
";
const COREFILE: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    kubernetes cluster.local {
        manifests {$MANIFESTS}
    }
    forward . {$UPSTREAM}
    cache 30
}
";
const CLUSTER_NAME: [&str; 1] = ["web.shop.svc.cluster.local."];
/// The client that floods.
const FLOOD: [u8; 4] = [127, 0, 0, 66];
/// Its threads, one socket each.
const FLOODS: usize = 6;
/// The processors of the server and of the flood.
const SERVING: u32 = 0;
const FLOODING: u32 = 1;
/// The most queries that all listeners have in flight, and the most octets that one may take.
const IN_FLIGHT: u64 = 20_000;
const EACH: u64 = 8_000;

/// The processor time of a process so far, in seconds.
fn processor(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

/// Has a task run on one processor, with all its threads where `how` is `-acp`, without where it is `-cp`. Where there is no
/// such processor, or no taskset, it runs where it may.
fn pin(how: &str, task: &str, processor: u32) {
    let _ = Command::new("taskset").args([how, &processor.to_string(), task]).output();
}

/// Has this thread alone run on one processor.
fn pin_this_thread(processor: u32) {
    let thread = std::fs::read_link("/proc/thread-self").expect("a thread is a task");
    pin("-cp", &thread.file_name().expect("its number").to_string_lossy(), processor);
}

/// Tells threads that it is over when it is dropped: also where what they run beside has panicked, for a scope waits for them.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes what it gets of a processor while `meanwhile` runs.
fn beside_a_spinner<T>(processor: u32, meanwhile: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin_this_thread(processor);
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let _ending = Ending(&over);
        meanwhile()
    })
}

struct Bench {
    dunlin: Dunlin,
    metrics: u16,
    _upstream: Upstream,
    _manifests: Scratch,
}

impl Bench {
    fn start() -> Bench {
        let (upstream, manifests, metrics) = (Upstream::start(), Scratch::new(), free_port());
        manifests.write("shop.yaml", MANIFEST);
        let start = Start::corefile(COREFILE).set("MANIFESTS", manifests.path().display()).set("METRICS", metrics);
        let dunlin = start.set("UPSTREAM", upstream.address).run();
        Bench { dunlin, metrics, _upstream: upstream, _manifests: manifests }
    }

    /// The sum of the series whose lines begin so.
    fn sum(&self, series: &str) -> f64 {
        let (_, text) = http_get(self.metrics, "/metrics").expect("metrics are served under any load");
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What `meanwhile` gives, and how many queries were answered and how much processor time was taken while it ran.
    fn worked<T>(&self, meanwhile: impl FnOnce() -> T) -> (T, f64, f64) {
        let work = || (self.sum("coredns_dns_responses_total"), processor(self.dunlin.id()));
        let before = work();
        let result = meanwhile();
        let after = work();
        (result, after.0 - before.0, after.1 - before.1)
    }

    /// Sends one question from so many sockets as fast as it goes, or at a rate each, while `meanwhile` runs. Returns how
    /// many were sent, and what that returns.
    fn flooded<T>(&self, name: &str, sockets: usize, rate: f64, meanwhile: impl FnOnce() -> T) -> (u64, T) {
        let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let message = Question::new(name, "A").message(7);
        let result = thread::scope(|scope| {
            for _ in 0..sockets {
                let socket = UdpSocket::bind(SocketAddr::from((FLOOD, 0))).expect("a socket");
                socket.connect(self.dunlin.address()).expect("connected");
                let (over, all, message) = (&over, &sent, &message);
                scope.spawn(move || {
                    pin_this_thread(FLOODING);
                    let (begun, mut sent) = (Instant::now(), 0_u64);
                    while !over.load(Ordering::Relaxed) {
                        if begun.elapsed().as_secs_f64() * rate < sent as f64 {
                            thread::sleep(Duration::from_micros(200));
                            continue;
                        }
                        for _ in 0..32 {
                            let _ = socket.send(message);
                        }
                        sent += 32;
                    }
                    all.fetch_add(sent, Ordering::Relaxed);
                });
            }
            let _ending = Ending(&over);
            meanwhile()
        });
        (sent.load(Ordering::Relaxed), result)
    }
}

#[test]
fn a_flood_is_answered_at_full_rate_and_starves_nobody() {
    let seconds = std::env::var("DUNLIN_OVERLOAD").ok().and_then(|text| text.parse().ok()).unwrap_or(6.0);
    let bench = Bench::start();
    let server = bench.dunlin.id().to_string();
    pin("-acp", &server, SERVING);
    // Saturation: nobody beside the flood, and a whole processor. Before and after, since the machine has other guests.
    let saturate = || {
        let pause = || thread::sleep(Duration::from_secs_f64(seconds / 4.0));
        bench.worked(|| bench.flooded(CLUSTER_NAME[0], FLOODS, f64::INFINITY, pause))
    };
    let first = saturate();
    let resident = bench.dunlin.resident();
    // Some tenth of a processor for the server; where there is no renice it is half of one, and the overload smaller.
    let _ = Command::new("sh").arg("-c").arg(format!("cd /proc/{server}/task && renice -n 12 *")).output();
    let ((sent, (asked, unanswered)), answered, took) = bench.worked(|| {
        beside_a_spinner(SERVING, || {
            bench.flooded(CLUSTER_NAME[0], FLOODS, f64::INFINITY, || {
                let beside = Steady::over(&bench.dunlin, &CLUSTER_NAME, 100, 4);
                thread::sleep(Duration::from_secs_f64(seconds));
                beside.report()
            })
        })
    });
    let overloaded = answered / took.max(0.01);
    let second = saturate();
    let saturated = (first.1 + second.1) / (first.2 + second.2).max(0.01);
    let [source, queue] =
        ["source", "queue"].map(|reason| bench.sum(&format!("dunlin_engine_dropped_total{{reason=\"{reason}\"}}")));
    let beside = 1.0 - unanswered as f64 / asked as f64;
    say(format!(
        "\noverload {seconds} s: sent {sent} answered {answered} ({:.1} times too many), beside it sent {asked} unanswered \
         {unanswered}; answers a processor second {overloaded:.0}, at saturation {saturated:.0} ({:.0} %); dropped by source {source}, \
         in full queues {queue}; resident {:.1} MB, {:.1} MB after",
        sent as f64 / answered,
        100.0 * overloaded / saturated,
        resident as f64 / 1e6,
        bench.dunlin.resident() as f64 / 1e6
    ));
    assert!(
        overloaded > 0.7 * saturated,
        "{overloaded:.0} answers a second of processor, {saturated:.0} at saturation"
    );
    assert!(bench.dunlin.resident() < resident + resident / 4 + 8_000_000);
    // Where the machine cannot send more than the server answers there is nothing to share.
    if (answered - asked as f64) < 0.7 * sent as f64 {
        assert!(source > 0.0, "nothing was dropped by source");
        // A share of what is answered at all, not of a time: others may run on this machine.
        let share = answered / sent as f64;
        assert!(beside > (8.0 * share).clamp(0.3, 0.8), "{unanswered} of {asked} unanswered beside the flood");
    }
}

#[test]
fn a_dead_upstream_slows_no_cluster_name() {
    let bench = Bench::start();
    let at_rest = bench.dunlin.resident();
    let (sent, (asked, unanswered)) = bench.flooded("dead.silent.test.", 2, 8_000.0, || {
        let beside = Steady::over(&bench.dunlin, &CLUSTER_NAME, 250, 4);
        thread::sleep(Duration::from_secs(4));
        assert!(bench.sum("dunlin_engine_slow_queries") > 0.0, "queries wait");
        beside.report()
    });
    let peak = bench.dunlin.peak();
    let dropped = bench.sum("dunlin_engine_dropped_total{reason=\"source\"}");
    say(format!(
        "\ndead upstream: forwarded {sent}, dropped by source {dropped}; cluster names sent {asked} unanswered {unanswered}; \
         resident {:.1} MB at rest, {:.1} MB at most",
        at_rest as f64 / 1e6,
        peak as f64 / 1e6
    ));
    assert!(peak < at_rest + IN_FLIGHT * EACH, "{peak} octets, {at_rest} at rest");
    assert_eq!(unanswered, 0, "of {asked}");
}
