//! A and AAAA: what is answered for services, endpoints and aliases of a cluster at rest.

use super::*;

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
