//! Nothing that is known is lost by what goes wrong between the API server and this server.
//!
//! Each fault is injected again and again into a whole server, beside the others, while objects change and while names
//! that do not change are asked for all the time. Prints: fault, times injected, answers that lacked a known record,
//! and how long it took from the end of the fault until every name is what the API server holds.
//! `DUNLIN_FAULTS=20 cargo test --test faults` injects each twenty times.

mod support;

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::cluster::{Cluster, STABLE};
use support::fakeapi::{FAULTS, Fault};
use support::tls::{Authority, Front};
use support::{Dunlin, Scratch, Start, http_get, say, wait_until};

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
    row(&format!("{fault:?}"), times, &dunlin, watchman, took)
}

fn row(name: &str, times: u32, dunlin: &Dunlin, watchman: Watchman, mut took: Vec<Duration>) -> String {
    let (asked, lost) = watchman.report();
    let output = dunlin.output();
    assert!(!output.contains("panicked"), "{output}");
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

/// What a server watches: Services, EndpointSlices, Namespaces.
const WATCHES: u64 = 3;

/// Faults of TLS and of tokens, between a server that shows a certificate and one that shows a token.
#[test]
fn an_expired_certificate_and_a_rotated_token_end_in_the_truth_and_no_secret_is_told() {
    let (files, authority, mut cluster) = (Scratch::new(), Authority::new(), Cluster::new());
    let (good, expired) = (authority.issue("127.0.0.1"), authority.issue_until("127.0.0.1", 2001));
    let behind = cluster.api.url.trim_start_matches("http://").parse().expect("an address");
    let front = Front::start(behind, &good);
    let tokens = ["token-that-nobody-may-see-1", "token-that-nobody-may-see-2"];
    cluster.api.demand(tokens[0]);
    let (authority, token) = (files.write("ca.pem", &authority.pem()), files.write("token", tokens[0]));
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "one", "cluster": {
            "server": format!("https://{}", front.address), "certificate-authority": authority}}],
        "users": [{"name": "one", "user": {"tokenFile": token}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
    });
    let kubeconfig = files.write("kubeconfig", &kubeconfig.to_string());
    let corefile = "cluster.local:{$PORT} {\n    bind 127.0.0.1\n    debug\n    errors\n    log\n    kubernetes {\n        kubeconfig {$FILE} one\n    }\n}\n";
    let dunlin = Start::corefile(corefile).set("FILE", kubeconfig.display()).run();
    cluster.time_to_truth(&dunlin, "over TLS");

    let watchman = Watchman::over(&dunlin);
    front.show(&expired);
    cluster.change();
    dunlin.wait_for_output("expired");
    cluster.change();
    front.show(&good);
    let took = cluster.time_to_truth(&dunlin, "an expired certificate");
    let certificate = row("Expired (TLS)", 1, &dunlin, watchman, vec![took]);

    // The file changes first, as kubelet does it; the old token is not taken any more.
    let watchman = Watchman::over(&dunlin);
    files.write("token", tokens[1]);
    cluster.api.demand(tokens[1]);
    cluster.change();
    dunlin.wait_for_output("401");
    cluster.change();
    let took = cluster.time_to_truth(&dunlin, "a rotated token");
    // The refusal itself sends us to the file: no watch is refused again and again until somebody looks.
    let refused = cluster.api.refused();
    say(format!("a rotated token: {refused} requests refused"));
    assert!((1..=2 * WATCHES).contains(&refused), "{refused} requests refused");
    let token = row("Rotated token", 1, &dunlin, watchman, vec![took]);
    say(format!("\n{certificate}\n{token}"));
    let output = dunlin.output();
    let secret = good.key.lines().nth(1).expect("PEM has lines");
    assert!(tokens.iter().chain([&secret]).all(|secret| !output.contains(secret)), "{output}");
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
    let gauge = || snapshot_metric(metrics, "dunlin_snapshot_in_use");
    assert_eq!(gauge(), Some(1.0));
    assert!(snapshot_metric(metrics, "dunlin_snapshot_timestamp_seconds").is_some_and(|time| time > 1.7e9));
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
    assert_eq!(gauge(), Some(0.0));
    say(format!(
        "\nsnapshot: answers {took:.0?} after the start, the truth {to_truth:.1?} after the API server came back"
    ));
}

/// The value of a metric about the one snapshot file.
fn snapshot_metric(port: u16, name: &str) -> Option<f64> {
    let text = http_get(port, "/metrics").map(|(_, text)| text).unwrap_or_default();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with("{file=")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_snapshot_that_is_not_fit_is_said_and_not_used() {
    let cluster = Cluster::new();
    let files = Scratch::new();
    let future = b"dunlin snapshot\n\x00\x00\x00\x09more";
    let cases: [(&str, &[u8], &str); 3] = [
        ("foreign", b"apiVersion: v1\n", "is no snapshot of dunlin"),
        ("torn", b"dunlin snapshot\n\x00\x00\x00\x02\x00", "is damaged"),
        ("future", future, "is of version 9; this program reads version 2"),
    ];
    for (name, octets, said) in cases {
        let path = files.path().join(name);
        std::fs::write(&path, octets).expect("a file");
        let (dunlin, _, metrics) = cluster.serve(&format!("snapshot {}", path.display()));
        dunlin.wait_for_output(&format!("[ERROR] plugin/kubernetes: the snapshot {} {said}", path.display()));
        assert_eq!(snapshot_metric(metrics, "dunlin_snapshot_failures_total"), Some(1.0), "{name}");
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
