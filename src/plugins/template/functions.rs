//! The functions of templates.

use super::printf::printf;
use super::value::Value;
use crate::plugin::Request;
use std::ops::RangeInclusive;

/// The functions, and how many arguments they take.
pub(super) const FUNCTIONS: &[(&str, RangeInclusive<usize>)] = &[
    ("and", 1..=99),
    ("eq", 2..=99),
    ("ge", 2..=2),
    ("gt", 2..=2),
    ("html", 0..=99),
    ("index", 1..=3),
    ("js", 0..=99),
    ("le", 2..=2),
    ("len", 1..=1),
    ("lt", 2..=2),
    ("ne", 2..=2),
    ("not", 1..=1),
    ("or", 1..=99),
    ("parseInt", 3..=3),
    ("print", 0..=99),
    ("printf", 1..=99),
    ("println", 0..=99),
    ("slice", 1..=3),
    ("urlquery", 0..=99),
];

/// Calls a function, or `.Meta`.
pub(super) fn call(request: &Request, name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match (name, arguments.as_slice()) {
        (".Meta", [Value::Data, Value::Text(label)]) => {
            Ok(Value::Text(request.metadata.value(label).unwrap_or_default()))
        }
        ("and", values) => {
            Ok(values.iter().find(|value| !value.is_true()).or(values.last()).cloned().unwrap_or(Value::Nothing))
        }
        ("or", values) => {
            Ok(values.iter().find(|value| value.is_true()).or(values.last()).cloned().unwrap_or(Value::Nothing))
        }
        ("not", [value]) => Ok(Value::Truth(!value.is_true())),
        ("eq", [first, others @ ..]) => {
            let same = others.iter().map(|other| compare(first, other).map(std::cmp::Ordering::is_eq));
            Ok(Value::Truth(same.collect::<Result<Vec<_>, _>>()?.contains(&true)))
        }
        ("ne", [a, b]) => Ok(Value::Truth(compare(a, b)?.is_ne())),
        ("lt", [a, b]) => Ok(Value::Truth(compare(a, b)?.is_lt())),
        ("le", [a, b]) => Ok(Value::Truth(compare(a, b)?.is_le())),
        ("gt", [a, b]) => Ok(Value::Truth(compare(a, b)?.is_gt())),
        ("ge", [a, b]) => Ok(Value::Truth(compare(a, b)?.is_ge())),
        ("index", [value]) => Ok(value.clone()),
        (_, values) if values.contains(&Value::Data) => {
            Err(format!("error calling {name}: all of the data is no value"))
        }
        ("len", [Value::Text(text)]) => Ok(Value::Number(text.len() as i64)),
        ("len", [Value::List(items)]) => Ok(Value::Number(items.len() as i64)),
        ("len", [Value::Map(map)]) => Ok(Value::Number(map.len() as i64)),
        ("index", [Value::List(items), Value::Number(at)]) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().map(Value::Text).ok_or_else(|| format!("index out of range: {at}"))
        }
        // A key that is not there has the empty text here, where a field has no value.
        ("index", [Value::Map(map), Value::Text(key)]) => Ok(Value::Text(map.get(key).cloned().unwrap_or_default())),
        ("parseInt", [Value::Text(text), Value::Number(base), Value::Number(bits)]) => parse_int(text, *base, *bits),
        ("slice", [value, ends @ ..]) => slice(value, ends),
        ("println", values) => {
            let words: Vec<_> = values.iter().map(ToString::to_string).collect();
            Ok(Value::Text(words.join(" ") + "\n"))
        }
        ("html", values) => Ok(Value::Text(escaped(&print(values), html))),
        ("js", values) => Ok(Value::Text(escaped(&print(values), js))),
        ("urlquery", values) => Ok(Value::Text(print(values).bytes().map(url_query).collect())),
        ("print", values) => Ok(Value::Text(print(values))),
        ("printf", [Value::Text(format), values @ ..]) => Ok(Value::Text(printf(format, values))),
        _ => Err(format!("error calling {name}: its arguments are of the wrong kind")),
    }
}

/// `slice VALUE [FROM [TO]]`, of octets or of elements.
fn slice(value: &Value, ends: &[Value]) -> Result<Value, String> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("can't slice {other}")),
    };
    let end = |at: usize, default: usize| match ends.get(at) {
        None => Ok(default),
        Some(Value::Number(number)) => usize::try_from(*number).ok().filter(|end| *end <= len).ok_or("out of range"),
        Some(_) => Err("no number"),
    };
    let (from, to) = end(0, 0).and_then(|from| Ok((from, end(1, len)?))).map_err(|why| format!("slice: {why}"))?;
    match value {
        Value::Text(text) => text.get(from..to).map(|part| Value::Text(part.to_owned())),
        Value::List(items) => items.get(from..to).map(|part| Value::List(part.to_vec())),
        _ => None,
    }
    .ok_or_else(|| format!("slice: {from} to {to} is no part"))
}

fn escaped(text: &str, escape: fn(char) -> Option<&'static str>) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match escape(character) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(character),
        }
    }
    out
}

fn html(character: char) -> Option<&'static str> {
    Some(match character {
        '"' => "&#34;",
        '\'' => "&#39;",
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        _ => return None,
    })
}

fn js(character: char) -> Option<&'static str> {
    Some(match character {
        '\\' => "\\\\",
        '\'' => "\\'",
        '"' => "\\\"",
        '<' => "\\u003C",
        '>' => "\\u003E",
        '&' => "\\u0026",
        '=' => "\\u003D",
        _ => return None,
    })
}

fn url_query(octet: u8) -> String {
    match octet {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    }
}

fn compare(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Truth(a), Value::Truth(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// A number without a sign in a base (0 takes it from the prefix) that fits in so many bits.
fn parse_int(text: &str, base: i64, bits: i64) -> Result<Value, String> {
    let (digits, base) = match (base, text.get(..2).map(str::to_ascii_lowercase).as_deref()) {
        (0, Some("0x")) => (&text[2..], 16),
        (0, Some("0b")) => (&text[2..], 2),
        (0, Some("0o")) => (&text[2..], 8),
        (0, _) => (text, 10),
        (base, _) => (text, base),
    };
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).ok_or("invalid base")?;
    let plain = !digits.starts_with(['+', '-']);
    let number =
        i64::from_str_radix(digits, base).ok().filter(|_| plain).ok_or_else(|| format!("'{text}' is no number"))?;
    let bits = if bits == 0 { 63 } else { bits.clamp(1, 63) };
    if number >> bits != 0 { Err(format!("'{text}' is out of range")) } else { Ok(Value::Number(number)) }
}

/// Blanks stand between values that are no text, as Go has it.
fn print(values: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            text.push(' ');
        }
        text.push_str(&value.to_string());
    }
    text
}
