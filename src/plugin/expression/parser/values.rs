//! What operators stand between: literals, lists, maps, names, and what is picked out of them.

use super::super::lexer::Word;
use super::super::tree::{Node, What};
use super::super::value::Value;
use super::{Parser, Result, shown};
use std::sync::Arc;

impl Parser {
    pub(super) fn primary(&mut self) -> Result<Node> {
        let at = self.place();
        let Some(word) = self.peek().cloned() else {
            return Err((at, "the expression ends here; expected a value".to_owned()));
        };
        self.at += 1;
        match word {
            Word::Integer(number) => self.node(at, What::Literal(Value::Integer(number))),
            Word::Float(number) => self.node(at, What::Literal(Value::Float(number))),
            Word::Text(text) => self.node(at, What::Literal(Value::Text(text.into()))),
            Word::Name(name) => self.name(at, name),
            Word::Sign("(") => {
                let inner = self.nested(Parser::sequence)?;
                self.expect(")")?;
                Ok(inner)
            }
            Word::Sign("[") => {
                let items = self.nested(|parser| parser.separated("]", Parser::expression))?;
                self.node(at, What::List(items))
            }
            Word::Sign("{") => {
                let entries = self.nested(|parser| parser.separated("}", Parser::entry))?;
                self.node(at, What::Map(entries))
            }
            Word::Sign("#") if self.loops > 0 => match self.word_at(at + 1) {
                Some("index") => {
                    self.at += 1;
                    self.node(at, What::Place)
                }
                Some("acc") => {
                    self.at += 1;
                    self.node(at, What::Accumulated)
                }
                _ => self.node(at, What::Element),
            },
            Word::Sign(".") if self.loops > 0 => {
                let element = self.node(at, What::Element)?;
                self.member(at, element, false)
            }
            word => Err((at, format!("{} is unexpected; expected a value", shown(&word)))),
        }
    }

    /// What is separated by commas, up to a bracket; a comma may stand before it.
    pub(super) fn separated<T>(&mut self, close: &str, read: impl Fn(&mut Parser) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !self.take(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take(close) {
                    break;
                }
            }
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// `key: value` in a map; the key is a name, a string, a number, or anything in parentheses.
    fn entry(&mut self) -> Result<(Node, Node)> {
        let at = self.place();
        let key = match self.peek().cloned() {
            Some(Word::Name(name) | Word::Text(name)) => {
                self.at += 1;
                self.node(at, What::Literal(Value::Text(name.into())))?
            }
            Some(Word::Integer(number)) => {
                self.at += 1;
                self.node(at, What::Literal(Value::text(number.to_string())))?
            }
            Some(Word::Sign("(")) => self.expression()?,
            _ => return Err((at, "a key is expected in a map".to_owned())),
        };
        self.expect(":")?;
        Ok((key, self.expression()?))
    }

    /// A keyword, a call, or a variable.
    fn name(&mut self, at: usize, name: String) -> Result<Node> {
        match name.as_str() {
            "true" | "false" => return self.node(at, What::Literal(Value::Truth(name == "true"))),
            "nil" => return self.node(at, What::Literal(Value::Nil)),
            _ => {}
        }
        if self.take("(") { self.call(at, name, None) } else { self.node(at, What::Variable(name.into())) }
    }

    /// Members, indexes and slices behind a value.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node> {
        loop {
            let at = self.place();
            if self.take("?.") {
                node = self.member(at, node, true)?;
            } else if self.is_sign(".") {
                self.at += 1;
                node = self.member(at, node, false)?;
            } else if self.take("[") {
                node = self.nested(|parser| parser.index(at, node))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn member(&mut self, at: usize, base: Node, optional: bool) -> Result<Node> {
        let Some(Word::Name(name)) = self.peek().cloned() else {
            return Err((self.place(), "a member's name is expected behind the dot".to_owned()));
        };
        let key = self.node(self.place(), What::Literal(Value::Text(Arc::from(name.as_str()))))?;
        self.at += 1;
        if self.take("(") {
            let arguments = self.nested(|parser| parser.separated(")", Parser::expression))?;
            return self.node(at, What::Method(base.into(), name.into(), arguments, optional));
        }
        self.node(at, What::Index(base.into(), key.into(), optional))
    }

    fn index(&mut self, at: usize, base: Node) -> Result<Node> {
        let from = if self.is_sign(":") { None } else { Some(Box::new(self.expression()?)) };
        if self.take(":") {
            let to = if self.is_sign("]") { None } else { Some(Box::new(self.expression()?)) };
            self.expect("]")?;
            return self.node(at, What::Slice(base.into(), from, to));
        }
        self.expect("]")?;
        match from {
            Some(key) => self.node(at, What::Index(base.into(), key, false)),
            None => Err((at, "an index is expected".to_owned())),
        }
    }
}
