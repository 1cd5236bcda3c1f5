//! A template as a tree.

use super::super::value::Value;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    /// What `define` and `block` name.
    pub templates: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Output(Pipeline),
    /// `:=`, up to the end of the body it stands in.
    Declare(String, Pipeline),
    /// `=`.
    Assign(String, Pipeline),
    /// The branches with their conditions; the last may be without one.
    If(Vec<(Option<Pipeline>, Vec<Node>)>),
    /// `with`: the value is the dot of the first branch, and may have a name there.
    With(Option<String>, Pipeline, Vec<Node>, Vec<Node>),
    Range(Loop),
    /// A template of this tree, and what its dot is.
    Template(String, Option<Pipeline>),
    /// Ends the `range` it stands in.
    Break,
    /// Goes on with its next turn.
    Continue,
}

#[derive(Debug)]
pub(super) struct Loop {
    pub over: Pipeline,
    /// What place and value are called, where they are.
    pub place: Option<String>,
    pub value: Option<String>,
    pub body: Vec<Node>,
    /// For nothing to go over.
    pub otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline(pub Vec<Command>);

#[derive(Debug)]
pub(super) enum Command {
    Operand(Operand),
    Function(String, Vec<Operand>),
}

#[derive(Debug)]
pub(super) enum Operand {
    Literal(Value),
    /// `.Group.a`: the names behind the dots.
    Field(Vec<String>),
    /// The dot, with fields behind it: what `with`, `range` or `template` has set it to, else all of the data.
    Dot(Vec<String>),
    /// `$`, with fields behind it: what the template was given.
    Top(Vec<String>),
    /// `$x`, with fields behind it.
    Variable(String, Vec<String>),
    Pipeline(Box<Pipeline>),
}
