//! What chooses among server blocks of the same zone (`view`).

use super::expression::{Asked, Expression};

/// The functions that need the address the client sent to.
const ABOUT_LOCAL: &[&str] = &["server_ip", "server_port"];

/// A name, and what has to be true of a query for the block to be asked.
pub struct View {
    /// The name, for metrics and as the label `view/name`.
    pub name: String,
    expressions: Vec<Expression>,
    needs_local: bool,
}

impl View {
    /// A view of conditions; without any it lets every query in.
    pub fn new(name: String, expressions: Vec<Expression>) -> View {
        let needs_local = expressions.iter().any(|expression| expression.calls(ABOUT_LOCAL));
        View { name, expressions, needs_local }
    }

    /// Whether it cannot be decided without the address the client sent to.
    pub fn needs_local(&self) -> bool {
        self.needs_local
    }

    /// Whether the block is asked: every expression is true. One that fails is not.
    pub fn admits(&self, asked: &Asked<'_>) -> bool {
        self.expressions.iter().all(|expression| expression.holds(asked))
    }
}
