//! Durations: nanoseconds in 64 bits, as Go's.

use crate::corefile::values;
use std::time::Duration;

/// `1h30m`, `-1.5s`.
///
/// # Errors
/// What is wrong with the text.
pub(in super::super) fn read(text: &str) -> Result<i64, String> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) if !unsigned.starts_with(['+', '-']) => (true, unsigned),
        Some(_) => return Err(format!("'{text}' is no duration; expecting one sign, as -1h30m")),
        None => (false, text),
    };
    let duration = i64::try_from(values::duration(unsigned)?.as_nanos()).map_err(|why| why.to_string())?;
    Ok(if is_negative { -duration } else { duration })
}

/// As Go prints it: `1h30m0s`, `10s`, `1.5ms`.
pub(in super::super) fn shown(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let duration = Duration::from_nanos(nanoseconds.unsigned_abs());
    let (seconds, below) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && below > 0 {
        return format!("{sign}{duration:?}");
    }
    let fraction = if below > 0 { format!(".{below:09}").trim_end_matches('0').to_owned() } else { String::new() };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}{fraction}s"),
        (0, _) => format!("{sign}{minutes}m{rest}{fraction}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}{fraction}s"),
    }
}

/// The multiple of a step towards zero, or the nearest, halves away from zero.
pub(in super::super) fn rounded(nanoseconds: i64, step: i64, to_nearest: bool) -> i64 {
    if step <= 0 {
        return nanoseconds;
    }
    let (whole, step) = (i128::from(nanoseconds), i128::from(step));
    let over = whole % step;
    let away = if to_nearest && over.abs() * 2 >= step { over.signum() * step } else { 0 };
    let rounded = whole - over + away;
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}
