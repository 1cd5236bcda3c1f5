//! Following files: a hint that something has changed, a pause for the writer to finish, and a look at what has.

use super::super::Sink;
use super::files::Files;
use super::tell;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// How long nothing must happen before files are read: writers that are not atomic write in pieces.
const QUIET: Duration = Duration::from_millis(75);
/// The longest wait for quiet, so that a directory that is never quiet is read all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often the files are looked at without a hint: file systems exist that give none (NFS, some FUSE mounts).
const POLL: Duration = Duration::from_secs(15);
/// The same where no hints can be had at all.
const POLL_WITHOUT_HINTS: Duration = Duration::from_secs(2);

/// Tells the sink of every change, for ever.
pub(super) async fn follow(mut files: Files, sink: Arc<dyn Sink>) {
    let mut told = BTreeSet::new();
    let mut hints = Hints::new(files.paths());
    loop {
        // Once before the first wait, too: something may have changed before the watches were in place.
        let reading = tokio::task::spawn_blocking(move || {
            let is_different = files.refresh();
            (files, is_different)
        });
        let Ok((read, is_different)) = reading.await else { return };
        files = read;
        if is_different {
            tell(&files.selection, files.objects(), &*sink);
        }
        told = report(&files, &told);
        hints.renew(files.paths());
        hints.wait().await;
    }
}

/// Logs what is newly wrong, once.
fn report(files: &Files, told: &BTreeSet<String>) -> BTreeSet<String> {
    let faults: BTreeSet<String> = files.faults().map(str::to_owned).collect();
    for fault in faults.difference(told) {
        tracing::error!(target: "plugin/kubernetes", "Manifest not taken, what it last held stays: {fault}");
    }
    faults
}

/// Hints that something in the directories has changed.
struct Hints {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    hints: mpsc::Receiver<()>,
}

impl Hints {
    fn new(paths: &[PathBuf]) -> Hints {
        // One waiting hint is as good as many.
        let (sender, hints) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event as well; answering that one by reading would never end.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)) && !is_written(event.kind)) {
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(target: "plugin/kubernetes", "Manifests are polled, since they cannot be watched: {error}");
            })
            .ok();
        let mut hints = Hints { watcher, watched: BTreeSet::new(), hints };
        hints.renew(paths);
        hints
    }

    /// Watches where the paths lead now: a mounted ConfigMap is a chain of links, of which one is replaced.
    fn renew(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = paths.iter().flat_map(|path| directories_of(path)).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        // A directory that cannot be watched now is tried again at the next turn.
        self.watched = wanted
            .into_iter()
            .filter(|path| self.watched.contains(path) || watcher.watch(path, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }

    /// Waits for a hint and for quiet behind it, or for the next poll.
    async fn wait(&mut self) {
        let poll = if self.watched.is_empty() { POLL_WITHOUT_HINTS } else { POLL };
        match timeout(poll, self.hints.recv()).await {
            Ok(Some(())) => {}
            Ok(None) => return tokio::time::sleep(POLL_WITHOUT_HINTS).await,
            Err(_) => return,
        }
        let latest = Instant::now() + LONGEST_WAIT;
        while Instant::now() < latest {
            if !matches!(timeout(QUIET, self.hints.recv()).await, Ok(Some(()))) {
                return;
            }
        }
    }
}

/// Whether an access event says that a writer has closed the file.
fn is_written(kind: EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}

/// The directories in which a change can change what is at a path.
fn directories_of(path: &Path) -> Vec<PathBuf> {
    let real = path.canonicalize().ok();
    let parent_of = |path: &Path| {
        path.parent().map(|parent| if parent.as_os_str().is_empty() { ".".into() } else { parent.into() })
    };
    let mut directories: Vec<PathBuf> = parent_of(path).into_iter().collect();
    match real {
        Some(real) if real.is_dir() => directories.push(real),
        Some(real) => directories.extend(parent_of(&real)),
        None => {}
    }
    directories
}
