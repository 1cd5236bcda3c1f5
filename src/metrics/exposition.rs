//! From traffic counters to metric families, under the names and labels of CoreDNS's `prometheus` plugin.

use super::labels::{RCODE_COUNT, TYPE_COUNT, rcode_label, type_label};
use super::traffic::{
    CELLS, DNSSEC_OK, DURATION_BOUNDS, DURATIONS, FIRST_DURATION, REQUEST_SIZE, REQUESTS, RESPONSE_SIZE, RESPONSES,
    SIZE_BOUNDS, SIZE_CELLS, SLOW, Traffic,
};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The values of server, zone, view and plugin.
type Labels = [String; 4];

/// All traffic of the process.
#[derive(Clone, Default)]
pub(super) struct TrafficCollector(Arc<Mutex<BTreeMap<Labels, Arc<Traffic>>>>);

impl TrafficCollector {
    /// The counters with these labels, made where there are none.
    pub fn of(&self, labels: [&str; 4]) -> Arc<Traffic> {
        let mut traffic = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.entry(labels.map(str::to_owned)).or_default().clone()
    }
}

impl Collector for TrafficCollector {
    /// None: registration of these is not checked against others.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let traffic = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families = Families::default();
        for (labels, counters) in traffic.iter() {
            families.add(&Block { labels, cells: counters.sum() });
        }
        families.finish()
    }
}

/// The metrics of each family so far.
#[derive(Default)]
struct Families {
    requests: Vec<Metric>,
    durations: Vec<Metric>,
    request_sizes: Vec<Metric>,
    response_sizes: Vec<Metric>,
    dnssec_ok: Vec<Metric>,
    responses: Vec<Metric>,
    lanes: Vec<Metric>,
}

impl Families {
    /// Adds the series of a block that have counted something.
    fn add(&mut self, block: &Block<'_>) {
        for (transport, proto) in ["udp", "tcp"].into_iter().enumerate() {
            for (family, number) in ["1", "2"].into_iter().enumerate() {
                for qtype in 0..TYPE_COUNT {
                    let cell = REQUESTS + (transport * 2 + family) * TYPE_COUNT + qtype;
                    let labels = [("proto", proto), ("family", number), ("type", type_label(qtype))];
                    self.requests.extend(block.counter(cell, &labels));
                }
            }
            let bounds = || SIZE_BOUNDS.iter().map(|bound| *bound as f64);
            let sizes = |base| block.histogram(base + transport * SIZE_CELLS, bounds(), 1.0, &[("proto", proto)]);
            self.request_sizes.extend(sizes(REQUEST_SIZE));
            self.response_sizes.extend(sizes(RESPONSE_SIZE));
        }
        for rcode in 0..RCODE_COUNT {
            let labels = [("rcode", rcode_label(rcode)), ("plugin", block.labels[3].clone())];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            self.responses.extend(block.counter(RESPONSES + rcode, &labels));
        }
        let bounds = (0..DURATION_BOUNDS).map(|power| (FIRST_DURATION * (1 << power)).as_secs_f64());
        self.durations.extend(block.histogram(DURATIONS, bounds, 1e-9, &[]));
        self.dnssec_ok.extend(block.counter(DNSSEC_OK, &[]));
        let all: u64 = block.cells[REQUESTS..REQUEST_SIZE].iter().sum();
        let slow = block.cells[SLOW];
        for (lane, count) in [("fast", all.saturating_sub(slow)), ("slow", slow)] {
            self.lanes.extend(block.count(count, &[("lane", lane)]));
        }
    }

    fn finish(self) -> Vec<MetricFamily> {
        use MetricType::{COUNTER, HISTOGRAM};
        [
            (
                "coredns_dns_requests_total",
                "Counter of DNS requests made per zone, protocol and family.",
                COUNTER,
                self.requests,
            ),
            (
                "coredns_dns_request_duration_seconds",
                "Histogram of the time (in seconds) each request took per zone.",
                HISTOGRAM,
                self.durations,
            ),
            (
                "coredns_dns_request_size_bytes",
                "Size of the request in bytes, per protocol.",
                HISTOGRAM,
                self.request_sizes,
            ),
            (
                "coredns_dns_response_size_bytes",
                "Size of the response in bytes, per protocol.",
                HISTOGRAM,
                self.response_sizes,
            ),
            (
                "coredns_dns_do_requests_total",
                "Counter of DNS requests with the DO bit set, per zone.",
                COUNTER,
                self.dnssec_ok,
            ),
            ("coredns_dns_responses_total", "Counter of responses by response code.", COUNTER, self.responses),
            (
                "dunlin_lane_queries_total",
                "Counter of queries by the lane that answered: fast, from memory, or slow, through the chain of plugins.",
                COUNTER,
                self.lanes,
            ),
        ]
        .map(|(name, help, kind, metrics)| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family.set_metric(metrics);
            family
        })
        .into()
    }
}

/// The summed counters of one block, and the labels all its series have.
struct Block<'a> {
    labels: &'a Labels,
    cells: [u64; CELLS],
}

impl Block<'_> {
    fn counter(&self, cell: usize, labels: &[(&str, &str)]) -> Option<Metric> {
        self.count(self.cells[cell], labels)
    }

    fn count(&self, count: u64, labels: &[(&str, &str)]) -> Option<Metric> {
        (count > 0).then(|| {
            let mut counter = Counter::default();
            counter.set_value(count as f64);
            let mut metric = self.metric(labels);
            metric.set_counter(counter);
            metric
        })
    }

    /// The histogram that starts at `cell`; `unit` turns its sum into the unit of the bounds.
    fn histogram(
        &self,
        cell: usize,
        bounds: impl ExactSizeIterator<Item = f64>,
        unit: f64,
        labels: &[(&str, &str)],
    ) -> Option<Metric> {
        let above = cell + bounds.len();
        let mut total = 0;
        let buckets = bounds.zip(&self.cells[cell..]).map(|(bound, count)| {
            total += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(total);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        total += self.cells[above];
        histogram.set_sample_count(total);
        histogram.set_sample_sum(self.cells[above + 1] as f64 * unit);
        (total > 0).then(|| {
            let mut metric = self.metric(labels);
            metric.set_histogram(histogram);
            metric
        })
    }

    /// A metric with the block's labels and these, sorted by name as client libraries do.
    fn metric(&self, labels: &[(&str, &str)]) -> Metric {
        let [server, zone, view, _] = self.labels;
        let common = [("server", server.as_str()), ("zone", zone), ("view", view)];
        let pairs = common.iter().chain(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|one, other| one.name().cmp(other.name()));
        Metric::from_label(pairs)
    }
}
