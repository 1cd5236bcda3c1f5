//! RDATA from its words.

use super::words::Word;
use crate::wire::{Name, RecordType};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A name as a master file writes it: `@` for the origin, relative without a last dot.
///
/// # Errors
/// What is wrong with it.
pub(super) fn name(text: &str, origin: &Name) -> Result<Name, String> {
    if text == "@" {
        return Ok(origin.clone());
    }
    let name = Name::from_text(text).map_err(|why| format!("'{text}' is no name: {why}"))?;
    let escapes = text.strip_suffix('.').map(|rest| rest.len() - rest.trim_end_matches('\\').len());
    if escapes.is_some_and(|escapes| escapes % 2 == 0) {
        return Ok(name);
    }
    let labels = &name.wire()[..name.wire().len() - 1];
    Name::from_wire(&[labels, origin.wire()].concat()).ok_or_else(|| format!("'{text}' is too long in its zone"))
}

/// Seconds, as `3600` or `1h30m`.
pub(super) fn ttl(text: &str) -> Option<u32> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mut total, mut number, mut has_digits) = (0u32, 0u32, false);
    for character in text.bytes() {
        let unit = match character {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(u32::from(character - b'0'))?;
                has_digits = true;
                continue;
            }
            b's' | b'S' => 1,
            b'm' | b'M' => 60,
            b'h' | b'H' => 3600,
            b'd' | b'D' => 86_400,
            b'w' | b'W' => 604_800,
            _ => return None,
        };
        if !std::mem::replace(&mut has_digits, false) {
            return None;
        }
        total = total.checked_add(std::mem::take(&mut number).checked_mul(unit)?)?;
    }
    total.checked_add(number)
}

/// The RDATA of a type from its words.
///
/// # Errors
/// What was expected; for a type whose words are not known, its RFC 3597 form.
pub(super) fn read(rtype: RecordType, words: &[Word], origin: &Name) -> Result<Vec<u8>, String> {
    let mut fields = Fields { words, origin, out: Vec::new() };
    if let [mark, length, ..] = words
        && mark.text == "\\#"
    {
        fields.words = &words[2..];
        fields.hex()?;
        let is_said = length.text.parse() == Ok(fields.out.len());
        return if is_said {
            Ok(fields.out)
        } else {
            Err(format!("'{}' is not the length of the octets", length.text))
        };
    }
    match rtype {
        RecordType::A => {
            let address: Ipv4Addr = fields.parsed("an IPv4 address")?;
            fields.out.extend(address.octets());
        }
        RecordType::AAAA => {
            let address: Ipv6Addr = fields.parsed("an IPv6 address")?;
            fields.out.extend(address.octets());
        }
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => fields.name()?,
        RecordType::RP => (0..2).try_for_each(|_| fields.name())?,
        RecordType::MX | RecordType::AFSDB | RecordType::KX => {
            fields.u16()?;
            fields.name()?;
        }
        RecordType::SRV => {
            (0..3).try_for_each(|_| fields.u16())?;
            fields.name()?;
        }
        RecordType::SOA => {
            (0..2).try_for_each(|_| fields.name())?;
            let serial: u32 = fields.parsed("a serial")?;
            fields.out.extend(serial.to_be_bytes());
            (0..4).try_for_each(|_| fields.ttl())?;
        }
        RecordType::TXT | RecordType::SPF => {
            fields.string()?;
            while !fields.words.is_empty() {
                fields.string()?;
            }
        }
        RecordType::HINFO => (0..2).try_for_each(|_| fields.string())?,
        RecordType::NAPTR => {
            (0..2).try_for_each(|_| fields.u16())?;
            (0..3).try_for_each(|_| fields.string())?;
            fields.name()?;
        }
        RecordType::URI => {
            (0..2).try_for_each(|_| fields.u16())?;
            let target = fields.text()?;
            fields.out.extend(target);
        }
        RecordType::CAA => {
            fields.u8()?;
            fields.string()?;
            let value = fields.text()?;
            fields.out.extend(value);
        }
        RecordType::TLSA | RecordType::SMIMEA => {
            (0..3).try_for_each(|_| fields.u8())?;
            fields.hex()?;
        }
        RecordType::SSHFP => {
            (0..2).try_for_each(|_| fields.u8())?;
            fields.hex()?;
        }
        RecordType::DS | RecordType::CDS => {
            fields.u16()?;
            (0..2).try_for_each(|_| fields.u8())?;
            fields.hex()?;
        }
        _ => return Err(format!("{rtype} is read in its generic form only: \\# LENGTH OCTETS (RFC 3597)")),
    }
    match (fields.words, u16::try_from(fields.out.len())) {
        ([extra, ..], _) => Err(format!("'{}' is more than {rtype} takes", extra.text)),
        (_, Err(_)) => Err("RDATA is longer than 65535 octets".to_owned()),
        _ => Ok(fields.out),
    }
}

/// Words being read, and the octets made of them.
struct Fields<'w> {
    words: &'w [Word],
    origin: &'w Name,
    out: Vec<u8>,
}

impl<'w> Fields<'w> {
    fn next(&mut self, expected: &str) -> Result<&'w str, String> {
        let (first, rest) = self.words.split_first().ok_or_else(|| format!("expected {expected}"))?;
        self.words = rest;
        Ok(&first.text)
    }

    fn parsed<T: std::str::FromStr>(&mut self, expected: &str) -> Result<T, String> {
        let word = self.next(expected)?;
        word.parse().map_err(|_| format!("'{word}' is not {expected}"))
    }

    fn name(&mut self) -> Result<(), String> {
        let word = self.next("a name")?;
        self.out.extend(name(word, self.origin)?.wire());
        Ok(())
    }

    fn u8(&mut self) -> Result<(), String> {
        let number: u8 = self.parsed("a number up to 255")?;
        self.out.push(number);
        Ok(())
    }

    fn u16(&mut self) -> Result<(), String> {
        let number: u16 = self.parsed("a number up to 65535")?;
        self.out.extend(number.to_be_bytes());
        Ok(())
    }

    fn ttl(&mut self) -> Result<(), String> {
        let word = self.next("a time")?;
        let seconds = ttl(word).ok_or_else(|| format!("'{word}' is not a time"))?;
        self.out.extend(seconds.to_be_bytes());
        Ok(())
    }

    /// A text's octets, escapes resolved.
    fn text(&mut self) -> Result<Vec<u8>, String> {
        let word = self.next("a text")?;
        let (mut octets, mut rest) = (Vec::with_capacity(word.len()), word.as_bytes());
        while let Some((octet, behind)) = rest.split_first() {
            rest = behind;
            let (octet, used) = match (octet, behind) {
                (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..]) => {
                    let value = [a, b, c].iter().fold(0u16, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
                    (u8::try_from(value).map_err(|_| format!("'\\{value}' is no octet"))?, 3)
                }
                (b'\\', [escaped, ..]) => (*escaped, 1),
                (octet, _) => (*octet, 0),
            };
            octets.push(octet);
            rest = &rest[used..];
        }
        Ok(octets)
    }

    /// A character string: at most 255 octets behind their count.
    fn string(&mut self) -> Result<(), String> {
        let octets = self.text()?;
        self.out.push(u8::try_from(octets.len()).map_err(|_| "a text is longer than 255 octets".to_owned())?);
        self.out.extend(octets);
        Ok(())
    }

    /// All words that are left, as one row of hexadecimal digits.
    fn hex(&mut self) -> Result<(), String> {
        let digits: String = std::mem::take(&mut self.words).iter().map(|word| word.text.as_str()).collect();
        let wrong = || format!("'{digits}' are no octets in hexadecimal");
        for pair in digits.as_bytes().chunks(2) {
            let [high, low] = pair else { return Err(wrong()) };
            let digit = |octet: u8| char::from(octet).to_digit(16).ok_or_else(wrong);
            self.out.push((digit(*high)? << 4 | digit(*low)?) as u8);
        }
        Ok(())
    }
}
