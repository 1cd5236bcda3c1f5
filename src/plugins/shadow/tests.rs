use super::*;
use crate::client::query;
use crate::plugin::Copy;
use crate::plugins::testing::Bench;
use crate::wire::{Name, RecordType};
use tokio::net::UdpSocket;

#[test]
fn directives() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "shadow 192.0.2.1 {\nsample 100%\nlimit 10\ntimeout 50ms\n}").unwrap();
    assert!(bench.done().plan.copies.as_ref().is_some_and(|copies| copies.is_due(u64::MAX)));
    assert!(!bench.done().plan.is_mirror && bench.done().process.lifecycles[0].ready().is_none());
    let mirror = Bench::new();
    mirror.set_up(&DEFINITION, "shadow 192.0.2.1 {\nmirror\n}").unwrap();
    assert!(mirror.done().plan.is_mirror);
    assert!(mirror.done().process.warnings[0].contains("nobody is answered over UDP"));
    let (done, ready) = (mirror.done(), Some(false));
    assert_eq!((done.process.lifecycles[0].name(), done.process.lifecycles[0].ready()), ("shadow mirror", ready));
    let wrong = [
        ("shadow", "expected: shadow IP[:PORT]"),
        ("shadow a.test", "'a.test' is no address"),
        ("shadow tls://192.0.2.1", "is encrypted"),
        ("shadow 192.0.2.1 {\nsample 5\n}", "'5' is no share"),
        ("shadow 192.0.2.1 {\nsample 101%\n}", "'101%' is no share"),
        ("shadow 192.0.2.1 {\nlimit 0\n}", "from 1 to 1000"),
        ("shadow 192.0.2.1 {\ntimeout 1m\n}", "is not from 10ms to 10s"),
        ("shadow 192.0.2.1 {\ntimeout\n}", "expected: timeout VALUE"),
        ("shadow 192.0.2.1 {\nmirror yes\n}", "expected: mirror"),
        ("shadow 192.0.2.1 {\nmirror yes no\n}", "expected: mirror"),
        ("shadow 192.0.2.1 {\nthreshold 5\n}", "expected one of: sample, limit, timeout, mirror"),
        ("shadow 192.0.2.1\nshadow 192.0.2.2", "once"),
    ];
    Bench::errors(&DEFINITION, &wrong);
}

/// An answer without records to a query.
fn reply(query: &[u8], rcode: u8) -> Vec<u8> {
    let mut reply = query.to_vec();
    (reply[2], reply[3]) = (reply[2] | 0x84, rcode);
    reply
}

/// A target that answers NOERROR, and what a block of ours does with it.
async fn shadowed(answers: bool) -> (Bench, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bench = Bench::new();
    let lines = format!("shadow {} {{\nsample 100%\ntimeout 30ms\n}}", socket.local_addr().unwrap());
    bench.set_up(&DEFINITION, &lines).unwrap();
    let lifecycle = bench.done().process.lifecycles[0].clone();
    lifecycle.serving(&[]);
    let copies = bench.done().plan.copies.clone().unwrap();
    let asked = query(&Name::from_text("web.test").unwrap(), RecordType::A);
    if answers {
        copies.put(&asked, &reply(&asked, 0), 1);
        copies.put(&asked, &reply(&asked, 3), 1);
    } else {
        (0..10).for_each(|_| copies.put(&asked, &reply(&asked, 0), 1));
    }
    (bench, socket)
}

/// The counts as the status page has them.
fn counts(bench: &Bench) -> Vec<String> {
    bench.done().process.sections.read()[0].1.rows[0].clone()
}

async fn until(bench: &Bench, condition: impl Fn(&[String]) -> bool) -> Vec<String> {
    for _ in 0..2000 {
        let counts = counts(bench);
        if condition(&counts) {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", counts(bench));
}

#[tokio::test]
async fn answers_are_compared_and_differences_kept() {
    let (bench, socket) = shadowed(true).await;
    let answering = tokio::spawn(async move {
        let mut packet = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut packet).await.unwrap();
            socket.send_to(&reply(&packet[..length], 0), client).await.unwrap();
        }
    });
    let counts = until(&bench, |counts| counts[0] == "1" && counts[2] == "1").await;
    assert_eq!(counts, ["1", "0", "1", "0", "0", "asked"]);
    let (title, table) = bench.done().process.sections.read().remove(1);
    assert!(title.starts_with("Shadow: differences (127.0.0.1:"), "{title}");
    assert_eq!(table.rows[0][1..], ["web.test. A", "NODATA, ours NXDOMAIN"]);
    answering.abort();
    // A reload goes on from there.
    let next = bench.reloaded();
    let target = title.split(['(', ')']).nth(1).unwrap();
    next.set_up(&DEFINITION, &format!("shadow {target}")).unwrap();
    assert_eq!(next.done().process.sections.read()[1].1.rows.len(), 1);
}

#[tokio::test]
async fn a_silent_target_is_left_alone_and_tried_again() {
    let (bench, socket) = shadowed(false).await;
    until(&bench, |counts| counts[5] == "left alone").await;
    let copies = bench.done().plan.copies.clone().unwrap();
    assert!(!copies.is_due(0), "nothing is copied meanwhile");
    // It comes back.
    let answering = tokio::spawn(async move {
        let mut packet = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut packet).await.unwrap();
            let _ = socket.send_to(&reply(&packet[..length], 0), client).await;
        }
    });
    let asked = query(&Name::root(), RecordType::NS);
    for _ in 0..2000 {
        if copies.is_due(0) {
            let Copy { query, reply } = Copy { reply: reply(&asked, 0), query: asked.clone() };
            copies.put(&query, &reply, 2);
        }
        if counts(&bench)[0] != "0" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until(&bench, |counts| counts[0] != "0" && counts[5] == "asked").await;
    answering.abort();
}
