//! What templates calculate with: the question's values.

use super::conditions::Variables;
use super::floats;
use crate::plugin::{Request, expression};
use crate::wire::RecordType;
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt;

/// The largest number that `range` counts to.
const MAX_COUNT: i64 = 1000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A group that took no part in the match.
    Nothing,
    /// All that a template knows: what its fields are fields of.
    Data,
    Text(String),
    Number(i64),
    Float(f64),
    Truth(bool),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nothing | Value::Data => f.write_str("<no value>"),
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::Float(number) => f.write_str(&floats::general(*number, None)),
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
            expression::Value::Float(number) => Value::Float(*number),
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
            Value::Data => true,
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
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

    /// The value of a map's key; what is not there has no fields but is asked for them.
    pub(super) fn field(&self, key: &str) -> Result<Value, String> {
        match self {
            Value::Nothing => Ok(Value::Nothing),
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
    "Regex",
    "Question.Name",
    "Question.Qtype",
    "Question.Qclass",
    "Message.Id",
    "Message.Opcode",
    "Message.Rcode",
    "Message.Response",
    "Message.Authoritative",
    "Message.Truncated",
    "Message.RecursionAvailable",
    "Message.Zero",
    "Message.AuthenticatedData",
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
    /// The class and the type of the answer.
    pub(super) about: (u16, RecordType),
    pub(super) zone: &'s str,
    matched: Vec<String>,
    groups: BTreeMap<String, String>,
    /// The pattern that matched.
    pattern: String,
    /// Those of `var`.
    variables: Variables,
}

impl<'s> Scope<'s> {
    pub(super) fn new(
        request: &'s Request,
        about: (u16, RecordType),
        zone: &'s str,
        pattern: Option<&Regex>,
        variables: Variables,
    ) -> Scope<'s> {
        let name = request.name.to_string();
        let mut scope = Scope {
            request,
            about,
            zone,
            matched: Vec::new(),
            groups: BTreeMap::new(),
            // Everything fits where there is no `match`.
            pattern: pattern.map_or(".*", Regex::as_str).to_owned(),
            variables,
        };
        let captures = pattern.and_then(|pattern| Some((pattern, pattern.captures(&name)?)));
        match captures {
            Some((pattern, captures)) => {
                let text = |index: usize| captures.get(index).map_or("", |group| group.as_str()).to_owned();
                scope.matched = (0..captures.len()).map(text).collect();
                // Every group by its number, and those with names by these too, which count where they are numbers.
                scope.groups.extend((0..captures.len()).map(|index| (index.to_string(), text(index))));
                let named = pattern.capture_names().enumerate().filter_map(|(index, name)| Some((name?, index)));
                scope.groups.extend(named.map(|(name, index)| (name.to_owned(), text(index))));
            }
            None => {
                scope.groups.insert("0".to_owned(), name.clone());
                scope.matched = vec![name];
            }
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
            ["Zone"] => Value::Text(self.zone.to_owned()),
            ["Name"] => Value::Text(request.name.to_string()),
            ["Class"] => Value::Text(class(self.about.0)),
            ["Type"] => Value::Text(self.about.1.to_string()),
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
            ["Question", "Qtype"] => Value::Number(request.qtype().0.into()),
            ["Question", "Qclass"] => Value::Number(request.qclass().into()),
            ["Message", "Id"] => {
                Value::Number(request.packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id)).into())
            }
            ["Message", "Opcode"] => Value::Number((flags[0] >> 3 & 0x0f).into()),
            ["Message", "Rcode"] => Value::Number((flags[1] & 0x0f).into()),
            ["Message", flag] => {
                let (octet, bit) = match *flag {
                    "Response" => (0, 0x80),
                    "Authoritative" => (0, 0x04),
                    "Truncated" => (0, 0x02),
                    "RecursionDesired" => (0, 0x01),
                    "RecursionAvailable" => (1, 0x80),
                    "Zero" => (1, 0x40),
                    "AuthenticatedData" => (1, 0x20),
                    "CheckingDisabled" => (1, 0x10),
                    _ => return Err(format!("can't evaluate field {flag}")),
                };
                Value::Truth(flags[octet] & bit != 0)
            }
            ["Regex"] => Value::Text(self.pattern.clone()),
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

/// A class by its name, or by its number (RFC 3597 section 5).
pub(super) fn class(class: u16) -> String {
    class_mnemonic(class).map_or_else(|| format!("CLASS{class}"), str::to_owned)
}

/// What metrics call a class and a type: nothing where they have no name, so that clients cannot make up more.
pub(super) fn labels((class, qtype): (u16, RecordType)) -> [&'static str; 2] {
    [class_mnemonic(class), qtype.mnemonic()].map(Option::unwrap_or_default)
}

fn class_mnemonic(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        _ => return None,
    })
}
