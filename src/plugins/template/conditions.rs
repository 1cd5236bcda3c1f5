//! `var` and `expr`: values and conditions beside the patterns, in the language of `view`.

use crate::plugin::expression::{self, Asked, Expression, Facts, Function, Kind, QUESTION, Scope, Value};
use crate::plugin::{Directive, Error, Request, Setup, Token};
use crate::wire::Query;
use regex::{Captures, Regex};

/// The values of `var` for one query.
pub(super) type Variables = Vec<(String, Value)>;

/// What expressions here know beside the question.
const GROUP: &[Function] = &[Function { name: "group", parameters: &[Kind::Any], result: Kind::Text, known: None }];
const FUNCTIONS: &[&[Function]] = &[QUESTION, GROUP];

/// The conditions and variables of one directive, in the order of the file.
#[derive(Default)]
pub(super) struct Conditions {
    steps: Vec<Step>,
    /// The variables so far, for the expressions behind them.
    known: Vec<(String, Kind)>,
}

enum Step {
    Variable(String, Expression),
    Condition(Expression),
}

impl Conditions {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The names of the variables.
    pub(super) fn names(&self) -> Vec<String> {
        self.known.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn read_variable(&mut self, setup: &Setup<'_>, option: &Directive) -> Result<(), Error> {
        let [name, words @ ..] = option.args.as_slice() else {
            return Err(setup.arguments(option, "var NAME EXPRESSION"));
        };
        let Some(first) = words.first() else { return Err(setup.arguments(option, "var NAME EXPRESSION")) };
        let is_name = name.text.chars().all(|one| one.is_alphanumeric() || one == '_')
            && !name.text.starts_with(|one: char| one.is_ascii_digit());
        if !is_name {
            return Err(setup.error(name, format!("'{}' is no name; expected letters, digits and _", name.text)));
        }
        let is_function = FUNCTIONS.iter().copied().flatten().any(|function| function.name == name.text);
        if is_function || expression::is_reserved(&name.text) {
            return Err(setup.error(name, format!("'{}' is a word of the language", name.text)));
        }
        if self.known.iter().any(|(known, _)| *known == name.text) {
            return Err(setup.error(name, format!("'{}' is set already", name.text)));
        }
        let text = joined(words);
        let value = Expression::new(&text, &self.scope());
        let value = value.map_err(|problem| setup.error(first, format!("var '{text}': {problem}")))?;
        self.known.push((name.text.clone(), value.kind()));
        self.steps.push(Step::Variable(name.text.clone(), value));
        Ok(())
    }

    pub(super) fn read_condition(&mut self, setup: &Setup<'_>, option: &Directive) -> Result<(), Error> {
        let Some(first) = option.args.first() else { return Err(setup.arguments(option, "expr EXPRESSION")) };
        let text = joined(&option.args);
        let condition = Expression::condition(&text, &self.scope());
        let condition = condition.map_err(|problem| setup.error(first, format!("expr '{text}': {problem}")))?;
        self.steps.push(Step::Condition(condition));
        Ok(())
    }

    fn scope(&self) -> Scope<'_> {
        Scope { functions: FUNCTIONS, variables: &self.known }
    }

    /// The variables, if every condition is true; a variable that has no value for this query is as good as a condition
    /// that is not.
    pub(super) fn admit(&self, query: &Query<'_>, request: &Request, pattern: Option<&Regex>) -> Option<Variables> {
        let name = query.name.to_name().to_string();
        let metadata = |label: &str| request.metadata.value(label).unwrap_or_default();
        let (client, local, transport) = (request.client, Some(request.local), request.transport);
        let mut facts = Match {
            asked: Asked { query, client, local, transport, metadata: &metadata },
            groups: pattern.and_then(|pattern| pattern.captures(&name)),
            variables: Variables::default(),
        };
        for step in &self.steps {
            match step {
                Step::Variable(name, expression) => {
                    let value = expression.evaluate(&facts).ok()?;
                    facts.variables.push((name.clone(), value));
                }
                Step::Condition(condition) => condition.holds(&facts).then_some(())?,
            }
        }
        Some(facts.variables)
    }
}

/// An expression may stand in several words of a line.
fn joined(words: &[Token]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// A query, and what a pattern made of its name.
struct Match<'m> {
    asked: Asked<'m>,
    groups: Option<Captures<'m>>,
    variables: Variables,
}

impl Facts for Match<'_> {
    fn call(&self, function: &str, arguments: &[Value]) -> Result<Value, String> {
        let text = |group: Option<regex::Match<'_>>| Value::text(group.map_or("", |group| group.as_str()));
        match (function, arguments) {
            ("group", [Value::Text(name)]) => Ok(text(self.groups.as_ref().and_then(|groups| groups.name(name)))),
            ("group", [Value::Integer(at)]) => {
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                Ok(text(self.groups.as_ref().and_then(|groups| groups.get(at))))
            }
            ("group", _) => Err("group is asked for neither a name nor a number".to_owned()),
            (function, arguments) => self.asked.call(function, arguments),
        }
    }

    fn variable(&self, name: &str) -> Value {
        self.variables.iter().find(|(known, _)| known == name).map_or(Value::Nil, |(_, value)| value.clone())
    }
}
