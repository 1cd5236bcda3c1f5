//! Objects from an API server: one task a kind, each with its own connection.

mod backoff;
mod buffered;
mod company;
mod connection;
mod direct;
mod follow;
mod frames;
mod request;
#[cfg(test)]
mod tests;

use super::counters::Counters;
use super::{First, Options, Sink, Source};
use connection::Connection;
use follow::{Follower, Pace, spread};
use futures_util::FutureExt;
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
    let pace = Pace::default();
    // One for all kinds: one question, and their lists together.
    let company = company_of(&first, &options.source, connection.namespace());
    let turn = company::turn(connection.clone(), company).boxed().shared();
    let tasks = counters.watches.into_iter().map(|(kind, counters)| {
        let follower = Follower {
            connection: connection.clone(),
            target: Target { kind, labels: options.selector_text(kind), details: options.details },
            sink: Arc::clone(&sink),
            counters,
            pace: pace.clone(),
            unsynced: Arc::clone(unsynced),
        };
        let turn = if first == First::Spread { spread(pace.spread).boxed() } else { turn.clone().boxed() };
        tokio::spawn(follower.run(turn)).abort_handle()
    });
    Ok(tasks.collect())
}

/// The namespace in which others may start with us, if any; `own` is the pod's, where the source is that of a pod.
fn company_of(first: &First, source: &Source, own: &str) -> Option<String> {
    match first {
        First::AmongOthers(None) if *source == Source::InCluster => Some(own.to_owned()),
        First::AmongOthers(namespace) => namespace.clone(),
        First::AtOnce | First::Spread => None,
    }
}
