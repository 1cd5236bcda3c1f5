//! An answer as the tests see it: decoded by hickory-proto, records as text in the form dnspython prints.

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};

/// What a server said to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub id: u16,
    /// `NOERROR`, `NXDOMAIN` …
    pub rcode: String,
    /// The header's flags that are set, in the order `QR AA TC RD RA AD CD`.
    pub flags: Vec<&'static str>,
    /// The question as it came back: name octets in the case they have on the wire, type, class.
    pub question: Vec<u8>,
    pub answer: Vec<String>,
    pub authority: Vec<String>,
    /// Without OPT.
    pub additional: Vec<String>,
    pub edns: Option<Opt>,
    /// Octets of the message.
    pub size: usize,
}

/// The OPT record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// The codes of the options.
    pub options: Vec<u16>,
}

impl Answer {
    /// Reads a message. An error says what no decoder should have to read.
    pub fn decode(bytes: &[u8]) -> Result<Answer, String> {
        let message = Message::from_vec(bytes).map_err(|error| format!("not a DNS message: {error}"))?;
        let header = &message.metadata;
        let flags = [
            ("QR", bytes[2] & 0x80 != 0),
            ("AA", header.authoritative),
            ("TC", header.truncation),
            ("RD", header.recursion_desired),
            ("RA", header.recursion_available),
            ("AD", header.authentic_data),
            ("CD", header.checking_disabled),
        ];
        Ok(Answer {
            id: header.id,
            rcode: rcode_text(u16::from(header.response_code)),
            flags: flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect(),
            question: question_octets(bytes)?,
            answer: records(&message.answers),
            authority: records(&message.authorities),
            additional: records(&message.additionals),
            edns: opt(bytes)?,
            size: bytes.len(),
        })
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// NOERROR without an answer.
    pub fn is_nodata(&self) -> bool {
        self.rcode == "NOERROR" && self.answer.is_empty()
    }

    /// The data of the answer records, without owner, TTL and type.
    pub fn data(&self) -> Vec<&str> {
        self.answer.iter().filter_map(|record| record.splitn(4, ' ').nth(3)).collect()
    }
}

/// Sorted records: order is no part of an answer.
pub fn sorted(mut records: Vec<String>) -> Vec<String> {
    records.sort();
    records
}

fn records(section: &[Record]) -> Vec<String> {
    sorted(section.iter().map(record_text).collect())
}

fn record_text(record: &Record) -> String {
    format!("{} {} {} {}", name_text(&record.name), record.ttl, record.record_type(), data_text(&record.data))
}

fn data_text(data: &RData) -> String {
    match data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(aaaa) => aaaa.0.to_string(),
        RData::CNAME(name) => name_text(&name.0),
        RData::NS(name) => name_text(&name.0),
        RData::PTR(name) => name_text(&name.0),
        RData::MX(mx) => format!("{} {}", mx.preference, name_text(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name_text(&srv.target)),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            name_text(&soa.mname),
            name_text(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::TXT(txt) => txt.txt_data.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A name in master file form (RFC 1035 section 5.1).
fn name_text(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        for &octet in label {
            match octet {
                b'"' | b'(' | b')' | b'.' | b';' | b'\\' | b'@' | b'$' => text.extend(['\\', octet as char]),
                0x21..=0x7e => text.push(octet as char),
                _ => text.push_str(&format!("\\{octet:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".into() } else { text }
}

fn quoted(text: &[u8]) -> String {
    let mut quoted = String::from('"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => quoted.extend(['\\', octet as char]),
            0x20..=0x7e => quoted.push(octet as char),
            _ => quoted.push_str(&format!("\\{octet:03}")),
        }
    }
    quoted + "\""
}

fn rcode_text(code: u16) -> String {
    match code {
        0 => "NOERROR".into(),
        1 => "FORMERR".into(),
        2 => "SERVFAIL".into(),
        3 => "NXDOMAIN".into(),
        4 => "NOTIMP".into(),
        5 => "REFUSED".into(),
        16 => "BADVERS".into(),
        other => format!("RCODE{other}"),
    }
}

/// The octets of the question section, which must hold exactly one uncompressed name.
fn question_octets(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut at = 12;
    while let Some(&len @ 1..=63) = bytes.get(at) {
        at += 1 + usize::from(len);
    }
    bytes.get(12..at + 5).map(<[u8]>::to_vec).ok_or_else(|| "the question is cut".into())
}

/// The OPT of a message. Read here from the octets: it must be one, the last record, owned by the root.
fn opt(bytes: &[u8]) -> Result<Option<Opt>, String> {
    let count = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let mut at = 12 + question_octets(bytes)?.len();
    let total = count(6) + count(8) + count(10);
    let mut found = None;
    for index in 0..total {
        let owner = at;
        at = skip_name(bytes, at).ok_or("a record's owner is cut")?;
        let fixed = bytes.get(at..at + 10).ok_or("a record is cut")?;
        let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = bytes.get(at + 10..at + 10 + len).ok_or("a record's data is cut")?;
        at += 10 + len;
        if fixed[..2] != [0, 41] {
            continue;
        }
        if found.is_some() || index + 1 != total || index < count(6) + count(8) || bytes[owner] != 0 {
            return Err("OPT must be one, the last record, and the root's".into());
        }
        let payload = u16::from_be_bytes([fixed[2], fixed[3]]);
        found = Some(Opt { payload, version: fixed[5], dnssec_ok: fixed[6] & 0x80 != 0, options: codes(data) });
    }
    if at != bytes.len() { Err(format!("{} octets behind the message", bytes.len() - at)) } else { Ok(found) }
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            _ => return Some(at + 2),
        }
    }
}

fn codes(mut options: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    while let [c0, c1, l0, l1, rest @ ..] = options {
        codes.push(u16::from_be_bytes([*c0, *c1]));
        options = rest.get(usize::from(u16::from_be_bytes([*l0, *l1]))..).unwrap_or_default();
    }
    codes
}
