//! A small synchronous DNS client, and the questions it asks.

use super::Answer;
use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer may take; a datagram is sent again each third of it.
const PATIENCE: Duration = Duration::from_secs(6);
/// Questions in flight on one socket.
const WINDOW: usize = 64;

/// One question. Its text form is
/// `NAME TYPE [tcp] [edns=SIZE] [do] [cd] [ad] [chaos] [class=N] [opcode=N] [nord] [cookie] [nsid] [version=N] [pad=N] [option=CODE:HEX] [from=ADDRESS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Absolute, with its dot.
    pub name: String,
    pub qtype: String,
    pub tcp: bool,
    /// The UDP payload of the OPT, if one is sent.
    pub edns: Option<u16>,
    pub version: u8,
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
    pub authentic_data: bool,
    pub recursion_desired: bool,
    pub opcode: u8,
    pub qclass: u16,
    /// Options of the OPT, in wire form.
    pub options: Vec<u8>,
    /// Where [`Client::ask_once`] asks from: another address of this machine's loopback network. From an IPv6 address the
    /// server's port is asked on `[::1]`.
    pub from: Option<IpAddr>,
}

impl Question {
    pub fn new(name: &str, qtype: &str) -> Question {
        Question {
            name: name.into(),
            qtype: qtype.into(),
            tcp: false,
            edns: None,
            version: 0,
            dnssec_ok: false,
            checking_disabled: false,
            authentic_data: false,
            recursion_desired: true,
            opcode: 0,
            qclass: 1,
            options: Vec::new(),
            from: None,
        }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Question, String> {
        let mut words = text.split_whitespace();
        let (Some(name), Some(qtype)) = (words.next(), words.next()) else { return Err("NAME TYPE expected".into()) };
        let mut question = Question::new(name, qtype);
        type_number(qtype).ok_or_else(|| format!("{qtype} is no record type"))?;
        for word in words {
            match word.split_once('=') {
                None if word == "tcp" => question.tcp = true,
                None if word == "do" => question.dnssec_ok = true,
                None if word == "cd" => question.checking_disabled = true,
                None if word == "ad" => question.authentic_data = true,
                None if word == "nord" => question.recursion_desired = false,
                None if word == "chaos" => question.qclass = 3,
                None if word == "cookie" => question.option(10, &[1, 2, 3, 4, 5, 6, 7, 8]),
                None if word == "nsid" => question.option(3, &[]),
                Some(("edns", size)) => question.edns = size.parse().ok(),
                Some(("class", number)) => question.qclass = number.parse().map_err(|_| "class=NUMBER")?,
                Some(("opcode", number)) => question.opcode = number.parse().map_err(|_| "opcode=NUMBER")?,
                Some(("version", number)) => question.version = number.parse().map_err(|_| "version=NUMBER")?,
                Some(("from", address)) => question.from = Some(address.parse().map_err(|_| "from=ADDRESS")?),
                Some(("option", option)) => {
                    let (code, data) = option_of(option).ok_or("option=CODE:HEX")?;
                    question.option(code, &data);
                }
                Some(("pad", len)) => question.option(12, &vec![0; len.parse().map_err(|_| "pad=NUMBER")?]),
                _ => return Err(format!("unknown word {word}")),
            }
        }
        if question.edns.is_none() && (question.dnssec_ok || question.version > 0 || !question.options.is_empty()) {
            question.edns = Some(1232);
        }
        Ok(question)
    }

    fn option(&mut self, code: u16, data: &[u8]) {
        self.options.extend(code.to_be_bytes());
        self.options.extend((data.len() as u16).to_be_bytes());
        self.options.extend(data);
    }

    /// The question section: name, type, class.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            octets.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
            octets.extend(label.as_bytes());
        }
        octets.push(0);
        octets.extend(type_number(&self.qtype).expect("checked when read").to_be_bytes());
        octets.extend(self.qclass.to_be_bytes());
        octets
    }

    /// The whole query.
    pub fn message(&self, id: u16) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        let flags = [
            self.opcode << 3 | u8::from(self.recursion_desired),
            u8::from(self.authentic_data) << 5 | u8::from(self.checking_disabled) << 4,
        ];
        let mut message = vec![high, low, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())];
        message.extend(self.octets());
        if let Some(payload) = self.edns {
            message.extend([0, 0, 41]);
            message.extend(payload.to_be_bytes());
            message.extend([0, self.version, u8::from(self.dnssec_ok) << 7, 0]);
            message.extend((self.options.len() as u16).to_be_bytes());
            message.extend(&self.options);
        }
        message
    }
}

/// `CODE:HEX`.
fn option_of(text: &str) -> Option<(u16, Vec<u8>)> {
    let (code, digits) = text.split_once(':')?;
    let octet = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some((code.parse().ok()?, (0..digits.len()).step_by(2).map(octet).collect::<Option<_>>()?))
}

fn type_number(mnemonic: &str) -> Option<u16> {
    // An unknown type by its number (RFC 3597 section 5).
    let number = mnemonic.strip_prefix("TYPE").and_then(|number| number.parse().ok());
    number.or_else(|| mnemonic.parse::<RecordType>().ok().map(u16::from))
}

/// Asks one server.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub server: SocketAddr,
    /// The address that datagrams come from; else the kernel's choice.
    pub source: Option<IpAddr>,
}

impl Client {
    pub fn new(server: SocketAddr) -> Client {
        Client { server, source: None }
    }

    /// Asks one question given as text.
    ///
    /// # Panics
    /// Where no well-formed answer to this question comes.
    pub fn ask(&self, question: &str) -> Answer {
        let question = Question::parse(question).unwrap_or_else(|error| panic!("{question}: {error}"));
        match self.ask_all(std::slice::from_ref(&question)).pop() {
            Some(Ok(answer)) => answer,
            Some(Err(why)) => panic!("{question:?}: {why}"),
            None => unreachable!("one question, one result"),
        }
    }

    /// Asks many questions, those over UDP in flight together on one socket, those over TCP on one connection.
    /// The results come in the order of the questions.
    pub fn ask_all(&self, questions: &[Question]) -> Vec<Result<Answer, String>> {
        assert!(questions.len() <= usize::from(u16::MAX), "ids number the questions");
        let mut results: Vec<Result<Answer, String>> = vec![Err("no answer".into()); questions.len()];
        let (tcp, udp): (Vec<usize>, Vec<usize>) = (0..questions.len()).partition(|&at| questions[at].tcp);
        if !udp.is_empty() {
            self.over_udp(questions, &udp, &mut results).unwrap_or_else(|error| panic!("UDP: {error}"));
        }
        if let Err(error) = self.over_tcp(questions, &tcp, &mut results)
            && let Some(&at) = tcp.iter().find(|at| results[**at].is_err())
        {
            results[at] = Err(format!("TCP: {error}"));
        }
        results
    }

    /// Asks one question, once: the answer as it came, whatever it owes the question, and the port it came to; `None`
    /// where none comes within `wait`.
    pub fn ask_once(&self, question: &Question, wait: Duration) -> Option<(Result<Answer, String>, u16)> {
        let message = question.message(7);
        if let Some(source) = question.from {
            let host = if source.is_ipv4() { self.server.ip() } else { Ipv6Addr::LOCALHOST.into() };
            let client = Client { server: SocketAddr::new(host, self.server.port()), source: Some(source) };
            assert!(!question.tcp, "asked from another address over UDP only");
            let (answer, port) = client.send_once(&message, wait)?;
            return Some((Answer::decode(&answer), port));
        }
        if question.tcp {
            let mut stream = TcpStream::connect_timeout(&self.server, wait).ok()?;
            stream.set_read_timeout(Some(wait)).ok()?;
            send_framed(&mut stream, &message).ok()?;
            let answer = Answer::decode(&take_framed(&mut stream).ok()?);
            return Some((answer, stream.local_addr().ok()?.port()));
        }
        let (answer, port) = self.send_once(&message, wait)?;
        Some((Answer::decode(&answer), port))
    }

    /// Sends octets as they are and gives what comes back within `wait`.
    pub fn send_raw(&self, octets: &[u8], wait: Duration) -> Option<Vec<u8>> {
        self.send_once(octets, wait).map(|(answer, _)| answer)
    }

    /// One datagram, the one that comes back, and the port it came to.
    fn send_once(&self, octets: &[u8], wait: Duration) -> Option<(Vec<u8>, u16)> {
        let socket = self.socket().ok()?;
        socket.set_read_timeout(Some(wait)).ok()?;
        socket.send(octets).ok()?;
        let mut buffer = vec![0; 65536];
        let len = socket.recv(&mut buffer).ok()?;
        buffer.truncate(len);
        Some((buffer, socket.local_addr().ok()?.port()))
    }

    /// Transfers a zone (AXFR): the records of all its messages, its SOA at both ends.
    ///
    /// # Panics
    /// Where the transfer is refused or breaks off.
    pub fn transfer(&self, zone: &str) -> Vec<Record> {
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let message = Question::new(zone, "AXFR").message(1);
        send_framed(&mut stream, &message).expect("sent");
        let mut records: Vec<Record> = Vec::new();
        while records.len() < 2 || records.last().is_some_and(|last| last.record_type() != RecordType::SOA) {
            let octets = take_framed(&mut stream).expect("the transfer goes on");
            let message = Message::from_vec(&octets).expect("a DNS message");
            assert!(!message.answers.is_empty(), "the transfer of {zone} is refused");
            records.extend(message.answers);
        }
        records
    }

    fn socket(&self) -> std::io::Result<UdpSocket> {
        let any = if self.server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(self.source.unwrap_or(any), 0))?;
        socket.connect(self.server)?;
        Ok(socket)
    }

    fn over_udp(
        &self,
        questions: &[Question],
        which: &[usize],
        results: &mut [Result<Answer, String>],
    ) -> std::io::Result<()> {
        let socket = self.socket()?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut waiting = which.iter().copied();
        let mut flying: HashMap<usize, (Instant, Instant)> = HashMap::new();
        let mut buffer = vec![0; 65536];
        loop {
            while flying.len() < WINDOW {
                let Some(at) = waiting.next() else { break };
                socket.send(&questions[at].message(at as u16))?;
                flying.insert(at, (Instant::now(), Instant::now()));
            }
            if flying.is_empty() {
                return Ok(());
            }
            if let Ok(len) = socket.recv(&mut buffer) {
                let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                if flying.remove(&id).is_some() {
                    results[id] = checked(&questions[id], &buffer[..len]);
                }
                continue;
            }
            for (&at, (begun, sent)) in &mut flying {
                if begun.elapsed() < PATIENCE && sent.elapsed() > PATIENCE / 3 {
                    socket.send(&questions[at].message(at as u16))?;
                    *sent = Instant::now();
                }
            }
            flying.retain(|_, (begun, _)| begun.elapsed() < PATIENCE);
        }
    }

    fn over_tcp(
        &self,
        questions: &[Question],
        which: &[usize],
        results: &mut [Result<Answer, String>],
    ) -> std::io::Result<()> {
        if which.is_empty() {
            return Ok(());
        }
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        for &at in which {
            send_framed(&mut stream, &questions[at].message(at as u16))?;
            results[at] = checked(&questions[at], &take_framed(&mut stream)?);
        }
        Ok(())
    }
}

/// A message as TCP carries it, its length in front (RFC 1035 section 4.2.2).
pub fn framed(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).expect("a message of at most 65535 octets");
    [&len.to_be_bytes()[..], message].concat()
}

pub fn send_framed(stream: &mut impl Write, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(&framed(message))
}

pub fn take_framed(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Decodes, and holds against the question what every answer owes it.
fn checked(question: &Question, bytes: &[u8]) -> Result<Answer, String> {
    let answer = Answer::decode(bytes)?;
    if !answer.has("QR") {
        return Err("QR is not set".into());
    }
    if answer.question != question.octets() {
        return Err(format!("the question did not come back as asked: {:?}", answer.question));
    }
    if answer.has("RD") != question.recursion_desired {
        return Err("RD must be copied".into());
    }
    if answer.edns.is_some() != question.edns.is_some() {
        return Err("an OPT answers an OPT, and nothing else".into());
    }
    let limit = if question.tcp { 65535 } else { usize::from(question.edns.unwrap_or(512).max(512)) };
    if answer.size > limit {
        return Err(format!("{} octets where the client takes {limit}", answer.size));
    }
    if let Some(opt) = &answer.edns
        && (opt.version != 0 || opt.dnssec_ok != question.dnssec_ok)
    {
        return Err(format!("the OPT must have version 0 and the DO bit of the query: {opt:?}"));
    }
    Ok(answer)
}
