//! Text to words.

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Integer(i64),
    Float(f64),
    Text(String),
    /// A name or a keyword.
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// A word and where it stands, in octets.
pub(super) type Located = (usize, Word);

/// Longest first.
const SIGNS: &[&str] = &[
    "**", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "+",
    "-", "*", "/", "%", "^", "<", ">", "!", "?", "#", "|", "=",
];

/// The words of a text.
pub(super) fn words(text: &str) -> Result<Vec<Located>, (usize, String)> {
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (word, length) = match first {
            blank if blank.is_whitespace() => (None, blank.len_utf8()),
            '/' if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => match rest.find("*/") {
                Some(end) => (None, end + 2),
                None => return Err((at, "the comment is not closed; expected */".to_owned())),
            },
            '\'' | '"' => {
                quoted(rest, first).map(|(text, length)| (Some(Word::Text(text)), length)).map_err(|why| (at, why))?
            }
            '`' => match rest[1..].find('`') {
                Some(end) => (Some(Word::Text(rest[1..=end].to_owned())), end + 2),
                None => return Err((at, "the string is not closed; expected `".to_owned())),
            },
            digit if digit.is_ascii_digit() => {
                number(rest).map(|(word, length)| (Some(word), length)).map_err(|why| (at, why))?
            }
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                number(rest).map(|(word, length)| (Some(word), length)).map_err(|why| (at, why))?
            }
            letter if is_letter(letter) => {
                let length = rest.find(|next: char| !is_letter(next) && !next.is_ascii_digit()).unwrap_or(rest.len());
                (Some(Word::Name(rest[..length].to_owned())), length)
            }
            other => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Some(Word::Sign(sign)), sign.len()),
                None => return Err((at, format!("'{other}' is unexpected; expected a value or an operator"))),
            },
        };
        words.extend(word.map(|word| (at, word)));
        at += length;
    }
    Ok(words)
}

fn is_letter(character: char) -> bool {
    character.is_alphabetic() || character == '_' || character == '$'
}

/// A string in quotes: its text, and how long it is in the source.
fn quoted(source: &str, quote: char) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut rest = source.char_indices().skip(1);
    while let Some((at, character)) = rest.next() {
        match character {
            end if end == quote => return Ok((text, at + 1)),
            '\\' => {
                let (_, escape) = rest.next().ok_or("the string ends with a backslash")?;
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                text.push(match escape {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'v' => '\x0b',
                    '\\' | '\'' | '"' => escape,
                    'x' | 'u' | 'U' => {
                        let code: String = rest.by_ref().take(digits).map(|(_, digit)| digit).collect();
                        let number = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits);
                        number.and_then(char::from_u32).ok_or_else(|| format!("'\\{escape}{code}' is no character"))?
                    }
                    other => return Err(format!("'\\{other}' is no escape; a backslash itself is written \\\\")),
                });
            }
            other => text.push(other),
        }
    }
    Err(format!("the string is not closed; expected {quote}"))
}

/// A number: decimal, `0x`, `0o`, `0b`, with `_` between digits, or a float.
fn number(source: &str) -> Result<(Word, usize), String> {
    for (prefix, base) in [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = source.strip_prefix(prefix) {
            let length = digits.find(|next: char| !next.is_ascii_alphanumeric() && next != '_').unwrap_or(digits.len());
            let plain = digits[..length].replace('_', "");
            let number = i64::from_str_radix(&plain, base).map_err(|_| format!("'{prefix}{plain}' is no number"))?;
            return Ok((Word::Integer(number), prefix.len() + length));
        }
    }
    let octets = source.as_bytes();
    let octet = |at: usize| octets.get(at).copied().unwrap_or(0);
    let digits = |mut at: usize| {
        while octet(at).is_ascii_digit() || octet(at) == b'_' {
            at += 1;
        }
        at
    };
    let (mut end, mut is_float) = (digits(0), false);
    // `1..3` is a range.
    if octet(end) == b'.' && octet(end + 1).is_ascii_digit() {
        (end, is_float) = (digits(end + 1), true);
    }
    if matches!(octet(end), b'e' | b'E') {
        let sign = usize::from(matches!(octet(end + 1), b'+' | b'-'));
        if octet(end + 1 + sign).is_ascii_digit() {
            (end, is_float) = (digits(end + 1 + sign), true);
        }
    }
    let plain = source[..end].replace('_', "");
    let wrong = |_| format!("'{plain}' is no number of 64 bits");
    let word = if is_float {
        Word::Float(plain.parse().map_err(|_| format!("'{plain}' is no number"))?)
    } else {
        Word::Integer(plain.parse().map_err(|why: std::num::ParseIntError| wrong(why))?)
    };
    Ok((word, end))
}
