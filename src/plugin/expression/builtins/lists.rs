//! Functions of a list.

use super::super::evaluate::Run;
use super::super::value::Value;
use super::{member, of_numbers, wrong};
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
