//! /metrics, /health and /ready as dashboards, alerts and probes of CoreDNS expect them.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;
use support::{Dunlin, Question, Scratch, Start, Upstream, free_port, http_get, read, wait_until};

const COREFILE: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    errors
    health 127.0.0.1:{$HEALTH}
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests {$MANIFESTS}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:{$METRICS}
    forward . {$UPSTREAM} {
        max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
";

struct Running {
    dunlin: Dunlin,
    upstream: Upstream,
    health: u16,
    ready: u16,
    metrics: u16,
    _manifests: Scratch,
}

fn run(corefile: &str) -> Running {
    let upstream = Upstream::start();
    let manifests = Scratch::new();
    for file in ["cluster.yaml", "kubernetes-service.yaml"] {
        manifests.write(file, &read(&format!("tests/data/conformance/{file}")));
    }
    let (health, ready, metrics) = (free_port(), free_port(), free_port());
    let dunlin = Start::corefile(corefile)
        .set("MANIFESTS", manifests.path().display())
        .set("UPSTREAM", upstream.address)
        .set("HEALTH", health)
        .set("READY", ready)
        .set("METRICS", metrics)
        .run();
    Running { dunlin, upstream, health, ready, metrics, _manifests: manifests }
}

impl Running {
    fn scrape(&self) -> String {
        let (status, body) = http_get(self.metrics, "/metrics").expect("/metrics answers");
        assert_eq!(status, 200);
        body
    }

    /// The value of the sample with this name and these labels among its own.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        value(&self.scrape(), name, labels)
    }
}

fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (given, number) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let has = |(label, value): &(&str, &str)| given.contains(&format!("{label}=\"{value}\""));
        if labels.iter().all(has) { number.trim().parse().ok() } else { None }
    })
}

/// The label names of the first sample of a metric.
fn label_names(text: &str, name: &str) -> BTreeSet<String> {
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{')).unwrap_or_default();
    // A label's value may have braces of its own.
    let labels = sample.rsplit_once("} ").unwrap_or_default().0;
    labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

/// The upper bounds of a histogram's buckets, as numbers.
fn buckets(text: &str, name: &str) -> Vec<f64> {
    let mut bounds: Vec<f64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{name}_bucket{{")))
        .filter_map(|labels| labels.split("le=\"").nth(1)?.split('"').next()?.parse().ok())
        .filter(|bound: &f64| bound.is_finite())
        .collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}

fn close(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs())
}

/// Asks some of everything: hits, misses, both transports, an upstream twice.
fn ask_around(running: &Running) {
    for question in [
        "web.prod.svc.cluster.local. A",
        "web.prod.svc.cluster.local. AAAA",
        "web.prod.svc.cluster.local. A tcp",
        "nothing.prod.svc.cluster.local. A do",
        "www.example.com. A",
        "www.example.com. A",
        "nothing.example.com. A",
    ] {
        running.dunlin.ask(question);
    }
}

#[test]
fn names_and_labels_are_coredns_own() {
    let running = run(COREFILE);
    ask_around(&running);
    let text = running.scrape();
    let in_front = ["server", "view", "zone"];
    let families: &[(&str, &str, &[&str])] = &[
        ("coredns_build_info", "gauge", &["goversion", "revision", "version"]),
        ("coredns_panics_total", "counter", &[]),
        ("coredns_plugin_enabled", "gauge", &["name", "server", "view", "zone"]),
        ("coredns_dns_requests_total", "counter", &["family", "proto", "server", "type", "view", "zone"]),
        ("coredns_dns_request_duration_seconds", "histogram", &in_front),
        ("coredns_dns_request_size_bytes", "histogram", &["proto", "server", "view", "zone"]),
        ("coredns_dns_response_size_bytes", "histogram", &["proto", "server", "view", "zone"]),
        ("coredns_dns_do_requests_total", "counter", &in_front),
        ("coredns_dns_responses_total", "counter", &["plugin", "rcode", "server", "view", "zone"]),
        ("coredns_health_request_duration_seconds", "histogram", &[]),
        ("coredns_health_request_failures_total", "counter", &[]),
        ("coredns_cache_entries", "gauge", &["server", "type", "view", "zones"]),
        ("coredns_cache_hits_total", "counter", &["server", "type", "view", "zones"]),
        ("coredns_cache_misses_total", "counter", &["server", "view", "zones"]),
        ("coredns_cache_requests_total", "counter", &["server", "view", "zones"]),
        ("coredns_proxy_request_duration_seconds", "histogram", &["proxy_name", "rcode", "to"]),
        ("process_cpu_seconds_total", "counter", &[]),
        ("process_resident_memory_bytes", "gauge", &[]),
        ("process_open_fds", "gauge", &[]),
        ("process_start_time_seconds", "gauge", &[]),
    ];
    let mut wrong = Vec::new();
    for (name, kind, labels) in families {
        if !text.contains(&format!("# TYPE {name} {kind}\n")) {
            wrong.push(format!("{name} is no {kind} of the exposition"));
            continue;
        }
        let sample = if *kind == "histogram" { format!("{name}_sum") } else { (*name).to_owned() };
        let expected: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let found = label_names(&text, &sample);
        if found != expected {
            wrong.push(format!("{name} has the labels {found:?}, CoreDNS {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{text}", wrong.join("\n"));
    for store in ["namespaces", "services", "endpoints", "addresses", "pods"] {
        let octets = || running.value("dunlin_kubernetes_store_bytes", &[("store", store)]);
        assert!(wait_until(Duration::from_secs(5), || octets() > Some(0.0)), "{store}: {:?}", octets());
    }
}

/// One of everything that CoreDNS counts without a cluster.
const COUNTING: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    errors
    health 127.0.0.1:{$HEALTH}
    prometheus 127.0.0.1:{$METRICS}
    reload
    local
    dns64 {
        translate_all
    }
    acl blocked.test {
        block
    }
    acl filtered.test {
        filter
    }
    acl dropped.test {
        drop
    }
    acl allowed.test {
        allow
    }
    template IN A made.test {
        answer \"{{ .Name }} 60 IN A 192.0.2.1\"
    }
    template IN TXT made.test {
        answer \"{{ .Name }} 60 IN A none\"
    }
    hosts {
        192.0.2.5 kept.test
        fallthrough
    }
    cache 30 {
        prefetch 1 1m 90%
    }
    forward . {$UPSTREAM} {
        max_concurrent 1000
    }
}
";
const RECORDED: &str = "tests/data/metrics/coredns-1.14.7.txt";

/// The families of CoreDNS's exposition after the same questions: name, type, labels, buckets. `DUNLIN_RECORD=PROGRAM`
/// records them anew from another program.
#[test]
fn families_are_those_recorded() {
    let ask_all = |client: &support::Client| {
        for name in
            ["blocked.test.", "filtered.test.", "allowed.test.", "made.test.", "kept.test.", "localhost.a.test."]
        {
            let _ = client.ask_all(&[support::Question::parse(&format!("{name} A")).expect("a question")]);
        }
        for question in [
            "made.test. TXT",
            "www.example.com. AAAA do",
            "www.example.com. AAAA",
            "www.example.com. A",
            "www.example.com. A tcp",
        ] {
            for _ in 0..3 {
                let _ = client.ask_all(&[support::Question::parse(question).expect("a question")]);
            }
        }
    };
    if let Ok(program) = std::env::var("DUNLIN_RECORD") {
        let (upstream, scratch, port, metrics) = (Upstream::start(), Scratch::new(), free_port(), free_port());
        let file = scratch.write("Corefile", COUNTING);
        let mut command = std::process::Command::new(program);
        command.arg("-conf").arg(file).env("PORT", port.to_string()).env("UPSTREAM", upstream.address.to_string());
        command.env("HEALTH", free_port().to_string()).env("METRICS", metrics.to_string());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the program starts");
        assert!(wait_until(Duration::from_secs(10), || http_get(metrics, "/metrics").is_some()), "it serves");
        ask_all(&support::Client::new(([127, 0, 0, 1], port).into()));
        std::thread::sleep(Duration::from_secs(2)); // health asks itself once a second
        let text = http_get(metrics, "/metrics").expect("/metrics answers").1;
        child.kill().and_then(|()| child.wait()).expect("ended");
        std::fs::write(support::repository(RECORDED), families(&text).join("\n") + "\n").expect("written");
    }
    let running = run(COUNTING);
    ask_all(&running.dunlin.client());
    let recorded = read(RECORDED);
    let missing = || -> Vec<String> {
        let ours = families(&running.scrape());
        recorded.lines().filter(|line| !ours.iter().any(|our| our == line)).map(str::to_owned).collect()
    };
    // What is counted shows within a second; health's own requests are one a second.
    wait_until(Duration::from_secs(5), || missing().is_empty());
    let ours = families(&running.scrape()).join("\n");
    assert!(missing().is_empty(), "CoreDNS has\n{}\n\ndunlin has\n{ours}", missing().join("\n"));
    assert!(recorded.lines().count() > 25, "{recorded}");
}

/// The families of an exposition that are CoreDNS's own and have samples, a line each.
fn families(text: &str) -> Vec<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE coredns_")?.split_once(' '));
    let mut lines: Vec<String> = types
        .filter_map(|(name, kind)| {
            let name = format!("coredns_{name}");
            let sample = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
            let has_sample =
                text.lines().any(|line| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with(['{', ' '])));
            let labels: Vec<String> = label_names(text, &sample).into_iter().collect();
            let bounds: Vec<String> = buckets(text, &name).iter().map(|bound| format!("{bound:.6}")).collect();
            let line = format!("{name} {kind} {{{}}} {}", labels.join(","), bounds.join(" "));
            has_sample.then(|| line.trim_end().to_owned())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn buckets_are_coredns_own() {
    let running = run(COREFILE);
    ask_around(&running);
    let text = running.scrape();
    let doubling = |start: f64, count: i32| (0..count).map(|i| start * 2f64.powi(i)).collect::<Vec<_>>();
    let sizes = [0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3];
    for (name, expected) in [
        ("coredns_dns_request_duration_seconds", doubling(0.00025, 16)),
        ("coredns_dns_request_size_bytes", sizes.to_vec()),
        ("coredns_dns_response_size_bytes", sizes.to_vec()),
        ("coredns_health_request_duration_seconds", (0..5).map(|i| 0.00025 * 10f64.powi(i)).collect()),
    ] {
        let found = buckets(&text, name);
        assert!(close(&found, &expected), "{name}: {found:?}, CoreDNS {expected:?}");
    }
}

#[test]
fn queries_are_counted() {
    // The probe of `loop` is a query too, and counted.
    let running = run(&COREFILE.replace("    loop\n", ""));
    ask_around(&running);
    let server = format!("dns://127.0.0.1:{}", running.dunlin.port);
    let block = [("server", server.as_str()), ("zone", "."), ("view", "")];
    let counted = |name: &str, more: &[(&str, &str)]| {
        running.value(name, &block.iter().chain(more).copied().collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let udp_a = [("proto", "udp"), ("family", "1"), ("type", "A")];
    assert!(
        wait_until(Duration::from_secs(2), || counted("coredns_dns_requests_total", &udp_a) == 5.0),
        "{}",
        running.scrape()
    );
    assert_eq!(counted("coredns_dns_requests_total", &[("proto", "tcp"), ("family", "1"), ("type", "A")]), 1.0);
    assert_eq!(counted("coredns_dns_requests_total", &[("proto", "udp"), ("family", "1"), ("type", "AAAA")]), 1.0);
    assert_eq!(counted("coredns_dns_responses_total", &[("rcode", "NOERROR")]), 5.0);
    assert_eq!(counted("coredns_dns_responses_total", &[("rcode", "NXDOMAIN")]), 2.0);
    assert_eq!(counted("coredns_dns_do_requests_total", &[]), 1.0);
    assert_eq!(counted("coredns_dns_request_duration_seconds_count", &[]), 7.0);
    // The cluster's names and what the cache has; the two that the upstream was asked for.
    assert_eq!(counted("dunlin_lane_queries_total", &[("lane", "fast")]), 5.0);
    assert_eq!(counted("dunlin_lane_queries_total", &[("lane", "slow")]), 2.0);
    assert_eq!(counted("coredns_dns_response_size_bytes_count", &[("proto", "tcp")]), 1.0);
    for name in ["errors", "kubernetes", "cache", "forward", "loadbalance"] {
        assert_eq!(counted("coredns_plugin_enabled", &[("name", name)]), 1.0, "{name}");
    }
}

/// What clients choose, names, types and addresses of their own, makes no series: the exposition has a bound.
#[test]
fn clients_add_no_series() {
    let running = run(&COREFILE.replace("    loop\n", ""));
    let ask = |from: u16, to: u16| {
        for number in from..to {
            let of = |name: &str, qtype: &str| Question::new(name, qtype);
            let odd = format!("TYPE{}", 1000 + number);
            let (here, there) = (format!("n{number}.prod.svc.cluster.local."), format!("n{number}.example.com."));
            let questions = [of(&here, "A"), of(&here, &odd), of(&there, "A"), of(&there, &odd)];
            let source = Some([127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8].into());
            let client = support::Client { source, ..running.dunlin.client() };
            assert!(client.ask_all(&questions).iter().all(Result::is_ok));
        }
    };
    let series = || {
        let text = running.scrape();
        let names = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        names.map(|(series, _)| series.to_owned()).collect::<BTreeSet<_>>()
    };
    ask(0, 20);
    // What is counted once a second.
    std::thread::sleep(Duration::from_millis(1500));
    let before = series();
    ask(20, 520);
    std::thread::sleep(Duration::from_millis(1500));
    let after = series();
    let more: Vec<_> = after.difference(&before).collect();
    assert!(before.len() > 100 && more.is_empty(), "{more:#?}");
}

#[test]
fn the_cache_counts_what_it_answers() {
    let running = run(&COREFILE.replace("    loop\n", ""));
    for _ in 0..3 {
        running.dunlin.ask("www.example.com. A");
        running.dunlin.ask("nothing.example.com. A");
    }
    assert_eq!(running.upstream.asked(), 2, "the upstream was asked once for each name");
    let seen = wait_until(Duration::from_secs(2), || {
        running.value("coredns_cache_hits_total", &[("type", "success")]) == Some(2.0)
            && running.value("coredns_cache_hits_total", &[("type", "denial")]) == Some(2.0)
    });
    assert!(seen, "{}", running.scrape());
    assert!(running.value("coredns_cache_entries", &[("type", "success")]).unwrap_or(0.0) >= 1.0);
    let to = running.upstream.address.to_string();
    let forwarded = [("proxy_name", "forward"), ("to", to.as_str()), ("rcode", "NOERROR")];
    assert!(running.value("coredns_proxy_request_duration_seconds_count", &forwarded).unwrap_or(0.0) >= 1.0);
}

#[test]
fn a_name_of_no_block_is_counted_as_dropped() {
    let running = run("\
cluster.local:{$PORT} {
    bind 127.0.0.1
    kubernetes {
        manifests {$MANIFESTS}
    }
    prometheus 127.0.0.1:{$METRICS}
}
");
    assert_eq!(running.dunlin.ask("example.org. A").rcode, "REFUSED");
    let seen = wait_until(Duration::from_secs(2), || {
        running.value("coredns_dns_requests_total", &[("zone", "dropped"), ("type", "A")]) == Some(1.0)
            && running.value("coredns_dns_responses_total", &[("zone", "dropped"), ("rcode", "REFUSED")]) == Some(1.0)
    });
    assert!(seen, "{}", running.scrape());
}

#[test]
fn health_and_ready() {
    let running = run(COREFILE);
    assert_eq!(http_get(running.health, "/health"), Some((200, "OK".into())));
    let ready = || http_get(running.ready, "/ready") == Some((200, "OK".into()));
    assert!(wait_until(Duration::from_secs(5), ready));
    assert_eq!(http_get(running.health, "/nothing").map(|(status, _)| status), Some(404));
}

#[test]
fn ready_names_who_is_not() {
    let folder = Scratch::new();
    let kubeconfig = folder.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{}\"}}}}]\n\
             users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             current-context: c\n",
            free_port()
        ),
    );
    let (health, ready) = (free_port(), free_port());
    let _dunlin = Start::corefile(
        "cluster.local:{$PORT} {
    bind 127.0.0.1
    health 127.0.0.1:{$HEALTH}
    ready 127.0.0.1:{$READY}
    kubernetes {
        kubeconfig {$KUBECONFIG_FILE}
        startup_timeout 200ms
    }
}
",
    )
    .set("HEALTH", health)
    .set("READY", ready)
    .set("KUBECONFIG_FILE", kubeconfig.display())
    .run();
    assert_eq!(http_get(health, "/health"), Some((200, "OK".into())));
    assert_eq!(http_get(ready, "/ready"), Some((503, "kubernetes".into())));
}

#[test]
fn counters_live_through_a_reload() {
    let running = run(COREFILE);
    running.dunlin.ask("web.prod.svc.cluster.local. A");
    let asked = || running.value("coredns_dns_requests_total", &[("zone", "."), ("type", "A")]).unwrap_or(0.0);
    assert!(wait_until(Duration::from_secs(2), || asked() == 1.0));
    running.dunlin.signal("USR1");
    running.dunlin.wait_for_output("Reloading complete");
    running.dunlin.ask("web.prod.svc.cluster.local. A");
    assert!(wait_until(Duration::from_secs(2), || asked() == 2.0), "{}", running.scrape());
}
