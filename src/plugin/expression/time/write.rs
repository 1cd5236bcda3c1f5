//! A time as text.

use super::layout::{Digits, Part, parts};
use super::{MONTHS, Time, WEEKDAYS};
use std::fmt::Write;

/// The time as a layout has it.
pub(in super::super) fn write(time: &Time, layout: &str) -> String {
    let mut text = String::new();
    for part in parts(layout) {
        // Writing into a string does not fail.
        let _ = one(time, part, &mut text);
    }
    text
}

fn one(time: &Time, part: Part<'_>, text: &mut String) -> std::fmt::Result {
    let shown = time.shown();
    let hour = shown.hour();
    match part {
        Part::Literal(literal) => text.write_str(literal),
        Part::Year if shown.year() < 0 => write!(text, "-{:04}", shown.year().unsigned_abs()),
        Part::Year => write!(text, "{:04}", shown.year()),
        Part::ShortYear => write!(text, "{:02}", shown.year().rem_euclid(100)),
        Part::Month(digits) => number(text, shown.month().into(), digits, 2),
        Part::MonthName { is_long } => name(text, &MONTHS, usize::from(shown.month().unsigned_abs()) - 1, is_long),
        Part::WeekdayName { is_long } => name(text, &WEEKDAYS, time.weekday().into(), is_long),
        Part::Day(digits) => number(text, shown.day().into(), digits, 2),
        Part::YearDay(digits) => number(text, shown.day_of_year(), digits, 3),
        Part::Hour => number(text, hour.into(), Digits::Zeros, 2),
        Part::HalfDayHour(digits) => number(text, if hour % 12 == 0 { 12 } else { hour % 12 }.into(), digits, 2),
        Part::Minute(digits) => number(text, shown.minute().into(), digits, 2),
        Part::Second(digits) => number(text, shown.second().into(), digits, 2),
        Part::HalfDay { is_upper } => text.write_str(match (hour >= 12, is_upper) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }),
        Part::ZoneName => text.write_str(&time.abbreviation()),
        Part::Offset { with_z, with_colons, parts } => match time.zone.offset(time.at).seconds() {
            0 if with_z => text.write_str("Z"),
            seconds => text.write_str(&offset(seconds, with_colons, parts)),
        },
        Part::Fraction { point, digits, is_exact } => {
            let nanoseconds = format!("{:09}", shown.subsec_nanosecond());
            let kept = format!("{:0<digits$}", &nanoseconds[..digits.min(9)]);
            let kept = if is_exact { &kept } else { kept.trim_end_matches('0') };
            if kept.is_empty() { Ok(()) } else { write!(text, "{point}{kept}") }
        }
    }
}

fn number(text: &mut String, number: i16, digits: Digits, width: usize) -> std::fmt::Result {
    match digits {
        Digits::Few => write!(text, "{number}"),
        Digits::Zeros => write!(text, "{number:0width$}"),
        Digits::Blanks => write!(text, "{number:width$}"),
    }
}

fn name(text: &mut String, names: &[&str], at: usize, is_long: bool) -> std::fmt::Result {
    let name = names.get(at).copied().unwrap_or_default();
    text.write_str(if is_long { name } else { &name[..name.len().min(3)] })
}

/// An offset from UTC in seconds: `+02`, `+0200`, `+02:00:00`.
pub(super) fn offset(seconds: i32, with_colons: bool, parts: usize) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (colon, seconds) = (if with_colons { ":" } else { "" }, seconds.unsigned_abs());
    let mut text = format!("{sign}{:02}", seconds / 3600);
    for below in [seconds / 60 % 60, seconds % 60].iter().take(parts.saturating_sub(1)) {
        let _ = write!(text, "{colon}{below:02}");
    }
    text
}
