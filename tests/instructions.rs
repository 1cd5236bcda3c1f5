//! What a query and an update cost in instructions, by callgrind, held to benches/instructions.limits.
//!
//! Counts, unlike times, are the same beside a noisy neighbour. The test below runs itself again under valgrind, with
//! one function's calls counted; each call is one shape. Only the release profile has limits.

mod support;

use dunlin::cluster::{self, Details, Kind, Sink};
use dunlin::metrics::Metrics;
use std::collections::HashMap;
use std::process::Command;
use support::shapes::{self, Measured, Shape};
use support::{Scratch, skip};

/// Set in the run under valgrind.
const INSIDE: &str = "DUNLIN_COUNTED";
const LIMITS: &str = "benches/instructions.limits";
/// Endpoints of a slice, and updates of it that are counted.
const ENDPOINTS: u8 = 100;
const UPDATES: u8 = 16;
/// Rounds of the queries that are sampled.
const SAMPLED: usize = 64;

#[test]
fn queries_and_updates_stay_below_their_limits() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let name = "instructions";
    if cfg!(debug_assertions) {
        return skip(name, "limits are for the release profile (cargo test --release)");
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skip(name, "there is no valgrind on PATH");
    }
    let scratch = Scratch::new();
    let out = scratch.path().join("callgrind.out");
    // By its whole name: callgrind writes no dump for a pattern.
    let counted = "instructions::counted";
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([format!("--toggle-collect={counted}"), format!("--dump-after={counted}")])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "everything_counted_is_right", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("valgrind runs");
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));

    let (mut over, mut table, mut seen) = (Vec::new(), String::new(), HashMap::new());
    for (index, (name, count)) in costs().into_iter().enumerate() {
        let dump = format!("{}.{}", out.display(), index + 1);
        let dump = std::fs::read_to_string(&dump).unwrap_or_else(|error| panic!("{dump}: {error}"));
        let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        let cost = total.expect("callgrind's totals") / count as u64;
        let limit = limit(name);
        table += &format!("{name:20} {cost:>8} of {limit}\n");
        seen.insert(name, cost);
        if cost > limit {
            over.push(name);
        }
        // A limit far above the cost guards nothing.
        assert!(cost * 3 > limit, "{name} costs {cost}: lower its limit of {limit} in {LIMITS}");
    }
    support::say(format!("\ninstructions, each:\n{table}"));
    assert!(over.is_empty(), "above {LIMITS}: {over:?}\n{table}");
    // What `status` may cost a query: two of a hundred, even without the kernel's part of one.
    assert!(seen["service-a-status"] * 100 <= seen["service-a"] * 102, "status costs too much:\n{table}");
}

/// The limit of a row.
fn limit(name: &str) -> u64 {
    let limits = support::read(LIMITS);
    let row = limits.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    row.unwrap_or_else(|| panic!("{LIMITS} has no {name}"))
}

/// The rows in the order they are counted in, and how many queries or updates each has.
fn costs() -> Vec<(&'static str, usize)> {
    let queries = shapes::shapes().into_iter().map(|shape| (shape.name, shape.questions.len()));
    let sampled = ("service-a-status", SAMPLED * shapes::shapes()[0].questions.len());
    queries.chain([sampled, ("slice-update-100", usize::from(UPDATES))]).collect()
}

#[test]
fn everything_counted_is_right() {
    let measured = Measured::start();
    let mut lane = measured.bench.lane();
    let mut out = vec![0; 4096];
    for shape in &shapes::shapes() {
        // Twice, so that the first uses of things are outside of what is counted.
        shapes::ask(&mut *lane, shape, &mut out);
        assert_eq!(counted(|| query(&mut *lane, shape, &mut out)), shape.questions.len(), "{}", shape.name);
    }
    sampled_queries(&mut out);
    let sink = dunlin::plugins::sink_for_measurements(&Metrics::new());
    let frames: Vec<_> = (0..=UPDATES).map(slice_event).collect();
    assert_eq!(tell(&sink, &frames[..1]), 1);
    assert_eq!(counted(|| tell(&sink, &frames[1..])), usize::from(UPDATES));
}

/// One shape again, with `status` in the server block, often enough that what is sampled at a second's beginning is
/// little.
fn sampled_queries(out: &mut [u8]) {
    let measured = Measured::start_with("status 127.0.0.1:0");
    let mut lane = measured.bench.lane();
    let shape = shapes::shapes().swap_remove(0);
    let mut rounds = |rounds| (0..rounds).map(|_| query(&mut *lane, &shape, out)).sum::<usize>();
    rounds(4);
    assert_eq!(counted(|| rounds(SAMPLED)), SAMPLED * shape.questions.len());
}

/// What callgrind counts: it knows this function by its name.
#[inline(never)]
fn counted(run: impl FnOnce() -> usize) -> usize {
    std::hint::black_box(run())
}

fn query(lane: &mut dyn dunlin::engine::Lane, shape: &Shape, out: &mut [u8]) -> usize {
    shapes::ask(lane, shape, out)
}

/// Decodes and applies watch events. Returns how many could be read.
fn tell(sink: &dyn Sink, frames: &[Vec<u8>]) -> usize {
    frames
        .iter()
        .filter(|frame| cluster::tell_frame(Kind::EndpointSlice, Details::default(), frame, sink).is_ok())
        .count()
}

/// A MODIFIED event of a slice of whose endpoints one is another each time, as a rollout makes them.
fn slice_event(round: u8) -> Vec<u8> {
    let label = field(11, &[field(1, b"kubernetes.io/service-name"), field(2, b"web")].concat());
    let metadata = [field(1, b"web-abcde"), field(3, b"shop"), field(6, b"17"), label].concat();
    let endpoints = (0..ENDPOINTS).map(|n| {
        let ip = format!("10.1.{}.{n}", if n == round { 1 } else { 0 });
        // Field 3 of a ready endpoint's conditions is left out: Kubernetes writes it so.
        let conditions = field(2, &[1 << 3, 1]);
        let target = field(4, &[field(1, b"Pod"), field(2, b"shop"), field(3, format!("web-{n}").as_bytes())].concat());
        field(2, &[field(1, ip.as_bytes()), conditions, target].concat())
    });
    let port = field(3, &[field(1, b"http"), field(2, b"TCP"), vec![3 << 3, 0x90, 0x3f]].concat());
    let slice = [field(1, &metadata), endpoints.collect::<Vec<_>>().concat(), port, field(4, b"IPv4")].concat();
    let unknown = [b"k8s\0".to_vec(), field(2, &slice)].concat();
    [field(1, b"MODIFIED"), field(2, &field(1, &unknown))].concat()
}

/// A protobuf field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        octets.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    octets.push(length as u8);
    octets.extend(content);
    octets
}
