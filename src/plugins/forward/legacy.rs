//! # Description
//!
//! `proxy` is what CoreDNS had until 1.5. It runs as the `forward` that comes nearest, with a warning that shows the
//! line to write instead.
//!
//! # Syntax
//!
//! ```text
//! proxy FROM TO... {
//!     policy random|least_conn|round_robin|sequential|first
//!     except NAME...
//!     protocol dns [force_tcp]|https_google
//!     fail_timeout DURATION
//!     max_fails NUMBER
//!     health_check PATH:PORT [DURATION]
//!     spray
//! }
//! ```
//!
//! * `except` and `policy` are kept; `first` becomes `sequential`, `least_conn` becomes the default.
//! * `protocol dns force_tcp` becomes `force_tcp`. `https_google` is left out; `grpc` is not supported yet.
//! * `fail_timeout`, `max_fails`, `health_check` and `spray` are left out: they meant something else.
//!
//! # Examples
//!
//! ```corefile
//! .:53 {
//!     proxy . 192.0.2.53 192.0.2.54 {
//!         policy first
//!     }
//! }
//! ```
//!
//! # Metrics
//!
//! Those of `forward`: `coredns_proxy_request_duration_seconds`, `coredns_proxy_healthcheck_failures_total`,
//! `coredns_proxy_conn_cache_hits_total`, `coredns_proxy_conn_cache_misses_total`, `dunlin_forward_failed_checks`,
//! `dunlin_forward_ignored_replies_total`, `coredns_forward_max_concurrent_rejects_total`,
//! `coredns_forward_healthcheck_broken_total`, `dunlin_forward_concurrent_queries`, `dunlin_forward_unusable_files`.
//!
//! # See also
//!
//! `forward`.

use super::{install, metrics, options};
use crate::plugin::{Definition, Directive, Error, Setup, Token};

/// The directive `proxy`.
pub static DEFINITION: Definition = Definition { directive: "proxy", setup, metrics: metrics::ALL };

/// What the block of `proxy` may hold.
const PROPERTIES: &str = "policy, fail_timeout, max_fails, health_check, except, spray, protocol";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    for directive in setup.directives {
        let modern = modernize(setup, directive)?;
        let options = options::read(setup, &modern)?;
        setup.warn(&directive.name, format!("'proxy' is no more and runs as: {}", text(&modern)));
        install(options, directive, setup)?;
    }
    Ok(())
}

/// The `forward` of a `proxy`.
fn modernize(setup: &Setup<'_>, old: &Directive) -> Result<Directive, Error> {
    let word = |text: &str, like: &Token| Token { text: text.into(), span: like.span.clone() };
    let mut kept = Vec::new();
    for option in old.options() {
        let words: Vec<&str> = option.args.iter().map(|word| word.text.as_str()).collect();
        match (option.name.text.as_str(), &words[..]) {
            ("except", _) => kept.push(option.clone()),
            ("policy", ["first"]) => {
                let args = vec![word("sequential", &option.name)];
                kept.push(Directive { args, ..option.clone() });
            }
            // Nobody else balances by connections; the default is the nearest.
            ("policy", ["least_conn"]) => {}
            ("policy", _) => kept.push(option.clone()),
            // `max_fails` counted failed queries then and counts failed checks now; checks then were HTTP.
            ("fail_timeout" | "max_fails" | "health_check" | "spray", _) => {}
            ("protocol", ["dns", rest @ ..]) => {
                if rest.contains(&"force_tcp") {
                    kept.push(Directive { name: word("force_tcp", &option.name), args: Vec::new(), block: None });
                }
            }
            ("protocol", ["https_google", ..]) => {}
            ("protocol", [other, ..]) => {
                return Err(setup.error(&option.args[0], format!("'protocol {other}' is not supported by dunlin yet")));
            }
            ("protocol", []) => return Err(setup.arguments(option, "protocol dns [force_tcp]|https_google")),
            _ => return Err(setup.unknown(option, PROPERTIES)),
        }
    }
    let block = (!kept.is_empty()).then_some(kept);
    Ok(Directive { name: word("forward", &old.name), args: old.args.clone(), block })
}

/// A directive in one line.
fn text(directive: &Directive) -> String {
    let line = |directive: &Directive| {
        let words = std::iter::once(&directive.name).chain(&directive.args);
        words.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    };
    match directive.options() {
        [] => line(directive),
        options => format!("{} {{ {} }}", line(directive), options.iter().map(line).collect::<Vec<_>>().join("; ")),
    }
}
