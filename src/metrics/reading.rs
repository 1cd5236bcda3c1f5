//! All metrics of a moment, for who wants values instead of text.

use super::Metrics;
use prometheus::proto::{Metric, MetricFamily};

/// Every series as it was when read.
pub struct Reading(Vec<MetricFamily>);

/// One series.
#[derive(Clone, Copy)]
pub struct Series<'a>(&'a Metric);

/// A histogram: observations, their sum, and the cumulative count up to each bound.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Distribution {
    pub count: u64,
    pub sum: f64,
    pub buckets: Vec<(f64, u64)>,
}

impl Metrics {
    /// Every series as it is now.
    pub fn read(&self) -> Reading {
        Reading(self.registry.gather())
    }
}

impl Reading {
    /// The series of a metric.
    pub fn series(&self, name: &str) -> impl Iterator<Item = Series<'_>> {
        let family = self.0.iter().find(|family| family.name() == name);
        family.into_iter().flat_map(|family| family.get_metric()).map(Series)
    }

    /// The sum of a metric over its series.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|series| series.value()).sum()
    }
}

impl<'a> Series<'a> {
    /// A label's value, empty where there is none.
    pub fn label(&self, name: &str) -> &'a str {
        self.0.get_label().iter().find(|pair| pair.name() == name).map_or("", |pair| pair.value())
    }

    /// The value of a counter or gauge.
    pub fn value(&self) -> f64 {
        self.0.get_counter().get_value() + self.0.get_gauge().get_value()
    }

    /// What a histogram holds.
    pub fn distribution(&self) -> Distribution {
        let histogram = self.0.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Distribution {
            count: histogram.get_sample_count(),
            sum: histogram.get_sample_sum(),
            buckets: buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect(),
        }
    }
}

impl Distribution {
    /// Adds another with the same bounds, or to none.
    pub fn add(&mut self, other: &Distribution) {
        self.count += other.count;
        self.sum += other.sum;
        if self.buckets.is_empty() {
            self.buckets = other.buckets.clone();
            return;
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(bucket, other)| bucket.1 += other.1);
    }

    /// What has come since an earlier one.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let before = |at: usize| earlier.buckets.get(at).map_or(0, |bucket| bucket.1);
        let buckets = self.buckets.iter().enumerate();
        Distribution {
            count: self.count.saturating_sub(earlier.count),
            sum: (self.sum - earlier.sum).max(0.0),
            buckets: buckets.map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at)))).collect(),
        }
    }

    /// The mean; `None` without observations.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The bound that this part (0.99) of the observations does not pass: infinite above the last, `None` without any.
    pub fn at_most(&self, part: f64) -> Option<f64> {
        let wanted = part * self.count as f64;
        let bound = self.buckets.iter().find(|(_, count)| *count as f64 >= wanted).map(|(bound, _)| *bound);
        (self.count > 0).then(|| bound.unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Descriptor, MetricKind};

    const WAITED: Descriptor = Descriptor {
        name: "test_waited_seconds",
        help: "A test's.",
        labels: &["who"],
        kind: MetricKind::Histogram(&[1.0, 2.0]),
    };
    const SEEN: Descriptor =
        Descriptor { name: "test_seen_total", help: "A test's.", labels: &["who"], kind: MetricKind::Counter };

    #[test]
    fn series_are_found_by_name_and_label() {
        let metrics = Metrics::new();
        metrics.counter(&SEEN).with_label_values(&["a"]).inc_by(2);
        metrics.counter(&SEEN).with_label_values(&["b"]).inc_by(3);
        let reading = metrics.read();
        let found: Vec<_> = reading.series("test_seen_total").map(|one| (one.label("who"), one.value())).collect();
        assert_eq!((found, reading.sum("test_seen_total")), (vec![("a", 2.0), ("b", 3.0)], 5.0));
        assert_eq!((reading.series("test_none").count(), reading.sum("test_none")), (0, 0.0));
    }

    #[test]
    fn a_histogram_of_a_while_is_a_difference() {
        let metrics = Metrics::new();
        let waited = metrics.histogram(&WAITED);
        let read = || {
            let mut sum = Distribution::default();
            metrics.read().series("test_waited_seconds").for_each(|one| sum.add(&one.distribution()));
            sum
        };
        waited.with_label_values(&["a"]).observe(0.5);
        let before = read();
        waited.with_label_values(&["a"]).observe(1.5);
        waited.with_label_values(&["b"]).observe(0.5);
        let while_ = read().since(&before);
        assert_eq!((while_.count, while_.mean()), (2, Some(1.0)));
        assert_eq!((while_.at_most(0.5), while_.at_most(0.99)), (Some(1.0), Some(2.0)));
        waited.with_label_values(&["a"]).observe(9.0);
        assert_eq!(read().at_most(1.0), Some(f64::INFINITY));
        assert_eq!((before.since(&before).mean(), before.since(&before).at_most(0.5)), (None, None));
    }
}
