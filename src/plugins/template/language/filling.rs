//! A tree and a question to a text.

use super::super::functions;
use super::super::value::{Scope, Value};
use super::tree::{Command, Loop, Node, Operand, Pipeline};

/// The longest text that is made of one: more than any record has, and a bound on what loops in loops can make.
const MAX_TEXT: usize = 70_000;
/// The turns of all loops of one filling.
const MAX_TURNS: usize = 10_000;

/// The text for a question.
pub(super) fn fill(nodes: &[Node], scope: &Scope<'_>) -> Result<String, String> {
    let mut filled = Filling { scope, variables: Vec::new(), dots: Vec::new(), turns: 0, text: String::new() };
    filled.run(nodes)?;
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
    variables: Vec<(&'f str, Value)>,
    /// What `.` is, from the outermost `with` or `range` to the innermost.
    dots: Vec<Value>,
    /// The turns of loops so far.
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
            self.turns += 1;
            if self.turns > MAX_TURNS {
                return Err(format!("range makes more than {MAX_TURNS} turns"));
            }
            let place = range.place.iter().map(|name| (name.as_str(), place.clone()));
            let named = range.value.iter().map(|name| (name.as_str(), value.clone()));
            if self.run_with(place.chain(named), value.clone(), &range.body)? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
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
