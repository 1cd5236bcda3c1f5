mod language;

use super::*;
use crate::plugin::{BoxFuture, Lookup, Shape, TtlRange, TtlRule};
use crate::plugins::testing::{Bench, query, query_with_edns, request};
use crate::wire::{NameBuffer, Question};
use hickory_proto::op::Message as Independent;

struct Server;

impl Lookup for Server {
    fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let inner = request.with_packet(packet).unwrap();
            let mut message = inner.answer();
            let owner = inner.name.wire().to_vec();
            message.answers =
                vec![ResourceRecord { owner, rtype: inner.qtype(), class: 1, ttl: 9, rdata: vec![10, 9, 9, 9] }];
            Outcome::Reply(Reply::new(message.to_octets(4096)))
        })
    }
}

async fn outcome(lines: &str, name: &str, qtype: RecordType) -> Outcome {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, lines).unwrap_or_else(|error| panic!("{lines}: {error}"));
    let mut request = request(query_with_edns(name, qtype, 4096, false));
    request.server = Arc::new(Server);
    bench.ask(&request, Outcome::Failed(Failure::servfail("next"))).await
}

/// The answer: its code, and its records by section.
async fn answer(lines: &str, name: &str, qtype: RecordType) -> (String, Vec<String>) {
    match outcome(lines, name, qtype).await {
        Outcome::Reply(reply) => {
            let message = Independent::from_vec(&reply.packet).unwrap();
            assert!(message.metadata.authoritative);
            let sections = [("", &message.answers), ("auth ", &message.authorities), ("add ", &message.additionals)];
            let records =
                sections.iter().flat_map(|(mark, section)| section.iter().map(move |record| format!("{mark}{record}")));
            let code = Rcode(message.metadata.response_code.into()).to_string();
            (code, records.collect())
        }
        Outcome::Failed(failure) => (failure.rcode.to_string(), vec![failure.reason]),
        Outcome::Dropped => panic!("dropped"),
    }
}

const IP: &str = "template IN A example {\n\
    match \"(^|[.])ip-10-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$\"\n\
    answer \"{{ .Name }} 60 IN A 10.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}\"\n\
    fallthrough\n}";

#[tokio::test]
async fn names_that_hold_addresses() {
    let (code, records) = answer(IP, "IP-10-1-2-3.example", RecordType::A).await;
    assert_eq!((code.as_str(), records), ("NOERROR", vec!["ip-10-1-2-3.example. 60 IN A 10.1.2.3".to_owned()]));
    for (name, qtype) in [
        ("other.example", RecordType::A),
        ("ip-10-1-2-3.example", RecordType::AAAA),
        ("ip-10-1-2-3.test", RecordType::A),
    ] {
        assert_eq!(answer(IP, name, qtype).await, ("SERVFAIL".to_owned(), vec!["next".to_owned()]), "{name} {qtype}");
    }
    let (code, reason) = answer(IP, "ip-10-1-2-300.example", RecordType::A).await;
    assert!(code == "SERVFAIL" && reason[0].contains("10.1.2.300"), "{reason:?}");
}

#[tokio::test]
async fn a_stranger_without_fallthrough_is_servfail() {
    let lines = "template IN A example {\nmatch ^a\n}\ntemplate IN A example {\nrcode REFUSED\n}";
    assert_eq!(answer(lines, "b.example", RecordType::A).await, ("SERVFAIL".to_owned(), vec![String::new()]));
    assert_eq!(answer(lines, "a.example", RecordType::A).await.0, "NOERROR");
    let lines = "template IN A example {\nmatch ^a\nfallthrough\n}\ntemplate ANY ANY {\nrcode REFUSED\n}";
    assert_eq!(answer(lines, "b.example", RecordType::A).await.0, "REFUSED");
    assert_eq!(answer(lines, "b.test", RecordType::MX).await.0, "REFUSED");
    let lines = "template IN A example {\nmatch ^a\nfallthrough b.example\n}";
    assert_eq!(answer(lines, "c.b.example", RecordType::A).await.1, ["next"]);
    assert_eq!(answer(lines, "c.example", RecordType::A).await.1, [""]);
}

#[tokio::test]
async fn sections_codes_and_extended_errors() {
    let lines = "template ANY ANY invalid {\nrcode NXDOMAIN\n\
        authority \"{{ .Zone }} 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)\"\n\
        additional \"ns.invalid. A 10.0.0.1\" \"ns.invalid. AAAA fd00::1\"\nederror 21 \"Not here\"\n}";
    let (code, records) = answer(lines, "x.invalid", RecordType::A).await;
    assert_eq!(code, "NXDOMAIN");
    let expected = [
        "auth invalid. 60 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60",
        "add ns.invalid. 3600 IN A 10.0.0.1",
        "add ns.invalid. 3600 IN AAAA fd00::1",
    ];
    assert_eq!(records, expected);
    let Outcome::Reply(reply) = outcome(lines, "x.invalid", RecordType::A).await else { panic!("no reply") };
    let opt = Message::parse(&reply.packet).unwrap().opt.unwrap();
    assert_eq!(opt.options, [(15, b"\x00\x15Not here".to_vec())]);
    assert_eq!(answer("template ANY ANY {\nrcode SERVFAIL\n}", "a", RecordType::A).await.1, [""]);
}

#[tokio::test]
async fn a_cname_is_followed() {
    let lines = "template IN ANY foogle.test {\nanswer \"foogle.test 60 IN CNAME google.test\"\n}";
    let records = answer(lines, "foogle.test", RecordType::A).await.1;
    assert_eq!(records, ["foogle.test. 60 IN CNAME google.test.", "google.test. 9 IN A 10.9.9.9"]);
    assert_eq!(answer(lines, "foogle.test", RecordType::CNAME).await.1.len(), 1);
}

#[tokio::test]
async fn the_cache_s_ttl_rule_holds() {
    let bench = Bench::new();
    bench
        .set_up(&DEFINITION, "template IN A {\nanswer \"a.test 3600 A 10.0.0.1\" \"a.test 100 A 10.0.0.2\"\n}")
        .unwrap();
    let mut request = request(query("a.test", RecordType::A));
    let range = TtlRange { min: 5, max: 30 };
    request.shape = Shape { ttl: Some(TtlRule { positive: range, negative: range }), ..Shape::default() };
    let Outcome::Reply(reply) = bench.ask(&request, Outcome::Dropped).await else { panic!("no reply") };
    let ttls: Vec<_> = Message::parse(&reply.packet).unwrap().answers.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [30, 30]);
}

#[test]
fn only_answers_without_records_stay_in_the_fast_lane() {
    let bench = Bench::new();
    let lines = format!(
        "{IP}\ntemplate ANY ANY internal.test {{\nmatch \"^(?:[^.]+\\.){{4,}}internal\\.test\\.$\"\nrcode NXDOMAIN\nfallthrough\n}}\n\
        template IN AAAA v4.test\ntemplate IN A odd.test {{\nmatch ^x\n}}"
    );
    bench.set_up(&DEFINITION, &lines).unwrap();
    let context = request(query("a.test", RecordType::A)).context();
    let table = [
        ("ip-10-0-0-1.example", RecordType::A, Verdict::Slow),
        ("other.example", RecordType::A, Verdict::Pass),
        ("a.b.c.d.internal.test", RecordType::A, Verdict::Answered(39)),
        ("a.b.c.internal.test", RecordType::A, Verdict::Pass),
        ("a.v4.test", RecordType::AAAA, Verdict::Answered(27)),
        ("a.v4.test", RecordType::A, Verdict::Pass),
        ("y.odd.test", RecordType::A, Verdict::Slow),
    ];
    for (name, qtype, expected) in table {
        let packet = query(name, qtype);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let mut out = [0; 512];
        let verdict = bench.done().plan.stores[0].answer(&query, &context, &mut out);
        assert_eq!(verdict, expected, "{name} {qtype}");
        if let Verdict::Answered(len) = verdict {
            let message = Message::parse(&out[..len]).unwrap();
            assert_eq!(
                message.question,
                Question { name: request(packet.clone()).name.wire().to_vec(), qtype, qclass: 1 }
            );
            assert_eq!(message.flags & AA, AA);
        }
    }
}

#[tokio::test]
async fn class_and_type_are_the_query_s_or_where_it_is_for_any_the_template_s() {
    let lines = "template IN TXT test {\nanswer \"{{ .Name }} 5 {{ .Class }} {{ .Type }} x\"\n}\n\
                 template ANY ANY x {\nanswer \"{{ .Name }} 5 {{ .Class }} TXT {{ .Type }}\"\n}";
    for (name, qtype, expected) in [
        ("a.test", RecordType::TXT, "a.test. 5 IN TXT x"),
        ("a.test", RecordType::ANY, "a.test. 5 IN TXT x"),
        ("a.x", RecordType::TXT, "a.x. 5 IN TXT TXT"),
        ("a.x", RecordType::ANY, "a.x. 5 IN TXT ANY"),
        ("a.x", RecordType(65280), "a.x. 5 IN TXT TYPE65280"),
    ] {
        assert_eq!(
            answer(lines, name, qtype).await,
            ("NOERROR".to_owned(), vec![expected.to_owned()]),
            "{name} {qtype}"
        );
    }
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "template ANY ANY test {\nrcode NXDOMAIN\n}\ntemplate IN TXT x").unwrap();
    for (name, qtype) in
        [("a.test", RecordType::A), ("a.x", RecordType::TXT), ("a.x", RecordType::ANY), ("a.test", RecordType(65280))]
    {
        bench.ask(&request(query(name, qtype)), Outcome::Dropped).await;
    }
    let text = bench.metrics.render();
    for (zone, qtype, count) in [("test.", "A", 1), ("test.", "", 1), ("x.", "TXT", 2)] {
        let line = format!(
            "coredns_template_matches_total{{class=\"IN\",server=\"\",type=\"{qtype}\",view=\"\",zone=\"{zone}\"}} {count}"
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn matches_and_failures_are_counted() {
    let bench = Bench::new();
    let lines = "template IN A test {\nanswer \"{{ index .Match 7 }} A 10.0.0.1\"\n}\ntemplate IN AAAA test {\nanswer \"a.test AAAA x\"\n}";
    bench.set_up(&DEFINITION, lines).unwrap();
    for qtype in [RecordType::A, RecordType::AAAA] {
        bench.ask(&request(query("a.test", qtype)), Outcome::Dropped).await;
    }
    let text = bench.metrics.render();
    for line in [
        "coredns_template_matches_total{class=\"IN\",server=\"\",type=\"A\",view=\"\",zone=\"test.\"} 1",
        "coredns_template_template_failures_total{class=\"IN\",section=\"answer\",server=\"\",template=\"{{ index .Match 7 }} A 10.0.0.1\",type=\"A\",view=\"\",zone=\"test.\"} 1",
        "coredns_template_rr_failures_total{class=\"IN\",section=\"answer\",server=\"\",template=\"a.test AAAA x\",type=\"AAAA\",view=\"\",zone=\"test.\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

fn subject(request: &Request) -> crate::plugin::Subject {
    crate::plugin::Subject { name: request.name.clone(), client: request.client }
}

#[tokio::test]
async fn conditions_and_variables() {
    let lines = "template IN A example.com {\n\
        match ^(?P<ip>[0-9]{1,3}(-[0-9]{1,3}){3})[.]example[.]com[.]$\n\
        answer \"{{ .Name }} 60 IN A {{ .Var.ip }}\"\n\
        var ip replace(group('ip'), '-', '.')\n\
        expr \"any(['10.0.0.0/8', '192.168.0.0/16'], incidr(ip, #))\"\n\
        expr client_ip() == '10.1.2.3' and group(0) == name() and group('none') == ''\n\
        fallthrough\n}";
    let (code, records) = answer(lines, "10-9-8-7.example.com", RecordType::A).await;
    assert_eq!((code.as_str(), records[0].as_str()), ("NOERROR", "10-9-8-7.example.com. 60 IN A 10.9.8.7"));
    for name in ["11-9-8-7.example.com", "999-9-8-7.example.com", "x.example.com"] {
        assert_eq!(answer(lines, name, RecordType::A).await.1, ["next"], "{name}");
    }
    let strict = lines.replace("\nfallthrough", "");
    assert_eq!(
        answer(&strict, "11-9-8-7.example.com", RecordType::A).await,
        ("SERVFAIL".to_owned(), vec![String::new()])
    );
    let refused = "template IN ANY {\nexpr type() == 'A'\nrcode REFUSED\nfallthrough\n}";
    assert_eq!(answer(refused, "a.test", RecordType::A).await.0, "REFUSED");
    assert_eq!(answer(refused, "a.test", RecordType::MX).await.1, ["next"]);
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("template", "template CLASS TYPE [ZONE...]"),
            ("template IN", "template CLASS TYPE [ZONE...]"),
            ("template XX A", "invalid query class 'XX'"),
            ("template IN FOO", "invalid RR type 'FOO'"),
            ("template IN A a..b", "a label is empty"),
            ("template IN A {\nmatch\n}", "expected: match TEXT..."),
            ("template IN A {\nmatch (\n}", "could not parse regex '('"),
            ("template IN A {\nanswer\n}", "expected: answer TEXT..."),
            ("template IN A {\nrcode\n}", "expected: rcode CODE"),
            ("template IN A {\nrcode OOPS\n}", "unknown rcode 'OOPS'"),
            ("template IN A {\nederror x\n}", "extended DNS error code"),
            ("template IN A {\nederror 1 a b\n}", "expected: ederror CODE [TEXT]"),
            ("template IN A {\nfallthrough a..b\n}", "a label is empty"),
            ("template IN A {\nexpr\n}", "expected: expr EXPRESSION"),
            ("template IN A {\nexpr name()\n}", "the value is a string; expected true or false"),
            ("template IN A {\nexpr ip == 'x'\nvar ip 'x'\n}", "column 1: 'ip' is not known"),
            ("template IN A {\nvar x\n}", "expected: var NAME EXPRESSION"),
            ("template IN A {\nvar len 1\n}", "'len' is a word of the language"),
            ("template IN A {\nvar 1x 1\n}", "'1x' is no name"),
            ("template IN A {\nvar x 1\nvar x 2\n}", "'x' is set already"),
            ("template IN A {\nvar x group(true, 1)\n}", "group has 2 arguments; expected 1"),
            ("template IN A {\nvar x 1\nanswer \"{{ .Var.y }}\"\n}", "'.Var.y' is not known here"),
            ("template IN A {\nanswers x\n}", "unknown property 'answers'"),
            ("template IN A {\nanswer \"{{ .Name\"\n}", "unclosed action"),
            ("template IN A {\nanswer \"{{ .Nam }}\"\n}", "'.Nam' is not known here"),
            ("template IN A {\nanswer \"{{ define .Match }}{{ end }}\"\n}", "'.Match' is no name of a template"),
            ("template IN A {\nanswer \"{{ define `a` }}\"\n}", "define has no end"),
            ("template IN A {\nanswer \"{{ define `a` }}{{ else }}\"\n}", "unexpected {{else}}"),
            (
                "template IN A {\nanswer \"{{ if true }}{{ define `a` }}{{ end }}{{ end }}\"\n}",
                "'define' stands in nothing else",
            ),
            (
                "template IN A {\nanswer \"{{ define `a` }}x{{ end }}{{ define `a` }}y{{ end }}\"\n}",
                "'a' is defined twice",
            ),
            ("template IN A {\nanswer \"{{ template `a` . }}\"\n}", "template 'a' is not defined"),
            ("template IN A {\nanswer \"{{ template }}\"\n}", "expected a name behind 'template'"),
            ("template IN A {\nanswer \"{{ block `a` }}{{ end }}\"\n}", "missing value"),
            (
                "template IN A {\nanswer \"{{ range 2 }}{{ block `a` . }}{{ break }}{{ end }}{{ end }}\"\n}",
                "stands in a range",
            ),
            (
                "template IN A {\nanswer \"{{ $x := 1 }}{{ define `a` }}{{ $x }}{{ end }}\"\n}",
                "undefined variable '$x'",
            ),
            ("template IN A {\nanswer \"{{ . }}\"\n}", "'.' is not known here"),
            ("template IN A {\nanswer \"{{ print . }}\"\n}", "print takes none of '.' and '$' here"),
            ("template IN A {\nanswer \"{{ 1.2.3 }}\"\n}", "unexpected '1.2.3'"),
            ("template IN A {\nanswer \"{{ range .Match }}\"\n}", "range has no end"),
            ("template IN A {\nanswer \"{{ with .Nam }}{{ end }}\"\n}", "'.Nam' is not known here"),
            ("template IN A {\nanswer \"{{ range $a, $b, $c := .Match }}{{ end }}\"\n}", "a variable or two"),
            ("template IN A {\nanswer \"{{ with $a, $b := .Match }}{{ end }}\"\n}", "with declares one variable"),
            ("template IN A {\nanswer \"{{ range x := .Match }}{{ end }}\"\n}", "'x' is no variable"),
            ("template IN A {\nanswer \"{{ range $x := .Match }}{{ end }}{{ $x }}\"\n}", "undefined variable '$x'"),
            ("template IN A {\nanswer \"{{ if true }}\"\n}", "if has no end"),
            ("template IN A {\nanswer \"{{ end }}\"\n}", "unexpected {{end}}"),
            ("template IN A {\nanswer \"{{ $x }}\"\n}", "undefined variable '$x'"),
            ("template IN A {\nanswer \"{{ upper .Name }}\"\n}", "function 'upper' is not defined"),
            ("template IN A {\nanswer \"{{ index }}\"\n}", "wrong number of arguments for index: 0"),
            ("template IN A {\nanswer \"{{ (len .Name }}\"\n}", "unclosed parenthesis"),
            ("template IN A {\nanswer \"{{ .Name .Zone }}\"\n}", "takes no argument"),
            ("template IN A {\nanswer \"{{ }}\"\n}", "missing value"),
        ],
    );
}
