//! Everything at once, for long: objects change, the API server has one fault after the other, the Corefile is reloaded,
//! and queries come all the time. At the end every name in the store is compared with what the API server holds.
//!
//! `DUNLIN_SOAK=1800 cargo test --test soak` goes on for half an hour. Prints what was done, queries, unanswered ones,
//! differences at the end, and memory.

mod support;

use hickory_proto::rr::RecordType;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::cluster::{Cluster, Truth};
use support::fakeapi::FAULTS;
use support::{Dunlin, Start, Steady, Upstream, free_port, http_get, say, wait_until};

/// Queries a second from each of [`SOCKETS`].
const RATE: u32 = 250;
const SOCKETS: usize = 4;
const NAMES: [&str; 4] = [
    "stable-1.shop.svc.cluster.local.",
    "www.example.com.",
    "stable-39.shop.svc.cluster.local.",
    "no.shop.svc.cluster.local.",
];
/// How long each fault goes on.
const FAULT: Duration = Duration::from_millis(700);
/// The first part of the soak fills caches, threads' stacks and the allocator's pages; memory is compared with its end.
const WARM: u32 = 4;

/// A configuration whose other parts come and go.
fn corefile(round: usize) -> String {
    let mut text = "\
cluster.local:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    kubernetes {
        endpoint {$API}
        ttl 5
    }
    transfer {
        to *
    }
}
.:{$PORT} {
    bind 127.0.0.1
    forward . {$UPSTREAM}
    cache 30
}
"
    .to_owned();
    if round % 2 == 1 {
        text += "added.example:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n";
    }
    if round % 3 == 1 {
        text += ".:{$OTHER} {\n    bind 127.0.0.1\n    forward . {$UPSTREAM}\n}\n";
    }
    if round % 5 == 4 {
        text += "broken.example:{$PORT} {\n    no_such_plugin\n}\n";
    }
    text
}

/// The names of Services in the store, each with its addresses, as a transfer of the zone has them.
fn store(dunlin: &Dunlin) -> Truth {
    let mut found = Truth::new();
    for (owner, address) in transferred(dunlin) {
        found.entry(owner).or_default().push(address);
    }
    found.values_mut().for_each(|addresses| addresses.sort_unstable());
    found
}

/// `(service, address)` of every A record of a transfer that stands at a Service's own name.
fn transferred(dunlin: &Dunlin) -> BTreeSet<(String, String)> {
    let records = dunlin.client().transfer("cluster.local.").into_iter().filter_map(|record| {
        let owner = record.name.to_ascii();
        let service = owner.strip_suffix(".shop.svc.cluster.local.").filter(|service| !service.contains('.'))?;
        (record.record_type() == RecordType::A).then(|| (service.to_owned(), record.data.to_string()))
    });
    records.collect()
}

/// What the API server holds and the store does not, or otherwise, and the other way around.
fn differences(truth: &Truth, store: &Truth) -> Vec<String> {
    let held = |truth: &Truth, name: &String| {
        let mut addresses = truth.get(name).cloned().unwrap_or_default();
        addresses.sort_unstable();
        addresses
    };
    let names: BTreeSet<&String> = truth.keys().chain(store.keys()).collect();
    let differ = names.into_iter().filter(|name| held(truth, name) != held(store, name));
    differ.map(|name| format!("{name}: {:?}, not {:?}", held(store, name), held(truth, name))).collect()
}

#[test]
fn churn_faults_reloads_and_load_together_end_in_the_truth() {
    let seconds = std::env::var("DUNLIN_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let (upstream, mut cluster, metrics) = (Upstream::start(), Cluster::new(), free_port());
    let dunlin = Start::corefile(&corefile(0))
        .set("API", &cluster.api.url)
        .set("UPSTREAM", upstream.address)
        .set("OTHER", free_port())
        .set("METRICS", metrics)
        .run();
    cluster.time_to_truth(&dunlin, "at the start");
    let load = Steady::over(&dunlin, &NAMES, RATE, SOCKETS);
    let ended = || ["Reloading complete", "Restart failed"].map(|text| dunlin.output().matches(text).count());
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let (mut rounds, mut before) = (0, 0);
    while begun.elapsed() < length {
        cluster.api.age();
        cluster.api.begin(FAULTS[rounds % FAULTS.len()]);
        cluster.change();
        rounds += 1;
        dunlin.scratch().write("Corefile", &corefile(rounds));
        let reloads = ended();
        dunlin.signal("USR1");
        std::thread::sleep(FAULT);
        assert!(wait_until(Duration::from_secs(10), || ended() != reloads), "round {rounds}:\n{}", dunlin.output());
        cluster.change();
        cluster.api.end();
        std::thread::sleep(FAULT);
        if before == 0 && begun.elapsed() > length / WARM {
            before = dunlin.resident();
        }
    }
    let to_truth = cluster.time_to_truth(&dunlin, "at the end");
    let (sent, unanswered) = load.report();
    let (store, after) = (store(&dunlin), dunlin.resident());
    let differences = differences(&cluster.truth, &store);
    let [reloads, refused] = ended();
    let text = http_get(metrics, "/metrics").map(|(_, text)| text).unwrap_or_default();
    let dropped: Vec<&str> = text.lines().filter(|line| line.starts_with("dunlin_engine_dropped_total")).collect();
    say(format!(
        "\nsoak {seconds} s: faults {rounds} reloads {reloads} refused {refused} queries {sent} unanswered {unanswered} \
         names {} differences {} after {to_truth:.1?}, resident {:.1} MB after a quarter, {:.1} MB at the end",
        store.len(),
        differences.len(),
        before as f64 / 1e6,
        after as f64 / 1e6
    ));
    say(dropped.join("\n"));
    assert!(differences.is_empty(), "{differences:?}");
    assert!(store.len() >= 50, "{} names", store.len());
    assert_eq!(unanswered, 0, "of {sent}");
    assert!(!dunlin.output().contains("panicked"), "{}", dunlin.output());
    assert!(after < before + before / 2 + 8_000_000, "{after} octets, from {before}");
}
