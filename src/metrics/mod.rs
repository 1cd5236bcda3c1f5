//! Per-worker counters, metric descriptors, exposition.
//!
//! What is counted for every packet ([`Traffic`]) is counted per worker without sharing a cache line, and summed when
//! scraped. What happens less often uses prometheus' own vectors, registered from the [`Descriptor`]s that stand in the
//! files that use them.

mod exposition;
mod labels;
mod reading;
mod sampled;
mod top;
mod traffic;

#[cfg(test)]
mod tests;

pub use reading::{Distribution, Reading, Series};
pub use sampled::{Sample, Sampled, SampledShard, Tops};
pub use traffic::{Counted, Family, Traffic, TrafficShard};

use exposition::TrafficCollector;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// What runs: the version of this program, the revision it was built from. Always 1.
pub const BUILD_INFO: Descriptor = Descriptor {
    name: "coredns_build_info",
    help: "A metric with a constant '1' value labeled by version, revision, and goversion (empty: this is no Go program).",
    labels: &["version", "revision", "goversion"],
    kind: MetricKind::Gauge,
};

/// Panics that were survived, in either lane.
pub const PANICS: Descriptor = Descriptor {
    name: "coredns_panics_total",
    help: "Counter of panics that were survived.",
    labels: &[],
    kind: MetricKind::Counter,
};

/// The plugins in the chain of each server block. Always 1; reset at a reload.
pub const PLUGIN_ENABLED: Descriptor = Descriptor {
    name: "coredns_plugin_enabled",
    help: "A metric that indicates whether a plugin is enabled on per server and zone basis.",
    labels: &["server", "zone", "view", "name"],
    kind: MetricKind::Gauge,
};

/// Every metric of the process. Cheap to clone; lives across reloads, so counters never go back.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    traffic: TrafficCollector,
    vectors: Arc<Mutex<HashMap<&'static str, Box<dyn Any + Send>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A set with the process's own metrics (CPU, memory, open files), [`BUILD_INFO`] and [`PANICS`] in it.
    pub fn new() -> Metrics {
        let metrics =
            Metrics { registry: Registry::new(), traffic: TrafficCollector::default(), vectors: Arc::default() };
        metrics.register(ProcessCollector::for_self());
        metrics.register(metrics.traffic.clone());
        let revision = option_env!("DUNLIN_REVISION").unwrap_or_default();
        metrics.gauge(&BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION"), revision, ""]).set(1.0);
        metrics.counter(&PANICS).with_label_values::<&str>(&[]);
        metrics
    }

    /// The counter of a descriptor, made at the first call.
    ///
    /// # Panics
    /// Where the descriptor is a mistake in the source: no valid metric, or one name for two kinds. This holds for
    /// gauges and histograms too; the test of all descriptors finds it.
    pub fn counter(&self, descriptor: &'static Descriptor) -> IntCounterVec {
        self.vector(descriptor, || IntCounterVec::new(options(descriptor), descriptor.labels))
    }

    /// The gauge of a descriptor, made at the first call.
    pub fn gauge(&self, descriptor: &'static Descriptor) -> GaugeVec {
        self.vector(descriptor, || GaugeVec::new(options(descriptor), descriptor.labels))
    }

    /// The histogram of a descriptor, made at the first call.
    pub fn histogram(&self, descriptor: &'static Descriptor) -> HistogramVec {
        let buckets = match descriptor.kind {
            MetricKind::Histogram(bounds) => bounds,
            MetricKind::Counter | MetricKind::Gauge => prometheus::DEFAULT_BUCKETS,
        };
        let options = || HistogramOpts::from(options(descriptor)).buckets(buckets.to_vec());
        self.vector(descriptor, || HistogramVec::new(options(), descriptor.labels))
    }

    fn vector<V: Collector + Clone + 'static>(
        &self,
        descriptor: &Descriptor,
        make: impl FnOnce() -> prometheus::Result<V>,
    ) -> V {
        let mut vectors = self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        let vector = vectors.entry(descriptor.name).or_insert_with(|| {
            let made = make().unwrap_or_else(|why| panic!("metric {}: {why}", descriptor.name));
            self.register(made.clone());
            Box::new(made)
        });
        vector.downcast_ref().cloned().unwrap_or_else(|| panic!("metric {} is of two kinds", descriptor.name))
    }

    fn register(&self, collector: impl Collector + 'static) {
        if let Err(why) = self.registry.register(Box::new(collector)) {
            panic!("a metric is registered twice: {why}");
        }
    }

    /// The query counters of one server block on one listener, made at the first call with these labels.
    pub fn traffic(&self, server: &str, zone: &str, view: &str, plugin: &str) -> Arc<Traffic> {
        self.traffic.of([server, zone, view, plugin])
    }

    /// The exposition in Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(why) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(target: "dunlin", "metrics cannot be written: {why}");
        }
        text
    }
}

fn options(descriptor: &Descriptor) -> Opts {
    Opts::new(descriptor.name, descriptor.help)
}
