use super::*;
use crate::plugin::{Context, Moment, Outcome, Reply, Request, ServiceFound, ServiceQuestion, Shape, Source, Verdict};
use crate::plugins::testing::{Bench, query, request};
use crate::wire::{Answer, NameBuffer, Owner, Query, RecordType, ResourceRecord, Section};
use hickory_proto::op::Message;
use std::net::IpAddr;

/// A cluster with one service, `web.shop`, at 192.0.2.1; a second one is an alias.
struct Fake {
    synced: bool,
}

impl ExternalServices for Fake {
    fn answer(&self, question: &ServiceQuestion<'_>, answer: &mut Answer<'_, '_>) -> ServiceFound {
        match (question.query.name.label(0), question.query.qtype) {
            (b"web", RecordType::A) => {
                answer.a(Section::Answer, Owner::Question, question.ttl, [192, 0, 2, 1].into());
                ServiceFound::Data
            }
            (b"web", _) => ServiceFound::Nothing,
            (b"alias", _) => ServiceFound::Alias,
            _ => ServiceFound::Missing,
        }
    }

    fn alias(&self, _: &ServiceQuestion<'_>) -> Option<Name> {
        Name::from_text("lb.example.com").ok()
    }

    fn pointers(
        &self,
        question: &ServiceQuestion<'_>,
        address: IpAddr,
        origin: &Name,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound {
        if address != IpAddr::from([192, 0, 2, 1]) {
            return ServiceFound::Missing;
        }
        let rdata: [&[u8]; 2] = [b"\x03web\x04shop", origin.wire()];
        answer.record(Section::Answer, Owner::Question, RecordType::PTR, question.ttl, &rdata);
        ServiceFound::Data
    }

    fn name_servers(&self, _: bool, visit: &mut dyn FnMut(IpAddr)) {
        visit([192, 0, 2, 53].into());
        visit("2001:db8::53".parse().unwrap());
    }

    fn records(&self, _: &Name, _: u32, _: bool) -> Vec<ResourceRecord> {
        Vec::new()
    }

    fn serial(&self) -> u32 {
        7
    }

    fn hand_out(&self) {}

    fn is_synced(&self) -> bool {
        self.synced
    }
}

fn bench(lines: &str, synced: bool) -> Bench {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &format!("kubernetes cluster.local\nk8s_external {lines}")).unwrap();
    assert!(bench.done().plan.services.set(Arc::new(Fake { synced })).is_ok());
    bench
}

fn source(bench: &Bench) -> Arc<dyn Source> {
    Arc::clone(&bench.done().plan.stores[0])
}

/// The code, and the records of all sections as text.
fn ask(bench: &Bench, name: &str, qtype: RecordType) -> (u16, Vec<String>) {
    let packet = query(name, qtype);
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).unwrap();
    let context = Context { limit: 4096, shape: Shape::default(), moment: Moment::default() };
    let mut out = vec![0; 4096];
    match source(bench).answer(&query, &context, &mut out) {
        Verdict::Answered(len) => {
            let message = Message::from_vec(&out[..len]).unwrap();
            let records = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
            (message.metadata.response_code.into(), records.map(ToString::to_string).collect())
        }
        Verdict::Alias { .. } | Verdict::Slow => (100, Vec::new()),
        Verdict::Pass => (200, Vec::new()),
    }
}

const SOA: &str = "example.org. 5 IN SOA ns1.dns.example.org. hostmaster.dns.example.org. 7 7200 1800 86400 5";

#[test]
fn the_apex_and_its_name_server() {
    let bench = bench("example.org", true);
    assert_eq!(ask(&bench, "example.org", RecordType::SOA), (0, vec![SOA.into()]));
    assert_eq!(
        ask(&bench, "example.org", RecordType::NS).1,
        [
            "example.org. 5 IN NS ns1.dns.example.org.",
            "ns1.dns.example.org. 5 IN A 192.0.2.53",
            "ns1.dns.example.org. 5 IN AAAA 2001:db8::53"
        ]
    );
    assert_eq!(ask(&bench, "ns1.dns.example.org", RecordType::A).1, ["ns1.dns.example.org. 5 IN A 192.0.2.53"]);
    for (name, qtype) in [
        ("example.org", RecordType::A),
        ("dns.example.org", RecordType::A),
        ("ns1.dns.example.org", RecordType::TXT),
        ("web.shop.example.org", RecordType::AAAA),
    ] {
        assert_eq!(ask(&bench, name, qtype), (0, vec![SOA.into()]), "{name} {qtype}");
    }
    for name in ["ns2.dns.example.org", "a.ns1.dns.example.org", "nope.shop.example.org"] {
        assert_eq!(ask(&bench, name, RecordType::A), (3, vec![SOA.into()]), "{name}");
    }
    assert_eq!(ask(&bench, "example.com", RecordType::A).0, 200);
    assert_eq!(ask(&bench, "example.org", RecordType::AXFR).0, 5);
}

#[test]
fn options_are_followed() {
    let bench = bench("example.org in-addr.arpa {\napex Top\nttl 60\nheadless\nfallthrough in-addr.arpa\n}", true);
    let soa = "example.org. 60 IN SOA ns1.top.example.org. hostmaster.top.example.org. 7 7200 1800 86400 60";
    assert_eq!(ask(&bench, "example.org", RecordType::SOA).1, [soa]);
    assert_eq!(ask(&bench, "web.shop.example.org", RecordType::A).1, ["web.shop.example.org. 60 IN A 192.0.2.1"]);
    let pointer = "1.2.0.192.in-addr.arpa. 60 IN PTR web.shop.example.org.";
    assert_eq!(ask(&bench, "1.2.0.192.in-addr.arpa", RecordType::PTR).1, [pointer]);
    assert_eq!(ask(&bench, "2.2.0.192.in-addr.arpa", RecordType::PTR).0, 200);
    assert_eq!(ask(&bench, "web.shop.in-addr.arpa", RecordType::A).0, 200, "a reverse zone has no services");
    assert_eq!(ask(&bench, "nope.shop.example.org", RecordType::A).0, 3);
}

#[test]
fn what_is_missing_before_the_first_lists_is_a_failure() {
    let unsynced = bench("example.org", false);
    assert_eq!(ask(&unsynced, "nope.shop.example.org", RecordType::A).0, 2);
    assert_eq!(ask(&unsynced, "web.shop.example.org", RecordType::A).0, 0);
    let holders = unsynced.done().plan.holders.all();
    assert_eq!(holders[0].serial(&Name::from_text("example.org").unwrap()), None);
}

#[test]
fn the_zone_is_handed_out_with_its_name_server() {
    let bench = bench("example.org in-addr.arpa", true);
    let holder = bench.done().plan.holders.all().remove(0);
    let zone = Name::from_text("example.org").unwrap();
    assert_eq!((holder.zones(), holder.serial(&zone)), (vec![zone.clone()], Some(7)));
    let types: Vec<u16> = holder.records(&zone).unwrap().iter().map(|record| record.rtype.0).collect();
    assert_eq!(types, [6, 2, 1, 28]);
    assert_eq!(holder.serial(&Name::from_text("in-addr.arpa").unwrap()), None);
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_is_answered_alone() {
    let bench = bench("example.org", true);
    assert_eq!(ask(&bench, "alias.shop.example.org", RecordType::A).0, 100);
    let asked: Request = request(query("Alias.shop.example.org", RecordType::A));
    // The bench's server drops what it is asked.
    let Outcome::Reply(Reply { packet, .. }) = bench.ask(&asked, Outcome::Dropped).await else { panic!("no reply") };
    let message = Message::from_vec(&packet).unwrap();
    let records: Vec<String> = message.answers.iter().map(ToString::to_string).collect();
    assert_eq!(records, ["Alias.shop.example.org. 5 IN CNAME lb.example.com."]);
    assert!(message.metadata.authoritative);
}

#[test]
fn mistakes_are_said_with_their_place() {
    let option = |line: &str| format!("kubernetes cluster.local\nk8s_external example.org {{\n{line}\n}}");
    let cases = [
        ("ttl", "ttl SECONDS"),
        ("ttl soon", "ttl must be a number of seconds"),
        ("ttl 3601", "ttl must be in range [0, 3600]: 3601"),
        ("ttl -1", "ttl must be in range [0, 3600]: -1"),
        ("apex", "apex LABEL"),
        ("apex a.b", "apex must be one label: a.b"),
        ("upstream", "unknown property 'upstream'; expected one of: apex, ttl, headless, fallthrough"),
    ];
    let cases = cases.map(|(line, expected)| (option(line), expected));
    Bench::errors(&DEFINITION, &cases.each_ref().map(|(text, expected)| (text.as_str(), *expected)));
    Bench::errors(&DEFINITION, &[("k8s_external example.org", "kubernetes plugin not loaded")]);
}
