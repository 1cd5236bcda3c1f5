//! The label values of the traffic counters, by index: types that are told apart, response codes.

use crate::wire::{Rcode, RecordType};

/// The types with a series of their own, as CoreDNS has them; all else is `other`.
const TYPES: [RecordType; 19] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::DNSKEY,
    RecordType::DS,
    RecordType::MX,
    RecordType::NSEC,
    RecordType::NSEC3,
    RecordType::NS,
    RecordType::PTR,
    RecordType::RRSIG,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::TXT,
    RecordType::HTTPS,
    RecordType::SVCB,
    RecordType::IXFR,
    RecordType::AXFR,
    RecordType::ANY,
];
/// How many type labels there are, `other` included.
pub(super) const TYPE_COUNT: usize = TYPES.len() + 1;

/// The index of each type below 256.
const TYPE_INDEX: [u8; 256] = {
    let mut table = [TYPES.len() as u8; 256];
    let mut index = 0;
    while index < TYPES.len() {
        table[TYPES[index].0 as usize] = index as u8;
        index += 1;
    }
    table
};

/// The index of a type's label.
#[inline]
pub(super) fn type_index(qtype: RecordType) -> usize {
    TYPE_INDEX.get(usize::from(qtype.0)).map_or(TYPES.len(), |index| usize::from(*index))
}

/// The label of a type index.
pub(super) fn type_label(index: usize) -> &'static str {
    TYPES.get(index).and_then(|known| known.mnemonic()).unwrap_or("other")
}

/// How many response codes are told apart: those of the header, BADVERS, and the rest as one.
pub(super) const RCODE_COUNT: usize = 18;

/// The index of a response code's label.
#[inline]
pub(super) fn rcode_index(rcode: Rcode) -> usize {
    usize::from(rcode.0).min(RCODE_COUNT - 1)
}

/// The label of a response code index.
pub(super) fn rcode_label(index: usize) -> String {
    match Rcode(index as u16).mnemonic() {
        _ if index == RCODE_COUNT - 1 => "other".to_owned(),
        Some(name) => name.to_owned(),
        None => format!("RCODE{index}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_label() {
        for (qtype, label) in
            [(RecordType::A, "A"), (RecordType::ANY, "ANY"), (RecordType::HTTPS, "HTTPS"), (RecordType::NAPTR, "other")]
        {
            assert_eq!(type_label(type_index(qtype)), label);
        }
        assert_eq!(type_label(type_index(RecordType::CAA)), "other");
        assert!(TYPES.iter().all(|qtype| type_label(type_index(*qtype)) == qtype.to_string()));
    }

    #[test]
    fn every_code_has_its_label() {
        for (rcode, label) in [(0, "NOERROR"), (3, "NXDOMAIN"), (11, "RCODE11"), (16, "BADVERS"), (23, "other")] {
            assert_eq!(rcode_label(rcode_index(Rcode(rcode))), label);
        }
    }
}
