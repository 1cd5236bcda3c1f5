//! The names that stand for addresses: `in-addr.arpa` (RFC 1035 section 3.5) and `ip6.arpa` (RFC 3596 section 2.5).

use crate::wire::{LowerName, Name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4_SUFFIX: &[u8] = b"\x07in-addr\x04arpa\x00";
const V6_SUFFIX: &[u8] = b"\x03ip6\x04arpa\x00";

/// The addresses at and below a reverse name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// From the first to the last.
    V4(Ipv4Addr, Ipv4Addr),
    /// From the first to the last.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Network {
    /// The address of a whole name: four octets, or thirty-two nibbles, and nothing else in front.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Network::V4(first, last) => (first == last).then_some(first.into()),
            Network::V6(first, last) => (first == last).then_some(first.into()),
        }
    }
}

/// What a reverse name, whole or not, stands for. `None` for any other name.
pub fn network(name: &LowerName<'_>) -> Option<Network> {
    match name.label_count().checked_sub(2)? {
        octets @ 0..=4 if name.suffix(2) == V4_SUFFIX => v4(name, octets),
        nibbles @ 0..=32 if name.suffix(2) == V6_SUFFIX => v6(name, nibbles),
        _ => None,
    }
}

fn v4(name: &LowerName<'_>, given: usize) -> Option<Network> {
    let (mut first, mut last) = ([0; 4], [255; 4]);
    for at in 0..given {
        let octet = decimal(name.label(given - 1 - at))?;
        (first[at], last[at]) = (octet, octet);
    }
    Some(Network::V4(first.into(), last.into()))
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

fn v6(name: &LowerName<'_>, given: usize) -> Option<Network> {
    let mut first = 0u128;
    for at in 0..given {
        let nibble = match name.label(given - 1 - at) {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [letter @ b'a'..=b'f'] => letter - b'a' + 10,
            _ => return None,
        };
        first |= u128::from(nibble) << (124 - 4 * at);
    }
    let below = u128::MAX.checked_shr(4 * given as u32).unwrap_or(0);
    Some(Network::V6(first.into(), (first | below).into()))
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
        network(&buffer.lower(name.wire()).unwrap())?.address().map(|address| address.to_string())
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
    fn part_of_a_name_is_a_network() {
        for (name, expected) in [
            ("in-addr.arpa", "V4(0.0.0.0, 255.255.255.255)"),
            ("10.in-addr.arpa", "V4(10.0.0.0, 10.255.255.255)"),
            ("3.2.1.in-addr.arpa", "V4(1.2.3.0, 1.2.3.255)"),
            ("4.3.2.1.in-addr.arpa", "V4(1.2.3.4, 1.2.3.4)"),
            ("d.F.ip6.arpa", "V6(fd00::, fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff)"),
            ("1.0.0.0.d.f.ip6.arpa", "V6(fd00:100::, fd00:1ff:ffff:ffff:ffff:ffff:ffff:ffff)"),
        ] {
            let mut buffer = NameBuffer::default();
            let name = Name::from_text(name).unwrap();
            let network = network(&buffer.lower(name.wire()).unwrap()).unwrap();
            assert_eq!(format!("{network:?}"), expected);
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
