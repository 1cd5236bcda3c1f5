//! The bound on the slow lane, and what becomes of a query that panics in it.

use super::counters::Counters;
use super::{Answerer, Arrival, Sent};
use crate::wire::{HEADER, Rcode, error_reply};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The slow lane of one listener.
#[derive(Clone)]
pub(super) struct SlowLane {
    answerer: Arc<dyn Answerer>,
    in_flight: Arc<AtomicUsize>,
    max: usize,
    counters: Counters,
}

/// The place of one query in the slow lane, given back when dropped.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SlowLane {
    pub fn new(answerer: Arc<dyn Answerer>, max: usize, counters: Counters) -> SlowLane {
        SlowLane { answerer, in_flight: Arc::default(), max, counters }
    }

    /// A place for one more query; `None`, and counted, where the lane is full.
    pub fn admit(&self) -> Option<Permit> {
        let permit = Permit(self.in_flight.clone());
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.max {
            return Some(permit);
        }
        self.counters.slow.inc();
        None
    }

    /// Whether no query is in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Counts a panic that was survived.
    pub fn count_panic(&self) {
        self.counters.panics.inc();
    }

    /// The answer to `packet`; SERVFAIL where finding it panicked.
    pub async fn answer(&self, packet: Vec<u8>, arrival: Arrival, permit: Permit) -> Option<Sent> {
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
