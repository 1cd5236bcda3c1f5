//! Names of pods, and reverse names.

use super::*;
use crate::plugin::Clients;

#[test]
fn pods_disabled() {
    let shop = Fixture::shop();
    for (name, expected) in [("10-240-0-1.shop.pod", NXDOMAIN), ("shop.pod", NXDOMAIN), ("pod", NODATA)] {
        assert_eq!(shop.a(name), expected, "{name}");
    }
}

#[test]
fn pods_insecure() {
    let shop = Fixture::shop().with(|plugin| plugin.pods = Pods::Insecure);
    check(
        &shop,
        RecordType::A,
        &[
            ("172-0-0-2.shop.pod", &["172.0.0.2"]),
            ("fd00--1.shop.pod", NODATA),
            ("blah.shop.pod", NXDOMAIN),
            ("fe80-1-2-3.shop.pod", NXDOMAIN),
            ("1-2-3-4.ghost.pod", NXDOMAIN),
            ("x.1-2-3-4.shop.pod", NXDOMAIN),
            ("shop.pod", NODATA),
            ("ghost.pod", NXDOMAIN),
        ],
    );
    assert_eq!(shop.aaaa("fd00--1.shop.pod"), ["fd00::1"]);
    assert_eq!(shop.data("1-2-3-4.shop.pod", RecordType::SRV), NODATA);
    assert_eq!(shop.data("1-2-3-4.shop.pod", RecordType::TXT), NODATA);
}

#[test]
fn pods_verified() {
    let shop = Fixture::shop().with(|plugin| plugin.pods = Pods::Verified);
    shop.apply(pod("shop", "p", "10.240.0.1", false));
    shop.apply(pod("shop", "six", "fd00:10:244::1:20", false));
    shop.apply(pod("hidden", "h", "10.240.0.2", false));
    check(
        &shop,
        RecordType::A,
        &[
            ("10-240-0-1.shop.pod", &["10.240.0.1"]),
            ("172-0-0-2.shop.pod", NXDOMAIN),
            ("10-240-0-2.shop.pod", NXDOMAIN),
            ("10-240-0-1.hidden.pod", NXDOMAIN),
            ("ghost.pod", NXDOMAIN),
        ],
    );
    check(
        &shop,
        RecordType::AAAA,
        &[("fd00-10-244--1-20.shop.pod", &["fd00:10:244::1:20"]), ("fd00-10-244-0-0-0-1-20.shop.pod", NXDOMAIN)],
    );
}

#[test]
fn reverse_names() {
    let shop = Fixture::shop();
    shop.apply(slice("shop", "web-2", "web", &["172.0.0.1=ep1a", "10.0.0.99"], &["http/80/TCP"]));
    shop.apply(slice("shop", "raw-2", "raw", &["10.0.0.99=shared", "10.0.0.1"], &[]));
    check(
        &shop,
        RecordType::PTR,
        &[
            ("1.0.0.10.in-addr.arpa.", &["web.shop.svc.cluster.local."]),
            ("1.0.0.172.in-addr.arpa.", &["ep1a.web.shop.svc.cluster.local."]),
            (
                "99.0.0.10.in-addr.arpa.",
                &["10-0-0-99.web.shop.svc.cluster.local.", "shared.raw.shop.svc.cluster.local."],
            ),
            ("4.0.0.172.in-addr.arpa.", &["twin.db.shop.svc.cluster.local."]),
            ("101.0.0.10.in-addr.arpa.", NXDOMAIN),
            ("0.0.10.in-addr.arpa.", NODATA),
            ("10.in-addr.arpa.", NODATA),
            ("1.0.10.in-addr.arpa.", NXDOMAIN),
            ("11.in-addr.arpa.", NXDOMAIN),
            ("d.c.b.a.8.7.6.5.ip6.arpa.", NODATA),
            ("e.c.b.a.8.7.6.5.ip6.arpa.", NXDOMAIN),
            ("in-addr.arpa.", NODATA),
            ("x.1.0.0.10.in-addr.arpa.", NXDOMAIN),
            (
                "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.ip6.arpa.",
                &["dual.shop.svc.cluster.local."],
            ),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.8.7.6.5.ip6.arpa.",
                &["5678-abcd--1.db.shop.svc.cluster.local."],
            ),
            ("100.0.0.10", NXDOMAIN),
        ],
    );
    for rtype in [RecordType::A, RecordType::TXT, RecordType::ANY, RecordType::SOA] {
        assert_eq!(shop.data("1.0.0.10.in-addr.arpa.", rtype), NODATA, "{rtype}");
        assert_eq!(shop.data("4.0.0.172.in-addr.arpa.", rtype), NODATA, "{rtype}");
        assert_eq!(shop.data("101.0.0.10.in-addr.arpa.", rtype), NXDOMAIN, "{rtype}");
    }
    let missing = shop.ask("101.0.0.10.in-addr.arpa.", RecordType::PTR);
    assert!(missing.authority[0].starts_with("in-addr.arpa. 5 IN SOA ns.dns.in-addr.arpa. hostmaster.in-addr.arpa. "));
    assert_eq!(shop.a("web.shop.svc.in-addr.arpa."), NXDOMAIN);
}

#[test]
fn reverse_names_outlive_the_service_object() {
    let shop = Fixture::shop();
    shop.delete(Kind::Service, "shop", "db");
    assert_eq!(shop.a("db.shop.svc"), NXDOMAIN);
    assert_eq!(shop.data("2.0.0.172.in-addr.arpa.", RecordType::PTR), ["172-0-0-2.db.shop.svc.cluster.local."]);
    assert_eq!(shop.data("6.0.0.10.in-addr.arpa.", RecordType::PTR), ["web.ghost.svc.cluster.local."]);
}

#[test]
fn an_address_is_of_the_pod_that_got_it_last() {
    let shop = Fixture::shop().with(|plugin| plugin.pods = Pods::Verified);
    let client = |address: &str| {
        let namespace = shop.plugin.namespace_of(address.parse().unwrap());
        namespace.map(|namespace| String::from_utf8_lossy(&namespace.label).into_owned())
    };
    let of = |namespace: &str| Some(namespace.to_owned());
    shop.apply(pod("shop", "first", "10.240.0.1", false));
    assert_eq!(
        (client("10.240.0.1"), client("::ffff:10.240.0.1"), client("10.240.0.2")),
        (of("shop"), of("shop"), None)
    );
    // The next pod has the address before the end of the first is told.
    shop.apply(pod("hidden", "next", "10.240.0.1", false));
    shop.apply(pod("shop", "first", "10.240.0.1", true));
    assert_eq!(client("10.240.0.1"), of("hidden"));
    shop.delete(Kind::Pod, "shop", "first");
    assert_eq!(client("10.240.0.1"), of("hidden"));
    // Pods of the host's network share one.
    shop.apply(pod("shop", "host", "10.240.0.1", false));
    shop.apply(pod("shop", "host-too", "10.240.0.1", false));
    shop.delete(Kind::Pod, "shop", "host-too");
    assert_eq!(client("10.240.0.1"), of("shop"));
    shop.delete(Kind::Pod, "shop", "host");
    assert_eq!(client("10.240.0.1"), of("hidden"));
    // A pod that gets another address leaves this one.
    shop.apply(pod("hidden", "next", "fd00::7", false));
    assert_eq!((client("10.240.0.1"), client("fd00::7")), (None, of("hidden")));
    shop.list(Vec::new());
    assert_eq!(client("fd00::7"), None);
    let insecure = Fixture::shop().with(|plugin| plugin.pods = Pods::Insecure);
    insecure.apply(pod("shop", "first", "10.240.0.1", false));
    assert!(insecure.plugin.namespace_of("10.240.0.1".parse().unwrap()).is_none());
}

#[test]
fn the_search_list_of_a_client() {
    let shop = Fixture::new(&["Cluster.Local", "in-addr.arpa"]).with(|plugin| plugin.pods = Pods::Verified);
    shop.apply(pod("shop", "p", "10.240.0.1", false));
    let namespace = |client: &str| shop.plugin.namespace(client.parse().unwrap());
    assert_eq!((namespace("10.240.0.1"), namespace("10.240.0.2")), (Some("shop".into()), None));
    let list = |name: &str, client: &str| {
        let (name, mut buffer) = (Name::from_text(name).unwrap(), NameBuffer::default());
        shop.plugin.search_list(&buffer.lower(name.wire()).unwrap(), client.parse().unwrap())
    };
    let expected =
        [&b"\x04shop\x03svc\x07cluster\x05local\0"[..], b"\x03svc\x07cluster\x05local\0", b"\x07cluster\x05local\0"];
    assert_eq!(list("a.b.shop.svc.cluster.local", "10.240.0.1").unwrap(), expected);
    assert_eq!(list("a.b.shop.svc.cluster.local", "10.240.0.2"), None);
    assert_eq!(list("1.0.0.10.in-addr.arpa", "10.240.0.1"), None);
    assert_eq!(list("example.org", "10.240.0.1"), None);
}
