use super::*;
use crate::plugin::{Failure, Shape, TtlRange, TtlRule};
use crate::plugins::testing::{Bench, query, query_with_edns, request};
use hickory_proto::op::{Message, ResponseCode};
use std::collections::HashSet;

const LINES: &str = "10.0.0.1 One.example.org one\n10.0.0.2 one.example.org\nfd00::1 one.example.org\n\
    ::ffff:10.0.0.9 four.example.org\nfe80::1%eth0 six.example.org\n10.0.0.3 *.wild.example.org\n";

fn bench(options: &str) -> Bench {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &format!("hosts /no/such/file {{\n{LINES}{options}\n}}")).unwrap();
    bench
}

async fn ask(bench: &Bench, name: &str, qtype: RecordType) -> Outcome {
    bench.ask(&request(query(name, qtype)), Outcome::Failed(Failure::servfail("next"))).await
}

async fn message(bench: &Bench, name: &str, qtype: RecordType) -> Message {
    match ask(bench, name, qtype).await {
        Outcome::Reply(reply) => Message::from_vec(&reply.packet).unwrap(),
        other => panic!("{name} {qtype}: {other:?}"),
    }
}

async fn answers(bench: &Bench, name: &str, qtype: RecordType) -> Vec<String> {
    let message = message(bench, name, qtype).await;
    assert_eq!((message.metadata.response_code, message.metadata.authoritative), (ResponseCode::NoError, true));
    assert!(message.authorities.is_empty() && message.additionals.is_empty());
    message.answers.iter().map(ToString::to_string).collect()
}

fn is_next(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.reason == "next")
}

#[tokio::test]
async fn addresses_and_names() {
    let bench = bench("");
    let a = ["ONE.example.org. 3600 IN A 10.0.0.1", "ONE.example.org. 3600 IN A 10.0.0.2"];
    assert_eq!(answers(&bench, "ONE.example.org", RecordType::A).await, a);
    assert_eq!(answers(&bench, "one.example.org", RecordType::AAAA).await, ["one.example.org. 3600 IN AAAA fd00::1"]);
    assert_eq!(answers(&bench, "one", RecordType::A).await, ["one. 3600 IN A 10.0.0.1"]);
    assert_eq!(answers(&bench, "one", RecordType::AAAA).await, [""; 0]);
    assert_eq!(answers(&bench, "one.example.org", RecordType::MX).await, [""; 0]);
    assert_eq!(answers(&bench, "four.example.org", RecordType::A).await.len(), 1);
    assert_eq!(answers(&bench, "six.example.org", RecordType::AAAA).await.len(), 1);
    let pointers: [String; 2] =
        ["one.example.org.", "one."].map(|name| format!("1.0.0.10.in-addr.arpa. 3600 IN PTR {name}"));
    assert_eq!(answers(&bench, "1.0.0.10.in-addr.arpa", RecordType::PTR).await, pointers);
}

#[tokio::test]
async fn a_wildcard_is_one_label() {
    let bench = bench("");
    let wild = answers(&bench, "x.wild.example.org", RecordType::A).await;
    assert_eq!(wild, ["x.wild.example.org. 3600 IN A 10.0.0.3"]);
    assert!(is_next(&ask(&bench, "3.0.0.10.in-addr.arpa", RecordType::PTR).await), "no name to point to");
    for name in ["wild.example.org", "x.y.wild.example.org"] {
        assert_eq!(message(&bench, name, RecordType::A).await.metadata.response_code, ResponseCode::ServFail);
    }
}

#[tokio::test]
async fn what_is_unknown_is_servfail_or_falls_through() {
    let unknown = message(&bench(""), "two.example.org", RecordType::A).await;
    assert_eq!((unknown.metadata.response_code, unknown.metadata.authoritative), (ResponseCode::ServFail, false));
    assert!(is_next(&ask(&bench("fallthrough"), "two.example.org", RecordType::TXT).await));
    let some = bench("fallthrough example.org 10.0.0.0/8");
    assert!(is_next(&ask(&some, "two.example.org", RecordType::A).await));
    assert!(!is_next(&ask(&some, "two.example.net", RecordType::A).await));
    // A PTR that is not there always passes on.
    assert!(is_next(&ask(&bench(""), "7.0.0.10.in-addr.arpa", RecordType::PTR).await));
    assert!(is_next(&ask(&bench("fallthrough_unsupported"), "one", RecordType::MX).await));
}

#[tokio::test]
async fn zones_bound_names_but_not_pointers() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &format!("hosts /no/such/file example.org {{\n{LINES}\n}}")).unwrap();
    assert!(is_next(&ask(&bench, "one", RecordType::A).await));
    assert_eq!(answers(&bench, "1.0.0.10.in-addr.arpa", RecordType::PTR).await.len(), 1);
}

#[tokio::test]
async fn options_change_answers() {
    assert_eq!(answers(&bench("ttl 5"), "one", RecordType::A).await, ["one. 5 IN A 10.0.0.1"]);
    assert!(is_next(&ask(&bench("no_reverse"), "1.0.0.10.in-addr.arpa", RecordType::PTR).await));
}

#[tokio::test]
async fn the_shape_of_the_block_holds() {
    let bench = bench("");
    let range = TtlRange { min: 5, max: 30 };
    let mut request = request(query_with_edns("one.example.org", RecordType::A, 1232, true));
    request.shape =
        Shape { shuffle: true, ttl: Some(TtlRule { positive: range, negative: range }), ..Shape::default() };
    let mut firsts = HashSet::new();
    for random in 0..50 {
        request.moment.random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(random);
        let Outcome::Reply(reply) = bench.ask(&request, Outcome::Dropped).await else { panic!("no reply") };
        let message = Message::from_vec(&reply.packet).unwrap();
        assert!(message.edns.is_some() && message.answers.len() == 2);
        firsts.insert(message.answers[0].to_string());
    }
    assert_eq!(firsts.len(), 2);
    assert!(firsts.contains("one.example.org. 30 IN A 10.0.0.1"), "{firsts:?}");
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let file = std::env::temp_dir().join(format!("dunlin-hosts-{}", std::process::id()));
    std::fs::write(&file, "10.0.0.1 a.test # comment\nnonsense b.test\n").unwrap();
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &format!("hosts {} {{\nreload 10ms\n}}", file.display())).unwrap();
    assert_eq!(answers(&bench, "a.test", RecordType::A).await, ["a.test. 3600 IN A 10.0.0.1"]);
    assert!(bench.metrics.render().contains(&format!("coredns_hosts_entries{{hostsfile=\"{}\"}} 2", file.display())));
    assert!(bench.metrics.render().contains("coredns_hosts_reload_timestamp_seconds 1"));

    let lifecycle = bench.done().process.lifecycles[0].clone();
    lifecycle.start().await.unwrap();
    std::fs::write(&file, "10.0.0.77 a.test\n10.0.0.78 a.test\n").unwrap();
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if answers(&bench, "a.test", RecordType::A).await.len() == 2 {
            // Losing the file loses nothing.
            std::fs::remove_file(&file).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(answers(&bench, "a.test", RecordType::A).await.len(), 2);
            return;
        }
    }
    panic!("the file is not read again");
}

#[test]
fn oddities_are_warned_about() {
    let bench = bench("tttl 60");
    let warnings = bench.done().process.warnings.join("\n");
    assert!(
        warnings.contains("/no/such/file does not exist") && warnings.contains("'tttl' starts no line"),
        "{warnings}"
    );
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("hosts\nhosts", "once"),
            ("hosts /f a..b", "a label is empty"),
            ("hosts {\nttl\n}", "expected: ttl SECONDS"),
            ("hosts {\nttl 0\n}", "1 to 65535"),
            ("hosts {\nttl 65536\n}", "1 to 65535"),
            ("hosts {\nreload 5\n}", "has no unit"),
            ("hosts {\nreload -5s\n}", "negative"),
            ("hosts {\nreload\n}", "expected: reload DURATION"),
            ("hosts {\nno_reverse now\n}", "expected: no_reverse"),
            ("hosts {\nfallthrough a..b\n}", "a label is empty"),
            ("hosts {\nfallthrough_unsupported x\n}", "expected: fallthrough_unsupported"),
            ("hosts {\nfallthrough\n10.0.0.1 a.test\n}", "unknown property '10.0.0.1'"),
        ],
    );
}
