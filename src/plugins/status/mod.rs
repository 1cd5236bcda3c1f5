//! # Description
//! `status` serves one page that shows what the server does and how it is: queries by block, code and transport,
//! latency, cache hits, watches and the age of their last event, what is held, upstreams, starts and reloads; what is
//! asked most, by whom, and what is asked in vain along search lists. Its search box says what would be answered to a
//! client, by which block, plugin and object. It changes nothing, asks for nothing from elsewhere, and is off unless it
//! is configured. CoreDNS has no such plugin.
//!
//! # Syntax
//! ```text
//! status [ADDRESS] {
//!     host NAME...
//! }
//! ```
//! * **ADDRESS** is `HOST:PORT`, `127.0.0.1:8090` where it is not given: nobody but the pod itself reaches that. Look
//!   at it with `kubectl -n kube-system port-forward POD 8090`. An address that cannot be bound is said and does not
//!   stop the server.
//! * `host` is by which names the page may be asked for, beside every IP address, `localhost` and the name in ADDRESS:
//!   that of a Service or an Ingress before it. Under any other name the answer is 403. A page from elsewhere, whose
//!   own name its author lets lead to 127.0.0.1 (DNS rebinding), thus reads nothing here through an operator's browser.
//!
//! It is the process's, not the block's: once is enough. Every server block is then counted, also those without
//! `prometheus`.
//!
//! For scripts the same is at `/status.json` and `/explain.json?name=NAME&type=TYPE&client=IP` (an address in place of
//! the name asks for its PTR records). A question that `forward` has to ask an upstream is asked; at most four at a
//! time.
//!
//! Names and clients are sampled: a worker takes each of its first 256 queries of a second and one in 256 of the others,
//! into tables of fixed size, 161 KiB a worker. What is past weighs half as much every five minutes.
//!
//! The namespaces that ask most are those of the clients' pods, where `pods verified` in `kubernetes` has them followed.
//! Elsewhere they are read off names that do not exist: `api.example.com.shop.svc.cluster.local` is what a pod in `shop`
//! asks first for `api.example.com`. Those shares are of such names alone.
//!
//! **Who may see it**: the page names clients and what they ask. On an address that others reach there is no password:
//! allow it by a NetworkPolicy to those who may (ingress to port 8090 from the operators' namespace alone); the port is
//! not to be in the Service `kube-dns`. Who may use `kubectl port-forward` is RBAC's `create` on `pods/portforward` in
//! `kube-system`. Everything is read with GET; the page needs no permissions of the API server.
//!
//! # Examples
//! ```corefile
//! . {
//!     status
//!     whoami
//! }
//! ```
//! On every address of the pod, for a NetworkPolicy to guard, and by the name of a Service:
//! ```corefile
//! . {
//!     status :8090 {
//!         host dns-status.kube-system.svc.cluster.local
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None of its own: it shows those that are there.
//!
//! # See also
//! `prometheus`, for what is to be kept; `dunlin explain`, for a Corefile that does not run yet.

mod condition;
mod hosts;
mod page;
mod question;
mod snapshot;
mod watched;

#[cfg(test)]
mod tests;

use crate::http::{Endpoint, Request, Response};
use crate::metrics::Sampled;
use crate::plugin::{BoxFuture, Definition, Directive, Error, Lifecycle, Setup};
use hosts::Hosts;
use question::Explaining;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;
use watched::Watched;

/// `status`.
pub const DEFINITION: Definition = Definition { directive: "status", setup, metrics: &[] };

/// Where the page is if nothing else is said.
const ADDRESS: &str = "127.0.0.1:8090";
/// What a reload hands on: the samples and the past.
const KEPT: &str = "status";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let address = setup.endpoint_address(directive, ADDRESS)?;
    let hosts = Arc::new(read_hosts(setup, directive, &address)?);
    if setup.process.lifecycles.iter().any(|other| other.name() == directive.name.text) {
        setup.warn(&directive.name, "another server block has it already; this one is ignored");
        return Ok(());
    }
    let state = setup.kept.get::<State>(KEPT).unwrap_or_default();
    setup.keep.put(KEPT.to_owned(), Arc::clone(&state));
    setup.process.sampled = Some(Arc::clone(&state.sampled));
    let watched = Arc::new(Watched {
        metrics: setup.metrics.clone(),
        readiness: setup.process.readiness.clone(),
        sections: setup.process.sections.clone(),
        history: setup.control.history.clone(),
        clients: setup.process.clients.clone(),
        state,
    });
    for (path, content_type, body) in page::ASSETS {
        let respond = move |_: &Request| Response { status: 200, content_type, body: body.as_bytes().to_vec() };
        add(setup, &address, &hosts, path, respond);
    }
    let shown = Arc::clone(&watched);
    add(setup, &address, &hosts, "/status.json", move |_| json(200, &shown.json()));
    let explaining = Explaining::new(setup.process.explainer.clone());
    add(setup, &address, &hosts, "/explain.json", move |request| {
        let (status, value) = explaining.answer(&request.query);
        json(status, &value)
    });
    setup.process.lifecycles.push(Arc::new(Status { watched, ticking: Mutex::new(None) }));
    Ok(())
}

/// The names that the page may be asked for by.
fn read_hosts(setup: &Setup<'_>, directive: &Directive, address: &str) -> Result<Hosts, Error> {
    let mut hosts = Hosts::of_address(address);
    for option in directive.options() {
        if option.name.text != "host" {
            return Err(setup.unknown(option, "host"));
        }
        if option.args.is_empty() {
            return Err(setup.arguments(option, "host NAME..."));
        }
        for name in &option.args {
            hosts.add(&name.text).map_err(|why| setup.error(name, why))?;
        }
    }
    Ok(hosts)
}

/// Adds an endpoint for those who ask by a name of ours.
fn add(
    setup: &mut Setup<'_>,
    address: &str,
    hosts: &Arc<Hosts>,
    path: &'static str,
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) {
    let hosts = Arc::clone(hosts);
    let respond = move |request: &Request| hosts.refusal(&request.host).unwrap_or_else(|| answer(request));
    setup.process.add_endpoint(Endpoint {
        address: address.to_owned(),
        path,
        respond: Arc::new(respond),
        required: false,
        keys: None,
        admits: None,
    });
}

fn json(status: u16, value: &serde_json::Value) -> Response {
    Response { status, content_type: "application/json", body: format!("{value}\n").into_bytes() }
}

/// What outlives a reload.
#[derive(Default)]
struct State {
    sampled: Arc<Sampled>,
    past: Mutex<snapshot::Past>,
}

/// The tick that keeps the past.
struct Status {
    watched: Arc<Watched>,
    ticking: Mutex<Option<JoinHandle<()>>>,
}

impl Lifecycle for Status {
    fn name(&self) -> &'static str {
        "status"
    }

    fn serving(&self, _addresses: &[SocketAddr]) {
        let task = tokio::spawn(Arc::clone(&self.watched).tick());
        if let Ok(mut ticking) = self.ticking.lock() {
            *ticking = Some(task);
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end();
        Box::pin(async {})
    }
}

impl Status {
    fn end(&self) {
        if let Some(task) = self.ticking.lock().ok().and_then(|mut ticking| ticking.take()) {
            task.abort();
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.end();
    }
}
