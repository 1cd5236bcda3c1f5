//! Operators, by precedence, and what they stand between.

use super::super::lexer::Word;
use super::super::tree::{Binary, Node, What};
use super::super::value::Value;
use super::{Parser, Result};
use regex::Regex;

/// Longest regular expression, in octets: CoreDNS's bound.
const MAX_PATTERN: usize = 10_000;

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
    pub(super) fn operators(&mut self, lowest: u16) -> Result<Node> {
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
}
