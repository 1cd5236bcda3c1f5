//! Zones: what is there beside services, what is shown of it, and what is not there.

use super::*;

#[test]
fn names_that_are_structure_have_no_data_of_other_types() {
    let shop = Fixture::shop();
    let others =
        [RecordType::TXT, RecordType::MX, RecordType::HTTPS, RecordType::ANY, RecordType::CNAME, RecordType::NS];
    for name in ["svc", "pod", "dns", "ns.dns", "shop.svc", "web.shop.svc", "_tcp.web.shop.svc", "_tcp.db.shop.svc"] {
        for rtype in others.into_iter().chain([RecordType::SOA]) {
            assert_eq!(shop.data(name, rtype), NODATA, "{name} {rtype}");
        }
    }
    for name in ["ghost.svc", "foo", "nope.shop.svc", "_udp.web.shop.svc", "_.web.shop.svc", "_tcp.unnamed.shop.svc"] {
        for rtype in others.into_iter().chain([RecordType::A, RecordType::SRV, RecordType::SOA, RecordType::PTR]) {
            assert_eq!(shop.data(name, rtype), NXDOMAIN, "{name} {rtype}");
        }
    }
    for rtype in [RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::TXT, RecordType::HINFO] {
        assert_eq!(shop.data("cluster.local.", rtype), NODATA, "{rtype}");
    }
    assert_eq!(shop.data("web.shop.svc", RecordType::PTR), NODATA);
}

#[test]
fn the_versions_name() {
    let shop = Fixture::shop();
    let version = shop.ask("dns-version", RecordType::TXT);
    assert_eq!(version.answer, ["dns-version.cluster.local. 28800 IN TXT 1.1.0"]);
    assert_eq!(shop.a("dns-version"), NODATA);
    assert_eq!(shop.a("x.dns-version"), NXDOMAIN);
}

#[test]
fn negative_answers_carry_the_zone_as_asked() {
    let shop = Fixture::shop();
    let missing = shop.ask("not-there.shop.svc.ClUsTeR.lOcAl.", RecordType::A);
    let serial = shop.serial();
    let soa =
        format!("ClUsTeR.lOcAl. 5 IN SOA ns.dns.ClUsTeR.lOcAl. hostmaster.ClUsTeR.lOcAl. {serial} 7200 1800 86400 5");
    assert_eq!((missing.rcode, missing.authoritative, missing.authority), (3, true, vec![soa]));
    let apex = shop.ask("Cluster.local.", RecordType::SOA);
    assert!(apex.answer[0].starts_with("Cluster.local. 5 IN SOA ns.dns.Cluster.local. hostmaster.Cluster.local. "));
    assert_eq!((apex.rcode, apex.authority.len()), (0, 0));
}

#[test]
fn soa_records_have_at_most_five_minutes() {
    for (ttl, expected) in [(0, "0 0"), (30, "30 30"), (3600, "300 3600")] {
        let shop = Fixture::shop().with(|plugin| plugin.ttl = ttl);
        let soa = shop.ask("nope", RecordType::A).authority.remove(0);
        let fields: Vec<&str> = soa.split(' ').collect();
        assert_eq!(format!("{} {}", fields[1], fields.last().unwrap()), expected);
        assert!(shop.ask("web.shop.svc", RecordType::A).answer[0].contains(&format!(" {ttl} IN A ")));
    }
}

#[test]
fn only_some_namespaces() {
    let only = |plugin: &mut Kubernetes| plugin.namespaces = vec![b"shop".to_vec().into()].into();
    let shop = Fixture::shop().with(only);
    check(
        &shop,
        RecordType::A,
        &[
            ("web.shop.svc", &["10.0.0.1"]),
            ("web.hidden.svc", NXDOMAIN),
            ("hidden.svc", NXDOMAIN),
            ("shop.svc", NODATA),
        ],
    );
    assert_eq!(shop.data("2.0.0.10.in-addr.arpa.", RecordType::PTR), NXDOMAIN);
    assert_eq!(shop.data("100.0.0.172.in-addr.arpa.", RecordType::PTR), NXDOMAIN);
    shop.apply(service("hidden", "far", &["10.77.0.1"], &[]));
    assert_eq!(shop.a("77.10.in-addr.arpa."), NXDOMAIN);
    assert_eq!(shop.a("10.in-addr.arpa."), NODATA);
    assert_eq!(Fixture::shop().data("2.0.0.10.in-addr.arpa.", RecordType::PTR), ["web.hidden.svc.cluster.local."]);
}

#[test]
fn services_without_endpoints_can_be_ignored() {
    let shop = Fixture::shop().with(|plugin| plugin.ignore_empty = true);
    check(
        &shop,
        RecordType::A,
        &[("idle.shop.svc", NXDOMAIN), ("_http._tcp.idle.shop.svc", NXDOMAIN), ("web.shop.svc", &["10.0.0.1"])],
    );
    assert_eq!(shop.data("ext.shop.svc", RecordType::CNAME), ["ext.interwebs.test."]);
    assert_eq!(shop.data("9.0.0.10.in-addr.arpa.", RecordType::PTR), ["idle.shop.svc.cluster.local."]);
}

#[test]
fn name_servers() {
    let own = |address: &str| {
        let address = address.parse().unwrap();
        Fixture::shop().with(|plugin| plugin.binds = vec![address])
    };
    let alone = own("127.0.0.1").ask("Cluster.Local.", RecordType::NS);
    assert_eq!(alone.answer, ["Cluster.Local. 5 IN NS ns.dns.Cluster.Local."]);
    assert_eq!(alone.additional, ["ns.dns.Cluster.Local. 5 IN A 127.0.0.1"]);
    assert_eq!(own("127.0.0.1").a("NS.dns.CLUSTER.local."), ["127.0.0.1"]);
    assert_eq!(own("127.0.0.1").aaaa("ns.dns"), NODATA);
    assert_eq!(own("127.0.0.1").data("ns.dns", RecordType::SRV), NODATA);

    let served = own("172.0.0.100").ask("cluster.local.", RecordType::NS);
    assert_eq!(served.answer, ["cluster.local. 5 IN NS kube-dns.kube-system.svc.cluster.local."]);
    assert_eq!(served.additional, ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.0.0.10"]);
    assert_eq!(own("172.0.0.100").a("ns.dns"), ["10.0.0.10"]);

    let many = own("172.0.0.100");
    many.apply(service("shop", "dns6", &["10::6"], &[]));
    many.apply(slice("shop", "dns6-1", "dns6", &["172.0.0.100"], &[]));
    many.apply(slice("shop", "raw-2", "raw", &["172.0.0.100"], &[]));
    let served = many.ask("cluster.local.", RecordType::NS);
    assert_eq!(
        served.answer,
        ["172-0-0-100.raw.shop.svc", "dns6.shop.svc", "kube-dns.kube-system.svc"]
            .map(|target| format!("cluster.local. 5 IN NS {target}.cluster.local."))
    );
    assert_eq!(
        served.additional,
        ["172-0-0-100.raw.shop.svc A 172.0.0.100", "dns6.shop.svc AAAA 10::6", "kube-dns.kube-system.svc A 10.0.0.10"]
            .map(|text| text.replacen(' ', ".cluster.local. 5 IN ", 1))
    );
    assert_eq!(many.aaaa("ns.dns"), ["10::6"]);
    assert_eq!(Fixture::shop().data("cluster.local.", RecordType::NS), NODATA);
}

#[test]
fn several_zones_and_the_root() {
    let two = Fixture::new(&["cluster.local", "k8s.example.org", "0.10.in-addr.arpa"]);
    two.list(shop());
    assert_eq!(two.a("web.shop.svc.k8s.example.org."), ["10.0.0.1"]);
    assert_eq!(two.data("1.0.0.10.in-addr.arpa.", RecordType::PTR), ["web.shop.svc.cluster.local."]);
    assert_eq!(two.verdict("1.0.0.172.in-addr.arpa.", RecordType::PTR), Verdict::Pass);
    assert_eq!(two.verdict("example.org.", RecordType::A), Verdict::Pass);
    // An alias from one of our zones to another is resolved by the server.
    let verdict = two.verdict("alias.shop.svc.k8s.example.org.", RecordType::A);
    assert!(matches!(verdict, Verdict::Alias { .. }), "{verdict:?}");

    let root = Fixture::new(&["."]);
    root.list(shop());
    assert_eq!(root.a("web.shop.svc."), ["10.0.0.1"]);
    assert_eq!(root.data("1.0.0.10.in-addr.arpa.", RecordType::PTR), ["web.shop.svc."]);
    assert_eq!(root.ask("nope.", RecordType::A).authority[0].split(' ').next(), Some("."));
}

#[test]
fn until_synced_a_missing_name_is_a_failure() {
    let shop = Fixture::shop();
    shop.plugin.cluster.set_synced(false);
    let missing = shop.ask("nope.shop.svc", RecordType::A);
    assert_eq!((missing.rcode, missing.authoritative, missing.authority.len()), (2, true, 1));
    assert!(missing.authority[0].starts_with(SOA));
    assert_eq!((shop.a("svc"), shop.a("web.shop.svc")), (vec!["NODATA".to_owned()], vec!["10.0.0.1".to_owned()]));
    assert_eq!(shop.plugin.ready(), Some(false));
    let falling = shop.with(|plugin| plugin.fallthrough = vec![Name::root()].into());
    assert_eq!(falling.verdict("nope.shop.svc.cluster.local.", RecordType::A), Verdict::Pass);
}

#[test]
fn only_missing_names_fall_through() {
    let zone = Name::from_text("in-addr.arpa").unwrap();
    let shop = Fixture::shop().with(|plugin| plugin.fallthrough = vec![zone].into());
    assert_eq!(shop.verdict("101.0.0.10.in-addr.arpa.", RecordType::PTR), Verdict::Pass);
    assert_eq!(shop.data("in-addr.arpa.", RecordType::PTR), NODATA);
    assert_eq!(shop.a("1.0.0.10.in-addr.arpa."), NODATA);
    assert_eq!(shop.a("nope.shop.svc"), NXDOMAIN);
    let all = shop.with(|plugin| plugin.fallthrough = vec![Name::root()].into());
    assert_eq!(all.verdict("nope.shop.svc.cluster.local.", RecordType::A), Verdict::Pass);
    assert_eq!(all.aaaa("web.shop.svc"), NODATA);
}

#[test]
fn transfers_are_refused() {
    for rtype in [RecordType::AXFR, RecordType::IXFR] {
        let refused = Fixture::shop().ask("cluster.local.", rtype);
        assert_eq!((refused.rcode, refused.authoritative, refused.authority.len()), (5, false, 0));
    }
}
