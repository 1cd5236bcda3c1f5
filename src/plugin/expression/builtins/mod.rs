//! The functions of the language itself.

mod json;
mod lists;
mod loops;
mod members;
mod numbers;
mod texts;
mod times;

pub(super) use loops::Loop;
pub(super) use members::{member, slice};
pub(super) use times::{call as call_method, method};

use super::evaluate::Run;
use super::tree::Node;
use super::value::{Kind, Value};
use lists::of_list;
use numbers::of_numbers;
use std::ops::RangeInclusive;
use std::sync::Arc;
use texts::of_text;

/// A function of values; an index into [`BUILTINS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Builtin(usize);

/// Names, how many arguments, what they have to be (the last for all that follow), and what comes out.
const BUILTINS: &[(&str, RangeInclusive<usize>, &[Kind], Kind)] = {
    use Kind::{Any, Duration, Integer, List, Map, Number, Text, Time, Truth, Zone};
    &[
        ("len", 1..=1, &[Any], Integer),
        ("lower", 1..=1, &[Text], Text),
        ("upper", 1..=1, &[Text], Text),
        ("trim", 1..=2, &[Text], Text),
        ("trimPrefix", 2..=2, &[Text], Text),
        ("trimSuffix", 2..=2, &[Text], Text),
        ("split", 2..=3, &[Text, Text, Integer], List),
        ("splitAfter", 2..=3, &[Text, Text, Integer], List),
        ("join", 1..=2, &[List, Text], Text),
        ("replace", 3..=3, &[Text], Text),
        ("repeat", 2..=2, &[Text, Integer], Text),
        ("indexOf", 2..=2, &[Text], Integer),
        ("lastIndexOf", 2..=2, &[Text], Integer),
        ("hasPrefix", 2..=2, &[Text], Truth),
        ("hasSuffix", 2..=2, &[Text], Truth),
        ("int", 1..=1, &[Any], Integer),
        ("float", 1..=1, &[Any], Number),
        ("string", 1..=1, &[Any], Text),
        ("abs", 1..=1, &[Number], Number),
        ("ceil", 1..=1, &[Number], Number),
        ("floor", 1..=1, &[Number], Number),
        ("round", 1..=1, &[Number], Number),
        ("min", 1..=64, &[Any], Number),
        ("max", 1..=64, &[Any], Number),
        ("mean", 1..=64, &[Any], Number),
        ("median", 1..=64, &[Any], Number),
        ("first", 1..=1, &[List], Any),
        ("last", 1..=1, &[List], Any),
        ("take", 2..=2, &[List, Integer], List),
        ("reverse", 1..=1, &[List], List),
        ("concat", 1..=64, &[List], List),
        ("flatten", 1..=1, &[List], List),
        ("uniq", 1..=1, &[List], List),
        ("sort", 1..=2, &[List, Text], List),
        ("keys", 1..=1, &[Map], List),
        ("values", 1..=1, &[Map], List),
        ("toPairs", 1..=1, &[Map], List),
        ("fromPairs", 1..=1, &[List], Map),
        ("toJSON", 1..=1, &[Any], Text),
        ("fromJSON", 1..=1, &[Text], Any),
        ("toBase64", 1..=1, &[Text], Text),
        ("fromBase64", 1..=1, &[Text], Text),
        ("get", 2..=2, &[Any], Any),
        ("bitand", 2..=2, &[Integer], Integer),
        ("bitor", 2..=2, &[Integer], Integer),
        ("bitxor", 2..=2, &[Integer], Integer),
        ("bitnand", 2..=2, &[Integer], Integer),
        ("bitnot", 1..=1, &[Integer], Integer),
        ("bitshl", 2..=2, &[Integer], Integer),
        ("bitshr", 2..=2, &[Integer], Integer),
        ("bitushr", 2..=2, &[Integer], Integer),
        ("now", 0..=1, &[Zone], Time),
        // What stands where, `times::date_takes` knows.
        ("date", 1..=3, &[Any], Time),
        ("duration", 1..=1, &[Text], Duration),
        ("timezone", 1..=1, &[Text], Zone),
    ]
};

/// Whether a name is one of the language's, which a variable cannot have.
pub fn is_reserved(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "true",
        "false",
        "nil",
        "let",
        "not",
        "and",
        "or",
        "in",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "if",
        "else",
    ];
    WORDS.contains(&name) || Builtin::find(name).is_some() || Loop::find(name).is_some()
}

impl Builtin {
    pub(super) fn find(name: &str) -> Option<Builtin> {
        BUILTINS.iter().position(|(known, ..)| *known == name).map(Builtin)
    }

    pub(super) fn name(self) -> &'static str {
        BUILTINS[self.0].0
    }

    pub(super) fn takes(self, count: usize) -> bool {
        BUILTINS[self.0].1.contains(&count)
    }

    pub(super) fn expected(self) -> String {
        let (least, most) = (BUILTINS[self.0].1.start(), BUILTINS[self.0].1.end());
        if least == most { least.to_string() } else { format!("{least} to {most}") }
    }

    /// The kind of the result; an error is the place of an argument that does not fit, and what was expected.
    pub(super) fn result(self, kinds: &[Kind]) -> Result<Kind, (usize, Kind)> {
        let (_, _, wanted, result) = &BUILTINS[self.0];
        for (place, kind) in kinds.iter().enumerate() {
            let Some(wanted) = wanted.get(place).or(wanted.last()) else { continue };
            if !kind.may_be(*wanted) {
                return Err((place, *wanted));
            }
        }
        if self.name() == "date" {
            times::date_takes(kinds)?;
        }
        let of_durations = matches!(self.name(), "min" | "max") && kinds.contains(&Kind::Duration);
        Ok(if of_durations { Kind::Duration } else { *result })
    }

    /// The value, where it is known at load.
    ///
    /// # Errors
    /// An argument that is no date, duration or timezone: where it stands, and why.
    pub(super) fn at_load(self, at: usize, arguments: &mut [Node]) -> Result<Option<Value>, (usize, String)> {
        match self.name() {
            name @ ("now" | "date" | "duration" | "timezone") => times::at_load(name, at, arguments),
            _ => Ok(None),
        }
    }

    pub(super) fn call(self, run: &Run<'_>, arguments: &[Value]) -> Result<Value, String> {
        let name = self.name();
        if let Some(value) = times::of_times(run, name, arguments) {
            return value;
        }
        match arguments {
            [value] if name == "toJSON" => json::write(run, value),
            _ if matches!(name, "min" | "max" | "mean" | "median") => of_numbers(name, &flattened(run, arguments)?),
            [Value::Text(text), rest @ ..] => of_text(run, name, text, rest),
            [Value::List(items), rest @ ..] => of_list(run, name, items, rest),
            [Value::Map(map), rest @ ..] => match (name, rest) {
                ("len", []) => Ok(Value::Integer(map.len() as i64)),
                ("keys", []) => run.list(map.keys().cloned().map(Value::Text).collect()),
                ("values", []) => run.list(map.values().cloned().collect()),
                ("toPairs", []) => {
                    let pair = |(key, value): (&Arc<str>, &Value)| {
                        Value::List([Value::Text(key.clone()), value.clone()].into())
                    };
                    run.list(map.iter().map(pair).collect())
                }
                ("get", [Value::Text(key)]) => Ok(map.get(key).cloned().unwrap_or(Value::Nil)),
                ("string", []) => run.text(arguments[0].to_string()),
                _ => Err(wrong(name)),
            },
            [Value::Nil, _] if name == "get" => Ok(Value::Nil),
            [value] if name == "string" => run.text(value.to_string()),
            _ => of_numbers(name, arguments),
        }
    }
}

/// Numbers and lists of them, as one list.
fn flattened(run: &Run<'_>, arguments: &[Value]) -> Result<Vec<Value>, String> {
    let mut flat = Vec::new();
    lists::flatten(run, arguments, &mut flat)?;
    Ok(flat)
}

fn wrong(name: &str) -> String {
    format!("{name}: the arguments do not fit")
}
