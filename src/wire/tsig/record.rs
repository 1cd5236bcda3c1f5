//! The TSIG record (RFC 8945 section 4.2).

use crate::wire::{CLASS_ANY, HEADER, Name, Rcode, RecordType, whole_name};

/// A TSIG's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tsig {
    /// The key's name.
    pub key: Name,
    /// The algorithm's name.
    pub algorithm: Name,
    /// Unix seconds, 48 bits of them.
    pub signed_at: u64,
    /// Seconds that the receiver's clock may differ by.
    pub fudge: u16,
    /// The signature.
    pub mac: Vec<u8>,
    /// The id that the message had when it was signed.
    pub original_id: u16,
    /// What was wrong with the request's signature.
    pub error: Rcode,
    /// The server's time, with BADTIME.
    pub other: Vec<u8>,
}

/// A message whose records cannot be read, or whose TSIG is not its last record, or not one: FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The TSIG at a message's end and the message without it; `None` where there is none.
///
/// # Errors
/// See [`Malformed`].
pub fn take(packet: &[u8]) -> Result<Option<(Tsig, Vec<u8>)>, Malformed> {
    read(packet).ok_or(Malformed)
}

#[allow(clippy::option_option)]
fn read(packet: &[u8]) -> Option<Option<(Tsig, Vec<u8>)>> {
    let word = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    let mut at = HEADER;
    for _ in 0..word(4)? {
        whole_name(packet, &mut at)?;
        at += 4;
    }
    let additional = word(10)?;
    let count = u32::from(word(6)?) + u32::from(word(8)?) + u32::from(additional);
    for left in (0..count).rev() {
        let start = at;
        let owner = whole_name(packet, &mut at)?;
        let rtype = RecordType(word(at)?);
        let length = usize::from(word(at + 8)?);
        let rdata = packet.get(at + 10..at + 10 + length)?;
        if rtype == RecordType::TSIG {
            let is_last = left == 0 && additional > 0 && at + 10 + length == packet.len();
            let is_plain = word(at + 2)? == CLASS_ANY && packet.get(at + 4..at + 8)? == [0; 4];
            if !is_last || !is_plain {
                return None;
            }
            let tsig = fields(Name::from_wire(&owner)?, rdata)?;
            let mut stripped = packet[..start].to_vec();
            stripped[10..12].copy_from_slice(&(additional - 1).to_be_bytes());
            return Some(Some((tsig, stripped)));
        }
        at += 10 + length;
    }
    Some(None)
}

fn fields(key: Name, rdata: &[u8]) -> Option<Tsig> {
    let mut at = 0;
    let algorithm = Name::from_wire(&whole_name(rdata, &mut at)?)?;
    let mut rest = rdata.get(at..)?;
    let mut take = |octets: usize| {
        let (front, behind) = rest.split_at_checked(octets)?;
        rest = behind;
        Some(front)
    };
    let number = |octets: &[u8]| octets.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
    let signed_at = number(take(6)?);
    let fudge = number(take(2)?) as u16;
    let length = number(take(2)?) as usize;
    let mac = take(length)?.to_vec();
    let original_id = number(take(2)?) as u16;
    let error = Rcode(number(take(2)?) as u16);
    let length = number(take(2)?) as usize;
    let other = take(length)?.to_vec();
    rest.is_empty().then_some(Tsig { key, algorithm, signed_at, fudge, mac, original_id, error, other })
}

impl Tsig {
    /// Whether it was signed within the fudge of now.
    pub(super) fn is_timely(&self, now: u64) -> bool {
        self.signed_at.abs_diff(now) <= u64::from(self.fudge)
    }

    /// The message as it was signed, with the id that it had then.
    pub(super) fn original(&self, stripped: &[u8]) -> Vec<u8> {
        let mut message = stripped.to_vec();
        if let Some(id) = message.first_chunk_mut() {
            *id = self.original_id.to_be_bytes();
        }
        message
    }

    /// The fields that are signed (RFC 8945 section 4.3.3).
    pub(super) fn variables(&self) -> Vec<u8> {
        let mut octets = self.key.wire().to_vec();
        octets.extend(CLASS_ANY.to_be_bytes());
        octets.extend([0; 4]);
        octets.extend(self.algorithm.wire());
        octets.extend(self.times());
        octets.extend(self.error.0.to_be_bytes());
        octets.extend((self.other.len() as u16).to_be_bytes());
        octets.extend(&self.other);
        octets
    }

    /// Time and fudge, which is all that is signed in the messages behind an answer's first.
    pub(super) fn times(&self) -> Vec<u8> {
        [&self.signed_at.to_be_bytes()[2..], &self.fudge.to_be_bytes()].concat()
    }

    /// Makes it the last record of a message.
    pub(super) fn append_to(&self, packet: &mut Vec<u8>) {
        let mut rdata = self.algorithm.wire().to_vec();
        rdata.extend(self.times());
        rdata.extend((self.mac.len() as u16).to_be_bytes());
        rdata.extend(&self.mac);
        rdata.extend(self.original_id.to_be_bytes());
        rdata.extend(self.error.0.to_be_bytes());
        rdata.extend((self.other.len() as u16).to_be_bytes());
        rdata.extend(&self.other);
        packet.extend(self.key.wire());
        packet.extend(RecordType::TSIG.0.to_be_bytes());
        packet.extend(CLASS_ANY.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend((rdata.len() as u16).to_be_bytes());
        packet.extend(rdata);
        if let Some([high, low]) = packet.get_mut(10..12) {
            let count = u16::from_be_bytes([*high, *low]).saturating_add(1);
            [*high, *low] = count.to_be_bytes();
        }
    }
}
