//! A source cut into text and actions, and actions into words.

/// What stands between and in the braces.
pub(super) enum Piece {
    Text(String),
    /// The words of an action.
    Action(Vec<String>),
}

pub(super) fn split(mut source: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut trims) = (Vec::new(), false);
    while let Some(open) = source.find("{{") {
        let (mut text, inside) = (&source[..open], &source[open + 2..]);
        let close = closing(inside).ok_or("unclosed action: no }} behind {{")?;
        let (mut action, rest) = (&inside[..close], &inside[close + 2..]);
        if trims {
            text = text.trim_start();
        }
        if let Some(trimmed) = action.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace)) {
            (text, action) = (text.trim_end(), trimmed);
        }
        let trimmed = action.strip_suffix('-').filter(|rest| rest.ends_with(char::is_whitespace));
        trims = trimmed.is_some();
        let action = trimmed.unwrap_or(action).trim();
        pieces.push(Piece::Text(text.to_owned()));
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(words(action)?));
        }
        source = rest;
    }
    pieces.push(Piece::Text(if trims { source.trim_start() } else { source }.to_owned()));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Ok(pieces)
}

/// Where `}}` stands outside quotes.
fn closing(inside: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, character) in inside.char_indices() {
        match (quote, character) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), character) if open == character && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(character),
            (None, '}') if inside[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
        escaped = false;
    }
    None
}

fn words(action: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = action;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            blank if blank.is_whitespace() => {
                rest = &rest[blank.len_utf8()..];
                continue;
            }
            '"' | '`' => quoted(rest).ok_or("a quote is not closed")?,
            '(' | ')' | '|' | ',' => 1,
            ':' if rest.starts_with(":=") => 2,
            '=' => 1,
            // A field behind a closing parenthesis, as in (index .Match 1).x, is not known here.
            _ => rest.find(|end: char| end.is_whitespace() || "()|,:=\"`".contains(end)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return Err(format!("unexpected '{first}'"));
        }
        words.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    Ok(words)
}

/// The length of the quoted string at the front.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if character == quote && !escaped {
            return Some(at + 1);
        }
        escaped = quote == '"' && character == '\\' && !escaped;
    }
    None
}
