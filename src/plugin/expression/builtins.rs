//! The functions of the language itself.

use super::evaluate::Run;
use super::tree::Node;
use super::value::{Kind, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A function of values; an index into [`BUILTINS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Builtin(usize);

/// Names, how many arguments, what they have to be (the last for all that follow), and what comes out.
const BUILTINS: &[(&str, RangeInclusive<usize>, &[Kind], Kind)] = {
    use Kind::{Any, Integer, List, Map, Number, Text, Truth};
    &[
        ("len", 1..=1, &[Any], Integer),
        ("lower", 1..=1, &[Text], Text),
        ("upper", 1..=1, &[Text], Text),
        ("trim", 1..=2, &[Text], Text),
        ("trimPrefix", 2..=2, &[Text], Text),
        ("trimSuffix", 2..=2, &[Text], Text),
        ("split", 2..=3, &[Text, Text, Integer], List),
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
        ("mean", 1..=1, &[List], Number),
        ("first", 1..=1, &[List], Any),
        ("last", 1..=1, &[List], Any),
        ("take", 2..=2, &[List, Integer], List),
        ("reverse", 1..=1, &[List], List),
        ("concat", 1..=64, &[List], List),
        ("flatten", 1..=1, &[List], List),
        ("uniq", 1..=1, &[List], List),
        ("sort", 1..=1, &[List], List),
        ("keys", 1..=1, &[Map], List),
        ("values", 1..=1, &[Map], List),
        ("get", 2..=2, &[Any], Any),
        ("bitand", 2..=2, &[Integer], Integer),
        ("bitor", 2..=2, &[Integer], Integer),
        ("bitxor", 2..=2, &[Integer], Integer),
        ("bitshl", 2..=2, &[Integer], Integer),
        ("bitshr", 2..=2, &[Integer], Integer),
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
        Ok(*result)
    }

    pub(super) fn call(self, run: &Run<'_>, arguments: &[Value]) -> Result<Value, String> {
        let name = self.name();
        match arguments {
            [Value::Text(text), rest @ ..] => of_text(run, name, text, rest),
            [Value::List(items), rest @ ..] => of_list(run, name, items, rest),
            [Value::Map(map), rest @ ..] => match (name, rest) {
                ("len", []) => Ok(Value::Integer(map.len() as i64)),
                ("keys", []) => run.list(map.keys().cloned().map(Value::Text).collect()),
                ("values", []) => run.list(map.values().cloned().collect()),
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

fn wrong(name: &str) -> String {
    format!("{name}: the arguments do not fit")
}

fn of_text(run: &Run<'_>, name: &str, text: &Arc<str>, rest: &[Value]) -> Result<Value, String> {
    // Whatever looks at a text goes through it once.
    run.pay(text.len() / 16)?;
    let position = |at: Option<usize>| Value::Integer(at.map_or(-1, |at| at as i64));
    match (name, rest) {
        ("len", []) => Ok(Value::Integer(text.chars().count() as i64)),
        ("lower", []) => run.text(text.to_lowercase()),
        ("upper", []) => run.text(text.to_uppercase()),
        ("trim", []) => run.text(text.trim()),
        ("trim", [Value::Text(set)]) => run.text(text.trim_matches(|one| set.contains(one))),
        ("trimPrefix", [Value::Text(prefix)]) => run.text(text.strip_prefix(&**prefix).unwrap_or(text)),
        ("trimSuffix", [Value::Text(suffix)]) => run.text(text.strip_suffix(&**suffix).unwrap_or(text)),
        ("split", [Value::Text(by)]) => split(run, text, by, usize::MAX),
        ("split", [Value::Text(by), Value::Integer(most)]) => {
            split(run, text, by, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        ("replace", [Value::Text(from), Value::Text(to)]) => {
            // Every place may grow to the new text.
            let places = if from.is_empty() { text.len() + 1 } else { text.matches(&**from).count() };
            run.pay(places.saturating_mul(to.len()) / 16)?;
            run.text(text.replace(&**from, to))
        }
        ("repeat", [Value::Integer(times)]) => {
            let times = usize::try_from(*times).map_err(|_| "repeat: the count is negative".to_owned())?;
            run.pay(text.len().saturating_mul(times) / 16 + times / 16)?;
            run.text(text.repeat(times))
        }
        ("indexOf", [Value::Text(part)]) => Ok(position(text.find(&**part))),
        ("lastIndexOf", [Value::Text(part)]) => Ok(position(text.rfind(&**part))),
        ("hasPrefix", [Value::Text(part)]) => Ok(Value::Truth(text.starts_with(&**part))),
        ("hasSuffix", [Value::Text(part)]) => Ok(Value::Truth(text.ends_with(&**part))),
        ("int", []) => text.trim().parse().map(Value::Integer).map_err(|_| format!("'{text}' is no integer")),
        ("float", []) => text.trim().parse().map(Value::Float).map_err(|_| format!("'{text}' is no number")),
        ("string", []) => Ok(Value::Text(Arc::clone(text))),
        ("get", [key]) => Ok(member(&Value::Text(Arc::clone(text)), key).unwrap_or(Value::Nil)),
        _ => Err(wrong(name)),
    }
}

fn split(run: &Run<'_>, text: &str, by: &str, most: usize) -> Result<Value, String> {
    let parts = if by.is_empty() { text.chars().count() } else { text.matches(by).count() + 1 }.min(most);
    run.pay(parts)?;
    let parts: Vec<Value> = match by {
        "" => text.chars().take(most).map(|one| Value::text(one.to_string())).collect(),
        by => text.splitn(most, by).map(Value::text).collect(),
    };
    run.list(parts)
}

fn of_list(run: &Run<'_>, name: &str, items: &Arc<[Value]>, rest: &[Value]) -> Result<Value, String> {
    run.pay(items.len())?;
    match (name, rest) {
        ("len", []) => Ok(Value::Integer(items.len() as i64)),
        ("first", []) => Ok(items.first().cloned().unwrap_or(Value::Nil)),
        ("last", []) => Ok(items.last().cloned().unwrap_or(Value::Nil)),
        ("take", [Value::Integer(count)]) => {
            let count = usize::try_from(*count).map_err(|_| "take: the count is negative".to_owned())?;
            run.list(items.iter().take(count).cloned().collect())
        }
        ("reverse", []) => run.list(items.iter().rev().cloned().collect()),
        ("concat", lists) => {
            let mut all = items.to_vec();
            for list in lists {
                let Value::List(more) = list else { return Err(wrong(name)) };
                run.pay(more.len())?;
                all.extend(more.iter().cloned());
            }
            run.list(all)
        }
        ("flatten", []) => {
            let mut flat = Vec::new();
            flatten(run, items, &mut flat)?;
            run.list(flat)
        }
        ("uniq", []) => {
            let mut seen: Vec<Value> = Vec::new();
            for item in items.iter() {
                run.pay(seen.len())?;
                if !seen.contains(item) {
                    seen.push(item.clone());
                }
            }
            run.list(seen)
        }
        ("sort", []) => {
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| a.order(b).unwrap_or(std::cmp::Ordering::Equal));
            run.list(sorted)
        }
        ("join", []) => join(run, items, ""),
        ("join", [Value::Text(by)]) => join(run, items, by),
        ("get", [key]) => Ok(member(&Value::List(Arc::clone(items)), key).unwrap_or(Value::Nil)),
        ("string", []) => run.text(Value::List(Arc::clone(items)).to_string()),
        ("min" | "max" | "mean", []) => of_numbers(name, items),
        _ => Err(wrong(name)),
    }
}

/// Lists cannot hold themselves, and are as deep as the expression that made them, but paying bounds it anyway.
fn flatten(run: &Run<'_>, items: &[Value], flat: &mut Vec<Value>) -> Result<(), String> {
    for item in items {
        run.pay(1)?;
        match item {
            Value::List(inner) => flatten(run, inner, flat)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

fn join(run: &Run<'_>, items: &[Value], by: &str) -> Result<Value, String> {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        let Value::Text(item) = item else { return Err("join: an element is no string".to_owned()) };
        run.pay((item.len() + by.len()) / 16)?;
        if at > 0 {
            text.push_str(by);
        }
        text.push_str(item);
    }
    run.text(text)
}

fn of_numbers(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let float = |value: &Value| value.number().ok_or_else(|| wrong(name));
    match (name, arguments) {
        ("int", [Value::Float(number)]) => Ok(Value::Integer(*number as i64)),
        ("int" | "abs", [Value::Integer(number)]) => {
            Ok(Value::Integer(if name == "abs" { number.wrapping_abs() } else { *number }))
        }
        ("float", [value]) => Ok(Value::Float(float(value)?)),
        ("abs", [value]) => Ok(Value::Float(float(value)?.abs())),
        ("ceil", [value]) => Ok(Value::Float(float(value)?.ceil())),
        ("floor", [value]) => Ok(Value::Float(float(value)?.floor())),
        ("round", [value]) => Ok(Value::Float(float(value)?.round())),
        ("bitand", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a & b)),
        ("bitor", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a | b)),
        ("bitxor", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a ^ b)),
        ("bitshl" | "bitshr", [Value::Integer(number), Value::Integer(by)]) => {
            let by = u32::try_from(*by).map_err(|_| format!("{name}: the count is negative"))?;
            let shifted = if name == "bitshl" { number.checked_shl(by) } else { number.checked_shr(by) };
            Ok(Value::Integer(shifted.unwrap_or(0)))
        }
        ("min" | "max", [first, others @ ..]) => {
            let mut best = first;
            for other in others {
                let order = other.order(best).ok_or_else(|| wrong(name))?;
                if (name == "min") == order.is_lt() && order.is_ne() {
                    best = other;
                }
            }
            best.number().map(|_| best.clone()).ok_or_else(|| wrong(name))
        }
        ("mean", numbers) if !numbers.is_empty() => {
            let sum = numbers.iter().map(float).sum::<Result<f64, String>>()?;
            Ok(Value::Float(sum / numbers.len() as f64))
        }
        _ => Err(wrong(name)),
    }
}

/// A function with an expression for each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    Any,
    One,
    None,
    Filter,
    Map,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    Count,
    Sum,
}

const LOOPS: &[(&str, Loop)] = &[
    ("all", Loop::All),
    ("any", Loop::Any),
    ("one", Loop::One),
    ("none", Loop::None),
    ("filter", Loop::Filter),
    ("map", Loop::Map),
    ("find", Loop::Find),
    ("findIndex", Loop::FindIndex),
    ("findLast", Loop::FindLast),
    ("findLastIndex", Loop::FindLastIndex),
    ("count", Loop::Count),
    ("sum", Loop::Sum),
];

impl Loop {
    pub(super) fn find(name: &str) -> Option<Loop> {
        LOOPS.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
    }

    pub(super) fn name(self) -> &'static str {
        LOOPS.iter().find(|(_, found)| *found == self).map_or("", |(name, _)| name)
    }

    /// Whether the elements themselves may be what is counted or added up.
    pub(super) fn may_be_bare(self) -> bool {
        matches!(self, Loop::Count | Loop::Sum)
    }

    /// What the expression has to give; anything where there is none.
    pub(super) fn wanted(self) -> Option<Kind> {
        match self {
            Loop::Map => None,
            Loop::Sum => Some(Kind::Number),
            _ => Some(Kind::Truth),
        }
    }

    pub(super) fn result(self) -> Kind {
        match self {
            Loop::All | Loop::Any | Loop::One | Loop::None => Kind::Truth,
            Loop::Filter | Loop::Map => Kind::List,
            Loop::Find | Loop::FindLast => Kind::Any,
            Loop::FindIndex | Loop::FindLastIndex | Loop::Count => Kind::Integer,
            Loop::Sum => Kind::Number,
        }
    }

    pub(super) fn run(self, run: &Run<'_>, over: &Value, each: &Node) -> Result<Value, String> {
        let items: Vec<Value> = match over {
            Value::List(items) => items.to_vec(),
            Value::Map(map) => map.values().cloned().collect(),
            other => return Err(format!("{} goes over {}", self.name(), other.kind())),
        };
        run.pay(items.len())?;
        match self {
            Loop::Map => {
                let mapped = items.iter().map(|item| run.with_element(item, each)).collect::<Result<_, _>>()?;
                return run.list(mapped);
            }
            Loop::Sum => {
                let numbers = items.iter().map(|item| run.with_element(item, each)).collect::<Result<Vec<_>, _>>()?;
                return sum(&numbers);
            }
            _ => {}
        }
        let mut fitting = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Value::Truth(fits) = run.with_element(item, each)? else {
                return Err(format!("{}: the expression is neither true nor false", self.name()));
            };
            match (self, fits) {
                (Loop::All, false) => return Ok(Value::Truth(false)),
                (Loop::Any, true) => return Ok(Value::Truth(true)),
                (Loop::None, true) => return Ok(Value::Truth(false)),
                (Loop::Find, true) => return Ok(item.clone()),
                (Loop::FindIndex, true) => return Ok(Value::Integer(at as i64)),
                (_, true) => fitting.push(at),
                (_, false) => {}
            }
        }
        Ok(match self {
            Loop::All | Loop::None => Value::Truth(true),
            Loop::Any => Value::Truth(false),
            Loop::One => Value::Truth(fitting.len() == 1),
            Loop::Count => Value::Integer(fitting.len() as i64),
            Loop::FindIndex => Value::Integer(-1),
            Loop::FindLastIndex => Value::Integer(fitting.last().map_or(-1, |at| *at as i64)),
            Loop::FindLast => fitting.last().map_or(Value::Nil, |at| items[*at].clone()),
            Loop::Filter => return run.list(fitting.iter().map(|at| items[*at].clone()).collect()),
            Loop::Find | Loop::Map | Loop::Sum => Value::Nil,
        })
    }
}

fn sum(numbers: &[Value]) -> Result<Value, String> {
    let integers: Option<Vec<i64>> =
        numbers.iter().map(|number| if let Value::Integer(number) = number { Some(*number) } else { None }).collect();
    if let Some(integers) = integers {
        return Ok(Value::Integer(integers.into_iter().fold(0, i64::wrapping_add)));
    }
    let floats = numbers.iter().map(|number| number.number().ok_or_else(|| wrong("sum")));
    Ok(Value::Float(floats.sum::<Result<f64, String>>()?))
}

/// The element of a list, the value of a key, the character of a text. A negative index counts from the end.
pub(super) fn member(base: &Value, key: &Value) -> Result<Value, String> {
    match (base, key) {
        (Value::Map(map), Value::Text(key)) => Ok(map.get(key).cloned().unwrap_or(Value::Nil)),
        (Value::List(items), Value::Integer(at)) => place(*at, items.len())
            .and_then(|at| items.get(at).cloned())
            .ok_or_else(|| format!("index {at} is out of range")),
        (Value::Text(text), Value::Integer(at)) => place(*at, text.chars().count())
            .and_then(|at| text.chars().nth(at))
            .map(|one| Value::text(one.to_string()))
            .ok_or_else(|| format!("index {at} is out of range")),
        (base, key) => Err(format!("{} has no member that is {}", base.kind(), key.kind())),
    }
}

fn place(at: i64, len: usize) -> Option<usize> {
    usize::try_from(if at < 0 { at.checked_add(i64::try_from(len).ok()?)? } else { at }).ok()
}

/// `x[from:to]`, held to what there is.
pub(super) fn slice(run: &Run<'_>, base: &Value, from: Option<Value>, to: Option<Value>) -> Result<Value, String> {
    let end = |value: Option<Value>, len: usize, default: usize| match value {
        None => Ok(default),
        Some(Value::Integer(at)) => Ok(place(at, len).unwrap_or(0).min(len)),
        Some(other) => Err(format!("the end of a slice is {}", other.kind())),
    };
    match base {
        Value::List(items) => {
            let (from, to) = (end(from, items.len(), 0)?, end(to, items.len(), items.len())?);
            run.list(items.get(from..to).unwrap_or_default().to_vec())
        }
        Value::Text(text) => {
            let len = text.chars().count();
            let (from, to) = (end(from, len, 0)?, end(to, len, len)?);
            run.text(text.chars().skip(from).take(to.saturating_sub(from)).collect::<String>())
        }
        other => Err(format!("{} cannot be sliced", other.kind())),
    }
}
