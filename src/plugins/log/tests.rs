//! Lines, rules, and what leaves the fast lane.

use super::*;
use crate::plugin::{Failure, Reply};
use crate::plugins::testing::{Bench, query, query_with_edns, request};
use crate::wire::{NameBuffer, RecordType};
use std::time::Duration;

/// An answer of 90 octets with these flags, without the query's bits.
fn reply(flags: [u8; 2], answers: u8) -> Outcome {
    let mut packet = vec![0; 90];
    packet[2..4].copy_from_slice(&flags);
    packet[7] = answers;
    Outcome::Reply(Reply::new(packet))
}

fn line(format: &str, request: &Request, outcome: &Outcome) -> String {
    Format::parse(format).write(&Exchange { request, outcome, took: Duration::from_micros(123) })
}

#[test]
fn the_default_line_is_coredns_s() {
    let mut request = request(query("A.b", RecordType::A));
    request.packet[..2].copy_from_slice(&4711u16.to_be_bytes());
    let outcome = reply([0x85, 0], 1);
    assert_eq!(
        line("{common}", &request, &outcome),
        r#"10.1.2.3:40000 - 4711 "A IN a.b. udp 21 false 512" NOERROR qr,aa,rd 90 0.000123s"#
    );
    assert_eq!(
        line("{combined}", &request, &outcome),
        r#"10.1.2.3:40000 - 4711 0 "A IN a.b. udp 21 false 512" NOERROR qr,aa,rd 90 0.000123s"#
    );
}

#[test]
fn every_placeholder() {
    let mut request = request(query_with_edns("a.b", RecordType(65_280), 8000, true));
    request.client = "[2001:db8::9]:77".parse().unwrap();
    request.known.qclass = 3;
    for (format, expected) in [
        ("{type}", "TYPE65280"),
        ("{class}", "CH"),
        ("{name}", "a.b."),
        ("{proto}", "udp"),
        ("{remote}:{port}", "[2001:db8::9]:77"),
        ("{local}", "10.96.0.10"),
        ("{size}/{rsize}", "32/90"),
        ("{duration}", "0.000123s"),
        ("{rcode}", "REFUSED"),
        ("{>id}", "4660"),
        ("{>opcode}", "0"),
        ("{>do}", "true"),
        ("{>bufsize}", "4096"),
        ("{>rflags}", "qr,tc,ra,ad,cd"),
        ("{/forward/upstream}", "-"),
        ("{/} {nope} {>nope} {", "- {nope} {>nope} {"),
        ("x{{type}}y", "x{TYPE65280}y"),
    ] {
        assert_eq!(line(format, &request, &reply([0x82, 0xb5], 0)), expected, "{format}");
    }
    request.transport = crate::plugin::Transport::Tcp;
    assert_eq!(line("{proto} {>bufsize}", &request, &Outcome::Dropped), "tcp 65535");
}

#[test]
fn what_the_server_answers_has_its_flags_and_length() {
    let request = request(query("a.b", RecordType::A));
    let failed = Outcome::Failed(Failure::servfail("no upstream"));
    assert_eq!(line("{rcode} {>rflags} {rsize}", &request, &failed), "SERVFAIL qr,rd 21");
    assert_eq!(line("{rcode} {>rflags} {rsize}", &request, &Outcome::Dropped), "- - 0");
}

#[tokio::test]
async fn outcomes_pass_unchanged() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "log").unwrap();
    let outcome = reply([0x80, 0], 1);
    assert_eq!(bench.ask(&request(query("a.b", RecordType::A)), outcome.clone()).await, outcome);
}

fn log(directives: &str) -> Log {
    let text = format!(". {{\n{directives}\n}}\n");
    let corefile = crate::corefile::parse("Corefile".as_ref(), &text, &|_| None).unwrap();
    let bench = Bench::new();
    let rules = bench.with_setup(&corefile.blocks[0].directives, |setup| {
        setup.directives.iter().map(|directive| rule(setup, directive)).collect::<Result<_, _>>().unwrap()
    });
    Log { rules }
}

#[test]
fn the_first_rule_with_a_fitting_name_decides() {
    let log = log("log a.org b.org {name}\nlog org {\nclass error\n}");
    for (name, outcome, expected) in [
        ("x.a.org", reply([0x80, 0], 1), Some("x.a.org.")),
        ("b.org", reply([0x80, 3], 0), Some("b.org.")),
        ("c.org", reply([0x80, 0], 1), None),
        ("c.org", reply([0x80, 3], 0), None),
        ("c.com", reply([0x80, 2], 0), None),
    ] {
        let request = request(query(name, RecordType::A));
        let exchange = Exchange { request: &request, outcome: &outcome, took: Duration::ZERO };
        assert_eq!(log.line(&exchange).as_deref(), expected, "{name}");
    }
    let request = request(query("c.org", RecordType::A));
    let refused = reply([0x80, 5], 0);
    assert!(log.line(&Exchange { request: &request, outcome: &refused, took: Duration::ZERO }).is_some());
}

#[test]
fn arguments_are_names_and_a_format() {
    let request = request(query("x.test", RecordType::MX));
    let outcome = reply([0x80, 0], 1);
    let exchange = Exchange { request: &request, outcome: &outcome, took: Duration::ZERO };
    for (text, expected) in [
        ("log \"{type}!\"", Some("MX!")),
        ("log . \"{type}!\"", Some("MX!")),
        ("log test {type}", Some("MX")),
        ("log other {type}", None),
        ("log {type} {\nclass denial all\n}", Some("MX")),
        ("log {type} {\nclass denial\nclass success\n}", Some("MX")),
        ("log {type} {\nclass denial error\n}", None),
    ] {
        assert_eq!(log(text).line(&exchange).as_deref(), expected, "{text}");
    }
}

#[test]
fn only_what_is_logged_leaves_the_fast_lane() {
    let fast = |text: &str, name: &str, answer: &Outcome| {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, text).unwrap();
        let plan = &bench.done().plan;
        let wire = Name::from_text(name).unwrap();
        let mut buffer = NameBuffer::default();
        let name = buffer.lower(wire.wire()).unwrap();
        let Outcome::Reply(reply) = answer else { unreachable!() };
        plan.is_fast(&name) && plan.may_send(&name, &reply.packet)
    };
    let (success, denial, error) = (reply([0x80, 0], 1), reply([0x80, 3], 0), reply([0x80, 2], 0));
    assert!(!fast("log", "a.org", &success));
    assert!(!fast("log org", "a.org", &success) && fast("log org", "a.com", &success));
    let errors = "log . {\nclass error\n}";
    assert!(fast(errors, "a.org", &success) && fast(errors, "a.org", &denial) && !fast(errors, "a.org", &error));
    let both = "log org {\nclass denial error\n}";
    assert!(fast(both, "a.org", &success) && !fast(both, "a.org", &denial) && !fast(both, "a.org", &error));
    assert!(fast(both, "a.com", &denial));
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("log {\nclass\n}", "expected: class"),
            ("log {\nclass most\n}", "'most' is no class; expected all, success, denial or error"),
            ("log {\nnope\n}", "unknown property 'nope'; expected one of: class"),
            ("log a..b", "a..b"),
        ],
    );
}

#[test]
fn a_zone_that_is_meant_as_a_file_is_warned_of() {
    for (lines, warnings) in [("log", 0), ("log stdout", 1), ("log example.org stdout", 1)] {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        assert_eq!(bench.done().process.warnings.len(), warnings, "{lines}");
    }
}
