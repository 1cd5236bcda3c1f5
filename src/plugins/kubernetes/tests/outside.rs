//! Services as they are reached from outside: what `k8s_external` is told.

use super::*;
use crate::plugin::{ExternalServices, ServiceFound, ServiceQuestion};
use crate::wire::{Answer, Rcode, Section};

fn fixture() -> Fixture {
    let fixture = Fixture::new(&["cluster.local"]);
    fixture.list([shop(), manifest("outside")].concat());
    fixture
}

/// What a name below example.org has: records of the answer and of the additional section.
fn ask(fixture: &Fixture, name: &str, rtype: RecordType, headless: bool) -> (ServiceFound, Vec<String>, Vec<String>) {
    let zone = Name::from_text("example.org").unwrap();
    let packet = question(&format!("{name}.example.org"), rtype);
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).unwrap();
    let context = Context { limit: 4096, shape: Shape::default(), moment: Moment::default() };
    let mut out = vec![0; 65535];
    let mut answer = Answer::begin(&query, &mut out, 4096);
    let asked = ServiceQuestion { query: &query, context: &context, zone: &zone, ttl: 5, headless };
    let found = ExternalServices::answer(&fixture.plugin, &asked, &mut answer);
    assert_eq!(answer.count(Section::Authority), 0);
    let len = answer.finish(Rcode::NOERROR, true);
    let read = Answered::read(&out[..len]);
    let short = |texts: Vec<String>| texts.iter().map(|text| text.replace(".example.org. 5 IN", "")).collect();
    (found, short(read.answer), short(read.additional))
}

fn found(fixture: &Fixture, name: &str, rtype: RecordType) -> Vec<String> {
    match ask(fixture, name, rtype, false) {
        (ServiceFound::Data, answer, _) => answer,
        (other, _, _) => vec![format!("{other:?}")],
    }
}

#[test]
fn addresses_outside_are_answered_each_once() {
    let fixture = fixture();
    assert_eq!(
        found(&fixture, "ingress.edge", RecordType::A),
        ["ingress.edge A 192.0.2.10", "ingress.edge A 192.0.2.11"]
    );
    assert_eq!(found(&fixture, "six.edge", RecordType::AAAA), ["six.edge AAAA 2001:db8::6"]);
    assert_eq!(found(&fixture, "_https._tcp.six.edge", RecordType::AAAA).len(), 1);
    assert_eq!(found(&fixture, "shop.ingress.edge", RecordType::A).len(), 2, "as CoreDNS: whatever the label");
    for (name, rtype) in [("six.edge", RecordType::A), ("ingress.edge", RecordType::TXT), ("edge", RecordType::A)] {
        assert_eq!(found(&fixture, name, rtype), ["Nothing"], "{name} {rtype}");
    }
    for name in
        ["inside.edge", "nope.edge", "bare.edge", "ingress.ghost", "ghost", "_no._tcp.six.edge", "a.b.c.six.edge"]
    {
        assert_eq!(found(&fixture, name, RecordType::A), ["Missing"], "{name}");
    }
    // Nothing of it is in the cluster's own zone.
    assert_eq!(fixture.a("ingress.edge.svc"), ["10.2.0.1"]);
}

#[test]
fn ports_stand_at_the_service() {
    let fixture = fixture();
    let (_, answer, glue) = ask(&fixture, "ingress.edge", RecordType::SRV, false);
    assert_eq!(answer, ["ingress.edge SRV 0 50 80 ingress.edge.example.org."]);
    assert_eq!(glue, ["ingress.edge A 192.0.2.10", "ingress.edge A 192.0.2.11"]);
    let (_, answer, glue) = ask(&fixture, "_https._tcp.six.edge", RecordType::SRV, false);
    assert_eq!(answer, ["_https._tcp.six.edge SRV 0 100 443 six.edge.example.org."]);
    assert_eq!(glue, ["six.edge AAAA 2001:db8::6"]);
}

#[test]
fn a_host_name_is_an_alias() {
    let fixture = fixture();
    assert_eq!(found(&fixture, "named.edge", RecordType::A), ["Alias"]);
    assert_eq!(found(&fixture, "named.edge", RecordType::CNAME), ["named.edge CNAME www.example.com."]);
    assert_eq!(found(&fixture, "named.edge", RecordType::SRV), ["named.edge SRV 0 100 80 www.example.com."]);
    assert_eq!(found(&fixture, "named.edge", RecordType::TXT), ["Nothing"]);
}

#[test]
fn headless_services_have_their_endpoints() {
    let fixture = fixture();
    let asked = |name: &str, rtype| match ask(&fixture, name, rtype, true) {
        (ServiceFound::Data, answer, _) => answer,
        (other, _, _) => vec![format!("{other:?}")],
    };
    assert_eq!(asked("bare.edge", RecordType::A), ["bare.edge A 172.3.0.1", "bare.edge A 172.3.0.2"]);
    assert_eq!(asked("one.bare.edge", RecordType::A), ["one.bare.edge A 172.3.0.1"]);
    assert_eq!(asked("two.bare.edge", RecordType::A), ["Missing"]);
    assert_eq!(
        asked("_http._tcp.bare.edge", RecordType::SRV),
        [
            "_http._tcp.bare.edge SRV 0 50 80 172-3-0-2.bare.edge.example.org.",
            "_http._tcp.bare.edge SRV 0 50 80 one.bare.edge.example.org."
        ]
    );
    assert_eq!(asked("inside.edge", RecordType::A), ["Missing"], "a cluster IP is not outside");
    assert_eq!(asked("ingress.edge", RecordType::A).len(), 2);
}

#[test]
fn changes_are_followed_and_counted() {
    let fixture = fixture();
    let store = fixture.plugin.cluster.store();
    let with = |external: &[&str]| {
        let mut object = manifest("outside").into_iter().find_map(|object| match object {
            Object::Service(service) if service.key.as_ref().unwrap().name == "six" => Some(service),
            _ => None,
        });
        object.as_mut().unwrap().external_ips = external.iter().map(|it| (*it).to_owned()).collect();
        fixture.apply(Object::Service(object.unwrap()));
    };
    let mut last = 0;
    let mut steps = |external: &[&str], expected: &str| {
        store.external_serial.hand_out();
        with(external);
        assert_eq!(found(&fixture, "six.edge", RecordType::A).concat(), expected, "{external:?}");
        assert!(store.external_serial.get() > last, "{external:?}");
        last = store.external_serial.get();
    };
    steps(&["192.0.2.6"], "six.edge A 192.0.2.6");
    steps(&["a.example.com"], "Alias");
    steps(&[], "Missing");
    steps(&["192.0.2.7", "not a name!.."], "six.edge A 192.0.2.7");
    fixture.delete(Kind::Service, "edge", "six");
    assert_eq!(found(&fixture, "six.edge", RecordType::A), ["Missing"]);
    fixture.list(vec![namespace("edge")]);
    assert_eq!((store.external.count(), store.services.count()), (0, 0));
}

#[test]
fn pointers_and_name_servers() {
    let fixture = fixture().with(|plugin| plugin.binds = vec!["172.3.0.9".parse().unwrap()]);
    let pointers = |address: &str| {
        let origin = Name::from_text("example.org").unwrap();
        let zone = Name::from_text("in-addr.arpa").unwrap();
        let packet = question("11.2.0.192.in-addr.arpa", RecordType::PTR);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let context = Context { limit: 4096, shape: Shape::default(), moment: Moment::default() };
        let mut out = vec![0; 65535];
        let mut answer = Answer::begin(&query, &mut out, 4096);
        let asked = ServiceQuestion { query: &query, context: &context, zone: &zone, ttl: 5, headless: false };
        let found = ExternalServices::pointers(&fixture.plugin, &asked, address.parse().unwrap(), &origin, &mut answer);
        let len = answer.finish(Rcode::NOERROR, true);
        (found, Answered::read(&out[..len]).answer.concat())
    };
    let record = "11.2.0.192.in-addr.arpa. 5 IN PTR ingress.edge.example.org.".to_owned();
    assert_eq!(pointers("192.0.2.11"), (ServiceFound::Data, record));
    assert_eq!(pointers("10.2.0.1"), (ServiceFound::Missing, String::new()));
    let servers = |headless| {
        let mut found = Vec::new();
        ExternalServices::name_servers(&fixture.plugin, headless, &mut |address| found.push(address.to_string()));
        found
    };
    assert_eq!(servers(false), ["172.3.0.9"]);
    fixture.apply(slice("edge", "ingress-1", "ingress", &["172.3.0.9"], &["http/80/TCP"]));
    assert_eq!(servers(false), ["192.0.2.10", "192.0.2.11"]);
}

#[test]
fn the_whole_zone() {
    let fixture = fixture();
    let zone = Name::from_text("example.org").unwrap();
    let owners = |headless| {
        let records = fixture.plugin.records(&zone, 5, headless);
        let text = |octets: &[u8]| Name::from_wire(octets).unwrap().to_string().replace(".example.org.", "");
        records.iter().map(|record| (text(&record.owner), record.rtype.0)).collect::<Vec<_>>()
    };
    let (a, aaaa, srv, cname) = (1, 28, 33, 5);
    let expected = [
        ("ingress.edge", a),
        ("ingress.edge", a),
        ("ingress.edge", srv),
        ("_http._tcp.ingress.edge", srv),
        ("named.edge", cname),
        ("six.edge", aaaa),
        ("six.edge", srv),
        ("_http._tcp.six.edge", srv),
        ("six.edge", srv),
        ("_https._tcp.six.edge", srv),
    ];
    assert_eq!(owners(false), expected.map(|(owner, rtype)| (owner.to_owned(), rtype)));
    assert!(owners(true).contains(&("one.bare.edge".to_owned(), a)));
}
