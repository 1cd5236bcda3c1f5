//! Any octets in: a well-formed reply or silence, from both lanes, over UDP and TCP; and the server goes on.
//!
//! `DUNLIN_HOSTILE=5000000 cargo test --test hostile` sends as many packets. The dice are seeded: a failure prints the
//! packet.

mod support;

use hickory_proto::op::Message;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;
use support::{Answer, Dunlin, Question, Scratch, Start, Upstream, free_port, http_get, http_request, read, say};

/// Packets of a volley; fewer than any socket buffer holds.
const VOLLEY: usize = 64;
/// No UDP answer is larger, whatever the client says.
const LARGEST: usize = 1232;

const SEEDS: [&str; 16] = [
    "kubernetes.default.svc.cluster.local. A",
    "kubernetes.default.svc.cluster.local. AAAA edns=4096 do",
    "_https._tcp.kubernetes.default.svc.cluster.local. SRV edns=512",
    "1.0.96.10.in-addr.arpa. PTR cookie",
    "cluster.local. SOA version=1",
    "cluster.local. NS cd",
    "dns-version.cluster.local. TXT",
    "10-1-2-3.default.pod.cluster.local. A nord",
    "www.example.com. A",
    "www.example.com. HTTPS edns=1232 do",
    "www.example.com.default.svc.cluster.local. A",
    ". NS",
    "version.bind. TXT chaos",
    "kubernetes.default.svc.cluster.local. ANY",
    "cluster.local. AXFR",
    "a.very.long.name.that.goes.on.and.on.under.default.svc.cluster.local. A pad=200",
];

/// xorshift: the same packets each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    /// A query that something has happened to; or nothing; or nothing like a query.
    fn packet(&mut self, seeds: &[Vec<u8>], id: u16) -> Vec<u8> {
        let mut packet = seeds[self.below(seeds.len())].clone();
        match self.below(8) {
            0 => {}
            1 => packet.truncate(self.below(packet.len() + 1)),
            2 => (0..=self.below(8)).for_each(|_| {
                let at = self.below(packet.len());
                packet[at] = self.roll() as u8;
            }),
            // The counts of the header, and its flags.
            3 => {
                let at = 2 + self.below(10);
                packet[at] ^= 1 << self.below(8);
            }
            // A pointer, perhaps to itself.
            4 => {
                let at = 12 + self.below(packet.len() - 12);
                let to = self.below(packet.len() + 4) as u8;
                packet.splice(at..at, [0xc0, to]);
            }
            // The middle of another one.
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let (at, from) = (self.below(packet.len()), self.below(other.len()));
                packet.splice(at.., other[from..].iter().copied());
            }
            6 => {
                let more = self.below(1400);
                packet.extend((0..more).map(|_| self.roll() as u8));
            }
            _ => packet = (0..self.below(600)).map(|_| self.roll() as u8).collect(),
        }
        if let Some(place) = packet.first_chunk_mut() {
            *place = id.to_be_bytes();
        }
        packet
    }
}

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|text| Question::parse(text).expect(text).message(0)).collect()
}

fn server() -> (Dunlin, Upstream, Scratch, u16) {
    let (upstream, manifests, metrics) = (Upstream::start(), Scratch::new(), free_port());
    manifests.write("cluster.yaml", &read("tests/data/conformance/cluster.yaml"));
    manifests.write("default.yaml", &read("tests/data/conformance/kubernetes-service.yaml"));
    let text = ".:{$PORT} {\n    bind 127.0.0.1\n    errors\n    log\n    prometheus 127.0.0.1:{$METRICS}\n    chaos\n    \
                kubernetes cluster.local in-addr.arpa ip6.arpa {\n        manifests {$MANIFESTS}\n        pods insecure\n    }\n    \
                cache 30\n    loadbalance\n    forward . {$UPSTREAM}\n}\n";
    let start = Start::corefile(text).set("MANIFESTS", manifests.path().display()).set("METRICS", metrics);
    (start.set("UPSTREAM", upstream.address).run(), upstream, manifests, metrics)
}

/// A reply is one to this query, whole, and no larger than it may be.
fn judge(query: &[u8], reply: &[u8], largest: usize) {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let told = || format!("query {}\nreply {}", hex(query), hex(reply));
    assert!(query.len() >= 12 && query[2] & 0x80 == 0, "an answer to what is no query\n{}", told());
    assert!(reply.len() >= 12 && reply[2] & 0x80 != 0, "an answer that is none\n{}", told());
    assert!(reply.len() <= largest, "{} octets\n{}", reply.len(), told());
    // A query whose question cannot be read is answered without one.
    let decoded = match reply[4..6] {
        [0, 0] => Message::from_vec(reply).map(drop).map_err(|why| why.to_string()),
        _ => Answer::decode(reply).map(drop),
    };
    if let Err(why) = decoded {
        panic!("{why}\n{}", told());
    }
}

/// The process is there, has not panicked, and answers.
fn unhurt(dunlin: &mut Dunlin, metrics: u16) {
    assert!(dunlin.ended().is_none(), "{}", dunlin.output());
    let (_, text) = http_get(metrics, "/metrics").expect("metrics");
    assert!(text.lines().any(|line| line == "coredns_panics_total 0"), "a panic\n{}", dunlin.output());
    assert_eq!(dunlin.ask("kubernetes.default.svc.cluster.local. A").rcode, "NOERROR");
}

#[test]
fn any_datagram_has_a_well_formed_reply_or_none() {
    let wanted: usize = std::env::var("DUNLIN_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(30_000);
    let (mut dunlin, _upstream, _manifests, metrics) = server();
    let (seeds, mut dice) = (seeds(), Dice(0x9e37_79b9_7f4a_7c15));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(dunlin.address()).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(3))).expect("a timeout");
    let (mut sent, mut answered, mut id, mut buffer) = (0, 0, 0_u16, [0; 65536]);
    while sent < wanted {
        let mut waiting = HashMap::new();
        for _ in 0..VOLLEY {
            id = id.wrapping_add(1);
            let packet = dice.packet(&seeds, id);
            socket.send(&packet).expect("sent");
            waiting.insert(id, packet);
        }
        sent += VOLLEY;
        while let Ok(length) = socket.recv(&mut buffer) {
            let reply = &buffer[..length];
            // What is late is of a volley before.
            let Some(query) = waiting.remove(&u16::from_be_bytes([reply[0], reply[1]])) else { continue };
            judge(&query, reply, LARGEST);
            answered += 1;
        }
    }
    unhurt(&mut dunlin, metrics);
    say(format!("\nhostile datagrams: {sent} sent, {answered} answered, every reply well-formed"));
    assert!(answered > sent / 4, "{answered} of {sent}");
}

#[test]
fn any_stream_has_well_formed_replies_or_ends() {
    let (mut dunlin, _upstream, _manifests, metrics) = server();
    let (seeds, mut dice) = (seeds(), Dice(0x2545_f491_4f6c_dd1d));
    let (mut sent, mut answered) = (0, 0);
    for _ in 0..300 {
        let mut stream = TcpStream::connect(dunlin.address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let mut waiting = HashMap::new();
        let mut octets = Vec::new();
        for id in 1..=8_u16 {
            let packet = dice.packet(&seeds, id);
            octets.extend((packet.len() as u16).to_be_bytes());
            octets.extend(&packet);
            waiting.insert(id, packet);
        }
        // Some streams end in the middle, or go on with nonsense.
        match dice.below(4) {
            0 => octets.truncate(dice.below(octets.len())),
            1 => (0..40).for_each(|_| octets.push(dice.roll() as u8)),
            _ => {}
        }
        sent += 8;
        let _ = stream.write_all(&octets);
        let mut replies = Vec::new();
        let _ = stream.read_to_end(&mut replies);
        while let Some(length) = replies.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) {
            let Some(reply) = replies.get(2..2 + length) else { break };
            if let Some(query) = reply.first_chunk().and_then(|id| waiting.remove(&u16::from_be_bytes(*id))) {
                judge(&query, reply, usize::from(u16::MAX));
                answered += 1;
            }
            replies.drain(..2 + length);
        }
    }
    unhurt(&mut dunlin, metrics);
    say(format!("\nhostile streams: {sent} messages sent, {answered} answered, every reply well-formed"));
    assert!(answered > sent / 5, "{answered} of {sent}");
}

/// Rounds of forged replies before the right one: what a socket's queue holds.
const FORGED: usize = 40;
/// Questions, each asked twice.
const ASKED: usize = 50;

/// A reply with this address.
fn replied(query: &[u8], last: u8) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).expect("a name") + 5;
    let mut reply = query[..end].to_vec();
    (reply[2], reply[3]) = (0x81, 0x80);
    reply[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 9, 9, last]);
    reply
}

/// Before each right reply come many of another id, name, type or class, and some from another port, all of them with an
/// address of their own: no client sees it, neither at once nor out of the cache.
#[test]
fn forged_replies_are_neither_answered_nor_cached() {
    let (upstream, elsewhere) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = upstream.local_addr().unwrap();
    let corefile = ".:{$PORT} {\n    bind 127.0.0.1\n    prometheus 127.0.0.1:{$METRICS}\n    cache 300\n    \
                    forward . {$UPSTREAM}\n}\n";
    let metrics = free_port();
    let dunlin = Start::corefile(corefile).set("UPSTREAM", address).set("METRICS", metrics).run();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = upstream.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let forged = replied(query, 66);
            let question = 12 + query[12..].iter().position(|octet| *octet == 0).expect("a name");
            for round in 0..FORGED {
                for at in [1, 14, question + 2, question + 4] {
                    let mut other = forged.clone();
                    other[at] ^= 1 + (round % 7) as u8;
                    let _ = upstream.send_to(&other, from);
                }
            }
            let _ = elsewhere.send_to(&forged, from);
            let _ = upstream.send_to(&replied(query, 1), from);
        }
    });
    for round in 0..2 {
        for number in 0..ASKED {
            let answer = dunlin.ask(&format!("host-{number}.example.org. A"));
            assert_eq!(answer.data(), ["10.9.9.1"], "host-{number}, asked {} times before", round);
        }
    }
    let (_, text) = http_get(metrics, "/metrics").expect("metrics");
    let line = format!("dunlin_forward_ignored_replies_total{{to=\"{address}\"}} ");
    let ignored: f64 = text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or_default();
    say(format!("\nforged replies: {ignored} ignored, none answered, none cached"));
    assert!(ignored >= (ASKED * FORGED) as f64, "{ignored}");
}

/// A head that does not end, a body that nobody reads, a request that is none, and nothing at all.
const SLOW: [&[u8]; 4] = [b"GET /", b"GET @ HTTP/1.1\r\nHost: t\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b""];
/// Connections of each of these to each endpoint: all of them are more than a listener keeps.
const EACH: usize = 80;

/// Every HTTP endpoint answers GET and HEAD, and no other method, while hundreds of connections do nothing with theirs.
#[test]
fn http_endpoints_survive_slow_clients() {
    let paths = ["/health", "/ready", "/metrics", "/debug/pprof/", "/"];
    let ports: Vec<u16> = paths.iter().map(|_| free_port()).collect();
    let text = ".:{$PORT} {\n    bind 127.0.0.1\n    health 127.0.0.1:{$P0}\n    ready 127.0.0.1:{$P1}\n    prometheus 127.0.0.1:{$P2}\n    \
                pprof 127.0.0.1:{$P3}\n    status 127.0.0.1:{$P4}\n    whoami\n}\n";
    let mut start = Start::corefile(text);
    for (number, port) in ports.iter().enumerate() {
        start = start.set(&format!("P{number}"), port);
    }
    let dunlin = start.run();
    let endpoints: Vec<(u16, &str)> = ports.iter().copied().zip(paths).collect();
    let resident = dunlin.resident();
    let mut held = Vec::new();
    for (port, path) in &endpoints {
        for number in 0..SLOW.len() * EACH {
            let mut stream = TcpStream::connect(("127.0.0.1", *port)).expect("connected");
            let request = String::from_utf8_lossy(SLOW[number % SLOW.len()]).replace('@', path);
            // Who never reads asks again and again.
            let _ = stream.write_all(request.repeat(if request.contains(path) { 20 } else { 1 }).as_bytes());
            held.push(stream);
        }
    }
    for (port, path) in &endpoints {
        for (method, status) in
            [("GET", 200), ("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("TRACE", 405)]
        {
            let answered = http_request(*port, method, path, "text/plain", "").map(|(status, _)| status);
            assert_eq!(answered, Some(status), "{method} {path}");
        }
        assert_eq!(http_get(*port, "/no-such-page").map(|(status, _)| status), Some(404), "{path}");
        let long = http_get(*port, &format!("/{}", "x".repeat(1 << 20))).map(|(status, _)| status);
        assert!(!matches!(long, Some(200..=299)), "{path}: a path of a megabyte: {long:?}");
    }
    assert_eq!(dunlin.ask("www.example.com. A").rcode, "NOERROR");
    let grown = dunlin.resident().saturating_sub(resident);
    say(format!("\nslow HTTP clients: {} connections held, {:.1} MB more", held.len(), grown as f64 / 1e6));
    assert!(grown < 100_000_000, "{grown} octets");
}
