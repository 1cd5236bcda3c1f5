//! The tree of an expression.

use super::builtins::{Builtin, Loop};
use super::value::Value;
use regex::Regex;
use std::sync::Arc;

/// A part of an expression, and where in its text it stands.
pub(super) struct Node {
    pub(super) at: usize,
    /// How many nodes stand in each other here, this one counted.
    pub(super) depth: usize,
    pub(super) what: What,
}

pub(super) enum What {
    Literal(Value),
    List(Vec<Node>),
    /// Keys and values.
    Map(Vec<(Node, Node)>),
    /// A name of `let`, or of the scope.
    Variable(Arc<str>),
    /// `#`: what a loop is at.
    Element,
    /// `#index`: where in the list it is.
    Place,
    /// `#acc`: what `reduce` has so far.
    Accumulated,
    Not(Box<Node>),
    Negative(Box<Node>),
    /// `and`, flat: all have to be true.
    All(Vec<Node>),
    /// `or`, flat.
    Any(Vec<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    /// `matches` with a pattern that is known at load.
    Matches(Box<Node>, Regex),
    /// Condition, then, else.
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    /// `x[key]` and `x.key`; where the last is true, nil has nil behind it (`?.`).
    Index(Box<Node>, Box<Node>, bool),
    /// `x[from:to]`.
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    /// `x.name(…)`; where the last is true, nil has nil behind it.
    Method(Box<Node>, Arc<str>, Vec<Node>, bool),
    /// A function of the scope.
    Call(Arc<str>, Vec<Node>),
    Builtin(Builtin, Vec<Node>),
    /// A built-in with an expression for each element, and what may stand behind that.
    Loop(Loop, Box<Node>, Box<Node>, Option<Box<Node>>),
    /// `let NAME = VALUE; REST`.
    Let(Arc<str>, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Range,
    /// `??`.
    Otherwise,
}

impl Node {
    pub(super) fn children(&self) -> Vec<&Node> {
        match &self.what {
            What::Literal(_) | What::Variable(_) | What::Element | What::Place | What::Accumulated => Vec::new(),
            What::List(nodes) | What::All(nodes) | What::Any(nodes) => nodes.iter().collect(),
            What::Call(_, nodes) | What::Builtin(_, nodes) => nodes.iter().collect(),
            What::Method(base, _, nodes, _) => std::iter::once(&**base).chain(nodes).collect(),
            What::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            What::Not(node) | What::Negative(node) | What::Matches(node, _) => vec![node],
            What::Binary(_, a, b) | What::Index(a, b, _) | What::Let(_, a, b) => vec![a, b],
            What::Loop(_, over, each, more) => [&**over, each].into_iter().chain(more.as_deref()).collect(),
            What::Conditional(a, b, c) => vec![a, b, c],
            What::Slice(base, from, to) => {
                std::iter::once(&**base).chain(from.as_deref()).chain(to.as_deref()).collect()
            }
        }
    }

    /// Whether this node or one below it fits.
    pub(super) fn any(&self, fits: &mut dyn FnMut(&Node) -> bool) -> bool {
        fits(self) || self.children().into_iter().any(|child| child.any(fits))
    }
}
