//! The upstream of the probes: it says who was asked, how, and for what, so that a probe can tell which server a query
//! went to. tests/data/corefiles/README.md lists its names.

use super::support::{send_framed, take_framed, tls};
use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// The port of DNS over TLS (RFC 7858).
const TLS_PORT: u16 = 853;

struct Upstream {
    /// A line for each question.
    asked: Mutex<File>,
    counts: Mutex<HashMap<Name, u32>>,
}

/// Serves on these addresses until the process is ended; over TLS too where `work` has a certificate.
pub fn serve(addresses: &[IpAddr], work: &std::path::Path) -> io::Result<()> {
    let asked = Mutex::new(File::create(work.join("asked"))?);
    let upstream = Arc::new(Upstream { asked, counts: Mutex::default() });
    let keys = tls::server_config(work);
    for &ip in addresses {
        let address = SocketAddr::new(ip, 53);
        let socket = UdpSocket::bind(address)?;
        let listener = TcpListener::bind(address)?;
        let (udp, tcp) = (upstream.clone(), upstream.clone());
        thread::spawn(move || udp.over_udp(&socket, ip));
        thread::spawn(move || tcp.over_tcp(&listener, ip, None));
        if let Some(keys) = &keys {
            let (tls, keys) = (upstream.clone(), keys.clone());
            let listener = TcpListener::bind(SocketAddr::new(ip, TLS_PORT))?;
            thread::spawn(move || tls.over_tcp(&listener, ip, Some(keys)));
        }
    }
    File::create(work.join("serves"))?;
    loop {
        thread::park();
    }
}

impl Upstream {
    fn over_udp(&self, socket: &UdpSocket, ip: IpAddr) {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = self.answer(&buffer[..len], "udp", ip)
                && let Err(e) = socket.send_to(&answer, from)
            {
                eprintln!("send {ip} {from}: {e}");
            }
        }
    }

    fn over_tcp(self: Arc<Self>, listener: &TcpListener, ip: IpAddr, keys: Option<Arc<rustls::ServerConfig>>) {
        for stream in listener.incoming().flatten() {
            let (upstream, keys) = (self.clone(), keys.clone());
            thread::spawn(move || match keys {
                None => upstream.connection(stream, "tcp", ip),
                Some(keys) => {
                    let session = rustls::ServerConnection::new(keys).map_err(io::Error::other)?;
                    upstream.connection(rustls::StreamOwned::new(session, stream), "tls", ip)
                }
            });
        }
    }

    fn connection(&self, mut stream: impl Read + Write, transport: &str, ip: IpAddr) -> io::Result<()> {
        loop {
            let query = take_framed(&mut stream)?;
            if let Some(answer) = self.answer(&query, transport, ip) {
                send_framed(&mut stream, &answer)?;
            }
        }
    }

    fn answer(&self, query: &[u8], transport: &str, ip: IpAddr) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        let (name, qtype) = (question.name().clone(), question.query_type());
        writeln!(self.asked.lock().ok()?, "{transport} {ip} {name} {qtype}").ok()?;
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = query.metadata.recursion_desired;
        message.metadata.recursion_available = true;
        message.queries.push(question);
        let first = name.iter().next().map(|label| String::from_utf8_lossy(label).to_lowercase()).unwrap_or_default();
        let text = |text: String| RData::TXT(TXT::new(vec![text]));
        let address = |last: u8| RData::A(A::new(192, 0, 2, last));
        let (data, ttl) = match (first.as_str(), qtype) {
            ("silent", _) => return None,
            ("fails", _) => {
                message.metadata.response_code = ResponseCode::ServFail;
                (Vec::new(), 0)
            }
            ("server", RecordType::A) => (ip_of(ip).into_iter().collect(), 300),
            ("server", RecordType::TXT) => (vec![text(format!("{transport} {ip} {name}"))], 300),
            ("count", RecordType::TXT) => {
                let mut counts = self.counts.lock().ok()?;
                let count = counts.entry(name.to_lowercase()).or_default();
                *count += 1;
                (vec![text(format!("{count}"))], 3600)
            }
            ("www", RecordType::A) => (vec![address(80)], 300),
            ("www", RecordType::AAAA) => (vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80))], 300),
            ("four" | "server" | "count", RecordType::AAAA) => (Vec::new(), 0),
            ("four", RecordType::A) => (vec![address(4)], 300),
            ("long", RecordType::A) => (vec![address(7)], 86400),
            ("short", RecordType::A) => (vec![address(5)], 2),
            ("many", RecordType::A) => ((1..=6).map(address).collect(), 300),
            ("alias", RecordType::A) => {
                let target = Name::from_ascii("www.example.com.").ok()?;
                message.answers.push(Record::from_rdata(name.clone(), 300, RData::CNAME(CNAME(target.clone()))));
                message.answers.push(Record::from_rdata(target, 300, address(80)));
                (Vec::new(), 0)
            }
            ("big", RecordType::TXT) => ((0..9).map(|n| text(format!("{n:0200}"))).collect(), 300),
            (_, RecordType::PTR) if Name::from_ascii("arpa.").ok()?.zone_of(&name) => {
                (vec![RData::PTR(PTR(Name::from_ascii("pointer.example.com.").ok()?))], 300)
            }
            _ => {
                message.metadata.response_code = ResponseCode::NXDomain;
                (Vec::new(), 0)
            }
        };
        message.answers.extend(data.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data)));
        if message.answers.is_empty() && message.metadata.response_code != ResponseCode::ServFail {
            let soa =
                SOA::new(Name::from_ascii("up.").ok()?, Name::from_ascii("ops.up.").ok()?, 1, 7200, 1800, 86400, 600);
            message.authorities.push(Record::from_rdata(Name::root(), 600, RData::SOA(soa)));
        }
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(4096);
            message.edns = Some(edns);
        }
        let octets = message.to_vec().ok()?;
        if transport == "udp" && octets.len() > usize::from(query.max_payload().max(512)) {
            message.metadata.truncation = true;
            message.answers.clear();
            return message.to_vec().ok();
        }
        Some(octets)
    }
}

fn ip_of(ip: IpAddr) -> Option<RData> {
    match ip {
        IpAddr::V4(ip) => Some(RData::A(A(ip))),
        IpAddr::V6(_) => None,
    }
}
