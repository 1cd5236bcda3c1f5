//! The plugins that hold, change or refuse answers, together in one server block, through the whole server: the fast lane
//! and, with `log`, the slow one have to say the same.

mod support;

use std::process::Command;
use support::{Answer, Dunlin, Scratch, Upstream, free_port, http_get, repository, sorted};

const PLUGINS: &str = r#"
    bind 127.0.0.1
    chaos V1 someone
    any
    local
    dns64 {
        allow_ipv4
    }
    rewrite name exact alias.test web.hosts.test
    rewrite name suffix old.local hosts.test answer auto
    rewrite ttl suffix slow.test 7
    rewrite rcode suffix gone.test SERVFAIL NXDOMAIN
    autopath @search
    acl blocked.test {
        block
    }
    acl {
        filter type MX
    }
    minimal
    template IN A tpl.test {
        match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]tpl[.]test[.]$"
        answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ .Group.b }}"
        authority "tpl.test. 60 IN NS ns.tpl.test."
        fallthrough
    }
    template ANY ANY nx.test {
        rcode NXDOMAIN
    }
    template IN A cn.test {
        answer "cn.test 60 IN CNAME web.hosts.test."
    }
    hosts /no/such/file {
        10.1.1.1 web.hosts.test
        10.1.1.2 *.wild.test
        fd00::1 six.hosts.test
        ttl 60
        fallthrough
    }
    nodata HTTPS
    cache 30
    erratic {
        drop 0
    }
"#;

/// The question; the code, the flags beside QR and RD, and the records of answer and authority.
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    ("web.hosts.test. A", "NOERROR", "AA", &["web.hosts.test. 30 A 10.1.1.1"]),
    ("x.wild.test. A", "NOERROR", "AA", &["x.wild.test. 30 A 10.1.1.2"]),
    ("six.hosts.test. AAAA", "NOERROR", "AA", &["six.hosts.test. 30 AAAA fd00::1"]),
    ("six.hosts.test. A", "NOERROR", "AA", &[]),
    ("1.1.1.10.in-addr.arpa. PTR", "NOERROR", "AA", &["1.1.1.10.in-addr.arpa. 30 PTR web.hosts.test."]),
    ("web.hosts.test. AAAA", "NOERROR", "", &["web.hosts.test. 30 AAAA 64:ff9b::a01:101"]),
    ("Alias.test. A", "NOERROR", "AA", &["Alias.test. 30 A 10.1.1.1"]),
    ("web.old.local. A", "NOERROR", "AA", &["web.old.local. 30 A 10.1.1.1"]),
    ("x.slow.test. A", "NOERROR", "AA", &["x.slow.test. 7 A 192.0.2.53"]),
    ("x.gone.test. TXT", "NXDOMAIN", "", &[]),
    ("a.blocked.test. A", "REFUSED", "", &[]),
    ("web.hosts.test. MX", "NOERROR", "", &[]),
    ("ip-3-4.tpl.test. A", "NOERROR", "AA", &["ip-3-4.tpl.test. 30 A 10.0.3.4"]),
    ("other.tpl.test. A", "NOERROR", "AA", &["other.tpl.test. 5 A 192.0.2.53"]),
    ("a.nx.test. TXT", "NXDOMAIN", "AA", &[]),
    ("cn.test. A", "NOERROR", "AA", &["cn.test. 30 CNAME web.hosts.test.", "web.hosts.test. 30 A 10.1.1.1"]),
    ("www.example.org. HTTPS", "NOERROR", "AA", &[]),
    ("localhost. A", "NOERROR", "", &["localhost. 604800 A 127.0.0.1"]),
    (
        "kubernetes.default.svc.cluster.local. A",
        "NOERROR",
        "AA",
        &["kubernetes.default.svc.cluster.local. 5 A 10.96.0.1"],
    ),
    (
        "web.hosts.test.default.svc.cluster.local. A",
        "NOERROR",
        "AA",
        &["web.hosts.test.default.svc.cluster.local. 30 CNAME web.hosts.test.", "web.hosts.test. 30 A 10.1.1.1"],
    ),
    (
        "nope.default.svc.cluster.local. A",
        "NXDOMAIN",
        "AA",
        &["cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local."],
    ),
];

fn start(more: &str) -> Dunlin {
    let objects = repository("corefile-examples/quickstart-cluster.yaml");
    let cluster = format!("kubernetes cluster.local {{\n manifests {}\n }}", objects.display());
    Dunlin::start(&format!(".:{{$PORT}} {{\n{PLUGINS}{cluster}\n{more}\n}}"))
}

fn check(question: &str, got: &Answer, rcode: &str, flags: &str, records: &[&str], lane: &str) {
    let others: Vec<_> = got.flags.iter().filter(|flag| !matches!(**flag, "QR" | "RD")).copied().collect();
    assert_eq!((got.rcode.as_str(), others.join(" ").as_str()), (rcode, flags), "{lane}: {question}: {got:?}");
    let found = sorted(got.answer.iter().chain(&got.authority).map(|record| record.replace(" IN ", " ")).collect());
    let records = sorted(records.iter().map(ToString::to_string).collect());
    assert_eq!(found.len(), records.len(), "{lane}: {question}: {found:?}");
    for (found, expected) in found.iter().zip(&records) {
        assert!(found.starts_with(expected), "{lane}: {question}: {found} and not {expected}");
    }
}

#[test]
fn both_lanes_and_both_transports_say_the_same() {
    for (lane, more, tail) in [
        ("fast", "", ""),
        ("fast, EDNS", "", " edns=1232"),
        ("slow", "log", ""),
        ("TCP", "", " tcp"),
        ("slow TCP", "log", " tcp"),
    ] {
        let dunlin = start(more);
        for (question, rcode, flags, records) in TABLE {
            // Twice, for what comes from the cache.
            for _ in 0..2 {
                let got = dunlin.ask(&format!("{question}{tail}"));
                check(question, &got, rcode, flags, records, lane);
                assert_eq!(got.edns.is_some(), tail.contains("edns"), "{lane}: {question}");
            }
        }
    }
}

#[test]
fn the_class_chaos_and_the_type_any() {
    let dunlin = start("");
    let version = dunlin.ask("version.bind. TXT chaos");
    assert_eq!((version.rcode.as_str(), version.answer.len()), ("NOERROR", 1), "{version:?}");
    assert!(version.answer[0].contains("V1"), "{version:?}");
    let any = dunlin.ask("web.hosts.test. ANY");
    assert!(any.answer[0].contains("8482") && any.answer[0].contains("HINFO"), "{any:?}");
    let blocked = dunlin.ask("a.blocked.test. A edns=1232");
    assert_eq!(blocked.edns.map(|edns| edns.options), Some(vec![15]));
}

/// The labels of views, upstreams and clients, where operators look for them.
#[test]
fn labels_carry_values_in_metrics_logs_and_explain() {
    let (upstream, metrics) = (Upstream::start(), free_port());
    let manifests = Scratch::new();
    // The test asks from 127.0.0.1, which so is a pod's address.
    manifests.write(
        "pod.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Pod\n\
         metadata: {name: asker, namespace: shop}\nstatus: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}\n",
    );
    let corefile = format!(
        ".:{{$PORT}} {{\n view near {{\n expr incidr(client_ip(), '127.0.0.0/8') && type() == 'A'\n }}\n metadata\n\
         prometheus 127.0.0.1:{metrics}\n\
         log . \"saw {{name}} by {{/view/name}} for {{/kubernetes/client-namespace}} from {{/forward/upstream}}\"\n\
         kubernetes cluster.local {{\n manifests {}\n pods verified\n }}\n forward . {}\n}}\n\
         .:{{$PORT}} {{\n prometheus 127.0.0.1:{metrics}\n whoami\n}}\n",
        manifests.path().display(),
        upstream.address
    );
    let dunlin = Dunlin::start(&corefile);
    dunlin.ask("www.example.org. A");
    dunlin.ask("www.example.org. AAAA");
    dunlin.wait_for_output(&format!("saw www.example.org. by near for shop from {}", upstream.address));
    let (_, page) = http_get(metrics, "/metrics").unwrap();
    let has = |name: &str, labels: &[&str]| {
        page.lines().any(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
    };
    for (view, qtype) in [(r#"view="near""#, r#"type="A""#), (r#"view="""#, r#"type="AAAA""#)] {
        assert!(has("coredns_dns_requests_total", &[view, qtype]), "{view} {qtype}: {page}");
    }
    for plugin in ["view", "metadata", "log", "forward"] {
        let name = format!("name=\"{plugin}\"");
        assert!(has("coredns_plugin_enabled", &[&name, r#"view="near""#]), "{plugin}: {page}");
        assert!(!has("coredns_plugin_enabled", &[&name, r#"view="""#]), "{plugin}: {page}");
    }
    let file = manifests.write("Corefile", &corefile.replace("{$PORT}", "1053"));
    for (client, view) in [("127.0.0.9", true), ("192.0.2.1", false)] {
        let explain = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .args(["explain", file.to_str().unwrap(), "www.example.org", "A", "--client", client])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&explain.stdout).into_owned();
        assert_eq!(said.contains("view: near"), view, "{client}: {said}");
    }
}
