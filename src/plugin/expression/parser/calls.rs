//! Calls of functions, and loops over lists.

use super::super::builtins::{Builtin, Loop};
use super::super::lexer::Word;
use super::super::tree::{Node, What};
use super::{Parser, Result};

impl Parser {
    /// `value | call(…)`: the value is the first argument.
    pub(super) fn piped(&mut self, first: Node) -> Result<Node> {
        let at = self.place();
        let Some(Word::Name(name)) = self.peek().cloned() else {
            return Err((at, "a function is expected behind |".to_owned()));
        };
        self.at += 1;
        self.expect("(")?;
        let call = self.call(at, name, Some(first))?;
        self.postfix(call)
    }

    /// The rest of a call whose parenthesis is read.
    pub(super) fn call(&mut self, at: usize, name: String, first: Option<Node>) -> Result<Node> {
        if let Some(kind) = Loop::find(&name) {
            return self.looped(at, kind, first);
        }
        let mut arguments: Vec<Node> = first.into_iter().collect();
        arguments.extend(self.nested(|parser| parser.separated(")", Parser::expression))?);
        match Builtin::find(&name) {
            Some(builtin) if !builtin.takes(arguments.len()) => {
                Err((at, format!("{name} has {} arguments; expected {}", arguments.len(), builtin.expected())))
            }
            Some(builtin) => match builtin.at_load(at, &mut arguments)? {
                Some(value) => self.node(at, What::Literal(value)),
                None => self.node(at, What::Builtin(builtin, arguments)),
            },
            None => self.node(at, What::Call(name.into(), arguments)),
        }
    }

    /// `filter(list, # > 1)`, the expression with or without braces.
    fn looped(&mut self, at: usize, kind: Loop, first: Option<Node>) -> Result<Node> {
        let over = match first {
            Some(first) if self.is_sign(")") && kind.may_be_bare() => {
                self.at += 1;
                let each = self.node(at, What::Element)?;
                return self.node(at, What::Loop(kind, first.into(), each.into(), None));
            }
            Some(first) => first,
            None => {
                let over = self.expression()?;
                if self.is_sign(")") && kind.may_be_bare() {
                    self.at += 1;
                    let each = self.node(at, What::Element)?;
                    return self.node(at, What::Loop(kind, over.into(), each.into(), None));
                }
                self.expect(",")?;
                over
            }
        };
        self.loops += 1;
        let each = if self.take("{") {
            let each = self.expression()?;
            self.expect("}")?;
            each
        } else {
            self.expression()?
        };
        self.loops -= 1;
        let more = if kind.may_have_more() && self.take(",") { Some(Box::new(self.expression()?)) } else { None };
        self.expect(")")?;
        self.node(at, What::Loop(kind, over.into(), each.into(), more))
    }
}
