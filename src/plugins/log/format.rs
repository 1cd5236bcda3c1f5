//! The form of a line: text and placeholders, read once, written for each query.

use crate::plugin::{Outcome, Request, Transport};
use crate::wire::{CLASS_ANY, CLASS_CH, CLASS_IN, Message, UDP_PLAIN};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const COMMON: &str = r#"{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}"#;
const COMBINED: &str = r#"{remote}:{port} - {>id} {>opcode} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}"#;
/// What stands for a value that there is not.
const EMPTY: &str = "-";
/// The UDP sizes of a client that CoreDNS's lines show at least and at most.
const SHOWN_SIZES: (u16, u16) = (UDP_PLAIN, 4096);

/// A query and what became of it.
pub(super) struct Exchange<'a> {
    pub request: &'a Request,
    pub outcome: &'a Outcome,
    pub took: Duration,
}

impl Exchange<'_> {
    /// Octets of the answer without compression: the reply's, or those of what the server makes of a failure.
    fn sent_len(&self) -> usize {
        match self.outcome {
            Outcome::Reply(reply) => {
                Message::parse(&reply.packet).map_or(reply.packet.len(), |message| message.uncompressed_len())
            }
            Outcome::Failed(_) => self.request.answer().uncompressed_len(),
            Outcome::Dropped => 0,
        }
    }

    /// The answer's third and fourth octets.
    fn sent_flags(&self) -> Option<[u8; 2]> {
        match self.outcome {
            Outcome::Reply(reply) => Some([octet(&reply.packet, 2), octet(&reply.packet, 3)]),
            Outcome::Failed(_) => Some(self.request.answer().flags.to_be_bytes()),
            Outcome::Dropped => None,
        }
    }
}

/// A form of lines.
pub(super) struct Format(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Type,
    Class,
    Name,
    Proto,
    Remote,
    Port,
    Local,
    Size,
    Rsize,
    Duration,
    Rcode,
    Id,
    Opcode,
    Do,
    Bufsize,
    Rflags,
    Metadata(String),
}

impl Format {
    /// Reads a form. What is no known placeholder is text.
    pub fn parse(text: &str) -> Format {
        let text = text.replace("{combined}", COMBINED).replace("{common}", COMMON);
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        let mut literal = String::new();
        while let Some(open) = rest.find('{') {
            let field =
                rest[open..].find('}').and_then(|len| Some((field(&rest[open + 1..open + len])?, open + len + 1)));
            let Some((field, behind)) = field else {
                literal.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            };
            literal.push_str(&rest[..open]);
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(field));
            rest = &rest[behind..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Format(parts)
    }

    /// The line of an exchange.
    pub fn write(&self, exchange: &Exchange<'_>) -> String {
        let mut line = String::with_capacity(160);
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => write_field(&mut line, field, exchange),
            }
        }
        line
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "type" => Field::Type,
        "class" => Field::Class,
        "name" => Field::Name,
        "proto" => Field::Proto,
        "remote" => Field::Remote,
        "port" => Field::Port,
        "local" => Field::Local,
        "size" => Field::Size,
        "rsize" => Field::Rsize,
        "duration" => Field::Duration,
        "rcode" => Field::Rcode,
        ">id" => Field::Id,
        ">opcode" => Field::Opcode,
        ">do" => Field::Do,
        ">bufsize" => Field::Bufsize,
        ">rflags" => Field::Rflags,
        label if label.starts_with('/') => Field::Metadata(label[1..].to_owned()),
        _ => return None,
    })
}

fn write_field(line: &mut String, field: &Field, exchange: &Exchange<'_>) {
    let request = exchange.request;
    // Writing to a String does not fail.
    let _ = match field {
        Field::Type => write!(line, "{}", request.qtype()),
        Field::Class => write_class(line, request.qclass()),
        Field::Name => write!(line, "{}", request.name),
        Field::Proto => line.write_str(match request.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }),
        Field::Remote => write_ip(line, request.client),
        Field::Port => write!(line, "{}", request.client.port()),
        Field::Local => write_ip(line, request.local),
        Field::Size => write!(line, "{}", request.packet.len()),
        Field::Rsize => write!(line, "{}", exchange.sent_len()),
        Field::Duration => write!(line, "{}s", exchange.took.as_secs_f64()),
        Field::Rcode => match exchange.outcome {
            Outcome::Reply(reply) => write!(line, "{}", reply.rcode()),
            Outcome::Failed(failure) => write!(line, "{}", failure.rcode),
            Outcome::Dropped => line.write_str(EMPTY),
        },
        Field::Id => write!(line, "{}", u16::from_be_bytes([octet(&request.packet, 0), octet(&request.packet, 1)])),
        Field::Opcode => write!(line, "{}", octet(&request.packet, 2) >> 3 & 0x0f),
        Field::Do => write!(line, "{}", request.edns().is_some_and(|edns| edns.dnssec_ok)),
        Field::Bufsize => write!(line, "{}", buffer_size(request)),
        Field::Rflags => match exchange.sent_flags() {
            Some(flags) => write_flags(line, flags),
            None => line.write_str(EMPTY),
        },
        Field::Metadata(label) => match request.metadata.value(label) {
            Some(value) if !value.is_empty() => line.write_str(&value),
            _ => line.write_str(EMPTY),
        },
    };
}

fn octet(packet: &[u8], at: usize) -> u8 {
    packet.get(at).copied().unwrap_or_default()
}

fn write_class(line: &mut String, class: u16) -> std::fmt::Result {
    match class {
        CLASS_IN => line.write_str("IN"),
        CLASS_CH => line.write_str("CH"),
        CLASS_ANY => line.write_str("ANY"),
        other => write!(line, "CLASS{other}"),
    }
}

fn write_ip(line: &mut String, address: SocketAddr) -> std::fmt::Result {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => write!(line, "{ip}"),
        IpAddr::V6(ip) => write!(line, "[{ip}]"),
    }
}

/// The octets an answer may have for the client by its own account.
fn buffer_size(request: &Request) -> u16 {
    match (request.transport, request.edns()) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => UDP_PLAIN,
        (Transport::Udp, Some(edns)) => edns.payload.clamp(SHOWN_SIZES.0, SHOWN_SIZES.1),
    }
}

/// The flags of a message in the header's order (RFC 1035 section 4.1.1, RFC 4035 section 3.2).
fn write_flags(line: &mut String, [high, low]: [u8; 2]) -> std::fmt::Result {
    let flags = [
        ("qr", high & 0x80),
        ("aa", high & 0x04),
        ("tc", high & 0x02),
        ("rd", high & 0x01),
        ("ra", low & 0x80),
        ("z", low & 0x40),
        ("ad", low & 0x20),
        ("cd", low & 0x10),
    ];
    let mut set = flags.iter().filter(|(_, bit)| *bit != 0).map(|(name, _)| *name);
    line.write_str(set.next().unwrap_or_default())?;
    set.try_for_each(|name| write!(line, ",{name}"))
}
