//! A server that answers as CoreDNS was recorded to: what a shadow's target is without CoreDNS.

use super::recorded::{Recorded, Variant};
use super::upstream::sockets;
use super::{Question, framed};
use hickory_proto::rr::RecordType;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Octets of a message's header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// By the query without its id: the answer over UDP, and over TCP.
type Answers = Arc<Mutex<HashMap<Vec<u8>, [Vec<u8>; 2]>>>;

/// A running server of recorded answers; it ends with the value. Where nothing was recorded it is silent.
pub struct Recording {
    pub address: SocketAddr,
    answers: Answers,
    _runtime: tokio::runtime::Runtime,
}

impl Recording {
    /// Serves every answer that was recorded with a configuration, over UDP as over TCP.
    pub fn start(variant: &Variant) -> Recording {
        let mut by_query: HashMap<Vec<u8>, [Vec<u8>; 2]> = HashMap::new();
        for (recorded, question) in variant.recorded.iter().zip(variant.questions()) {
            let query = key(&question.message(0));
            // Over TCP a question is the same octets, and its answer is that of the one over UDP, whole.
            if question.tcp && by_query.contains_key(&query) {
                continue;
            }
            let whole = if recorded.truncated() { variant.whole(recorded).unwrap_or(recorded) } else { recorded };
            let whole = Recorded { edns: recorded.edns, ..whole.clone() };
            by_query.insert(query, [message(&question, recorded), message(&question, &whole)]);
        }
        let answers = Arc::new(Mutex::new(by_query));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = runtime.block_on(async {
            let (address, datagrams, listener) = sockets().await;
            tokio::spawn(over_udp(datagrams, Arc::clone(&answers)));
            tokio::spawn(over_tcp(listener, Arc::clone(&answers)));
            address
        });
        Recording { address, answers, _runtime: runtime }
    }

    /// From now on it answers a question otherwise than recorded.
    pub fn change(&self, question: &str, change: impl FnOnce(&mut Recorded), variant: &Variant) {
        let mut recorded = variant.recorded.iter().find(|recorded| recorded.q == question).expect(question).clone();
        change(&mut recorded);
        let question = Question::parse(question).expect("a question");
        let answer = message(&question, &recorded);
        self.answers.lock().expect("no panic").insert(key(&question.message(0)), [answer.clone(), answer]);
    }
}

/// A query without its id.
fn key(query: &[u8]) -> Vec<u8> {
    query.get(2..).unwrap_or_default().to_vec()
}

/// The reply to a query, with its id.
fn reply(answers: &Answers, query: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let answers = answers.lock().expect("no panic");
    let mut reply = answers.get(&key(query))?[usize::from(over_tcp)].clone();
    reply[..2].copy_from_slice(&query[..2]);
    Some(reply)
}

async fn over_udp(socket: UdpSocket, answers: Answers) {
    let mut query = vec![0; 65535];
    while let Ok((length, client)) = socket.recv_from(&mut query).await {
        if let Some(reply) = reply(&answers, &query[..length], false) {
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, answers: Answers) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&answers)));
    }
}

async fn connection(mut stream: TcpStream, answers: Answers) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(reply) = reply(&answers, &query, true) else { return };
        if stream.write_all(&framed(&reply)).await.is_err() {
            return;
        }
    }
}

/// A recorded answer as a message, uncompressed, id 0.
fn message(question: &Question, recorded: &Recorded) -> Vec<u8> {
    let bits = [("QR", 15), ("AA", 10), ("TC", 9), ("RD", 8), ("RA", 7), ("AD", 5), ("CD", 4)];
    let set = |flag: &&str| bits.iter().find(|(name, _)| name == flag).map(|(_, bit)| 1 << bit);
    let flags: u16 = recorded.flags.split(' ').filter_map(|flag| set(&flag)).sum();
    let codes = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    let code = codes.iter().position(|code| *code == recorded.rcode).expect("a code") as u16;
    let sections = [&recorded.answer, &recorded.authority, &recorded.additional];
    let [answers, authorities, additionals] = sections.map(|section| section.len() as u16);
    let counts = [1, answers, authorities, additionals + u16::from(recorded.edns)];
    let mut octets = vec![0; 2];
    octets.extend((flags | code).to_be_bytes());
    octets.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    assert_eq!(octets.len(), HEADER);
    octets.extend(question.octets());
    octets.extend(sections.iter().flat_map(|section| section.iter()).flat_map(|record| record_octets(record)));
    if recorded.edns {
        octets.extend([0, 0, 41, 4, 208, 0, 0, u8::from(question.dnssec_ok) << 7, 0, 0, 0]);
    }
    octets
}

/// A record in wire form, from its line. hickory-proto reads no label that begins with two dashes, as `--1` for `::1`.
fn record_octets(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [owner, ttl, rtype, data] = words[..] else { panic!("{line}: no record") };
    let fields: Vec<&str> = data.split(' ').collect();
    let numbers = |fields: &[&str]| fields.iter().map(|field| field.parse().expect(line)).collect::<Vec<u32>>();
    let short = |fields: &[&str]| numbers(fields).iter().flat_map(|number| (*number as u16).to_be_bytes()).collect();
    let data: Vec<u8> = match rtype {
        "A" => data.parse::<Ipv4Addr>().expect(line).octets().to_vec(),
        "AAAA" => data.parse::<Ipv6Addr>().expect(line).octets().to_vec(),
        "CNAME" | "NS" | "PTR" => name_octets(data),
        "MX" => [short(&fields[..1]), name_octets(fields[1])].concat(),
        "SRV" => [short(&fields[..3]), name_octets(fields[3])].concat(),
        "SOA" => {
            let numbers = numbers(&fields[2..]).iter().flat_map(|number| number.to_be_bytes()).collect();
            [name_octets(fields[0]), name_octets(fields[1]), numbers].concat()
        }
        "TXT" => {
            let texts = data.split('"').skip(1).step_by(2);
            texts.flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect()
        }
        other => panic!("{line}: {other}?"),
    };
    let rtype = u16::from(rtype.parse::<RecordType>().expect(line));
    let head =
        [name_octets(owner), rtype.to_be_bytes().to_vec(), vec![0, 1], numbers(&[ttl])[0].to_be_bytes().to_vec()];
    [head.concat(), (data.len() as u16).to_be_bytes().to_vec(), data].concat()
}

fn name_octets(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut octets: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}
