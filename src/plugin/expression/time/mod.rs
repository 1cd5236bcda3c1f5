//! Times, zones and durations, as Go has them: what `now`, `date`, `timezone` and `duration` give.
//!
//! Zones, their offsets and the calendar are jiff's; Go's layouts (`2006-01-02`) are [`layout`]'s.

mod duration;
mod layout;
mod read;
mod write;

pub(super) use duration::{read as read_duration, rounded as rounded_duration, shown as show_duration};
pub(super) use read::{read, read_any};
pub(super) use write::write;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone, TimeZoneOffsetInfo};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, LazyLock};

/// Go's `2006-01-02 15:04:05.999999999 -0700 MST`, which is a time as a string.
const SHOWN: &str = "2006-01-02 15:04:05.999999999 -0700 MST";
/// A time in JSON: RFC 3339 with what there is of a second.
const JSON: &str = "2006-01-02T15:04:05.999999999Z07:00";

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Where a time is looked at from.
#[derive(Clone, Debug)]
pub struct Zone {
    rules: TimeZone,
    /// As it was asked for; empty for an offset without a name.
    name: Arc<str>,
    /// Whether the name is what each of its times is called by, as `MST`, and not that of a place.
    is_fixed: bool,
}

/// The zone of this machine, looked up once, at load: no query waits for a file.
static LOCAL: LazyLock<Zone> = LazyLock::new(|| match TimeZone::try_system() {
    Ok(rules) if !rules.is_unknown() => Zone { rules, name: "Local".into(), is_fixed: false },
    _ => Zone::utc(),
});

impl Zone {
    pub(super) fn utc() -> Zone {
        Zone { rules: TimeZone::UTC, name: "UTC".into(), is_fixed: true }
    }

    /// The zone of this machine.
    pub(super) fn local() -> Zone {
        LOCAL.clone()
    }

    /// A zone of one offset.
    fn fixed(offset: Offset, name: &str) -> Zone {
        Zone { rules: TimeZone::fixed(offset), name: name.into(), is_fixed: true }
    }

    /// A zone of the tz database, which is looked for in files: only at load.
    ///
    /// # Errors
    /// There is none of this name, or no database on this machine.
    pub(super) fn named(name: &str) -> Result<Zone, String> {
        match name {
            "" | "UTC" => return Ok(Zone::utc()),
            "Local" => return Ok(Zone::local()),
            _ => {}
        }
        let rules = TimeZone::get(name).ok().filter(|rules| rules.iana_name() == Some(name));
        let rules = rules.ok_or_else(|| {
            format!("the timezone '{name}' is not known; expected a name of /usr/share/zoneinfo, as Europe/Berlin")
        })?;
        Ok(Zone { rules, name: name.into(), is_fixed: false })
    }

    /// A zone by its rules, as POSIX has them in `TZ`: for tests, which do not rest on the files of a machine.
    #[cfg(test)]
    pub(super) fn ruled(rules: &str) -> Zone {
        Zone { rules: TimeZone::posix(rules).expect("rules"), name: "ruled".into(), is_fixed: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How far it is ahead of UTC.
    fn offset(&self, at: i128) -> Offset {
        self.rules.to_offset(timestamp(at))
    }

    fn offset_info(&self, at: i128) -> TimeZoneOffsetInfo<'_> {
        self.rules.to_offset_info(timestamp(at))
    }

    /// What reads so on the clocks of this zone. As Go: what they skip, or show twice, is one of both.
    fn at(&self, shown: DateTime) -> i128 {
        let guess = self.offset(instant(shown, Offset::UTC));
        let offset = self.offset(instant(shown, guess));
        instant(shown, offset)
    }

    /// The offset that this zone, around a time, calls so, as `CEST`.
    fn called(&self, name: &str, shown: DateTime) -> Option<Offset> {
        if self.is_fixed {
            return (*self.name == *name).then(|| self.offset(0));
        }
        // Hours, for both sides of a change of the clocks; half a year, for winter and summer.
        let near = [0, 1, -1, 182, -182].map(|days| instant(shown, Offset::UTC) + days * 86_400 * SECOND);
        let known = near.map(|near| self.offset_info(near));
        let offsets: Vec<_> =
            known.iter().filter(|info| info.abbreviation() == name).map(TimeZoneOffsetInfo::offset).collect();
        let fits = |offset: &&Offset| self.offset_info(instant(shown, **offset)).abbreviation() == name;
        offsets.iter().find(fits).or(offsets.first()).copied()
    }
}

/// An instant, and where it is looked at from.
#[derive(Clone, Debug)]
pub struct Time {
    /// Nanoseconds since 1970.
    at: i128,
    zone: Zone,
}

/// A second in nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// 1970.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// For rules of zones: what is a day beyond those that have them is of the last.
fn timestamp(at: i128) -> Timestamp {
    Timestamp::from_nanosecond(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// When clocks that are so far ahead of UTC show this.
fn instant(shown: DateTime, offset: Offset) -> i128 {
    shown.duration_since(EPOCH).as_nanos() - i128::from(offset.seconds()) * SECOND
}

/// What the calendar of UTC shows; `None` outside of the years -9999 to 9999.
fn calendar(at: i128) -> Option<DateTime> {
    let (seconds, below) = (i64::try_from(at.div_euclid(SECOND)).ok()?, i32::try_from(at.rem_euclid(SECOND)).ok()?);
    EPOCH.checked_add(SignedDuration::new(seconds, below)).ok()
}

impl Time {
    /// A time by its nanoseconds since 1970.
    ///
    /// # Errors
    /// It is outside of the years -9999 to 9999.
    pub(super) fn new(at: i128, zone: Zone) -> Result<Time, String> {
        calendar(at).ok_or_else(far)?;
        Ok(Time { at, zone })
    }

    /// Nanoseconds since 1970.
    pub(super) fn instant(&self) -> i128 {
        self.at
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(super) fn within(&self, zone: Zone) -> Time {
        Time { at: self.at, zone }
    }

    /// What clocks and calendars show.
    pub(super) fn shown(&self) -> DateTime {
        let shown = calendar(self.at + i128::from(self.zone.offset(self.at).seconds()) * SECOND);
        shown.unwrap_or(if self.at < 0 { DateTime::MIN } else { DateTime::MAX })
    }

    pub(super) fn weekday(&self) -> u8 {
        self.shown().weekday().to_sunday_zero_offset().unsigned_abs()
    }

    pub(super) fn is_summer(&self) -> bool {
        self.zone.offset_info(self.at).dst().is_dst()
    }

    /// What its offset is called: `UTC`, `CEST`; for one without a name, the offset itself.
    pub(super) fn abbreviation(&self) -> String {
        match (self.zone.is_fixed, &*self.zone.name) {
            (true, "") => write::offset(self.zone.offset(self.at).seconds(), false, 2),
            (true, name) => name.to_owned(),
            (false, _) => self.zone.offset_info(self.at).abbreviation().to_owned(),
        }
    }

    /// So many nanoseconds later.
    pub(super) fn after(&self, nanoseconds: i64) -> Result<Time, String> {
        Time::new(self.at + i128::from(nanoseconds), self.zone.clone())
    }

    pub(super) fn before(&self, nanoseconds: i64) -> Result<Time, String> {
        Time::new(self.at - i128::from(nanoseconds), self.zone.clone())
    }

    /// From another time to this one in nanoseconds, at most what a duration holds.
    pub(super) fn since(&self, other: &Time) -> i64 {
        let between = self.at - other.at;
        i64::try_from(between).unwrap_or(if between < 0 { i64::MIN } else { i64::MAX })
    }

    /// Another day at the same hour; a day that a month does not have is one of the next.
    pub(super) fn another_day(&self, years: i64, months: i64, days: i64) -> Result<Time, String> {
        let shown = self.shown();
        let count = years.checked_mul(12).and_then(|sum| sum.checked_add(months)).ok_or_else(far)?;
        let count = count.checked_add(i64::from(shown.year()) * 12 + i64::from(shown.month()) - 1).ok_or_else(far)?;
        let year = i16::try_from(count.div_euclid(12)).map_err(|_| far())?;
        let month = i8::try_from(count.rem_euclid(12) + 1).map_err(|_| far())?;
        let first = Date::new(year, month, 1).map_err(|_| far())?.to_datetime(shown.time());
        let days =
            days.checked_add(i64::from(shown.day()) - 1).and_then(|days| days.checked_mul(24)).ok_or_else(far)?;
        let later = SignedDuration::try_from_hours(days).ok_or_else(far)?;
        let at = self.zone.at(first.checked_add(later).map_err(|_| far())?);
        Time::new(at, self.zone.clone())
    }

    /// The multiple of a duration at or before it, or the nearest, counted as Go does from the year 1.
    pub(super) fn rounded(&self, nanoseconds: i64, to_nearest: bool) -> Result<Time, String> {
        if nanoseconds <= 0 {
            return Ok(self.clone());
        }
        let step = i128::from(nanoseconds);
        let over = (self.at - ZERO).rem_euclid(step);
        let up = if to_nearest && over * 2 >= step { step } else { 0 };
        Time::new(self.at - over + up, self.zone.clone())
    }

    /// Whether it is Go's first, of the year 1.
    pub(super) fn is_zero(&self) -> bool {
        self.at == ZERO
    }

    /// As JSON has it.
    pub(super) fn json(&self) -> String {
        write(self, JSON)
    }
}

/// Midnight of the first day of the year 1.
const ZERO: i128 = -62_135_596_800 * SECOND;

fn far() -> String {
    "the time is outside of the years -9999 to 9999".to_owned()
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&write(self, SHOWN))
    }
}
