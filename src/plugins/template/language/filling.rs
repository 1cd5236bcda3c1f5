//! A tree and a question to a text.

use super::super::functions;
use super::super::value::{Scope, Value};
use super::tree::{Command, Loop, Node, Operand, Pipeline, Tree};

/// The longest text that is made of one: more than any record has, and a bound on what loops in loops can make.
const MAX_TEXT: usize = 70_000;
/// The turns of all loops of one filling; a template is one too.
const MAX_TURNS: usize = 10_000;
/// How many templates may stand in each other.
const MAX_CALLS: usize = 30;

/// The text for a question.
pub(super) fn fill(tree: &Tree, scope: &Scope<'_>) -> Result<String, String> {
    let mut filled = Filling {
        scope,
        tree,
        variables: Vec::new(),
        dots: vec![Value::Data],
        tops: vec![Value::Data],
        turns: 0,
        text: String::new(),
    };
    filled.run(&tree.nodes)?;
    Ok(filled.text)
}

/// How it goes on behind a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Filling<'f> {
    scope: &'f Scope<'f>,
    tree: &'f Tree,
    variables: Vec<(&'f str, Value)>,
    /// What `.` is, from the outermost `with` or `range` to the innermost.
    dots: Vec<Value>,
    /// What `$` is, from the outermost template to the innermost.
    tops: Vec<Value>,
    /// The turns so far.
    turns: usize,
    text: String,
}

impl<'f> Filling<'f> {
    fn run(&mut self, nodes: &'f [Node]) -> Result<Flow, String> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.text.push_str(text);
                    Flow::On
                }
                Node::Output(pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    if matches!(value, Value::Data) {
                        return Err("all of the data is no text".to_owned());
                    }
                    self.text.push_str(&value.to_string());
                    if self.text.len() > MAX_TEXT {
                        return Err(format!("the text is longer than {MAX_TEXT} octets"));
                    }
                    Flow::On
                }
                Node::Assign(name, pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    if let Some((_, held)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                        *held = value;
                    }
                    Flow::On
                }
                Node::Declare(name, pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    self.variables.push((name, value));
                    Flow::On
                }
                Node::If(branches) => {
                    let mut flow = Flow::On;
                    for (condition, body) in branches {
                        let taken = match condition {
                            Some(condition) => self.pipeline(condition)?.is_true(),
                            None => true,
                        };
                        if taken {
                            let outside = self.variables.len();
                            flow = self.run(body)?;
                            self.variables.truncate(outside);
                            break;
                        }
                    }
                    flow
                }
                Node::With(name, pipeline, body, otherwise) => {
                    let value = self.pipeline(pipeline)?;
                    if value.is_true() {
                        self.run_with(name.iter().map(|name| (name.as_str(), value.clone())), value.clone(), body)?
                    } else {
                        self.run(otherwise)?
                    }
                }
                Node::Range(range) => self.range(range)?,
                Node::Template(name, value) => self.template(name, value.as_ref())?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, range: &'f Loop) -> Result<Flow, String> {
        let entries = self.pipeline(&range.over)?.entries()?;
        if entries.is_empty() {
            return self.run(&range.otherwise);
        }
        for (place, value) in entries {
            self.turn()?;
            let place = range.place.iter().map(|name| (name.as_str(), place.clone()));
            let named = range.value.iter().map(|name| (name.as_str(), value.clone()));
            if self.run_with(place.chain(named), value.clone(), &range.body)? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        if self.turns > MAX_TURNS {
            return Err(format!("range and template make more than {MAX_TURNS} turns"));
        }
        Ok(())
    }

    fn template(&mut self, name: &str, value: Option<&'f Pipeline>) -> Result<Flow, String> {
        let value = value.map_or(Ok(Value::Nothing), |value| self.pipeline(value))?;
        let body = self.tree.templates.get(name).ok_or_else(|| format!("template '{name}' is not defined"))?;
        self.turn()?;
        if self.tops.len() > MAX_CALLS {
            return Err(format!("more than {MAX_CALLS} templates stand in each other"));
        }
        self.tops.push(value.clone());
        let outcome = self.run_with(std::iter::empty(), value, body);
        self.tops.pop();
        outcome
    }

    /// Runs what has a dot, and perhaps variables, of its own.
    fn run_with(
        &mut self,
        variables: impl Iterator<Item = (&'f str, Value)>,
        dot: Value,
        body: &'f [Node],
    ) -> Result<Flow, String> {
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
                    functions::call(self.scope.request(), name, arguments)?
                }
            });
        }
        value.ok_or_else(|| "nothing to print".to_owned())
    }

    fn operand(&self, operand: &Operand) -> Result<Value, String> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field(path) => self.scope.field(path),
            Operand::Dot(path) => self.member(self.dots.last(), path),
            Operand::Top(path) => self.member(self.tops.last(), path),
            Operand::Variable(name, path) => {
                let held = self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
                self.member(held, path)
            }
            Operand::Pipeline(pipeline) => self.pipeline(pipeline),
        }
    }
    fn member(&self, base: Option<&Value>, path: &[String]) -> Result<Value, String> {
        match base {
            None => Ok(Value::Nothing),
            Some(Value::Data) if !path.is_empty() => self.scope.field(path),
            Some(base) => path.iter().try_fold(base.clone(), |value, key| value.field(key)),
        }
    }
}
