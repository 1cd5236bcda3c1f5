//! The five ways to match a name, and what becomes of it.

use super::*;
use std::borrow::Cow;

/// A pattern for names as text: lower case, with the last dot.
pub(super) enum Pattern {
    /// The text, and the same name in wire form.
    Exact(String, Name),
    Prefix(String),
    Suffix(String),
    Substring(String),
    Regex(Regex),
}

impl Pattern {
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(from, _) => name == from,
            Pattern::Prefix(from) => name.starts_with(from.as_str()),
            Pattern::Suffix(from) => name.ends_with(from.as_str()),
            Pattern::Substring(from) => name.contains(from.as_str()),
            Pattern::Regex(regex) => regex.is_match(name),
        }
    }

    /// The name with what matches replaced; `None` where it does not match.
    pub(super) fn replace(&self, name: &str, to: &str) -> Option<String> {
        match self {
            Pattern::Exact(from, _) => (name == from).then(|| to.to_owned()),
            Pattern::Prefix(from) => name.strip_prefix(from.as_str()).map(|rest| format!("{to}{rest}")),
            Pattern::Suffix(from) => name.strip_suffix(from.as_str()).map(|rest| format!("{rest}{to}")),
            Pattern::Substring(from) => name.contains(from.as_str()).then(|| name.replace(from.as_str(), to)),
            Pattern::Regex(regex) => replace_whole(regex, name, to),
        }
    }
}

/// The replacement of a whole name that the expression matches somewhere, its `{N}` filled from the groups.
pub(super) fn replace_whole(regex: &Regex, name: &str, to: &str) -> Option<String> {
    let groups = regex.captures(name)?;
    let mut result = Cow::Borrowed(to);
    for (index, group) in groups.iter().enumerate() {
        let mark = format!("{{{index}}}");
        if result.contains(&mark) {
            result = Cow::Owned(result.replace(&mark, group.map_or("", |group| group.as_str())));
        }
    }
    Some(result.into_owned())
}
