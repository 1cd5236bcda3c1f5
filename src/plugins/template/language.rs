//! The part of Go's template language that records need: text, values, pipelines, variables, `if`, `with`, `range`.

use super::value::{FUNCTIONS, Scope, Value, is_field};

/// How deep `if`, `with`, `range` and parentheses may stand in each other.
const MAX_DEPTH: usize = 20;
/// The longest text that is made of one: more than any record has, and a bound on what loops in loops can make.
const MAX_TEXT: usize = 70_000;
/// The turns of all loops of one filling.
const MAX_TURNS: usize = 10_000;

/// A template, parsed.
#[derive(Debug)]
pub(super) struct Template {
    /// As the Corefile has it.
    pub(super) source: String,
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Output(Pipeline),
    /// `:=`, up to the end of the body it stands in.
    Declare(String, Pipeline),
    /// `=`.
    Assign(String, Pipeline),
    /// The branches with their conditions; the last may be without one.
    If(Vec<(Option<Pipeline>, Vec<Node>)>),
    /// `with`: the value is the dot of the first branch, and may have a name there.
    With(Option<String>, Pipeline, Vec<Node>, Vec<Node>),
    Range(Loop),
}

#[derive(Debug)]
struct Loop {
    over: Pipeline,
    /// What place and value are called, where they are.
    place: Option<String>,
    value: Option<String>,
    body: Vec<Node>,
    /// For nothing to go over.
    otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
struct Pipeline(Vec<Command>);

#[derive(Debug)]
enum Command {
    Operand(Operand),
    Function(String, Vec<Operand>),
}

#[derive(Debug)]
enum Operand {
    Literal(Value),
    /// `.Group.a`: the names behind the dots.
    Field(Vec<String>),
    /// The dot where `with` or `range` has set it, with fields behind it.
    Dot(Vec<String>),
    /// `$x`, with fields behind it.
    Variable(String, Vec<String>),
    Pipeline(Box<Pipeline>),
}

impl Template {
    /// Parses a template; `set` are the names of `var`.
    ///
    /// # Errors
    /// What is wrong, or not known here, as a sentence.
    pub(super) fn parse(source: &str, set: &[String]) -> Result<Template, String> {
        let mut parser = Parser { pieces: split(source)?, at: 0, variables: Vec::new(), dots: 0, set };
        let nodes = parser.nodes(0)?;
        match parser.pieces.get(parser.at) {
            None => Ok(Template { source: source.to_owned(), nodes }),
            Some(Piece::Action(words)) => Err(format!("unexpected {{{{{}}}}}", words.join(" "))),
            Some(Piece::Text(_)) => Err("unexpected text".to_owned()),
        }
    }

    /// The text for a question.
    ///
    /// # Errors
    /// Values that do not fit where they stand.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<String, String> {
        let mut filled = Filling { scope, variables: Vec::new(), dots: Vec::new(), turns: 0, text: String::new() };
        filled.run(&self.nodes)?;
        Ok(filled.text)
    }
}

/// What stands between and in the braces.
enum Piece {
    Text(String),
    /// The words of an action.
    Action(Vec<String>),
}

fn split(mut source: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut trims) = (Vec::new(), false);
    while let Some(open) = source.find("{{") {
        let (mut text, inside) = (&source[..open], &source[open + 2..]);
        let close = closing(inside).ok_or("unclosed action: no }} behind {{")?;
        let (mut action, rest) = (&inside[..close], &inside[close + 2..]);
        if trims {
            text = text.trim_start();
        }
        if let Some(trimmed) = action.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace)) {
            (text, action) = (text.trim_end(), trimmed);
        }
        let trimmed = action.strip_suffix('-').filter(|rest| rest.ends_with(char::is_whitespace));
        trims = trimmed.is_some();
        let action = trimmed.unwrap_or(action).trim();
        pieces.push(Piece::Text(text.to_owned()));
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(words(action)?));
        }
        source = rest;
    }
    pieces.push(Piece::Text(if trims { source.trim_start() } else { source }.to_owned()));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Ok(pieces)
}

/// Where `}}` stands outside quotes.
fn closing(inside: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, character) in inside.char_indices() {
        match (quote, character) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), character) if open == character && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(character),
            (None, '}') if inside[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
        escaped = false;
    }
    None
}

fn words(action: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = action;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            blank if blank.is_whitespace() => {
                rest = &rest[blank.len_utf8()..];
                continue;
            }
            '"' | '`' => quoted(rest).ok_or("a quote is not closed")?,
            '(' | ')' | '|' | ',' => 1,
            ':' if rest.starts_with(":=") => 2,
            '=' => 1,
            // A field behind a closing parenthesis, as in (index .Match 1).x, is not known here.
            _ => rest.find(|end: char| end.is_whitespace() || "()|,:=\"`".contains(end)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return Err(format!("unexpected '{first}'"));
        }
        words.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    Ok(words)
}

/// The length of the quoted string at the front.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if character == quote && !escaped {
            return Some(at + 1);
        }
        escaped = quote == '"' && character == '\\' && !escaped;
    }
    None
}

struct Parser<'p> {
    pieces: Vec<Piece>,
    at: usize,
    /// Those declared so far.
    variables: Vec<String>,
    /// How many `with` and `range` the place stands in.
    dots: usize,
    set: &'p [String],
}

impl Parser<'_> {
    /// Reads nodes up to an `else` or `end`, which stays to be read, or to the end.
    fn nodes(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("if, with or range is nested more than {MAX_DEPTH} deep"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get_mut(self.at) {
            let words = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(std::mem::take(text)));
                    self.at += 1;
                    continue;
                }
                Piece::Action(words) if matches!(words.first().map(String::as_str), Some("else" | "end")) => break,
                Piece::Action(words) => std::mem::take(words),
            };
            self.at += 1;
            nodes.push(self.node(&words, depth)?);
        }
        Ok(nodes)
    }

    fn node(&mut self, words: &[String], depth: usize) -> Result<Node, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["if", condition @ ..] => self.branches(condition, depth),
            ["with", value @ ..] => self.with(value, depth),
            ["range", over @ ..] => self.range(over, depth),
            ["define" | "template" | "block" | "break" | "continue", ..] => {
                Err(format!("'{}' is not known here", words[0]))
            }
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
        let (body, otherwise) = self.body_with_dot(&names, "range", depth)?;
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

    fn next_action(&mut self) -> Option<Vec<String>> {
        let Some(Piece::Action(words)) = self.pieces.get(self.at) else { return None };
        self.at += 1;
        Some(words.clone())
    }

    fn pipeline(&self, words: &[&str]) -> Result<Pipeline, String> {
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
                Some(Operand::Field(path)) if path == ["Meta"] => {
                    Ok(Command::Function(".Meta".to_owned(), label.into_iter().collect()))
                }
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
            b"." if self.dots > 0 => Ok(Operand::Dot(Vec::new())),
            [b'.', ..] if self.dots > 0 => Ok(Operand::Dot(path(word))),
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
            [b'"', .., b'"'] => serde_json::from_str(word)
                .map(|text| Operand::Literal(Value::Text(text)))
                .map_err(|why| format!("{word}: {why}")),
            [b'`', inner @ .., b'`'] => Ok(Operand::Literal(Value::Text(String::from_utf8_lossy(inner).into_owned()))),
            b"true" => Ok(Operand::Literal(Value::Truth(true))),
            b"false" => Ok(Operand::Literal(Value::Truth(false))),
            _ => match word.parse() {
                Ok(number) => Ok(Operand::Literal(Value::Number(number))),
                Err(_) => Err(format!("unexpected '{word}'")),
            },
        }
    }
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

struct Filling<'f> {
    scope: &'f Scope<'f>,
    variables: Vec<(&'f str, Value)>,
    /// What `.` is, from the outermost `with` or `range` to the innermost.
    dots: Vec<Value>,
    /// The turns of loops so far.
    turns: usize,
    text: String,
}

impl<'f> Filling<'f> {
    fn run(&mut self, nodes: &'f [Node]) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.text.push_str(text),
                Node::Output(pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    self.text.push_str(&value.to_string());
                    if self.text.len() > MAX_TEXT {
                        return Err(format!("the text is longer than {MAX_TEXT} octets"));
                    }
                }
                Node::Assign(name, pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    if let Some((_, held)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                        *held = value;
                    }
                }
                Node::Declare(name, pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    self.variables.push((name, value));
                }
                Node::If(branches) => {
                    for (condition, body) in branches {
                        let taken = match condition {
                            Some(condition) => self.pipeline(condition)?.is_true(),
                            None => true,
                        };
                        if taken {
                            let outside = self.variables.len();
                            self.run(body)?;
                            self.variables.truncate(outside);
                            break;
                        }
                    }
                }
                Node::With(name, pipeline, body, otherwise) => {
                    let value = self.pipeline(pipeline)?;
                    if value.is_true() {
                        self.run_with(name.iter().map(|name| (name.as_str(), value.clone())), value.clone(), body)?;
                    } else {
                        self.run(otherwise)?;
                    }
                }
                Node::Range(range) => self.range(range)?,
            }
        }
        Ok(())
    }

    fn range(&mut self, range: &'f Loop) -> Result<(), String> {
        let entries = self.pipeline(&range.over)?.entries()?;
        if entries.is_empty() {
            return self.run(&range.otherwise);
        }
        for (place, value) in entries {
            self.turns += 1;
            if self.turns > MAX_TURNS {
                return Err(format!("range makes more than {MAX_TURNS} turns"));
            }
            let place = range.place.iter().map(|name| (name.as_str(), place.clone()));
            let named = range.value.iter().map(|name| (name.as_str(), value.clone()));
            self.run_with(place.chain(named), value.clone(), &range.body)?;
        }
        Ok(())
    }

    /// Runs what has a dot, and perhaps variables, of its own.
    fn run_with(
        &mut self,
        variables: impl Iterator<Item = (&'f str, Value)>,
        dot: Value,
        body: &'f [Node],
    ) -> Result<(), String> {
        let outside = self.variables.len();
        self.variables.extend(variables);
        self.dots.push(dot);
        let outcome = self.run(body);
        self.dots.pop();
        self.variables.truncate(outside);
        outcome
    }

    fn pipeline(&self, pipeline: &Pipeline) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.0 {
            value = Some(match command {
                Command::Operand(operand) => self.operand(operand)?,
                Command::Function(name, operands) => {
                    let mut arguments = operands.iter().map(|one| self.operand(one)).collect::<Result<Vec<_>, _>>()?;
                    arguments.extend(value.take());
                    super::value::call(self.scope.request(), name, arguments)?
                }
            });
        }
        value.ok_or_else(|| "nothing to print".to_owned())
    }

    fn operand(&self, operand: &Operand) -> Result<Value, String> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field(path) => self.scope.field(path),
            Operand::Dot(path) => {
                let dot = self.dots.last().cloned().unwrap_or(Value::Nothing);
                path.iter().try_fold(dot, |value, key| value.field(key))
            }
            Operand::Variable(name, path) => {
                let held = self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                path.iter().try_fold(held.unwrap_or(Value::Nothing), |value, key| value.field(key))
            }
            Operand::Pipeline(pipeline) => self.pipeline(pipeline),
        }
    }
}
