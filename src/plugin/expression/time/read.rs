//! Text to a time, by a layout.

use super::layout::{Digits, Part, parts};
use super::{MONTHS, Time, WEEKDAYS, Zone, instant};
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// What `date` takes without a layout.
const LAYOUTS: &[&str] = &[
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    // RFC 3339, RFC 822, RFC 850, RFC 1123.
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
];

/// Reads a time in any of the usual layouts; where it does not say its zone, it is one of `zone`.
///
/// # Errors
/// It has none of them.
pub(in super::super) fn read_any(text: &str, zone: Option<&Zone>) -> Result<Time, String> {
    let read = LAYOUTS.iter().find_map(|layout| read(text, layout, zone).ok());
    read.ok_or_else(|| {
        format!("'{text}' is no date; expected one such as 2023-08-14, 2023-08-14 15:04:05 or 2023-08-14T15:04:05Z")
    })
}

/// Reads a time by a layout; where it does not say its zone, it is one of `zone`, else UTC.
///
/// # Errors
/// The text does not have the layout, or there is no such day or hour.
pub(in super::super) fn read(text: &str, layout: &str, zone: Option<&Zone>) -> Result<Time, String> {
    let parts = parts(layout);
    let mut reading = Reading { rest: text, found: Found::default() };
    for (at, part) in parts.iter().enumerate() {
        let with_fraction = !matches!(parts.get(at + 1), Some(Part::Fraction { .. }));
        reading.part(*part, with_fraction).ok_or_else(|| {
            format!("'{text}' is no date of the layout '{layout}': '{}' does not fit there", reading.rest)
        })?;
    }
    if !reading.rest.is_empty() {
        return Err(format!("'{text}' is no date of the layout '{layout}': '{}' is too much", reading.rest));
    }
    let shown = reading.found.shown().ok_or_else(|| format!("'{text}' is no date: there is no such day or hour"))?;
    reading.found.time(shown, zone)
}

/// What is known of a time so far.
#[derive(Default)]
struct Found {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    is_afternoon: Option<bool>,
    is_utc: bool,
    offset: Option<Offset>,
    zone_name: Option<String>,
}

impl Found {
    fn shown(&self) -> Option<DateTime> {
        let hour = match self.is_afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.year_day {
            Some(day) => {
                let date = Date::new(self.year, 1, 1).ok()?.with().day_of_year(day).build().ok()?;
                let differs = |own: Option<i8>, found: i8| own.is_some_and(|own| own != found);
                if differs(self.month, date.month()) || differs(self.day, date.day()) {
                    return None;
                }
                date
            }
            None => Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        date.at(0, 0, 0, 0)
            .with()
            .hour(hour)
            .minute(self.minute)
            .second(self.second)
            .build()
            .ok()
            .and_then(|shown| shown.with().subsec_nanosecond(self.nanosecond).build().ok())
    }

    fn time(&self, shown: DateTime, zone: Option<&Zone>) -> Result<Time, String> {
        let as_utc = instant(shown, Offset::UTC);
        if self.is_utc {
            return Time::new(as_utc, Zone::utc());
        }
        // What has the offset of where we look from is looked at from there, with its name.
        let local = zone.cloned().unwrap_or_else(Zone::local);
        let name = self.zone_name.as_deref();
        if let Some(offset) = self.offset {
            let at = instant(shown, offset);
            let here = Time::new(at, local)?;
            let is_here = here.zone.offset(at) == offset && name.is_none_or(|name| name == here.abbreviation());
            return if is_here { Ok(here) } else { Time::new(at, Zone::fixed(offset, name.unwrap_or(""))) };
        }
        if let Some(name) = name {
            if let Some(offset) = local.called(name, shown) {
                return Time::new(instant(shown, offset), local);
            }
            // As Go: a name that is not known is one of UTC, and `GMT+3` is only what it is shown as.
            let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
            let offset = Offset::from_hours(hours).map_err(|why| why.to_string())?;
            return Time::new(as_utc, Zone::fixed(offset, name));
        }
        let zone = zone.cloned().unwrap_or_else(Zone::utc);
        Time::new(zone.at(shown), zone)
    }
}

/// A text being read; what does not fit is `None`.
struct Reading<'t> {
    rest: &'t str,
    found: Found,
}

impl Reading<'_> {
    fn part(&mut self, part: Part<'_>, with_fraction: bool) -> Option<()> {
        match part {
            Part::Literal(literal) => self.literal(literal)?,
            Part::Year => self.found.year = self.digits(4, 4)?,
            Part::ShortYear => {
                let year = self.digits(2, 2)?;
                self.found.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Part::Month(digits) => self.found.month = Some(self.within(digits, 1..=12)?),
            Part::MonthName { is_long } => self.found.month = i8::try_from(self.name(&MONTHS, is_long)? + 1).ok(),
            // Go does not look whether it is that day's.
            Part::WeekdayName { is_long } => drop(self.name(&WEEKDAYS, is_long)?),
            Part::Day(digits) => self.found.day = Some(self.within(digits, 0..=99)?),
            Part::YearDay(digits) => {
                if digits == Digits::Blanks {
                    let blanks = self.rest.len() - self.rest.trim_start_matches(' ').len();
                    self.rest = &self.rest[blanks.min(2)..];
                }
                self.found.year_day = Some(self.digits(if digits == Digits::Zeros { 3 } else { 1 }, 3)?);
            }
            Part::Hour => self.found.hour = self.within(Digits::Few, 0..=23)?,
            Part::HalfDayHour(digits) => self.found.hour = self.within(digits, 0..=12)?,
            Part::Minute(digits) => self.found.minute = self.within(digits, 0..=59)?,
            Part::Second(digits) => {
                self.found.second = self.within(digits, 0..=59)?;
                // A fraction may stand behind it that the layout does not tell of.
                if with_fraction {
                    self.fraction();
                }
            }
            Part::HalfDay { is_upper } => {
                let words = if is_upper { ["AM", "PM"] } else { ["am", "pm"] };
                let which = words.iter().position(|word| self.rest.starts_with(word))?;
                self.rest = &self.rest[2..];
                self.found.is_afternoon = Some(which == 1);
            }
            Part::ZoneName => self.zone_name()?,
            Part::Offset { with_z: true, .. } if self.take("Z") => self.found.is_utc = true,
            Part::Offset { with_colons, parts, .. } => self.offset(with_colons, parts)?,
            Part::Fraction { digits, is_exact: true, .. } => {
                let exact = self.rest.get(1..=digits)?;
                if !exact.bytes().all(|digit| digit.is_ascii_digit()) {
                    return None;
                }
                let behind = &self.rest[digits + 1..];
                self.rest = &self.rest[..=digits];
                self.fraction()?;
                self.rest = behind;
            }
            Part::Fraction { is_exact: false, .. } => drop(self.fraction()),
        }
        Some(())
    }

    fn take(&mut self, word: &str) -> bool {
        let behind = self.rest.strip_prefix(word);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Blanks stand for any number of them, except for none.
    fn literal(&mut self, literal: &str) -> Option<()> {
        let mut wanted = literal;
        while let Some(next) = wanted.chars().next() {
            if next == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                wanted = wanted.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
            } else {
                self.rest = self.rest.strip_prefix(next)?;
                wanted = &wanted[next.len_utf8()..];
            }
        }
        Some(())
    }

    /// A number of so many digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<i16> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        let number = if count < least { None } else { digits.parse().ok() }?;
        self.rest = rest;
        Some(number)
    }

    /// A number of one or two digits.
    fn within(&mut self, digits: Digits, range: std::ops::RangeInclusive<i16>) -> Option<i8> {
        if digits == Digits::Blanks {
            self.take(" ");
        }
        let before = self.rest;
        let number = self.digits(if digits == Digits::Zeros { 2 } else { 1 }, 2)?;
        if !range.contains(&number) {
            self.rest = before;
            return None;
        }
        i8::try_from(number).ok()
    }

    /// The place of a name in a list, in letters of either case.
    fn name(&mut self, names: &[&str], is_long: bool) -> Option<usize> {
        let length = |name: &str| if is_long { name.len() } else { 3 };
        let begins = |name: &&str| {
            let begin = self.rest.get(..length(name));
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(&name[..length(name)]))
        };
        let place = names.iter().position(begins)?;
        self.rest = &self.rest[length(names[place])..];
        Some(place)
    }

    /// `.5` or `,5`, if it stands there; what is below a nanosecond is dropped.
    fn fraction(&mut self) -> Option<()> {
        let digits = self.rest.strip_prefix(['.', ','])?;
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = digits.split_at(count);
        let kept = digits.get(..digits.len().min(9)).filter(|kept| !kept.is_empty())?;
        self.found.nanosecond = format!("{kept:0<9}").parse().ok()?;
        self.rest = rest;
        Some(())
    }

    /// `+02:00`.
    fn offset(&mut self, with_colons: bool, parts: usize) -> Option<()> {
        let is_west = self.rest.starts_with('-');
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let mut seconds = 0;
        for (part, (most, each)) in [(24, 3600), (59, 60), (59, 1)].into_iter().enumerate().take(parts) {
            if part > 0 && with_colons && !self.take(":") {
                return None;
            }
            seconds += i32::from(self.within(Digits::Zeros, 0..=most)?) * each;
        }
        self.found.offset = Some(Offset::from_seconds(if is_west { -seconds } else { seconds }).ok()?);
        Some(())
    }

    /// `UTC`, `CEST`, `GMT+3`, `+03`: three or four capitals, five that end with T, or hours.
    fn zone_name(&mut self) -> Option<()> {
        if self.take("UTC") {
            self.found.is_utc = true;
            return Some(());
        }
        let hours = |text: &str| {
            let digits = text.strip_prefix(['+', '-'])?;
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            digits[..count].parse::<u32>().ok().filter(|hours| *hours <= 23).map(|_| count + 1)
        };
        let capitals = self.rest.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
        let length = match capitals {
            _ if self.rest.starts_with("ChST") || self.rest.starts_with("MeST") => 4,
            _ if self.rest.starts_with("GMT") => 3 + hours(&self.rest[3..]).unwrap_or(0),
            0 => hours(self.rest).filter(|length| *length > 1)?,
            3 => 3,
            4 if self.rest.as_bytes().get(3) == Some(&b'T') || self.rest.starts_with("WITA") => 4,
            5 if self.rest.as_bytes().get(4) == Some(&b'T') => 5,
            _ => return None,
        };
        let (name, rest) = self.rest.split_at(length);
        self.found.zone_name = Some(name.to_owned());
        self.rest = rest;
        Some(())
    }
}
