//! Functions with an expression for each element.

use super::super::evaluate::Run;
use super::super::tree::Node;
use super::super::value::{Kind, Value};
use super::lists::{in_order, is_descending};
use super::wrong;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function with an expression for each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Loop {
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
    GroupBy,
    SortBy,
    Reduce,
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
    ("groupBy", Loop::GroupBy),
    ("sortBy", Loop::SortBy),
    ("reduce", Loop::Reduce),
];

impl Loop {
    pub(in super::super) fn find(name: &str) -> Option<Loop> {
        LOOPS.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
    }

    pub(in super::super) fn name(self) -> &'static str {
        LOOPS.iter().find(|(_, found)| *found == self).map_or("", |(name, _)| name)
    }

    /// Whether the elements themselves may be what is counted or added up.
    pub(in super::super) fn may_be_bare(self) -> bool {
        matches!(self, Loop::Count | Loop::Sum)
    }

    /// What the expression has to give; anything where there is none.
    pub(in super::super) fn wanted(self) -> Option<Kind> {
        match self {
            Loop::Map | Loop::GroupBy | Loop::SortBy | Loop::Reduce => None,
            Loop::Sum => Some(Kind::Number),
            _ => Some(Kind::Truth),
        }
    }

    /// What comes out, where the expression gives `each`.
    pub(in super::super) fn result(self, each: Kind) -> Kind {
        match self {
            Loop::All | Loop::Any | Loop::One | Loop::None => Kind::Truth,
            Loop::Filter | Loop::Map | Loop::SortBy => Kind::List,
            Loop::GroupBy => Kind::Map,
            Loop::Find | Loop::FindLast | Loop::Reduce => Kind::Any,
            Loop::FindIndex | Loop::FindLastIndex | Loop::Count => Kind::Integer,
            Loop::Sum => each,
        }
    }

    /// Whether something may stand behind the expression: an order, or a value to begin with.
    pub(in super::super) fn may_have_more(self) -> bool {
        matches!(self, Loop::SortBy | Loop::Reduce)
    }

    pub(in super::super) fn run(
        self,
        run: &Run<'_>,
        over: &Value,
        each: &Node,
        more: Option<Value>,
    ) -> Result<Value, String> {
        let items: Vec<Value> = match over {
            Value::List(items) => items.to_vec(),
            Value::Map(map) => map.values().cloned().collect(),
            other => return Err(format!("{} goes over {}", self.name(), other.kind())),
        };
        run.pay(items.len())?;
        match self {
            Loop::Map => {
                return run.list(mapped(run, &items, each)?);
            }
            Loop::Sum => {
                return sum(&mapped(run, &items, each)?);
            }
            Loop::GroupBy => return grouped(run, &items, each),
            Loop::SortBy => {
                let is_down = is_descending(self.name(), more.as_ref())?;
                let mut keyed: Vec<_> = mapped(run, &items, each)?.into_iter().zip(items).collect();
                keyed.sort_by(|(a, _), (b, _)| in_order(a, b, is_down));
                return run.list(keyed.into_iter().map(|(_, item)| item).collect());
            }
            Loop::Reduce => return reduced(run, &items, each, more),
            _ => {}
        }
        let mut fitting = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Value::Truth(fits) = run.with_element(item, at, each)? else {
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
            Loop::FindIndex => Value::Nil,
            Loop::FindLastIndex => fitting.last().map_or(Value::Nil, |at| Value::Integer(*at as i64)),
            Loop::FindLast => fitting.last().map_or(Value::Nil, |at| items[*at].clone()),
            Loop::Filter => return run.list(fitting.iter().map(|at| items[*at].clone()).collect()),
            Loop::Find | Loop::Map | Loop::Sum | Loop::GroupBy | Loop::SortBy | Loop::Reduce => Value::Nil,
        })
    }
}

fn mapped(run: &Run<'_>, items: &[Value], each: &Node) -> Result<Vec<Value>, String> {
    items.iter().enumerate().map(|(at, item)| run.with_element(item, at, each)).collect()
}

/// Lists of elements, by what the expression makes of each.
fn grouped(run: &Run<'_>, items: &[Value], each: &Node) -> Result<Value, String> {
    let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
    for (key, item) in mapped(run, items, each)?.into_iter().zip(items) {
        groups.entry(key.to_string().into()).or_default().push(item.clone());
    }
    run.pay(items.len())?;
    Ok(Value::Map(Arc::new(groups.into_iter().map(|(key, items)| (key, Value::List(items.into()))).collect())))
}

/// From the first to the last: `#acc` is what came out so far, at first the value to begin with, or else the first
/// element.
fn reduced(run: &Run<'_>, items: &[Value], each: &Node, first: Option<Value>) -> Result<Value, String> {
    let (mut value, begin) = match (first, items.first()) {
        (Some(first), _) => (first, 0),
        (None, Some(first)) => (first.clone(), 1),
        (None, None) => return Err("reduce: there are no elements, and nothing to begin with".to_owned()),
    };
    for (at, item) in items.iter().enumerate().skip(begin) {
        value = run.with_accumulated(item, at, value, each)?;
    }
    Ok(value)
}

fn sum(numbers: &[Value]) -> Result<Value, String> {
    let integers: Option<Vec<i64>> =
        numbers.iter().map(|number| if let Value::Integer(number) = number { Some(*number) } else { None }).collect();
    if let Some(integers) = integers {
        return Ok(Value::Integer(integers.into_iter().fold(0, i64::wrapping_add)));
    }
    if let [Value::Duration(_), ..] = numbers {
        let duration =
            |number: &Value| if let Value::Duration(number) = number { Ok(*number) } else { Err(wrong("sum")) };
        let durations = numbers.iter().map(duration).collect::<Result<Vec<i64>, String>>()?;
        return Ok(Value::Duration(durations.into_iter().fold(0, i64::wrapping_add)));
    }
    let floats = numbers.iter().map(|number| number.number().ok_or_else(|| wrong("sum")));
    Ok(Value::Float(floats.sum::<Result<f64, String>>()?))
}
