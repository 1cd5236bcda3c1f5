//! Words to a tree, by precedence.

use super::builtins::{Builtin, Loop};
use super::lexer::{Located, Word, words};
use super::tree::{Binary, Node, What};
use super::value::Value;
use regex::Regex;
use std::sync::Arc;

/// How deep brackets, and nodes, may stand in each other: what bounds the stack.
const MAX_DEPTH: usize = 64;

/// Longest regular expression, in octets: CoreDNS's bound.
const MAX_PATTERN: usize = 10_000;

type Result<T> = std::result::Result<T, (usize, String)>;

/// The tree of a text.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { words: words(text)?, at: 0, end: text.len(), loops: 0, open: 0 };
    let root = parser.sequence()?;
    match parser.words.get(parser.at) {
        None => Ok(root),
        Some((at, word)) => Err((*at, format!("{} is unexpected; expected an operator or the end", shown(word)))),
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Integer(number) => format!("'{number}'"),
        Word::Float(number) => format!("'{number}'"),
        Word::Text(text) => format!("the string '{text}'"),
        Word::Name(name) => format!("'{name}'"),
        Word::Sign(sign) => format!("'{sign}'"),
    }
}

struct Parser {
    words: Vec<Located>,
    at: usize,
    /// The text's length.
    end: usize,
    /// How many loops' expressions we are in: `#` has a meaning there.
    loops: usize,
    /// How many brackets are open.
    open: usize,
}

/// What stands between two values.
enum Infix {
    And,
    Or,
    Pipe,
    Binary(Binary),
    /// `not in`, `not contains`, …
    Not(Binary),
}

impl Parser {
    fn place(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at).map(|(_, word)| word)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Word::Sign(found)) if *found == sign)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Word::Name(found)) if found == name)
    }

    /// The name that stands at this very place, if one does.
    fn word_at(&self, place: usize) -> Option<&str> {
        match self.words.get(self.at) {
            Some((at, Word::Name(name))) if *at == place => Some(name),
            _ => None,
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), shown);
        Err((self.place(), format!("{found} is unexpected; expected '{sign}'")))
    }

    fn node(&self, at: usize, what: What) -> Result<Node> {
        let mut node = Node { at, depth: 0, what };
        node.depth = 1 + node.children().iter().map(|child| child.depth).max().unwrap_or(0);
        if node.depth > MAX_DEPTH {
            return Err((at, format!("the expression is nested more than {MAX_DEPTH} deep")));
        }
        Ok(node)
    }

    /// `let NAME = VALUE; REST`, or one expression.
    fn sequence(&mut self) -> Result<Node> {
        if self.is_name("if") {
            return self.nested(Parser::choice);
        }
        if !self.is_name("let") {
            return self.expression();
        }
        let at = self.place();
        self.at += 1;
        let Some(Word::Name(name)) = self.peek().cloned() else {
            return Err((self.place(), "a name is expected behind let".to_owned()));
        };
        self.at += 1;
        self.expect("=")?;
        let value = self.expression()?;
        self.expect(";")?;
        let rest = self.nested(Parser::sequence)?;
        self.node(at, What::Let(name.into(), value.into(), rest.into()))
    }

    /// `if CONDITION { VALUE } else { VALUE }`; another `if` may stand behind `else`.
    fn choice(&mut self) -> Result<Node> {
        let at = self.place();
        self.at += 1;
        let condition = self.expression()?;
        let then = self.braced()?;
        if !self.is_name("else") {
            return Err((self.place(), "'else' is expected behind 'if'".to_owned()));
        }
        self.at += 1;
        let otherwise = if self.is_name("if") { self.nested(Parser::choice)? } else { self.braced()? };
        self.node(at, What::Conditional(condition.into(), then.into(), otherwise.into()))
    }

    fn braced(&mut self) -> Result<Node> {
        self.expect("{")?;
        let inner = self.nested(Parser::sequence)?;
        self.expect("}")?;
        Ok(inner)
    }

    /// Reads something inside brackets, which may not stand in each other without end.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        if self.open >= MAX_DEPTH {
            return Err((self.place(), format!("the expression is nested more than {MAX_DEPTH} deep")));
        }
        self.open += 1;
        let read = read(self);
        self.open -= 1;
        read
    }

    fn expression(&mut self) -> Result<Node> {
        let condition = self.nested(|parser| parser.operators(0))?;
        let at = self.place();
        if !self.take("?") {
            return Ok(condition);
        }
        if self.take(":") {
            // What stands before `?:` is the value too where it is true.
            let otherwise = self.nested(Parser::expression)?;
            let then = self.node(at, What::Literal(Value::Truth(true)))?;
            return self.node(at, What::Conditional(condition.into(), then.into(), otherwise.into()));
        }
        let then = self.expression()?;
        self.expect(":")?;
        let otherwise = self.nested(Parser::expression)?;
        self.node(at, What::Conditional(condition.into(), then.into(), otherwise.into()))
    }

    /// The operator that comes next: its precedence, whether it binds to the right, and how many words it is.
    fn infix(&self) -> Option<(u16, bool, usize, Infix)> {
        use Binary::*;
        let word = match self.peek()? {
            Word::Sign(sign) => *sign,
            Word::Name(name) => name.as_str(),
            _ => return None,
        };
        let negated = word == "not";
        let word = if negated {
            match self.words.get(self.at + 1) {
                Some((_, Word::Name(name))) => name.as_str(),
                _ => return None,
            }
        } else {
            word
        };
        let (precedence, operator) = match word {
            "in" => (20, In),
            "contains" => (20, Contains),
            "startsWith" => (20, StartsWith),
            "endsWith" => (20, EndsWith),
            "matches" => (20, Matches),
            _ if negated => return None,
            "|" => return Some((1, false, 1, Infix::Pipe)),
            "or" | "||" => return Some((10, false, 1, Infix::Or)),
            "and" | "&&" => return Some((15, false, 1, Infix::And)),
            "==" => (20, Equal),
            "!=" => (20, Unequal),
            "<" => (20, Less),
            "<=" => (20, LessOrEqual),
            ">" => (20, Greater),
            ">=" => (20, GreaterOrEqual),
            ".." => (25, Range),
            "+" => (30, Add),
            "-" => (30, Subtract),
            "*" => (60, Multiply),
            "/" => (60, Divide),
            "%" => (60, Remainder),
            "**" | "^" => (100, Power),
            "??" => (500, Otherwise),
            _ => return None,
        };
        let infix = if negated { Infix::Not(operator) } else { Infix::Binary(operator) };
        Some((precedence, operator == Power, 1 + usize::from(negated), infix))
    }

    /// Values with operators of at least this precedence between them.
    fn operators(&mut self, lowest: u16) -> Result<Node> {
        let mut left = self.unary()?;
        while let Some((precedence, to_the_right, length, infix)) = self.infix() {
            if precedence < lowest {
                break;
            }
            let at = self.place();
            self.at += length;
            if let Infix::Pipe = infix {
                left = self.piped(left)?;
                continue;
            }
            let right = self.nested(|parser| parser.operators(precedence + u16::from(!to_the_right)))?;
            left = match infix {
                Infix::And => self.joined(at, left, right, true)?,
                Infix::Or => self.joined(at, left, right, false)?,
                Infix::Binary(operator) => self.binary(at, operator, left, right)?,
                Infix::Not(operator) => {
                    let inner = self.binary(at, operator, left, right)?;
                    self.node(at, What::Not(inner.into()))?
                }
                Infix::Pipe => left,
            };
        }
        Ok(left)
    }

    /// `and` and `or` in a row are one node, however many there are.
    fn joined(&self, at: usize, left: Node, right: Node, all: bool) -> Result<Node> {
        let terms = match (left.what, all) {
            (What::All(mut terms), true) | (What::Any(mut terms), false) => {
                terms.push(right);
                terms
            }
            (what, _) => vec![Node { what, ..left }, right],
        };
        self.node(at, if all { What::All(terms) } else { What::Any(terms) })
    }

    fn binary(&self, at: usize, operator: Binary, left: Node, right: Node) -> Result<Node> {
        if operator == Binary::Matches
            && let What::Literal(Value::Text(pattern)) = &right.what
        {
            if pattern.len() > MAX_PATTERN {
                return Err((right.at, format!("the pattern is longer than {MAX_PATTERN} octets")));
            }
            let regex = Regex::new(pattern).map_err(|why| (right.at, format!("'{pattern}' is no pattern: {why}")))?;
            return self.node(at, What::Matches(left.into(), regex));
        }
        self.node(at, What::Binary(operator, left.into(), right.into()))
    }

    fn unary(&mut self) -> Result<Node> {
        let at = self.place();
        if self.take("!")
            || self.is_name("not") && {
                self.at += 1;
                true
            }
        {
            let inner = self.nested(|parser| parser.operators(50))?;
            return self.node(at, What::Not(inner.into()));
        }
        if self.take("-") {
            let inner = self.nested(|parser| parser.operators(90))?;
            return self.node(at, What::Negative(inner.into()));
        }
        if self.take("+") {
            return self.nested(|parser| parser.operators(90));
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Result<Node> {
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
    fn separated<T>(&mut self, close: &str, read: impl Fn(&mut Parser) -> Result<T>) -> Result<Vec<T>> {
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

    /// `value | call(…)`: the value is the first argument.
    fn piped(&mut self, first: Node) -> Result<Node> {
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
    fn call(&mut self, at: usize, name: String, first: Option<Node>) -> Result<Node> {
        if let Some(kind) = Loop::find(&name) {
            return self.looped(at, kind, first);
        }
        let mut arguments: Vec<Node> = first.into_iter().collect();
        arguments.extend(self.nested(|parser| parser.separated(")", Parser::expression))?);
        match Builtin::find(&name) {
            Some(builtin) if !builtin.takes(arguments.len()) => {
                Err((at, format!("{name} has {} arguments; expected {}", arguments.len(), builtin.expected())))
            }
            Some(builtin) => self.node(at, What::Builtin(builtin, arguments)),
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

    /// Members, indexes and slices behind a value.
    fn postfix(&mut self, mut node: Node) -> Result<Node> {
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
        let key = self.node(self.place(), What::Literal(Value::Text(Arc::from(name))))?;
        self.at += 1;
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
