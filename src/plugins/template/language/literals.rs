//! Literals, as Go writes them.

use super::super::value::Value;

/// A text in quotes, or between backquotes as it stands. `None` for a word without any.
pub(super) fn text(word: &str) -> Option<Result<String, String>> {
    match word.as_bytes() {
        [b'"', .., b'"'] => Some(serde_json::from_str(word).map_err(|why| format!("{word}: {why}"))),
        [b'`', inner @ .., b'`'] => Some(Ok(String::from_utf8_lossy(inner).into_owned())),
        _ => None,
    }
}

/// An integer or a float.
pub(super) fn number(word: &str) -> Option<Value> {
    integer(word).map(Value::Number).or_else(|| float(word).map(Value::Float))
}

/// An integer: with a sign, `0x`, `0o`, `0b` or a zero in front, `_` between digits.
fn integer(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let plain = digits.replace('_', "").to_ascii_lowercase();
    let (plain, base) = match plain.as_bytes() {
        [b'0', b'x', ..] => (&plain[2..], 16),
        [b'0', b'o', ..] => (&plain[2..], 8),
        [b'0', b'b', ..] => (&plain[2..], 2),
        [b'0', _, ..] => (&plain[1..], 8),
        _ => (&plain[..], 10),
    };
    let is_plain = plain.starts_with(|digit: char| digit.is_ascii_alphanumeric());
    i64::from_str_radix(plain, base).ok().filter(|_| is_plain).map(|number| sign * number)
}

/// A float of decimal digits, with a point or an exponent.
fn float(word: &str) -> Option<f64> {
    let plain = word.replace('_', "");
    let is_float = plain.contains(['.', 'e', 'E']);
    let is_plain = plain.chars().all(|one| one.is_ascii_digit() || ".eE+-".contains(one));
    plain.parse().ok().filter(|number: &f64| is_float && is_plain && number.is_finite())
}
