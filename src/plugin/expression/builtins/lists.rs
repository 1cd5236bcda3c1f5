//! Functions of a list.

use super::super::evaluate::Run;
use super::super::value::Value;
use super::{member, wrong};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn of_list(run: &Run<'_>, name: &str, items: &Arc<[Value]>, rest: &[Value]) -> Result<Value, String> {
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
        ("sort", order) => {
            let is_down = is_descending(name, order.first())?;
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| in_order(a, b, is_down));
            run.list(sorted)
        }
        ("fromPairs", []) => {
            let mut map = BTreeMap::new();
            for pair in items.iter() {
                let Value::List(pair) = pair else { return Err(wrong(name)) };
                let [key, value] = &**pair else { return Err(wrong(name)) };
                map.insert(Arc::from(key.to_string()), value.clone());
            }
            run.pay(map.len())?;
            Ok(Value::Map(map.into()))
        }
        ("join", []) => join(run, items, ""),
        ("join", [Value::Text(by)]) => join(run, items, by),
        ("get", [key]) => Ok(member(&Value::List(Arc::clone(items)), key).unwrap_or(Value::Nil)),
        ("string", []) => run.text(Value::List(Arc::clone(items)).to_string()),
        _ => Err(wrong(name)),
    }
}

/// Whether what follows the list asks for the greatest first.
pub(super) fn is_descending(name: &str, order: Option<&Value>) -> Result<bool, String> {
    match order {
        None => Ok(false),
        Some(Value::Text(word)) if &**word == "asc" => Ok(false),
        Some(Value::Text(word)) if &**word == "desc" => Ok(true),
        Some(other) => Err(format!("{name}: the order is {other}; expected asc or desc")),
    }
}

pub(super) fn in_order(a: &Value, b: &Value, is_down: bool) -> Ordering {
    let order = a.order(b).unwrap_or(Ordering::Equal);
    if is_down { order.reverse() } else { order }
}

/// Lists cannot hold themselves, and are as deep as the expression that made them, but paying bounds it anyway.
pub(super) fn flatten(run: &Run<'_>, items: &[Value], flat: &mut Vec<Value>) -> Result<(), String> {
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
