//! Objects from an API server: one task a kind, each with its own connection.

mod backoff;
mod buffered;
mod connection;
mod direct;
mod follow;
mod frames;
mod request;
#[cfg(test)]
mod tests;

use super::counters::Counters;
use super::{First, Options, Sink};
use connection::Connection;
use follow::{Follower, Pace};
use request::Target;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::task::AbortHandle;

/// Starts a task for each kind that is followed; each takes one from `unsynced` at the end of its first list.
///
/// # Errors
/// What the operator has to mend: credentials or files that are missing, a URL that is none.
pub(super) fn start(
    options: &Options,
    sink: Arc<dyn Sink>,
    first: First,
    counters: Counters,
    unsynced: &Arc<AtomicUsize>,
) -> Result<Vec<AbortHandle>, String> {
    let connection = Connection::new(&options.source, counters.requests)?;
    let tasks = counters.watches.into_iter().map(|(kind, counters)| {
        let follower = Follower {
            connection: connection.clone(),
            target: Target { kind, labels: options.selector_text(kind) },
            sink: Arc::clone(&sink),
            counters,
            first,
            pace: Pace::default(),
            unsynced: Arc::clone(unsynced),
        };
        tokio::spawn(follower.run()).abort_handle()
    });
    Ok(tasks.collect())
}
