//! # Description
//! `header` sets and clears flags in the headers of queries on their way in and of replies on their way out.
//!
//! # Syntax
//! ```text
//! header {
//!     [query|response] set|clear FLAG...
//! }
//! ```
//! **FLAG** is `aa`, `ra` or `rd`. Without `query` or `response` the rule is for responses. Of several directives the
//! first with rules counts. Rules apply in their order.
//!
//! With rules, every query of the server block leaves the fast lane. Replies from the cache are changed like any other
//! (CoreDNS loses changes of AA and RD there).
//!
//! # Examples
//! Clients that insist on recursion:
//! ```corefile
//! . {
//!     header {
//!         response set ra
//!     }
//!     kubernetes cluster.local
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! RFC 1035 section 4.1.1, for the flags.

use crate::plugin::{BoxFuture, Definition, Directive, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::{Name, flags};
use std::sync::Arc;

/// `header`.
pub const DEFINITION: Definition = Definition { directive: "header", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut chosen = None;
    for directive in setup.directives {
        if let Some(word) = directive.args.first() {
            return Err(setup.error(word, format!("'{}' is unexpected; expected a block of rules", word.text)));
        }
        let mut header = Header::default();
        for option in directive.options() {
            read_rule(setup, &mut header, option)?;
        }
        if !header.is_empty() {
            chosen.get_or_insert(header);
        }
    }
    if let Some(header) = chosen {
        setup.plan.leave_fast_lane([Name::root()]);
        setup.plan.chain.push(Arc::new(header));
    }
    Ok(())
}

fn read_rule(setup: &Setup<'_>, header: &mut Header, option: &Directive) -> Result<(), Error> {
    let words: Vec<_> = std::iter::once(&option.name).chain(&option.args).collect();
    let (change, rest) = match words.as_slice() {
        [side, rest @ ..] if side.text.eq_ignore_ascii_case("query") => (&mut header.query, rest),
        [side, rest @ ..] if side.text.eq_ignore_ascii_case("response") => (&mut header.response, rest),
        rest => (&mut header.response, rest),
    };
    let [verb, names @ ..] = rest else { return Err(setup.arguments(option, "query|response set|clear FLAG...")) };
    if !matches!(verb.text.as_str(), "set" | "clear") {
        let message = format!("unknown action '{}'; expected set or clear", verb.text);
        return Err(setup.error(verb, message));
    }
    if names.is_empty() {
        return Err(setup.error(verb, format!("invalid length for flags: {} names none", verb.text)));
    }
    for name in names {
        let flag = match name.text.to_ascii_lowercase().as_str() {
            "aa" => flags::AA,
            "ra" => flags::RA,
            "rd" => flags::RD,
            _ => return Err(setup.error(name, format!("unknown flag '{}'; expected aa, ra or rd", name.text))),
        };
        change.add(flag, verb.text == "set");
    }
    Ok(())
}

#[derive(Default)]
struct Header {
    query: Change,
    response: Change,
}

impl Header {
    fn is_empty(&self) -> bool {
        self.query.is_empty() && self.response.is_empty()
    }
}

/// Flags to set and flags to clear; none is in both.
#[derive(Default)]
struct Change {
    set: u16,
    clear: u16,
}

impl Change {
    fn add(&mut self, flag: u16, set: bool) {
        let (to, from) = if set { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= flag;
        *from &= !flag;
    }

    fn is_empty(&self) -> bool {
        self.set | self.clear == 0
    }

    fn apply(&self, packet: &mut [u8]) {
        if let Some(octets) = packet.get_mut(2..4).and_then(|octets| octets.first_chunk_mut()) {
            *octets = ((u16::from_be_bytes(*octets) | self.set) & !self.clear).to_be_bytes();
        }
    }
}

impl Handler for Header {
    fn name(&self) -> &'static str {
        "header"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut outcome = if self.query.is_empty() {
                next.run(request).await
            } else {
                let mut changed = request.clone();
                self.query.apply(&mut changed.packet);
                next.run(&changed).await
            };
            if let Outcome::Reply(reply) = &mut outcome {
                self.response.apply(&mut reply.packet);
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Reply;
    use crate::plugins::testing::{Bench, query, request};
    use crate::wire::RecordType;

    /// Answers with the query's flags and QR, AA, RA.
    struct Echo;

    impl Handler for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }

        fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
            let mut packet = request.packet.clone();
            packet[2] |= 0x84;
            packet[3] |= 0x80;
            Box::pin(async { Outcome::Reply(Reply::new(packet)) })
        }
    }

    async fn flags_of(lines: &str) -> (u16, bool) {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        let mut chain = bench.done().plan.chain.clone();
        let leaves = !chain.is_empty();
        chain.push(Arc::new(Echo));
        let outcome = Next::all(&chain).run(&request(query("a.test", RecordType::A))).await;
        let Outcome::Reply(reply) = outcome else { panic!("no reply") };
        (u16::from_be_bytes([reply.packet[2], reply.packet[3]]), leaves)
    }

    #[tokio::test]
    async fn flags_are_set_and_cleared() {
        let all = flags::QR | flags::AA | flags::RA | flags::RD;
        let table = [
            ("header", all, false),
            ("header {\n}", all, false),
            ("header {\nresponse clear aa ra\n}", flags::QR | flags::RD, true),
            ("header {\nclear RA\n}", all & !flags::RA, true),
            ("header {\nquery clear rd\n}", all & !flags::RD, true),
            ("header {\nquery clear rd\nresponse set rd\n}", all, true),
            ("header {\nresponse clear aa\nresponse set aa\n}", all, true),
            ("header {\n}\nheader {\nclear aa\n}\nheader {\nclear ra\n}", all & !flags::AA, true),
        ];
        for (lines, flags, leaves) in table {
            assert_eq!(flags_of(lines).await, (flags, leaves), "{lines}");
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("header on", "'on' is unexpected"),
                ("header {\nquery\n}", "expected: query|response set|clear FLAG..."),
                ("header {\nresponse toggle aa\n}", "unknown action 'toggle'"),
                ("header {\nset\n}", "invalid length for flags"),
                ("header {\nset ad\n}", "unknown flag 'ad'"),
            ],
        );
    }
}
