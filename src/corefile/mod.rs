//! Text to directives with spans: lexer, server blocks, snippets, imports, environment.
//!
//! This room knows the Corefile's syntax and no plugin's name. What is wrong is said with file, line and what was
//! expected; what a value means is read by [`values`], which plugins call.

mod address;
mod environment;
mod expand;
mod lexer;
mod parser;
mod source;
#[cfg(test)]
mod tests;
pub mod values;

use sha2::{Digest, Sha512};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use address::{Address, Scheme};
pub use lexer::{Kind, Lexeme};

/// Where something stands: the file as the operator named it, and the line from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The file's path as given or imported.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One word of the Corefile, quotes removed and environment substituted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The word.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A directive or an option: its name, its arguments on that line, and its block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// The first word.
    pub name: Token,
    /// The other words of the line.
    pub args: Vec<Token>,
    /// The lines between braces; `None` where there are no braces.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// The options in the block, none where there is no block.
    pub fn options(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// One server block: where it listens for which zones, and its directives in file order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerBlock {
    /// The addresses in front of the brace.
    pub addresses: Vec<Address>,
    /// The directives, repeats included, imports expanded.
    pub directives: Vec<Directive>,
}

/// A whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corefile {
    /// The file it came from, as named by the operator.
    pub path: PathBuf,
    /// The server blocks in file order.
    pub blocks: Vec<ServerBlock>,
    /// SHA-512, in hex, of the tokens with their files and lines: blanks and trailing comments do not count.
    pub digest: String,
    /// What is accepted but should be said (an import pattern that matches nothing).
    pub warnings: Vec<Error>,
}

/// Something wrong with a configuration, said to the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// Where; `None` where no place in a file is to blame.
    pub span: Option<Span>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Error {
    /// An error at a place.
    pub fn at(span: &Span, message: impl Into<String>) -> Error {
        Error { span: Some(span.clone()), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.span {
            Some(span) => write!(f, "{span} - {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a configuration from a file, imports included. The environment is the process's.
///
/// # Errors
/// A file that cannot be read, and every breach of the syntax, with its place.
pub fn load(path: &Path) -> Result<Corefile, Error> {
    parse(path, &read(path)?, &|name| std::env::var(name).ok())
}

/// The text of a configuration file.
///
/// # Errors
/// A file that cannot be read, or is no text.
pub fn read(path: &Path) -> Result<String, Error> {
    source::read(path).map_err(|message| Error { span: None, message })
}

/// Reads a configuration from text; `path` names it in messages and is where relative imports start.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Corefile, Error> {
    let lexemes = lexer::lex(&path.to_string_lossy().into(), text);
    let (lexemes, mut warnings) = expand::expand(path, lexemes, environment)?;
    let (blocks, warning) = parser::parse(&lexemes)?;
    warnings.extend(warning);
    Ok(Corefile { path: path.into(), blocks, digest: digest(&lexemes), warnings })
}

/// The words of one file as they stand: imports, snippets and variables are words like others. For what edits a
/// Corefile and must keep what it does not mean.
pub fn words(path: &Path, text: &str) -> Vec<Lexeme> {
    lexer::lex(&path.to_string_lossy().into(), text)
}

/// SHA-512 of what the parser sees. Lengths stand before texts, so that no two sequences of words are one of octets.
fn digest(lexemes: &[Lexeme]) -> String {
    let mut hash = Sha512::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for Lexeme { token, kind, .. } in lexemes {
        add(&token.span.file);
        add(&token.text);
        add(&format!("{} {kind:?}", token.span.line));
    }
    format!("{:x}", hash.finalize())
}
