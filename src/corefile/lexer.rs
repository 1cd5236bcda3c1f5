//! Characters to words: blanks, quotes, comments and lines.
//!
//! Words stand between blanks. A word that starts with `"` runs to the next `"`, over lines too; inside it `\"` is a
//! quote and every other backslash is itself, as regular expressions need. `#` outside quotes starts a comment, in the
//! middle of a word as well. CR counts for nothing, nor does a byte order mark.

use super::{Span, Token};
use std::ops::Range;
use std::sync::Arc;

/// A word or a brace, with what the parser must know of its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lexeme {
    /// The word, and its line.
    pub token: Token,
    /// What it means for the structure.
    pub kind: Kind,
    /// Its octets in the text, quotes included.
    pub range: Range<usize>,
    /// Whether it is the first of its line.
    pub starts_line: bool,
    /// Whether its quote was still open when the file ended.
    pub unclosed: bool,
}

/// What a lexeme means for the structure. A brace in quotes is a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Word,
    Open,
    Close,
}

/// Splits a file's text. Any text has lexemes; an open quote runs to the end of the file, as in CoreDNS.
pub(super) fn lex(file: &Arc<str>, text: &str) -> Vec<Lexeme> {
    let mut lexer = Lexer { file, line: 1, starts_line: true, word: String::new(), range: 0..0, lexemes: Vec::new() };
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
    let mut comment = false;
    loop {
        let at = text.len() - characters.as_str().len();
        let Some(character) = characters.next() else { break };
        match character {
            '\n' => {
                lexer.end_word();
                lexer.line += 1;
                lexer.starts_line = true;
                comment = false;
            }
            _ if comment => {}
            '#' => comment = true,
            '\r' => {}
            '"' if lexer.word.is_empty() => lexer.quoted(&mut characters, at, text.len()),
            blank if blank.is_whitespace() => lexer.end_word(),
            other => {
                if lexer.word.is_empty() {
                    lexer.range.start = at;
                }
                lexer.range.end = at + other.len_utf8();
                lexer.word.push(other);
            }
        }
    }
    lexer.end_word();
    lexer.lexemes
}

struct Lexer<'t> {
    file: &'t Arc<str>,
    line: u32,
    starts_line: bool,
    word: String,
    /// Where the word stands.
    range: Range<usize>,
    lexemes: Vec<Lexeme>,
}

impl Lexer<'_> {
    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.word);
        let range = self.range.clone();
        match text.as_str() {
            "{" => self.push(text, Kind::Open, self.line, range, false),
            "}" => self.push(text, Kind::Close, self.line, range, false),
            // CoreDNS takes this for a word, which nothing means by it.
            "{}" => {
                self.push("{".to_owned(), Kind::Open, self.line, range.start..range.start + 1, false);
                self.push("}".to_owned(), Kind::Close, self.line, range.start + 1..range.end, false);
            }
            _ => self.push(text, Kind::Word, self.line, range, false),
        }
    }

    /// Reads on from behind the opening quote, which stands `at` this octet of a text that is `length` long.
    fn quoted(&mut self, characters: &mut std::str::Chars<'_>, at: usize, length: usize) {
        let (line, mut text, mut escaped, mut unclosed) = (self.line, String::new(), false, true);
        for character in characters.by_ref() {
            if character == '\n' {
                self.line += 1;
            }
            match (escaped, character) {
                (false, '"') => {
                    unclosed = false;
                    break;
                }
                (false, '\\') => escaped = true,
                (true, '"') => {
                    text.push('"');
                    escaped = false;
                }
                (true, other) => {
                    text.extend(['\\', other]);
                    escaped = false;
                }
                (false, other) => text.push(other),
            }
        }
        if escaped {
            text.push('\\');
        }
        self.push(text, Kind::Word, line, at..length - characters.as_str().len(), unclosed);
    }

    fn push(&mut self, text: String, kind: Kind, line: u32, range: Range<usize>, unclosed: bool) {
        let token = Token { text, span: Span { file: self.file.clone(), line } };
        let starts_line = std::mem::take(&mut self.starts_line);
        self.lexemes.push(Lexeme { token, kind, range, starts_line, unclosed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, u32)> {
        lex(&"Corefile".into(), text).into_iter().map(|lexeme| (lexeme.token.text, lexeme.token.span.line)).collect()
    }

    #[test]
    fn the_rules_of_words() {
        let table: &[(&str, &[(&str, u32)])] = &[
            ("", &[]),
            (" \t\r\n", &[]),
            ("a b\nc", &[("a", 1), ("b", 1), ("c", 2)]),
            ("\u{feff}a", &[("a", 1)]),
            ("a\r\nb\r\n", &[("a", 1), ("b", 2)]),
            ("# all\na # rest\nfoo#bar baz\nb", &[("a", 2), ("foo", 3), ("b", 4)]),
            (r#""a b" c"#, &[("a b", 1), ("c", 1)]),
            (r#""" x"#, &[("", 1), ("x", 1)]),
            (r#""a # b""#, &[("a # b", 1)]),
            (r#""say \"hi\"""#, &[(r#"say "hi""#, 1)]),
            (r#""^a\.b\d$""#, &[(r"^a\.b\d$", 1)]),
            (r#""a\\" b"#, &[(r"a\\", 1), ("b", 1)]),
            ("\"a\nb\" c\nd", &[("a\nb", 1), ("c", 2), ("d", 3)]),
            (r#"a"b c"d"#, &[("a\"b", 1), ("c\"d", 1)]),
            (r#""a"b"#, &[("a", 1), ("b", 1)]),
            ("\"open\nto the end", &[("open\nto the end", 1)]),
            (r#""ends in \"#, &[(r"ends in \", 1)]),
            ("a\u{a0}b", &[("a", 1), ("b", 1)]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(word, line)| (word.to_string(), *line)).collect();
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn braces_are_structure_only_as_bare_words() {
        let kinds = |text| lex(&"Corefile".into(), text).iter().map(|lexeme| lexeme.kind).collect::<Vec<_>>();
        assert_eq!(kinds("a { }"), [Kind::Word, Kind::Open, Kind::Close]);
        assert_eq!(kinds("a {}"), [Kind::Word, Kind::Open, Kind::Close]);
        assert_eq!(kinds(r#""{" "}" "{}" {{ }} a{ {1}"#), [Kind::Word; 7]);
    }

    #[test]
    fn ranges_hold_the_words_with_their_quotes() {
        let text = "\u{feff}a \"b \\\" c\" é\r\n{} #c\n\"open";
        let ranges = lex(&"Corefile".into(), text).into_iter().map(|lexeme| &text[lexeme.range]).collect::<Vec<_>>();
        assert_eq!(ranges, ["a", "\"b \\\" c\"", "é", "{", "}", "\"open"]);
    }

    #[test]
    fn line_starts_and_open_quotes_are_marked() {
        let lexemes = lex(&"Corefile".into(), "a \"b\nb\" c\nd \"e");
        let marks: Vec<_> = lexemes.iter().map(|lexeme| (lexeme.starts_line, lexeme.unclosed)).collect();
        assert_eq!(marks, [(true, false), (false, false), (false, false), (true, false), (false, true)]);
    }
}
