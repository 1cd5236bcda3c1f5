//! The last known state on disk: read before the API server has said anything, written when it has changed.

use super::model::Models;
use crate::cluster::snapshot::{Builder, Snapshot, save};
use crate::cluster::{Feed, Key, Kind, Object, Sink};
use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::{Gauge, IntCounter};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) const IN_USE: Descriptor = Descriptor {
    name: "dunlin_snapshot_in_use",
    help: "Whether answers come from a snapshot file, since the API server has not been heard yet.",
    labels: &["file"],
    kind: MetricKind::Gauge,
};
pub(super) const SAVED: Descriptor = Descriptor {
    name: "dunlin_snapshot_timestamp_seconds",
    help: "When the state in the snapshot file was written: seconds since 1970, 0 where there is none.",
    labels: &["file"],
    kind: MetricKind::Gauge,
};
pub(super) const FAILURES: Descriptor = Descriptor {
    name: "dunlin_snapshot_failures_total",
    help: "Snapshot files that could not be written, or were not used.",
    labels: &["file"],
    kind: MetricKind::Counter,
};

/// How often the feed is asked whether it is synced.
const POLL: Duration = Duration::from_millis(100);
/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long changes may gather before they are written.
const SETTLE: Duration = Duration::from_secs(5);
/// How long no other file is written after one: a busy cluster changes all the time.
const REST: Duration = Duration::from_secs(25);

/// The snapshot file of one cluster.
pub(super) struct Keeper {
    path: PathBuf,
    /// What the file is made for: another configuration does not read it.
    scope: String,
    models: Arc<Models>,
    /// Calls that may have changed the model.
    changes: AtomicU64,
    /// How many of them the file has. Held while it is written.
    saved: Mutex<u64>,
    in_use: AtomicBool,
    gauge: Gauge,
    saved_at: Gauge,
    failures: IntCounter,
}

impl Keeper {
    pub(super) fn new(path: PathBuf, scope: String, models: Arc<Models>, metrics: &Metrics) -> Keeper {
        let file = path.display().to_string();
        Keeper {
            path,
            scope,
            models,
            changes: AtomicU64::new(0),
            saved: Mutex::new(0),
            in_use: AtomicBool::new(false),
            gauge: metrics.gauge(&IN_USE).with_label_values(&[&file]),
            saved_at: metrics.gauge(&SAVED).with_label_values(&[&file]),
            failures: metrics.counter(&FAILURES).with_label_values(&[&file]),
        }
    }

    /// Whether answers come from the file.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Fills the model from the file. What is not fit for that is said, and the start goes on without.
    pub(super) fn restore(&self) {
        let began = Instant::now();
        let file = match std::fs::read(&self.path) {
            Ok(file) => file,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                tracing::info!(target: "plugin/kubernetes", "no snapshot yet in {}", self.path.display());
                return;
            }
            Err(why) => return self.refused(&format!("cannot be read: {why}")),
        };
        let snapshot = match Snapshot::open(&file, &self.scope) {
            Ok(snapshot) => snapshot,
            Err(why) => return self.refused(&why),
        };
        let count = match snapshot.tell(&*self.models) {
            Ok(count) => count,
            Err(why) => return self.refused(&why),
        };
        let age = now().saturating_sub(snapshot.written_at);
        self.in_use.store(true, Ordering::Relaxed);
        self.gauge.set(1.0);
        self.saved_at.set(snapshot.written_at as f64);
        tracing::warn!(
            target: "plugin/kubernetes",
            "serving {count} objects of the snapshot {}, {age}s old, until the API server has been heard (read in {:?})",
            self.path.display(),
            began.elapsed()
        );
    }

    fn refused(&self, why: &str) {
        self.failures.inc();
        tracing::error!(target: "plugin/kubernetes", "the snapshot {} {why}; starting without it", self.path.display());
    }

    /// Writes the file now and then, as long as the feed lives.
    pub(super) async fn run(self: Arc<Self>, feed: Weak<Feed>) {
        synced(&feed).await;
        if feed.strong_count() == 0 {
            return;
        }
        if self.in_use.swap(false, Ordering::Relaxed) {
            self.gauge.set(0.0);
            tracing::info!(target: "plugin/kubernetes", "the API server's state has taken the place of the snapshot");
        }
        while feed.strong_count() > 0 {
            if self.is_behind() {
                tokio::time::sleep(SETTLE).await;
                self.clone().save().await;
                tokio::time::sleep(REST).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_behind(&self) -> bool {
        // While it is being written another round will look again.
        self.saved.try_lock().is_ok_and(|saved| *saved != self.changes.load(Ordering::Relaxed))
    }

    /// Writes the file if something has changed since the last one. Must not be called before the feed is synced: half a
    /// state would take the place of a whole one.
    pub(super) async fn save(self: Arc<Self>) {
        // A write that panics leaves the file as it was.
        let _ = tokio::task::spawn_blocking(move || self.write()).await;
    }

    fn write(&self) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Relaxed);
        if *saved == changes {
            return;
        }
        let now = now();
        let mut builder = Builder::new(&self.scope, now);
        self.models.each_object(|object| builder.push(&object));
        match save(&self.path, &builder.finish()) {
            Ok(()) => {
                *saved = changes;
                self.saved_at.set(now as f64);
            }
            Err(why) => {
                self.failures.inc();
                tracing::error!(target: "plugin/kubernetes", "the snapshot {} cannot be written: {why}", self.path.display());
            }
        }
    }
}

/// Waits until a feed is synced, or has ended.
pub(super) async fn synced(feed: &Weak<Feed>) {
    while feed.upgrade().is_some_and(|feed| !feed.is_synced()) {
        tokio::time::sleep(POLL).await;
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Passes everything on to the model and counts what may have changed it.
impl Sink for Keeper {
    fn list_begins(&self, kind: Kind) {
        self.models.list_begins(kind);
    }

    fn apply(&self, object: Object) {
        self.models.apply(object);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn delete(&self, kind: Kind, key: &Key) {
        self.models.delete(kind, key);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn list_breaks(&self, kind: Kind) {
        self.models.list_breaks(kind);
    }

    fn list_ends(&self, kind: Kind) {
        self.models.list_ends(kind);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}
