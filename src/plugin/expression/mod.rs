//! The expression language of `view` and `template`: that of expr-lang, as far as questions need it.
//!
//! An [`Expression`] is read and its kinds are checked once, at load; an evaluation looks at one query, cannot panic, and
//! ends after [`STEPS`] steps. The way of a text: [`lexer`] to words, [`parser`] to a tree, [`check`] for kinds,
//! [`evaluate`] to a value. What a query is to an expression stands in [`question`], and what times are in [`time`].

mod builtins;
mod check;
mod evaluate;
mod lexer;
mod parser;
mod question;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;

pub use builtins::is_reserved;
pub use check::{Function, Known, Scope};
pub use evaluate::Facts;
pub use question::{Asked, QUESTION};
pub use value::{Kind, Value};

use std::fmt;
use tree::Node;

/// The steps of an evaluation. Each node evaluated is one, and so is each element of a list that is made and each 16
/// octets of a text, so that this bounds the memory of an evaluation too, to about a megabyte.
pub const STEPS: u32 = 20_000;

/// The longest expression, in octets.
const LONGEST: usize = 10_000;

/// An expression that is known to be well-formed.
pub struct Expression {
    root: Node,
    kind: Kind,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the text, in characters from 1.
    pub column: usize,
    /// What is wrong there, and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl Expression {
    /// Reads an expression over the functions and variables of `scope`.
    ///
    /// # Errors
    /// The first thing that is wrong: a word that is not expected, a name that is not known, kinds that do not fit.
    pub fn new(text: &str, scope: &Scope<'_>) -> Result<Expression, Problem> {
        let located = |(at, message): (usize, String)| {
            let before = text.get(..at).unwrap_or(text);
            Problem { column: before.chars().count() + 1, message }
        };
        if text.len() > LONGEST {
            return Err(located((0, format!("the expression is longer than {LONGEST} octets"))));
        }
        let root = parser::parse(text).map_err(located)?;
        let kind = check::kind(&root, scope).map_err(located)?;
        Ok(Expression { root, kind })
    }

    /// As [`Expression::new`], for an expression that has to be true or false.
    ///
    /// # Errors
    /// Those, and an expression whose value cannot be a truth.
    pub fn condition(text: &str, scope: &Scope<'_>) -> Result<Expression, Problem> {
        let expression = Expression::new(text, scope)?;
        match expression.kind {
            Kind::Truth | Kind::Any => Ok(expression),
            other => Err(Problem { column: 1, message: format!("the value is {other}; expected true or false") }),
        }
    }

    /// What kind of value it has, as far as that is known at load.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The value for one query.
    ///
    /// # Errors
    /// Values that do not fit where they stand, or more steps than there may be.
    pub fn evaluate(&self, facts: &dyn Facts) -> Result<Value, String> {
        evaluate::run(&self.root, facts)
    }

    /// Whether it is true for one query; what fails, or is neither true nor false, is not.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        matches!(self.evaluate(facts), Ok(Value::Truth(true)))
    }

    /// Whether it calls one of these functions.
    pub fn calls(&self, functions: &[&str]) -> bool {
        self.root.any(&mut |node| matches!(&node.what, tree::What::Call(name, _) if functions.contains(&&**name)))
    }
}
