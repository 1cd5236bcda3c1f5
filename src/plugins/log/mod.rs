//! # Description
//! `log` writes a line for each query: who asked what, and how it was answered. Lines are written beside the queries; if
//! the reader of the output is slower than the queries, lines are dropped and counted rather than queries delayed.
//!
//! Names that are logged with `all` or `success` are answered in the slow lane, whose chain writes the line. With
//! `denial`, `error` or both, only such answers are.
//!
//! # Syntax
//! ```text
//! log [NAME...] [FORMAT] {
//!     class CLASS...
//! }
//! ```
//! * **NAME**: names in and below it are logged; every name of the block where none is given. Of several `log`
//!   directives the first with a fitting name decides.
//! * **FORMAT** is a word with `{…}` in it: `{common}` (the default), `{combined}`, or text with placeholders.
//! * `class`: `success` (NOERROR but for NODATA), `denial` (NXDOMAIN, and NODATA, which has a SOA), `error` (the rest),
//!   `all` (the default).
//!
//! Placeholders: `{type}` `{class}` `{name}` of the question; `{proto}` (udp, tcp); `{remote}` and `{port}` of the
//! client, `{local}` address asked (IPv6 in brackets); `{size}` of the query and `{rsize}` of the answer in octets,
//! that of the answer without compression and OPT; `{duration}` in seconds; `{rcode}`; `{>id}`, `{>opcode}`, `{>do}`
//! and `{>bufsize}` of the query; `{>rflags}` of the answer; `{/LABEL}` for a label of `metadata`, `-` where there is
//! none; `log` itself knows `log/class` and `log/type`. Other braces are text.
//!
//! `{common}` is
//! `{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}`;
//! `{combined}` has `{>opcode}` behind `{>id}`. What the server itself had to answer, for want of an answer of the
//! chain, has the flags `-` and the size 0.
//!
//! # Examples
//! ```corefile
//! . {
//!     log
//!     whoami
//! }
//! ```
//! Only what went wrong, and everything below one zone in a form of its own:
//! ```corefile
//! . {
//!     log example.org "{remote} asked {name} {type}: {rcode}"
//!     log . {
//!         class denial error
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! * `dunlin_log_lines_dropped_total`: lines of any kind that could not be written in time.
//!
//! # See also
//! `errors`, for the reasons of failures.

mod class;
mod format;

use crate::plugin::{BlockPlan, BoxFuture, Definition, Directive, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::Name;
use class::Classes;
use format::{Exchange, Format};
use std::sync::Arc;
use std::time::Instant;

/// `log`.
pub const DEFINITION: Definition = Definition { directive: "log", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let rules = setup.directives.iter().map(|directive| rule(setup, directive)).collect::<Result<Vec<_>, _>>()?;
    let mut words = setup.directives.iter().flat_map(|directive| &directive.args);
    if let Some(word) = words.find(|word| word.text == "stdout") {
        setup.warn(word, "'stdout' is taken for a zone: of other names nothing is logged; expected: log");
    }
    rules.iter().for_each(|rule| rule.leave_fast_lane(setup.plan));
    setup.plan.chain.push(Arc::new(Log { rules }));
    Ok(())
}

/// One directive: which names, which answers, in which form.
struct Rule {
    zones: Vec<Name>,
    format: Format,
    classes: Classes,
}

fn rule(setup: &mut Setup<'_>, directive: &Directive) -> Result<Rule, Error> {
    let (names, format) = match directive.args.split_last() {
        Some((last, names)) if last.text.contains('{') => (names, Format::parse(&last.text)),
        _ => (directive.args.as_slice(), Format::parse("{common}")),
    };
    let zones = if names.is_empty() { vec![Name::root()] } else { setup.zones_or_block(names)? };
    let mut classes = Classes::default();
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("class", []) => return Err(setup.arguments(option, "class all|success|denial|error...")),
            ("class", words) => {
                for word in words {
                    classes.add(&word.text).map_err(|why| setup.error(word, why))?;
                }
            }
            _ => return Err(setup.unknown(option, "class")),
        }
    }
    Ok(Rule { zones, format, classes: classes.or_all() })
}

impl Rule {
    fn leave_fast_lane(&self, plan: &mut BlockPlan) {
        match self.classes.seen_in_bytes() {
            None => plan.leave_fast_lane(self.zones.iter().cloned()),
            Some(matches) => plan.leave_fast_lane_when(self.zones.clone(), matches),
        }
    }
}

/// The link of the chain that writes the lines.
struct Log {
    rules: Vec<Rule>,
}

impl Handler for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let began = Instant::now();
            let outcome = next.run(request).await;
            request.metadata.note("log/class", || class::labels(&outcome).0.to_owned());
            request.metadata.note("log/type", || class::labels(&outcome).1.to_owned());
            if let Some(line) = self.line(&Exchange { request, outcome: &outcome, took: began.elapsed() }) {
                // A core line, without the plugin's name, as CoreDNS writes it.
                tracing::info!(target: "dunlin", "{line}");
            }
            outcome
        })
    }
}

impl Log {
    fn line(&self, exchange: &Exchange<'_>) -> Option<String> {
        let covers = |rule: &&Rule| rule.zones.iter().any(|zone| exchange.request.name.is_within(zone));
        let rule = self.rules.iter().find(covers)?;
        rule.classes.contain(exchange.outcome).then(|| rule.format.write(exchange))
    }
}

#[cfg(test)]
mod tests;
