//! Labels made of addresses, and back.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a label, its length octet included.
const ROOM: usize = 64;

/// A label in wire form, on the stack.
#[derive(Clone, Copy)]
pub(super) struct Label([u8; ROOM]);

impl Label {
    /// The label of an address that has no name of its own: dashes for dots and colons. One that would end in a dash gets
    /// a zero behind it (`2001:db8::` is `2001-db8--0`).
    pub(super) fn of_address(address: IpAddr) -> Label {
        let mut label = Label([0; ROOM]);
        // The longest address has 39 characters.
        let _ = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                write!(label, "{a}-{b}-{c}-{d}")
            }
            IpAddr::V6(address) => write!(label, "{address}"),
        };
        label.dashed();
        label
    }

    /// The label of an address as it is written in an object, if it can be one.
    pub(super) fn of_text(text: &str) -> Option<Label> {
        let mut label = Label([0; ROOM]);
        label.write_str(text).ok()?;
        label.dashed();
        Some(label)
    }

    fn dashed(&mut self) {
        let len = usize::from(self.0[0]);
        for octet in &mut self.0[1..=len] {
            *octet = if matches!(octet, b':' | b'.') { b'-' } else { octet.to_ascii_lowercase() };
        }
        if self.0[len] == b'-' && len + 1 < ROOM {
            self.0[len + 1] = b'0';
            self.0[0] += 1;
        }
    }

    /// The wire form: the length octet, then the label.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0[..=usize::from(self.0[0])]
    }

    /// The label without its length octet.
    pub(super) fn text(&self) -> &[u8] {
        &self.wire()[1..]
    }
}

impl Write for Label {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let len = usize::from(self.0[0]);
        let room = self.0.get_mut(1 + len..1 + len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.0[0] += text.len() as u8;
        Ok(())
    }
}

/// The address that a pod's label stands for: with three single dashes IPv4, else IPv6.
#[inline]
pub(super) fn pod_address(label: &[u8]) -> Option<IpAddr> {
    // Nearly all are, and need not be made text again.
    dashed_v4(label).map(IpAddr::V4).or_else(|| undashed(label).and_then(|text| text.address()))
}

/// The IPv4 address that four decimal numbers with dashes between them are, none of them with a zero in front.
#[inline]
fn dashed_v4(label: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut place) = ([0u8; 4], 0);
    let (mut number, mut digits) = (0u32, 0);
    for character in label {
        match character {
            b'0'..=b'9' if digits == 0 || number > 0 => {
                number = number * 10 + u32::from(character - b'0');
                digits += 1;
                octets[place] = u8::try_from(number).ok()?;
            }
            b'-' if digits > 0 && place < 3 => (place, number, digits) = (place + 1, 0, 0),
            _ => return None,
        }
    }
    (place == 3 && digits > 0).then(|| octets.into())
}

/// The same, if the label spells the address the way it is printed.
pub(super) fn printed_pod_address(label: &[u8]) -> Option<IpAddr> {
    if let Some(address) = dashed_v4(label) {
        return Some(address.into());
    }
    let text = undashed(label)?;
    text.address().filter(|address| {
        let mut printed = Label([0; ROOM]);
        write!(printed, "{address}").is_ok() && printed.text() == text.octets()
    })
}

/// A label whose dashes are dots or colons again.
struct Undashed {
    octets: [u8; ROOM],
    len: usize,
    is_v4: bool,
}

fn undashed(label: &[u8]) -> Option<Undashed> {
    let dashes = label.iter().filter(|octet| **octet == b'-').count();
    let is_v4 = dashes == 3 && !label.windows(2).any(|pair| pair == b"--");
    let separator = if is_v4 { b'.' } else { b':' };
    let mut octets = [0; ROOM];
    for (to, from) in octets.get_mut(..label.len())?.iter_mut().zip(label) {
        *to = if *from == b'-' { separator } else { *from };
    }
    Some(Undashed { octets, len: label.len(), is_v4 })
}

impl Undashed {
    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    fn address(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.octets()).ok()?;
        if self.is_v4 { text.parse().ok().map(Ipv4Addr::into) } else { text.parse().ok().map(Ipv6Addr::into) }
    }
}

/// The address whose label is exactly this one.
pub(super) fn endpoint_address(label: &[u8]) -> Option<IpAddr> {
    if !matches!(label.first(), Some(b'0'..=b'9' | b'a'..=b'f' | b'-')) {
        return None;
    }
    // What four numbers are has no other spelling.
    dashed_v4(label)
        .map(IpAddr::V4)
        .or_else(|| pod_address(label).filter(|address| Label::of_address(*address).text() == label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(address: &str) -> String {
        String::from_utf8(Label::of_address(address.parse().unwrap()).text().to_vec()).unwrap()
    }

    #[test]
    fn labels_of_addresses_and_back() {
        for (address, expected) in [
            ("172.0.0.1", "172-0-0-1"),
            ("5678:abcd::1", "5678-abcd--1"),
            ("2001:db8:1:2:3:4::", "2001-db8-1-2-3-4--0"),
            ("2001:db8::", "2001-db8--0"),
            ("::", "--0"),
            ("::1", "--1"),
            ("1:2:3:4:5:6:7:8", "1-2-3-4-5-6-7-8"),
        ] {
            assert_eq!(label(address), expected);
            assert_eq!(endpoint_address(expected.as_bytes()), Some(address.parse().unwrap()), "{expected}");
        }
        let long = "1111:2222:3333:4444:5555:6666:7777:8888";
        assert_eq!(label(long).len(), 39);
        assert_eq!(Label::of_address(long.parse().unwrap()).wire()[0], 39);
    }

    #[test]
    fn other_spellings_are_no_endpoint_labels() {
        for label in
            ["172-0-0-01", "172-0-0", "1-2-3-4-5", "2001-db8--", "2001-db8-0--0", "web", "", "::1", "fe80-1-2-3"]
        {
            assert_eq!(endpoint_address(label.as_bytes()), None, "{label}");
        }
    }

    #[test]
    fn pod_labels_are_read_leniently() {
        for (label, expected) in [
            ("1-2-3-4", Some("1.2.3.4")),
            ("fd00--1", Some("fd00::1")),
            ("fd00-10-244-0-0-0-1-20", Some("fd00:10:244::1:20")),
            ("::1", Some("::1")),
            ("--1", Some("::1")),
            ("fe80-1-2-3", None),
            ("010-244-20-11", None),
            ("256-1-1-1", None),
            ("a-b-c-d", None),
            ("1-2-3-4-5", None),
        ] {
            assert_eq!(pod_address(label.as_bytes()), expected.map(|text| text.parse().unwrap()), "{label}");
        }
        assert_eq!(printed_pod_address(b"fd00-10-244-0-0-0-1-20"), None);
        assert_eq!(printed_pod_address(b"fd00-10-244--1-20"), Some("fd00:10:244::1:20".parse().unwrap()));
        assert_eq!(printed_pod_address(b"1-2-3-4"), Some("1.2.3.4".parse().unwrap()));
        assert_eq!(pod_address(&[b'1'; 63]), None);
        assert_eq!(pod_address(&[0xff; 7]), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_no_label() {
        assert_eq!(Label::of_text(&"1".repeat(64)).map(|label| label.text().len()), None);
        assert_eq!(Label::of_text("2001:DB8:0:0::1").unwrap().text(), b"2001-db8-0-0--1");
    }
}
