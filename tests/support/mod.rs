//! What the tests of the whole server stand on: a dunlin process, a DNS client, an upstream.
//!
//! The client is independent of the server's own wire code: it writes questions itself and has hickory-proto read the
//! answers. Records are held as text in the form `NAME TTL TYPE RDATA`, sorted, so that a failing test reads well.

// Every test is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

mod answer;
pub mod casefile;
mod client;
pub mod cluster;
pub mod controlplane;
pub mod fakeapi;
mod process;
pub mod recorded;
mod recording;
pub mod shapes;
mod steady;
pub mod tls;
mod upstream;

pub use answer::{Answer, Opt, sorted};
pub use client::{Client, Question, framed, send_framed, take_framed};
pub use process::{Dunlin, Scratch, Start, free_port, http_at, http_get, http_request, say, skip, wait_until};
pub use recording::Recording;
pub use steady::Steady;
pub use upstream::Upstream;

use std::path::PathBuf;

/// One namespace with one service, `web.shop` at 10.0.0.1.
pub const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80, protocol: TCP}]}
";

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file in the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
