//! Templates in a template: `define`, `template` and `block`.

use super::literals;
use super::parser::Parser;
use super::pieces::Piece;
use super::tree::Node;

impl Parser<'_> {
    /// `define "NAME"`, up to its `end`.
    pub(super) fn define(&mut self, words: &[&str]) -> Result<(), String> {
        let [name] = words else { return Err("expected a name behind 'define'".to_owned()) };
        self.definition(name, "define", 0)
    }

    /// `template "NAME" [VALUE]`.
    pub(super) fn template(&mut self, words: &[&str]) -> Result<Node, String> {
        let [name, value @ ..] = words else { return Err("expected a name behind 'template'".to_owned()) };
        let value = if value.is_empty() { None } else { Some(self.pipeline(value)?) };
        self.used.push(named(name)?);
        Ok(Node::Template(named(name)?, value))
    }

    /// `block "NAME" VALUE`: a definition, used where it stands.
    pub(super) fn block(&mut self, words: &[&str], depth: usize) -> Result<Node, String> {
        let [name, value @ ..] = words else { return Err("expected a name behind 'block'".to_owned()) };
        let value = self.pipeline(value)?;
        self.definition(name, "block", depth)?;
        Ok(Node::Template(named(name)?, Some(value)))
    }

    /// The body of a template of its own. It knows nothing of what stands around it but what it is given as its dot.
    fn definition(&mut self, name: &str, word: &str, depth: usize) -> Result<(), String> {
        let name = named(name)?;
        let (variables, dots, ranges) = (std::mem::take(&mut self.variables), self.dots, self.ranges);
        let outside = self.in_definition;
        (self.dots, self.ranges, self.in_definition) = (1, 0, true);
        let body = self.nodes(depth + 1);
        (self.variables, self.dots, self.ranges, self.in_definition) = (variables, dots, ranges, outside);
        let body = body?;
        match self.next_action() {
            Some(words) if words == ["end"] => {}
            Some(words) => return Err(format!("unexpected {{{{{}}}}}", words.join(" "))),
            None => return Err(format!("{word} has no end")),
        }
        // As Go has it: what is empty gives way to what is not, and two that are not are an error.
        match self.templates.get(&name) {
            Some(known) if !is_empty(known) && is_empty(&body) => {}
            Some(known) if !is_empty(known) => return Err(format!("template '{name}' is defined twice")),
            _ => drop(self.templates.insert(name, body)),
        }
        Ok(())
    }

    /// Whether what comes is a definition: it stands in nothing else.
    pub(super) fn at_definition(&self) -> bool {
        matches!(self.pieces.get(self.at), Some(Piece::Action(words)) if words.first().is_some_and(|word| word == "define"))
    }
}

fn named(word: &str) -> Result<String, String> {
    literals::text(word).unwrap_or_else(|| Err(format!("'{word}' is no name of a template; expected it in quotes")))
}

fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
