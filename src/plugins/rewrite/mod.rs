//! # Description
//! `rewrite` changes questions on their way in and puts the client's question back on the way out. It can also change
//! names, TTLs, response codes and CNAME targets of answers, and EDNS options of questions.
//!
//! # Syntax
//! One rule a directive, on one line or spread over a block:
//! ```text
//! rewrite [continue|stop] RULE
//! rewrite [continue|stop] {
//!     RULE
//! }
//! ```
//! Rules are tried in the order of the file. Behind the first one that applies no other is tried, unless it says
//! `continue`. A **RULE** is one of:
//! ```text
//! name [exact|prefix|suffix|substring|regex] FROM TO [answer auto] [answer name REGEX TO]... [answer value REGEX TO]...
//! type FROM TO
//! class FROM TO
//! ttl [exact|prefix|suffix|substring|regex] NAME SECONDS|MIN-MAX|MIN-|-MAX
//! rcode [exact|prefix|suffix|substring|regex] NAME FROM TO
//! cname [exact|prefix|suffix|substring|regex] FROM TO
//! edns0 local set|append|replace CODE DATA [revert]
//! edns0 nsid set|append|replace [revert]
//! edns0 subnet set|append|replace V4-BITS V6-BITS [revert]
//! edns0 local|nsid|subnet unset [CODE]
//! ```
//! - Names are compared in lower case and end with a dot: `prefix foo` is the label `foo.`, and `suffix example.org` is
//!   `example.org.` (of `notexample.org.` too; `.example.org` is not).
//! - `regex` is not anchored; the whole name becomes **TO**, in which `{0}` stands for what matched and `{1}`, `{2}` …
//!   for its groups.
//! - `name`: the chain is asked for the new name; a result that is no name is SERVFAIL. With `exact` the owners and
//!   targets of the answer get the client's name back, and so they do with `answer auto`: of `suffix` the suffix, of
//!   the others the whole name. `answer name` changes the owners of all records, `answer value` the names in SRV, MX,
//!   CNAME, NS, DNAME, NAPTR and PTR records and a SOA's server, both before what the rule does by itself. The changes
//!   of several rules are undone from the last to the first.
//! - `ttl`: all TTLs of the answer become **SECONDS**, or are held to the range.
//! - `rcode`: **FROM** and **TO** are names or numbers; `ALL` stands for every code. A code above 15 is SERVFAIL for
//!   clients that send no OPT, without which it cannot be said.
//! - `cname`: a CNAME whose target matches gets another, and what follows it is looked up anew.
//! - `edns0`: `set` adds the option or puts another in its place, `append` only adds, `replace` only changes, `unset`
//!   takes it away. **DATA** is text, hexadecimal behind `0x`, or one of `{qname}` `{qtype}` `{client_ip}`
//!   `{client_port}` `{protocol}` `{server_ip}` `{server_port}`, or `{PLUGIN/LABEL}`, a label of `metadata`, without a
//!   value of which nothing is set. `subnet` makes a client subnet of so many bits (RFC 7871). `revert` undoes the
//!   change in the answer's OPT. `forward` sends these options on, and no others of the client's.
//!
//! Only names that a rule can match leave the fast lane.
//!
//! # Examples
//! Another name for a zone, both ways:
//! ```corefile
//! . {
//!     rewrite name suffix old.local cluster.local answer auto
//!     kubernetes cluster.local
//! }
//! ```
//! Part of the name moves, and moves back in answers:
//! ```corefile
//! . {
//!     rewrite stop {
//!         name regex (.*)\.my\.domain {1}.svc.cluster.local
//!         answer name (.*)\.svc\.cluster\.local {1}.my.domain
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//! TTLs of at least half a minute, and no NXDOMAIN for one zone:
//! ```corefile
//! . {
//!     rewrite continue ttl regex .* 30-
//!     rewrite rcode suffix example.org NXDOMAIN NOERROR
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `template`, for answers of one's own; `kubernetes`.

mod edns;
mod pattern;
mod read;
mod response;
#[cfg(test)]
mod tests;

use crate::plugin::{BoxFuture, Definition, Error, Failure, Handler, Next, Outcome, Request, Setup};
use crate::wire::{Message, Name, NameText, Query, Rcode, RecordType, ReplyView};
use edns::OptionRule;
use pattern::Pattern;
use regex::Regex;
use response::Change;
use std::sync::Arc;

/// `rewrite`.
pub const DEFINITION: Definition = Definition { directive: "rewrite", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut rules = Vec::new();
    for directive in setup.directives {
        rules.push(read::rule(setup, directive)?);
    }
    let rewrite = Arc::new(Rewrite { rules });
    let gate = rewrite.clone();
    setup.plan.leave_fast_lane_for(move |query| gate.may_apply(query));
    if rewrite.rules.iter().any(|rule| matches!(rule.action, Action::Cname(..))) {
        setup.plan.leave_fast_lane_when(vec![Name::root()], has_cname);
    }
    setup.plan.chain.push(rewrite);
    Ok(())
}

fn has_cname(answer: &[u8]) -> bool {
    ReplyView::parse(answer).is_some_and(|view| view.records().any(|record| record.rtype == RecordType::CNAME))
}

/// One rule.
struct Rule {
    /// Whether the rules behind are tried although this one applied.
    continues: bool,
    action: Action,
}

enum Action {
    Name {
        pattern: Pattern,
        to: String,
        answer: Answer,
    },
    Type(RecordType, RecordType),
    Class(u16, u16),
    Ttl(Pattern, TtlBounds),
    /// `None` stands for every code.
    Rcode(Pattern, Option<Rcode>, Rcode),
    Cname(Pattern, String),
    Edns(OptionRule),
}

/// What becomes of an answer to a rewritten name.
#[derive(Default)]
struct Answer {
    /// The suffix, or the name, is put back in owners and targets.
    auto: bool,
    owners: Vec<(Regex, String)>,
    values: Vec<(Regex, String)>,
}

/// Seconds that TTLs are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TtlBounds {
    min: u32,
    max: u32,
}

struct Rewrite {
    rules: Vec<Rule>,
}

impl Handler for Rewrite {
    fn name(&self) -> &'static str {
        "rewrite"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(mut query) = Message::parse(&request.packet) else { return next.run(request).await };
            let changes = match self.apply(request, &mut query) {
                Ok(changes) if changes.is_empty() => {
                    let mut named = self.options(query).peekable();
                    if named.peek().is_none() {
                        return next.run(request).await;
                    }
                    return next.run(&Request { options: named.collect(), ..request.clone() }).await;
                }
                Ok(changes) => changes,
                Err(reason) => return Outcome::Failed(Failure::servfail(reason)),
            };
            let rewritten = request.with_packet(query.to_octets(usize::from(u16::MAX)));
            let Some(mut rewritten) = rewritten else {
                return Outcome::Failed(Failure::servfail("the rewritten query cannot be read"));
            };
            rewritten.options.extend(self.options(query));
            response::restore(request, next.run(&rewritten).await, changes).await
        })
    }
}

impl Rewrite {
    /// The options that a rule speaks of, which so are for upstreams too.
    fn options(&self, query: Message) -> impl Iterator<Item = (u16, Vec<u8>)> {
        let options = query.opt.map(|opt| opt.options).unwrap_or_default();
        let is_named = |code: u16| {
            self.rules.iter().any(|rule| matches!(&rule.action, Action::Edns(option) if option.code() == code))
        };
        options.into_iter().filter(move |(code, _)| is_named(*code))
    }

    /// Whether some rule can have to do with this query; quick, and rather yes than no.
    fn may_apply(&self, query: &Query<'_>) -> bool {
        let mut text = NameText::default();
        self.rules.iter().any(|rule| match &rule.action {
            Action::Name { pattern, .. } | Action::Ttl(pattern, _) | Action::Rcode(pattern, ..) => match pattern {
                Pattern::Exact(_, wire) => query.name.wire() == wire.wire(),
                pattern => pattern.matches(text.of(&query.name)),
            },
            Action::Type(from, _) => query.qtype == *from,
            Action::Class(from, _) => query.qclass == *from,
            // Options change nothing that is answered from memory, and CNAMEs are seen in the answer.
            Action::Cname(..) | Action::Edns(_) => false,
        })
    }

    /// Applies the rules to the query, and says what has to be done to the answer, in the order of the rules.
    fn apply(&self, request: &Request, query: &mut Message) -> Result<Vec<Change<'_>>, String> {
        let mut changes = Vec::new();
        let mut name = request.name.to_string();
        for rule in &self.rules {
            let applied = match &rule.action {
                Action::Name { pattern, to, answer } => match pattern.replace(&name, to) {
                    Some(result) => {
                        let new = Name::from_text(&result).map_err(|why| format!("'{result}' is no name: {why}"))?;
                        let before = query.question.name.clone();
                        changes.push(Change::Names { pattern, answer, before, to, after: result });
                        query.question.name = new.wire().to_vec();
                        name = new.to_string();
                        true
                    }
                    None => false,
                },
                Action::Type(from, to) if query.question.qtype == *from => {
                    query.question.qtype = *to;
                    changes.push(Change::Question);
                    true
                }
                Action::Class(from, to) if query.question.qclass == *from => {
                    query.question.qclass = *to;
                    changes.push(Change::Question);
                    true
                }
                Action::Type(..) | Action::Class(..) => false,
                Action::Ttl(pattern, bounds) if pattern.matches(&name) => {
                    changes.push(Change::Ttl(*bounds));
                    true
                }
                Action::Rcode(pattern, from, to) if pattern.matches(&name) => {
                    changes.push(Change::Rcode(*from, *to));
                    true
                }
                Action::Ttl(..) | Action::Rcode(..) => false,
                Action::Cname(pattern, to) => {
                    changes.push(Change::Cname(pattern, to));
                    true
                }
                Action::Edns(rule) => match rule.apply(request, query) {
                    Some(revert) => {
                        changes.push(Change::Edns(revert));
                        true
                    }
                    None => false,
                },
            };
            if applied && !rule.continues {
                break;
            }
        }
        Ok(changes)
    }
}
