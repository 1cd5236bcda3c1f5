//! Snippets, imports and environment: lexemes in, the lexemes that the parser shall see out.
//!
//! A snippet `(name) { … }` at the top level is put aside; `import name` puts its inside in its place, wherever a line
//! may start: at the top level, in server blocks and in plugin blocks. `import PATTERN` does the same with files.

use super::environment::substitute;
use super::lexer::{Kind, Lexeme, lex};
use super::{Error, Span, Token, source};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many snippets are put in; CoreDNS's bound.
const MAX_SNIPPETS: usize = 10_000;
/// How many files are put in; CoreDNS's bound.
const MAX_FILES: usize = 100_000;
/// How deep imports may lead to imports. Leading back is an error of its own.
const MAX_DEPTH: usize = 64;
/// How many words a configuration may have after expansion: some 100 MB.
const MAX_WORDS: usize = 1_000_000;

/// Expands a file's lexemes. `path` is the file's own, which it must not import.
///
/// # Errors
/// An import or a snippet that is wrong, at its place.
pub(super) fn expand(
    path: &Path,
    lexemes: Vec<Lexeme>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<Lexeme>, Vec<Error>), Error> {
    let mut expander = Expander {
        environment,
        unset: HashSet::new(),
        snippets: HashMap::new(),
        open: vec![Source::File(identity(path))],
        snippets_left: MAX_SNIPPETS,
        files_left: MAX_FILES,
        depth: 0,
        expanded: Vec::new(),
        warnings: Vec::new(),
    };
    expander.warn_of_open_quote(&lexemes);
    expander.run(&lexemes)?;
    Ok((expander.expanded, expander.warnings))
}

struct Expander<'e> {
    environment: &'e dyn Fn(&str) -> Option<String>,
    /// The unset variables that were warned of.
    unset: HashSet<String>,
    snippets: HashMap<String, Snippet>,
    /// What is being expanded, from the outside in.
    open: Vec<Source>,
    snippets_left: usize,
    files_left: usize,
    /// How many braces are open in `expanded`.
    depth: usize,
    expanded: Vec<Lexeme>,
    warnings: Vec<Error>,
}

struct Snippet {
    defined: Span,
    body: Rc<[Lexeme]>,
}

#[derive(PartialEq, Eq)]
enum Source {
    Snippet(String),
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Snippet(name) => write!(f, "({name})"),
            Source::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Expander<'_> {
    fn run(&mut self, lexemes: &[Lexeme]) -> Result<(), Error> {
        let (mut rest, mut first, mut behind_brace) = (lexemes, true, false);
        while let Some((lexeme, after)) = rest.split_first() {
            let starts = (lexeme.starts_line || first || behind_brace) && lexeme.kind == Kind::Word;
            (rest, behind_brace) = if starts && lexeme.token.text == "import" {
                (self.import(lexeme, after)?, false)
            } else if starts && self.depth == 0 && is_definition(lexeme, after) {
                (self.define(lexeme, after)?, true)
            } else {
                // The first word of an import stands where `import` stood, which started a line.
                self.push(Lexeme { starts_line: lexeme.starts_line || first, ..lexeme.clone() })?;
                (after, lexeme.kind != Kind::Word)
            };
            first = false;
        }
        Ok(())
    }

    fn push(&mut self, mut lexeme: Lexeme) -> Result<(), Error> {
        match lexeme.kind {
            Kind::Word => lexeme.token.text = self.resolved(&lexeme.token),
            Kind::Open => self.depth += 1,
            Kind::Close => self.depth = self.depth.saturating_sub(1),
        }
        if self.expanded.len() == MAX_WORDS {
            return Err(error(&lexeme.token, format!("more than {MAX_WORDS} words after imports")));
        }
        self.expanded.push(lexeme);
        Ok(())
    }

    /// Puts `(name) { … }` aside.
    fn define<'l>(&mut self, head: &Lexeme, after: &'l [Lexeme]) -> Result<&'l [Lexeme], Error> {
        let text = self.resolved(&head.token);
        let name = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or("").to_owned();
        if name.is_empty() {
            return Err(error(&head.token, "a snippet has no name; expecting (NAME) {"));
        }
        let Some((_, inside)) = after.split_first().filter(|(open, _)| open.kind == Kind::Open) else {
            return Err(error(&head.token, format!("no '{{' after the snippet's name; expecting ({name}) {{")));
        };
        let Some(end) = closing(inside) else {
            return Err(error(&head.token, format!("Unexpected EOF, expecting '}}' to close the snippet ({name})")));
        };
        if let Some(first) = self.snippets.get(&name) {
            return Err(error(&head.token, format!("the snippet ({name}) is defined at {} already", first.defined)));
        }
        let snippet = Snippet { defined: head.token.span.clone(), body: inside[..end].into() };
        self.snippets.insert(name, snippet);
        Ok(&inside[end + 1..])
    }

    /// Expands an `import`, whose keyword has been read, and returns what stands behind it.
    fn import<'l>(&mut self, keyword: &Lexeme, after: &'l [Lexeme]) -> Result<&'l [Lexeme], Error> {
        const EXPECTED: &str = "expecting one snippet, file or pattern of files: import WHAT";
        let argument = after.split_first().filter(|(what, _)| what.kind == Kind::Word && !what.starts_line);
        let Some((what, rest)) = argument else {
            return Err(error(&keyword.token, format!("an import names nothing; {EXPECTED}")));
        };
        if let Some(extra) = rest.first().filter(|extra| !extra.starts_line && extra.kind != Kind::Close) {
            return Err(error(&keyword.token, format!("'{}' is too much; {EXPECTED}", extra.token.text)));
        }
        let name = self.resolved(&what.token);
        if name.is_empty() {
            return Err(error(&keyword.token, format!("the import's argument is empty; {EXPECTED}")));
        }
        let snippet = self.snippets.get(&name).map(|snippet| snippet.body.clone());
        match snippet {
            Some(body) => {
                take_one(&mut self.snippets_left, &keyword.token, "snippets", MAX_SNIPPETS)?;
                self.within(Source::Snippet(name), &keyword.token, &body)?;
            }
            None => self.import_files(&name, &keyword.token)?,
        }
        Ok(rest)
    }

    fn import_files(&mut self, pattern: &str, at: &Token) -> Result<(), Error> {
        let importer = Path::new(at.span.file.as_ref());
        let path = importer.parent().unwrap_or(Path::new("")).join(pattern);
        let whole = path.to_string_lossy();
        let count = |wildcard| whole.matches(wildcard).count();
        if count('*') > 1 || count('?') > 1 || (whole.contains('[') && whole.contains(']')) {
            let message =
                format!("the pattern {whole} is too wide; expecting at most one '*' and one '?', and no '[]'");
            return Err(error(at, message));
        }
        if !source::is_pattern(&whole) {
            if !path.exists() {
                let message = format!(
                    "File to import not found: {pattern}; there is no file {whole}, and no snippet ({pattern}) is \
                     defined before this line"
                );
                return Err(error(at, message));
            }
            return self.import_file(&path, at);
        }
        let files = source::matches(&path);
        if files.is_empty() {
            self.warnings.push(Error::at(&at.span, format!("No files matching import glob pattern: {pattern}")));
        }
        files.iter().try_for_each(|file| self.import_file(file, at))
    }

    fn import_file(&mut self, file: &Path, at: &Token) -> Result<(), Error> {
        take_one(&mut self.files_left, at, "files", MAX_FILES)?;
        let text = source::read(file).map_err(|why| error(at, format!("Could not import {why}")))?;
        let lexemes = lex(&file.to_string_lossy().into(), &text);
        self.warn_of_open_quote(&lexemes);
        self.within(Source::File(identity(file)), at, &lexemes)
    }

    /// Expands the inside of an import, unless that is what is being expanded already.
    fn within(&mut self, source: Source, at: &Token, lexemes: &[Lexeme]) -> Result<(), Error> {
        if self.open.contains(&source) {
            return Err(error(at, format!("the import of {source} leads back to itself")));
        }
        if self.open.len() > MAX_DEPTH {
            return Err(error(at, format!("imports lead to imports more than {MAX_DEPTH} times")));
        }
        self.open.push(source);
        self.run(lexemes)?;
        self.open.pop();
        Ok(())
    }

    /// The word with the environment put in. A variable that is not set is empty, and is warned of once.
    fn resolved(&mut self, token: &Token) -> String {
        let value = |name: &str| {
            (self.environment)(name).unwrap_or_else(|| {
                if self.unset.insert(name.to_owned()) {
                    let message = format!("the environment variable {name} is not set; it is taken as empty");
                    self.warnings.push(Error::at(&token.span, message));
                }
                String::new()
            })
        };
        substitute(&token.text, value).into_owned()
    }

    fn warn_of_open_quote(&mut self, lexemes: &[Lexeme]) {
        if let Some(last) = lexemes.last().filter(|last| last.unclosed) {
            let message = "the quote that opens here is never closed; the rest of the file is its text";
            self.warnings.push(Error::at(&last.token.span, message));
        }
    }
}

/// Whether a top-level line starts a snippet: `(name)` is its only address.
fn is_definition(head: &Lexeme, after: &[Lexeme]) -> bool {
    let name = &head.token.text;
    let alone = after.first().is_none_or(|next| next.kind != Kind::Word || next.starts_line);
    name.starts_with('(') && name.ends_with(')') && alone
}

/// Where the brace stands that closes a block, from behind its opening.
fn closing(inside: &[Lexeme]) -> Option<usize> {
    let mut depth = 0_usize;
    inside.iter().position(|lexeme| {
        match lexeme.kind {
            Kind::Word => {}
            Kind::Open => depth += 1,
            Kind::Close if depth == 0 => return true,
            Kind::Close => depth -= 1,
        }
        false
    })
}

fn take_one(left: &mut usize, at: &Token, what: &str, most: usize) -> Result<(), Error> {
    *left = left.checked_sub(1).ok_or_else(|| error(at, format!("more than {most} {what} are imported")))?;
    Ok(())
}

/// What tells files apart: two names of one file are one.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn error(at: &Token, message: impl fmt::Display) -> Error {
    Error::at(&at.span, format!("Error during parsing: {message}"))
}
