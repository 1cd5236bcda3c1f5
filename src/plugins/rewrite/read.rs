//! Rules as the Corefile writes them.

use super::edns;
use super::*;
use crate::corefile::values;
use crate::plugin::{Directive, Token};
use crate::wire::{CLASS_ANY, CLASS_CH, CLASS_IN};

/// CoreDNS's bound on regular expressions, in octets.
const MAX_REGEX: usize = 10_000;

/// Reads one directive.
pub(super) fn rule(setup: &Setup<'_>, directive: &Directive) -> Result<Rule, Error> {
    let block = directive.options().iter().flat_map(|line| std::iter::once(&line.name).chain(&line.args));
    let words: Vec<&Token> = directive.args.iter().chain(block).collect();
    let (continues, words) = match words.as_slice() {
        [mode, rest @ ..] if mode.text == "continue" => (true, rest),
        [mode, rest @ ..] if mode.text == "stop" => (false, rest),
        words => (false, words),
    };
    let Some((field, rest)) = words.split_first() else {
        return Err(setup.arguments(directive, "rewrite [continue|stop] FIELD FROM TO"));
    };
    let reader = Reader { setup, directive };
    let action = match field.text.to_ascii_lowercase().as_str() {
        "name" => reader.name(rest)?,
        "type" => reader.types(rest)?,
        "class" => reader.class(rest)?,
        "ttl" => reader.ttl(rest)?,
        "rcode" => reader.rcode(rest)?,
        "cname" => reader.cname(rest)?,
        "edns0" => Action::Edns(edns::read(&reader, rest)?),
        "answer" => return Err(setup.error(field, "an answer rule stands behind the name rule it belongs to")),
        other => {
            let expected = "expected one of: name, type, class, ttl, rcode, cname, edns0";
            return Err(setup.error(field, format!("invalid rule type '{other}'; {expected}")));
        }
    };
    Ok(Rule { continues, action })
}

pub(super) struct Reader<'r, 's> {
    pub(super) setup: &'r Setup<'s>,
    directive: &'r Directive,
}

impl Reader<'_, '_> {
    pub(super) fn expected(&self, form: &str) -> Error {
        self.setup.arguments(self.directive, &format!("rewrite [continue|stop] {form}"))
    }

    fn name(&self, words: &[&Token]) -> Result<Action, Error> {
        const FORM: &str = "name [exact|prefix|suffix|substring|regex] FROM TO [answer auto|name|value ...]";
        let (kind, words) = kind(words, 2);
        let [from, to, answers @ ..] = words else { return Err(self.expected(FORM)) };
        let pattern = self.pattern(kind, from)?;
        let to = normal(&to.text);
        if kind == "exact" {
            Name::from_text(&to).map_err(|why| self.setup.error(words[1], format!("'{to}' is no name: {why}")))?;
        }
        let answer = self.answers(answers, FORM)?;
        Ok(Action::Name { pattern, to, answer })
    }

    fn answers(&self, mut words: &[&Token], form: &str) -> Result<Answer, Error> {
        let (mut answer, mut opened) = (Answer::default(), false);
        while let Some((keyword, rest)) = words.split_first() {
            // `answer` opens the list; behind that it may be left out, as in CoreDNS.
            let rest = if keyword.text == "answer" { rest } else { words };
            if !opened && rest.len() == words.len() {
                return Err(self.setup.error(keyword, format!("'{}' is unexpected; expected: {form}", keyword.text)));
            }
            words = match rest {
                [what, rest @ ..] if what.text == "auto" => {
                    answer.auto = true;
                    rest
                }
                [what, from, to, rest @ ..] if matches!(what.text.as_str(), "name" | "value") => {
                    let edit = (self.regex(from)?, normal(&to.text));
                    if what.text == "name" { &mut answer.owners } else { &mut answer.values }.push(edit);
                    rest
                }
                _ => return Err(self.expected(form)),
            };
            opened = true;
        }
        Ok(answer)
    }

    fn types(&self, words: &[&Token]) -> Result<Action, Error> {
        let [from, to] = words else { return Err(self.expected("type FROM TO")) };
        let read = |word: &Token| {
            RecordType::from_mnemonic(&word.text)
                .ok_or_else(|| self.setup.error(word, format!("'{}' is no record type", word.text)))
        };
        Ok(Action::Type(read(from)?, read(to)?))
    }

    fn class(&self, words: &[&Token]) -> Result<Action, Error> {
        let [from, to] = words else { return Err(self.expected("class FROM TO")) };
        let read = |word: &Token| match word.text.to_ascii_uppercase().as_str() {
            "IN" => Ok(CLASS_IN),
            "CH" => Ok(CLASS_CH),
            "HS" => Ok(4),
            "NONE" => Ok(254),
            "ANY" => Ok(CLASS_ANY),
            _ => Err(self.setup.error(word, format!("'{}' is no class; expected IN, CH or HS", word.text))),
        };
        Ok(Action::Class(read(from)?, read(to)?))
    }

    fn ttl(&self, words: &[&Token]) -> Result<Action, Error> {
        let (kind, words) = kind(words, 2);
        let [name, ttl] = words else {
            return Err(self.expected("ttl [exact|prefix|suffix|substring|regex] NAME SECONDS|MIN-MAX"));
        };
        let bounds = bounds(&ttl.text).map_err(|why| self.setup.error(ttl, why))?;
        Ok(Action::Ttl(self.pattern(kind, name)?, bounds))
    }

    fn rcode(&self, words: &[&Token]) -> Result<Action, Error> {
        let (kind, words) = kind(words, 3);
        let [name, from, to] = words else {
            return Err(self.expected("rcode [exact|prefix|suffix|substring|regex] NAME FROM TO"));
        };
        let read = |word: &Token| {
            let number = values::integer(&word.text, 0..=4095).ok().map(|number| Rcode(number as u16));
            Rcode::from_mnemonic(&word.text)
                .or(number)
                .ok_or_else(|| self.setup.error(word, format!("'{}' is no response code", word.text)))
        };
        let from = if from.text.eq_ignore_ascii_case("all") { None } else { Some(read(from)?) };
        Ok(Action::Rcode(self.pattern(kind, name)?, from, read(to)?))
    }

    fn cname(&self, words: &[&Token]) -> Result<Action, Error> {
        let (kind, words) = kind(words, 2);
        let [from, to] = words else {
            return Err(self.expected("cname [exact|prefix|suffix|substring|regex] FROM TO"));
        };
        Ok(Action::Cname(self.pattern(kind, from)?, normal(&to.text)))
    }

    fn pattern(&self, kind: &str, word: &Token) -> Result<Pattern, Error> {
        let text = normal(&word.text);
        Ok(match kind {
            "prefix" => Pattern::Prefix(text),
            "suffix" => Pattern::Suffix(text),
            "substring" => Pattern::Substring(text),
            "regex" => Pattern::Regex(self.regex(word)?),
            _ => {
                let name = Name::from_text(&text)
                    .map_err(|why| self.setup.error(word, format!("'{}' is no name: {why}", word.text)))?;
                Pattern::Exact(name.to_string(), name)
            }
        })
    }

    fn regex(&self, word: &Token) -> Result<Regex, Error> {
        if word.text.len() > MAX_REGEX {
            return Err(self.setup.error(word, format!("the regular expression is longer than {MAX_REGEX} octets")));
        }
        Regex::new(&word.text)
            .map_err(|why| self.setup.error(word, format!("invalid regex pattern '{}': {why}", word.text)))
    }
}

/// Takes the word that says how to match, where one more word is there than the rule needs.
fn kind<'w, 't>(words: &'w [&'t Token], needed: usize) -> (&'t str, &'w [&'t Token]) {
    match words {
        [first, rest @ ..] if rest.len() >= needed && is_kind(&first.text) => {
            let kind = ["exact", "prefix", "suffix", "substring", "regex"];
            let found = kind.into_iter().find(|kind| first.text.eq_ignore_ascii_case(kind));
            (found.unwrap_or("exact"), rest)
        }
        words => ("exact", words),
    }
}

fn is_kind(word: &str) -> bool {
    ["exact", "prefix", "suffix", "substring", "regex"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
}

/// Lower case, with the last dot.
fn normal(word: &str) -> String {
    let mut text = word.to_ascii_lowercase();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

/// `30`, `30-300`, `30-` or `-300`.
fn bounds(word: &str) -> Result<TtlBounds, String> {
    let read = |part: &str| values::integer(part, 0..=u64::from(u32::MAX)).map(|number| number as u32);
    let (min, max) = match word.split_once('-') {
        None => (read(word)?, read(word)?),
        Some(("", "")) => return Err(format!("'{word}' has no seconds; expecting SECONDS, MIN-MAX, MIN- or -MAX")),
        Some(("", max)) => (0, read(max)?),
        Some((min, "")) => (read(min)?, u32::MAX),
        Some((min, max)) => (read(min)?, read(max)?),
    };
    if min > max {
        return Err(format!("'{word}' starts above its end"));
    }
    Ok(TtlBounds { min, max })
}
