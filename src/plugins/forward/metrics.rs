//! What `forward` counts.

use crate::metrics::{Descriptor, MetricKind, Metrics};
use crate::plugin::RENEWALS;
use crate::wire::Rcode;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter};
use std::sync::OnceLock;
use std::time::Duration;

/// The `proxy_name` label.
const NAME: &str = "forward";
/// Seconds: 0.00025 doubled fifteen times, as CoreDNS's.
const BUCKETS: &[f64] = &[
    0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];

macro_rules! descriptors {
    ($($name:ident $metric:literal $kind:expr, $labels:expr, $help:literal;)+) => {
        $(static $name: Descriptor = Descriptor { name: $metric, help: $help, labels: &$labels, kind: $kind };)+
        /// All of them.
        pub(super) static ALL: &[&Descriptor] = &[&RENEWALS, $(&$name),+];
    };
}

descriptors! {
    DURATION "coredns_proxy_request_duration_seconds" MetricKind::Histogram(BUCKETS), ["proxy_name", "to", "rcode"],
        "The time each request to an upstream took.";
    HEALTH_FAILURES "coredns_proxy_healthcheck_failures_total" MetricKind::Counter, ["proxy_name", "to"],
        "The count of failed health checks.";
    REUSED "coredns_proxy_conn_cache_hits_total" MetricKind::Counter, ["proxy_name", "to", "proto"],
        "The count of queries sent from a kept socket or over a kept connection.";
    OPENED "coredns_proxy_conn_cache_misses_total" MetricKind::Counter, ["proxy_name", "to", "proto"],
        "The count of queries that opened a socket or a connection.";
    FAILING "dunlin_forward_failed_checks" MetricKind::Gauge, ["to"],
        "Health checks of an upstream that have failed in a row; 0 for one that is well.";
    IGNORED "dunlin_forward_ignored_replies_total" MetricKind::Counter, ["to"],
        "The count of packets from an upstream that answered no query in flight.";
    IN_FLIGHT "dunlin_forward_concurrent_queries" MetricKind::Gauge, [],
        "The number of queries that wait for an upstream.";
    UNUSABLE_FILES "dunlin_forward_unusable_files" MetricKind::Gauge, ["file"],
        "Whether a file of upstreams has no usable name server.";
    REJECTS "coredns_forward_max_concurrent_rejects_total" MetricKind::Counter, [],
        "The count of queries refused because max_concurrent was reached.";
    BROKEN "coredns_forward_healthcheck_broken_total" MetricKind::Counter, [],
        "The count of queries that found every upstream down.";
}

/// The meters of one upstream.
pub(super) struct Meters {
    to: String,
    durations: HistogramVec,
    /// By rcode, looked up once.
    by_rcode: [OnceLock<Histogram>; 16],
    pub health_failures: IntCounter,
    pub failing: Gauge,
    pub udp_reused: IntCounter,
    pub udp_opened: IntCounter,
    pub tcp_reused: IntCounter,
    pub tcp_opened: IntCounter,
    pub ignored: IntCounter,
}

impl Meters {
    /// The meters of the upstream `to`, whose connections are `stream` in the label `proto`.
    pub fn new(metrics: &Metrics, to: String, stream: &str) -> Meters {
        let (reused, opened) = (metrics.counter(&REUSED), metrics.counter(&OPENED));
        Meters {
            durations: metrics.histogram(&DURATION),
            by_rcode: Default::default(),
            health_failures: metrics.counter(&HEALTH_FAILURES).with_label_values(&[NAME, &to]),
            failing: metrics.gauge(&FAILING).with_label_values(&[&to]),
            udp_reused: reused.with_label_values(&[NAME, &to, "udp"]),
            udp_opened: opened.with_label_values(&[NAME, &to, "udp"]),
            tcp_reused: reused.with_label_values(&[NAME, &to, stream]),
            tcp_opened: opened.with_label_values(&[NAME, &to, stream]),
            ignored: metrics.counter(&IGNORED).with_label_values(&[&to]),
            to,
        }
    }

    /// Counts an exchange.
    pub fn took(&self, rcode: Rcode, duration: Duration) {
        let index = usize::from(rcode.0 & 0x0f);
        let histogram = self.by_rcode[index]
            .get_or_init(|| self.durations.with_label_values(&[NAME, &self.to, &Rcode(index as u16).to_string()]));
        histogram.observe(duration.as_secs_f64());
    }
}

/// The meters of one `forward`.
pub(super) struct Totals {
    pub rejects: IntCounter,
    pub broken: IntCounter,
    pub in_flight: Gauge,
}

/// Whether a file of upstreams is unusable.
pub(super) fn unusable_file(metrics: &Metrics, file: &str) -> Gauge {
    metrics.gauge(&UNUSABLE_FILES).with_label_values(&[file])
}

impl Totals {
    pub fn new(metrics: &Metrics) -> Totals {
        let none: [&str; 0] = [];
        Totals {
            rejects: metrics.counter(&REJECTS).with_label_values(&none),
            in_flight: metrics.gauge(&IN_FLIGHT).with_label_values(&none),
            broken: metrics.counter(&BROKEN).with_label_values(&none),
        }
    }
}
