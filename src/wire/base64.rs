//! Base64 as DNS has it: keys in configuration files, messages in the URL of DNS over HTTPS.

/// Decodes base64 (RFC 4648 section 4), its padding there or not; `None` for what is none.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    decode(text, [b'+', b'/'])
}

/// Decodes base64url (RFC 4648 section 5); the padding, which RFC 8484 forbids and some clients send, is not looked at.
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    decode(text, [b'-', b'_'])
}

/// Encodes base64 with its padding (RFC 4648 section 4).
pub fn to_base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for digit in 0..4 {
            let is_there = digit <= group.len();
            text.push(if is_there { char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]) } else { '=' });
        }
    }
    text
}

/// `last` has the digits for 62 and 63.
fn decode(text: &str, last: [u8; 2]) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut octets = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for (at, &digit) in group.iter().enumerate() {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                _ if digit == last[0] => 62,
                _ if digit == last[1] => 63,
                _ => return None,
            };
            bits |= u32::from(value) << (18 - 6 * at);
        }
        octets.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read() {
        for (text, octets) in [
            ("", Some(&b""[..])),
            ("AA", Some(&[0])),
            ("AAA", Some(&[0, 0])),
            ("_-8", Some(&[0xff, 0xef])),
            ("AAABAAABAAAAAAAA", Some(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
            ("AA==", Some(&[0])),
            ("A", None),
            ("A/", None),
            ("AA%3D", None),
            ("A A", None),
        ] {
            assert_eq!(base64url(text).as_deref(), octets, "{text}");
        }
        for octets in [&b""[..], b"a", b"ab", b"abc", b"\xff\xef\xbe\x00"] {
            assert_eq!(base64(&to_base64(octets)).as_deref(), Some(octets), "{}", to_base64(octets));
        }
        assert_eq!(to_base64(b"hello"), "aGVsbG8=");
        assert_eq!((base64("/+8=").as_deref(), base64("_-8")), (Some(&[0xff, 0xef][..]), None));
    }
}
