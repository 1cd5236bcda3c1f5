//! Reloads under load: not one query of what stays is unanswered, and what was taken is given back.
//!
//! `DUNLIN_RELOADS=200 cargo test --test reload` reloads as often. Prints reloads, queries, unanswered ones, and memory.

mod support;

use std::time::Duration;
use support::{Scratch, Start, Steady, Upstream, free_port, say, wait_until};

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

/// Queries a second from each of [`SOCKETS`], half for the cluster, half forwarded.
const RATE: u32 = 500;
const SOCKETS: usize = 4;
const NAMES: [&str; 4] =
    ["web.shop.svc.cluster.local.", "www.example.com.", "no.shop.svc.cluster.local.", "www.example.com."];

/// The configuration of a round: a zone, a port and an upstream's options come and go beside what stays.
fn corefile(round: usize) -> String {
    let mut text = "\
.:{$PORT} {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa {
        manifests {$MANIFESTS}
    }
    forward . {$UPSTREAM}
    cache 30
}
"
    .to_owned();
    if round % 2 == 1 {
        text += "added.example:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n";
    }
    if round % 3 == 1 {
        text += ".:{$OTHER} {\n    bind 127.0.0.1\n    forward . {$UPSTREAM}\n    cache 60\n}\n";
    }
    if round % 5 == 4 {
        text += "broken.example:{$PORT} {\n    no_such_plugin\n}\n";
    }
    text
}

#[test]
fn reloads_under_load_lose_no_query_and_keep_no_memory() {
    let reloads: usize = std::env::var("DUNLIN_RELOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let (upstream, manifests) = (Upstream::start(), Scratch::new());
    manifests.write("shop.yaml", MANIFEST);
    let dunlin = Start::corefile(&corefile(0))
        .set("MANIFESTS", manifests.path().display())
        .set("UPSTREAM", upstream.address)
        .set("OTHER", free_port())
        .run();
    let said = |text: &str| dunlin.output().matches(text).count();
    let reload = |round: usize| {
        dunlin.scratch().write("Corefile", &corefile(round));
        let (done, refused) = (said("Reloading complete"), said("Restart failed"));
        dunlin.signal("USR1");
        let ended = wait_until(Duration::from_secs(10), || {
            said("Reloading complete") + said("Restart failed") > done + refused
        });
        assert!(ended, "reload {round}:\n{}", dunlin.output());
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(said("Restart failed") > refused, round % 5 == 4, "reload {round}:\n{}", dunlin.output());
    };
    let load = Steady::over(&dunlin, &NAMES, RATE, SOCKETS);
    // The first rounds fill caches, threads' stacks and the allocator's pages.
    (1..=6).for_each(&reload);
    let before = dunlin.resident();
    (7..=6 + reloads).for_each(&reload);
    std::thread::sleep(Duration::from_secs(1));
    let (sent, unanswered) = load.report();
    let after = dunlin.resident();
    let megabytes = |octets: u64| octets as f64 / 1e6;
    say(format!(
        "\nreloads {} queries {sent} unanswered {unanswered} resident {:.1} MB after six, {:.1} MB after all",
        reloads + 6,
        megabytes(before),
        megabytes(after)
    ));
    assert_eq!(unanswered, 0, "of {sent}");
    let bound = before + before / 4 + 4_000_000;
    assert!(after < bound, "{:.1} MB, from {:.1} MB", megabytes(after), megabytes(before));
    assert_eq!(dunlin.ask("web.shop.svc.cluster.local. A").data(), ["10.0.0.1"]);
}

#[test]
fn the_cache_stays_for_zones_whose_forward_does_not_change() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let corefile = |before: &str, options: &str| {
        format!(
            "{before}.:{{$PORT}} {{\n    bind 127.0.0.1\n    forward . {{$ONE}}\n    cache 300\n}}\n\
             example.com:{{$PORT}} {{\n    bind 127.0.0.1\n    forward . {{$TWO}} {{\n        {options}\n    }}\n    cache 300\n}}\n"
        )
    };
    let dunlin = Start::corefile(&corefile("", "max_fails 2")).set("ONE", one.address).set("TWO", other.address).run();
    let ask_all = || {
        for name in ["www.example.com. A", "ns.example.net. A"] {
            dunlin.ask(name);
        }
        (one.asked(), other.asked())
    };
    assert_eq!(ask_all(), (1, 1));
    assert_eq!(ask_all(), (1, 1), "from the cache");
    // A block comes before the others; then one's forward changes.
    let added = "added.example:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n";
    for (round, (before, options, asked)) in
        [(added, "max_fails 2", (1, 1)), (added, "max_fails 3", (1, 2))].into_iter().enumerate()
    {
        dunlin.scratch().write("Corefile", &corefile(before, options));
        dunlin.signal("USR1");
        let done = || dunlin.output().matches("Reloading complete").count() > round;
        assert!(wait_until(Duration::from_secs(10), done), "{}", dunlin.output());
        assert_eq!(ask_all(), asked, "reload {round}");
    }
}
