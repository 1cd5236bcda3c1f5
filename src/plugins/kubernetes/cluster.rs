//! One cluster's objects and their feed, shared by all plans and server blocks that ask for the same.

use super::keeper::{self, Keeper};
use super::memory;
use super::model::{Model, Models};
use super::programming::{PROGRAMMING, Programming};
use super::store::Store;
use crate::cluster::{self, Feed, First, Options, Sink};
use crate::metrics::Metrics;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// How often the feed is asked whether it is synced while the start waits for it: so much later may the first answer be.
const POLL: Duration = Duration::from_millis(5);
/// How often that is said.
const SAY: Duration = Duration::from_millis(500);

/// Starts a feed into a sink.
type Begin = dyn Fn(Arc<dyn Sink>, First) -> Result<Feed, String> + Send + Sync;

/// A store and the feed that fills it, which begins with the first plan that starts and ends with the last that holds it.
pub(super) struct Cluster {
    models: Arc<Models>,
    begin: Box<Begin>,
    /// When lists are taken that nothing is known before.
    pub(super) first: First,
    /// Where its memory is told.
    metrics: Metrics,
    feed: OnceLock<Arc<Feed>>,
    /// What keeps the last known state in a file, where one is asked for.
    keeper: Option<Arc<Keeper>>,
    synced: AtomicBool,
}

impl Cluster {
    pub(super) fn new(options: Options, snapshot: Option<PathBuf>, first: First, metrics: &Metrics) -> Cluster {
        let model = || Model::new(options.details, Programming(metrics.histogram(&PROGRAMMING)));
        let models = Arc::new(Models { own: model(), imports: options.imports.then(model) });
        let scope = Cluster::key(&options);
        let keeper = snapshot.map(|path| Arc::new(Keeper::new(path, scope, Arc::clone(&models), metrics)));
        let fed = metrics.clone();
        Cluster {
            models,
            begin: Box::new(move |sink, first| cluster::start(options.clone(), sink, first, &fed)),
            first,
            metrics: metrics.clone(),
            feed: OnceLock::new(),
            keeper,
            synced: AtomicBool::new(false),
        }
    }

    /// What tells this cluster from another across reloads.
    pub(super) fn key(options: &Options) -> String {
        format!("kubernetes {options:?}")
    }

    #[inline]
    pub(super) fn store(&self) -> &Store {
        &self.models.own.store
    }

    /// The services imported from other clusters, where they are followed.
    #[inline]
    pub(super) fn imports(&self) -> Option<&Store> {
        self.models.imports.as_ref().map(|imports| &*imports.store)
    }

    /// Whether the whole cluster is known: every kind has been listed once, or came out of a snapshot. Never turns back
    /// to false.
    #[inline]
    pub(super) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed) || {
            let synced = self.is_from_snapshot() || self.is_fed();
            self.synced.fetch_or(synced, Ordering::Relaxed) || synced
        }
    }

    /// Whether what is known came out of a snapshot.
    pub(super) fn is_from_snapshot(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.is_in_use())
    }

    fn is_fed(&self) -> bool {
        self.feed.get().is_some_and(|feed| feed.is_synced())
    }

    /// Writes the snapshot, if one is kept and the feed has brought all there is.
    pub(super) async fn save(&self) {
        if let Some(keeper) = self.keeper.clone().filter(|_| self.is_fed()) {
            keeper.save().await;
        }
    }

    /// Begins the feed, if no plan before has, and waits until it is synced, but not longer than `timeout`.
    pub(super) async fn start(&self, timeout: Duration) -> Result<(), String> {
        let is_first = self.feed.get().is_none();
        if is_first {
            let feed = Arc::new(match &self.keeper {
                None => (self.begin)(Arc::clone(&self.models) as _, self.first.clone())?,
                Some(keeper) => {
                    keeper.restore();
                    let first = if keeper.is_in_use() { First::Spread } else { self.first.clone() };
                    (self.begin)(Arc::clone(keeper) as _, first)?
                }
            });
            if let Some(keeper) = &self.keeper {
                tokio::spawn(Arc::clone(keeper).run(Arc::downgrade(&feed)));
            }
            // Plans start one after another, so nobody else has set it.
            let _ = self.feed.set(feed);
        }
        let is_synced = self.synced_within(timeout).await;
        if !is_synced {
            tracing::warn!(target: "plugin/kubernetes", "starting server with unsynced Kubernetes API");
        }
        if is_first {
            let feed = self.feed.get().filter(|_| !is_synced).map(Arc::downgrade).unwrap_or_default();
            let filled = async move { keeper::synced(&feed).await };
            tokio::spawn(memory::tell(Arc::downgrade(&self.models), self.metrics.clone(), filled));
        }
        Ok(())
    }

    async fn synced_within(&self, timeout: Duration) -> bool {
        let (begun, mut said) = (Instant::now(), Instant::now());
        while !self.is_synced() {
            if begun.elapsed() >= timeout {
                return false;
            }
            if said.elapsed() >= SAY {
                said = Instant::now();
                tracing::info!(target: "plugin/kubernetes", "waiting for Kubernetes API before starting server");
            }
            tokio::time::sleep(POLL.min(timeout - begun.elapsed().min(timeout))).await;
        }
        true
    }
}

#[cfg(test)]
impl Cluster {
    /// A synced cluster without a feed.
    pub(super) fn for_tests(pod_names: bool) -> Cluster {
        let model = || {
            let options = prometheus::HistogramOpts::new("programming", "help");
            let programming = prometheus::HistogramVec::new(options, PROGRAMMING.labels).unwrap();
            Model::new(cluster::Details { pod_names, zones: true }, Programming(programming))
        };
        Cluster {
            begin: Box::new(|_, _| Err("no feed".into())),
            first: First::AtOnce,
            metrics: Metrics::new(),
            models: Arc::new(Models { own: model(), imports: Some(model()) }),
            feed: OnceLock::new(),
            keeper: None,
            synced: AtomicBool::new(true),
        }
    }

    pub(super) fn models_for_tests(&self) -> std::sync::Weak<Models> {
        Arc::downgrade(&self.models)
    }

    pub(super) fn model(&self) -> &Models {
        &self.models
    }

    pub(super) fn set_synced(&self, synced: bool) {
        self.synced.store(synced, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_start_waits_for_the_first_lists_but_not_for_ever() {
        let cluster = Arc::new(Cluster::for_tests(false));
        assert!(cluster.synced_within(Duration::ZERO).await);
        cluster.set_synced(false);
        let begun = Instant::now();
        assert!(!cluster.synced_within(Duration::from_millis(150)).await);
        assert!(begun.elapsed() >= Duration::from_millis(150));
        let waiting = tokio::spawn({
            let cluster = Arc::clone(&cluster);
            async move { cluster.synced_within(Duration::from_secs(60)).await }
        });
        cluster.set_synced(true);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_feed_that_cannot_begin_refuses_the_start() {
        assert_eq!(Cluster::for_tests(false).start(Duration::ZERO).await, Err("no feed".to_owned()));
    }
}
