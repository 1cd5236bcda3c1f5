//! Go's layouts: a time is written as the second of January 2006, 15:04:05, would be.

/// A part of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'l> {
    Literal(&'l str),
    Year,
    /// Two digits.
    ShortYear,
    Month(Digits),
    MonthName {
        is_long: bool,
    },
    WeekdayName {
        is_long: bool,
    },
    Day(Digits),
    YearDay(Digits),
    Hour,
    /// Of twelve.
    HalfDayHour(Digits),
    Minute(Digits),
    Second(Digits),
    /// `PM`, or `pm`.
    HalfDay {
        is_upper: bool,
    },
    /// `MST`.
    ZoneName,
    /// `Z07:00`, `-0700`: whether `Z` is UTC, whether colons stand in it, and of hours, minutes, seconds what.
    Offset {
        with_z: bool,
        with_colons: bool,
        parts: usize,
    },
    /// `.000`, or `.999`, which ends at the last digit that is none of 0; a comma may be the point.
    Fraction {
        point: char,
        digits: usize,
        is_exact: bool,
    },
}

/// How a number of at most two or three digits stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    Few,
    Zeros,
    Blanks,
}

const fn offset(with_z: bool, with_colons: bool, parts: usize) -> Part<'static> {
    Part::Offset { with_z, with_colons, parts }
}

/// What stands for a part; of two that begin alike, the longer first.
const WORDS: &[(&str, Part<'static>)] = &[
    ("January", Part::MonthName { is_long: true }),
    ("Jan", Part::MonthName { is_long: false }),
    ("Monday", Part::WeekdayName { is_long: true }),
    ("Mon", Part::WeekdayName { is_long: false }),
    ("MST", Part::ZoneName),
    ("002", Part::YearDay(Digits::Zeros)),
    ("01", Part::Month(Digits::Zeros)),
    ("02", Part::Day(Digits::Zeros)),
    ("03", Part::HalfDayHour(Digits::Zeros)),
    ("04", Part::Minute(Digits::Zeros)),
    ("05", Part::Second(Digits::Zeros)),
    ("06", Part::ShortYear),
    ("15", Part::Hour),
    ("1", Part::Month(Digits::Few)),
    ("2006", Part::Year),
    ("2", Part::Day(Digits::Few)),
    ("__2", Part::YearDay(Digits::Blanks)),
    ("_2", Part::Day(Digits::Blanks)),
    ("3", Part::HalfDayHour(Digits::Few)),
    ("4", Part::Minute(Digits::Few)),
    ("5", Part::Second(Digits::Few)),
    ("PM", Part::HalfDay { is_upper: true }),
    ("pm", Part::HalfDay { is_upper: false }),
    ("-07:00:00", offset(false, true, 3)),
    ("-070000", offset(false, false, 3)),
    ("-07:00", offset(false, true, 2)),
    ("-0700", offset(false, false, 2)),
    ("-07", offset(false, false, 1)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00", offset(true, true, 2)),
    ("Z0700", offset(true, false, 2)),
    ("Z07", offset(true, false, 1)),
];

/// The parts of a layout.
pub(super) fn parts(layout: &str) -> Vec<Part<'_>> {
    let (mut parts, mut literal, mut at) = (Vec::new(), 0, 0);
    while let Some(next) = layout[at..].chars().next() {
        let Some((part, length)) = part(&layout[at..]) else {
            at += next.len_utf8();
            continue;
        };
        parts.extend((at > literal).then(|| Part::Literal(&layout[literal..at])));
        parts.push(part);
        at += length;
        literal = at;
    }
    parts.extend((at > literal).then(|| Part::Literal(&layout[literal..])));
    parts
}

/// The part that a layout begins with, and its length.
fn part(layout: &str) -> Option<(Part<'static>, usize)> {
    if let Some(fraction) = fraction(layout) {
        return Some(fraction);
    }
    let fits = |(word, part): &&(&str, Part<'static>)| match part {
        // `Month` is no month.
        Part::MonthName { is_long: false } | Part::WeekdayName { is_long: false } => layout
            .strip_prefix(word)
            .is_some_and(|behind| !behind.starts_with(|letter: char| letter.is_ascii_lowercase())),
        // `_2006` is a year behind a line.
        Part::Day(Digits::Blanks) => layout.starts_with(word) && !layout.starts_with("_2006"),
        _ => layout.starts_with(word),
    };
    WORDS.iter().find(fits).map(|(word, part)| (*part, word.len()))
}

/// `.000` or `,999`, no other digit behind it.
fn fraction(layout: &str) -> Option<(Part<'static>, usize)> {
    let point = layout.chars().next().filter(|point| matches!(point, '.' | ','))?;
    let rest = &layout[1..];
    let digit = rest.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let behind = rest.trim_start_matches(digit);
    let digits = rest.len() - behind.len();
    let ends = !behind.starts_with(|next: char| next.is_ascii_digit());
    ends.then_some((Part::Fraction { point, digits, is_exact: digit == '0' }, digits + 1))
}
