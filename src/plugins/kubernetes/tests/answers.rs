//! Names and types: what is answered for a cluster at rest.

use super::*;

const NODATA: &[&str] = &["NODATA"];
const NXDOMAIN: &[&str] = &["NXDOMAIN"];
const SOA: &str = "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. ";

fn check(fixture: &Fixture, rtype: RecordType, cases: &[(&str, &[&str])]) {
    for (name, expected) in cases {
        assert_eq!(fixture.data(name, rtype), *expected, "{name} {rtype}");
    }
}

#[test]
fn cluster_ips() {
    let shop = Fixture::shop();
    check(
        &shop,
        RecordType::A,
        &[
            ("web.shop.svc", &["10.0.0.1"]),
            ("wEb.sHoP.SvC", &["10.0.0.1"]),
            ("dual.shop.svc", &["10.0.0.3"]),
            ("idle.shop.svc", &["10.0.0.9"]),
            ("web6.shop.svc", NODATA),
            ("nope.shop.svc", NXDOMAIN),
            ("nope.ghost.svc", NXDOMAIN),
            ("web.ghost.svc", NXDOMAIN),
            ("bare.shop.svc", &["10.0.0.7"]),
            ("*.shop.svc", NXDOMAIN),
            ("web.any.svc", NXDOMAIN),
            ("web.shop", NXDOMAIN),
            ("web.shop.foo", NXDOMAIN),
        ],
    );
    check(
        &shop,
        RecordType::AAAA,
        &[("web.shop.svc", NODATA), ("web6.shop.svc", &["1234:abcd::1"]), ("dual.shop.svc", &["10::3"])],
    );
    let answered = shop.ask("web.shop.svc", RecordType::A);
    assert_eq!(answered.answer, ["web.shop.svc.cluster.local. 5 IN A 10.0.0.1"]);
    assert_eq!((answered.authoritative, answered.authority.len(), answered.additional.len()), (true, 0, 0));
}

#[test]
fn ports_in_address_names() {
    let shop = Fixture::shop();
    check(
        &shop,
        RecordType::A,
        &[
            ("_http._tcp.web.shop.svc", &["10.0.0.1"]),
            ("http.tcp.web.shop.svc", &["10.0.0.1"]),
            ("_._.web.shop.svc", &["10.0.0.1"]),
            ("_https._tcp.web.shop.svc", NXDOMAIN),
            ("_http._udp.web.shop.svc", NXDOMAIN),
            ("__._tcp.web.shop.svc", NXDOMAIN),
            ("_http._tcp.web6.shop.svc", NODATA),
            ("_http._tcp.bare.shop.svc", NXDOMAIN),
            ("_http._tcp.hollow.shop.svc", NXDOMAIN),
            ("_http._tcp.ext.shop.svc", NXDOMAIN),
            ("_http._tcp.db.shop.svc", &["172.0.0.2", "172.0.0.3", "172.0.0.4", "172.0.0.5"]),
            ("a.b.c.web.shop.svc", NXDOMAIN),
        ],
    );
}

#[test]
fn ports_of_some_slices_only() {
    let shop = Fixture::shop();
    shop.apply(slice("shop", "db-3", "db", &["172.0.0.9", "172.0.0.2"], &["admin/8008/TCP"]));
    shop.apply(slice("shop", "db-4", "db", &["172.0.0.9"], &["admin/8008/TCP", "http/80/TCP"]));
    check(
        &shop,
        RecordType::A,
        &[
            ("_admin._tcp.db.shop.svc", &["172.0.0.2", "172.0.0.9"]),
            ("db.shop.svc", &["172.0.0.2", "172.0.0.3", "172.0.0.4", "172.0.0.5", "172.0.0.9"]),
        ],
    );
    assert_eq!(shop.aaaa("_admin._tcp.db.shop.svc"), NODATA);
}

#[test]
fn headless_services_and_their_endpoints() {
    let shop = Fixture::shop();
    shop.apply(slice("shop", "db-9", "db", &["172.0.0.2", "2001:db8:1:2:3:4::"], &["http/80/TCP"]));
    check(
        &shop,
        RecordType::A,
        &[
            ("db.shop.svc", &["172.0.0.2", "172.0.0.3", "172.0.0.4", "172.0.0.5"]),
            ("raw.shop.svc", &["172.0.0.20"]),
            ("172-0-0-20.raw.shop.svc", &["172.0.0.20"]),
            ("172-0-0-2.db.shop.svc", &["172.0.0.2"]),
            ("TWIN.db.shop.svc", &["172.0.0.4", "172.0.0.5"]),
            ("172-0-0-4.db.shop.svc", NXDOMAIN),
            ("ep1a.web.shop.svc", &["172.0.0.1"]),
            ("172-0-0-1.web.shop.svc", NXDOMAIN),
            ("5678-abcd--1.db.shop.svc", NODATA),
            ("bogus.db.shop.svc", NXDOMAIN),
            ("bogus.nope.shop.svc", NXDOMAIN),
            ("hollow.shop.svc", NXDOMAIN),
        ],
    );
    check(
        &shop,
        RecordType::AAAA,
        &[
            ("db.shop.svc", &["2001:db8:1:2:3:4::", "5678:abcd::1", "5678:abcd::2"]),
            ("5678-abcd--1.db.shop.svc", &["5678:abcd::1"]),
            ("2001-db8-1-2-3-4--0.db.shop.svc", &["2001:db8:1:2:3:4::"]),
            ("twin.db.shop.svc", NODATA),
            ("raw.shop.svc", NODATA),
        ],
    );
}

#[test]
fn endpoints_named_after_pods() {
    let fixture = Fixture::new(&["cluster.local"]).with(|plugin| plugin.cluster = Arc::new(Cluster::for_tests(true)));
    let long = format!("172.0.0.8@{}", "x".repeat(64));
    fixture.list(vec![
        namespace("shop"),
        service("shop", "db", &["None"], &["http/80/TCP"]),
        slice("shop", "db-1", "db", &["172.0.0.6@db-abc", "172.0.0.7@db-def=h0", &long], &["http/80/TCP"]),
    ]);
    check(
        &fixture,
        RecordType::A,
        &[
            ("db-abc.db.shop.svc", &["172.0.0.6"]),
            ("172-0-0-6.db.shop.svc", NXDOMAIN),
            ("h0.db.shop.svc", &["172.0.0.7"]),
            ("db-def.db.shop.svc", NXDOMAIN),
            ("172-0-0-8.db.shop.svc", &["172.0.0.8"]),
        ],
    );
    let without = Fixture::shop();
    without.apply(slice("shop", "raw-2", "raw", &["172.0.0.6@db-abc"], &[]));
    assert_eq!(
        (without.a("172-0-0-6.raw.shop.svc"), without.a("db-abc.raw.shop.svc")),
        (vec!["172.0.0.6".to_owned()], vec!["NXDOMAIN".to_owned()])
    );
}

#[test]
fn an_address_is_called_as_its_slice_spells_it() {
    let shop = Fixture::shop();
    shop.apply(slice("shop", "raw-2", "raw", &["2001:DB8:0:0::9"], &[]));
    check(
        &shop,
        RecordType::AAAA,
        &[("2001-db8-0-0--9.raw.shop.svc", &["2001:db8::9"]), ("2001-db8--9.raw.shop.svc", NXDOMAIN)],
    );
}

#[test]
fn aliases() {
    let shop = Fixture::shop();
    check(
        &shop,
        RecordType::CNAME,
        &[
            ("ext.shop.svc", &["ext.interwebs.test."]),
            ("alias.shop.svc", &["web.shop.svc.cluster.local."]),
            ("self.shop.svc", &["self.shop.svc.cluster.local."]),
            ("dangling.shop.svc", &["nothing.shop.svc.cluster.local."]),
            ("x.ext.shop.svc", NXDOMAIN),
            ("x.y.ext.shop.svc", NXDOMAIN),
            ("literal.shop.svc", NXDOMAIN),
            ("web.shop.svc", NODATA),
        ],
    );
    check(
        &shop,
        RecordType::A,
        &[
            ("self.shop.svc", NODATA),
            ("ping.shop.svc", NODATA),
            ("dangling.shop.svc", NODATA),
            ("literal.shop.svc", NXDOMAIN),
        ],
    );
    assert_eq!(shop.aaaa("alias.shop.svc"), NODATA);
    for rtype in [RecordType::SRV, RecordType::TXT, RecordType::MX, RecordType::HTTPS, RecordType::ANY] {
        assert_eq!(shop.data("ext.shop.svc", rtype), NODATA, "{rtype}");
    }
    assert_eq!(
        shop.ask("CHAIN.shop.svc", RecordType::A).answer,
        [
            "CHAIN.shop.svc.cluster.local. 5 IN CNAME alias.shop.svc.cluster.local.",
            "alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.",
            "web.shop.svc.cluster.local. 5 IN A 10.0.0.1",
        ]
    );
}

#[test]
fn an_alias_of_any_name_in_the_zone() {
    let shop = Fixture::shop().with(|plugin| plugin.pods = Pods::Insecure);
    for (target, expected) in [
        ("twin.db.shop.svc", vec!["172.0.0.4", "172.0.0.5"]),
        ("_http._tcp.web.shop.svc", vec!["10.0.0.1"]),
        ("1-2-3-4.shop.pod", vec!["1.2.3.4"]),
        ("shop.svc", vec![]),
        ("web.ghost.svc", vec![]),
    ] {
        let target = format!("{target}.cluster.local.");
        shop.apply(external("shop", "varying", &target));
        let answered = shop.ask("varying.shop.svc", RecordType::A).answer;
        let mut wanted: Vec<String> = expected.iter().map(|ip| format!("{target} 5 IN A {ip}")).collect();
        if !expected.is_empty() {
            wanted.push(format!("varying.shop.svc.cluster.local. 5 IN CNAME {target}"));
        }
        wanted.sort();
        assert_eq!(answered, wanted);
    }
}

#[test]
fn a_chain_of_eleven_aliases_is_the_longest() {
    let shop = Fixture::shop();
    for link in 1..=13 {
        shop.apply(external("shop", &format!("a{link}"), &format!("a{}.shop.svc.cluster.local", link - 1)));
    }
    shop.apply(service("shop", "a0", &["10.9.9.9"], &[]));
    assert_eq!(shop.ask("a11.shop.svc", RecordType::A).answer.len(), 12);
    assert_eq!(shop.a("a12.shop.svc"), NODATA);
}

#[test]
fn service_ports() {
    let shop = Fixture::shop();
    let web: &[&str] = &["0 100 80 web.shop.svc.cluster.local."];
    check(
        &shop,
        RecordType::SRV,
        &[
            ("_http._tcp.web.shop.svc", web),
            ("web.shop.svc", web),
            ("two.shop.svc", &["0 50 80 two.shop.svc.cluster.local.", "0 50 9090 two.shop.svc.cluster.local."]),
            ("unnamed.shop.svc", &["0 100 80 unnamed.shop.svc.cluster.local."]),
            ("_._tcp.unnamed.shop.svc", &["0 100 80 unnamed.shop.svc.cluster.local."]),
            ("_x._tcp.unnamed.shop.svc", NXDOMAIN),
            ("dual.shop.svc", &["0 50 80 dual.shop.svc.cluster.local."]),
            (
                "kube-dns.kube-system.svc",
                &[
                    "0 33 53 kube-dns.kube-system.svc.cluster.local.",
                    "0 33 9153 kube-dns.kube-system.svc.cluster.local.",
                ],
            ),
            ("raw.shop.svc", NODATA),
            ("bare.shop.svc", NODATA),
            ("_http._tcp.bare.shop.svc", NXDOMAIN),
            ("ext.shop.svc", NODATA),
            ("_http._tcp.ext.shop.svc", NXDOMAIN),
            ("hollow.shop.svc", NXDOMAIN),
            ("svc", NODATA),
            ("shop.svc", NODATA),
            ("ghost.svc", NXDOMAIN),
        ],
    );
    let dual = shop.ask("dual.shop.svc", RecordType::SRV);
    assert_eq!(
        dual.additional,
        ["dual.shop.svc.cluster.local. 5 IN A 10.0.0.3", "dual.shop.svc.cluster.local. 5 IN AAAA 10::3"]
    );
}

#[test]
fn endpoint_ports() {
    let shop = Fixture::shop();
    let db = shop.ask("_http._tcp.db.shop.svc", RecordType::SRV);
    let owner = "_http._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 16 80";
    let targets = ["172-0-0-2", "172-0-0-3", "5678-abcd--1", "5678-abcd--2", "twin"];
    assert_eq!(db.answer, targets.map(|target| format!("{owner} {target}.db.shop.svc.cluster.local.")));
    let glue: Vec<String> = [
        "172-0-0-2 A 172.0.0.2",
        "172-0-0-3 A 172.0.0.3",
        "5678-abcd--1 AAAA 5678:abcd::1",
        "5678-abcd--2 AAAA 5678:abcd::2",
        "twin A 172.0.0.4",
        "twin A 172.0.0.5",
    ]
    .map(|text| text.replacen(' ', ".db.shop.svc.cluster.local. 5 IN ", 1))
    .into();
    assert_eq!(db.additional, glue);
    let twin = shop.ask("twin.db.shop.svc", RecordType::SRV);
    assert_eq!(twin.answer, ["twin.db.shop.svc.cluster.local. 5 IN SRV 0 50 80 twin.db.shop.svc.cluster.local."]);
    assert_eq!(twin.additional, glue[4..]);
}

#[test]
fn an_endpoint_in_two_slices_is_one_target() {
    let shop = Fixture::shop();
    shop.list(vec![
        namespace("prod"),
        service("prod", "db", &["None"], &["pg/5432/TCP", "admin/8008/TCP"]),
        slice("prod", "db-a", "db", &["10.244.1.10=db-0", "10.244.1.11=db-1"], &["pg/5432/TCP", "admin/8008/TCP"]),
        slice("prod", "db-b", "db", &["10.244.2.10", "10.244.1.10=db-0"], &["pg/5432/TCP"]),
    ]);
    let zone = "db.prod.svc.cluster.local.";
    let db = shop.ask("db.prod.svc", RecordType::SRV);
    let target = |port: &str, label: &str| format!("{zone} 5 IN SRV 0 16 {port} {label}.{zone}");
    assert_eq!(
        db.answer,
        [
            target("5432", "10-244-2-10"),
            target("5432", "db-0"),
            target("5432", "db-1"),
            target("8008", "db-0"),
            target("8008", "db-1"),
        ]
    );
    assert_eq!(
        db.additional,
        [
            format!("10-244-2-10.{zone} 5 IN A 10.244.2.10"),
            format!("db-0.{zone} 5 IN A 10.244.1.10"),
            format!("db-1.{zone} 5 IN A 10.244.1.11"),
        ]
    );
    assert_eq!(shop.ask("db-0.db.prod.svc", RecordType::SRV).answer.len(), 2);
    assert_eq!(shop.ask("db-0.db.prod.svc", RecordType::SRV).additional.len(), 1);
    assert_eq!(shop.a("db.prod.svc").len(), 3);
}

#[test]
fn targets_keep_the_objects_spelling_and_the_zones() {
    let shop = Fixture::shop();
    let web = shop.ask("_HtTp._TcP.wEb.ShOp.SvC.cLuStEr.LoCaL.", RecordType::SRV);
    let owner = "_HtTp._TcP.wEb.ShOp.SvC.cLuStEr.LoCaL.";
    assert_eq!(web.answer, [format!("{owner} 5 IN SRV 0 100 80 web.shop.svc.cLuStEr.LoCaL.")]);
    assert_eq!(web.additional, ["web.shop.svc.cLuStEr.LoCaL. 5 IN A 10.0.0.1"]);
    let db = shop.ask("TWIN.Db.shop.svc.Cluster.local.", RecordType::SRV);
    assert_eq!(db.answer, ["TWIN.Db.shop.svc.Cluster.local. 5 IN SRV 0 50 80 twin.db.shop.svc.Cluster.local."]);
    assert_eq!(db.additional[0], "twin.db.shop.svc.Cluster.local. 5 IN A 172.0.0.4");
}

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
