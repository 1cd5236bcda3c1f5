//! # Description
//! `pprof` serves profiles of the process below `/debug/pprof/`, in the format that `go tool pprof` reads:
//! `go tool pprof http://localhost:6053/debug/pprof/profile?seconds=10`.
//!
//! | path | what |
//! |---|---|
//! | `/debug/pprof/` | the list of these |
//! | `/debug/pprof/profile?seconds=N` | where CPU time is spent, 99 samples a second of it, for 1 to 50 seconds (30) |
//! | `/debug/pprof/heap`, `/debug/pprof/allocs` | resident memory, by what is mapped there |
//! | `/debug/pprof/threadcreate` | threads, by name |
//! | `/debug/pprof/cmdline` | the command line, its words set apart by NUL |
//!
//! The heap profile is not Go's: it says how much memory the allocator, the stacks and the program itself hold, not
//! which code asked for it. That would take a look at every allocation. `goroutine`, `block`, `mutex` and `trace` are
//! about Go's runtime, which is not here: 404.
//!
//! A CPU profile interrupts the threads that run, and one is made at a time: 503 meanwhile. Function names come from
//! the program's symbols; one that is stripped of them shows addresses alone. Whoever reaches the address can make the
//! process work: keep it local.
//!
//! # Syntax
//! ```text
//! pprof [ADDRESS] {
//!     block [RATE]
//! }
//! ```
//! * **ADDRESS** is `HOST:PORT`, `localhost:6053` where it is not given. An address that cannot be bound is said and does
//!   not stop the server.
//! * `block` is accepted with a positive RATE (1): what it turns on in CoreDNS is about Go's runtime.
//!
//! # Examples
//! ```corefile
//! . {
//!     pprof
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `prometheus`, for what costs nothing to watch.

mod profiles;

use crate::http::{Endpoint, Request, Response};
use crate::plugin::{Definition, Error, Setup};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

/// `pprof`.
pub const DEFINITION: Definition = Definition { directive: "pprof", setup, metrics: &[] };

/// Where CoreDNS serves its profiles if nothing else is said.
const ADDRESS: &str = "localhost:6053";
/// Seconds of a CPU profile: what is not said is Go's, and the most fits in the life of an HTTP connection.
const DEFAULT_SECONDS: u64 = 30;
const MOST_SECONDS: u64 = 50;

const INDEX: &str = "<html><head><title>/debug/pprof/</title></head><body><p>Profiles of dunlin:</p><ul>\
    <li><a href=\"/debug/pprof/profile?seconds=10\">profile</a>: CPU time of 10 seconds</li>\
    <li><a href=\"/debug/pprof/heap\">heap</a>: resident memory by mapping</li>\
    <li><a href=\"/debug/pprof/allocs\">allocs</a>: the same</li>\
    <li><a href=\"/debug/pprof/threadcreate\">threadcreate</a>: threads by name</li>\
    <li><a href=\"/debug/pprof/cmdline\">cmdline</a>: the command line</li></ul></body></html>\n";

/// What a path answers.
type Page = fn(&Request) -> Response;

/// One CPU profile at a time, in all of the process.
static PROFILING: Mutex<()> = Mutex::new(());

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let address = setup.endpoint_address(directive, ADDRESS)?;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("block", []) => {}
            ("block", [rate]) => {
                // There is no such profile here, so no number is wrong.
                rate.text
                    .parse::<i64>()
                    .map_err(|_| setup.error(rate, format!("'{}' is no whole number", rate.text)))?;
            }
            ("block", _) => return Err(setup.arguments(option, "block [RATE]")),
            _ => return Err(setup.unknown(option, "block")),
        }
    }
    let pages: [(&'static str, Page); 7] = [
        ("/debug/pprof", index),
        ("/debug/pprof/", index),
        ("/debug/pprof/profile", cpu),
        ("/debug/pprof/heap", |_| profile(profiles::memory())),
        ("/debug/pprof/allocs", |_| profile(profiles::memory())),
        ("/debug/pprof/threadcreate", |_| profile(profiles::threads())),
        ("/debug/pprof/cmdline", |_| command_line()),
    ];
    for (path, respond) in pages {
        let address = address.clone();
        setup.process.add_endpoint(Endpoint {
            address,
            path,
            respond: Arc::new(respond),
            required: false,
            keys: None,
            admits: None,
        });
    }
    Ok(())
}

fn index(_: &Request) -> Response {
    Response { status: 200, content_type: "text/html; charset=utf-8", body: INDEX.into() }
}

fn command_line() -> Response {
    let words: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Response::text(200, words.join("\0"))
}

fn cpu(request: &Request) -> Response {
    let Some(seconds) = seconds(&request.query) else {
        return Response::text(400, format!("seconds must be a number from 1 to {MOST_SECONDS}\n"));
    };
    let _guard = match PROFILING.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Response::text(503, "another profile is being made\n"),
    };
    profile(profiles::cpu(Duration::from_secs(seconds)))
}

/// The seconds of a query string; `None` for what is out of range.
fn seconds(query: &str) -> Option<u64> {
    match query.split('&').find_map(|pair| pair.strip_prefix("seconds=")) {
        Some(word) => word.parse().ok().filter(|seconds| (1..=MOST_SECONDS).contains(seconds)),
        None => Some(DEFAULT_SECONDS),
    }
}

fn profile(made: Result<Vec<u8>, String>) -> Response {
    match made {
        Ok(body) => Response { status: 200, content_type: "application/octet-stream", body },
        Err(why) => Response::text(500, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;
    use std::io::Read;

    fn unzipped(body: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut octets).unwrap();
        octets
    }

    #[test]
    fn every_page_of_the_index_is_there() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "pprof {\nblock 10\nblock -1\nblock\n}").unwrap();
        assert!(bench.done().process.endpoints.iter().all(|page| page.address == "localhost:6053" && !page.required));
        let index = String::from_utf8(bench.get("/debug/pprof/").body).unwrap();
        for page in index.split("href=\"").skip(1).map(|rest| rest.split(['"', '?']).next().unwrap()) {
            assert!(bench.done().process.endpoints.iter().any(|endpoint| endpoint.path == page), "{page}");
        }
        let words = String::from_utf8(bench.get("/debug/pprof/cmdline").body).unwrap();
        assert_eq!(words.split('\0').count(), std::env::args().count());
    }

    #[test]
    fn memory_and_threads_are_profiles() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "pprof :6060").unwrap();
        for (path, words) in [
            ("/debug/pprof/heap", ["inuse_space", "bytes", "anonymous memory"]),
            ("/debug/pprof/threadcreate", ["threadcreate", "count", "every_page"]),
        ] {
            let octets = unzipped(&bench.get(path).body);
            let text = String::from_utf8_lossy(&octets);
            // A thread's name has 15 octets; the test's own is one of them.
            for word in &words[..2 + usize::from(path.ends_with("heap"))] {
                assert!(text.contains(word), "{path}: {word}");
            }
        }
    }

    #[test]
    fn a_cpu_profile_has_what_ran_and_is_alone() {
        let spinning = std::thread::spawn(|| {
            let begun = std::time::Instant::now();
            let mut state = 1u64;
            while begun.elapsed() < Duration::from_millis(1500) {
                state = std::hint::black_box(state.wrapping_mul(3));
            }
        });
        let ask = |query: &str| cpu(&Request { path: String::new(), query: query.to_owned(), host: String::new() });
        let first = std::thread::spawn(move || ask("seconds=1"));
        while PROFILING.try_lock().is_ok() && !first.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(ask("seconds=1").status, 503);
        let first = first.join().unwrap();
        spinning.join().unwrap();
        assert_eq!(first.status, 200, "{:?}", String::from_utf8_lossy(&first.body));
        let octets = unzipped(&first.body);
        assert!(String::from_utf8_lossy(&octets).contains("nanoseconds"));
        for query in ["seconds=0", "seconds=51", "seconds=x", "a=1&seconds=-1"] {
            assert_eq!(ask(query).status, 400, "{query}");
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("pprof 6053", "expecting [HOST]:PORT"),
                ("pprof :1 :2", "expected: pprof [ADDRESS]"),
                ("pprof {\nblock often\n}", "'often' is no whole number"),
                ("pprof {\nblock 1 {\nx\n}\n}", "'block' takes no block"),
                ("pprof {\nblock 1 2\n}", "expected: block [RATE]"),
                ("pprof {\nx\n}", "unknown property 'x'"),
                ("pprof\npprof", "once"),
            ],
        );
    }
}
