//! The metric of the stores' memory, brought up to date now and then beside the queries.

use super::model::Models;
use super::store::{PARTS, Store};
use crate::metrics::{Descriptor, MetricKind, Metrics};
use std::sync::Weak;
use std::time::Duration;

pub(super) const BYTES: Descriptor = Descriptor {
    name: "dunlin_kubernetes_store_bytes",
    help: "Memory of what answers are made of, of all clusters: namespaces, services, endpoints, addresses (their \
           owners, for reverse names), pods. As of the last minute.",
    labels: &["store"],
    kind: MetricKind::Gauge,
};

/// How often it is worked out.
const EVERY: Duration = Duration::from_secs(60);

/// Tells the memory of one cluster's stores as long as they live, once they are filled: until then the walk would take
/// its time from the start.
pub(super) async fn tell(models: Weak<Models>, metrics: Metrics, filled: impl Future<Output = ()>) {
    let gauges = PARTS.map(|part| metrics.gauge(&BYTES).with_label_values(&[part]));
    let mut told = [0.0; PARTS.len()];
    filled.await;
    loop {
        // The walk over a large cluster takes milliseconds.
        let weak = Weak::clone(&models);
        let walked = tokio::task::spawn_blocking(move || weak.upgrade().map(|models| octets(&models))).await;
        let now = walked.ok().flatten();
        // Other clusters have their part in the same gauges.
        let sums = now.map_or([0.0; PARTS.len()], |octets| octets.map(|octets| octets as f64));
        gauges.iter().zip(sums.iter().zip(&told)).for_each(|(gauge, (now, before))| gauge.add(now - before));
        told = sums;
        if now.is_none() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn octets(models: &Models) -> [usize; PARTS.len()] {
    let all = std::iter::once(&models.own).chain(&models.imports);
    all.map(|model| Store::octets(&model.store))
        .fold([0; PARTS.len()], |sums, one| std::array::from_fn(|part| sums[part] + one[part]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::kubernetes::cluster::Cluster;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn the_first_walk_waits_for_the_first_sync() {
        let (cluster, metrics) = (Cluster::for_tests(false), Metrics::new());
        let (synced, filled) = oneshot::channel::<()>();
        let filled = async move { drop(filled.await) };
        tokio::spawn(tell(cluster.models_for_tests(), metrics.clone(), filled));
        // A store has its tables from the start, so any walk tells of some octets.
        let told = || metrics.gauge(&BYTES).with_label_values(&["services"]).get() > 0.0;
        let within = async |time: Duration| {
            let begun = std::time::Instant::now();
            while !told() && begun.elapsed() < time {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            told()
        };
        assert!(!within(Duration::from_millis(500)).await, "a walk before the sync");
        synced.send(()).expect("it waits");
        assert!(within(Duration::from_secs(10)).await, "no walk after the sync");
    }
}
