//! Words to a tree, by precedence.

mod calls;
mod operators;
mod values;

use super::lexer::{Located, Word, words};
use super::tree::{Node, What};
use super::value::Value;

/// How deep brackets, and nodes, may stand in each other: what bounds the stack.
const MAX_DEPTH: usize = 64;

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
}
