//! Waiting until it is time to look, or until something changes in a directory.

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait after a change for the others that belong to it: a ConfigMap's swap, an editor's two steps. It also
/// bounds how often a busy directory makes us look.
const SETTLE: Duration = Duration::from_secs(1);

/// The system's word on a directory, where it gives one; else only time passes.
pub(super) struct Watch {
    changes: mpsc::Receiver<()>,
    /// Ends the watch when dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches the directory a file is in. Kubernetes swaps a symlink there when a ConfigMap changes.
    pub fn on_directory_of(file: &Path) -> Watch {
        let (sender, changes) = mpsc::channel(1);
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading the file is an event as well. A full channel has a change waiting already.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::debug!(target: "plugin/reload", "{} is not watched, only looked at: {error}", directory.display());
        }
        Watch { changes, _watcher: watching.ok() }
    }

    /// Returns after `period`, or a little after a change.
    pub async fn changed_within(&mut self, period: Duration) {
        let end = Instant::now() + period;
        match timeout_at(end, self.changes.recv()).await {
            Ok(Some(())) => {
                sleep(SETTLE.min(period)).await;
                while self.changes.try_recv().is_ok() {}
            }
            // No watcher holds the other end.
            Ok(None) => tokio::time::sleep_until(end).await,
            Err(_) => {}
        }
    }
}
