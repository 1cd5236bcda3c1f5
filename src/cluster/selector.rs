//! Label selectors, for sources that have no API server to apply them.
//!
//! The grammar is Kubernetes' (reference "Labels and Selectors"): `key`, `!key`, `key=v`, `key==v`, `key!=v`,
//! `key in (a,b)`, `key notin (a,b)`, `key>1`, `key<1`, joined by commas that mean "and".

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

/// The labels of an object.
pub(super) type Labels = BTreeMap<Cow<'static, str>, String>;

/// Requirements that all have to hold; none for everything.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, PartialEq, Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, PartialEq, Debug)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Selector {
    /// Reads a selector; blank text selects everything.
    ///
    /// # Errors
    /// What was expected, as a sentence.
    pub(super) fn parse(text: &str) -> Result<Selector, String> {
        let mut parser = Parser { text, rest: text.char_indices().peekable() };
        parser.selector().map(Selector).map_err(|reason| format!("label selector {text:?}: {reason}"))
    }

    /// Whether labels fulfil every requirement. `!=` and `notin` also hold where the key is missing.
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels.get(requirement.key.as_str()).map(String::as_str)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Test::Above(bound) => number().is_some_and(|number| number > *bound),
            Test::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.peek().is_none() {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            match self.peek() {
                None => return Ok(requirements),
                Some(',') => self.skip(),
                Some(other) => return Err(format!("expected a comma or the end, found {other:?}")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == Some('!') {
            self.skip();
            return Ok(Requirement { key: self.key()?, test: Test::Missing });
        }
        let key = self.key()?;
        let test = match self.peek() {
            None | Some(',') => Test::Exists,
            Some('=') => {
                self.skip();
                if self.rest.peek().is_some_and(|(_, next)| *next == '=') {
                    self.skip();
                }
                Test::In(vec![self.value()?])
            }
            Some('!') => {
                self.skip();
                self.expect('=')?;
                Test::NotIn(vec![self.value()?])
            }
            Some('>') => Test::Above(self.bound()?),
            Some('<') => Test::Below(self.bound()?),
            Some(_) => match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                other => return Err(format!("expected =, ==, !=, in, notin, < or > after {key:?}, found {other:?}")),
            },
        };
        Ok(Requirement { key, test })
    }

    /// `(a, b)`.
    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect('(')?;
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            match self.peek() {
                Some(',') => self.skip(),
                Some(')') => {
                    self.skip();
                    return Ok(values);
                }
                Some(other) => return Err(format!("expected a comma or ) in a list of values, found {other:?}")),
                None => return Err("expected ) at the end of a list of values".into()),
            }
        }
    }

    fn bound(&mut self) -> Result<i64, String> {
        self.skip();
        let word = self.word();
        word.parse().map_err(|_| format!("expected a whole number after < or >, found {word:?}"))
    }

    /// `[prefix/]name`: the prefix a DNS subdomain, the name at most 63 characters.
    fn key(&mut self) -> Result<String, String> {
        let word = self.word();
        let (prefix, name) = word.split_once('/').map_or((None, word), |(prefix, name)| (Some(prefix), name));
        if name.is_empty() || !is_label_text(name) {
            return Err(format!("expected a label key, found {word:?}"));
        }
        if prefix.is_some_and(|prefix| {
            prefix.is_empty()
                || prefix.len() > 253
                || !prefix.split('.').all(|part| !part.is_empty() && is_label_text(part))
        }) {
            return Err(format!("expected a DNS name before the slash of label key {word:?}"));
        }
        Ok(word.to_owned())
    }

    /// A label value, which may be empty.
    fn value(&mut self) -> Result<String, String> {
        let word = self.word();
        if is_label_text(word) {
            Ok(word.to_owned())
        } else {
            Err(format!("{word:?} is no label value (at most 63 letters, digits, '-', '_' and '.')"))
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let start = self.position();
        while self.rest.peek().is_some_and(|(_, next)| !next.is_whitespace() && !"=!(),<>".contains(*next)) {
            self.rest.next();
        }
        &self.text[start..self.position()]
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.skip();
                Ok(())
            }
            Some(found) => Err(format!("expected {wanted:?}, found {found:?}")),
            None => Err(format!("expected {wanted:?} at the end")),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest.peek().map(|(_, next)| *next)
    }

    fn skip(&mut self) {
        self.rest.next();
    }

    fn skip_blanks(&mut self) {
        while self.rest.peek().is_some_and(|(_, next)| next.is_whitespace()) {
            self.rest.next();
        }
    }

    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(position, _)| *position)
    }
}

/// Empty, or at most 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends.
fn is_label_text(text: &str) -> bool {
    let is_edge = |octet: Option<&u8>| octet.is_none_or(u8::is_ascii_alphanumeric);
    let octets = text.as_bytes();
    octets.len() <= 63
        && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(octet))
        && is_edge(octets.first())
        && is_edge(octets.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned().into(), (*value).to_owned())).collect();
        Selector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn blank_selects_everything() {
        assert!(selects("", &[]));
        assert!(selects("  ", &[("app", "web")]));
    }

    #[test]
    fn equality() {
        assert!(selects("app=web", &[("app", "web")]));
        assert!(selects("app == web", &[("app", "web")]));
        assert!(!selects("app=web", &[("app", "db")]));
        assert!(!selects("app=web", &[]));
        assert!(selects("app=", &[("app", "")]));
        assert!(selects("k8s.io/app=web", &[("k8s.io/app", "web")]));
    }

    #[test]
    fn inequality_holds_for_a_missing_key() {
        assert!(selects("app!=web", &[("app", "db")]));
        assert!(selects("app != web", &[]));
        assert!(!selects("app!=web", &[("app", "web")]));
        assert!(selects("app notin (web, db)", &[]));
        assert!(!selects("app notin (web, db)", &[("app", "db")]));
    }

    #[test]
    fn sets_and_existence() {
        assert!(selects("app in (web,db)", &[("app", "db")]));
        assert!(!selects("app in (web,db)", &[("app", "mq")]));
        assert!(!selects("app in (web,db)", &[]));
        assert!(selects("app", &[("app", "")]));
        assert!(!selects("app", &[]));
        assert!(selects("!app", &[]));
        assert!(!selects("! app", &[("app", "web")]));
        // `in` and `notin` are ordinary keys where a key is expected.
        assert!(selects("in in (in)", &[("in", "in")]));
    }

    #[test]
    fn bounds() {
        assert!(selects("size>3", &[("size", "4")]));
        assert!(!selects("size > 3", &[("size", "3")]));
        assert!(selects("size<3", &[("size", "-1")]));
        assert!(!selects("size<3", &[("size", "small")]));
    }

    #[test]
    fn commas_mean_and() {
        assert!(selects("app=web, !old ,tier in (a, b)", &[("app", "web"), ("tier", "b")]));
        assert!(!selects("app=web,tier=a", &[("app", "web")]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (selector, part) in [
            ("=web", "expected a label key, found \"\""),
            ("app=web,", "expected a label key, found \"\""),
            ("app web", "expected =, ==, !=, in, notin, < or > after \"app\", found \"web\""),
            ("app in web", "expected '(', found 'w'"),
            ("app in (web", "expected ) at the end"),
            ("app!web", "expected '=', found 'w'"),
            ("app=web db", "expected a comma or the end, found 'd'"),
            ("app=-web", "is no label value"),
            ("app=wéb", "is no label value"),
            ("/app", "expected a DNS name before the slash"),
            ("size>big", "expected a whole number"),
            (&"a".repeat(64), "expected a label key"),
        ] {
            let error = Selector::parse(selector).unwrap_err();
            assert!(error.contains(part), "{selector}: {error}");
        }
    }
}
