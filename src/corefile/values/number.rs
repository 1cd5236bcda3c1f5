//! Whole numbers in a range.

use std::ops::RangeInclusive;

/// A whole number in a range, both ends included. A range up to `u64::MAX` has no upper end in messages.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn integer(word: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let expected = match (*range.start(), *range.end()) {
        (0, u64::MAX) => "expecting a whole number".to_owned(),
        (least, u64::MAX) => format!("expecting a whole number from {least}"),
        (least, most) => format!("expecting a whole number from {least} to {most}"),
    };
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("'{word}' is no number; {expected}"));
    }
    match word.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("'{word}' is out of range; {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_range() {
        for (word, number) in [("0", 0), ("1", 1), ("007", 7), ("+5", 5), ("65535", 65535)] {
            assert_eq!(integer(word, 0..=65535), Ok(number), "{word}");
        }
    }

    #[test]
    fn others_are_told_apart() {
        let table = [
            ("0", 1..=9, "'0' is out of range; expecting a whole number from 1 to 9"),
            ("-1", 0..=9, "'-1' is out of range; expecting a whole number from 0 to 9"),
            ("0", 1..=u64::MAX, "'0' is out of range; expecting a whole number from 1"),
            ("99999999999999999999", 0..=u64::MAX, "'99999999999999999999' is out of range; expecting a whole number"),
            ("", 0..=9, "'' is no number; expecting a whole number from 0 to 9"),
            ("+", 0..=9, "'+' is no number; expecting a whole number from 0 to 9"),
            ("5s", 0..=9, "'5s' is no number; expecting a whole number from 0 to 9"),
            ("1.5", 0..=9, "'1.5' is no number; expecting a whole number from 0 to 9"),
            ("+-5", 0..=9, "'+-5' is no number; expecting a whole number from 0 to 9"),
        ];
        for (word, range, why) in table {
            assert_eq!(integer(word, range), Err(why.to_owned()));
        }
    }
}
