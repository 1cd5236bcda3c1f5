//! Functions of a string.

use super::super::evaluate::Run;
use super::super::value::Value;
use super::{member, wrong};
use crate::wire::{base64, to_base64};
use std::sync::Arc;

pub(super) fn of_text(run: &Run<'_>, name: &str, text: &Arc<str>, rest: &[Value]) -> Result<Value, String> {
    // Whatever looks at a text goes through it once.
    run.pay(text.len() / 16)?;
    let position = |at: Option<usize>| Value::Integer(at.map_or(-1, |at| at as i64));
    match (name, rest) {
        ("len", []) => Ok(Value::Integer(text.chars().count() as i64)),
        ("lower", []) => run.text(text.to_lowercase()),
        ("upper", []) => run.text(text.chars().map(upper).collect::<String>()),
        ("trim", []) => run.text(text.trim()),
        ("trim", [Value::Text(set)]) => run.text(text.trim_matches(|one| set.contains(one))),
        ("trimPrefix", [Value::Text(prefix)]) => run.text(text.strip_prefix(&**prefix).unwrap_or(text)),
        ("trimSuffix", [Value::Text(suffix)]) => run.text(text.strip_suffix(&**suffix).unwrap_or(text)),
        ("split", [Value::Text(by)]) => split(run, text, by, usize::MAX),
        ("split", [Value::Text(by), Value::Integer(most)]) => {
            split(run, text, by, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        ("splitAfter", [Value::Text(by)]) => split_after(run, text, by, usize::MAX),
        ("splitAfter", [Value::Text(by), Value::Integer(most)]) => {
            split_after(run, text, by, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        ("fromJSON", []) => super::json::read(run, text),
        ("toBase64", []) => run.text(to_base64(text.as_bytes())),
        ("fromBase64", []) => {
            let octets = base64(text).ok_or_else(|| format!("'{text}' is no base64"))?;
            run.text(String::from_utf8_lossy(&octets))
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

/// As [`split`], what separates staying at the end of its part.
fn split_after(run: &Run<'_>, text: &str, by: &str, most: usize) -> Result<Value, String> {
    if by.is_empty() {
        return split(run, text, by, most);
    }
    run.pay(text.matches(by).count() + 1)?;
    let (mut parts, mut rest) = (Vec::new(), text);
    while parts.len() + 1 < most
        && let Some(at) = rest.find(by)
    {
        let (part, behind) = rest.split_at(at + by.len());
        parts.push(Value::text(part));
        rest = behind;
    }
    if most > 0 {
        parts.push(Value::text(rest));
    }
    run.list(parts)
}

/// As Go: a letter is one letter.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(only), None) => only,
        _ => letter,
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
