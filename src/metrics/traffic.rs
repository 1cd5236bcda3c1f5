//! The counters that every packet touches.

use crate::wire::{Rcode, RecordType};
use std::sync::Arc;
use std::time::Duration;

/// The transport label of `coredns_dns_requests_total`; DoT and DoH count as TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
}

/// The family label: 1 for IPv4, 2 for IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

/// The counters of one server block on one listener, summed over its shards when scraped.
pub struct Traffic;

impl Traffic {
    /// A shard for one writer (a worker thread). Shards of ended writers keep their counts.
    pub fn shard(self: &Arc<Self>) -> TrafficShard {
        unimplemented!()
    }

    /// Counts one answered query from any thread (the slow lane, TCP).
    #[allow(clippy::too_many_arguments)]
    pub fn record_shared(
        &self,
        _transport: Transport,
        _family: Family,
        _qtype: RecordType,
        _dnssec_ok: bool,
        _request: usize,
        _response: usize,
        _rcode: Rcode,
        _took: Duration,
    ) {
        unimplemented!()
    }
}

/// One writer's counters. Recording is a few plain stores: no atomic read-modify-write, no clock, no allocation.
pub struct TrafficShard;

impl TrafficShard {
    /// Counts one answered query but for its duration; sizes are octets.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    pub fn record(
        &mut self,
        _transport: Transport,
        _family: Family,
        _qtype: RecordType,
        _dnssec_ok: bool,
        _request: usize,
        _response: usize,
        _rcode: Rcode,
    ) {
        unimplemented!()
    }

    /// Counts the duration of the `queries` recorded since the last call: one clock read a batch.
    pub fn record_durations(&mut self, _queries: u64, _each: Duration) {
        unimplemented!()
    }
}
