//! The addresses of upstreams that are hosts by name, looked up once, while the configuration is loaded.
//!
//! Nothing is answered by this plan yet, and a reload leaves the plan before it at work: so it may block, for a while.

use super::message::Outgoing;
use crate::wire::{CLASS_IN, Name, Rcode, RecordType, ReplyView, Section};
use rand::RngExt;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// How long one resolver is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long all of a host's look-ups may take.
const WHOLE: Duration = Duration::from_secs(5);

/// The addresses of a host: by these resolvers, or by the machine's where there are none.
///
/// # Errors
/// Why there are none, as a sentence without its place.
pub(super) fn addresses(host: &str, resolvers: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
    let found = if resolvers.is_empty() { by_machine(host) } else { by_resolvers(host, resolvers) };
    let found = found.map_err(|why| format!("the host name '{host}' cannot be resolved: {why}"))?;
    if found.is_empty() {
        Err(format!("the host name '{host}' cannot be resolved: it has no address"))
    } else {
        Ok(found)
    }
}

fn by_machine(host: &str) -> Result<Vec<IpAddr>, String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let name = host.to_owned();
    // The machine's resolver has its own idea of patience.
    std::thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
        let _ = sender.send(found);
    });
    let mut found: Vec<IpAddr> =
        receiver.recv_timeout(WHOLE).map_err(|_| "i/o timeout")?.map_err(|why| why.to_string())?;
    found.dedup();
    Ok(found)
}

fn by_resolvers(host: &str, resolvers: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
    let name = Name::from_text(host).map_err(|why| why.to_string())?;
    let began = Instant::now();
    let (mut found, mut trouble) = (Vec::new(), None);
    for qtype in [RecordType::A, RecordType::AAAA] {
        let query = Outgoing::question_of(&name, qtype);
        // Twice, because a datagram may get lost.
        for resolver in resolvers.iter().chain(resolvers) {
            if began.elapsed() > WHOLE {
                return Err("i/o timeout".into());
            }
            match ask(*resolver, &query, qtype) {
                Ok(addresses) => {
                    found.extend(addresses);
                    break;
                }
                Err(why) => trouble = Some(format!("{resolver}: {why}")),
            }
        }
    }
    match trouble {
        Some(trouble) if found.is_empty() => Err(trouble),
        _ => Ok(found),
    }
}

/// One resolver's answer.
fn ask(resolver: SocketAddr, query: &Outgoing, qtype: RecordType) -> Result<Vec<IpAddr>, String> {
    let mut message = Vec::with_capacity(query.len());
    query.write(rand::rng().random(), &mut message);
    let mut reply = over_udp(resolver, &message, query).map_err(|why| why.to_string())?;
    if reply[2] & 0x02 != 0 {
        reply = over_tcp(resolver, &message).map_err(|why| why.to_string())?;
    }
    let view = ReplyView::parse(&reply).filter(|view| view.question_matches(query.question()));
    let view = view.ok_or("the reply does not answer the question")?;
    match view.rcode() {
        Rcode::NOERROR => Ok(records(&view, qtype)),
        Rcode::NXDOMAIN => Err("no such host".into()),
        rcode => Err(rcode.to_string()),
    }
}

fn records(view: &ReplyView<'_>, qtype: RecordType) -> Vec<IpAddr> {
    let answers = view.records().take_while(|record| record.section == Section::Answer);
    let rdata = answers.filter(|record| record.rtype == qtype && record.class == CLASS_IN).map(|record| record.rdata);
    rdata.filter_map(|rdata| address(&view.octets()[rdata])).collect()
}

fn address(rdata: &[u8]) -> Option<IpAddr> {
    match rdata.len() {
        4 => <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn over_udp(resolver: SocketAddr, message: &[u8], query: &Outgoing) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(resolver)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(message)?;
    let began = Instant::now();
    let mut buffer = vec![0; 4096];
    while began.elapsed() < PATIENCE {
        let len = socket.recv(&mut buffer)?;
        let answers =
            |view: ReplyView<'_>| view.id().to_be_bytes() == message[..2] && view.question_is(query.question());
        if ReplyView::parse(&buffer[..len]).is_some_and(answers) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

fn over_tcp(resolver: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&resolver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
