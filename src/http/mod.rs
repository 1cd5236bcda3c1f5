//! One small HTTP listener that plugins add routes to.
//!
//! `/health`, `/ready` and `/metrics` are endpoints: a listen address, a path, a function. Endpoints with the same
//! address share one listener, which lives on across reloads where the next plan has it too.

mod address;
mod counters;
mod listener;

#[cfg(test)]
mod tests;

use crate::metrics::Metrics;
use counters::Counters;
use listener::{Guard, Listener};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What an endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Response {
    /// Words for a reader.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// What an endpoint is asked: GET or HEAD only reach it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub path: String,
    pub query: String,
    /// The header `Host` as the client sent it (RFC 9110 section 7.2), empty where there was none.
    pub host: String,
}

/// Whether a request is answered, by its header `Authorization` (RFC 9110 section 11.6.2), which is empty where there was
/// none. Asked of every request; what takes a while has to go to the blocking pool.
pub type Admits = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A path on a listen address.
#[derive(Clone)]
pub struct Endpoint {
    /// `host:port`, the host empty for every address (`:8080`).
    pub address: String,
    /// The path, matched whole.
    pub path: &'static str,
    /// The answer; called for every request, may be slow (runs on the blocking pool).
    pub respond: Arc<dyn Fn(&Request) -> Response + Send + Sync>,
    /// Whether failing to bind fails the start (health) or is logged (ready, prometheus).
    pub required: bool,
    /// What the listener proves itself with, where it speaks HTTPS. Endpoints of one address share it: the last counts.
    pub keys: Option<Arc<rustls::ServerConfig>>,
    /// Who is answered; everyone where there is none. Endpoints of one address share it too.
    pub admits: Option<Admits>,
}

/// The listeners of the process.
pub struct Listeners {
    counters: Counters,
    /// By address as configured.
    open: Mutex<HashMap<String, Listener>>,
}

impl Listeners {
    /// None open yet; their connections are counted there.
    pub fn new(metrics: &Metrics) -> Listeners {
        Listeners { counters: Counters::new(metrics), open: Mutex::default() }
    }

    /// Makes these the endpoints: binds what is new, keeps what stays, closes what is gone. Nothing changes on error.
    ///
    /// Of several endpoints with one address and path the last counts.
    ///
    /// # Errors
    /// A required endpoint whose address cannot be bound.
    pub async fn apply(&self, endpoints: Vec<Endpoint>) -> Result<(), String> {
        let mut wanted: HashMap<String, Vec<Endpoint>> = HashMap::new();
        for endpoint in endpoints {
            wanted.entry(endpoint.address.clone()).or_default().push(endpoint);
        }
        let mut open = self.open.lock().await;
        let bound = bind_new(&open, &wanted, &self.counters).await?;
        open.extend(bound);
        let (stay, leave) = open.drain().partition(|(address, _)| wanted.contains_key(address));
        *open = stay;
        for (address, listener) in &*open {
            let endpoints = wanted.remove(address).unwrap_or_default();
            let keys = endpoints.iter().rev().find_map(|endpoint| endpoint.keys.clone());
            let admits = endpoints.iter().rev().find_map(|endpoint| endpoint.admits.clone());
            listener.guard(Guard { keys, admits });
            listener.route(endpoints.into_iter().map(|endpoint| (endpoint.path, endpoint.respond)).collect());
        }
        close(leave).await;
        Ok(())
    }

    /// Closes every listener. Requests that are being answered are finished.
    pub async fn close(&self) {
        close(std::mem::take(&mut *self.open.lock().await)).await;
    }
}

/// Binds the wanted addresses that are not open.
async fn bind_new(
    open: &HashMap<String, Listener>,
    wanted: &HashMap<String, Vec<Endpoint>>,
    counters: &Counters,
) -> Result<HashMap<String, Listener>, String> {
    let leaving: Vec<_> = open.iter().filter(|(address, _)| !wanted.contains_key(*address)).collect();
    let mut bound = HashMap::new();
    for (address, endpoints) in wanted.iter().filter(|(address, _)| !open.contains_key(*address)) {
        match Listener::bind(address, &leaving, counters.clone()).await {
            Ok(listener) => {
                bound.insert(address.clone(), listener);
            }
            Err(why) if endpoints.iter().any(|endpoint| endpoint.required) => {
                return Err(format!("listen tcp {address}: {why}"));
            }
            Err(why) => tracing::error!(target: "dunlin", "listen tcp {address}: {why}; it is not served"),
        }
    }
    Ok(bound)
}

async fn close(listeners: HashMap<String, Listener>) {
    futures_util::future::join_all(listeners.into_values().map(Listener::close)).await;
}
