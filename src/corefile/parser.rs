//! Lexemes to server blocks and directives.
//!
//! It takes what CoreDNS takes and a little more, where an operator's meaning is plain: a block on one line
//! (`health { lameduck 5s }`), a closing brace behind the last word, a plugin's `{` on the next line.

use super::lexer::{Kind, Lexeme};
use super::{Address, Directive, Error, ServerBlock, Span, Token};

/// How deep braces may stand in braces; plugins need two.
const MAX_DEPTH: usize = 32;

/// Reads all server blocks, a text without any has none; and what to warn of.
///
/// # Errors
/// The first breach of the syntax, in CoreDNS's envelope, with what was expected.
pub(super) fn parse(lexemes: &[Lexeme]) -> Result<(Vec<ServerBlock>, Option<Error>), Error> {
    let mut parser = Parser { lexemes, at: 0 };
    let mut blocks = Vec::new();
    while let Some(next) = parser.peek() {
        // CoreDNS starts with these, and serves a zone of that name beside.
        if !blocks.is_empty() && parser.only_closing_braces() {
            let message = format!("'{}' closes nothing and is left out", next.token.text);
            return Ok((blocks, Some(Error::at(&next.token.span, message))));
        }
        blocks.push(parser.server_block()?);
    }
    Ok((blocks, None))
}

struct Parser<'l> {
    lexemes: &'l [Lexeme],
    at: usize,
}

impl<'l> Parser<'l> {
    fn server_block(&mut self) -> Result<ServerBlock, Error> {
        let addresses = self.addresses()?;
        let directives = match self.next_if(Kind::Open) {
            Some(open) => self.block(&open.token.span, 1)?,
            None => self.without_braces(&addresses)?,
        };
        Ok(ServerBlock { addresses, directives })
    }

    /// The addresses in front of `{`, or on the first line where no brace comes. A comma leads over a line's end.
    fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let (mut addresses, mut comma) = (Vec::new(), false);
        let first = self.peek();
        while let Some(lexeme) = self.peek() {
            match lexeme.kind {
                Kind::Word if lexeme.starts_line && !addresses.is_empty() && !comma => break,
                Kind::Word => {
                    reject_glued_brace(&lexeme.token)?;
                    let words = lexeme.token.text.split(',').filter(|word| !word.is_empty());
                    for word in words {
                        addresses.push(Address::read(word, &lexeme.token.span)?);
                    }
                    comma = lexeme.token.text.ends_with(',');
                    self.at += 1;
                }
                Kind::Open if comma => return Err(unexpected(&lexeme.token, "another zone after ','")),
                Kind::Open if addresses.is_empty() => return Err(no_address(first, &lexeme.token)),
                Kind::Open => break,
                Kind::Close => return Err(unexpected(&lexeme.token, "a server block or the end of the file")),
            }
        }
        match first {
            _ if comma => Err(self.unexpected_end("another zone after ','")),
            Some(first) if addresses.is_empty() => Err(no_address(Some(first), &first.token)),
            _ => Ok(addresses),
        }
    }

    /// The directives behind `{`, and the `}`.
    fn block(&mut self, opened: &Span, depth: usize) -> Result<Vec<Directive>, Error> {
        if depth > MAX_DEPTH {
            let message = format!("Error during parsing: braces are nested more than {MAX_DEPTH} deep");
            return Err(Error::at(opened, message));
        }
        let mut directives = Vec::new();
        while self.next_if(Kind::Close).is_none() {
            match self.peek() {
                Some(_) => directives.push(self.directive(depth)?),
                None => return Err(self.unexpected_end(&format!("'}}' for the '{{' at {opened}"))),
            }
        }
        Ok(directives)
    }

    /// The directives of the one server block that may go without braces: all that is left.
    fn without_braces(&mut self, addresses: &[Address]) -> Result<Vec<Directive>, Error> {
        let mut directives = Vec::new();
        while let Some(next) = self.peek() {
            if let (Kind::Close, Some(address)) = (next.kind, addresses.first()) {
                let expected = format!("a directive, as there is no '{{' after the zones at {}", address.span);
                return Err(unexpected(&next.token, &expected));
            }
            directives.push(self.directive(0)?);
        }
        Ok(directives)
    }

    fn directive(&mut self, depth: usize) -> Result<Directive, Error> {
        let Some(name) = self.next_if(Kind::Word) else {
            return Err(match self.peek() {
                Some(next) => unexpected(&next.token, "a directive"),
                None => self.unexpected_end("a directive"),
            });
        };
        let mut args = Vec::new();
        while let Some(next) = self.peek()
            && next.kind == Kind::Word
            && !next.starts_line
        {
            args.push(next.token.clone());
            self.at += 1;
        }
        reject_glued_brace(args.last().unwrap_or(&name.token))?;
        let mut block = None;
        if let Some(open) = self.next_if(Kind::Open) {
            block = Some(self.block(&open.token.span, depth + 1)?);
            if let Some(next) = self.peek()
                && next.kind == Kind::Word
                && !next.starts_line
            {
                return Err(unexpected(&next.token, "the end of the line after '}'"));
            }
        }
        Ok(Directive { name: name.token.clone(), args, block })
    }

    /// Whether nothing is left but braces too many, also written together.
    fn only_closing_braces(&self) -> bool {
        let rest = self.lexemes.get(self.at..).unwrap_or_default();
        rest.iter().all(|lexeme| !lexeme.token.text.is_empty() && lexeme.token.text.chars().all(|c| c == '}'))
    }

    fn peek(&self) -> Option<&'l Lexeme> {
        self.lexemes.get(self.at)
    }

    fn next_if(&mut self, kind: Kind) -> Option<&'l Lexeme> {
        let next = self.peek().filter(|next| next.kind == kind)?;
        self.at += 1;
        Some(next)
    }

    /// The error for a text that ends too early; a quote that swallowed its end is named.
    fn unexpected_end(&self, expected: &str) -> Error {
        let mut message = format!("Error during parsing: Unexpected EOF, expecting {expected}");
        if let Some(quote) = self.lexemes.iter().rev().find(|lexeme| lexeme.unclosed) {
            message += &format!("; the quote that opens at {} is never closed", quote.token.span);
        }
        Error { span: self.lexemes.last().map(|last| last.token.span.clone()), message }
    }
}

fn unexpected(token: &Token, expected: &str) -> Error {
    Error::at(&token.span, format!("Syntax error: Unexpected token '{}', expecting {expected}", token.text))
}

/// The error for a block without zones: none was written, or what was written is empty.
fn no_address(first: Option<&Lexeme>, at: &Token) -> Error {
    match first {
        Some(word) if word.kind == Kind::Word => {
            let message = "Error during parsing: the server block's zone is empty; expecting a zone, '.' for all names";
            Error::at(&word.token.span, message)
        }
        _ => unexpected(at, "a zone"),
    }
}

/// `.:53{` would be a word, and its block would be lost. Where braces follow braces (`{{`) it is a template's.
fn reject_glued_brace(token: &Token) -> Result<(), Error> {
    let glued = token.text.strip_suffix('{').is_some_and(|rest| !rest.is_empty() && !rest.ends_with(['{', '\\']));
    if glued { Err(unexpected(token, "a blank before '{'")) } else { Ok(()) }
}
