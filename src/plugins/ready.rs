//! # Description
//! `ready` serves `/ready` for readiness probes: `200 OK` when every plugin that has a say (`kubernetes`) is ready and
//! the DNS listeners are open, else `503` with the names of those that are waited for, separated by commas. As soon as
//! the process is asked to end it is `503` for good, so that no new query is sent here while the rest are answered.
//!
//! A plugin may add what an operator should know though it is ready: `OK, kubernetes: serving a snapshot`.
//!
//! # Syntax
//! ```text
//! ready [ADDRESS] {
//!     monitor until-ready|continuously
//! }
//! ```
//! * **ADDRESS** is `HOST:PORT`, `:8181` where it is not given. An address that cannot be bound is said and does not
//!   stop the server.
//! * `monitor until-ready` (the default): a plugin that was ready once is not asked again. `continuously`: each probe
//!   asks all of them, so that readiness can be lost.
//!
//! # Examples
//! ```corefile
//! . {
//!     ready
//!     whoami
//! }
//! ```
//! ```corefile
//! . {
//!     ready 127.0.0.1:8181 {
//!         monitor continuously
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `health`, whose lameduck time begins when this endpoint falls.

use crate::http::{Endpoint, Response};
use crate::plugin::{BoxFuture, Definition, Error, Lifecycle, Readiness, Setup};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// `ready`.
pub const DEFINITION: Definition = Definition { directive: "ready", setup, metrics: &[] };

const ADDRESS: &str = ":8181";
/// Under this key the fact that the process has begun to serve outlives a reload.
const KEPT_SERVING: &str = "ready/serving";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let address = setup.endpoint_address(directive, ADDRESS)?;
    let mut continuously = false;
    for option in directive.options() {
        let words: Vec<_> = option.args.iter().map(|word| word.text.as_str()).collect();
        match (option.name.text.as_str(), words.as_slice()) {
            ("monitor", ["until-ready"]) => continuously = false,
            ("monitor", ["continuously"]) => continuously = true,
            ("monitor", [_]) => {
                return Err(setup.error(&option.args[0], "monitor expects until-ready or continuously"));
            }
            ("monitor", _) => return Err(setup.arguments(option, "monitor until-ready|continuously")),
            _ => return Err(setup.unknown(option, "monitor")),
        }
    }

    let serving = setup.kept.get::<AtomicBool>(KEPT_SERVING).unwrap_or_default();
    setup.keep.put(KEPT_SERVING.to_owned(), serving.clone());
    let ready = Arc::new(Ready {
        readiness: setup.process.readiness.clone(),
        continuously,
        serving,
        draining: AtomicBool::new(false),
        waited_for: Mutex::new(None),
    });
    setup.process.lifecycles.push(ready.clone());
    setup.process.add_endpoint(Endpoint {
        address,
        path: "/ready",
        respond: Arc::new(move |_| ready.respond()),
        required: false,
        keys: None,
        admits: None,
    });
    Ok(())
}

/// One `/ready`.
struct Ready {
    readiness: Readiness,
    continuously: bool,
    serving: Arc<AtomicBool>,
    draining: AtomicBool,
    /// The names at the last probe; `None` before the first.
    waited_for: Mutex<Option<Vec<&'static str>>>,
}

impl Ready {
    fn respond(&self) -> Response {
        let waiting = self.waiting();
        let (status, body) = match (&waiting[..], self.readiness.notes()) {
            ([], notes) if notes.is_empty() => (200, "OK".to_owned()),
            ([], notes) => (200, format!("OK, {}", notes.join(", "))),
            (waiting, _) => (503, waiting.join(",")),
        };
        Response::text(status, body)
    }

    fn waiting(&self) -> Vec<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return vec!["draining"];
        }
        let mut waiting = self.readiness.waiting();
        if let Ok(mut last) = self.waited_for.lock() {
            if let Some(last) = last.as_ref().filter(|_| !self.continuously) {
                waiting.retain(|name| last.contains(name));
            }
            if !waiting.is_empty() && last.as_ref() != Some(&waiting) {
                tracing::info!(target: "plugin/ready", "Plugins not ready: \"{}\"", waiting.join(","));
            }
            *last = Some(waiting.clone());
        }
        if waiting.is_empty() && !self.serving.load(Ordering::Relaxed) {
            waiting.push("starting");
        }
        waiting
    }
}

impl Lifecycle for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    fn serving(&self, _addresses: &[SocketAddr]) {
        self.serving.store(true, Ordering::Relaxed);
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        self.draining.store(true, Ordering::Relaxed);
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    struct Member(&'static str, AtomicBool);

    impl Lifecycle for Member {
        fn name(&self) -> &'static str {
            self.0
        }
        fn ready(&self) -> Option<bool> {
            Some(self.1.load(Ordering::Relaxed))
        }
    }

    fn members(bench: &Bench, names: &[&'static str]) -> Vec<Arc<Member>> {
        let add = |name: &&'static str| {
            let member = Arc::new(Member(name, AtomicBool::new(false)));
            bench.readiness().add(member.clone());
            member
        };
        names.iter().map(add).collect()
    }

    fn probe(bench: &Bench) -> (u16, String) {
        let response = bench.get("/ready");
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn the_waiting_are_named_until_all_are_ready() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "ready").unwrap();
        let members = members(&bench, &["nomad", "kubernetes"]);
        bench.serving();
        assert_eq!(probe(&bench), (503, "kubernetes,nomad".into()));
        members[0].1.store(true, Ordering::Relaxed);
        assert_eq!(probe(&bench), (503, "kubernetes".into()));
        members[1].1.store(true, Ordering::Relaxed);
        assert_eq!(probe(&bench), (200, "OK".into()));
    }

    #[test]
    fn once_ready_is_not_asked_again_unless_continuously() {
        for (text, after) in
            [("ready", 200), ("ready {\nmonitor until-ready\n}", 200), ("ready {\nmonitor continuously\n}", 503)]
        {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, text).unwrap();
            let members = members(&bench, &["kubernetes"]);
            bench.serving();
            assert_eq!(probe(&bench).0, 503);
            members[0].1.store(true, Ordering::Relaxed);
            assert_eq!(probe(&bench).0, 200);
            members[0].1.store(false, Ordering::Relaxed);
            assert_eq!(probe(&bench).0, after, "{text}");
        }
    }

    #[test]
    fn before_the_listeners_are_open_it_is_not_ready() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "ready").unwrap();
        assert_eq!(probe(&bench), (503, "starting".into()));
        bench.serving();
        assert_eq!(probe(&bench), (200, "OK".into()));
        let next = bench.reloaded();
        next.set_up(&DEFINITION, "ready").unwrap();
        assert_eq!(probe(&next), (200, "OK".into()), "a reload closes no listener");
    }

    #[tokio::test]
    async fn it_falls_when_the_drain_begins() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "ready").unwrap();
        bench.serving();
        assert_eq!(probe(&bench).0, 200);
        bench.drain().await;
        assert_eq!(probe(&bench), (503, "draining".into()));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("ready 8181", "expecting [HOST]:PORT"),
                ("ready :1 :2", "expected: ready [ADDRESS]"),
                ("ready {\nmonitor\n}", "expected: monitor until-ready|continuously"),
                ("ready {\nmonitor never\n}", "until-ready or continuously"),
                ("ready {\nnope\n}", "unknown property 'nope'; expected one of: monitor"),
            ],
        );
    }
}
