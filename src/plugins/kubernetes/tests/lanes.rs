//! The slow lane: the same answers, aliases through the server, and the start.

use super::*;
use crate::plugin::{Lookup, Transport, TtlRange, TtlRule};
use crate::plugins::testing;
use crate::wire::{Message as Packet, flags};
use std::sync::Mutex;

/// A server that answers every lookup with one outcome and remembers what was asked.
struct Upstream {
    outcome: fn(&[u8]) -> Outcome,
    asked: Mutex<Vec<String>>,
}

impl Lookup for Upstream {
    fn lookup<'a>(&'a self, packet: Vec<u8>, _: &'a Request) -> BoxFuture<'a, Outcome> {
        let message = Message::from_vec(&packet).unwrap();
        self.asked.lock().unwrap().push(message.queries[0].to_string());
        Box::pin(async move { (self.outcome)(&packet) })
    }
}

struct End;

impl Handler for End {
    fn name(&self) -> &'static str {
        "end"
    }

    fn handle<'a>(&'a self, _: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Failed(Failure::servfail("the end")) })
    }
}

/// The answer to a lookup: a compressed CNAME and an address.
fn addresses(packet: &[u8]) -> Outcome {
    let mut reply = packet.to_vec();
    reply[2] |= 0x80;
    reply[7] = 2;
    reply.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x06\x03www\xc0\x10");
    let www = (reply.len() - 6) as u16;
    reply.extend((0xc000 | www).to_be_bytes());
    reply.extend(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04");
    Outcome::Reply(Reply::new(reply))
}

fn truncated(packet: &[u8]) -> Outcome {
    let Outcome::Reply(mut reply) = addresses(packet) else { panic!("addresses are a reply") };
    reply.packet[2] |= 0x02;
    Outcome::Reply(reply)
}

fn missing(packet: &[u8]) -> Outcome {
    let mut reply = packet.to_vec();
    (reply[2], reply[3]) = (reply[2] | 0x80, 3);
    Outcome::Reply(Reply::new(reply))
}

async fn chase(
    fixture: &Fixture,
    name: &str,
    rtype: RecordType,
    outcome: fn(&[u8]) -> Outcome,
) -> (Answered, Vec<String>) {
    let upstream = Arc::new(Upstream { outcome, asked: Mutex::default() });
    let mut request = testing::request(question(name, rtype));
    request.server = Arc::clone(&upstream) as _;
    request.shape = fixture.shape;
    let chain: [Arc<dyn Handler>; 1] = [Arc::new(End)];
    let answered = match fixture.plugin.handle(&request, Next::all(&chain)).await {
        Outcome::Reply(reply) => Answered::read(&reply.packet),
        other => panic!("{name}: {other:?}"),
    };
    let asked = upstream.asked.lock().unwrap().clone();
    (answered, asked)
}

const EXT: &str = "ext.shop.svc.cluster.local.";

#[tokio::test]
async fn both_lanes_give_the_same_bytes() {
    let shop = Fixture::shop().limited(1232);
    for (name, rtype) in [
        ("web.shop.svc.cluster.local.", RecordType::A),
        ("db.shop.svc.cluster.local.", RecordType::SRV),
        ("nope.shop.svc.cluster.local.", RecordType::A),
        ("1.0.0.10.in-addr.arpa.", RecordType::PTR),
        ("chain.shop.svc.cluster.local.", RecordType::A),
        ("cluster.local.", RecordType::AXFR),
    ] {
        let mut packet = question(name, rtype);
        packet[11] = 1;
        packet.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
        let request = testing::request(packet.clone());
        let Outcome::Reply(reply) = shop.plugin.handle(&request, Next::all(&[])).await else { panic!("{name}") };
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let mut out = vec![0; 4096];
        let Verdict::Answered(len) = shop.plugin.answer(&query, &request.context(), &mut out) else { panic!("{name}") };
        assert_eq!(reply.packet, out[..len], "{name} {rtype}");
    }
}

#[tokio::test]
async fn an_alias_of_another_zone_is_asked_of_the_server() {
    let shop = Fixture::shop();
    assert!(matches!(shop.verdict(EXT, RecordType::A), Verdict::Alias { .. }));
    let (answered, asked) = chase(&shop, EXT, RecordType::A, addresses).await;
    assert_eq!(asked, ["ext.interwebs.test. IN A"]);
    assert_eq!(
        answered.answer,
        [
            "ext.interwebs.test. 300 IN CNAME www.interwebs.test.",
            "ext.shop.svc.cluster.local. 5 IN CNAME ext.interwebs.test.",
            "www.interwebs.test. 60 IN A 1.2.3.4",
        ]
    );
    assert_eq!((answered.rcode, answered.authoritative, answered.truncated), (0, true, false));
    assert!(chase(&shop, EXT, RecordType::A, truncated).await.0.truncated);
}

#[tokio::test]
async fn failures_behind_an_alias_are_not_the_clients() {
    let shop = Fixture::shop();
    let alone = ["ext.shop.svc.cluster.local. 5 IN CNAME ext.interwebs.test."];
    for outcome in [missing, |_: &[u8]| Outcome::Failed(Failure::servfail("no upstream"))] {
        let (answered, _) = chase(&shop, EXT, RecordType::AAAA, outcome).await;
        assert_eq!(
            (answered.rcode, &answered.answer[..], answered.authority.len()),
            (0, &alone.map(String::from)[..], 0)
        );
    }
    let (dropped, _) = chase(&shop, EXT, RecordType::A, |_| Outcome::Dropped).await;
    assert_eq!((dropped.rcode, dropped.answer.len(), dropped.authority.len()), (0, 0, 1));
}

#[tokio::test]
async fn a_chain_leaves_the_zone_at_its_end() {
    let shop = Fixture::shop();
    shop.apply(external("shop", "first", "ext.shop.svc.cluster.local"));
    let (answered, asked) = chase(&shop, "FIRST.shop.svc.cluster.local.", RecordType::A, addresses).await;
    assert_eq!(asked, ["ext.interwebs.test. IN A"]);
    assert_eq!(answered.answer.len(), 4);
    assert!(
        answered.answer.contains(&"FIRST.shop.svc.cluster.local. 5 IN CNAME ext.shop.svc.cluster.local.".to_owned())
    );
}

#[tokio::test]
async fn a_ttl_rule_covers_what_the_alias_leads_to() {
    let range = TtlRange { min: 5, max: 20 };
    let shop = Fixture::shop().with(|plugin| plugin.ttl = 30);
    let shop = shop.shaped(|shape| shape.ttl = Some(TtlRule { positive: range, negative: range }));
    let (answered, _) = chase(&shop, EXT, RecordType::A, addresses).await;
    assert!(answered.answer.iter().all(|record| record.contains(" 20 IN ")), "{answered:?}");
}

#[tokio::test]
async fn an_alias_of_much_is_cut_to_the_client() {
    fn many(packet: &[u8]) -> Outcome {
        let mut message = Packet::parse(packet).unwrap();
        message.flags |= flags::QR;
        let owner = message.question.name.clone();
        let record = |last| crate::wire::ResourceRecord {
            owner: owner.clone(),
            rtype: RecordType::A,
            class: 1,
            ttl: 60,
            rdata: vec![192, 0, 2, last],
        };
        message.answers = (0..100).map(record).collect();
        Outcome::Reply(Reply::new(message.to_octets(65535)))
    }
    let (cut, _) = chase(&Fixture::shop(), EXT, RecordType::A, many).await;
    assert!(cut.truncated && cut.answer.len() < 30, "{}", cut.answer.len());
}

#[tokio::test]
async fn missing_names_go_on_where_they_fall_through() {
    let shop = Fixture::shop().with(|plugin| plugin.fallthrough = vec![Name::root()].into());
    let request = testing::request(question("nope.shop.svc.cluster.local.", RecordType::A));
    let chain: [Arc<dyn Handler>; 1] = [Arc::new(End)];
    let outcome = shop.plugin.handle(&request, Next::all(&chain)).await;
    assert_eq!(outcome, Outcome::Failed(Failure::servfail("the end")));
    let outside = testing::request(question("example.org.", RecordType::A));
    assert!(matches!(shop.plugin.handle(&outside, Next::all(&chain)).await, Outcome::Failed(_)));
}

#[tokio::test]
async fn tcp_takes_what_udp_does_not() {
    let shop = Fixture::shop();
    let endpoints: Vec<String> = (0..200).map(|last| format!("172.3.0.{last}")).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    shop.apply(slice("shop", "raw-1", "raw", &endpoints, &["http/80/TCP"]));
    let mut request = testing::request(question("raw.shop.svc.cluster.local.", RecordType::SRV));
    for (transport, whole) in [(Transport::Udp, false), (Transport::Tcp, true)] {
        request.transport = transport;
        let Outcome::Reply(reply) = shop.plugin.handle(&request, Next::all(&[])).await else { panic!() };
        let answered = Answered::read(&reply.packet);
        assert_eq!(
            (answered.truncated, answered.answer.len() == 200, answered.additional.len() == 200),
            (!whole, whole, whole)
        );
        assert!(answered.answer[0].contains(" SRV 0 1 80 "));
    }
}
