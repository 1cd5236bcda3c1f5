//! Names that say where endpoints are: zones of topology, and other clusters.

use super::*;

const SRV: RecordType = RecordType::SRV;

fn fixture() -> Fixture {
    let fixture = Fixture::new(&["cluster.local", "in-addr.arpa", "clusterset.local"]).grammar(|name, grammar| {
        (grammar.is_zonal, grammar.is_multicluster) = (true, name == "clusterset.local.");
    });
    fixture.list([vec![namespace("shop")], manifest("zonal"), manifest("imports")].concat());
    fixture
}

#[test]
fn a_pin_has_the_endpoints_of_its_zone_alone() {
    let fixture = fixture();
    assert_eq!(fixture.a("us-west-2a.pin._zone.spread.shop.svc"), ["172.0.1.1"]);
    assert_eq!(fixture.a("US-west-2b.pin._zone.spread.shop.svc"), ["172.0.1.2", "172.0.1.3"]);
    for rtype in [RecordType::A, RecordType::AAAA, SRV, RecordType::TXT, RecordType::MX] {
        assert_eq!(fixture.data("nowhere.pin._zone.spread.shop.svc", rtype), ["NODATA"], "{rtype}");
        assert_eq!(fixture.data("a.pin._zone.drained.shop.svc", rtype), ["NODATA"], "{rtype}");
    }
    let shuffled = fixture.shaped(|shape| shape.shuffle = true);
    assert_eq!(shuffled.a("us-west-2b.pin._zone.spread.shop.svc"), ["172.0.1.2", "172.0.1.3"]);
}

#[test]
fn a_preference_falls_back_to_all() {
    let fixture = fixture();
    assert_eq!(fixture.a("us-west-2a.prefer._zone.spread.shop.svc"), ["172.0.1.1"]);
    assert_eq!(fixture.a("nowhere.prefer._zone.spread.shop.svc"), ["172.0.1.1", "172.0.1.2", "172.0.1.3"]);
    assert_eq!(fixture.a("nowhere.prefer._zone.drained.shop.svc"), ["NODATA"]);
    assert_eq!(fixture.aaaa("us-west-2a.prefer._zone.spread.shop.svc"), ["NODATA"]);
}

#[test]
fn srv_of_a_zone_weighs_what_it_has() {
    let fixture = fixture();
    let answered = fixture.ask("us-west-2b.pin._zone.spread.shop.svc", SRV);
    let data: Vec<_> = answered.answer.iter().map(|text| text.splitn(5, ' ').nth(4).unwrap()).collect();
    let names = ["172-0-1-3", "twin"].map(|label| format!("0 50 80 {label}.spread.shop.svc.cluster.local."));
    assert_eq!(data, names);
    assert_eq!(
        answered.additional,
        [
            "172-0-1-3.spread.shop.svc.cluster.local. 5 IN A 172.0.1.3",
            "twin.spread.shop.svc.cluster.local. 5 IN A 172.0.1.2"
        ]
    );
    let all = fixture.data("nowhere.prefer._zone.spread.shop.svc", SRV);
    assert_eq!((all.len(), all.iter().all(|record| record.starts_with("0 33 80 "))), (3, true), "{all:?}");
}

#[test]
fn a_zone_may_have_dots_and_capitals() {
    let fixture = fixture();
    assert_eq!(fixture.a("corp.example.com.pin._zone.corp.shop.svc"), ["172.0.2.1"]);
    assert_eq!(fixture.a("example.com.pin._zone.corp.shop.svc"), ["NODATA"]);
}

#[test]
fn only_headless_services_have_zones() {
    let fixture = fixture();
    fixture.list([shop(), manifest("zonal")].concat());
    for name in ["a.pin._zone.web.shop.svc", "a.near._zone.spread.shop.svc", "a.pin._zone.nope.shop.svc"] {
        for rtype in [RecordType::A, SRV, RecordType::TXT] {
            assert_eq!(fixture.data(name, rtype), ["NXDOMAIN"], "{name} {rtype}");
        }
    }
    let off = Fixture::new(&["cluster.local"]);
    off.list([shop(), manifest("zonal")].concat());
    assert_eq!(off.a("us-west-2a.pin._zone.spread.shop.svc"), ["NXDOMAIN"]);
}

#[test]
fn a_change_of_zone_alone_is_seen() {
    let fixture = fixture();
    let moved = manifest("zonal").into_iter().find_map(|object| match object {
        Object::EndpointSlice(mut slice) if slice.service == "spread" => {
            let before = slice.endpoints.clone();
            let zone = |at| if at == 0 { Some("us-west-2c") } else { None };
            let moved = before.iter().enumerate().map(|(at, it)| Endpoint { zone: zone(at).unwrap_or(it.zone), ..it });
            slice.endpoints = moved.collect();
            Some(slice)
        }
        _ => None,
    });
    fixture.plugin.cluster.store().serial.set(7);
    fixture.apply(Object::EndpointSlice(moved.unwrap()));
    assert_eq!(fixture.a("us-west-2c.pin._zone.spread.shop.svc"), ["172.0.1.1"]);
    assert_eq!(fixture.a("us-west-2a.pin._zone.spread.shop.svc"), ["NODATA"]);
    assert_ne!(fixture.serial(), 7);
}

#[test]
fn imports_are_answered_in_their_zone_alone() {
    let fixture = fixture();
    let set = |name: &str| format!("{name}.shop.svc.clusterset.local.");
    assert_eq!(fixture.a(&set("db")), ["172.0.0.2", "172.0.0.3"]);
    assert_eq!(fixture.aaaa(&set("5678-abcd--1.c1.db")), ["5678:abcd::1"]);
    assert_eq!(fixture.a(&set("twin.c1.db")), ["172.0.0.3"]);
    assert_eq!(fixture.a(&set("twin.c2.db")), ["172.0.0.3"]);
    for name in ["5678-abcd--1.db", "twin.db", "twin.c3.db", "172-0-0-2.c2.db", "portless", "spread", "x.y.z.db"] {
        assert_eq!(fixture.a(&set(name)), ["NXDOMAIN"], "{name}");
    }
    assert_eq!(fixture.a(&set("api")), ["10.1.0.1"]);
    assert_eq!(fixture.aaaa(&set("_https._tcp.api")), ["fd01::1"]);
    assert_eq!(fixture.a("db.shop.svc"), ["NXDOMAIN"]);
    assert_eq!(fixture.a("172-0-0-2.c1.db.shop.svc"), ["NXDOMAIN"]);
    assert_eq!(fixture.a(&set("us-west-2a.pin._zone.db")), ["NXDOMAIN"]);
    assert_eq!(fixture.data("2.0.0.172.in-addr.arpa.", RecordType::PTR), ["NXDOMAIN"]);
}

#[test]
fn srv_of_an_import_leads_to_its_clusters() {
    let fixture = fixture();
    let answered = fixture.ask("_http._tcp.db.shop.svc.clusterset.local.", SRV);
    let targets: Vec<_> = answered.answer.iter().map(|text| text.split(' ').nth(7).unwrap()).collect();
    let expected = ["172-0-0-2.c1", "5678-abcd--1.c1", "twin.c1", "twin.c2"]
        .map(|it| format!("{it}.db.shop.svc.clusterset.local."));
    assert_eq!(targets, expected, "{answered:?}");
    assert_eq!(answered.additional.len(), 4, "{answered:?}");
    assert!(answered.additional.iter().any(|glue| glue.starts_with("twin.c2.db.shop.svc.clusterset.local. 5 IN A")));
    let one = fixture.ask("twin.c1.db.shop.svc.clusterset.local.", SRV);
    assert_eq!((one.answer.len(), one.additional.len()), (1, 1), "{one:?}");
}

#[test]
fn the_serials_of_both_kinds_of_zones_are_apart() {
    let fixture = fixture();
    let cluster = &fixture.plugin.cluster;
    cluster.store().serial.set(7);
    cluster.imports().unwrap().serial.set(8);
    let soa = |zone: &str| fixture.data(zone, RecordType::SOA).concat();
    assert!(soa("cluster.local.").contains(" 7 7200") && soa("clusterset.local.").contains(" 8 7200"));
    fixture.delete(Kind::ServiceImport, "shop", "api");
    assert_eq!(fixture.a("api.shop.svc.clusterset.local."), ["NXDOMAIN"]);
    fixture.delete(Kind::ImportedSlice, "shop", "db-c1");
    assert_eq!(fixture.a("db.shop.svc.clusterset.local."), ["172.0.0.3"]);
    assert!(soa("cluster.local.").contains(" 7 7200") && !soa("clusterset.local.").contains(" 8 7200"));
    // A list without them takes them away, and leaves the cluster's own.
    cluster.model().list_begins(Kind::ServiceImport);
    cluster.model().list_ends(Kind::ServiceImport);
    assert_eq!(fixture.a("db.shop.svc.clusterset.local."), ["NXDOMAIN"]);
    assert_eq!(fixture.a("spread.shop.svc").len(), 3);
}
