//! Text that is not copied out of what it is read from.

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A text: borrowed, unless the format writes it otherwise than it is (JSON's escapes).
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// Several of which there is hardly ever more than one: the first is kept in place.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Texts<'a> {
    first: Option<Text<'a>>,
    others: Vec<Text<'a>>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(Cow::Borrowed(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> Texts<'a> {
    pub(super) fn push(&mut self, text: Text<'a>) {
        match self.first {
            None => self.first = Some(text),
            Some(_) => self.others.push(text),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.first.iter().chain(&self.others).map(|text| &**text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_str(ReadText)
    }
}

struct ReadText;

impl<'de> Visitor<'de> for ReadText {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(text.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts<'a>, D::Error> {
        deserializer.deserialize_seq(ReadTexts)
    }
}

struct ReadTexts;

impl<'de> Visitor<'de> for ReadTexts {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Texts::default();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_where_it_stands_as_it_is() {
        let json = br#"["10.0.0.1", "a\u002db", ""]"#;
        let texts: Texts = serde_json::from_slice(json).unwrap();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["10.0.0.1", "a-b", ""]);
        let is_borrowed = |text: &Text| matches!(text.0, Cow::Borrowed(_));
        assert!(texts.first.as_ref().is_some_and(is_borrowed) && !is_borrowed(&texts.others[0]));
        assert_eq!(serde_json::from_slice::<Option<Texts>>(b"null").unwrap(), None);
        assert_eq!(serde_json::from_slice::<Texts>(b"[]").unwrap().iter().count(), 0);
        let said = serde_json::from_slice::<Texts>(b"[1]").unwrap_err().to_string();
        assert!(said.contains("expected a string"), "{said}");
    }
}
