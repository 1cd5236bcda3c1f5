//! A question's name as text, without an allocation: for patterns that are tried on every query.

use super::{LowerName, MAX_NAME};

/// Room for a question's name as text (presentation form, lower case), which is made when it is first asked for.
pub struct NameText {
    octets: [u8; LONGEST],
    length: Option<usize>,
}

/// Every octet of a name as `\DDD`.
const LONGEST: usize = 4 * MAX_NAME;

impl Default for NameText {
    fn default() -> Self {
        NameText { octets: [0; LONGEST], length: None }
    }
}

impl NameText {
    /// The text of this name. A buffer is for one name: it goes on saying the first one it was asked for.
    pub fn of(&mut self, name: &LowerName<'_>) -> &str {
        let length = *self.length.get_or_insert_with(|| write(name, &mut self.octets));
        std::str::from_utf8(&self.octets[..length]).unwrap_or(".")
    }
}

/// Writes presentation form as [`Name`] prints it. Returns its length.
fn write(name: &LowerName<'_>, out: &mut [u8; LONGEST]) -> usize {
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        out[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    for index in 0..name.label_count() {
        for &octet in name.label(index) {
            match octet {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => put(&[b'\\', octet]),
                0x21..=0x7e => put(&[octet]),
                _ => put(&[b'\\', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]),
            }
        }
        put(b".");
    }
    if at == 0 {
        out[0] = b'.';
        return 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Name, NameBuffer};

    #[test]
    fn it_is_what_names_print() {
        for name in ["WeB.example.org", ".", "a\\.b.c", "sp\\032ace.\\255.x", "_tcp.\\@.\\$.test"] {
            let mut buffer = NameBuffer::default();
            let owned = Name::from_text(name).unwrap();
            let lower = buffer.lower(owned.wire()).unwrap();
            assert_eq!(NameText::default().of(&lower), owned.to_string());
        }
    }
}
