//! What templates calculate with: the question's values, and functions.

use super::conditions::Variables;
use crate::plugin::{Request, expression};
use crate::wire::Name;
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// The largest number that `range` counts to.
const MAX_COUNT: i64 = 1000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A group that took no part in the match.
    Nothing,
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nothing => f.write_str("<no value>"),
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::List(items) => write!(f, "[{}]", items.join(" ")),
            Value::Map(map) => {
                let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                write!(f, "map[{}]", entries.join(" "))
            }
        }
    }
}

impl From<&expression::Value> for Value {
    fn from(value: &expression::Value) -> Value {
        match value {
            expression::Value::Nil => Value::Nothing,
            expression::Value::Truth(truth) => Value::Truth(*truth),
            expression::Value::Integer(number) => Value::Number(*number),
            expression::Value::List(items) => Value::List(items.iter().map(ToString::to_string).collect()),
            expression::Value::Map(map) => {
                Value::Map(map.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
            }
            other => Value::Text(other.to_string()),
        }
    }
}

impl Value {
    /// Go's truth: what is not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0,
            Value::Truth(truth) => *truth,
            Value::List(items) => !items.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// What `range` goes over: places or keys, and values. Go takes the keys of a map in their order, as this map does.
    pub(super) fn entries(self) -> Result<Vec<(Value, Value)>, String> {
        let numbered = |values: Vec<Value>| (0..).map(Value::Number).zip(values).collect();
        match self {
            Value::Nothing => Ok(Vec::new()),
            Value::List(items) => Ok(numbered(items.into_iter().map(Value::Text).collect())),
            Value::Map(map) => Ok(map.into_iter().map(|(key, value)| (Value::Text(key), Value::Text(value))).collect()),
            Value::Number(count) if count <= MAX_COUNT => Ok(numbered((0..count).map(Value::Number).collect())),
            other => Err(format!("range can't iterate over {other}")),
        }
    }

    /// The value of a map's key.
    pub(super) fn field(&self, key: &str) -> Result<Value, String> {
        match self {
            Value::Map(map) => Ok(map.get(key).cloned().map_or(Value::Nothing, Value::Text)),
            _ => Err(format!("can't evaluate field {key}")),
        }
    }
}

/// The fields there are; below `.Group` stands any name.
const FIELDS: &[&str] = &[
    "Zone",
    "Name",
    "Class",
    "Type",
    "Match",
    "Group",
    "Remote",
    "Meta",
    "Question.Name",
    "Question.Qtype",
    "Question.Qclass",
    "Message.Id",
    "Message.RecursionDesired",
    "Message.CheckingDisabled",
];

/// Whether the path behind a dot is known.
pub(super) fn is_field(path: &[String], variables: &[String]) -> bool {
    match path {
        [group, _] if group == "Group" => true,
        [group, name] if group == "Var" => variables.contains(name),
        path => FIELDS.contains(&path.join(".").as_str()),
    }
}

/// What the fields stand for.
pub(super) struct Scope<'s> {
    request: &'s Request,
    zone: String,
    matched: Vec<String>,
    groups: BTreeMap<String, String>,
    /// Those of `var`.
    variables: Variables,
}

impl<'s> Scope<'s> {
    pub(super) fn new(request: &'s Request, zone: &Name, pattern: Option<&Regex>, variables: Variables) -> Scope<'s> {
        let name = request.name.to_string();
        let mut scope =
            Scope { request, zone: zone.to_string(), matched: Vec::new(), groups: BTreeMap::new(), variables };
        let captures = pattern.and_then(|pattern| Some((pattern, pattern.captures(&name)?)));
        match captures {
            Some((pattern, captures)) => {
                let text = |index: usize| captures.get(index).map_or("", |group| group.as_str()).to_owned();
                scope.matched = (0..captures.len()).map(text).collect();
                for (index, group) in pattern.capture_names().enumerate() {
                    // As in Go, groups without a name go by their number.
                    let key = group.map_or_else(|| index.to_string(), str::to_owned);
                    scope.groups.insert(key, text(index));
                }
            }
            None => scope.matched = vec![name],
        }
        scope
    }

    /// The request, for functions.
    pub(super) fn request(&self) -> &Request {
        self.request
    }

    pub(super) fn field(&self, path: &[String]) -> Result<Value, String> {
        let (request, path): (_, Vec<&str>) = (self.request, path.iter().map(String::as_str).collect());
        let flags = request.packet.get(2..4).unwrap_or(&[0, 0]);
        Ok(match path.as_slice() {
            ["Zone"] => Value::Text(self.zone.clone()),
            ["Name"] => Value::Text(request.name.to_string()),
            ["Class"] => Value::Text(class(request.qclass)),
            ["Type"] => Value::Text(request.qtype.to_string()),
            ["Match"] => Value::List(self.matched.clone()),
            ["Group"] => Value::Map(self.groups.clone()),
            ["Group", key] => self.groups.get(*key).cloned().map_or(Value::Nothing, Value::Text),
            ["Remote"] => Value::Text(request.client.ip().to_canonical().to_string()),
            ["Meta"] => return Err("Meta needs a label".to_owned()),
            ["Var", name] => {
                let found = self.variables.iter().find(|(known, _)| known == name);
                found.map_or(Value::Nothing, |(_, value)| Value::from(value))
            }
            ["Question", "Name"] => Value::Text(name_as_asked(request)),
            ["Question", "Qtype"] => Value::Number(request.qtype.0.into()),
            ["Question", "Qclass"] => Value::Number(request.qclass.into()),
            ["Message", "Id"] => {
                Value::Number(request.packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id)).into())
            }
            ["Message", "RecursionDesired"] => Value::Truth(flags[0] & 0x01 != 0),
            ["Message", "CheckingDisabled"] => Value::Truth(flags[1] & 0x10 != 0),
            path => return Err(format!("can't evaluate field {}", path.join("."))),
        })
    }
}

/// The name in the client's case, escaped as [`Name`] prints names.
fn name_as_asked(request: &Request) -> String {
    let lower = request.name.to_string();
    let mut asked = request.name_as_asked().iter().filter(|octet| octet.is_ascii_alphabetic());
    // Letters come in the same order; length octets of labels are below letters (1 to 63), and escapes have none.
    lower
        .chars()
        .map(|character| match character {
            letter if letter.is_ascii_alphabetic() => asked.next().map_or(letter, |octet| char::from(*octet)),
            other => other,
        })
        .collect()
}

/// A class by its name.
pub(super) fn class(class: u16) -> String {
    match class {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        254 => "NONE".to_owned(),
        255 => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

/// The functions, and how many arguments they take.
pub(super) const FUNCTIONS: &[(&str, RangeInclusive<usize>)] = &[
    ("and", 1..=99),
    ("eq", 2..=99),
    ("ge", 2..=2),
    ("gt", 2..=2),
    ("index", 2..=2),
    ("le", 2..=2),
    ("len", 1..=1),
    ("lt", 2..=2),
    ("ne", 2..=2),
    ("not", 1..=1),
    ("or", 1..=99),
    ("parseInt", 3..=3),
    ("print", 0..=99),
    ("printf", 1..=99),
];

/// Calls a function, or `.Meta`.
pub(super) fn call(request: &Request, name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match (name, arguments.as_slice()) {
        (".Meta", [Value::Text(label)]) => Ok(Value::Text(request.metadata.value(label).unwrap_or_default())),
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
        ("len", [Value::Text(text)]) => Ok(Value::Number(text.len() as i64)),
        ("len", [Value::List(items)]) => Ok(Value::Number(items.len() as i64)),
        ("len", [Value::Map(map)]) => Ok(Value::Number(map.len() as i64)),
        ("index", [Value::List(items), Value::Number(at)]) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().map(Value::Text).ok_or_else(|| format!("index out of range: {at}"))
        }
        ("index", [map @ Value::Map(_), Value::Text(key)]) => map.field(key),
        ("parseInt", [Value::Text(text), Value::Number(base), Value::Number(bits)]) => parse_int(text, *base, *bits),
        ("print", values) => Ok(Value::Text(print(values))),
        ("printf", [Value::Text(format), values @ ..]) => printf(format, values).map(Value::Text),
        _ => Err(format!("error calling {name}: its arguments are of the wrong kind")),
    }
}

fn compare(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Truth(a), Value::Truth(b)) => Ok(a.cmp(b)),
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

/// `%s %d %v %x %X %o %b %q %%`, with a width of up to two digits and zeros in front.
fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let (mut text, mut values, mut rest) = (String::new(), values.iter(), format);
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let digits = behind.len() - behind.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (width, verb) = (&behind[..digits], behind[digits..].chars().next().ok_or("printf: a verb is missing")?);
        rest = &behind[digits + verb.len_utf8()..];
        if verb == '%' {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or("printf: a value is missing")?;
        let shown = match (verb, value) {
            ('s' | 'v', value) => value.to_string(),
            ('q', value) => format!("{:?}", value.to_string()),
            ('d', Value::Number(number)) => number.to_string(),
            ('x', Value::Number(number)) => format!("{number:x}"),
            ('X', Value::Number(number)) => format!("{number:X}"),
            ('o', Value::Number(number)) => format!("{number:o}"),
            ('b', Value::Number(number)) => format!("{number:b}"),
            _ => return Err(format!("printf: %{verb} does not fit {value}")),
        };
        let columns: usize = width.parse().unwrap_or(0).min(99);
        let fill = if width.starts_with('0') { "0" } else { " " };
        text.push_str(&fill.repeat(columns.saturating_sub(shown.chars().count())));
        text.push_str(&shown);
    }
    text.push_str(rest);
    Ok(text)
}
