//! # Description
//! `cancel` gives queries up that take too long: the plugins behind it are stopped and the client gets SERVFAIL.
//!
//! # Syntax
//! ```text
//! cancel [DURATION]
//! ```
//! **DURATION** (5001ms) is just above the 5 seconds after which most clients ask again.
//!
//! Answers from memory are not timed.
//!
//! # Examples
//! ```corefile
//! . {
//!     cancel 1s
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `forward`, which has timeouts of its own.

use crate::corefile::values;
use crate::plugin::{BoxFuture, Definition, Error, Failure, Handler, Next, Outcome, Request, Setup};
use std::sync::Arc;
use std::time::Duration;

/// `cancel`.
pub const DEFINITION: Definition = Definition { directive: "cancel", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let timeout = match directive.args.as_slice() {
        [] => Duration::from_millis(5001),
        [word] => match values::duration(&word.text) {
            Ok(Duration::ZERO) => return Err(setup.error(word, "invalid timeout: 0 gives every query up")),
            Ok(timeout) => timeout,
            Err(why) => return Err(setup.error(word, format!("invalid timeout: {why}"))),
        },
        _ => return Err(setup.arguments(directive, "cancel [DURATION]")),
    };
    setup.plan.chain.push(Arc::new(Cancel { timeout }));
    Ok(())
}

struct Cancel {
    timeout: Duration,
}

impl Handler for Cancel {
    fn name(&self) -> &'static str {
        "cancel"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match tokio::time::timeout(self.timeout, next.run(request)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Failed(Failure::servfail(format!("no answer within {:?}", self.timeout))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, request};
    use crate::wire::RecordType;

    /// Never answers.
    struct Never;

    impl Handler for Never {
        fn name(&self) -> &'static str {
            "never"
        }

        fn handle<'a>(&'a self, _: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "cancel 20ms").unwrap();
        let request = request(query("a.test", RecordType::A));
        assert_eq!(bench.ask(&request, Outcome::Dropped).await, Outcome::Dropped);
        let mut chain = bench.done().plan.chain.clone();
        chain.push(Arc::new(Never));
        let outcome = Next::all(&chain).run(&request).await;
        assert_eq!(outcome, Outcome::Failed(Failure::servfail("no answer within 20ms")));
    }

    #[test]
    fn errors() {
        Bench::new().set_up(&DEFINITION, "cancel").unwrap();
        Bench::errors(
            &DEFINITION,
            &[
                ("cancel soon", "invalid timeout"),
                ("cancel 0", "gives every query up"),
                ("cancel -1s", "negative"),
                ("cancel 1s 2s", "expected: cancel [DURATION]"),
                ("cancel {\nx\n}", "unknown property"),
            ],
        );
    }
}
