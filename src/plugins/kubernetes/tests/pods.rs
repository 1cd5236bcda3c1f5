//! Names of pods, and reverse names.

use super::*;

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
