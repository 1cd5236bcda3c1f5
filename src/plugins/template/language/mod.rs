//! The part of Go's template language that records need: text, values, pipelines, variables, `if`, `with`,
//! `range`, and templates by names.

mod definitions;
mod filling;
mod literals;
mod parser;
mod pieces;
mod tree;

use super::value::Scope;
use tree::Tree;

/// A template, parsed.
#[derive(Debug)]
pub(super) struct Template {
    /// As the Corefile has it.
    pub(super) source: String,
    tree: Tree,
}

impl Template {
    /// Parses a template; `set` are the names of `var`.
    ///
    /// # Errors
    /// What is wrong, or not known here, as a sentence.
    pub(super) fn parse(source: &str, set: &[String]) -> Result<Template, String> {
        Ok(Template { source: source.to_owned(), tree: parser::parse(source, set)? })
    }

    /// The text for a question.
    ///
    /// # Errors
    /// Values that do not fit where they stand.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<String, String> {
        filling::fill(&self.tree, scope)
    }
}
