//! Kinds, as far as they are known at load: what cannot fit is an error for the operator, not a failure for each query.

use super::builtins::{self, Loop};
use super::tree::{Binary, Node, What};
use super::value::{Kind, Value};
use std::sync::Arc;

/// Looks at an argument, by its place from 0.
pub type Known = fn(usize, &Value) -> Result<(), String>;

/// A function that expressions may call.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What each argument has to be.
    pub parameters: &'static [Kind],
    /// What it gives.
    pub result: Kind,
    /// Looks at an argument that is known at load, by its place; an error says what was expected.
    pub known: Option<Known>,
}

/// The names that an expression may use beside the built-in ones.
#[derive(Clone, Copy, Default)]
pub struct Scope<'s> {
    /// Functions, by groups.
    pub functions: &'s [&'s [Function]],
    /// Variables.
    pub variables: &'s [(String, Kind)],
}

type Result<T, E = (usize, String)> = std::result::Result<T, E>;

/// The kind of an expression's value.
pub(super) fn kind(node: &Node, scope: &Scope<'_>) -> Result<Kind> {
    Check { scope, lets: Vec::new() }.kind(node)
}

struct Check<'c> {
    scope: &'c Scope<'c>,
    lets: Vec<(Arc<str>, Kind)>,
}

impl Check<'_> {
    fn kind(&mut self, node: &Node) -> Result<Kind> {
        Ok(match &node.what {
            What::Literal(value) => value.kind(),
            What::Element | What::Accumulated => Kind::Any,
            What::Place => Kind::Integer,
            What::Variable(name) => self.variable(node.at, name)?,
            What::List(items) => {
                self.each(items)?;
                Kind::List
            }
            What::Map(entries) => {
                for (key, value) in entries {
                    self.expect(key, Kind::Text, "a key")?;
                    self.kind(value)?;
                }
                Kind::Map
            }
            What::Not(inner) => self.expect(inner, Kind::Truth, "what 'not' turns round")?,
            What::Negative(inner) => {
                let kind = self.kind(inner)?;
                if !kind.may_be(Kind::Number) {
                    return Err((inner.at, format!("'-' stands before {kind}; expected a number")));
                }
                kind
            }
            What::All(terms) => self.terms(terms, "'and'")?,
            What::Any(terms) => self.terms(terms, "'or'")?,
            What::Binary(operator, left, right) => self.binary(node, *operator, left, right)?,
            What::Matches(text, _) => {
                self.expect(text, Kind::Text, "what 'matches' looks at")?;
                Kind::Truth
            }
            What::Conditional(condition, then, otherwise) => {
                self.expect(condition, Kind::Truth, "the condition")?;
                self.kind(then)?.or(self.kind(otherwise)?)
            }
            What::Index(base, key, _) => self.index(base, key)?,
            What::Method(base, name, arguments, _) => self.method(node.at, base, name, arguments)?,
            What::Slice(base, from, to) => {
                let kind = self.kind(base)?;
                if !kind.may_be(Kind::List) && kind != Kind::Text {
                    return Err((base.at, format!("{kind} cannot be sliced; expected an array or a string")));
                }
                for end in [from, to].into_iter().flatten() {
                    self.expect(end, Kind::Integer, "the end of a slice")?;
                }
                kind
            }
            What::Call(name, arguments) => self.call(node.at, name, arguments)?,
            What::Builtin(builtin, arguments) => {
                let kinds = self.each(arguments)?;
                builtin.result(&kinds).map_err(|(place, expected)| {
                    let (at, kind) = arguments.get(place).map_or((node.at, Kind::Any), |node| (node.at, kinds[place]));
                    (at, format!("{}: the argument is {kind}; expected {expected}", builtin.name()))
                })?
            }
            What::Loop(looped, over, each, more) => {
                let kind = self.kind(over)?;
                if !kind.may_be(Kind::List) && kind != Kind::Map {
                    return Err((
                        over.at,
                        format!("{}: the first argument is {kind}; expected an array", looped.name()),
                    ));
                }
                let kind = self.kind(each)?;
                let durations = *looped == Loop::Sum && kind == Kind::Duration;
                if let Some(wanted) = looped.wanted().filter(|wanted| !durations && !kind.may_be(*wanted)) {
                    return Err((each.at, format!("the expression for each element is {kind}; expected {wanted}")));
                }
                if let Some(more) = more {
                    self.kind(more)?;
                }
                looped.result(kind)
            }
            What::Let(name, value, rest) => {
                let kind = self.kind(value)?;
                self.lets.push((Arc::clone(name), kind));
                let kind = self.kind(rest);
                self.lets.pop();
                kind?
            }
        })
    }

    fn each(&mut self, nodes: &[Node]) -> Result<Vec<Kind>> {
        nodes.iter().map(|node| self.kind(node)).collect()
    }

    fn expect(&mut self, node: &Node, wanted: Kind, what: &str) -> Result<Kind> {
        let kind = self.kind(node)?;
        if kind.may_be(wanted) { Ok(wanted) } else { Err((node.at, format!("{what} is {kind}; expected {wanted}"))) }
    }

    fn terms(&mut self, terms: &[Node], operator: &str) -> Result<Kind> {
        let what = format!("what {operator} joins");
        terms.iter().try_for_each(|term| self.expect(term, Kind::Truth, &what).map(drop))?;
        Ok(Kind::Truth)
    }

    fn variable(&self, at: usize, name: &str) -> Result<Kind> {
        if let Some((_, kind)) = self.lets.iter().rev().find(|(known, _)| **known == *name) {
            return Ok(*kind);
        }
        if let Some((_, kind)) = self.scope.variables.iter().find(|(known, _)| known == name) {
            return Ok(*kind);
        }
        let is_function = self.scope.functions.iter().copied().flatten().any(|function| function.name == name);
        let expected = if is_function { format!("it is a function: {name}()") } else { self.known() };
        Err((at, format!("'{name}' is not known; {expected}")))
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.scope.functions.iter().copied().flatten().map(|function| function.name).collect();
        format!("expected one of: {}", names.join(", "))
    }

    fn call(&mut self, at: usize, name: &str, arguments: &[Node]) -> Result<Kind> {
        let Some(function) = self.scope.functions.iter().copied().flatten().find(|function| function.name == name)
        else {
            return Err((at, format!("the function '{name}' is not known; {}, or a built-in one", self.known())));
        };
        if arguments.len() != function.parameters.len() {
            let (has, wants) = (arguments.len(), function.parameters.len());
            return Err((at, format!("{name} has {has} arguments; expected {wants}")));
        }
        for (place, (argument, wanted)) in arguments.iter().zip(function.parameters).enumerate() {
            self.expect(argument, *wanted, &format!("argument {} of {name}", place + 1))?;
            if let (What::Literal(value), Some(look)) = (&argument.what, function.known) {
                look(place, value).map_err(|why| (argument.at, format!("{name}: {why}")))?;
            }
        }
        Ok(function.result)
    }

    fn method(&mut self, at: usize, base: &Node, name: &str, arguments: &[Node]) -> Result<Kind> {
        let (parameters, result) = builtins::method(self.kind(base)?, name).map_err(|why| (at, why))?;
        if arguments.len() != parameters.len() {
            let (has, wants) = (arguments.len(), parameters.len());
            return Err((at, format!("{name} has {has} arguments; expected {wants}")));
        }
        for (place, (argument, wanted)) in arguments.iter().zip(parameters).enumerate() {
            self.expect(argument, *wanted, &format!("argument {} of {name}", place + 1))?;
        }
        Ok(result)
    }

    fn index(&mut self, base: &Node, key: &Node) -> Result<Kind> {
        let wanted = match self.kind(base)? {
            Kind::List | Kind::Text => Kind::Integer,
            Kind::Map => Kind::Text,
            Kind::Any => Kind::Any,
            other => return Err((base.at, format!("{other} has no members; expected a map or an array"))),
        };
        self.expect(key, wanted, "the index")?;
        Ok(Kind::Any)
    }

    fn binary(&mut self, node: &Node, operator: Binary, left: &Node, right: &Node) -> Result<Kind> {
        use Binary::*;
        let (a, b) = (self.kind(left)?, self.kind(right)?);
        let mismatch = |sign: &str| Err((node.at, format!("{sign} stands between {a} and {b}")));
        let both = |wanted: Kind| a.may_be(wanted) && b.may_be(wanted);
        match operator {
            Equal | Unequal if a.may_be(b) || a == Kind::Nil || b == Kind::Nil => Ok(Kind::Truth),
            Equal => mismatch("'=='"),
            Unequal => mismatch("'!='"),
            Less | LessOrEqual | Greater | GreaterOrEqual
                if [Kind::Number, Kind::Text, Kind::Time, Kind::Duration].into_iter().any(both) =>
            {
                Ok(Kind::Truth)
            }
            Less | LessOrEqual | Greater | GreaterOrEqual => mismatch("a comparison"),
            In if let Some(other) = literals(right).find(|kind| a.is_of_times() && !kind.may_be(a)) => {
                Err((node.at, format!("'in' looks for {a} where {other} is")))
            }
            In if b.may_be(Kind::List) => Ok(Kind::Truth),
            In if b == Kind::Map && a.may_be(Kind::Text) => Ok(Kind::Truth),
            In => Err((right.at, format!("'in' looks into {b}; expected an array or a map"))),
            Contains | StartsWith | EndsWith | Matches if both(Kind::Text) => Ok(Kind::Truth),
            Contains | StartsWith | EndsWith | Matches => {
                Err((node.at, format!("the operator stands between {a} and {b}; expected strings")))
            }
            Add if both(Kind::Text) && (a == Kind::Text || b == Kind::Text) => Ok(Kind::Text),
            Add if a == Kind::Any || b == Kind::Any => Ok(Kind::Any),
            Add | Subtract | Multiply if let Some(kind) = of_times(operator, a, b) => Ok(kind),
            Add | Subtract | Multiply if both(Kind::Number) => Ok(a.or(b)),
            Divide | Power if both(Kind::Number) => Ok(Kind::Number),
            Remainder if both(Kind::Integer) => Ok(Kind::Integer),
            Add | Subtract | Multiply | Divide | Power | Remainder => mismatch("arithmetic"),
            Range if both(Kind::Integer) => Ok(Kind::List),
            Range => mismatch("'..'"),
            Otherwise => Ok(if a == Kind::Nil { b } else { a.or(b) }),
        }
    }
}

/// The kinds of the literals of a list that stands there.
fn literals(list: &Node) -> impl Iterator<Item = Kind> {
    let items = if let What::List(items) = &list.what { items.as_slice() } else { &[] };
    let range = matches!(list.what, What::Binary(Binary::Range, ..)).then_some(Kind::Integer);
    let kind = |item: &Node| if let What::Literal(value) = &item.what { Some(value.kind()) } else { None };
    items.iter().filter_map(kind).chain(range)
}

/// The kind of what arithmetic makes of a time or a duration.
fn of_times(operator: Binary, a: Kind, b: Kind) -> Option<Kind> {
    use Kind::{Any, Duration, Integer, Number, Time};
    Some(match (operator, a, b) {
        (Binary::Add, Time, Duration) | (Binary::Add, Duration, Time) | (Binary::Subtract, Time, Duration) => Time,
        (Binary::Add | Binary::Subtract, Duration, Duration) | (Binary::Subtract, Time, Time) => Duration,
        (Binary::Subtract, Time, Any) | (Binary::Subtract, Any, Time | Duration) => Any,
        (Binary::Subtract, Duration, Any) | (Binary::Multiply, Duration, Integer | Duration) => Duration,
        (Binary::Multiply, Integer, Duration) => Duration,
        (Binary::Multiply, Duration, Number | Any) | (Binary::Multiply, Number | Any, Duration) => Any,
        (Binary::Subtract | Binary::Multiply, Any, Any) => Any,
        _ => return None,
    })
}
