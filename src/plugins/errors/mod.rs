//! # Description
//! `errors` logs what goes wrong while queries are answered: one line for each error of a plugin behind it, such as an
//! upstream that does not answer. Without it such errors are only counted.
//!
//! A line is `[ERROR] plugin/errors: RCODE NAME TYPE: MESSAGE`, RCODE being the number of the response code:
//! ```text
//! [ERROR] plugin/errors: 2 example.org. A: no upstream answered within 5s
//! ```
//! Floods are folded: the first error with a message is logged at once, those of the next 10 seconds are counted, and one
//! line then gives their number and the last of them. An upstream outage makes some lines a minute, whatever the load:
//! ```text
//! [ERROR] plugin/errors: 811 more errors like 'no upstream answered within 5s' occurred in last 10s, last: 2 a.org. A: no upstream answered within 5s
//! ```
//! Sixteen messages are told apart at a time; what comes beside them is folded together, as `other errors`.
//!
//! # Syntax
//! ```text
//! errors [stdout] {
//!     stacktrace
//!     consolidate DURATION REGEXP [LEVEL] [show_first]
//! }
//! ```
//! * `stdout` is where errors are logged anyway.
//! * `stacktrace` is accepted: a panic's place is always logged.
//! * `consolidate` counts the errors whose message matches **REGEXP** instead of logging them, and says how many there
//!   were **DURATION** after the first. The first matching `consolidate` of several decides. **LEVEL** is `warning`,
//!   `error` (the default), `info` or `debug`. With `show_first` the first error is logged at once, and the count only
//!   if there were more. What is counted when the server ends is said then. A REGEXP has at most 10000 characters; it is
//!   matched anywhere in the message unless it has `^` or `$`.
//!
//! # Examples
//! ```corefile
//! . {
//!     errors
//!     whoami
//! }
//! ```
//! Counts timeouts of upstreams for five minutes, as a warning, and other failures of them for thirty seconds:
//! ```corefile
//! . {
//!     errors {
//!         consolidate 5m ".* i/o timeout$" warning
//!         consolidate 30s "^Failed to .+" error show_first
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None; `coredns_dns_responses_total` of `prometheus` counts response codes.
//!
//! # See also
//! `log`, for the queries themselves.

mod fold;

use crate::corefile::values;
use crate::plugin::{BoxFuture, Definition, Directive, Error, Handler, Lifecycle, Next, Outcome, Request, Setup};
use crate::wire::Rcode;
use fold::{Folds, Level, Pattern};
use regex::Regex;
use std::sync::Arc;

/// `errors`.
pub const DEFINITION: Definition = Definition { directive: "errors", setup, metrics: &[] };

/// Characters of the longest pattern.
const MAX_PATTERN: usize = 10_000;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    match directive.args.as_slice() {
        [] => {}
        [word] if word.text == "stdout" => {}
        [word] => return Err(setup.error(word, format!("'{}' is no place to log to; expected stdout", word.text))),
        _ => return Err(setup.arguments(directive, "errors [stdout]")),
    }
    let mut patterns = Vec::new();
    for option in directive.options() {
        match option.name.text.as_str() {
            "stacktrace" if option.args.is_empty() => {}
            "stacktrace" => return Err(setup.arguments(option, "stacktrace")),
            "consolidate" => patterns.push(consolidate(setup, option)?),
            _ => return Err(setup.unknown(option, "stacktrace, consolidate")),
        }
    }
    let errors = Arc::new(Errors { folds: Arc::new(Folds::new(patterns)) });
    setup.plan.chain.push(errors.clone());
    setup.process.lifecycles.push(errors);
    Ok(())
}

fn consolidate(setup: &Setup<'_>, option: &Directive) -> Result<Pattern, Error> {
    let [period, pattern, rest @ ..] = option.args.as_slice() else {
        return Err(setup.arguments(option, "consolidate DURATION REGEXP [LEVEL] [show_first]"));
    };
    let seconds = values::duration(&period.text).map_err(|why| setup.error(period, why))?;
    if seconds.is_zero() {
        return Err(setup.error(period, "consolidate needs a duration above 0"));
    }
    if pattern.text.chars().count() > MAX_PATTERN {
        return Err(setup.error(pattern, format!("the pattern is longer than {MAX_PATTERN} characters")));
    }
    let regex = Regex::new(&pattern.text).map_err(|why| setup.error(pattern, why))?;
    let mut pattern = Pattern { regex, period: seconds, level: Level::Error, show_first: false };
    let rest = match rest {
        [word, rest @ ..] if word.text != "show_first" => {
            pattern.level = match word.text.as_str() {
                "warning" => Level::Warning,
                "error" => Level::Error,
                "info" => Level::Info,
                "debug" => Level::Debug,
                other => {
                    let expected = "expected warning, error, info, debug or show_first";
                    return Err(setup.error(word, format!("'{other}' is no level; {expected}")));
                }
            };
            rest
        }
        rest => rest,
    };
    match rest {
        [] => Ok(pattern),
        [word] if word.text == "show_first" => Ok(Pattern { show_first: true, ..pattern }),
        [first, word, ..] if first.text == "show_first" => {
            Err(setup.error(word, format!("'{}' is not expected behind show_first, which comes last", word.text)))
        }
        [word, ..] => {
            Err(setup.error(word, format!("'{}' is not expected behind the level; show_first is", word.text)))
        }
    }
}

/// The link of the chain that sees the outcomes of all behind it.
struct Errors {
    folds: Arc<Folds>,
}

impl Handler for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = next.run(request).await;
            match &outcome {
                Outcome::Failed(failure) => self.report(request, failure.rcode, &failure.reason),
                Outcome::Reply(reply) => {
                    self.report(request, reply.rcode(), reply.reason.as_deref().unwrap_or_default())
                }
                Outcome::Dropped => {}
            }
            outcome
        })
    }
}

impl Errors {
    fn report(&self, request: &Request, rcode: Rcode, message: &str) {
        if !message.is_empty() {
            self.folds.report(message, || format!("{} {} {}: {message}", rcode.0, request.name, request.qtype()));
        }
    }
}

impl Lifecycle for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.folds.say_all();
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Failure, Reply};
    use crate::plugins::testing::{Bench, query, request};
    use crate::wire::RecordType;

    #[tokio::test]
    async fn outcomes_pass_unchanged() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "errors").unwrap();
        let request = request(query("a.test", RecordType::A));
        for outcome in [
            Outcome::Failed(Failure::servfail("no upstream")),
            Outcome::Reply(Reply { reason: Some("odd".into()), ..Reply::new(vec![0; 12]) }),
            Outcome::Dropped,
        ] {
            assert_eq!(bench.ask(&request, outcome.clone()).await, outcome);
        }
    }

    #[test]
    fn every_form_is_read() {
        for lines in [
            "errors",
            "errors stdout",
            "errors {\n}",
            "errors {\nstacktrace\n}",
            "errors {\nconsolidate 5m \".* i/o timeout$\" warning\nconsolidate 1s a\n}",
            "errors stdout {\nconsolidate 30s ^x show_first\nconsolidate 30s ^y debug show_first\n}",
        ] {
            Bench::new().set_up(&DEFINITION, lines).unwrap();
        }
    }

    #[test]
    fn errors() {
        let long = format!("errors {{\nconsolidate 1m {}\n}}", "x".repeat(MAX_PATTERN + 1));
        Bench::errors(
            &DEFINITION,
            &[
                ("errors /var/log", "'/var/log' is no place to log to"),
                ("errors stdout stdout", "expected: errors [stdout]"),
                ("errors {\nstacktrace on\n}", "expected: stacktrace"),
                ("errors {\nconsolidate 5m\n}", "expected: consolidate DURATION REGEXP"),
                ("errors {\nconsolidate 5 x\n}", "5"),
                ("errors {\nconsolidate 0s x\n}", "above 0"),
                ("errors {\nconsolidate 5m (x\n}", "unclosed group"),
                ("errors {\nconsolidate 5m x loud\n}", "'loud' is no level"),
                ("errors {\nconsolidate 5m x show_first warning\n}", "'warning' is not expected"),
                ("errors {\nconsolidate 5m x warning error\n}", "'error' is not expected"),
                (&long, "longer than 10000 characters"),
                ("errors {\nnope\n}", "unknown property 'nope'; expected one of: stacktrace, consolidate"),
                ("errors\nerrors", "once"),
            ],
        );
    }
}
