use super::*;
use crate::plugin::{Lifecycle, Reply, ZoneHolder};
use crate::plugins::testing::{Bench, query, request};
use crate::wire::{Message, ResourceRecord};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Holds `held.test` with so many addresses.
struct Held {
    serial: AtomicU32,
    addresses: u32,
}

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn soa(serial: u32) -> ResourceRecord {
    let mut rdata = [name("ns.held.test").wire(), name("host.held.test").wire()].concat();
    [serial, 1, 2, 3, 4].iter().for_each(|number| rdata.extend(number.to_be_bytes()));
    ResourceRecord { owner: name("held.test").wire().to_vec(), rtype: RecordType::SOA, class: 1, ttl: 5, rdata }
}

impl ZoneHolder for Held {
    fn zones(&self) -> Vec<Name> {
        vec![name("held.test")]
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        (*zone == name("held.test")).then(|| self.serial.load(Ordering::Relaxed))
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        let address = |number: u32| ResourceRecord {
            owner: name(&format!("host-{number}.held.test")).wire().to_vec(),
            rtype: RecordType::A,
            class: 1,
            ttl: 5,
            rdata: number.to_be_bytes().to_vec(),
        };
        Some(std::iter::once(soa(self.serial(zone)?)).chain((0..self.addresses).map(address)).collect())
    }
}

fn bench(lines: &str, addresses: u32) -> (Bench, Arc<Held>) {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, lines).unwrap();
    let held = Arc::new(Held { serial: 7.into(), addresses });
    bench.done().plan.holders.add(held.clone());
    (bench, held)
}

fn asking(zone: &str, qtype: RecordType) -> Request {
    let mut request = request(query(zone, qtype));
    request.transport = Transport::Tcp;
    request
}

/// An IXFR query whose client has a serial.
fn incremental(serial: u32) -> Request {
    let mut message = Message::parse(&query("held.test", RecordType::IXFR)).unwrap();
    message.authorities.push(soa(serial));
    asking("held.test", RecordType::IXFR).with_packet(message.to_octets(512)).unwrap()
}

fn last() -> Outcome {
    Outcome::Reply(Reply::new(vec![0; 12]))
}

/// The records of all messages, and how many messages there were; `None` if the code says something else.
async fn transferred(bench: &Bench, request: &Request) -> Option<(Vec<ResourceRecord>, usize)> {
    let Outcome::Reply(reply) = bench.ask(request, Outcome::Dropped).await else { return None };
    let more: &[Vec<u8>] = reply.more.as_deref().map(AsRef::as_ref).unwrap_or_default();
    let messages: Vec<_> =
        std::iter::once(&reply.packet).chain(more).map(|octets| Message::parse(octets).unwrap()).collect();
    for message in &messages {
        assert_eq!((message.id, message.flags & 0x8400), (0x1234, 0x8400), "the id, QR and AA");
        assert_eq!(message.question.name, name("held.test").wire());
    }
    assert!(more.iter().all(|octets| octets.len() > 20_000 && octets.len() <= 65_535) || more.len() < 2);
    Some((messages.iter().flat_map(|message| message.answers.clone()).collect(), messages.len()))
}

#[tokio::test]
async fn a_zone_goes_out_from_soa_to_soa() {
    let (bench, _) = bench("transfer {\nto *\n}", 3);
    let (records, messages) = transferred(&bench, &asking("held.test", RecordType::AXFR)).await.unwrap();
    assert_eq!((records.len(), messages), (5, 1));
    assert_eq!((&records[0], &records[4]), (&soa(7), &soa(7)));
}

#[tokio::test]
async fn a_large_zone_takes_several_messages_and_a_bounded_number_goes_out_at_a_time() {
    let (bench, _) = bench("transfer {\nto *\n}", 20_000);
    let chain = bench.chain(Outcome::Dropped);
    let request = asking("held.test", RecordType::AXFR);
    let mut outcomes = Vec::new();
    for _ in 0..MOST + 1 {
        outcomes.push(Next::all(&chain).run(&request).await);
    }
    assert!(matches!(outcomes.pop(), Some(Outcome::Failed(failure)) if failure.rcode == Rcode::SERVFAIL));
    outcomes.clear();
    let (records, messages) = transferred(&bench, &request).await.unwrap();
    assert_eq!((records.len(), records[20_001] == soa(7)), (20_002, true));
    assert!((10..40).contains(&messages), "{messages}");
}

#[tokio::test]
async fn ixfr_is_the_soa_record_or_everything() {
    let (bench, _) = bench("transfer {\nto *\n}", 3);
    assert_eq!(transferred(&bench, &incremental(7)).await.unwrap().0, [soa(7)]);
    assert_eq!(transferred(&bench, &incremental(6)).await.unwrap().0.len(), 5);
    assert_eq!(transferred(&bench, &asking("held.test", RecordType::IXFR)).await.unwrap().0.len(), 5);
    // Over UDP it is that record in any case: with another serial the client asks again over TCP.
    for serial in [6, 7] {
        let mut request = incremental(serial);
        request.transport = Transport::Udp;
        assert_eq!(transferred(&bench, &request).await.unwrap(), (vec![soa(7)], 1));
    }
    let strange = self::bench("transfer {\nto 10.1.2.4\n}", 3).0;
    let mut request = incremental(7);
    request.transport = Transport::Udp;
    let outcome = strange.ask(&request, last()).await;
    assert!(matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::REFUSED), "a stranger");
}

#[tokio::test]
async fn who_may_ask_for_what() {
    let refused = |outcome: Outcome| matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::REFUSED);
    let ask = async |lines: &str, request: &Request| bench(lines, 1).0.ask(request, last()).await;
    let axfr = asking("held.test", RecordType::AXFR);
    assert!(refused(ask("transfer {\nto *\n}", &request(query("held.test", RecordType::AXFR))).await), "UDP");
    assert!(refused(ask("transfer {\nto 10.1.2.4\n}", &axfr).await), "a stranger");
    assert!(!refused(ask("transfer {\nto 10.1.2.4\nto 10.1.2.3\n}", &axfr).await), "a secondary");
    // The longest zone counts.
    assert!(refused(ask("transfer . {\nto *\n}\ntransfer held.test {\nto 10.1.2.4\n}", &axfr).await));
    assert!(!refused(ask("transfer . {\nto 10.1.2.4\n}\ntransfer held.test {\nto *\n}", &axfr).await));
    // What nobody holds, other types and other zones are the next plugin's.
    for (lines, request) in [
        ("transfer {\nto *\n}", asking("example.com", RecordType::AXFR)),
        ("transfer {\nto *\n}", asking("below.held.test", RecordType::AXFR)),
        ("transfer {\nto *\n}", asking("held.test", RecordType::A)),
        ("transfer other.test {\nto *\n}", axfr.clone()),
    ] {
        assert_eq!(ask(lines, &request).await, last(), "{lines}");
    }
}

#[tokio::test]
async fn secondaries_hear_of_changes_until_they_answer() {
    let secondary = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let lines = format!("transfer {{\nto {}\nsource 127.0.0.2\n}}", secondary.local_addr().unwrap());
    let (bench, held) = bench(&lines, 1);
    bench.serving();
    let take = async || {
        let mut buffer = [0; 512];
        let received = tokio::time::timeout(Duration::from_secs(5), secondary.recv_from(&mut buffer)).await;
        let (len, from) = received.expect("a NOTIFY").unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.2");
        assert_eq!(buffer[2..12], [0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(buffer[12..len], [name("held.test").wire(), &[0, 6, 0, 1]].concat());
        buffer[2] |= 0x80;
        (buffer[..len].to_vec(), from)
    };
    // Not answered: it comes again.
    let (first, _) = take().await;
    let (again, from) = take().await;
    assert_eq!(first, again);
    secondary.send_to(&again, from).await.unwrap();
    held.serial.store(8, Ordering::Relaxed);
    let (next, from) = take().await;
    secondary.send_to(&next, from).await.unwrap();
    assert_ne!(next[..2], again[..2]);
    let quiet = tokio::time::timeout(Duration::from_millis(1500), secondary.recv(&mut [0; 512])).await;
    assert!(quiet.is_err(), "nothing has changed");
    let lifecycles: Vec<Arc<dyn Lifecycle>> = bench.done().process.lifecycles.clone();
    lifecycles[0].stop().await;
    held.serial.store(9, Ordering::Relaxed);
    let quiet = tokio::time::timeout(Duration::from_millis(1500), secondary.recv(&mut [0; 512])).await;
    assert!(quiet.is_err(), "the plan has ended");
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("transfer", "'to' is required"),
            ("transfer {\nto\n}", "expected: to ADDRESS..."),
            ("transfer {\nto dns.test\n}", "'dns.test' is neither an IP address nor *"),
            ("transfer {\nto *\nsource\n}", "expected: source ADDRESS"),
            ("transfer {\nto *\nsource dns.test\n}", "'dns.test' is no IP address"),
            ("transfer {\nto ::1\nsource 192.0.2.1\n}", "from 192.0.2.1 there is no way to [::1]:53"),
            ("transfer {\nto *\nx\n}", "unknown property 'x'"),
            ("transfer a..b {\nto *\n}", "a label is empty"),
        ],
    );
}
