//! Functions with an expression for each element.

use super::super::evaluate::Run;
use super::super::tree::Node;
use super::super::value::{Kind, Value};
use super::wrong;

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
            Loop::Map => None,
            Loop::Sum => Some(Kind::Number),
            _ => Some(Kind::Truth),
        }
    }

    pub(in super::super) fn result(self) -> Kind {
        match self {
            Loop::All | Loop::Any | Loop::One | Loop::None => Kind::Truth,
            Loop::Filter | Loop::Map => Kind::List,
            Loop::Find | Loop::FindLast => Kind::Any,
            Loop::FindIndex | Loop::FindLastIndex | Loop::Count => Kind::Integer,
            Loop::Sum => Kind::Number,
        }
    }

    pub(in super::super) fn run(self, run: &Run<'_>, over: &Value, each: &Node) -> Result<Value, String> {
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
