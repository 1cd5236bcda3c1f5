//! Pieces to a tree.

use super::super::functions::FUNCTIONS;
use super::super::value::{Value, is_field};
use super::literals;
use super::pieces::{Piece, split};
use super::tree::{Command, Loop, Node, Operand, Pipeline, Tree};
use std::collections::BTreeMap;

/// How deep `if`, `with`, `range` and parentheses may stand in each other.
const MAX_DEPTH: usize = 20;

/// The tree of a source; `set` are the names of `var`.
pub(super) fn parse(source: &str, set: &[String]) -> Result<Tree, String> {
    let mut parser = Parser {
        pieces: split(source)?,
        at: 0,
        variables: Vec::new(),
        dots: 0,
        ranges: 0,
        in_definition: false,
        templates: BTreeMap::new(),
        used: Vec::new(),
        set,
    };
    let nodes = parser.nodes(0)?;
    match parser.pieces.get(parser.at) {
        None => {}
        Some(Piece::Action(words)) => return Err(format!("unexpected {{{{{}}}}}", words.join(" "))),
        Some(Piece::Text(_)) => return Err("unexpected text".to_owned()),
    }
    let Parser { templates, used, .. } = parser;
    match used.iter().find(|name| !templates.contains_key(*name)) {
        None => Ok(Tree { nodes, templates }),
        Some(name) => Err(format!("template '{name}' is not defined")),
    }
}

pub(super) struct Parser<'p> {
    pub(super) pieces: Vec<Piece>,
    pub(super) at: usize,
    /// Those declared so far.
    pub(super) variables: Vec<String>,
    /// How many `with` and `range` the place stands in; a definition is one too.
    pub(super) dots: usize,
    /// How many `range`.
    pub(super) ranges: usize,
    /// Whether the place stands in a `define` or `block`, where `$` is what that is given.
    pub(super) in_definition: bool,
    /// The bodies of `define` and `block` by their names.
    pub(super) templates: BTreeMap<String, Vec<Node>>,
    /// The names in `template`.
    pub(super) used: Vec<String>,
    set: &'p [String],
}

impl Parser<'_> {
    /// Reads nodes up to an `else` or `end`, which stays to be read, or to the end.
    pub(super) fn nodes(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("if, with or range is nested more than {MAX_DEPTH} deep"));
        }
        let mut nodes = Vec::new();
        while self.at < self.pieces.len() {
            let is_definition = depth == 0 && self.at_definition();
            let words = match &mut self.pieces[self.at] {
                Piece::Text(text) => {
                    nodes.push(Node::Text(std::mem::take(text)));
                    self.at += 1;
                    continue;
                }
                Piece::Action(words) if matches!(words.first().map(String::as_str), Some("else" | "end")) => break,
                Piece::Action(words) => std::mem::take(words),
            };
            self.at += 1;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if is_definition {
                self.define(&words[1..])?;
            } else {
                nodes.push(self.node(&words, depth)?);
            }
        }
        Ok(nodes)
    }

    fn node(&mut self, words: &[&str], depth: usize) -> Result<Node, String> {
        match words {
            ["if", condition @ ..] => self.branches(condition, depth),
            ["with", value @ ..] => self.with(value, depth),
            ["range", over @ ..] => self.range(over, depth),
            ["break"] if self.ranges > 0 => Ok(Node::Break),
            ["continue"] if self.ranges > 0 => Ok(Node::Continue),
            ["break" | "continue", ..] => Err(format!("'{}' stands in a range, alone", words[0])),
            ["template", rest @ ..] => self.template(rest),
            ["block", rest @ ..] => self.block(rest, depth),
            ["define", ..] => Err("'define' stands in nothing else".to_owned()),
            // All of the data is no text.
            ["." | "$"] if self.dots == 0 => Err(format!("'{}' is not known here", words[0])),
            [variable, ":=" | "=", value @ ..] if variable.starts_with('$') => {
                let value = self.pipeline(value)?;
                if words[1] == "=" && !self.variables.iter().any(|known| known == variable) {
                    return Err(format!("undefined variable '{variable}'"));
                }
                if words[1] == "=" {
                    return Ok(Node::Assign((*variable).to_owned(), value));
                }
                self.variables.push((*variable).to_owned());
                Ok(Node::Declare((*variable).to_owned(), value))
            }
            words => Ok(Node::Output(self.pipeline(words)?)),
        }
    }

    fn branches(&mut self, condition: &[&str], depth: usize) -> Result<Node, String> {
        let declared = self.variables.len();
        let mut branches = Vec::new();
        let mut condition = Some(self.pipeline(condition)?);
        loop {
            let body = self.nodes(depth + 1)?;
            self.variables.truncate(declared);
            let was_else = condition.is_none();
            branches.push((condition.take(), body));
            let Some(Piece::Action(words)) = self.pieces.get(self.at) else {
                return Err("if has no end".to_owned());
            };
            self.at += 1;
            let words: Vec<String> = words.clone();
            match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["end"] => return Ok(Node::If(branches)),
                ["else"] if !was_else => {}
                ["else", "if", rest @ ..] if !was_else => condition = Some(self.pipeline(rest)?),
                _ => return Err(format!("unexpected {{{{{}}}}}", words.join(" "))),
            }
        }
    }

    fn with(&mut self, words: &[&str], depth: usize) -> Result<Node, String> {
        let (names, value) = declared(words)?;
        let value = self.pipeline(value)?;
        let (body, otherwise) = self.body_with_dot(&names, "with", depth)?;
        match names.as_slice() {
            [] => Ok(Node::With(None, value, body, otherwise)),
            [name] => Ok(Node::With(Some(name.clone()), value, body, otherwise)),
            _ => Err("with declares one variable".to_owned()),
        }
    }

    fn range(&mut self, words: &[&str], depth: usize) -> Result<Node, String> {
        let (mut names, over) = declared(words)?;
        let over = self.pipeline(over)?;
        self.ranges += 1;
        let parts = self.body_with_dot(&names, "range", depth);
        self.ranges -= 1;
        let (body, otherwise) = parts?;
        let value = names.pop();
        Ok(Node::Range(Loop { over, place: names.pop(), value, body, otherwise }))
    }

    /// What stands up to `end`, with these variables and a dot of its own, and what stands behind `else`, without.
    fn body_with_dot(&mut self, names: &[String], word: &str, depth: usize) -> Result<(Vec<Node>, Vec<Node>), String> {
        let known = self.variables.len();
        self.variables.extend_from_slice(names);
        self.dots += 1;
        let body = self.nodes(depth + 1);
        self.dots -= 1;
        self.variables.truncate(known);
        let (body, mut otherwise) = (body?, Vec::new());
        let mut next = self.next_action();
        if next.as_deref().is_some_and(|words| words == ["else"]) {
            otherwise = self.nodes(depth + 1)?;
            self.variables.truncate(known);
            next = self.next_action();
        }
        match next {
            Some(words) if words == ["end"] => Ok((body, otherwise)),
            Some(words) => Err(format!("unexpected {{{{{}}}}}", words.join(" "))),
            None => Err(format!("{word} has no end")),
        }
    }

    pub(super) fn next_action(&mut self) -> Option<Vec<String>> {
        let Some(Piece::Action(words)) = self.pieces.get(self.at) else { return None };
        self.at += 1;
        Some(words.clone())
    }

    pub(super) fn pipeline(&self, words: &[&str]) -> Result<Pipeline, String> {
        let mut rest = words;
        let pipeline = self.pipeline_of(&mut rest, 0)?;
        match rest.first() {
            None => Ok(pipeline),
            Some(word) => Err(format!("unexpected '{word}'")),
        }
    }

    fn pipeline_of(&self, words: &mut &[&str], depth: usize) -> Result<Pipeline, String> {
        if depth > MAX_DEPTH {
            return Err(format!("parentheses are nested more than {MAX_DEPTH} deep"));
        }
        let mut commands = vec![self.command(words, depth, false)?];
        while let ["|", rest @ ..] = words {
            *words = rest;
            commands.push(self.command(words, depth, true)?);
        }
        Ok(Pipeline(commands))
    }

    fn command(&self, words: &mut &[&str], depth: usize, piped: bool) -> Result<Command, String> {
        let Some((first, rest)) = words.split_first() else { return Err("missing value for command".to_owned()) };
        if first.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !matches!(*first, "true" | "false" | "nil")
        {
            let Some((_, arguments)) = FUNCTIONS.iter().find(|(name, _)| name == first) else {
                return Err(format!("function '{first}' is not defined"));
            };
            *words = rest;
            let operands = self.operands(words, depth)?;
            let all = |operand: &Operand| matches!(operand, Operand::Dot(path) | Operand::Top(path) if path.is_empty());
            if self.dots == 0 && !matches!(*first, "and" | "or" | "not") && operands.iter().any(all) {
                return Err(format!("{first} takes none of '.' and '$' here: all of the data is no value"));
            }
            let given = operands.len() + usize::from(piped);
            if !arguments.contains(&given) {
                return Err(format!("wrong number of arguments for {first}: {given}"));
            }
            return Ok(Command::Function((*first).to_owned(), operands));
        }
        if piped {
            return Err(format!("'{first}' behind '|' is no function"));
        }
        let mut operands = self.operands(words, depth)?;
        match (operands.len(), operands.pop()) {
            (1, Some(operand)) => Ok(Command::Operand(operand)),
            // The one field that takes an argument.
            (2, label) => match operands.pop() {
                Some(Operand::Field(path)) if path == ["Meta"] => Ok(meta(Operand::Top(Vec::new()), label)),
                Some(Operand::Top(path)) if path == ["Meta"] => Ok(meta(Operand::Top(Vec::new()), label)),
                Some(Operand::Dot(path)) if path == ["Meta"] => Ok(meta(Operand::Dot(Vec::new()), label)),
                _ => Err(format!("'{first}' takes no argument")),
            },
            _ => Err(format!("unexpected '{first}'")),
        }
    }

    fn operands(&self, words: &mut &[&str], depth: usize) -> Result<Vec<Operand>, String> {
        let mut operands = Vec::new();
        while let Some((first, rest)) = words.split_first() {
            if matches!(*first, "|" | ")") {
                break;
            }
            *words = rest;
            operands.push(match *first {
                "(" => {
                    let inner = self.pipeline_of(words, depth + 1)?;
                    let [")", rest @ ..] = words else { return Err("unclosed parenthesis".to_owned()) };
                    *words = rest;
                    Operand::Pipeline(Box::new(inner))
                }
                word => self.operand(word)?,
            });
        }
        Ok(operands)
    }

    fn operand(&self, word: &str) -> Result<Operand, String> {
        let path = |text: &str| text.split('.').skip(1).map(str::to_owned).collect::<Vec<_>>();
        match word.as_bytes() {
            b"." => Ok(Operand::Dot(Vec::new())),
            b"$" => Ok(Operand::Top(Vec::new())),
            [b'.', digit, ..] if digit.is_ascii_digit() => number(word),
            [b'.', ..] if self.dots > 0 => Ok(Operand::Dot(path(word))),
            [b'$', b'.', ..] if self.in_definition => Ok(Operand::Top(path(word))),
            [b'$', b'.', ..] | [b'.', ..] => {
                let path = path(word);
                if is_field(&path, self.set) {
                    Ok(Operand::Field(path))
                } else {
                    Err(format!("'{word}' is not known here"))
                }
            }
            [b'$', ..] => {
                let name = word.split('.').next().unwrap_or(word);
                if !self.variables.iter().any(|known| known == name) {
                    return Err(format!("undefined variable '{name}'"));
                }
                Ok(Operand::Variable(name.to_owned(), path(word)))
            }
            b"true" => Ok(Operand::Literal(Value::Truth(true))),
            b"false" => Ok(Operand::Literal(Value::Truth(false))),
            _ => match literals::text(word) {
                Some(text) => text.map(|text| Operand::Literal(Value::Text(text))),
                None => number(word),
            },
        }
    }
}

fn number(word: &str) -> Result<Operand, String> {
    literals::number(word).map(Operand::Literal).ok_or_else(|| format!("unexpected '{word}'"))
}

/// The one method there is: of the data, with a label.
fn meta(data: Operand, label: Option<Operand>) -> Command {
    Command::Function(".Meta".to_owned(), [data].into_iter().chain(label).collect())
}

/// The variables that `with` and `range` declare in front of `:=`, and the words behind it.
fn declared<'w>(words: &'w [&'w str]) -> Result<(Vec<String>, &'w [&'w str]), String> {
    let Some(at) = words.iter().position(|word| *word == ":=") else { return Ok((Vec::new(), words)) };
    let names = match &words[..at] {
        [value] => vec![*value],
        [place, ",", value] => vec![*place, *value],
        _ => return Err("expected a variable or two in front of ':='".to_owned()),
    };
    match names.iter().find(|name| !name.starts_with('$') || name.len() < 2) {
        Some(name) => Err(format!("'{name}' is no variable")),
        None => Ok((names.into_iter().map(str::to_owned).collect(), &words[at + 1..])),
    }
}
