//! Zones and networks.

use super::super::address::split;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The zones a word stands for, in lower case with a last dot: a name (scheme and port stripped), or the reverse zones
/// of a CIDR network, several where its prefix is not on an octet (IPv4) or nibble (IPv6) border: 128 at most.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn zones(word: &str) -> Result<Vec<String>, String> {
    let (_, host, _) = split(word)?;
    host_zones(host)
}

/// A network `ADDRESS/LENGTH` as its first address and its prefix length in bits; an address alone is a network of one.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn network(word: &str) -> Result<(IpAddr, u8), String> {
    let (address, length) = word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!("'{word}' is no network; expecting ADDRESS/LENGTH, as 10.0.0.0/8 or fd00::/8"));
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        Some(length) => length
            .parse()
            .ok()
            .filter(|&number| number <= bits && length.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| format!("'{length}' in '{word}' is no prefix length; expecting 0 to {bits}"))?,
    };
    Ok((first_address(address, length), length))
}

/// Whether a word is meant as a network: an address, a slash, and whatever follows.
pub(in crate::corefile) fn is_network(word: &str) -> bool {
    // A port may follow the prefix length, so only all digits behind the slash end the word.
    word.split_once('/').is_some_and(|(address, length)| address.parse::<IpAddr>().is_ok() && !length.contains(':'))
}

/// The zones of a name or a network, from which scheme and port have been taken.
pub(in crate::corefile) fn host_zones(host: &str) -> Result<Vec<String>, String> {
    if !is_network(host) {
        return Ok(vec![name(host)?]);
    }
    Ok(match network(host)? {
        (IpAddr::V4(address), length) => {
            reverse_zones(&address.octets(), 8, length, |zone, octet| write!(zone, "{octet}."), "in-addr.arpa.")
        }
        (IpAddr::V6(address), length) => {
            let nibbles: Vec<u8> = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]).collect();
            reverse_zones(&nibbles, 4, length, |zone, nibble| write!(zone, "{nibble:x}."), "ip6.arpa.")
        }
    })
}

/// The reverse zones of a network whose address is cut into units, one label each (RFC 1035 section 3.5, RFC 3596
/// section 2.5): one zone on a border of units, else one for each value that the unit may have in the network.
fn reverse_zones(
    units: &[u8],
    width: u8,
    length: u8,
    label: impl Fn(&mut String, u8) -> std::fmt::Result,
    apex: &str,
) -> Vec<String> {
    let kept = length.div_ceil(width);
    let count = 1 << (kept * width - length);
    let zone = |step: u8| {
        let mut zone = String::new();
        for (at, &unit) in units[..usize::from(kept)].iter().enumerate().rev() {
            let unit = if at + 1 == usize::from(kept) { unit + step } else { unit };
            // Writing to a string does not fail.
            let _ = label(&mut zone, unit);
        }
        zone + apex
    };
    (0..count).map(zone).collect()
}

fn first_address(address: IpAddr, length: u8) -> IpAddr {
    let host = |bits: u8| u32::from(bits.saturating_sub(length));
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host(32)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host(128)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// A name in lower case with its last dot; the empty one is the root. Sizes are RFC 1035's, section 2.3.4.
fn name(word: &str) -> Result<String, String> {
    if let Some(odd) = word.chars().find(|character| character.is_whitespace() || character.is_control()) {
        return Err(format!("'{}' is no name: it has the character {odd:?}", word.escape_debug()));
    }
    if word.is_empty() || word == "." {
        return Ok(".".to_owned());
    }
    let labels = label_lengths(word).ok_or_else(|| format!("'{word}' is no name: it ends within an escape"))?;
    if labels.contains(&0) {
        return Err(format!("'{word}' is no name: a label is empty"));
    }
    if let Some(length) = labels.iter().find(|&&length| length > 63) {
        return Err(format!("'{word}' is no name: a label has {length} octets, more than 63"));
    }
    let octets = labels.iter().map(|length| length + 1).sum::<usize>() + 1;
    if octets > 255 {
        return Err(format!("'{word}' is no name: it has {octets} octets, more than 255"));
    }
    let mut name = word.to_ascii_lowercase();
    if !name.ends_with('.') {
        name.push('.');
    }
    Ok(name)
}

/// The octets of each label, the last dot's not; an escape (`\.`, `\046`) counts for one. `None` for an open escape.
fn label_lengths(word: &str) -> Option<Vec<usize>> {
    let (mut labels, mut rest) = (vec![0], word.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'.' if after.is_empty() => break,
            b'.' => {
                labels.push(0);
                after
            }
            b'\\' if after.len() >= 3 && after[..3].iter().all(u8::is_ascii_digit) => &after[3..],
            b'\\' => after.get(1..)?,
            _ => after,
        };
        if byte != b'.'
            && let Some(length) = labels.last_mut()
        {
            *length += 1;
        }
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let table = [
            ("", "."),
            (".", "."),
            ("Cluster.Local", "cluster.local."),
            ("cluster.local.", "cluster.local."),
            ("dns://cluster.local:53", "cluster.local."),
            ("10.0.0.1", "10.0.0.1."),
            ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa."),
            (r"a\.b.c", r"a\.b.c."),
            ("_tcp.*.x", "_tcp.*.x."),
        ];
        for (word, zone) in table {
            assert_eq!(zones(word), Ok(vec![zone.to_owned()]), "{word}");
        }
        assert!(zones(&"x".repeat(63)).is_ok());
        assert!(zones(&r"\120".repeat(63)).is_ok());
        assert!(zones(&["x".repeat(63).as_str(); 3].join(".")).is_ok());
    }

    #[test]
    fn networks_as_reverse_zones() {
        let table: &[(&str, &[&str])] = &[
            ("10.0.0.0/8", &["10.in-addr.arpa."]),
            ("10.1.2.3/8", &["10.in-addr.arpa."]),
            ("10.0.0.0/15", &["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]),
            ("10.4.0.0/15", &["4.10.in-addr.arpa.", "5.10.in-addr.arpa."]),
            ("192.0.2.0/24", &["2.0.192.in-addr.arpa."]),
            ("192.0.2.1/32", &["1.2.0.192.in-addr.arpa."]),
            ("0.0.0.0/0", &["in-addr.arpa."]),
            ("2001:db8::/32", &["8.b.d.0.1.0.0.2.ip6.arpa."]),
            ("fd00::/7", &["c.f.ip6.arpa.", "d.f.ip6.arpa."]),
            ("::/0", &["ip6.arpa."]),
        ];
        for (word, expected) in table {
            assert_eq!(zones(word).unwrap(), *expected, "{word}");
        }
        let hosts = zones("192.168.1.128/25").unwrap();
        assert_eq!((hosts.len(), hosts[0].as_str()), (128, "128.1.168.192.in-addr.arpa."));
        assert_eq!(hosts[127], "255.1.168.192.in-addr.arpa.");
        assert_eq!(zones("0.0.0.0/1").unwrap().len(), 128);
        assert_eq!(zones("2001:db8::/33").unwrap().len(), 8);
        assert_eq!(zones("2001:db8::/128").unwrap()[0].matches('.').count(), 34);
    }

    #[test]
    fn bad_zones() {
        let table = [
            ("a..b", "'a..b' is no name: a label is empty"),
            (".a", "'.a' is no name: a label is empty"),
            ("..", "'..' is no name: a label is empty"),
            ("a b", "'a b' is no name: it has the character ' '"),
            ("a\\", "'a\\' is no name: it ends within an escape"),
            ("10.0.0.0/33", "'33' in '10.0.0.0/33' is no prefix length; expecting 0 to 32"),
            ("fd00::/129", "'129' in 'fd00::/129' is no prefix length; expecting 0 to 128"),
            ("10.0.0.0/", "'' in '10.0.0.0/' is no prefix length; expecting 0 to 32"),
        ];
        for (word, why) in table {
            assert_eq!(zones(word), Err(why.to_owned()));
        }
        assert!(zones(&"x".repeat(64)).unwrap_err().ends_with("a label has 64 octets, more than 63"));
        assert!(zones(&"abc.".repeat(64)).unwrap_err().ends_with("it has 257 octets, more than 255"));
    }

    #[test]
    fn networks() {
        let table = [
            ("10.0.0.0/8", "10.0.0.0", 8),
            ("10.1.2.3/8", "10.0.0.0", 8),
            ("192.0.2.1", "192.0.2.1", 32),
            ("0.0.0.0/0", "0.0.0.0", 0),
            ("2001:db8::1/64", "2001:db8::", 64),
            ("::1", "::1", 128),
            ("::/0", "::", 0),
        ];
        for (word, address, length) in table {
            assert_eq!(network(word), Ok((address.parse().unwrap(), length)), "{word}");
        }
        for word in ["", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/255.0.0.0", "10.0.0.0/8/8", "x/8"] {
            assert!(network(word).is_err_and(|why| why.contains("expecting")), "{word}");
        }
    }
}
