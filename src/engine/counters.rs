//! What the engine counts: panics that it survived, and queries and replies that it had to let go.

use crate::metrics::{Descriptor, MetricKind, Metrics, PANICS};
use prometheus::{Gauge, IntCounter};

/// Queries and replies that were let go, by reason.
pub const DROPPED: Descriptor = Descriptor {
    name: "dunlin_engine_dropped_total",
    help: "Counter of what was not answered: queries above the slow lane's bound (slow), \
           replies the system did not take (send), connections above the bound (connection), queries and connections of \
           clients that had more than their part of these bounds or of an overload (source), queries that found a \
           receive queue full for long (queue).",
    labels: &["reason"],
    kind: MetricKind::Counter,
};

/// Queries that wait in the slow lane, for upstreams mostly.
pub const SLOW_QUERIES: Descriptor = Descriptor {
    name: "dunlin_engine_slow_queries",
    help: "Gauge of queries in the slow lane.",
    labels: &[],
    kind: MetricKind::Gauge,
};

/// Connections that are open.
pub const CONNECTIONS: Descriptor = Descriptor {
    name: "dunlin_engine_connections",
    help: "Gauge of open connections from clients.",
    labels: &[],
    kind: MetricKind::Gauge,
};

/// Connections that were ended by us.
pub const CONNECTIONS_ENDED: Descriptor = Descriptor {
    name: "dunlin_engine_connections_ended_total",
    help: "Counter of connections that this side gave up: no handshake or first query in time (first), no further one \
           (idle), replies not taken in time (write), as many queries as it may ask (queries).",
    labels: &["reason"],
    kind: MetricKind::Counter,
};

/// The counters of one listener.
#[derive(Clone)]
pub(super) struct Counters {
    pub panics: IntCounter,
    /// The slow lane was full.
    pub slow: IntCounter,
    /// The system did not take a reply.
    pub send: IntCounter,
    /// There were too many connections.
    pub connection: IntCounter,
    /// A client had more than its part.
    pub source: IntCounter,
    /// A receive queue was full.
    pub queue: IntCounter,
    /// How connections were given up.
    pub ended_first: IntCounter,
    pub ended_idle: IntCounter,
    pub ended_write: IntCounter,
    pub ended_queries: IntCounter,
    pub slow_queries: Gauge,
    pub connections: Gauge,
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Counters {
        let (dropped, ended) = (metrics.counter(&DROPPED), metrics.counter(&CONNECTIONS_ENDED));
        Counters {
            panics: metrics.counter(&PANICS).with_label_values::<&str>(&[]),
            slow: dropped.with_label_values(&["slow"]),
            send: dropped.with_label_values(&["send"]),
            connection: dropped.with_label_values(&["connection"]),
            source: dropped.with_label_values(&["source"]),
            queue: dropped.with_label_values(&["queue"]),
            ended_first: ended.with_label_values(&["first"]),
            ended_idle: ended.with_label_values(&["idle"]),
            ended_write: ended.with_label_values(&["write"]),
            ended_queries: ended.with_label_values(&["queries"]),
            slow_queries: metrics.gauge(&SLOW_QUERIES).with_label_values::<&str>(&[]),
            connections: metrics.gauge(&CONNECTIONS).with_label_values::<&str>(&[]),
        }
    }
}
