//! The tree to a value, for one query, within bounds.

use super::STEPS;
use super::builtins;
use super::time::{Time, Zone};
use super::tree::{Binary, Node, What};
use super::value::Value;
use jiff::Timestamp;
use regex::RegexBuilder;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What expressions ask of a query.
pub trait Facts {
    /// The value of a function of the scope.
    ///
    /// # Errors
    /// Arguments that the function cannot work with.
    fn call(&self, function: &str, arguments: &[Value]) -> Result<Value, String>;

    /// The value of a variable of the scope.
    fn variable(&self, _name: &str) -> Value {
        Value::Nil
    }

    /// The time.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A pattern that is only known now is dear to compile.
const PATTERN_STEPS: usize = 1_000;
/// The memory of such a pattern, in octets.
const PATTERN_SIZE: usize = 1 << 16;

pub(super) fn run(root: &Node, facts: &dyn Facts) -> Result<Value, String> {
    Run { facts, left: Cell::new(STEPS), lets: RefCell::default(), elements: RefCell::default() }.value(root)
}

/// One evaluation.
pub(super) struct Run<'r> {
    facts: &'r dyn Facts,
    left: Cell<u32>,
    lets: RefCell<Vec<(Arc<str>, Value)>>,
    /// What the loops are at, the innermost last.
    elements: RefCell<Vec<Element>>,
}

/// What a loop is at.
struct Element {
    value: Value,
    index: usize,
    /// What `reduce` has so far.
    accumulated: Value,
}

impl Run<'_> {
    /// Pays for what is about to be done or made.
    pub(super) fn pay(&self, steps: usize) -> Result<(), String> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.left.get().checked_sub(steps));
        self.left.set(left.ok_or_else(|| format!("the expression takes more than {STEPS} steps"))?);
        Ok(())
    }

    /// A text, paid for.
    pub(super) fn text(&self, text: impl AsRef<str>) -> Result<Value, String> {
        self.pay(text.as_ref().len() / 16)?;
        Ok(Value::text(text))
    }

    /// A list, paid for.
    pub(super) fn list(&self, items: Vec<Value>) -> Result<Value, String> {
        self.pay(items.len())?;
        Ok(Value::List(items.into()))
    }

    /// The time, looked at from a zone.
    pub(super) fn now(&self, zone: Zone) -> Result<Value, String> {
        let at = Timestamp::try_from(self.facts.now()).map_err(|why| format!("now: {why}"))?;
        Time::new(at.as_nanosecond(), zone).map(Value::from)
    }

    /// Evaluates for one element of a loop.
    pub(super) fn with_element(&self, element: &Value, index: usize, each: &Node) -> Result<Value, String> {
        self.with_accumulated(element, index, Value::Nil, each)
    }

    /// As that, with what `reduce` has so far.
    pub(super) fn with_accumulated(
        &self,
        element: &Value,
        index: usize,
        accumulated: Value,
        each: &Node,
    ) -> Result<Value, String> {
        self.elements.borrow_mut().push(Element { value: element.clone(), index, accumulated });
        let value = self.value(each);
        self.elements.borrow_mut().pop();
        value
    }

    pub(super) fn value(&self, node: &Node) -> Result<Value, String> {
        self.pay(1)?;
        match &node.what {
            What::Literal(value) => Ok(value.clone()),
            What::Variable(name) => Ok(self.variable(name)),
            What::Element => Ok(self.elements.borrow().last().map_or(Value::Nil, |at| at.value.clone())),
            What::Place => Ok(self.elements.borrow().last().map_or(Value::Nil, |at| Value::Integer(at.index as i64))),
            What::Accumulated => Ok(self.elements.borrow().last().map_or(Value::Nil, |at| at.accumulated.clone())),
            What::List(items) => self.list(self.values(items)?),
            What::Map(entries) => self.map(entries),
            What::Not(inner) => Ok(Value::Truth(!self.truth(inner)?)),
            What::Negative(inner) => negative(&self.value(inner)?),
            What::All(terms) => self.joined(terms, false),
            What::Any(terms) => self.joined(terms, true),
            What::Binary(Binary::Otherwise, left, right) => match self.value(left)? {
                Value::Nil => self.value(right),
                value => Ok(value),
            },
            What::Binary(operator, left, right) => self.binary(*operator, &self.value(left)?, &self.value(right)?),
            What::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => Ok(Value::Truth(pattern.is_match(&text))),
                other => Err(format!("matches looks at {}", other.kind())),
            },
            What::Conditional(condition, then, otherwise) => {
                self.value(if self.truth(condition)? { then } else { otherwise })
            }
            What::Index(base, key, optional) => match self.value(base)? {
                Value::Nil if *optional => Ok(Value::Nil),
                base => builtins::member(&base, &self.value(key)?),
            },
            What::Slice(base, from, to) => {
                let end = |node: &Option<Box<Node>>| node.as_ref().map(|node| self.value(node)).transpose();
                builtins::slice(self, &self.value(base)?, end(from)?, end(to)?)
            }
            What::Method(base, name, arguments, optional) => match self.value(base)? {
                Value::Nil if *optional => Ok(Value::Nil),
                base => builtins::call_method(self, &base, name, &self.values(arguments)?),
            },
            What::Call(name, arguments) => {
                let value = self.facts.call(name, &self.values(arguments)?)?;
                if let Value::Text(text) = &value {
                    self.pay(text.len() / 16)?;
                }
                Ok(value)
            }
            What::Builtin(builtin, arguments) => builtin.call(self, &self.values(arguments)?),
            What::Loop(looped, over, each, more) => {
                let more = more.as_ref().map(|more| self.value(more)).transpose()?;
                looped.run(self, &self.value(over)?, each, more)
            }
            What::Let(name, value, rest) => {
                let value = self.value(value)?;
                self.lets.borrow_mut().push((Arc::clone(name), value));
                let value = self.value(rest);
                self.lets.borrow_mut().pop();
                value
            }
        }
    }

    fn values(&self, nodes: &[Node]) -> Result<Vec<Value>, String> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    pub(super) fn truth(&self, node: &Node) -> Result<bool, String> {
        match self.value(node)? {
            Value::Truth(truth) => Ok(truth),
            other => Err(format!("{} stands where true or false is expected", other.kind())),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let lets = self.lets.borrow();
        let known = lets.iter().rev().find(|(known, _)| **known == *name);
        known.map_or_else(|| self.facts.variable(name), |(_, value)| value.clone())
    }

    fn map(&self, entries: &[(Node, Node)]) -> Result<Value, String> {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let Value::Text(key) = self.value(key)? else { return Err("a map's key is no string".to_owned()) };
            map.insert(key, self.value(value)?);
        }
        Ok(Value::Map(map.into()))
    }

    /// Up to the first term that decides.
    fn joined(&self, terms: &[Node], decides: bool) -> Result<Value, String> {
        for term in terms {
            if self.truth(term)? == decides {
                return Ok(Value::Truth(decides));
            }
        }
        Ok(Value::Truth(!decides))
    }

    fn binary(&self, operator: Binary, left: &Value, right: &Value) -> Result<Value, String> {
        use Binary::*;
        let truth = match (operator, left, right) {
            (Equal, a, b) => a == b,
            (Unequal, a, b) => a != b,
            (Less, a, b) => ordered(a, b)?.is_lt(),
            (LessOrEqual, a, b) => ordered(a, b)?.is_le(),
            (Greater, a, b) => ordered(a, b)?.is_gt(),
            (GreaterOrEqual, a, b) => ordered(a, b)?.is_ge(),
            (In, item, Value::List(items)) => {
                self.pay(items.len())?;
                items.contains(item)
            }
            (In, Value::Text(key), Value::Map(map)) => map.contains_key(key),
            (In, _, Value::Nil) => false,
            (Contains, Value::Text(a), Value::Text(b)) => a.contains(&**b),
            (StartsWith, Value::Text(a), Value::Text(b)) => a.starts_with(&**b),
            (EndsWith, Value::Text(a), Value::Text(b)) => a.ends_with(&**b),
            (Matches, Value::Text(a), Value::Text(b)) => {
                self.pay(PATTERN_STEPS)?;
                let pattern = RegexBuilder::new(b).size_limit(PATTERN_SIZE).build();
                pattern.map_err(|why| format!("'{b}' is no pattern: {why}"))?.is_match(a)
            }
            (Range, Value::Integer(from), Value::Integer(to)) => {
                let count = to.saturating_sub(*from).saturating_add(1).max(0);
                self.pay(usize::try_from(count).unwrap_or(usize::MAX))?;
                return Ok(Value::List((*from..=*to).map(Value::Integer).collect()));
            }
            (Add, Value::Text(a), Value::Text(b)) => return self.text([&**a, &**b].concat()),
            (Add | Subtract | Multiply | Divide | Remainder | Power, a, b) => return arithmetic(operator, a, b),
            (_, a, b) => return Err(format!("an operator stands between {} and {}", a.kind(), b.kind())),
        };
        Ok(Value::Truth(truth))
    }
}

fn ordered(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    a.order(b).ok_or_else(|| format!("{} and {} have no order", a.kind(), b.kind()))
}

fn negative(value: &Value) -> Result<Value, String> {
    match value {
        Value::Integer(number) => Ok(Value::Integer(number.wrapping_neg())),
        Value::Float(number) => Ok(Value::Float(-number)),
        other => Err(format!("'-' stands before {}", other.kind())),
    }
}

/// As Go: integers wrap around, `/` and `**` make floats.
fn arithmetic(operator: Binary, a: &Value, b: &Value) -> Result<Value, String> {
    use Binary::*;
    match (operator, a, b) {
        (Add, Value::Time(time), Value::Duration(later)) | (Add, Value::Duration(later), Value::Time(time)) => {
            return time.after(*later).map(Value::from);
        }
        (Subtract, Value::Time(time), Value::Duration(earlier)) => return time.before(*earlier).map(Value::from),
        (Subtract, Value::Time(a), Value::Time(b)) => return Ok(Value::Duration(a.since(b))),
        (Add, Value::Duration(a), Value::Duration(b)) => return Ok(Value::Duration(a.wrapping_add(*b))),
        (Subtract, Value::Duration(a), Value::Duration(b)) => return Ok(Value::Duration(a.wrapping_sub(*b))),
        (Multiply, Value::Duration(a), Value::Duration(b) | Value::Integer(b))
        | (Multiply, Value::Integer(a), Value::Duration(b)) => return Ok(Value::Duration(a.wrapping_mul(*b))),
        (Multiply, Value::Duration(a), Value::Float(b)) | (Multiply, Value::Float(b), Value::Duration(a)) => {
            return Ok(Value::Float(*a as f64 * b));
        }
        _ => {}
    }
    if let (Value::Integer(a), Value::Integer(b)) = (a, b) {
        match operator {
            Add => return Ok(Value::Integer(a.wrapping_add(*b))),
            Subtract => return Ok(Value::Integer(a.wrapping_sub(*b))),
            Multiply => return Ok(Value::Integer(a.wrapping_mul(*b))),
            Remainder if *b == 0 => return Err("division by zero".to_owned()),
            Remainder => return Ok(Value::Integer(a.wrapping_rem(*b))),
            _ => {}
        }
    }
    let numbers = a.number().zip(b.number()).filter(|_| operator != Remainder);
    let (x, y) = numbers.ok_or_else(|| format!("arithmetic stands between {} and {}", a.kind(), b.kind()))?;
    Ok(Value::Float(match operator {
        Add => x + y,
        Subtract => x - y,
        Multiply => x * y,
        Divide => x / y,
        _ => x.powf(y),
    }))
}
