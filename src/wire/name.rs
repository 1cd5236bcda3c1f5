//! Domain names: the owned lower-case form that tables hold, and the borrowed form of a question.

use std::fmt;

/// Octets of the longest name, root included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;

/// A name in lower-case wire form: length-prefixed labels and the root's zero octet.
///
/// Names compare without case (RFC 4343); lowering once on the way in makes that a comparison of octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, or a dot in front.
    EmptyLabel,
    /// A label of more than 63 octets.
    LongLabel,
    /// More than 255 octets in wire form.
    LongName,
    /// A backslash that is not followed by three digits up to 255, or by a character.
    BadEscape,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::EmptyLabel => "a label is empty",
            NameError::LongLabel => "a label is longer than 63 octets",
            NameError::LongName => "the name is longer than 255 octets",
            NameError::BadEscape => "a backslash needs three digits up to 255, or a character, behind it",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root, `.`.
    pub fn root() -> Name {
        Name(Box::new([0]))
    }

    /// Reads presentation form (RFC 1035 section 5.1), fully qualified with or without its last dot.
    pub fn from_text(text: &str) -> Result<Name, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        if text != "." {
            for label in Labels(text.as_bytes()) {
                let label = label?;
                match label.len() {
                    0 => return Err(NameError::EmptyLabel),
                    1..=63 => wire.push(label.len() as u8),
                    _ => return Err(NameError::LongLabel),
                }
                wire.extend(label.iter().map(u8::to_ascii_lowercase));
            }
        }
        wire.push(0);
        if wire.len() > MAX_NAME { Err(NameError::LongName) } else { Ok(Name(wire.into())) }
    }

    /// Takes wire form that is known to be a whole uncompressed name, and lowers it. `None` if it is not one.
    pub fn from_wire(wire: &[u8]) -> Option<Name> {
        let mut at = 0;
        loop {
            match *wire.get(at)? {
                0 => break,
                len @ 1..=63 => at += 1 + usize::from(len),
                _ => return None,
            }
        }
        (at + 1 == wire.len() && wire.len() <= MAX_NAME).then(|| Name(wire.to_ascii_lowercase().into()))
    }

    /// The wire form, lower-case, root octet included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from left to right, root not counted.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let len = usize::from(rest[0]);
            let label = (len > 0).then(|| &rest[1..=len])?;
            rest = &rest[1 + len..];
            Some(label)
        })
    }

    /// How many labels, root not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is `.`.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// These zones but for those that are below another one of them, or are it again: what is within one of the former is
    /// within one of these.
    pub fn outermost(zones: &[Name]) -> Vec<Name> {
        let is_covered = |(at, zone): (usize, &Name)| {
            let covers =
                |(other, outer): (usize, &Name)| other != at && zone.is_within(outer) && (zone != outer || other < at);
            zones.iter().enumerate().any(covers)
        };
        zones.iter().enumerate().filter(|zone| !is_covered(*zone)).map(|(_, zone)| zone.clone()).collect()
    }

    /// Whether this name is `zone` or below it.
    pub fn is_within(&self, zone: &Name) -> bool {
        let (Some(at), mut start) = (self.0.len().checked_sub(zone.0.len()), 0) else { return false };
        while start < at {
            start += 1 + usize::from(self.0[start]);
        }
        start == at && self.0[at..] == zone.0[..]
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        self.labels().try_for_each(|label| write_label(f, label))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_label(f: &mut fmt::Formatter<'_>, label: &[u8]) -> fmt::Result {
    for &octet in label {
        match octet {
            b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", octet as char)?,
            0x21..=0x7e => write!(f, "{}", octet as char)?,
            _ => write!(f, "\\{octet:03}")?,
        }
    }
    f.write_str(".")
}

/// The labels of a presentation name, escapes resolved.
struct Labels<'a>(&'a [u8]);

impl Iterator for Labels<'_> {
    type Item = Result<Vec<u8>, NameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut label = Vec::new();
        while let Some((&octet, rest)) = self.0.split_first() {
            self.0 = rest;
            match octet {
                b'.' => return Some(Ok(label)),
                b'\\' => match unescape(rest) {
                    Some((octet, used)) => {
                        label.push(octet);
                        self.0 = &rest[used..];
                    }
                    None => return Some(Err(NameError::BadEscape)),
                },
                other => label.push(other),
            }
        }
        Some(Ok(label))
    }
}

fn unescape(behind: &[u8]) -> Option<(u8, usize)> {
    match behind {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = [a, b, c].iter().fold(0u16, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
            Some((u8::try_from(value).ok()?, 3))
        }
        [b'0'..=b'9', ..] | [] => None,
        [octet, ..] => Some((*octet, 1)),
    }
}

/// Octets that are lowered at a time: most names are one block, so that the processor guesses no number of steps.
const BLOCK: usize = 64;
/// Whole blocks, and any offset that fits an octet: what is read by one needs no check of bounds.
const ROOM: usize = MAX_NAME.next_multiple_of(BLOCK);

/// Where a question's name is lowered to, once a query. A worker keeps one and reuses it.
#[derive(Clone)]
pub struct NameBuffer {
    wire: [u8; ROOM],
    /// Offset of each label's length octet, and of the root's behind them.
    starts: [u8; ROOM],
}

impl Default for NameBuffer {
    fn default() -> Self {
        NameBuffer { wire: [0; ROOM], starts: [0; ROOM] }
    }
}

impl NameBuffer {
    /// Lowers the uncompressed name at the front of `octets`. `None` if it is cut, too long, or compressed.
    #[inline]
    pub fn lower(&mut self, octets: &[u8]) -> Option<LowerName<'_>> {
        let end = octets.len().min(MAX_NAME);
        // Labels have two octets or more, so both counters fit an octet below the end.
        let (mut at, mut labels) = (0, 0u8);
        while at < end {
            self.starts[usize::from(labels)] = at as u8;
            match octets[at] {
                0 => {
                    let len = at + 1;
                    self.wire[..len].copy_from_slice(&octets[..len]);
                    // What stands behind the name means nothing. Length octets are below 'A' and stay as they are.
                    self.wire.as_chunks_mut::<BLOCK>().0[..len.div_ceil(BLOCK)]
                        .iter_mut()
                        .for_each(|block| block.make_ascii_lowercase());
                    return Some(LowerName { wire: &self.wire, starts: &self.starts, root: at as u8, labels });
                }
                len @ 1..=63 => {
                    labels += 1;
                    at += 1 + usize::from(len);
                }
                _ => return None,
            }
        }
        None
    }
}

/// A question's name in lower-case wire form, with the place of each label.
#[derive(Clone, Copy)]
pub struct LowerName<'a> {
    wire: &'a [u8; ROOM],
    starts: &'a [u8; ROOM],
    /// Offset of the root's octet, the last one.
    root: u8,
    labels: u8,
}

impl<'a> LowerName<'a> {
    /// The wire form, root octet included.
    #[inline]
    pub fn wire(&self) -> &'a [u8] {
        &self.wire[..usize::from(self.root) + 1]
    }

    /// How many labels, root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// The label at `index` from the left, without its length octet. Panics past the last one.
    #[inline]
    pub fn label(&self, index: usize) -> &'a [u8] {
        &self.wire[self.start(index) + 1..self.start(index + 1)]
    }

    /// Where the label at `index` from the left starts in the wire form; at `label_count()`, the root. Panics past that.
    #[inline]
    pub fn start(&self, index: usize) -> usize {
        assert!(index <= self.label_count(), "a name has no label {index}");
        usize::from(self.starts[index])
    }

    /// The last `labels` labels as a wire name. Panics if there are fewer.
    #[inline]
    pub fn suffix(&self, labels: usize) -> &'a [u8] {
        &self.wire[self.start(self.label_count() - labels)..usize::from(self.root) + 1]
    }

    /// Whether this name is `zone` or below it.
    #[inline]
    pub fn is_within(&self, zone: &Name) -> bool {
        let zone = zone.wire();
        if zone.len() == 1 {
            return true;
        }
        let name = self.wire();
        match name.len().checked_sub(zone.len()) {
            Some(at) => same(&name[at..], zone) && self.starts[..self.label_count()].binary_search(&(at as u8)).is_ok(),
            None => false,
        }
    }

    /// An owned copy.
    pub fn to_name(&self) -> Name {
        Name(self.wire().into())
    }

    /// An owned copy that keeps the places of the labels.
    pub(super) fn to_kept(self) -> KeptName {
        let buffer = Box::new(NameBuffer { wire: *self.wire, starts: *self.starts });
        KeptName { buffer, root: self.root, labels: self.labels }
    }
}

/// A [`LowerName`] that outlives its buffer.
#[derive(Clone)]
pub(super) struct KeptName {
    buffer: Box<NameBuffer>,
    root: u8,
    labels: u8,
}

impl KeptName {
    /// The name.
    pub fn get(&self) -> LowerName<'_> {
        LowerName { wire: &self.buffer.wire, starts: &self.buffer.starts, root: self.root, labels: self.labels }
    }
}

/// Whether two runs of octets are the same: `==` by a few instructions where that would call a function, for names and
/// keys, which have some 10 to 40 octets.
#[inline]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    /// Compares the first and the last `N` octets, which overlap where there are less than twice as many.
    #[inline]
    fn ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
        one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
    }
    one.len() == other.len()
        && match one.len() {
            8..=16 => ends::<8>(one, other),
            17..=32 => ends::<16>(one, other),
            4..8 => ends::<4>(one, other),
            2..4 => ends::<2>(one, other),
            0 => true,
            _ => one == other,
        }
}

impl fmt::Display for LowerName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_name(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        let name = Name::from_text("Web.Prod.SVC.cluster.local").unwrap();
        assert_eq!(name.wire(), b"\x03web\x04prod\x03svc\x07cluster\x05local\x00");
        assert_eq!(name.to_string(), "web.prod.svc.cluster.local.");
        assert_eq!(Name::from_text(".").unwrap(), Name::root());
        assert_eq!(Name::from_text("a\\.b.c.").unwrap().wire(), b"\x03a.b\x01c\x00");
        assert_eq!(Name::from_text("a\\.b.c.").unwrap().to_string(), "a\\.b.c.");
    }

    #[test]
    fn bad_texts_are_told_apart() {
        assert_eq!(Name::from_text("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::from_text(&"x".repeat(64)), Err(NameError::LongLabel));
        assert_eq!(Name::from_text(&"abc.".repeat(64)), Err(NameError::LongName));
        assert_eq!(Name::from_text("a\\25"), Err(NameError::BadEscape));
    }

    #[test]
    fn within_stops_at_label_borders() {
        let zone = Name::from_text("example.org").unwrap();
        for (name, expected) in
            [("example.org", true), ("a.example.org", true), ("notexample.org", false), ("org", false)]
        {
            assert_eq!(Name::from_text(name).unwrap().is_within(&zone), expected, "{name}");
            let mut buffer = NameBuffer::default();
            let wire = Name::from_text(name).unwrap();
            assert_eq!(buffer.lower(wire.wire()).unwrap().is_within(&zone), expected, "{name}");
        }
    }

    #[test]
    fn zones_below_others_are_left_out() {
        let names = |texts: &[&str]| texts.iter().map(|text| Name::from_text(text).unwrap()).collect::<Vec<_>>();
        let zones = names(&["a.org", "b.a.org", "xa.org", "a.org", "com"]);
        assert_eq!(Name::outermost(&zones), names(&["a.org", "xa.org", "com"]));
        assert_eq!(Name::outermost(&names(&["cluster.local", ".", "org"])), names(&["."]));
    }

    #[test]
    fn a_question_name_is_lowered_with_its_labels() {
        let mut buffer = NameBuffer::default();
        let name = buffer.lower(b"\x03wWw\x07EXAMPLE\x03org\x00rest").unwrap();
        assert_eq!(name.wire(), b"\x03www\x07example\x03org\x00");
        assert_eq!((name.label_count(), name.label(1), name.suffix(1)), (3, &b"example"[..], &b"\x03org\x00"[..]));
        assert_eq!(name.suffix(0), b"\x00");
    }

    #[test]
    fn same_is_equality() {
        let octets: Vec<u8> = (0..80).collect();
        for len in 0..80 {
            let one = &octets[..len];
            let copy = one.to_vec();
            assert!(same(one, &copy), "{len}");
            assert!(!same(one, &octets[..len + 1]), "{len}");
            for at in 0..len {
                let mut other = one.to_vec();
                other[at] ^= 1;
                assert!(!same(one, &other), "{at} of {len}");
            }
        }
    }

    #[test]
    fn cut_long_or_compressed_names_are_none() {
        let mut buffer = NameBuffer::default();
        assert!(buffer.lower(b"\x03ww").is_none());
        assert!(buffer.lower(b"\xc0\x0c").is_none());
        assert!(buffer.lower(b"").is_none());
        let mut long = [b"\x01a".as_slice(); 127].concat();
        long.push(0);
        assert_eq!(buffer.lower(&long).unwrap().label_count(), 127);
        let mut longer = [b"\x01a".as_slice(); 128].concat();
        longer.push(0);
        assert!(buffer.lower(&longer).is_none());
    }
}
