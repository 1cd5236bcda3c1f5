//! A file of keys in the form of named.conf: `key "NAME" { algorithm ALGORITHM; secret "KEY"; };`.

use crate::wire::tsig::{Algorithm, Key};
use crate::wire::{Name, base64};

/// The keys of a file's text.
///
/// # Errors
/// The line, and what is wrong there; never a secret.
pub(super) fn read(text: &str) -> Result<Vec<Key>, (usize, String)> {
    let mut words = Words { rest: text, line: 1 };
    let mut keys: Vec<Key> = Vec::new();
    while let Some(word) = words.next()? {
        if word != "key" {
            return Err(words.wrong(format!("'{word}' is not read; expected: key \"NAME\" {{ secret \"KEY\"; }};")));
        }
        let name = words.value("a key's name")?;
        let name = Name::from_text(&name).map_err(|why| words.wrong(format!("'{name}': {why}")))?;
        words.mark("{")?;
        let (mut secret, mut algorithm) = (None, Algorithm::Sha256);
        loop {
            match words.value("secret, algorithm or }")?.as_str() {
                "}" => break,
                "secret" => {
                    let word = words.value("a secret")?;
                    let octets = base64(&word).filter(|octets| !octets.is_empty());
                    secret = Some(octets.ok_or_else(|| words.wrong(format!("the secret of {name} is no base64")))?);
                }
                "algorithm" => {
                    let word = words.value("an algorithm")?;
                    let known = Algorithm::from_word(&word);
                    algorithm = known.ok_or_else(|| words.wrong(format!("'{word}' is no algorithm known here")))?;
                }
                _ => return Err(words.wrong("expected secret, algorithm or }".to_owned())),
            }
            words.mark(";")?;
        }
        words.mark(";")?;
        let secret = secret.ok_or_else(|| words.wrong(format!("the key {name} has no secret")))?;
        if keys.iter().any(|key| key.name == name) {
            return Err(words.wrong(format!("the key {name} stands twice")));
        }
        keys.push(Key::new(name, algorithm, secret));
    }
    Ok(keys)
}

/// Words, quoted or not, and marks.
struct Words<'t> {
    rest: &'t str,
    line: usize,
}

impl Words<'_> {
    fn wrong(&self, why: String) -> (usize, String) {
        (self.line, why)
    }

    fn value(&mut self, expected: &str) -> Result<String, (usize, String)> {
        self.next()?.ok_or_else(|| self.wrong(format!("the file ends where {expected} was expected")))
    }

    fn mark(&mut self, mark: &str) -> Result<(), (usize, String)> {
        let word = self.value(mark)?;
        if word == mark { Ok(()) } else { Err(self.wrong(format!("expected '{mark}'"))) }
    }

    fn skip(&mut self, octets: usize) {
        self.line += self.rest[..octets].matches('\n').count();
        self.rest = &self.rest[octets..];
    }

    fn next(&mut self) -> Result<Option<String>, (usize, String)> {
        loop {
            self.skip(self.rest.len() - self.rest.trim_start().len());
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if let Some(behind) = self.rest.strip_prefix("/*") {
                let end = behind.find("*/").ok_or_else(|| self.wrong("a comment does not end".to_owned()))?;
                self.skip(end + 4);
            } else {
                break;
            }
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if let Some(behind) = self.rest.strip_prefix('"') {
            let end = behind.find('"').ok_or_else(|| self.wrong("a quote does not end".to_owned()))?;
            let word = behind[..end].to_owned();
            self.skip(end + 2);
            return Ok(Some(word));
        }
        let is_mark = |c: char| matches!(c, '{' | '}' | ';' | '"');
        let end = match is_mark(first) {
            true => 1,
            false => self.rest.find(|c: char| is_mark(c) || c.is_whitespace()).unwrap_or(self.rest.len()),
        };
        let word = self.rest[..end].to_owned();
        self.skip(end);
        Ok(Some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_bind_and_knot_write_them() {
        let text = "# made today\nkey \"One.test.\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n\
                    /* and */ key two { secret c2VjcmV0; }; // done";
        let keys = read(text).unwrap();
        let shown: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
        assert_eq!(shown, ["the key one.test. for hmac-sha512.", "the key two. for hmac-sha256."]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_secret() {
        for (text, line, gist) in [
            ("\nzone x", 2, "'zone' is not read"),
            ("key", 1, "ends where a key's name"),
            ("key a..b {};", 1, "a label is empty"),
            ("key a {\nsecret \"top!secret\";\n};", 2, "the secret of a. is no base64"),
            ("key a {\nalgorithm gss-tsig;\n};", 2, "'gss-tsig' is no algorithm"),
            ("key a {\n};", 2, "has no secret"),
            ("key a { secret c2VjcmV0; };\nkey a { secret c2VjcmV0; };", 2, "stands twice"),
            ("key a { secret c2VjcmV0 };", 1, "expected ';'"),
            ("key \"a", 1, "a quote does not end"),
            ("/* key", 1, "a comment does not end"),
        ] {
            let (at, why) = read(text).expect_err(text);
            assert!(at == line && why.contains(gist) && !why.contains("top!"), "{text}: {at}: {why}");
        }
    }
}
