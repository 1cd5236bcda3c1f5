//! Per-worker counters, metric descriptors, exposition.
//!
//! What is counted for every packet ([`Traffic`]) is counted per worker without sharing a cache line, and summed when
//! scraped. What happens less often uses prometheus' own vectors, registered from the [`Descriptor`]s that stand in the
//! files that use them.

mod traffic;

pub use traffic::{Family, Traffic, TrafficShard, Transport};

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum MetricKind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A metric's name, meaning and labels; a `const` in the file that counts.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Descriptor {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    pub kind: MetricKind,
}

/// Every metric of the process. Cheap to clone; lives across reloads, so counters never go back.
#[derive(Clone)]
pub struct Metrics;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty set, with the process's own metrics (CPU, memory, open files) in it.
    pub fn new() -> Metrics {
        unimplemented!()
    }

    /// The counter of a descriptor, made at the first call.
    pub fn counter(&self, _descriptor: &'static Descriptor) -> prometheus::IntCounterVec {
        unimplemented!()
    }

    /// The gauge of a descriptor, made at the first call.
    pub fn gauge(&self, _descriptor: &'static Descriptor) -> prometheus::GaugeVec {
        unimplemented!()
    }

    /// The histogram of a descriptor, made at the first call.
    pub fn histogram(&self, _descriptor: &'static Descriptor) -> prometheus::HistogramVec {
        unimplemented!()
    }

    /// The query counters of one server block on one listener, made at the first call with these labels.
    pub fn traffic(&self, _server: &str, _zone: &str, _view: &str, _plugin: &str) -> std::sync::Arc<Traffic> {
        unimplemented!()
    }

    /// The exposition in Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        unimplemented!()
    }
}
