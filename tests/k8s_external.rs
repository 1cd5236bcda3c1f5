//! Services as they are reached from outside, through the whole server; and zones handed out in the old way.

mod support;

use support::{Dunlin, Scratch, Start, Upstream, read};

fn run(blocks: &str, upstream: &Upstream) -> (Dunlin, Scratch) {
    let manifests = Scratch::new();
    for file in ["shop.yaml", "outside.yaml"] {
        manifests.write(file, &read(&format!("tests/cases/manifests/{file}")));
    }
    let corefile = format!(".:{{$PORT}} {{\n    bind 127.0.0.1\n{blocks}\n    forward . {{$UPSTREAM}}\n}}\n");
    let start =
        Start::corefile(&corefile).set("MANIFESTS", manifests.path().display()).set("UPSTREAM", upstream.address);
    (start.run(), manifests)
}

const PLUGINS: &str = "    k8s_external example.org k8s_external.local in-addr.arpa {
        headless
        fallthrough in-addr.arpa
    }
    kubernetes cluster.local in-addr.arpa {
        manifests {$MANIFESTS}
        fallthrough
    }
    transfer example.org {
        to *
    }";

#[test]
fn names_outside_in_both_lanes() {
    let upstream = Upstream::start();
    for plugins in [PLUGINS.to_owned(), format!("    log\n{PLUGINS}")] {
        let (dunlin, _manifests) = run(&plugins, &upstream);
        for (question, expected) in [
            ("ingress.edge.example.org. A", &["192.0.2.10", "192.0.2.11"][..]),
            ("ingress.edge.k8s_external.local. A", &["192.0.2.10", "192.0.2.11"]),
            ("six.edge.example.org. AAAA", &["2001:db8::6"]),
            ("bare.edge.example.org. A", &["172.3.0.1", "172.3.0.2"]),
            ("one.bare.edge.example.org. A", &["172.3.0.1"]),
            ("_http._tcp.ingress.edge.example.org. SRV", &["0 50 80 ingress.edge.example.org."]),
            ("named.edge.example.org. A", &["www.example.com.", "192.0.2.80"]),
            ("10.2.0.192.in-addr.arpa. PTR", &["ingress.edge.example.org."]),
            ("1.0.0.10.in-addr.arpa. PTR", &["web.shop.svc.cluster.local."]),
            ("example.org. NS", &["ns1.dns.example.org."]),
            ("ns1.dns.example.org. A", &["127.0.0.1"]),
            ("ingress.edge.svc.cluster.local. A", &["10.2.0.1"]),
        ] {
            let answer = dunlin.ask(question);
            assert_eq!(
                (answer.rcode.as_str(), answer.answer.len()),
                ("NOERROR", expected.len()),
                "{question} {answer:?}"
            );
            for data in expected {
                assert!(answer.answer.iter().any(|record| record.ends_with(data)), "{question}: {answer:?}");
            }
        }
        for (question, rcode) in [
            ("inside.edge.example.org. A", "NXDOMAIN"),
            ("edge.example.org. A", "NOERROR"),
            ("ingress.edge.example.org. MX", "NOERROR"),
            ("ns2.dns.example.org. A", "NXDOMAIN"),
        ] {
            let answer = dunlin.ask(question);
            assert_eq!((answer.rcode.as_str(), answer.answer.len()), (rcode, 0), "{question}");
            assert!(
                answer.authority.iter().any(|record| record.contains("ns1.dns.example.org.")),
                "{question} {answer:?}"
            );
        }
        let zone = dunlin.ask("example.org. AXFR tcp");
        let ends = zone.answer.iter().filter(|record| record.contains(" SOA ")).count();
        assert!(zone.answer.len() > 15 && ends == 2, "{zone:?}");
        assert!(zone.answer.iter().any(|record| record.starts_with("one.bare.edge.example.org.")), "{zone:?}");
    }
}

#[test]
fn a_change_outside_is_in_the_next_answer() {
    let upstream = Upstream::start();
    let (dunlin, manifests) = run(PLUGINS, &upstream);
    let text = read("tests/cases/manifests/outside.yaml");
    manifests.write("outside.yaml", &text.replace("192.0.2.11", "192.0.2.12"));
    let has = || dunlin.ask("ingress.edge.example.org. A").answer.iter().any(|record| record.ends_with("192.0.2.12"));
    assert!(support::wait_until(std::time::Duration::from_secs(5), has), "{}", dunlin.output());
}

#[test]
fn the_old_transfer_of_kubernetes_runs_with_a_warning() {
    let upstream = Upstream::start();
    let old = "    kubernetes cluster.local {\n        manifests {$MANIFESTS}\n        transfer to *\n    }";
    let (dunlin, _manifests) = run(old, &upstream);
    let zone = dunlin.ask("cluster.local. AXFR tcp");
    assert!(zone.answer.len() > 20, "{zone:?}");
    let line = "'transfer' is a plugin of its own now and runs as: transfer cluster.local { to * }";
    assert_eq!(dunlin.output().matches(line).count(), 1, "{}", dunlin.output());
}
