//! A master file as entries: words, quotes, comments and parentheses resolved (RFC 1035 section 5.1).

/// One entry: the words up to the end of its line, or of the line that closes its parentheses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line it starts at, from 1.
    pub line: usize,
    /// Whether it starts with a blank: the owner is the one before.
    pub starts_blank: bool,
    /// The words, escapes as written.
    pub words: Vec<Word>,
}

/// A word, or a text in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub is_quoted: bool,
}

/// The entries of a file that have words.
///
/// # Errors
/// The line and what is wrong: parentheses or quotes that are not closed.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let mut reading =
        Reading { line: 1, at_line_start: true, entry: Entry { line: 1, ..Entry::default() }, ..Reading::default() };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                reading.end_word();
                let (start, mut quoted) = (reading.line, String::new());
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => quoted.extend(std::iter::once('\\').chain(characters.next())),
                        Some('\n') | None => return Err((start, "a quote is not closed on its line".to_owned())),
                        Some(other) => quoted.push(other),
                    }
                }
                reading.entry.words.push(Word { text: quoted, is_quoted: true });
            }
            ';' => while characters.next_if(|character| *character != '\n').is_some() {},
            '(' => {
                reading.end_word();
                reading.depth += 1;
            }
            ')' => {
                reading.end_word();
                reading.depth =
                    reading.depth.checked_sub(1).ok_or_else(|| (reading.line, "')' without '('".to_owned()))?;
            }
            '\n' => reading.end_line(),
            blank if blank.is_whitespace() => {
                reading.entry.starts_blank |= reading.at_line_start && reading.depth == 0;
                reading.end_word();
            }
            '\\' => reading.word.extend(std::iter::once('\\').chain(characters.next())),
            other => reading.word.push(other),
        }
        reading.at_line_start = character == '\n';
    }
    if reading.depth > 0 {
        return Err((reading.entry.line, "'(' is not closed".to_owned()));
    }
    reading.end_line();
    Ok(reading.entries)
}

#[derive(Default)]
struct Reading {
    entries: Vec<Entry>,
    entry: Entry,
    word: String,
    line: usize,
    depth: usize,
    at_line_start: bool,
}

impl Reading {
    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.entry.words.push(Word { text: std::mem::take(&mut self.word), is_quoted: false });
        }
    }

    fn end_line(&mut self) {
        self.end_word();
        self.line += 1;
        if self.depth == 0 {
            let entry = std::mem::replace(&mut self.entry, Entry { line: self.line, ..Entry::default() });
            if !entry.words.is_empty() {
                self.entries.push(entry);
            }
        }
    }
}
