//! Values and their kinds.

use super::time::{MONTHS, Time, WEEKDAYS, Zone, show_duration};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The value of an expression or a part of it. Cheap to clone.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Value {
    Nil,
    Truth(bool),
    Integer(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<[Value]>),
    Map(Arc<BTreeMap<Arc<str>, Value>>),
    Time(Arc<Time>),
    /// In nanoseconds.
    Duration(i64),
    Zone(Arc<Zone>),
    /// From 1.
    Month(u8),
    /// From 0, which is Sunday.
    Weekday(u8),
}

/// What is known of a value at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// Anything: only the query will tell.
    Any,
    Nil,
    Truth,
    Integer,
    /// A float, or an integer where the query decides.
    Number,
    Text,
    List,
    Map,
    Time,
    Duration,
    Zone,
    Month,
    Weekday,
}

impl From<Time> for Value {
    fn from(time: Time) -> Value {
        Value::Time(time.into())
    }
}

impl From<Zone> for Value {
    fn from(zone: Zone) -> Value {
        Value::Zone(zone.into())
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().into())
    }

    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Nil => Kind::Nil,
            Value::Truth(_) => Kind::Truth,
            Value::Integer(_) => Kind::Integer,
            Value::Float(_) => Kind::Number,
            Value::Text(_) => Kind::Text,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
            Value::Time(_) => Kind::Time,
            Value::Duration(_) => Kind::Duration,
            Value::Zone(_) => Kind::Zone,
            Value::Month(_) => Kind::Month,
            Value::Weekday(_) => Kind::Weekday,
        }
    }

    /// The number, of either form.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The order of two numbers, texts, times or durations; `None` for anything else.
    pub(super) fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Integer(a), Value::Integer(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.instant().cmp(&b.instant())),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }
}

/// Numbers are equal over both forms; values of different kinds never are.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Truth(a), Value::Truth(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a.instant() == b.instant(),
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Zone(a), Value::Zone(b)) => a.name() == b.name(),
            (Value::Month(a), Value::Month(b)) | (Value::Weekday(a), Value::Weekday(b)) => a == b,
            (a, b) => a.number().is_some_and(|a| b.number() == Some(a)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("<nil>"),
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => f.write_str(&float(*number)),
            Value::Text(text) => f.write_str(text),
            Value::Time(time) => write!(f, "{time}"),
            Value::Duration(nanoseconds) => f.write_str(&show_duration(*nanoseconds)),
            Value::Zone(zone) => f.write_str(zone.name()),
            Value::Month(month) => f.write_str(MONTHS[usize::from(*month).saturating_sub(1) % 12]),
            Value::Weekday(day) => f.write_str(WEEKDAYS[usize::from(*day) % 7]),
            Value::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, item)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{item}", if at > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// As Go prints a float: the shortest digits that tell it from others, with an exponent if that is below -4 or above 5.
fn float(number: f64) -> String {
    let shortest = format!("{number:e}");
    match shortest.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((_, -4..=5)) => number.to_string(),
        Some((digits, exponent)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        None if number.is_nan() => "NaN".to_owned(),
        None => if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
    }
}

impl Kind {
    /// Whether a value of this kind may stand where `wanted` is expected.
    pub(super) fn may_be(self, wanted: Kind) -> bool {
        match (self, wanted) {
            (Kind::Any, _) | (_, Kind::Any) => true,
            (Kind::Integer, Kind::Number) | (Kind::Number, Kind::Integer) => true,
            (own, wanted) => own == wanted,
        }
    }

    /// Whether values of other kinds never are equal to one of this, while the mistake is an easy one: `weekday in [0, 6]`.
    pub(super) fn is_of_times(self) -> bool {
        matches!(self, Kind::Time | Kind::Duration | Kind::Zone | Kind::Month | Kind::Weekday)
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Number)
    }

    /// The kind of what is of one of two kinds.
    pub(super) fn or(self, other: Kind) -> Kind {
        match (self, other) {
            (own, other) if own == other => own,
            (own, other) if own.is_number() && other.is_number() => Kind::Number,
            _ => Kind::Any,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Any => "any value",
            Kind::Nil => "nil",
            Kind::Truth => "true or false",
            Kind::Integer => "an integer",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::List => "an array",
            Kind::Map => "a map",
            Kind::Time => "a time",
            Kind::Duration => "a duration",
            Kind::Zone => "a timezone",
            Kind::Month => "a month",
            Kind::Weekday => "a weekday",
        })
    }
}
