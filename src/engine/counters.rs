//! What the engine counts: panics that it survived, and queries and replies that it had to let go.

use crate::metrics::{Descriptor, MetricKind, Metrics, PANICS};
use prometheus::IntCounter;

/// Queries and replies that were let go, by reason.
pub const DROPPED: Descriptor = Descriptor {
    name: "dunlin_engine_dropped_total",
    help: "Counter of what was not answered: queries above the slow lane's bound (slow), \
           replies the system did not take (send), connections above the bound (connection).",
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
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Counters {
        let dropped = metrics.counter(&DROPPED);
        Counters {
            panics: metrics.counter(&PANICS).with_label_values::<&str>(&[]),
            slow: dropped.with_label_values(&["slow"]),
            send: dropped.with_label_values(&["send"]),
            connection: dropped.with_label_values(&["connection"]),
        }
    }
}
