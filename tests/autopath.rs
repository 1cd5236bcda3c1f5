//! `autopath @kubernetes` through the whole server: the search list of the pod that has the client's address now.

mod support;

use std::time::Duration;
use support::{Scratch, Start, Upstream, read, wait_until};

const COREFILE: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa {
        manifests {$MANIFESTS}
        pods verified
    }
    autopath @kubernetes
    forward . {$UPSTREAM}
    cache 30
}
";

/// A pod at the client's address.
fn pod(namespace: &str, phase: &str) -> String {
    let head = format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n");
    let metadata = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: {namespace}}}\n");
    format!("{head}{metadata}status: {{phase: {phase}, podIP: 127.0.0.1}}\n")
}

#[test]
fn a_pod_with_a_used_address_has_its_own_search_list() {
    let upstream = Upstream::start();
    let manifests = Scratch::new();
    manifests.write("shop.yaml", &read("tests/cases/manifests/shop.yaml"));
    manifests.write("first.yaml", &pod("before", "Running"));
    let dunlin =
        Start::corefile(COREFILE).set("MANIFESTS", manifests.path().display()).set("UPSTREAM", upstream.address).run();
    let walks = |namespace: &str| {
        let name = format!("www.example.com.{namespace}.svc.cluster.local.");
        let over = [format!("{name} A"), format!("{name} A tcp")].map(|question| dunlin.ask(&question));
        assert_eq!(over[0].rcode, over[1].rcode, "{over:?}");
        if over[0].rcode != "NOERROR" {
            assert_eq!((over[0].rcode.as_str(), over[0].answer.len()), ("NXDOMAIN", 0), "{over:?}");
            return false;
        }
        let [alias, address] = &over[0].answer[..] else { panic!("{over:?}") };
        let mut records = [alias, address];
        records.sort_unstable_by_key(|record| record.contains(" A "));
        assert!(records[0].starts_with(&name) && records[0].ends_with("CNAME www.example.com."), "{over:?}");
        assert!(records[1].starts_with("www.example.com.") && records[1].ends_with("192.0.2.80"), "{over:?}");
        true
    };
    let soon = |question: &dyn Fn() -> bool| wait_until(Duration::from_secs(5), question);
    assert!(soon(&|| walks("before")), "{}", dunlin.output());
    assert!(!walks("after"));
    // A name of the cluster is found on the way: in the second domain.
    assert_eq!(dunlin.ask("web.shop.before.svc.cluster.local. A").answer.len(), 2);

    // The address is another pod's while the first is still known.
    manifests.write("second.yaml", &pod("after", "Running"));
    assert!(soon(&|| walks("after")), "{}", dunlin.output());
    assert!(!walks("before"));
    // And when it has ended.
    manifests.write("first.yaml", &pod("before", "Succeeded"));
    assert!(soon(&|| dunlin.ask("127-0-0-1.before.pod.cluster.local. A").rcode == "NXDOMAIN"));
    assert!(walks("after") && !walks("before"));
    // Whose it is when the second ends: nobody's.
    manifests.write("second.yaml", &pod("after", "Failed"));
    assert!(soon(&|| !walks("after")), "{}", dunlin.output());
    assert!(!walks("before"));
    assert!(!dunlin.output().contains("@search"), "{}", dunlin.output());
}
