//! One record in the form of a zone file's line (RFC 1035 section 5), as templates make it.
//!
//! hickory reads RDATA here; nothing of it leaves this file.

use crate::wire::{CLASS_CH, CLASS_IN, Name, RecordType, ResourceRecord};
use crate::zone::master;
use hickory_proto::rr::{RData, RecordType as HickoryType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use hickory_proto::serialize::txt::parse_ttl;

/// The TTL of a record that has none.
const DEFAULT_TTL: u32 = 3600;

/// Reads `OWNER [TTL] [CLASS] TYPE RDATA`; TTL and class may change places.
pub(super) fn read(text: &str) -> Result<ResourceRecord, String> {
    let (owner, mut rest) = word(text).ok_or("there is no record")?;
    let owner = Name::from_text(owner).map_err(|why| format!("'{owner}' is no name: {why}"))?;
    let (mut ttl, mut class) = (None, None);
    let rtype = loop {
        let (next, behind) = word(rest).ok_or("there is no type")?;
        rest = behind;
        if let Some(known) = known_class(next).filter(|_| class.is_none()) {
            class = Some(known);
        } else if let Some(seconds) = seconds(next).filter(|_| ttl.is_none()) {
            ttl = Some(seconds);
        } else {
            break RecordType::from_mnemonic(next).ok_or_else(|| format!("'{next}' is no type"))?;
        }
    };
    let rdata = rdata(rtype, rest.trim())?;
    Ok(ResourceRecord {
        owner: owner.wire().to_vec(),
        rtype,
        class: class.unwrap_or(CLASS_IN),
        ttl: ttl.unwrap_or(DEFAULT_TTL),
        rdata,
    })
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn known_class(word: &str) -> Option<u16> {
    match word.to_ascii_uppercase().as_str() {
        "IN" => Some(CLASS_IN),
        "CH" => Some(CLASS_CH),
        "HS" => Some(4),
        "ANY" => Some(255),
        _ => None,
    }
}

/// `60`, `1h30m`.
fn seconds(word: &str) -> Option<u32> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    word.parse().ok().or_else(|| parse_ttl(word).ok())
}

fn rdata(rtype: RecordType, text: &str) -> Result<Vec<u8>, String> {
    if let Some(rest) = text.strip_prefix("\\#") {
        return generic(rest).ok_or_else(|| format!("'{text}' is not of the form \\# LENGTH HEX"));
    }
    // What hickory does not read.
    if matches!(rtype, RecordType::DNAME | RecordType::DS | RecordType::CDS | RecordType::RP | RecordType::URI) {
        return master::rdata(rtype, text);
    }
    // SPF is TXT by another number (RFC 7208 section 3.1).
    let read_as = if rtype == RecordType::SPF { RecordType::TXT } else { rtype };
    let read = RData::try_from_str(HickoryType::from(read_as.0), text).map_err(|why| why.to_string())?;
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    read.emit(&mut encoder).map_err(|why| why.to_string())?;
    Ok(octets)
}

/// RDATA of any type by its octets (RFC 3597 section 5).
fn generic(text: &str) -> Option<Vec<u8>> {
    let (length, digits) = word(text)?;
    let digits: String = digits.split_whitespace().collect();
    let octets: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    octets.filter(|octets| length.parse() == Ok(octets.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, Question};

    /// What an independent decoder makes of the record.
    fn shown(text: &str) -> String {
        let record = read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let question = Question { name: b"\x00".to_vec(), qtype: RecordType::A, qclass: 1 };
        let message = Message {
            id: 1,
            flags: 0x8000,
            question,
            answers: vec![record],
            authorities: Vec::new(),
            additionals: Vec::new(),
            opt: None,
        };
        hickory_proto::op::Message::from_vec(&message.to_octets(4096)).unwrap().answers[0].to_string()
    }

    #[test]
    fn records_of_many_types() {
        for (text, expected) in [
            ("a.test. 60 IN A 10.0.0.1", "a.test. 60 IN A 10.0.0.1"),
            ("a.test IN 60 A 10.0.0.1", "a.test. 60 IN A 10.0.0.1"),
            ("a.test A 10.0.0.1", "a.test. 3600 IN A 10.0.0.1"),
            ("  a.test.\t1h  AAAA fd00::1 ", "a.test. 3600 IN AAAA fd00::1"),
            ("a.test 5 CNAME b.test", "a.test. 5 IN CNAME b.test."),
            ("a.test 5 PTR B.test.", "a.test. 5 IN PTR b.test."),
            ("a.test 5 NS ns.test.", "a.test. 5 IN NS ns.test."),
            ("a.test 5 MX 10 mail.test.", "a.test. 5 IN MX 10 mail.test."),
            ("_s._tcp.a.test 5 SRV 0 1 53 b.test.", "_s._tcp.a.test. 5 IN SRV 0 1 53 b.test."),
            ("a.test 5 TXT \"two words\" one", "a.test. 5 IN TXT two wordsone"),
            ("a.test 5 SOA ns.test. me.test. (1 60 60 60 60)", "a.test. 5 IN SOA ns.test. me.test. 1 60 60 60 60"),
            ("a.test 5 SOA ns me ( 1 60 60 60 60 )", "a.test. 5 IN SOA ns. me. 1 60 60 60 60"),
            ("a.test 5 A \\# 4 0a00 0002", "a.test. 5 IN A 10.0.0.2"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for text in [
            "a.test 5 CAA 0 issue \"ca.test\"",
            "a.test 5 HTTPS 1 . alpn=h2",
            "a.test 5 NAPTR 1 2 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .",
            "a.test 5 HINFO x y",
            "a.test 5 DNAME b.test",
            "a.test 5 SPF \"v=spf1 -all\"",
        ] {
            assert!(read(text).is_ok_and(|record| !record.rdata.is_empty()), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_said() {
        for (text, why) in [
            ("", "there is no record"),
            ("a.test.", "there is no type"),
            ("a..test A 10.0.0.1", "a label is empty"),
            ("a.test 60 IN B 10.0.0.1", "'B' is no type"),
            ("a.test 60 60 A 10.0.0.1", "'60' is no type"),
            ("a.test 60 A ten", "IPv4"),
            ("a.test 60 A", ""),
            ("a.test 60 A \\# 5 0a000001", "LENGTH HEX"),
            ("a.test 60 ANY x", ""),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
