//! What other plugins make of answers, sizes, and any question at all.

use super::*;
use crate::plugin::{TtlRange, TtlRule};
use proptest::prelude::*;
use std::collections::HashSet;

fn order(bytes: &[u8]) -> Vec<String> {
    Message::from_vec(bytes).unwrap().answers.iter().map(Record::to_string).collect()
}

#[test]
fn loadbalance_shuffles_addresses() {
    let shop = Fixture::shop().shaped(|shape| shape.shuffle = true);
    let orders: HashSet<Vec<String>> =
        (0..64).map(|random| order(&shop.bytes("db.shop.svc.cluster.local.", RecordType::A, random << 32).1)).collect();
    assert!(orders.len() > 8, "{}", orders.len());
    assert!(orders.iter().all(|order| order.iter().collect::<HashSet<_>>().len() == 4));
    let plain = Fixture::shop();
    let orders: HashSet<Vec<String>> =
        (0..8).map(|random| order(&plain.bytes("db.shop.svc.cluster.local.", RecordType::A, random << 32).1)).collect();
    assert_eq!(orders.len(), 1);
}

#[test]
fn one_ttl_for_all_records_of_an_answer() {
    let (positive, negative) = (TtlRange { min: 5, max: 30 }, TtlRange { min: 7, max: 9 });
    let ttls = |own: u32, name: &str, rtype: RecordType| {
        let shop = Fixture::shop().with(|plugin| plugin.ttl = own);
        let answered = shop.shaped(|shape| shape.ttl = Some(TtlRule { positive, negative })).ask(name, rtype);
        let records = answered.answer.into_iter().chain(answered.authority).chain(answered.additional);
        records.map(|record| record.split(' ').nth(1).unwrap().to_owned()).collect::<HashSet<_>>()
    };
    let only = |ttl: &str| HashSet::from([ttl.to_owned()]);
    assert_eq!(ttls(0, "web.shop.svc", RecordType::A), only("5"));
    assert_eq!(ttls(20, "web.shop.svc", RecordType::SRV), only("20"));
    assert_eq!(ttls(600, "alias.shop.svc", RecordType::A), only("30"));
    assert_eq!(ttls(600, "cluster.local.", RecordType::SOA), only("30"));
    assert_eq!(ttls(600, "dns-version", RecordType::TXT), only("30"));
    assert_eq!(ttls(600, "nope.shop.svc", RecordType::A), only("9"));
    assert_eq!(ttls(0, "web.shop.svc", RecordType::MX), only("7"));
}

#[test]
fn what_does_not_fit_is_cut_and_said() {
    let shop = Fixture::shop();
    let endpoints: Vec<String> = (0..1000).map(|n| format!("172.4.{}.{}=host-{}", n / 250, n % 250, n % 500)).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    shop.apply(slice("shop", "db-8", "db", &endpoints, &["http/80/TCP", "admin/8008/TCP"]));
    for limit in [512, 1232, 4096] {
        let shop = Fixture { plugin: Fixture::shop().plugin, shape: Shape::default(), limit };
        shop.apply(slice("shop", "db-8", "db", &endpoints, &["http/80/TCP", "admin/8008/TCP"]));
        for rtype in [RecordType::A, RecordType::SRV] {
            for name in ["db.shop.svc.cluster.local.", "DB.shop.svc.cluster.local."] {
                let (_, bytes) = shop.bytes(name, rtype, 1);
                let answered = Answered::read(&bytes);
                assert!(answered.truncated && bytes.len() <= limit && !answered.answer.is_empty(), "{rtype} {limit}");
            }
        }
    }
    // Over TCP most of it fits, glue behind the first 16 KiB included; the rest is cut at a record.
    let shop = shop.limited(65535);
    let (_, bytes) = shop.bytes("DB.shop.svc.cluster.local.", RecordType::SRV, 1);
    let answered = Answered::read(&bytes);
    assert_eq!(answered.answer.len(), 1005);
    assert!(answered.additional.len() > 300);
    assert!(answered.additional.iter().all(|record| record.contains(".db.shop.svc.cluster.local. 5 IN A")));
}

#[test]
fn the_largest_target_still_fits_a_name() {
    let label = "x".repeat(63);
    let zone = [label.as_str(), &label[..50]].join(".");
    let fixture = Fixture::new(&[&zone, "in-addr.arpa"]);
    fixture.list(vec![
        namespace(&label),
        service(&label, &label[..8], &["None"], &["http/80/TCP"]),
        slice(&label, "s", &label[..8], &[&format!("172.0.0.1={label}"), "172.0.0.2"], &["http/80/TCP"]),
    ]);
    let name = format!("{}.{label}.svc.{zone}.", &label[..8]);
    let answered = fixture.ask(&name, RecordType::SRV);
    assert_eq!((answered.answer.len(), answered.additional.len()), (1, 1), "{answered:?}");
    assert_eq!(fixture.data("1.0.0.172.in-addr.arpa.", RecordType::PTR), ["NODATA"]);
    assert_eq!(fixture.data("2.0.0.172.in-addr.arpa.", RecordType::PTR).len(), 1);
}

/// Labels that mean something somewhere, and any others.
fn label() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "web",
        "db",
        "shop",
        "svc",
        "pod",
        "dns",
        "ns",
        "twin",
        "_http",
        "_tcp",
        "1-2-3-4",
        "fd00--1",
        "alias",
        "172-0-0-2",
        "ext",
        "dns-version",
        "10",
        "0",
        "in-addr",
        "ip6",
        "arpa",
        "d",
        "cluster",
        "local",
        "--",
        "_",
    ];
    let known = prop::sample::select(known.map(|text| text.as_bytes().to_vec()).to_vec());
    prop_oneof![6 => known, 1 => prop::collection::vec(any::<u8>(), 1..=63)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_question_has_a_well_formed_answer_within_its_limit(
        labels in prop::collection::vec(label(), 0..6),
        zone in prop::sample::select(vec!["\u{7}cluster\u{5}local", "\u{7}Cluster\u{5}LOCAL", "\u{7}in-addr\u{4}arpa",
            "\u{3}ip6\u{4}arpa", ""]),
        rtype in prop_oneof![prop::sample::select(vec![1u16, 2, 5, 6, 12, 16, 28, 33, 252, 255]), any::<u16>()],
        limit in 512usize..2000,
        random in any::<u64>(),
        edns in any::<bool>(),
        mode in prop::sample::select(vec![Pods::Disabled, Pods::Insecure, Pods::Verified]),
    ) {
        let mut packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in &labels {
            packet.push(label.len() as u8);
            packet.extend(label);
        }
        packet.extend(zone.as_bytes());
        packet.push(0);
        packet.extend(rtype.to_be_bytes());
        packet.extend([0, 1]);
        if edns {
            packet[11] = 1;
            packet.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00");
        }
        let mut buffer = NameBuffer::default();
        if let Ok(query) = Query::parse(&packet, &mut buffer) {
            let shape = Shape { shuffle: random % 2 == 0, ..Shape::default() };
            let context = Context { limit, shape, moment: Moment { seconds: 0, random } };
            let shop = Fixture::shop().with(|plugin| {
                plugin.pods = mode;
                plugin.binds = vec!["172.0.0.100".parse().unwrap()];
            });
            let mut out = vec![0; 4096];
            if let Verdict::Answered(len) = shop.plugin.answer(&query, &context, &mut out) {
                prop_assert!(len <= limit.max(query.question_end() + 11));
                let message = Message::from_vec(&out[..len]).unwrap();
                prop_assert_eq!(message.metadata.id, 0x1234);
                prop_assert_eq!(message.edns.is_some(), edns);
                prop_assert_eq!(&out[12..query.question_end()], query.question());
                let has_data = !message.answers.is_empty();
                let has_soa = message.authorities.len() == 1;
                let refused = matches!(rtype, 251 | 252);
                prop_assert!(has_data != has_soa || refused || message.metadata.truncation, "{:?}", message);
            }
        }
    }
}
