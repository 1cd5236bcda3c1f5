//! The bound on the slow lane, and what becomes of a query that panics in it.

use super::counters::Counters;
use super::shares::{Refusal, Share, Shares};
use super::{Answerer, Arrival, Sent};
use crate::wire::{HEADER, Rcode, error_reply};
use futures_util::FutureExt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What listeners with a clone of this may have in their slow lanes together: the memory that it takes is bounded however
/// many listeners there are, and a wildcard is two of them.
#[derive(Clone)]
pub struct SlowQueries {
    taken: Arc<AtomicUsize>,
    max: usize,
}

impl SlowQueries {
    /// None yet, and never more than `max`; further ones are answered by silence and counted.
    pub fn at_most(max: usize) -> SlowQueries {
        SlowQueries { taken: Arc::default(), max }
    }
}

/// The slow lane of one listener.
#[derive(Clone)]
pub(super) struct SlowLane {
    answerer: Arc<dyn Answerer>,
    queries: Arc<Shares>,
    max: usize,
    counters: Counters,
}

impl SlowLane {
    pub fn new(answerer: Arc<dyn Answerer>, together: SlowQueries, counters: Counters) -> SlowLane {
        let queries = Shares::together(together.taken, counters.slow_queries.clone());
        SlowLane { answerer, queries, max: together.max, counters }
    }

    /// A place for one more query of this client; `None`, and counted, where all are taken or the client has its part.
    pub fn admit(&self, client: IpAddr) -> Option<Share> {
        match self.queries.take(client, self.max) {
            Ok(permit) => return Some(permit),
            Err(Refusal::Full) => self.counters.slow.inc(),
            Err(Refusal::Part) => self.counters.source.inc(),
        }
        None
    }

    /// Whether this listener has no query in flight.
    pub fn is_idle(&self) -> bool {
        self.queries.is_idle()
    }

    /// Counts a panic that was survived.
    pub fn count_panic(&self) {
        self.counters.panics.inc();
    }

    /// The answer to `packet`; SERVFAIL where finding it panicked.
    pub async fn answer(&self, packet: Vec<u8>, arrival: Arrival, permit: Share) -> Option<Sent> {
        let header = packet.first_chunk::<HEADER>().copied();
        // Made inside, so that a panic before the first await is caught too.
        let answer = AssertUnwindSafe(async { self.answerer.slow(packet, arrival).await });
        let outcome = answer.catch_unwind().await;
        drop(permit);
        outcome.unwrap_or_else(|_| {
            self.counters.panics.inc();
            let mut reply = vec![0; HEADER];
            let len = servfail(&header?, &mut reply)?;
            reply.truncate(len);
            Some(reply.into())
        })
    }
}

/// SERVFAIL for a packet whose answer panicked; nothing for what is no query.
pub(super) fn servfail(packet: &[u8], out: &mut [u8]) -> Option<usize> {
    let is_query = packet.len() >= HEADER && packet[2] & 0x80 == 0;
    (is_query && out.len() >= HEADER).then(|| error_reply(packet, Rcode::SERVFAIL, out))
}
