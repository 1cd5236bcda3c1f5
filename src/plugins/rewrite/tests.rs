use super::*;
use crate::plugin::{Lookup, Reply};
use crate::plugins::testing::{Bench, query, query_with_edns, request};
use crate::wire::{NameBuffer, Opt, ResourceRecord};
use std::sync::Mutex;

fn record(owner: &[u8], rtype: RecordType, rdata: Vec<u8>) -> ResourceRecord {
    ResourceRecord { owner: owner.to_vec(), rtype, class: 1, ttl: 60, rdata }
}

/// Answers the name it is asked for with a CNAME, an SRV and a SOA that have that name in them, and an address.
#[derive(Default)]
struct Upstream {
    seen: Mutex<Vec<Message>>,
    rcode: Option<Rcode>,
    fails: bool,
}

impl Handler for Upstream {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        let query = Message::parse(&request.packet).unwrap();
        let mut message = request.answer();
        let name = query.question.name.clone();
        message.opt.clone_from(&query.opt);
        self.seen.lock().unwrap().push(query);
        if self.fails {
            return Box::pin(async { Outcome::Failed(Failure::servfail("down")) });
        }
        message.set_rcode(self.rcode.unwrap_or(Rcode::NOERROR));
        let below = [b"\x01x", &name[..]].concat();
        message.answers = vec![
            record(&name, RecordType::CNAME, below.clone()),
            record(&below, RecordType::A, vec![10, 0, 0, 1]),
            record(&name, RecordType::SRV, [&[0; 6], &name[..]].concat()),
        ];
        message.authorities = vec![record(&name, RecordType::SOA, [&name[..], &below, &[0; 20]].concat())];
        let reply = message.to_octets(4096);
        Box::pin(async { Outcome::Reply(Reply::new(reply)) })
    }
}

impl Lookup for Upstream {
    fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let inner = request.with_packet(packet).unwrap();
            let mut message = inner.answer();
            message.answers = vec![record(inner.name.wire(), RecordType::A, vec![10, 9, 9, 9])];
            Outcome::Reply(Reply::new(message.to_octets(4096)))
        })
    }
}

struct Exchange {
    /// What the chain was asked, as text: name and type.
    asked: String,
    query: Message,
    /// Owner, type, names in RDATA of every record.
    records: Vec<String>,
    reply: Message,
}

async fn exchange_with(rules: &str, request: Request, upstream: Upstream) -> Exchange {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
    let upstream = Arc::new(upstream);
    let mut chain = bench.done().plan.chain.clone();
    chain.push(upstream.clone());
    let outcome = Next::all(&chain).run(&request).await;
    let Outcome::Reply(reply) = outcome else { panic!("{rules}: {outcome:?}") };
    let reply = Message::parse(&reply.packet).unwrap();
    assert_eq!(reply.question, Message::parse(&request.packet).unwrap().question, "{rules}");
    assert_eq!(reply.id, 0x1234);
    let query = upstream.seen.lock().unwrap().pop().unwrap();
    let show = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let text = |name: &[u8]| Name::from_wire(name).map_or_else(|| show(name), |name| name.to_string());
    let line = |record: &ResourceRecord| {
        let names: Vec<_> = record.names().into_iter().map(|range| text(&record.rdata[range])).collect();
        format!("{} {} {}", text(&record.owner), record.rtype, names.join(" ")).trim_end().to_owned()
    };
    let records = reply.sections().into_iter().flatten().map(line).collect();
    let asked = format!("{} {}", text(&query.question.name), query.question.qtype);
    Exchange { asked, query, records, reply }
}

async fn exchange(rules: &str, name: &str) -> Exchange {
    exchange_with(rules, request(query(name, RecordType::A)), Upstream::default()).await
}

#[tokio::test]
async fn the_five_matches_of_names() {
    let table = [
        ("rewrite name a.test b.test", "A.test", "b.test. A"),
        ("rewrite name exact a.test b.test", "x.a.test", "x.a.test. A"),
        ("rewrite name prefix web db", "web.test", "db.test. A"),
        ("rewrite name prefix web db", "webby.test", "webby.test. A"),
        ("rewrite name suffix old.local cluster.local", "a.ns.old.local", "a.ns.cluster.local. A"),
        ("rewrite name suffix old.local cluster.local", "bold.local", "bcluster.local. A"),
        ("rewrite name suffix .old.local .cluster.local", "bold.local", "bold.local. A"),
        ("rewrite name substring us-west.test eu.test", "ftp.us-west.test", "ftp.eu.test. A"),
        ("rewrite name regex (.*)-(west)\\.test {1}.service.{2}.consul", "ftp-West.test", "ftp.service.west.consul. A"),
        ("rewrite name regex west b.test", "ftp-west.test", "b.test. A"),
        ("rewrite name regex ^west b.test", "ftp-west.test", "ftp-west.test. A"),
        ("rewrite name regex (?i)^WEST\\p{L}*\\.test b.test", "westend.test", "b.test. A"),
        ("rewrite type A AAAA", "a.test", "a.test. AAAA"),
        ("rewrite type ANY HINFO", "a.test", "a.test. A"),
    ];
    for (rules, name, asked) in table {
        assert_eq!(exchange(rules, name).await.asked, asked, "{rules} {name}");
    }
}

#[tokio::test]
async fn the_first_rule_that_applies_ends_it_unless_it_continues() {
    let table = [
        ("rewrite name a.test b.test\nrewrite name b.test c.test", "b.test. A"),
        ("rewrite stop name a.test b.test\nrewrite name b.test c.test", "b.test. A"),
        ("rewrite continue name a.test b.test\nrewrite name b.test c.test", "c.test. A"),
        ("rewrite name z.test b.test\nrewrite name a.test c.test", "c.test. A"),
        ("rewrite continue {\nname a.test b.test\n}\nrewrite {\ntype A TXT\n}", "b.test. TXT"),
    ];
    for (rules, asked) in table {
        assert_eq!(exchange(rules, "a.test").await.asked, asked, "{rules}");
    }
}

#[tokio::test]
async fn an_exact_name_is_put_back_everywhere() {
    let exchange = exchange("rewrite name a.test b.example", "A.test").await;
    let expected =
        ["a.test. CNAME x.a.test.", "x.a.test. A", "a.test. SRV a.test.", "a.test. SOA a.test. x.b.example."];
    assert_eq!(exchange.records, expected);
    assert_eq!(exchange.reply.answers[0].owner, b"\x01A\x04test\x00", "the client's case");
}

#[tokio::test]
async fn answers_are_edited_as_the_rules_say() {
    let auto = exchange("rewrite name suffix old.local new.local answer auto", "a.old.local").await;
    assert_eq!(auto.records[..2], ["a.old.local. CNAME x.a.old.local.", "x.a.old.local. A"]);
    let plain = exchange("rewrite name suffix old.local new.local", "a.old.local").await;
    assert_eq!(plain.records[1], "x.a.new.local. A");

    let gardener = "rewrite stop {\n\
        name regex (^(?:[^\\.]+\\.)+)svc\\.cluster\\.local\\.svc\\.cluster\\.local {1}svc.cluster.local\n\
        answer name (^(?:[^\\.]+\\.)+)svc\\.cluster\\.local {1}svc.cluster.local.svc.cluster.local\n\
        answer value (^(?:[^\\.]+\\.)+)svc\\.cluster\\.local {1}svc.cluster.local.svc.cluster.local\n}";
    let twice = exchange(gardener, "a.b.svc.cluster.local.svc.cluster.local").await;
    assert_eq!(twice.asked, "a.b.svc.cluster.local. A");
    assert_eq!(
        twice.records[2],
        "a.b.svc.cluster.local.svc.cluster.local. SRV a.b.svc.cluster.local.svc.cluster.local."
    );

    let owners = "rewrite name regex (.*)\\.my\\.domain {1}.svc answer name (.*)\\.svc {1}.my.domain";
    let owners = exchange(owners, "a.my.domain").await;
    assert_eq!(owners.records[0], "a.my.domain. CNAME x.a.svc.");
}

#[tokio::test]
async fn several_rules_are_undone_backwards() {
    let rules = "rewrite continue name suffix a.test b.test answer auto\nrewrite name suffix b.test c.test answer auto";
    let exchange = exchange(rules, "x.a.test").await;
    assert_eq!((exchange.asked.as_str(), exchange.records[1].as_str()), ("x.c.test. A", "x.x.a.test. A"));
}

#[tokio::test]
async fn ttls_are_held() {
    let table = [("15", 15), ("30-", 60), ("90-", 90), ("-30", 30), ("-300", 60), ("61-99", 61), ("0", 0)];
    for (bounds, ttl) in table {
        let exchange = exchange(&format!("rewrite ttl suffix .test {bounds}"), "a.test").await;
        let ttls: Vec<_> = exchange.reply.sections().into_iter().flatten().map(|record| record.ttl).collect();
        assert_eq!(ttls, [ttl; 4], "{bounds}");
    }
    assert_eq!(exchange("rewrite ttl b.test 1", "a.test").await.reply.answers[0].ttl, 60);
}

#[tokio::test]
async fn codes_change_those_of_the_server_too() {
    let ask = |rules: &'static str, rcode: Option<Rcode>, fails: bool| async move {
        let upstream = Upstream { rcode, fails, ..Upstream::default() };
        exchange_with(rules, request(query("a.test", RecordType::A)), upstream).await.reply.rcode()
    };
    assert_eq!(ask("rewrite rcode a.test NXDOMAIN NOERROR", Some(Rcode::NXDOMAIN), false).await, Rcode::NOERROR);
    assert_eq!(ask("rewrite rcode a.test SERVFAIL NXDOMAIN", Some(Rcode::REFUSED), false).await, Rcode::REFUSED);
    assert_eq!(ask("rewrite rcode suffix test 2 3", None, true).await, Rcode::NXDOMAIN);
    assert_eq!(ask("rewrite rcode regex .* ALL REFUSED", None, false).await, Rcode::REFUSED);
}

#[tokio::test]
async fn a_failure_stays_what_it_is() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "rewrite name a.test b.test").unwrap();
    let failed = Outcome::Failed(Failure::servfail("down"));
    assert_eq!(bench.ask(&request(query("a.test", RecordType::A)), failed.clone()).await, failed);
    assert_eq!(bench.ask(&request(query("a.test", RecordType::A)), Outcome::Dropped).await, Outcome::Dropped);
}

#[tokio::test]
async fn a_result_that_is_no_name_is_servfail() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "rewrite name regex (.*)\\.test {1}..b").unwrap();
    let outcome = bench.ask(&request(query("a.test", RecordType::A)), Outcome::Dropped).await;
    assert!(
        matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::SERVFAIL && failure.reason.contains("empty"))
    );
}

#[tokio::test]
async fn cname_targets_are_looked_up_anew() {
    let mut asked = request(query("a.test", RecordType::A));
    asked.server = Arc::new(Upstream::default());
    let rules = "rewrite cname suffix a.test b.example";
    let found = exchange_with(rules, asked, Upstream::default()).await;
    assert_eq!(found.records, ["a.test. CNAME x.b.example.", "x.b.example. A"]);
    assert_eq!(found.reply.answers[1].rdata, [10, 9, 9, 9]);
    let other = exchange("rewrite cname exact z.test b.example", "a.test").await;
    assert_eq!(other.records[0], "a.test. CNAME x.a.test.");
    let kept = exchange_with(rules, request(query("a.test", RecordType::CNAME)), Upstream::default()).await;
    assert_eq!(kept.records[..2], ["a.test. CNAME x.b.example.", "x.a.test. A"]);
}

#[tokio::test]
async fn options_of_the_question() {
    type Row = (&'static str, Option<(u16, &'static [u8])>);
    let table: [Row; 14] = [
        ("local set 0xffee 0x61626364", Some((0xffee, b"abcd"))),
        ("local set 65518 abcd", Some((0xffee, b"abcd"))),
        ("local append 0xffee {qname}", Some((0xffee, b"a.test."))),
        ("local set 0xffee {qtype}", Some((0xffee, &[0, 1]))),
        ("local set 0xffee {client_ip}", Some((0xffee, &[10, 1, 2, 3]))),
        ("local set 0xffee {client_port}", Some((0xffee, &[0x9c, 0x40]))),
        ("local set 0xffee {protocol}", Some((0xffee, b"udp"))),
        ("local set 0xffee {server_ip}", Some((0xffee, &[10, 96, 0, 10]))),
        ("local set 0xffee {server_port}", Some((0xffee, &[0, 53]))),
        // Nothing is set to a label without a value.
        ("local set 0xffee {some-plugin/label}", None),
        ("local replace 0xffee abcd", None),
        ("nsid set", Some((3, b""))),
        ("subnet set 20 56", Some((8, &[0, 1, 20, 0, 10, 1, 0]))),
        ("subnet unset", None),
    ];
    for (rule, expected) in table {
        for packet in [query("a.test", RecordType::A), query_with_edns("a.test", RecordType::A, 4096, true)] {
            let had_opt = packet[11] == 1;
            let exchange = exchange_with(&format!("rewrite edns0 {rule}"), request(packet), Upstream::default()).await;
            let options = exchange.query.opt.map(|opt| opt.options).unwrap_or_default();
            let expected: Vec<_> = expected.iter().map(|(code, data)| (*code, data.to_vec())).collect();
            assert_eq!(options, expected, "{rule}");
            assert_eq!(exchange.reply.opt.is_some(), had_opt, "{rule}");
        }
    }
    let mut client = request(query("a.test", RecordType::A));
    client.client = "[2001:db8:1:2ff::1]:9".parse().unwrap();
    let exchange = exchange_with("rewrite edns0 subnet set 20 56", client, Upstream::default()).await;
    let options = exchange.query.opt.map(|opt| opt.options).unwrap_or_default();
    assert_eq!(options, [(8, vec![0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 1, 2])]);
}

#[tokio::test]
async fn present_options_are_replaced_kept_or_removed() {
    let mut message = Message::parse(&query("a.test", RecordType::A)).unwrap();
    message.opt = Some(Opt { options: vec![(0xffee, b"old".to_vec())], ..Opt::new(1232, false) });
    let packet = message.to_octets(512);
    let table: [(&str, &[u8]); 4] = [
        ("local set 0xffee new", b"new"),
        ("local replace 0xffee new", b"new"),
        ("local append 0xffee new", b"old"),
        ("local unset 0xffee", b"-"),
    ];
    for (rule, expected) in table {
        let rules = format!("rewrite edns0 {rule}");
        let exchange = exchange_with(&rules, request(packet.clone()), Upstream::default()).await;
        let data = exchange.query.opt.and_then(|opt| opt.options.first().map(|(_, data)| data.clone()));
        assert_eq!(data.unwrap_or(b"-".to_vec()), expected, "{rule}");
    }
}

#[tokio::test]
async fn nsid_and_subnet_by_every_action() {
    let subnet: &[u8] = &[0, 1, 24, 0, 10, 1, 2];
    let table: [(&str, u16, &[u8], &[u8]); 8] = [
        ("nsid set", 3, b"", b""),
        ("nsid append", 3, b"", b"old"),
        ("nsid replace", 3, b"-", b""),
        ("nsid unset", 3, b"-", b"-"),
        ("subnet set 24 56", 8, subnet, subnet),
        ("subnet append 24 56", 8, subnet, b"old"),
        ("subnet replace 24 56", 8, b"-", subnet),
        ("subnet unset", 8, b"-", b"-"),
    ];
    for (rule, code, where_absent, where_present) in table {
        for (options, expected) in [(vec![], where_absent), (vec![(code, b"old".to_vec())], where_present)] {
            let mut message = Message::parse(&query("a.test", RecordType::A)).unwrap();
            message.opt = Some(Opt { options, ..Opt::new(1232, false) });
            let rules = format!("rewrite edns0 {rule}");
            let exchange = exchange_with(&rules, request(message.to_octets(512)), Upstream::default()).await;
            let data = exchange.query.opt.and_then(|opt| opt.options.first().map(|(_, data)| data.clone()));
            assert_eq!(data.unwrap_or(b"-".to_vec()), expected, "{rule}");
        }
    }
}

#[tokio::test]
async fn the_class_is_rewritten_and_put_back() {
    assert_eq!(exchange("rewrite class IN CH", "a.test").await.query.question.qclass, 3);
    assert_eq!(exchange("rewrite class CH IN", "a.test").await.query.question.qclass, 1);
}

#[tokio::test]
async fn a_reverted_option_is_what_it_was() {
    let mut message = Message::parse(&query_with_edns("a.test", RecordType::A, 1232, false)).unwrap();
    let plain = message.to_octets(512);
    message.opt = Some(Opt { options: vec![(0xffee, b"old".to_vec())], ..Opt::new(1232, false) });
    let (set, old) = (message.to_octets(512), vec![(0xffee, b"old".to_vec())]);
    for (packet, rules, expected) in [
        (&plain, "rewrite edns0 local set 0xffee new", vec![(0xffee, b"new".to_vec())]),
        (&plain, "rewrite edns0 local set 0xffee new revert", vec![]),
        (&set, "rewrite edns0 local replace 0xffee new revert", old),
    ] {
        let exchange = exchange_with(rules, request(packet.clone()), Upstream::default()).await;
        assert_eq!(exchange.reply.opt.unwrap().options, expected, "{rules}");
    }
}

#[test]
fn only_names_that_rules_match_leave_the_fast_lane() {
    let bench = Bench::new();
    let rules = "rewrite name a.test b.test\nrewrite name suffix old.local new.local\nrewrite type ANY HINFO\n\
        rewrite ttl regex ^x{2}\\. 5\nrewrite edns0 nsid set\nrewrite name prefix p-\\032. q";
    bench.set_up(&DEFINITION, rules).unwrap();
    let context = request(query("a.test", RecordType::A)).context();
    let table = [
        ("A.test", RecordType::A, true),
        ("b.test", RecordType::A, false),
        ("b.test", RecordType::ANY, true),
        ("w.OLD.local", RecordType::A, true),
        ("xx.test", RecordType::A, true),
        ("xxx.test", RecordType::A, false),
        ("p- .test", RecordType::A, true),
        ("", RecordType::NS, false),
    ];
    for (name, qtype, leaves) in table {
        let packet = query(name, qtype);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let verdict = bench.done().plan.stores[0].answer(&query, &context, &mut [0; 512]);
        assert_eq!(verdict == crate::plugin::Verdict::Slow, leaves, "{name} {qtype}");
    }
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("rewrite", "expected: rewrite [continue|stop] FIELD FROM TO"),
            ("rewrite continue", "FIELD FROM TO"),
            ("rewrite names a b", "invalid rule type 'names'"),
            ("rewrite answer name a b", "behind the name rule"),
            ("rewrite name a.test", "name [exact|prefix"),
            ("rewrite name a..test b.test", "a label is empty"),
            ("rewrite name a.test b..test", "'b..test.' is no name"),
            ("rewrite name regex (a b.test", "invalid regex pattern '(a'"),
            ("rewrite name suffix a b answer", "name [exact|prefix"),
            ("rewrite name suffix a b answers auto", "'answers' is unexpected"),
            ("rewrite name regex a b answer name (x y", "invalid regex pattern '(x'"),
            ("rewrite type A", "type FROM TO"),
            ("rewrite type A B4", "'B4' is no record type"),
            ("rewrite class IN XX", "'XX' is no class"),
            ("rewrite ttl a.test", "NAME SECONDS|MIN-MAX"),
            ("rewrite ttl a.test soon", "'soon' is no number"),
            ("rewrite ttl a.test 9-3", "starts above its end"),
            ("rewrite ttl a.test -", "has no seconds"),
            ("rewrite rcode a.test NXDOMAIN", "NAME FROM TO"),
            ("rewrite rcode a.test NXDOMAIN OOPS", "'OOPS' is no response code"),
            ("rewrite cname a.test", "cname [exact"),
            ("rewrite edns0 local", "edns0 local|nsid|subnet"),
            ("rewrite name regex (.*)\\.a {1}.{2}.b", "'{1}.{2}.b' uses more groups than the regex pattern"),
            ("rewrite name suffix a b answer name (.*)\\.a {1}.{2}.b", "uses more groups than"),
            ("rewrite name suffix a b answer value x {1}.b", "uses more groups than"),
            ("rewrite name suffix a b answer auto answer name a b", "auto cannot be combined"),
            ("rewrite name suffix a b answer name a b auto", "auto cannot be combined"),
            ("rewrite edns0 padding set", "'padding' is no option"),
            ("rewrite edns0 local put 1 2", "'put' is no action"),
            ("rewrite edns0 local set 0xfffff a", "is no option code"),
            ("rewrite edns0 local set 1 0x123", "no hexadecimal data"),
            ("rewrite edns0 local set 1 {nothing}", "nor a variable"),
            ("rewrite edns0 nsid set x", "edns0 nsid"),
            ("rewrite edns0 subnet set 24", "V4-BITS V6-BITS"),
            ("rewrite edns0 subnet set 33 56", "0 to 32"),
        ],
    );
    let long = format!("rewrite name regex {} b", "a".repeat(10_001));
    Bench::errors(&DEFINITION, &[(&long, "longer than 10000")]);
}
