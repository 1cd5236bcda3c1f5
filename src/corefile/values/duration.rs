//! Durations as Go writes them.

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::{char, digit0};
use nom::combinator::{all_consuming, map_opt, opt, value};
use nom::multi::fold_many1;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::time::Duration;

/// The longest duration in nanoseconds: Go's, some 292 years.
const MAX: u128 = i64::MAX as u128;

/// A duration as Go writes it: numbers with units, as `1h30m`, `500ms`, `1.5s`. `0` needs no unit.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn duration(word: &str) -> Result<Duration, String> {
    let unsigned = word.strip_prefix('+').unwrap_or(word);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if let Ok((_, nanoseconds)) = all_consuming(parts).parse(unsigned) {
        return nanoseconds
            .filter(|&sum| sum <= MAX)
            .map(|sum| Duration::from_nanos(u64::try_from(sum).unwrap_or(u64::MAX)))
            .ok_or_else(|| format!("'{word}' is too long a duration"));
    }
    Err(match word.strip_prefix('-') {
        Some(positive) if duration(positive).is_ok() => format!("'{word}' is negative; expecting a positive duration"),
        _ if unsigned.parse::<f64>().is_ok_and(f64::is_finite) => {
            format!("'{word}' has no unit; expecting a duration, as {unsigned}s")
        }
        _ => format!("'{word}' is no duration; expecting numbers with units (ns us ms s m h), as 500ms or 1h30m"),
    })
}

/// A duration, where a bare whole number means seconds.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn seconds(word: &str) -> Result<Duration, String> {
    match word.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => duration(word),
    }
}

/// The sum of all parts in nanoseconds; `None` past what 128 bits hold.
fn parts(input: &str) -> IResult<&str, Option<u128>> {
    let add = |sum: Option<u128>, part: Option<u128>| sum?.checked_add(part?);
    fold_many1(part, || Some(0), add).parse(input)
}

/// `1.5h`: a number with or without a fraction, and a unit.
fn part(input: &str) -> IResult<&str, Option<u128>> {
    let fraction = opt(preceded(char('.'), digit0));
    let number = map_opt((digit0, fraction), |(whole, fraction): (&str, Option<&str>)| {
        let fraction = fraction.unwrap_or("");
        (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction))
    });
    let (rest, ((whole, fraction), unit)) = (number, unit).parse(input)?;
    Ok((rest, nanoseconds(whole, fraction, unit)))
}

/// The unit in nanoseconds. Both letters that look like a micro sign are taken.
fn unit(input: &str) -> IResult<&str, u128> {
    alt((
        value(1, tag("ns")),
        value(1_000, alt((tag("us"), tag("µs"), tag("μs")))),
        value(1_000_000, tag("ms")),
        value(1_000_000_000, tag("s")),
        value(60 * 1_000_000_000, tag("m")),
        value(3_600 * 1_000_000_000, tag("h")),
    ))
    .parse(input)
}

/// What is below a nanosecond is dropped, and so is what stands behind 18 digits of the fraction.
fn nanoseconds(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    read(whole)?.checked_mul(unit)?.checked_add(read(fraction)?.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_durations() {
        let table = [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1m1ms", 60_001_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("1.9ns", 1),
            ("0.3333333333333333333333333h", 1_199_999_999_999),
            ("2562047h47m16.854775807s", i64::MAX as u64),
        ];
        for (word, nanoseconds) in table {
            assert_eq!(duration(word), Ok(Duration::from_nanos(nanoseconds)), "{word}");
        }
    }

    #[test]
    fn bad_durations() {
        let table = [
            ("5", "has no unit; expecting a duration, as 5s"),
            ("1.5", "has no unit; expecting a duration, as 1.5s"),
            ("-5s", "is negative"),
            ("", "is no duration"),
            ("s", "is no duration"),
            (".s", "is no duration"),
            ("5 s", "is no duration"),
            ("5S", "is no duration"),
            ("5d", "is no duration"),
            ("5s}", "is no duration"),
            ("--5s", "is no duration"),
            ("inf", "is no duration"),
            ("2562047h47m16.854775808s", "is too long"),
            ("99999999999999999999999999999999999999999h", "is too long"),
        ];
        for (word, why) in table {
            let error = duration(word).expect_err(word);
            assert!(error.starts_with(&format!("'{word}' {why}")), "{word}: {error}");
        }
    }

    #[test]
    fn bare_numbers_may_be_seconds() {
        assert_eq!(seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(seconds("1m"), Ok(Duration::from_secs(60)));
        assert!(seconds("-1").is_err_and(|why| why.contains("'-1'")));
        assert!(seconds("1.5").is_err());
    }
}
