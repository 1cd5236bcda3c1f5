//! What is counted of requests to the API server and of watches.

use super::Kind;
use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::{Gauge, HistogramVec, IntCounter, IntCounterVec};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const REQUESTS: Descriptor = Descriptor {
    name: "coredns_kubernetes_rest_client_requests_total",
    help: "Requests to the API server by status code (`<error>` where none came), method and host.",
    labels: &["code", "method", "host"],
    kind: MetricKind::Counter,
};

const REQUEST_DURATION: Descriptor = Descriptor {
    name: "coredns_kubernetes_rest_client_request_duration_seconds",
    help: "Seconds until the API server's answer begins.",
    labels: &["verb", "host"],
    kind: MetricKind::Histogram(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
};

const EVENTS: Descriptor = Descriptor {
    name: "dunlin_watch_events_total",
    help: "Watch events by kind of object and type of event.",
    labels: &["kind", "type"],
    kind: MetricKind::Counter,
};

/// The types of events.
const TYPES: [&str; 5] = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"];

const LISTS: Descriptor = Descriptor {
    name: "dunlin_watch_relists_total",
    help: "Complete lists after the first one.",
    labels: &["kind"],
    kind: MetricKind::Counter,
};

const FAILURES: Descriptor = Descriptor {
    name: "dunlin_watch_failures_total",
    help: "Lists and watches that failed.",
    labels: &["kind"],
    kind: MetricKind::Counter,
};

const UNDECODABLE: Descriptor = Descriptor {
    name: "dunlin_watch_undecodable_objects_total",
    help: "Objects that were skipped because they could not be read.",
    labels: &["kind"],
    kind: MetricKind::Counter,
};

const LAST_EVENT: Descriptor = Descriptor {
    name: "dunlin_watch_last_event_timestamp_seconds",
    help: "When the API server last sent a list, an event or a bookmark: seconds since 1970.",
    labels: &["kind"],
    kind: MetricKind::Gauge,
};

/// The counters of one feed.
pub(super) struct Counters {
    pub(super) requests: Arc<RequestCounters>,
    pub(super) watches: HashMap<Kind, WatchCounters>,
}

/// Requests to one API server.
pub(super) struct RequestCounters {
    requests: IntCounterVec,
    durations: HistogramVec,
}

/// One kind's watch.
#[derive(Clone)]
pub(super) struct WatchCounters {
    events: [IntCounter; TYPES.len()],
    pub(super) relists: IntCounter,
    pub(super) failures: IntCounter,
    pub(super) undecodable: IntCounter,
    last_event: Gauge,
}

impl Counters {
    pub(super) fn new(metrics: &Metrics, kinds: &[Kind]) -> Counters {
        Counters {
            requests: Arc::new(RequestCounters {
                requests: metrics.counter(&REQUESTS),
                durations: metrics.histogram(&REQUEST_DURATION),
            }),
            watches: kinds.iter().map(|kind| (*kind, WatchCounters::new(metrics, *kind))).collect(),
        }
    }
}

impl RequestCounters {
    /// Counts a GET; `code` is `None` where no answer came.
    pub(super) fn answered(&self, host: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.requests.with_label_values(&[code.as_str(), "GET", host]).inc();
        self.durations.with_label_values(&["GET", host]).observe(took.as_secs_f64());
    }
}

impl WatchCounters {
    fn new(metrics: &Metrics, kind: Kind) -> WatchCounters {
        let (label, events) = (kind.name(), metrics.counter(&EVENTS));
        WatchCounters {
            events: TYPES.map(|of_type| events.with_label_values(&[label, of_type])),
            relists: metrics.counter(&LISTS).with_label_values(&[label]),
            failures: metrics.counter(&FAILURES).with_label_values(&[label]),
            undecodable: metrics.counter(&UNDECODABLE).with_label_values(&[label]),
            last_event: metrics.gauge(&LAST_EVENT).with_label_values(&[label]),
        }
    }

    pub(super) fn event(&self, event_type: &str) {
        let of_type = TYPES.iter().zip(&self.events).find(|(known, _)| **known == event_type);
        of_type.into_iter().for_each(|(_, count)| count.inc());
    }

    /// Notes that the API server has just sent something of this kind.
    pub(super) fn heard(&self) {
        self.last_event.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }
}
