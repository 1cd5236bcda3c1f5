//! Functions of times and durations, and the methods of their values.

use super::super::evaluate::Run;
use super::super::time::{self, Time, Zone, read_duration, rounded_duration};
use super::super::tree::{Node, What};
use super::super::value::{Kind, Value};
use super::wrong;

/// What a method belongs to, its name, what its arguments have to be, and what comes out.
const METHODS: &[(Kind, &str, &[Kind], Kind)] = {
    use Kind::{Duration, Integer, Month, Number, Text, Time, Truth, Weekday, Zone};
    &[
        (Time, "Year", &[], Integer),
        (Time, "Month", &[], Month),
        (Time, "Day", &[], Integer),
        (Time, "Hour", &[], Integer),
        (Time, "Minute", &[], Integer),
        (Time, "Second", &[], Integer),
        (Time, "Nanosecond", &[], Integer),
        (Time, "Weekday", &[], Weekday),
        (Time, "YearDay", &[], Integer),
        (Time, "ISOWeek", &[], Integer),
        (Time, "Unix", &[], Integer),
        (Time, "UnixMilli", &[], Integer),
        (Time, "UnixMicro", &[], Integer),
        (Time, "UnixNano", &[], Integer),
        (Time, "Add", &[Duration], Time),
        (Time, "AddDate", &[Integer, Integer, Integer], Time),
        (Time, "Sub", &[Time], Duration),
        (Time, "After", &[Time], Truth),
        (Time, "Before", &[Time], Truth),
        (Time, "Equal", &[Time], Truth),
        (Time, "Compare", &[Time], Integer),
        (Time, "Round", &[Duration], Time),
        (Time, "Truncate", &[Duration], Time),
        (Time, "In", &[Zone], Time),
        (Time, "UTC", &[], Time),
        (Time, "Local", &[], Time),
        (Time, "Location", &[], Zone),
        (Time, "Zone", &[], Text),
        (Time, "IsDST", &[], Truth),
        (Time, "IsZero", &[], Truth),
        (Time, "Format", &[Text], Text),
        (Time, "String", &[], Text),
        (Duration, "Hours", &[], Number),
        (Duration, "Minutes", &[], Number),
        (Duration, "Seconds", &[], Number),
        (Duration, "Milliseconds", &[], Integer),
        (Duration, "Microseconds", &[], Integer),
        (Duration, "Nanoseconds", &[], Integer),
        (Duration, "Abs", &[], Duration),
        (Duration, "Round", &[Duration], Duration),
        (Duration, "Truncate", &[Duration], Duration),
        (Duration, "String", &[], Text),
        (Month, "String", &[], Text),
        (Weekday, "String", &[], Text),
        (Zone, "String", &[], Text),
    ]
};

/// What the arguments of a method have to be, and what comes out.
///
/// # Errors
/// There is no such method, in words.
pub(in super::super) fn method(of: Kind, name: &str) -> Result<(&'static [Kind], Kind), String> {
    let named: Vec<_> = METHODS.iter().filter(|(_, known, ..)| *known == name).collect();
    let own = named.iter().find(|(kind, ..)| *kind == of);
    // Only the query will tell what it is a method of.
    let own = own.or(named.first().filter(|_| of == Kind::Any));
    let known = || METHODS.iter().filter(|(kind, ..)| *kind == of).map(|(_, name, ..)| *name).collect::<Vec<_>>();
    let (.., parameters, result) = own.ok_or_else(|| match known().as_slice() {
        [] => format!("{of} has no method {name}"),
        known => format!("{of} has no method {name}; expected one of: {}", known.join(", ")),
    })?;
    let result = if of == Kind::Any && named.iter().any(|(.., other)| other != result) { Kind::Any } else { *result };
    Ok((parameters, result))
}

/// The value of `date`, `duration` or `timezone` where its arguments are known at load; `None` where they are not, or are
/// not what they have to be. A zone that stands in an argument by its name is looked up here: no query waits for a file.
///
/// # Errors
/// Where there is no such date, duration or timezone, and why.
pub(in super::super) fn at_load(
    name: &str,
    at: usize,
    arguments: &mut [Node],
) -> Result<Option<Value>, (usize, String)> {
    // It is looked up once, and that is now.
    Zone::local();
    match (name, arguments) {
        ("duration", [Node { at, what: What::Literal(Value::Text(text)), .. }]) => {
            read_duration(text).map(|read| Some(Value::Duration(read))).map_err(|why| (*at, why))
        }
        ("timezone", [Node { at, what, .. }]) => match what {
            What::Literal(Value::Text(name)) => {
                Zone::named(name).map(|zone| Some(zone.into())).map_err(|why| (*at, why))
            }
            What::Literal(_) => Ok(None),
            _ => Err((*at, "timezone: expected the name itself, in quotes".to_owned())),
        },
        ("date", arguments) => {
            if let [first, _, last] = &mut *arguments
                && let What::Literal(Value::Text(name)) = &last.what
                && !matches!(first.what, What::Literal(Value::Zone(_)))
            {
                match Zone::named(name) {
                    Ok(zone) => last.what = What::Literal(zone.into()),
                    // It may be the layout behind a zone.
                    Err(why) if matches!(first.what, What::Literal(_)) => return Err((last.at, why)),
                    Err(_) => {}
                }
            }
            let literal = |node: &Node| if let What::Literal(value) = &node.what { Some(value.clone()) } else { None };
            let known: Option<Vec<Value>> = arguments.iter().map(literal).collect();
            known.as_deref().and_then(date).transpose().map_err(|why| (at, why))
        }
        _ => Ok(None),
    }
}

/// Of arguments that fit.
fn date(arguments: &[Value]) -> Option<Result<Value, String>> {
    let read = match arguments {
        [Value::Text(text)] => time::read_any(text, None),
        [Value::Text(text), Value::Text(layout)] => time::read(text, layout, None),
        [Value::Text(text), Value::Text(layout), Value::Zone(zone)] => time::read(text, layout, Some(zone)),
        [Value::Zone(zone), Value::Text(text)] => time::read_any(text, Some(zone)),
        [Value::Zone(zone), Value::Text(text), Value::Text(layout)] => time::read(text, layout, Some(zone)),
        _ => return None,
    };
    Some(read.map(Value::from))
}

/// Whether kinds are what `date` takes: a text and perhaps its layout and its zone, or the zone first.
pub(super) fn date_takes(kinds: &[Kind]) -> Result<(), (usize, Kind)> {
    use Kind::{Text, Zone};
    let wanted = if kinds.first() == Some(&Zone) { [Zone, Text, Text] } else { [Text, Text, Zone] };
    let known = kinds.first() != Some(&Kind::Any);
    let wrong = kinds.iter().zip(wanted).position(|(kind, wanted)| known && !kind.may_be(wanted));
    wrong.map_or(Ok(()), |place| Err((place, wanted[place])))
}

/// The functions of times, at a query.
pub(super) fn of_times(run: &Run<'_>, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    Some(match (name, arguments) {
        ("now", []) => run.now(Zone::local()),
        ("now", [Value::Zone(zone)]) => run.now(Zone::clone(zone)),
        ("duration", [Value::Text(text)]) => {
            read_duration(text).map(Value::Duration).map_err(|why| format!("duration: {why}"))
        }
        ("date", arguments) => {
            let length = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
            // Each of the usual layouts looks at it.
            let paid = run.pay(1 + arguments.iter().map(length).sum::<usize>());
            paid.and_then(|()| date(arguments).unwrap_or_else(|| Err(wrong(name))))
        }
        ("int", [Value::Duration(nanoseconds)]) => Ok(Value::Integer(*nanoseconds)),
        ("int", [Value::Month(month)]) => Ok(Value::Integer((*month).into())),
        ("int", [Value::Weekday(day)]) => Ok(Value::Integer((*day).into())),
        _ => return None,
    })
}

/// Calls a method.
pub(in super::super) fn call(run: &Run<'_>, base: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    if name == "String" && arguments.is_empty() && method(base.kind(), name).is_ok() {
        return run.text(base.to_string());
    }
    let value = match base {
        Value::Time(time) => of_time(run, time, name, arguments),
        Value::Duration(nanoseconds) => of_duration(*nanoseconds, name, arguments),
        _ => return Err(format!("{} has no method {name}", base.kind())),
    };
    value.unwrap_or_else(|| {
        Err(format!("{name}: there is no such method of {}, or not with these arguments", base.kind()))
    })
}

fn of_time(run: &Run<'_>, time: &Time, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let (shown, at) = (time.shown(), time.instant());
    let integer = |number: i64| Ok(Value::Integer(number));
    Some(match (name, arguments) {
        ("Year", []) => integer(shown.year().into()),
        ("Month", []) => Ok(Value::Month(shown.month().unsigned_abs())),
        ("Day", []) => integer(shown.day().into()),
        ("Hour", []) => integer(shown.hour().into()),
        ("Minute", []) => integer(shown.minute().into()),
        ("Second", []) => integer(shown.second().into()),
        ("Nanosecond", []) => integer(shown.subsec_nanosecond().into()),
        ("Weekday", []) => Ok(Value::Weekday(time.weekday())),
        ("YearDay", []) => integer(shown.day_of_year().into()),
        // Go's gives the year and the week; an expression sees the first.
        ("ISOWeek", []) => integer(shown.date().iso_week_date().year().into()),
        ("Unix", []) => integer(at.div_euclid(1_000_000_000) as i64),
        ("UnixMilli", []) => integer(at.div_euclid(1_000_000) as i64),
        ("UnixMicro", []) => integer(at.div_euclid(1_000) as i64),
        // As Go: what 64 bits do not hold wraps around.
        ("UnixNano", []) => integer(at as i64),
        ("Add", [Value::Duration(nanoseconds)]) => time.after(*nanoseconds).map(Value::from),
        ("AddDate", [Value::Integer(years), Value::Integer(months), Value::Integer(days)]) => {
            time.another_day(*years, *months, *days).map(Value::from)
        }
        ("Sub", [Value::Time(other)]) => Ok(Value::Duration(time.since(other))),
        ("After", [Value::Time(other)]) => Ok(Value::Truth(at > other.instant())),
        ("Before", [Value::Time(other)]) => Ok(Value::Truth(at < other.instant())),
        ("Equal", [Value::Time(other)]) => Ok(Value::Truth(at == other.instant())),
        ("Compare", [Value::Time(other)]) => integer(at.cmp(&other.instant()) as i64),
        ("Round", [Value::Duration(step)]) => time.rounded(*step, true).map(Value::from),
        ("Truncate", [Value::Duration(step)]) => time.rounded(*step, false).map(Value::from),
        ("In", [Value::Zone(zone)]) => Ok(time.within(Zone::clone(zone)).into()),
        ("UTC", []) => Ok(time.within(Zone::utc()).into()),
        ("Local", []) => Ok(time.within(Zone::local()).into()),
        ("Location", []) => Ok(time.zone().clone().into()),
        ("Zone", []) => Ok(Value::text(time.abbreviation())),
        ("IsDST", []) => Ok(Value::Truth(time.is_summer())),
        ("IsZero", []) => Ok(Value::Truth(time.is_zero())),
        ("Format", [Value::Text(layout)]) => {
            // A part of a layout may become nine times as long.
            run.pay(layout.len()).and_then(|()| run.text(time::write(time, layout)))
        }
        _ => return None,
    })
}

fn of_duration(nanoseconds: i64, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let of = |unit: f64| Value::Float(nanoseconds as f64 / unit);
    Some(Ok(match (name, arguments) {
        ("Hours", []) => of(3.6e12),
        ("Minutes", []) => of(6e10),
        ("Seconds", []) => of(1e9),
        ("Milliseconds", []) => Value::Integer(nanoseconds / 1_000_000),
        ("Microseconds", []) => Value::Integer(nanoseconds / 1_000),
        ("Nanoseconds", []) => Value::Integer(nanoseconds),
        ("Abs", []) => Value::Duration(nanoseconds.saturating_abs()),
        ("Round", [Value::Duration(step)]) => Value::Duration(rounded_duration(nanoseconds, *step, true)),
        ("Truncate", [Value::Duration(step)]) => Value::Duration(rounded_duration(nanoseconds, *step, false)),
        _ => return None,
    }))
}
