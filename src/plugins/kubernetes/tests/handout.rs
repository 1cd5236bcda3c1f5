//! The zone as `transfer` gets it.

use super::*;
use crate::plugin::ZoneHolder;
use crate::wire::{Message as Ours, Question, ResourceRecord};

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// The records as text, read by the independent decoder.
fn text(records: Vec<ResourceRecord>) -> Vec<String> {
    let question = Question { name: vec![0], qtype: RecordType::AXFR, qclass: 1 };
    let (authorities, additionals) = Default::default();
    let message = Ours { id: 0, flags: 0x8400, question, answers: records, authorities, additionals, opt: None };
    let message = Message::from_vec(&message.to_octets(65_535)).unwrap();
    message.answers.iter().map(|record| record.to_string().replace(".cluster.local.", ".Z")).collect()
}

fn handed_out(fixture: &Fixture) -> Vec<String> {
    text(fixture.plugin.records(&name("cluster.local")).unwrap())
}

#[test]
fn soa_and_name_servers_come_first_and_services_by_name() {
    let fixture =
        Fixture::shop().with(|plugin| plugin.binds = vec!["10.9.9.9".parse().unwrap(), "fd00::9".parse().unwrap()]);
    let records = handed_out(&fixture);
    assert!(records[0].starts_with("cluster.local. 5 IN SOA ns.dns.Z hostmaster.Z "), "{}", records[0]);
    assert_eq!(
        records[1..4],
        ["cluster.local. 5 IN NS ns.dns.Z", "ns.dns.Z 5 IN A 10.9.9.9", "ns.dns.Z 5 IN AAAA fd00::9"]
    );
    let services: Vec<&str> =
        records[4..].iter().filter_map(|record| record.split_once(".shop.svc.Z ")?.0.rsplit('.').next()).collect();
    assert!(services.len() > 20 && services.is_sorted(), "{services:?}");
    assert_eq!(records.iter().filter(|record| record.contains(" SOA ")).count(), 1, "the second one is transfer's");
    assert!(!records.iter().any(|record| record.contains("dns-version") || record.contains("PTR")));
}

#[test]
fn every_kind_of_service() {
    let records = handed_out(&Fixture::shop());
    let of = |service: &str| -> Vec<&str> {
        let mine = |record: &&String| {
            let owner = record.split(' ').next().unwrap_or_default();
            owner == format!("{service}.shop.svc.Z") || owner.ends_with(&format!(".{service}.shop.svc.Z"))
        };
        records.iter().filter(mine).map(String::as_str).collect()
    };
    assert_eq!(
        of("dual"),
        [
            "dual.shop.svc.Z 5 IN A 10.0.0.3",
            "dual.shop.svc.Z 5 IN AAAA 10::3",
            "dual.shop.svc.Z 5 IN SRV 0 100 80 dual.shop.svc.Z",
            "_http._tcp.dual.shop.svc.Z 5 IN SRV 0 100 80 dual.shop.svc.Z",
        ]
    );
    assert_eq!(
        of("unnamed"),
        ["unnamed.shop.svc.Z 5 IN A 10.0.0.8", "unnamed.shop.svc.Z 5 IN SRV 0 100 80 unnamed.shop.svc.Z"]
    );
    assert_eq!(of("bare"), ["bare.shop.svc.Z 5 IN A 10.0.0.7"]);
    assert_eq!(of("ext"), ["ext.shop.svc.Z 5 IN CNAME ext.interwebs.test."]);
    assert_eq!(of("hollow"), [""; 0]);
    // Endpoints: raw has no port.
    assert_eq!(of("raw"), ["raw.shop.svc.Z 5 IN A 172.0.0.20", "172-0-0-20.raw.shop.svc.Z 5 IN A 172.0.0.20"]);
    let db = of("db");
    let has = |record: &str| assert!(db.contains(&record), "{record} is not in {db:#?}");
    has("db.shop.svc.Z 5 IN A 172.0.0.4");
    has("twin.db.shop.svc.Z 5 IN A 172.0.0.4");
    has("twin.db.shop.svc.Z 5 IN A 172.0.0.5");
    has("_http._tcp.db.shop.svc.Z 5 IN SRV 0 25 80 172-0-0-2.db.shop.svc.Z");
    has("_http._tcp.db.shop.svc.Z 5 IN SRV 0 25 80 twin.db.shop.svc.Z");
    has("_http._tcp.db.shop.svc.Z 5 IN SRV 0 50 80 5678-abcd--1.db.shop.svc.Z");
    assert_eq!(db.len(), 6 + 6 + 5, "{db:#?}");
}

#[test]
fn only_what_is_shown_is_handed_out() {
    let without_shop = Fixture::shop().with(|plugin| plugin.namespaces = Box::new([(*b"kube-system").into()]));
    assert!(!handed_out(&without_shop).iter().any(|record| record.contains(".shop.svc.Z")));
    let fixture = Fixture::shop().with(|plugin| plugin.ignore_empty = true);
    assert!(!handed_out(&fixture).iter().any(|record| record.contains("idle.shop")));
}

#[test]
fn zones_and_serials() {
    let fixture = Fixture::shop();
    let plugin = &fixture.plugin;
    assert_eq!(plugin.zones(), [name("cluster.local")]);
    assert_eq!(plugin.serial(&name("cluster.local")), Some(fixture.serial()));
    for other in ["in-addr.arpa", "shop.svc.cluster.local", "example.com"] {
        assert_eq!(plugin.serial(&name(other)), None, "{other}");
    }
    // A change behind a zone that has been handed out is another serial, within the same second too.
    let far = u32::MAX - 10;
    plugin.cluster.store().serial.set(far);
    fixture.delete(Kind::Service, "shop", "web");
    assert_eq!(fixture.serial(), far);
    handed_out(&fixture);
    fixture.delete(Kind::Service, "shop", "dual");
    assert_eq!(fixture.serial(), far + 1);
    plugin.cluster.set_synced(false);
    assert_eq!(plugin.serial(&name("cluster.local")), None, "half a cluster is no zone");
}
