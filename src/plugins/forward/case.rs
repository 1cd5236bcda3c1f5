//! The case of a question's letters as a secret that a forger has to guess (draft-vixie-dnsext-dns0x20).
//!
//! Not every server repeats a question as it came, so an upstream is believed to only when it was seen to.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Replies in the very case after which an upstream is known to keep it.
const ENOUGH: u32 = 8;
/// Replies in another case, from one that was known to keep it, after which it is not believed to any more.
const TOO_MANY: u32 = 16;
/// The count that says that case is not kept.
const LOST: u32 = u32::MAX;

/// What is known of one upstream.
#[derive(Default)]
pub(super) struct Case {
    /// How often it was seen to keep the case.
    kept: AtomicU32,
    /// How often it did not, after that.
    differed: AtomicU32,
}

/// What is to become of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judgement {
    Take,
    AskAgain,
}

impl Case {
    /// Which letters are to be upper case, from these dice; `None` where the question goes as the client wrote it.
    pub fn pattern(&self, dice: u64) -> Option<u64> {
        (self.kept.load(Relaxed) != LOST).then_some(dice)
    }

    /// Judges a reply to the question, whose case is `exact` the one sent.
    pub fn judge(&self, exact: bool) -> Judgement {
        let kept = self.kept.load(Relaxed);
        match (exact, kept) {
            (_, LOST) => Judgement::Take,
            (true, _) => {
                if kept < ENOUGH {
                    // Two at once count as one.
                    self.kept.store(kept + 1, Relaxed);
                }
                Judgement::Take
            }
            (false, ENOUGH..) => {
                if self.differed.fetch_add(1, Relaxed) >= TOO_MANY {
                    self.give_up();
                }
                Judgement::AskAgain
            }
            (false, _) => {
                self.give_up();
                Judgement::Take
            }
        }
    }

    /// The case is not kept, or so it has to be taken.
    pub fn give_up(&self) {
        self.kept.store(LOST, Relaxed);
    }
}

/// Gives the letters of a name in wire form, which starts at `start` of its message, the case of the pattern.
pub(super) fn apply(name: &mut [u8], pattern: u64) {
    for (octets, upper) in name.chunks_mut(WORD).zip(uppers(pattern)) {
        let sent = letters(word(octets), upper).to_le_bytes();
        octets.copy_from_slice(&sent[..octets.len()]);
    }
}

/// Whether two names in wire form are the same, case apart; if so, whether the second is the first in this pattern.
pub(super) fn compare(name: &[u8], seen: &[u8], pattern: Option<u64>) -> Option<bool> {
    if name.len() != seen.len() {
        return None;
    }
    let is_exact = match pattern {
        None => name == seen,
        Some(pattern) => {
            let words = name.chunks(WORD).map(word).zip(seen.chunks(WORD).map(word));
            words.zip(uppers(pattern)).all(|((own, seen), upper)| letters(own, upper) == seen)
        }
    };
    (is_exact || name.eq_ignore_ascii_case(seen)).then_some(is_exact)
}

/// Octets that are looked at together: one at a time took as long as the rest of what a reply is held to.
const WORD: usize = 8;

/// Up to eight octets, the first one lowest; zeros, which are no letters, behind them.
fn word(octets: &[u8]) -> u64 {
    match octets.first_chunk() {
        Some(octets) => u64::from_le_bytes(*octets),
        None => octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)),
    }
}

/// A word with this octet at each place.
fn each(octet: u8) -> u64 {
    u64::from_ne_bytes([octet; WORD])
}

/// For each word of a name which of its letters are upper case, the first one's bit lowest.
fn uppers(pattern: u64) -> impl Iterator<Item = u8> {
    pattern.to_le_bytes().into_iter().cycle()
}

/// The letters of a word in upper case where `upper` has a bit, in lower case elsewhere. What is no letter stays, as do
/// lengths of labels, which are below the letters.
fn letters(word: u64, upper: u8) -> u64 {
    // Sums of seven bits: the eighth of each octet says whether it has come so far.
    let lower = (word | each(0x20)) & each(0x7f);
    let from_a = lower + each(0x80 - b'a');
    let behind_z = lower + each(0x7f - b'z');
    let is_letter = from_a & !behind_z & !word & each(0x80);
    // The octet at each place keeps the bit of that place, and has its eighth if that is set.
    let bit = each(upper) & 0x8040_2010_0804_0201;
    let is_upper = ((bit & each(0x7f)) + each(0x7f)) | bit;
    let case = is_letter >> 2;
    (word & !case) | (case & !(is_upper >> 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03WwW\x09ex-mp1e_z\x00";

    #[test]
    fn letters_change_and_nothing_else_does() {
        let mut patterns = std::collections::HashSet::new();
        for pattern in (0..1000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let mut name = NAME.to_vec();
            apply(&mut name, pattern);
            assert!(name.eq_ignore_ascii_case(NAME));
            assert_eq!(compare(NAME, &name, Some(pattern)), Some(true));
            patterns.insert(name);
        }
        assert!(patterns.len() > 400, "of 1024 for ten letters: {}", patterns.len());
        assert_eq!(compare(NAME, b"\x03www\x09ex-mp1e_z\x00", Some(u64::MAX)), Some(false));
        assert_eq!(compare(NAME, NAME, None), Some(true));
        assert_eq!(compare(NAME, b"\x03www\x09ex-mp1e_y\x00", None), None);
        assert_eq!(compare(NAME, b"\x00", None), None);
    }

    #[test]
    fn every_octet_at_every_place_has_its_bit() {
        for (octet, place) in (0..=u8::MAX).flat_map(|octet| (0..70).map(move |place| (octet, place))) {
            for pattern in [0, u64::MAX, 1 << (place % 64), !(1 << (place % 64))] {
                let mut name = vec![octet; place + 1];
                apply(&mut name, pattern);
                let is_upper = pattern >> (place % 64) & 1 == 1;
                let wanted = if is_upper { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() };
                assert_eq!(name[place], wanted, "{octet:#x} at {place}, {pattern:#x}");
            }
        }
    }

    #[test]
    fn one_that_loses_it_at_once_is_taken_as_it_is() {
        let case = Case::default();
        assert_eq!(case.judge(false), Judgement::Take);
        assert_eq!((case.pattern(7), case.judge(false)), (None, Judgement::Take));
    }

    #[test]
    fn one_that_kept_it_is_asked_again() {
        let case = Case::default();
        (0..ENOUGH).for_each(|_| assert_eq!(case.judge(true), Judgement::Take));
        for _ in 0..=TOO_MANY {
            assert_eq!(case.pattern(7), Some(7));
            assert_eq!(case.judge(false), Judgement::AskAgain);
            assert_eq!(case.judge(true), Judgement::Take);
        }
        assert_eq!(case.pattern(7), None, "it has changed");
    }
}
