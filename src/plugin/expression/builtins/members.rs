//! What stands in a value: members and slices.

use super::super::evaluate::Run;
use super::super::value::Value;

/// The element of a list, the value of a key, the character of a text. A negative index counts from the end.
pub(in super::super) fn member(base: &Value, key: &Value) -> Result<Value, String> {
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
pub(in super::super) fn slice(
    run: &Run<'_>,
    base: &Value,
    from: Option<Value>,
    to: Option<Value>,
) -> Result<Value, String> {
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
