//! `{$NAME}` and `{%NAME%}`: variables of the environment inside words.

use std::borrow::Cow;

/// Puts the values in, from left to right; a value is not searched again. `value` is asked for every name.
///
/// It works on words, so a value with blanks stays one word. A reference without a name (`{$}`) or without an end is
/// left as it is.
pub(super) fn substitute<'w>(word: &'w str, mut value: impl FnMut(&str) -> String) -> Cow<'w, str> {
    // Where the last ends are is found once: a long word full of openings costs one pass, not one each.
    let (last_brace, last_percent) = (word.rfind('}'), word.rfind("%}"));
    let (mut done, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(opening) = word[at..].find('{').map(|found| at + found) {
        at = opening + 1;
        let (end, last_end) = match word.as_bytes().get(at) {
            Some(b'$') => ("}", last_brace),
            Some(b'%') => ("%}", last_percent),
            _ => continue,
        };
        let name_at = opening + 2;
        if last_end.is_none_or(|last| last < name_at) {
            continue;
        }
        if let Some(length) = word[name_at..].find(end).filter(|&length| length > 0) {
            done.push_str(&word[copied..opening]);
            done.push_str(&value(&word[name_at..name_at + length]));
            at = name_at + length + end.len();
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(word);
    }
    done.push_str(&word[copied..]);
    Cow::Owned(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_references() {
        let table = [
            ("plain", "plain"),
            ("{$HOST}:9253", "192.0.2.1:9253"),
            ("{%HOST%}", "192.0.2.1"),
            ("a{$HOST}b{%HOST%}c", "a192.0.2.1b192.0.2.1c"),
            ("{$UNSET}", ""),
            ("{$}", "{$}"),
            ("{%%}", "{%%}"),
            ("{$HOST", "{$HOST"),
            ("{%HOST}", "{%HOST}"),
            ("{1}.svc", "{1}.svc"),
            ("{$ODD}", "{$HOST}"),
            ("é{$HOST}é", "é192.0.2.1é"),
        ];
        for (word, expected) in table {
            let value = |name: &str| match name {
                "HOST" => "192.0.2.1".to_owned(),
                "ODD" => "{$HOST}".to_owned(),
                _ => String::new(),
            };
            assert_eq!(substitute(word, value), expected, "{word}");
        }
    }
}
