//! Reloads under load: not one query of what stays is unanswered, and what was taken is given back.
//!
//! `DUNLIN_RELOADS=200 cargo test --test reload` reloads as often. Prints reloads, queries, unanswered ones, and memory.

mod support;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Dunlin, Question, Scratch, Start, Upstream, free_port, say, wait_until};

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
const SOCKETS: u32 = 4;
/// A query without an answer for so long is unanswered.
const PATIENCE: Duration = Duration::from_secs(3);

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

/// Sends at the rate until it is over: how many were sent, and how many had no answer.
fn load(dunlin: &Dunlin, over: &AtomicBool, number: u32) -> (u32, u32) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(dunlin.address()).expect("connected");
    socket.set_read_timeout(Some(Duration::from_micros(500))).expect("a timeout");
    let names = ["web.shop.svc.cluster.local.", "www.example.com.", "no.shop.svc.cluster.local.", "www.example.com."];
    let begun = Instant::now();
    let (mut sent, mut waiting) = (0_u32, std::collections::HashMap::new());
    let mut unanswered = 0;
    let mut buffer = [0; 4096];
    loop {
        let is_over = over.load(Ordering::Relaxed);
        let due = (begun.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
        while !is_over && sent < due {
            let question = Question::new(names[((sent + number) % 4) as usize], "A");
            let id = sent as u16;
            socket.send(&question.message(id)).expect("sent");
            waiting.insert(id, Instant::now());
            sent += 1;
        }
        if let Ok(length) = socket.recv(&mut buffer) {
            assert!(length >= 12 && matches!(buffer[3] & 15, 0 | 3), "rcode {}", buffer[3] & 15);
            waiting.remove(&u16::from_be_bytes([buffer[0], buffer[1]]));
        }
        let before = waiting.len();
        waiting.retain(|_, at| at.elapsed() < PATIENCE);
        unanswered += (before - waiting.len()) as u32;
        if is_over && waiting.is_empty() {
            return (sent, unanswered);
        }
    }
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
    let over = AtomicBool::new(false);
    let (sent, unanswered, before, after) = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..SOCKETS)
            .map(|number| {
                let (dunlin, over) = (&dunlin, &over);
                scope.spawn(move || load(dunlin, over, number))
            })
            .collect();
        // The first rounds fill caches, threads' stacks and the allocator's pages.
        (1..=6).for_each(&reload);
        let before = dunlin.resident();
        (7..=6 + reloads).for_each(&reload);
        std::thread::sleep(Duration::from_secs(1));
        over.store(true, Ordering::Relaxed);
        let sums = loads.into_iter().map(|load| load.join().expect("every answer is right in kind"));
        let (sent, unanswered) = sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (sent, unanswered, before, dunlin.resident())
    });
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
