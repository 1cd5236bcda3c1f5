//! Nothing that is known is lost by what goes wrong between the API server and this server.
//!
//! Each fault is injected again and again into a whole server, beside the others, while objects change and while names that
//! do not change are asked for all the time. Prints: fault, times injected, answers that lacked a known record, and how long
//! it took from the end of the fault until every name is what the API server holds.
//! `DUNLIN_FAULTS=20 cargo test --test faults` injects each twenty times.

mod support;

use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::fakeapi::{FakeApi, Fault};
use support::{Dunlin, Scratch, Start, free_port, http_get, say, wait_until};

/// The longest that any fault may be felt after its end: the longest back-off of a watch, and the list behind it.
const LONGEST: Duration = Duration::from_secs(150);
const STABLE: usize = 40;
const CHANGING: usize = 10;

const FAULTS: [Fault; 14] = [
    Fault::CutInAnEvent,
    Fault::CleanEnd,
    Fault::Hang,
    Fault::GoneStatus,
    Fault::GoneEvent,
    Fault::GoneInAList,
    Fault::TooMany,
    Fault::InternalError,
    Fault::Unauthorized,
    Fault::Garbage,
    Fault::Undecodable,
    Fault::Lagging,
    Fault::Down,
    Fault::Replaced,
];

/// What the API server holds, as answers: name to addresses, none for NXDOMAIN.
type Truth = BTreeMap<String, Vec<String>>;

/// A cluster on a fake API server: services, and headless ones with endpoints.
struct Cluster {
    api: FakeApi,
    truth: Truth,
    changes: u8,
}

impl Cluster {
    fn new() -> Cluster {
        let mut cluster = Cluster { api: FakeApi::start(), truth: Truth::new(), changes: 0 };
        cluster.api.put("Namespace", json!({"metadata": {"name": "shop"}}));
        for number in 0..STABLE {
            cluster.put_service(&format!("stable-{number}"), &format!("10.1.0.{number}"));
        }
        for number in 0..CHANGING {
            cluster.put_service(&format!("changing-{number}"), &format!("10.2.0.{number}"));
            cluster.put_headless(&format!("headless-{number}"), &[format!("10.3.0.{number}")]);
        }
        cluster
    }

    fn put_service(&mut self, name: &str, address: &str) {
        let spec = json!({"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]});
        self.api.put("Service", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
        self.truth.insert(name.to_owned(), vec![address.to_owned()]);
    }

    fn put_headless(&mut self, name: &str, addresses: &[String]) {
        let spec = json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80, "protocol": "TCP"}]});
        self.api.put("Service", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
        let endpoints: Vec<_> =
            addresses.iter().map(|one| json!({"addresses": [one], "conditions": {"ready": true}})).collect();
        let metadata =
            json!({"name": format!("{name}-x"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name}});
        let ports = json!([{"name": "", "port": 80, "protocol": "TCP"}]);
        self.api.put(
            "EndpointSlice",
            json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}),
        );
        self.truth.insert(name.to_owned(), addresses.to_vec());
    }

    /// Adds, changes and deletes, each time others.
    fn change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        let round = self.changes;
        for number in 0..CHANGING {
            let name = format!("changing-{number}");
            if (number + usize::from(round)) % 3 == 0 {
                self.api.delete("Service", "shop", &name);
                self.truth.insert(name, Vec::new());
            } else {
                self.put_service(&name, &format!("10.2.{round}.{number}"));
            }
            let addresses = [format!("10.3.{round}.{number}"), format!("10.4.{round}.{number}")];
            self.put_headless(&format!("headless-{number}"), &addresses[..1 + number % 2]);
        }
        self.put_service(&format!("new-{round}"), &format!("10.5.{round}.1"));
    }

    fn corefile(more: &str) -> String {
        format!(
            "cluster.local:{{$PORT}} {{\n    bind 127.0.0.1\n    ready 127.0.0.1:{{$READY}}\n    prometheus 127.0.0.1:{{$METRICS}}\n    \
             kubernetes {{\n        endpoint {{$API}}\n        {more}\n    }}\n}}\n"
        )
    }

    fn serve(&self, more: &str) -> (Dunlin, u16, u16) {
        let (ready, metrics) = (free_port(), free_port());
        let start = Start::corefile(&Cluster::corefile(more)).set("API", &self.api.url);
        (start.set("READY", ready).set("METRICS", metrics).run(), ready, metrics)
    }

    /// The first name that is answered otherwise than it is here.
    fn difference(&self, dunlin: &Dunlin) -> Option<String> {
        self.truth.iter().find_map(|(name, addresses)| {
            let answer = dunlin.ask(&format!("{name}.shop.svc.cluster.local. A"));
            let mut expected: Vec<&str> = addresses.iter().map(String::as_str).collect();
            expected.sort_unstable();
            let rcode = if addresses.is_empty() { "NXDOMAIN" } else { "NOERROR" };
            let mut found = answer.data();
            found.sort_unstable();
            (found != expected || answer.rcode != rcode)
                .then(|| format!("{name}: {} {found:?}, not {expected:?}", answer.rcode))
        })
    }

    /// How long until every name is answered as it is here.
    fn time_to_truth(&self, dunlin: &Dunlin, what: &str) -> Duration {
        let begun = Instant::now();
        let mut difference = None;
        let equal = wait_until(LONGEST, || {
            difference = self.difference(dunlin);
            difference.is_none()
        });
        assert!(equal, "{what}: after {LONGEST:?} {}", difference.unwrap_or_default());
        begun.elapsed()
    }
}

/// Asks for names that do not change, over and over; counts answers that lack their address.
struct Watchman {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watchman {
    fn over(dunlin: &Dunlin) -> Watchman {
        let (over, asked, lost) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (client, ends, counts, losses) = (dunlin.client(), over.clone(), asked.clone(), lost.clone());
        let thread = std::thread::spawn(move || {
            for number in (0..STABLE).cycle() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let answer = client.ask(&format!("stable-{number}.shop.svc.cluster.local. A"));
                counts.fetch_add(1, Ordering::Relaxed);
                if answer.data() != [format!("10.1.0.{number}")] {
                    losses.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Watchman { over, asked, lost, thread }
    }

    /// How many answers there were, and how many lacked what they should have.
    fn report(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watchman's answers are well-formed");
        (self.asked.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

/// One row of the table.
fn inject(fault: Fault, times: u32) -> String {
    let mut cluster = Cluster::new();
    let (dunlin, ..) = cluster.serve("ttl 5");
    cluster.time_to_truth(&dunlin, "before any fault");
    let watchman = Watchman::over(&dunlin);
    let mut took = Vec::new();
    for _ in 0..times {
        cluster.api.age();
        cluster.api.begin(fault);
        cluster.change();
        std::thread::sleep(Duration::from_millis(700));
        cluster.change();
        cluster.api.end();
        took.push(cluster.time_to_truth(&dunlin, &format!("{fault:?}")));
    }
    let (asked, lost) = watchman.report();
    let output = dunlin.output();
    assert!(!output.contains("panicked"), "{output}");
    let name = format!("{fault:?}");
    assert_eq!(lost, 0, "{name}: {lost} of {asked} answers lacked a record that has not changed");
    took.sort();
    let (middle, longest) = (took[(took.len() - 1) / 2].as_secs_f64(), took[took.len() - 1].as_secs_f64());
    format!("{name:<16} {times:>5} {asked:>9} {lost:>7} {middle:>9.2} s {longest:>9.2} s")
}

#[test]
fn every_fault_ends_in_the_truth_and_loses_nothing_on_the_way() {
    let times = std::env::var("DUNLIN_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let rows = std::thread::scope(|scope| {
        let running = FAULTS.map(|fault| scope.spawn(move || inject(fault, times)));
        running.map(|row| row.join().expect("no fault loses anything"))
    });
    say(format!(
        "\n{:<16} {:>5} {:>9} {:>7} {:>11} {:>11}",
        "fault", "times", "answers", "lost", "to truth", "longest"
    ));
    rows.iter().for_each(say);
}

#[test]
fn a_start_without_the_api_server_serves_the_snapshot() {
    let files = Scratch::new();
    let option = format!("snapshot {}", files.path().join("state").display());
    let mut cluster = Cluster::new();
    let (mut dunlin, ready, metrics) = cluster.serve(&option);
    assert!(dunlin.output().contains("no snapshot yet in"), "{}", dunlin.output());
    cluster.time_to_truth(&dunlin, "before");
    // A drain writes at once what would be written five seconds later.
    dunlin.signal("TERM");
    assert_eq!(dunlin.wait_for_end(Duration::from_secs(10)), 0, "{}", dunlin.output());
    assert!(http_get(ready, "/ready").is_none() && http_get(metrics, "/metrics").is_none());

    cluster.api.begin(Fault::Down);
    let known = cluster.truth.clone();
    let begun = Instant::now();
    let (dunlin, ready, metrics) = cluster.serve(&option);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "the start waits for nobody: {took:?}");
    assert_eq!(cluster.difference(&dunlin), None);
    assert_eq!(dunlin.ask("nobody.shop.svc.cluster.local. A").rcode, "NXDOMAIN");
    let wait = |text: &str| {
        let said = wait_until(Duration::from_secs(5), || http_get(ready, "/ready") == Some((200, text.to_owned())));
        assert!(said, "/ready is {:?}, not {text}", http_get(ready, "/ready"));
    };
    wait("OK, kubernetes: serving a snapshot");
    let gauge = || {
        let text = http_get(metrics, "/metrics").map(|(_, text)| text).unwrap_or_default();
        text.lines().find(|line| line.starts_with("dunlin_snapshot_in_use{")).and_then(|line| line.chars().last())
    };
    assert_eq!(gauge(), Some('1'));
    dunlin.wait_for_output("[WARNING] plugin/kubernetes: serving 71 objects of the snapshot ");

    // What the API server then says takes its place, while unchanged names are answered all along.
    let watchman = Watchman::over(&dunlin);
    cluster.change();
    assert_ne!(cluster.truth, known);
    cluster.api.end();
    let to_truth = cluster.time_to_truth(&dunlin, "after the API server came back");
    let (asked, lost) = watchman.report();
    assert_eq!(lost, 0, "of {asked}");
    dunlin.wait_for_output("the API server's state has taken the place of the snapshot");
    wait("OK");
    assert_eq!(gauge(), Some('0'));
    say(format!(
        "\nsnapshot: answers {took:.0?} after the start, the truth {to_truth:.1?} after the API server came back"
    ));
}

#[test]
fn a_snapshot_that_is_not_fit_is_said_and_not_used() {
    let cluster = Cluster::new();
    let files = Scratch::new();
    let future = b"dunlin snapshot\n\x00\x00\x00\x09more";
    let cases: [(&str, &[u8], &str); 3] = [
        ("foreign", b"apiVersion: v1\n", "is no snapshot of dunlin"),
        ("torn", b"dunlin snapshot\n\x00\x00\x00\x02\x00", "is damaged"),
        ("future", future, "is of version 9; this program reads version 1"),
    ];
    for (name, octets, said) in cases {
        let path = files.path().join(name);
        std::fs::write(&path, octets).expect("a file");
        let (dunlin, ..) = cluster.serve(&format!("snapshot {}", path.display()));
        dunlin.wait_for_output(&format!("[ERROR] plugin/kubernetes: the snapshot {} {said}", path.display()));
        cluster.time_to_truth(&dunlin, name);
        // It is replaced by a good one.
        let replaced = wait_until(Duration::from_secs(15), || std::fs::read(&path).is_ok_and(|now| now.len() > 500));
        assert!(replaced, "{name}");
    }
}

#[test]
fn a_kill_and_a_restart_with_a_snapshot_answer_at_once() {
    let files = Scratch::new();
    let path = files.path().join("state");
    let option = format!("snapshot {}", path.display());
    let cluster = Cluster::new();
    let (dunlin, ..) = cluster.serve(&option);
    assert!(wait_until(Duration::from_secs(15), || path.exists()), "written some seconds after the start");
    dunlin.signal("KILL");
    drop(dunlin);
    cluster.api.begin(Fault::Down);
    let begun = Instant::now();
    let (dunlin, ..) = cluster.serve(&option);
    assert_eq!(dunlin.ask("stable-7.shop.svc.cluster.local. A").data(), ["10.1.0.7"]);
    say(format!("\nkill -9, restart without the API server: {:.0?} to the first answer", begun.elapsed()));
    assert_eq!(cluster.difference(&dunlin), None);
}
