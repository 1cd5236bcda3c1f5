//! The names that stand for addresses: `in-addr.arpa` (RFC 1035 section 3.5) and `ip6.arpa` (RFC 3596 section 2.5).

use crate::wire::{LowerName, Name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4_SUFFIX: &[u8] = b"\x07in-addr\x04arpa\x00";
const V6_SUFFIX: &[u8] = b"\x03ip6\x04arpa\x00";

/// The address that a whole reverse name stands for: four octets, or thirty-two nibbles, and nothing else in front.
pub fn address(name: &LowerName<'_>) -> Option<IpAddr> {
    match name.label_count() {
        6 if name.suffix(2) == V4_SUFFIX => v4(name).map(IpAddr::V4),
        34 if name.suffix(2) == V6_SUFFIX => v6(name).map(IpAddr::V6),
        _ => None,
    }
}

fn v4(name: &LowerName<'_>) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    for (index, octet) in octets.iter_mut().rev().enumerate() {
        *octet = decimal(name.label(index))?;
    }
    Some(octets.into())
}

/// A number up to 255 as reverse names write it: digits, no zero in front.
fn decimal(label: &[u8]) -> Option<u8> {
    match label {
        [b'0', _, ..] | [] => None,
        digits if digits.len() <= 3 => digits.iter().try_fold(0u8, |sum, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            sum.checked_mul(10)?.checked_add(digit)
        }),
        _ => None,
    }
}

fn v6(name: &LowerName<'_>) -> Option<Ipv6Addr> {
    let mut octets = [0; 16];
    for index in 0..32 {
        let nibble = match name.label(index) {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [letter @ b'a'..=b'f'] => letter - b'a' + 10,
            _ => return None,
        };
        octets[15 - index / 2] |= nibble << (4 * (index % 2));
    }
    Some(octets.into())
}

/// Whether a zone holds reverse names.
pub fn is_reverse(zone: &Name) -> bool {
    [V4_SUFFIX, V6_SUFFIX].iter().any(|suffix| Name::from_wire(suffix).is_some_and(|suffix| zone.is_within(&suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NameBuffer;

    fn read(name: &str) -> Option<String> {
        let mut buffer = NameBuffer::default();
        let name = Name::from_text(name).unwrap();
        address(&buffer.lower(name.wire()).unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn whole_names_are_addresses() {
        assert_eq!(read("4.3.2.1.in-addr.arpa").as_deref(), Some("1.2.3.4"));
        let nibbles = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.D.f.IP6.arpa";
        assert_eq!(read(nibbles).as_deref(), Some("fd00:10:96::3"));
    }

    #[test]
    fn anything_else_is_not() {
        for name in [
            "in-addr.arpa",
            "3.2.1.in-addr.arpa",
            "5.4.3.2.1.in-addr.arpa",
            "x.3.2.1.in-addr.arpa",
            "256.3.2.1.in-addr.arpa",
            "04.3.2.1.in-addr.arpa",
            "4.3.2.1.ip6.arpa",
            "4.3.2.1.cluster.local",
            "1.0.0.0.ip6.arpa",
            "10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa",
            "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    #[test]
    fn reverse_zones_are_known() {
        for (zone, expected) in
            [("in-addr.arpa", true), ("0.10.in-addr.arpa", true), ("ip6.arpa", true), ("arpa", false), (".", false)]
        {
            assert_eq!(is_reverse(&Name::from_text(zone).unwrap()), expected, "{zone}");
        }
    }
}
