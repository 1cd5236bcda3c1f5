//! What is counted of the connections to `/health`, `/ready`, `/metrics` and the other pages.

use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::{Gauge, IntCounter};

/// Connections that are open.
pub const CONNECTIONS: Descriptor = Descriptor {
    name: "dunlin_http_connections",
    help: "Gauge of open connections to health, ready, metrics and the other HTTP endpoints.",
    labels: &[],
    kind: MetricKind::Gauge,
};

/// Connections that were ended by us.
pub const CONNECTIONS_ENDED: Descriptor = Descriptor {
    name: "dunlin_http_connections_ended_total",
    help: "Counter of connections to HTTP endpoints that this side gave up: the oldest, for there was one above the bound \
           (connection), no handshake or head of a request in time (first), open for as long as one may be (life).",
    labels: &["reason"],
    kind: MetricKind::Counter,
};

/// The counters of all HTTP listeners.
#[derive(Clone)]
pub(super) struct Counters {
    connections: Gauge,
    /// One had to go for another.
    pub ended_connection: IntCounter,
    /// No request came.
    pub ended_first: IntCounter,
    /// It had been there for long.
    pub ended_life: IntCounter,
}

/// An open connection.
pub(super) struct Open(Gauge);

impl Counters {
    pub fn new(metrics: &Metrics) -> Counters {
        let ended = metrics.counter(&CONNECTIONS_ENDED);
        Counters {
            connections: metrics.gauge(&CONNECTIONS).with_label_values::<&str>(&[]),
            ended_connection: ended.with_label_values(&["connection"]),
            ended_first: ended.with_label_values(&["first"]),
            ended_life: ended.with_label_values(&["life"]),
        }
    }

    /// Counts a connection for as long as what is returned lives.
    pub fn open(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
