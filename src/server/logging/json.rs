//! The log's other form, `--log-format json`: one object a line.
//!
//! `{"time":"2026-01-31T12:00:00.123Z","level":"warning","target":"plugin/forward","message":"…","fields":{…}}`: the
//! time in UTC (RFC 3339), the level `fatal`, `error`, `warning`, `info` or `debug`, what an event says beside its
//! message in `fields`, which is left out where there is nothing. JSON escapes control characters, so an object is one
//! line.

use super::MAX_LINE;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// An event as an object.
pub(super) fn line(event: &Event<'_>, now: SystemTime) -> String {
    let mut said = Said::default();
    event.record(&mut said);
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    };
    object(now, level, event.metadata().target(), &said.message, said.fields)
}

/// A line of the program itself as an object.
pub(super) fn of_text(level: &str, text: &str, now: SystemTime) -> String {
    object(now, level, "dunlin", text, Map::new())
}

fn object(now: SystemTime, level: &str, target: &str, message: &str, fields: Map<String, Value>) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut line = format!(
        "{{\"time\":\"{}\",\"level\":\"{level}\",\"target\":{},\"message\":{}",
        time(now),
        text(target),
        text(&cut(message))
    );
    if !fields.is_empty() {
        line += &format!(",\"fields\":{}", Value::from(fields));
    }
    line + "}\n"
}

/// The message and the fields of an event, each cut where it is too long.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn add(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, cut(&format!("{value:?}")).into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            _ => self.add(field, cut(value).into()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, json!(value));
    }
}

fn cut(text: &str) -> String {
    match text.len() > MAX_LINE {
        true => format!("{}…", &text[..text.floor_char_boundary(MAX_LINE)]),
        false => text.to_owned(),
    }
}

/// A time in UTC to the millisecond.
fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", second % 60, since.subsec_millis())
}

/// The Gregorian date of a day since 1970-01-01. Years begin in March here, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_text_is_one_object_on_one_line() {
        let line = of_text("fatal", "a\n\"b\"\u{1b}", UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({"time": "1970-01-01T00:00:00.000Z", "level": "fatal", "target": "dunlin", "message": "a\n\"b\"\u{1b}"});
        assert_eq!(value, expected);
        assert!(of_text("info", &"é".repeat(5000), UNIX_EPOCH).len() < MAX_LINE + 120);
    }
}
