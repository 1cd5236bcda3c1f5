//! A short run of octets, kept where its owner is.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Octets that fit with their length into four words.
const SHORT: usize = 30;

/// A run of octets that never changes: in place up to 30 of them, else behind a pointer that copies share. What is
/// looked up by its octets is compared without another fetch from memory.
#[derive(Clone)]
pub enum Octets {
    /// The first of these octets.
    Short(u8, [u8; SHORT]),
    /// More than 30.
    Long(Arc<[u8]>),
}

impl From<&[u8]> for Octets {
    fn from(octets: &[u8]) -> Octets {
        if octets.len() > SHORT {
            return Octets::Long(octets.into());
        }
        let mut place = [0; SHORT];
        place[..octets.len()].copy_from_slice(octets);
        Octets::Short(octets.len() as u8, place)
    }
}

impl Octets {
    /// Octets that it has elsewhere than in its place: each of those that share them has its part.
    pub fn octets_elsewhere(&self) -> usize {
        match self {
            Octets::Short(..) => 0,
            Octets::Long(octets) => octets.len() / Arc::strong_count(octets),
        }
    }
}

impl Deref for Octets {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Octets::Short(len, place) => &place[..usize::from(*len)],
            Octets::Long(octets) => octets,
        }
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Octets) -> bool {
        **self == **other
    }
}

impl Eq for Octets {}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_are_what_they_were_made_of() {
        let all: Vec<u8> = (0..=255).collect();
        for len in [0, 1, 29, 30, 31, 255] {
            let octets = Octets::from(&all[..len]);
            assert_eq!(*octets, all[..len]);
            assert_eq!(octets, octets.clone());
            assert_eq!(matches!(octets, Octets::Short(..)), len <= SHORT);
        }
        assert_ne!(Octets::from(&b"a"[..]), Octets::from(&b"a\0"[..]));
        assert_eq!(size_of::<Octets>(), 32);
    }
}
