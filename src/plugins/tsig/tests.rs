use super::*;
use crate::plugin::Transport;
use crate::plugins::testing::{Bench, query, request};
use crate::wire::Message;
use crate::wire::tsig::BADSIG;

const SECRET: &str = "c2VjcmV0IG9mIHNvbWUgbGVuZ3Ro";

fn bench(options: &str) -> Bench {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &format!("tsig {{\nsecret k.test {SECRET}\n{options}\n}}")).unwrap();
    bench
}

fn key(secret: &[u8], name: &str) -> Arc<Key> {
    Arc::new(Key::new(Name::from_text(name).unwrap(), Algorithm::Sha512, secret.to_vec()))
}

fn right() -> Arc<Key> {
    key(b"secret of some length", "k.test")
}

/// A request that is signed so many seconds before its receipt, and the client's side.
fn signed(key: Arc<Key>, before: u64) -> (Request, Exchange) {
    let plain = request(query("held.test", RecordType::A));
    let mut packet = plain.packet.clone();
    let exchange = Exchange::begin(key, &mut packet, plain.moment.seconds - before);
    (plain.with_packet(packet).unwrap(), exchange)
}

/// An answer with so many octets of text.
fn answer(octets: usize) -> Outcome {
    let request = request(query("held.test", RecordType::A));
    let mut message = request.answer();
    message.answers.extend((0..octets.div_ceil(200)).map(|number| crate::wire::ResourceRecord {
        owner: vec![0],
        rtype: RecordType::TXT,
        class: 1,
        ttl: 1,
        rdata: vec![number as u8; 200],
    }));
    Outcome::Reply(Reply::new(message.to_octets(65_535)))
}

fn reply(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_is_signed_and_fits() {
    let bench = bench("");
    for (octets, truncated) in [(10, false), (490, true)] {
        let (request, mut client) = signed(right(), 0);
        let reply = reply(bench.ask(&request, answer(octets)).await);
        assert!(reply.packet.len() <= 512);
        let plain = client.verify(&reply.packet, request.moment.seconds).unwrap();
        let message = Message::parse(&plain).unwrap();
        assert_eq!(message.flags & crate::wire::flags::TC != 0, truncated, "{octets}");
    }
    // A code of the server's is signed as well, and its reason is not lost.
    let (request, mut client) = signed(right(), 0);
    let reply = reply(bench.ask(&request, Outcome::Failed(Failure::servfail("broken"))).await);
    let plain = client.verify(&reply.packet, request.moment.seconds).unwrap();
    assert_eq!((Message::parse(&plain).unwrap().rcode(), reply.reason.as_deref()), (Rcode::SERVFAIL, Some("broken")));
    assert!(bench.metrics.render().contains("dunlin_tsig_requests_total{result=\"verified\",server=\"\"} 3"));
}

#[tokio::test]
async fn every_message_of_a_transfer_is_signed() {
    let bench = bench("require AXFR");
    let (mut request, mut client) = signed(right(), 0);
    request.transport = Transport::Tcp;
    let Outcome::Reply(first) = answer(10) else { panic!() };
    let more = Following::new(vec![first.packet.clone(), first.packet.clone()], ());
    let whole = Outcome::Reply(Reply { more: Some(Arc::new(more)), ..first.clone() });
    let reply = reply(bench.ask(&request, whole).await);
    let more = reply.more.unwrap();
    for packet in std::iter::once(&reply.packet).chain((*more).as_ref()) {
        assert_eq!(client.verify(packet, request.moment.seconds).as_ref(), Ok(&first.packet));
        assert!(client.is_complete());
    }
}

#[tokio::test]
async fn what_is_not_authentic_is_said() {
    let bench = bench("");
    for (key, before, code, is_signed) in [
        (key(b"another", "k.test"), 0, BADSIG, false),
        (key(b"another", "unknown.test"), 0, Rcode::BADKEY, false),
        (right(), 301, Rcode::BADTIME, true),
    ] {
        let (request, _) = signed(key, before);
        let reply = reply(bench.ask(&request, Outcome::Dropped).await);
        let (tsig, _) = tsig::take(&reply.packet).unwrap().unwrap();
        assert_eq!((reply.rcode(), tsig.error, !tsig.mac.is_empty()), (Rcode::NOTAUTH, code, is_signed));
    }
    let (request, _) = signed(right(), 0);
    // Another record behind it.
    let mut packet = request.packet.clone();
    packet[11] += 1;
    packet.extend(b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x0a\x00\x00\x01");
    let outcome = bench.ask(&request.with_packet(packet).unwrap(), Outcome::Dropped).await;
    assert!(matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::FORMERR));
    let text = bench.metrics.render();
    for result in ["badsig", "badkey", "badtime", "malformed"] {
        assert!(text.contains(&format!("dunlin_tsig_requests_total{{result=\"{result}\",server=\"\"}} 1")), "{text}");
    }
}

#[tokio::test]
async fn what_has_to_be_signed_is_refused_without() {
    let plain = |qtype| request(query("held.test", qtype));
    let mut notify = plain(RecordType::SOA);
    notify.packet[2] = 0x24;
    for (options, request, refused) in [
        ("", plain(RecordType::AXFR), false),
        ("require AXFR ixfr", plain(RecordType::AXFR), true),
        ("require AXFR IXFR", plain(RecordType::A), false),
        ("require all", plain(RecordType::A), true),
        ("require all none", plain(RecordType::A), false),
        ("require_opcode NOTIFY", plain(RecordType::SOA), false),
        ("require_opcode NOTIFY UPDATE", notify.clone(), true),
        ("require_opcode all", plain(RecordType::A), true),
    ] {
        let bench = bench(options);
        let outcome = bench.ask(&request, Outcome::Dropped).await;
        let is_refused = matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::REFUSED);
        assert_eq!(is_refused, refused, "{options}");
        // The fast lane does not answer it either.
        let has_gate = !bench.done().plan.stores.is_empty();
        assert_eq!(has_gate, !options.is_empty() && !options.ends_with("none"), "{options}");
    }
    let elsewhere = Bench::new();
    elsewhere.set_up(&DEFINITION, "tsig other.test {\nrequire all\n}").unwrap();
    assert_eq!(elsewhere.ask(&plain(RecordType::A), Outcome::Dropped).await, Outcome::Dropped);
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("tsig {\nsecret k.test\n}", "expected: secret NAME KEY"),
            ("tsig {\nsecret k.test not-base64!\n}", "the secret of k.test. is no base64"),
            ("tsig {\nsecret a..b c2Vj\n}", "a label is empty"),
            ("tsig {\nsecrets\n}", "expected: secrets FILE"),
            ("tsig {\nsecrets /no/such/file\n}", "open /no/such/file: No such file"),
            ("tsig {\nrequire\n}", "expected: require [all|none|QTYPE...]"),
            ("tsig {\nrequire NOTYPE\n}", "'NOTYPE' is no type"),
            ("tsig {\nrequire_opcode\n}", "expected: require_opcode [all|none|OPCODE...]"),
            ("tsig {\nrequire_opcode PUSH\n}", "'PUSH' is no opcode; expected one of: QUERY"),
            ("tsig {\nx\n}", "unknown property 'x'"),
        ],
    );
    let error = Bench::new().set_up(&DEFINITION, "tsig {\nsecret k.test nearly-a-secret!\n}").unwrap_err();
    assert!(!error.to_string().contains("nearly-a-secret"), "{error}");
}
