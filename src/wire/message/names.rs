//! Names in RDATA: where they stand, and how they are read whole.

use super::super::{MAX_NAME, RecordType};
use std::ops::Range;

/// What stands before the names in RDATA, in octets, and how many names there are; `None` where a sender compresses none.
pub(super) fn name_layout(rtype: RecordType, rdata: &[u8]) -> Option<(usize, usize)> {
    // MD MF MB MG MR; MINFO RP; AFSDB RT KX; PX, which have no constants.
    match rtype {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => Some((0, 1)),
        RecordType(3 | 4 | 7 | 8 | 9) => Some((0, 1)),
        RecordType::SOA | RecordType(14 | 17) => Some((0, 2)),
        RecordType::MX | RecordType(18 | 21 | 36) => Some((2, 1)),
        RecordType(26) => Some((2, 2)),
        RecordType::SRV => Some((6, 1)),
        RecordType::NAPTR => {
            let text = |at: usize| rdata.get(at).map(|len| at + 1 + usize::from(*len));
            Some((text(text(text(4)?)?)?, 1))
        }
        _ => None,
    }
}

/// Whether names in RDATA may be compressed by us: the types of RFC 1035 (RFC 3597 section 4).
pub(super) fn is_compressible(rtype: RecordType) -> bool {
    matches!(rtype, RecordType::NS | RecordType::CNAME | RecordType::SOA | RecordType::PTR | RecordType::MX)
}

pub(super) fn whole_rdata(packet: &[u8], rtype: RecordType, range: Range<usize>) -> Option<Vec<u8>> {
    let rdata = &packet[range.clone()];
    let Some((prefix, count)) = name_layout(rtype, rdata) else { return Some(rdata.to_vec()) };
    let mut whole = rdata.get(..prefix)?.to_vec();
    let mut at = range.start + prefix;
    for _ in 0..count {
        whole.extend(whole_name(packet, &mut at)?);
    }
    whole.extend(packet.get(at..range.end)?);
    Some(whole)
}

/// The name at `at` in the case it has, its pointers followed, and `at` moved behind it. `None` if it is cut, longer
/// than 255 octets, has a reserved label type, or a pointer that does not point before the labels it was reached by.
pub fn whole_name(packet: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let (mut name, mut from, mut floor, mut end) = (Vec::with_capacity(32), *at, *at, None);
    loop {
        match *packet.get(from)? {
            0 => break,
            len @ 1..=63 => {
                name.extend(packet.get(from..=from + usize::from(len))?);
                from += 1 + usize::from(len);
                if name.len() >= MAX_NAME {
                    return None;
                }
            }
            high @ 0xc0.. => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, *packet.get(from + 1)?]));
                if target >= floor {
                    return None;
                }
                end = end.or(Some(from + 2));
                (from, floor) = (target, target);
            }
            _ => return None,
        }
    }
    *at = end.unwrap_or(from + 1);
    name.push(0);
    Some(name)
}
