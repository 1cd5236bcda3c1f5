//! A cluster of 10,000 Services and 99,000 endpoints on the fake API server: the memory that a forced relist takes, and
//! the time that a start takes after `kill -9`.
//!
//! `cargo test --release --test large_cluster` prints memory at rest, at the peak of each relist and their ratio; and
//! from the start to the first answer, with the API server and with a snapshot. The fake server runs in the test, on
//! the same processors, and speaks JSON, which is dearer to read than what a real one sends.

mod support;

use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use support::fakeapi::{FakeApi, Fault};
use support::{Dunlin, Scratch, Start, free_port, http_get, say, wait_until};

const NAMESPACES: usize = 100;
/// Of a namespace; of each hundred one is an ExternalName, nine are headless.
const SERVICES: usize = 100;
/// Of a Service that is no ExternalName.
const ENDPOINTS: usize = 10;
/// The most that a relist may take, in parts of what is resident at rest.
const MOST: f64 = 1.4;
/// Relists that are forced, one after the other.
const RELISTS: usize = 3;
/// Starts of each kind.
const STARTS: usize = 3;
/// A headless Service, whose endpoints come with the last kind that is listed.
const QUESTION: &str = "s-39.ns-42.svc.cluster.local. A";
const COREFILE: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa {
        endpoint {$API}
        {$MORE}
    }
}
";

/// Memory and time are measured, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn api() -> FakeApi {
    let api = FakeApi::with_pages_of(500);
    for namespace in 0..NAMESPACES {
        api.put("Namespace", json!({"metadata": {"name": format!("ns-{namespace}")}}));
        for service in 0..SERVICES {
            api.put("Service", service_object(namespace, service));
            if service != 99 {
                api.put("EndpointSlice", slice_object(namespace, service));
            }
        }
    }
    api
}

fn metadata(namespace: usize, name: &str) -> Value {
    json!({"name": name, "namespace": format!("ns-{namespace}"), "uid": "5f0b4c0e-3f5b-4c1e-9d4e-0123456789ab",
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app.kubernetes.io/managed-by": "test"}})
}

fn service_object(namespace: usize, service: usize) -> Value {
    let number = namespace * SERVICES + service;
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let spec = match service {
        99 => json!({"type": "ExternalName", "externalName": "example.com"}),
        _ if service % 10 == 9 => json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": ports}),
        _ => {
            let address = format!("10.100.{}.{}", number >> 8, number & 255);
            json!({"clusterIP": address, "clusterIPs": [address], "ports": ports})
        }
    };
    json!({"metadata": metadata(namespace, &format!("s-{service}")), "spec": spec})
}

fn slice_object(namespace: usize, service: usize) -> Value {
    let first = (namespace * SERVICES + service) * ENDPOINTS;
    let endpoints = (first..first + ENDPOINTS).map(|number| {
        json!({
            "addresses": [format!("10.{}.{}.{}", 128 + (number >> 16), number >> 8 & 255, number & 255)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", number % 100),
            "targetRef": {"kind": "Pod", "name": format!("s-{service}-{number}"), "namespace": format!("ns-{namespace}")},
        })
    });
    let mut metadata = metadata(namespace, &format!("s-{service}-abcde"));
    metadata["labels"]["kubernetes.io/service-name"] = json!(format!("s-{service}"));
    json!({
        "metadata": metadata, "addressType": "IPv4", "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn start(api: &FakeApi, more: &str, ready: u16, metrics: u16) -> Start {
    let start = Start::corefile(&COREFILE.replace("{$MORE}", more)).set("API", &api.url);
    start.set("READY", ready).set("METRICS", metrics)
}

/// The sum of a counter's series.
fn sum(metrics: u16, series: &str) -> f64 {
    let text = http_get(metrics, "/metrics").map(|(_, text)| text).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Resident memory once it does not change any more: the least of two seconds without a query.
fn at_rest(dunlin: &Dunlin) -> u64 {
    std::thread::sleep(Duration::from_secs(1));
    let samples = (0..10).map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        dunlin.resident()
    });
    samples.min().unwrap_or_default()
}

#[test]
fn a_forced_relist_takes_little_memory() {
    let _alone = ALONE.lock();
    let (api, metrics) = (api(), free_port());
    let dunlin = start(&api, "", free_port(), metrics).run();
    assert_eq!(dunlin.ask(QUESTION).data().len(), ENDPOINTS);
    let megabytes = |octets: u64| octets as f64 / 1e6;
    let rest = at_rest(&dunlin);
    say(format!(
        "\nat rest {:.1} MB resident, {:.1} MB at most since the start",
        megabytes(rest),
        megabytes(dunlin.peak())
    ));
    if !dunlin.forget_peak() {
        return support::skip("memory of a relist", "this system does not let the peak be forgotten");
    }
    for relist in 1..=RELISTS {
        let before = sum(metrics, "dunlin_watch_relists_total");
        api.begin(Fault::GoneEvent);
        api.end();
        let listed = wait_until(Duration::from_secs(30), || {
            std::thread::sleep(Duration::from_millis(100));
            sum(metrics, "dunlin_watch_relists_total") >= before + 3.0
        });
        assert!(listed, "no relist:\n{}", dunlin.output());
        let (peak, ratio) = (dunlin.peak(), dunlin.peak() as f64 / rest as f64);
        say(format!("relist {relist}: {:.1} MB at most, {ratio:.2} times the rest", megabytes(peak)));
        assert!(ratio <= MOST, "{peak} octets, {rest} at rest");
    }
    say(format!("afterwards {:.1} MB resident", megabytes(at_rest(&dunlin))));
    assert_eq!(dunlin.ask(QUESTION).data().len(), ENDPOINTS);
}

#[test]
fn a_kill_and_a_restart_answer_soon() {
    let _alone = ALONE.lock();
    let (api, files, ready, metrics) = (api(), Scratch::new(), free_port(), free_port());
    let path = files.path().join("state");
    let option = format!("snapshot {}", path.display());
    let dunlin = start(&api, &option, ready, metrics).run();
    assert!(wait_until(Duration::from_secs(30), || path.exists()), "written some seconds after the start");
    dunlin.signal("KILL");
    drop(dunlin);
    let median = |kind: &str, more: &str| {
        let mut took: Vec<Duration> = (0..STARTS)
            .map(|_| {
                let (dunlin, took) = start(&api, more, ready, metrics).until_answer(QUESTION);
                dunlin.signal("KILL");
                took
            })
            .collect();
        took.sort();
        say(format!(
            "{kind:<42} {:>6.0} ms in the median, {:>6.0} ms at worst",
            millis(took[STARTS / 2]),
            millis(took[STARTS - 1])
        ));
        took[STARTS / 2]
    };
    say("\nkill -9, restart, first answer, 10,000 Services and 99,000 endpoints:");
    let with_server = median("with the API server, without a snapshot", "");
    let with_both = median("with the API server, with a snapshot", &option);
    api.begin(Fault::Down);
    let alone = median("without the API server, with a snapshot", &option);
    let (dunlin, _) = start(&api, &option, ready, metrics).until_answer(QUESTION);
    let read = dunlin.output().lines().find_map(|line| Some(line.split_once("(read in ")?.1.to_owned()));
    say(format!("the snapshot has {:.1} MB, read in {}", size(&path), read.unwrap_or_default().trim_end_matches(')')));
    assert_eq!(dunlin.ask(QUESTION).data().len(), ENDPOINTS);
    assert!(with_both < with_server && alone < with_server, "a snapshot is sooner than a list");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// In megabytes.
fn size(path: &std::path::Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1e6)
}
