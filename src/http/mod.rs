//! One small HTTP listener that plugins add routes to.
//!
//! `/health`, `/ready` and `/metrics` are endpoints: a listen address, a path, a function. Endpoints with the same
//! address share one listener, which lives on across reloads where the next plan has it too.

use std::sync::Arc;

/// What an endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// What an endpoint is asked: GET or HEAD only reach it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub path: String,
    pub query: String,
}

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
}

/// The listeners of the process.
#[derive(Default)]
pub struct Listeners;

impl Listeners {
    /// Makes these the endpoints: binds what is new, keeps what stays, closes what is gone. Nothing changes on error.
    ///
    /// # Errors
    /// A required endpoint whose address cannot be bound.
    pub async fn apply(&self, _endpoints: Vec<Endpoint>) -> Result<(), String> {
        unimplemented!()
    }

    /// Closes every listener.
    pub async fn close(&self) {
        unimplemented!()
    }
}
