use super::*;
use crate::plugins::testing::{Bench, query, request};
use crate::wire::Message;
use crate::wire::tsig::{Algorithm, Exchange, take};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// The SOA of `held.test`: refreshed each second, and expired after three.
fn soa(serial: u32) -> ResourceRecord {
    let mut rdata = [name("ns.held.test").wire(), name("host.held.test").wire()].concat();
    [serial, 1, 1, 3, 4].iter().for_each(|number| rdata.extend(number.to_be_bytes()));
    ResourceRecord { owner: name("held.test").wire().to_vec(), rtype: RecordType::SOA, class: 1, ttl: 5, rdata }
}

fn address(owner: &str, last: u8) -> ResourceRecord {
    let owner = name(owner).wire().to_vec();
    ResourceRecord { owner, rtype: RecordType::A, class: 1, ttl: 5, rdata: vec![192, 0, 2, last] }
}

/// A primary with one zone, a record a message.
struct Primary {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    records: Vec<ResourceRecord>,
    /// The records of zones beside that.
    more: Vec<(Name, Vec<ResourceRecord>)>,
    key: Option<Arc<Key>>,
    /// What is asked.
    asked: Vec<RecordType>,
    refuses: bool,
}

impl Primary {
    async fn start(records: Vec<ResourceRecord>, key: Option<Arc<Key>>) -> Primary {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { records, more: Vec::new(), key, asked: Vec::new(), refuses: false }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut packet = vec![0; length.into()];
                        stream.read_exact(&mut packet).await.unwrap();
                        for message in answer(&shared, &packet) {
                            stream.write_u16(message.len() as u16).await.unwrap();
                            stream.write_all(&message).await.unwrap();
                        }
                    }
                });
            }
        });
        Primary { at, state }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn asked(&self, qtype: RecordType) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| **asked == qtype).count()
    }
}

fn answer(state: &Mutex<State>, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut state = state.lock().unwrap();
    let question = Message::parse(packet).unwrap();
    state.asked.push(question.question.qtype);
    let of_zone = state.more.iter().find(|(zone, _)| zone.wire() == question.question.name);
    let of_zone = of_zone.map_or(&state.records, |(_, records)| records);
    let records: Vec<_> = match question.question.qtype {
        RecordType::SOA => vec![of_zone[0].clone()],
        _ => of_zone.iter().chain(&of_zone[..1]).cloned().collect(),
    };
    let mut exchange = state.key.clone().map(|key| {
        let (tsig, stripped) = take(packet).unwrap().expect("a signed request");
        Exchange::accept(key.clone(), key.algorithm, &tsig, &stripped, tsig.signed_at).ok().unwrap()
    });
    let refuses = state.refuses;
    let message = |record: ResourceRecord| {
        let mut message = Message { flags: 0x8400, answers: vec![record], ..question.clone() };
        if refuses {
            message.set_rcode(Rcode::REFUSED);
        }
        let mut octets = message.to_octets(65_535);
        if let Some(exchange) = &mut exchange {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            exchange.sign(&mut octets, now);
        }
        octets
    };
    records.into_iter().map(message).collect()
}

async fn bench(lines: &str) -> Bench {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, lines).unwrap();
    start(&bench).await;
    bench
}

async fn start(bench: &Bench) {
    let lifecycles = bench.done().process.lifecycles.clone();
    for lifecycle in lifecycles {
        lifecycle.start().await.unwrap();
    }
}

/// The code of an address query and the last octet of its first address.
async fn ask(bench: &Bench, name: &str) -> (Rcode, Option<u8>) {
    match bench.ask(&request(query(name, RecordType::A)), Outcome::Dropped).await {
        Outcome::Reply(reply) => {
            let message = Message::parse(&reply.packet).unwrap();
            (message.rcode(), message.answers.first().map(|record| record.rdata[3]))
        }
        Outcome::Failed(failure) => (failure.rcode, None),
        Outcome::Dropped => (Rcode::NOTIMP, None),
    }
}

async fn wait(bench: &Bench, name: &str, expected: (Rcode, Option<u8>)) {
    for _ in 0..1000 {
        if ask(bench, name).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} does not become {expected:?}: {:?}", ask(bench, name).await);
}

fn notify(from: [u8; 4]) -> Request {
    let mut packet = query("held.test", RecordType::SOA);
    packet[2] = 0x24;
    Request { client: (from, 40_000).into(), ..request(packet) }
}

#[tokio::test]
async fn a_zone_comes_stays_in_step_and_expires() {
    let primary = Primary::start(vec![soa(1), address("web.held.test", 1)], None).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bench = bench(&format!("secondary held.test {{\ntransfer from {closed} {}\n}}", primary.at)).await;
    wait(&bench, "web.held.test", (Rcode::NOERROR, Some(1))).await;
    assert_eq!(ask(&bench, "no.held.test").await.0, Rcode::NXDOMAIN);
    assert_eq!(ask(&bench, "elsewhere.test").await.0, Rcode::NOTIMP, "the next plugin's");
    // The same serial is not taken again, a newer one is.
    primary.set(|state| state.records[1] = address("web.held.test", 2));
    let before = primary.asked(RecordType::SOA);
    while primary.asked(RecordType::SOA) < before + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((ask(&bench, "web.held.test").await.1, primary.asked(RecordType::AXFR)), (Some(1), 1));
    primary.set(|state| state.records[0] = soa(2));
    wait(&bench, "web.held.test", (Rcode::NOERROR, Some(2))).await;
    // A reload keeps it.
    let next = bench.reloaded();
    next.set_up(&DEFINITION, &format!("secondary held.test {{\ntransfer from {closed} {}\n}}", primary.at)).unwrap();
    assert_eq!(ask(&next, "web.held.test").await.1, Some(2));
    let holders = next.done().plan.holders.all();
    assert_eq!(holders[0].serial(&name("held.test")), Some(2));
    assert_eq!(holders[0].records(&name("held.test")).unwrap().len(), 2);
    primary.set(|state| state.refuses = true);
    wait(&bench, "web.held.test", (Rcode::SERVFAIL, None)).await;
    let text = bench.metrics.render();
    for result in ["transferred", "current", "failed"] {
        let line = format!("dunlin_secondary_refreshes_total{{result=\"{result}\",zone=\"held.test.\"}}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn notify_brings_a_change_at_once_and_only_from_a_primary() {
    let mut slow = soa(1);
    let at = slow.rdata.len() - 16;
    slow.rdata[at..at + 4].copy_from_slice(&3600u32.to_be_bytes());
    let primary = Primary::start(vec![slow.clone(), address("web.held.test", 1)], None).await;
    let bench = bench(&format!("secondary held.test {{\ntransfer from {}\n}}", primary.at)).await;
    wait(&bench, "web.held.test", (Rcode::NOERROR, Some(1))).await;
    let mut newer = slow;
    let at = newer.rdata.len() - 20;
    newer.rdata[at + 3] = 2;
    primary.set(|state| state.records = vec![newer, address("web.held.test", 2)]);
    assert_eq!(bench.ask(&notify([10, 0, 0, 9]), Outcome::Dropped).await, Outcome::Dropped);
    let Outcome::Reply(reply) = bench.ask(&notify([127, 0, 0, 1]), Outcome::Dropped).await else { panic!("no reply") };
    assert_eq!((reply.packet[2], reply.rcode()), (0xa4, Rcode::NOERROR), "QR, NOTIFY, AA");
    wait(&bench, "web.held.test", (Rcode::NOERROR, Some(2))).await;
    let text = bench.metrics.render();
    assert!(text.contains("dunlin_secondary_notifies_total{result=\"dropped\",zone=\"held.test.\"} 1"), "{text}");
}

#[tokio::test]
async fn a_key_signs_what_is_asked_and_its_answer_must_be_signed() {
    let key = || Key::new(name("k.test"), Algorithm::Sha512, b"secret".to_vec());
    let primary = Primary::start(vec![soa(1), address("web.held.test", 1)], Some(Arc::new(key()))).await;
    let with_key = |key: Key| {
        let bench = Bench::new();
        bench.done().process.keys.add(key);
        let lines = format!("secondary held.test {{\ntransfer from {}\nkey k.test\n}}", primary.at);
        bench.set_up(&DEFINITION, &lines).unwrap();
        bench
    };
    let bench = with_key(key());
    start(&bench).await;
    wait(&bench, "web.held.test", (Rcode::NOERROR, Some(1))).await;
    // A primary that does not sign is not believed.
    let plain = Primary::start(vec![soa(1), address("web.held.test", 1)], None).await;
    let key = Arc::new(key());
    let why = fetch::fetch(plain.at, &name("held.test"), None, Some(&key)).await.err();
    assert_eq!(why.as_deref(), Some("its answer (NOERROR) is not signed"));
}

#[tokio::test]
async fn what_is_no_zone_is_refused() {
    for (records, gist) in [
        (vec![address("web.held.test", 1)], "does not begin with its SOA"),
        (vec![soa(1), soa(2)], "changed while it was sent"),
    ] {
        let primary = Primary::start(records, None).await;
        let why = fetch::fetch(primary.at, &name("held.test"), None, None).await.err().unwrap();
        assert!(why.contains(gist), "{why}");
    }
}

/// A SOA of another zone than `held.test`.
fn soa_of(zone: &str, serial: u32) -> ResourceRecord {
    ResourceRecord { owner: name(zone).wire().to_vec(), ..soa(serial) }
}

#[tokio::test]
async fn the_zones_of_a_catalog_come_and_go_with_it() {
    let listing = |serial: u32, zones: &[&str]| {
        let version = ResourceRecord {
            owner: name("version.held.test").wire().to_vec(),
            rtype: RecordType::TXT,
            rdata: b"\x012".to_vec(),
            ..soa(1)
        };
        let pointer = |zone: &&str| ResourceRecord {
            owner: name(&format!("{}.zones.held.test", zone.replace('.', "-"))).wire().to_vec(),
            rtype: RecordType::PTR,
            rdata: name(zone).wire().to_vec(),
            ..soa(1)
        };
        [soa(serial), version].into_iter().chain(zones.iter().map(pointer)).collect::<Vec<_>>()
    };
    let primary = Primary::start(listing(1, &["one.org", "two.org", "out.net"]), None).await;
    primary.set(|state| {
        let zone = |zone: &str, last| (name(zone), vec![soa_of(zone, 1), address(&format!("web.{zone}"), last)]);
        state.more = vec![zone("one.org", 1), zone("two.org", 2), zone("out.net", 3), zone("three.org", 4)];
    });
    let lines = format!("secondary held.test {{\ntransfer from {}\ncatalog org\n}}", primary.at);
    let bench = bench(&lines).await;
    wait(&bench, "web.one.org", (Rcode::NOERROR, Some(1))).await;
    wait(&bench, "web.two.org", (Rcode::NOERROR, Some(2))).await;
    assert_eq!(
        ask(&bench, "web.out.net").await.0,
        Rcode::NOTIMP,
        "outside what the catalog may list: the next plugin's"
    );
    // A broken catalog changes nothing.
    primary.set(|state| state.records = vec![soa(2)]);
    let before = primary.asked(RecordType::AXFR);
    while primary.asked(RecordType::AXFR) == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&bench, "web.one.org").await, (Rcode::NOERROR, Some(1)));
    primary.set(|state| state.records = listing(3, &["two.org", "three.org"]));
    wait(&bench, "web.three.org", (Rcode::NOERROR, Some(4))).await;
    assert_eq!(ask(&bench, "web.one.org").await.0, Rcode::NOTIMP);
    // A reload keeps them, and hands them on.
    let next = bench.reloaded();
    next.set_up(&DEFINITION, &lines).unwrap();
    assert_eq!(ask(&next, "web.three.org").await.1, Some(4));
    let holder = next.done().plan.holders.all().remove(0);
    assert_eq!((holder.serial(&name("three.org")), holder.zones().len()), (Some(1), 3));
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("secondary", "there is no primary; expected: transfer from ADDRESS..."),
            ("secondary {\ntransfer from\n}", "expected: transfer from ADDRESS..."),
            ("secondary {\ntransfer to 192.0.2.1\n}", "expected: transfer from ADDRESS..."),
            ("secondary {\ntransfer from ns.test\n}", "'ns.test' is no address of a primary; expecting IP[:PORT]"),
            ("secondary {\ntransfer from tls://192.0.2.1\n}", "expecting IP[:PORT]"),
            ("secondary {\ntransfer from 192.0.2.1\nkey k.test\n}", "the key k.test. is not there"),
            ("secondary {\ntransfer from 192.0.2.1\nkey\n}", "expected: key NAME"),
            ("secondary {\ntransfer from 192.0.2.1\ncatalog a..b\n}", "a label is empty"),
            ("secondary {\nx\n}", "unknown property 'x'; expected one of: transfer, key, catalog, fallthrough"),
        ],
    );
}
