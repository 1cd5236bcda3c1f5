//! How a plugin meets the fast lane: as a source of bytes, or as a shape on them.

use crate::wire::{Message, Name, Query, Rcode, UDP_PAYLOAD};

/// Something that answers from memory, with bytes, without waiting: a zone store or the answer cache.
///
/// An answer is a pure function of the query, the context and the store. It allocates nothing and never logs.
pub trait Source: Send + Sync {
    /// Answers `query` into `out`, or says who should.
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict;

    /// What an answer to this name is made of, for an operator who asks: `Service default/web`. May allocate.
    fn object(&self, _query: &Query<'_>) -> Option<String> {
        None
    }
}

/// What a source says to a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// This many octets of the buffer are the answer.
    Answered(usize),
    /// Not this source's to answer: the next in the chain is asked.
    Pass,
    /// The first `len` octets of the buffer are an answer of CNAME records alone. What the last one points to stands
    /// whole at the offset `target`, and is another's to answer.
    Alias {
        /// Octets of the answer.
        len: usize,
        /// Where the target's name starts.
        target: usize,
    },
    /// This source's to answer, but only in the slow lane (a chase through an upstream).
    Slow,
}

/// A source that has no answers: the queries it picks need the slow lane.
pub(super) struct Gate<P>(pub P);

impl<P: Fn(&Query<'_>) -> bool + Send + Sync> Source for Gate<P> {
    #[inline]
    fn answer(&self, query: &Query<'_>, _: &Context, _: &mut [u8]) -> Verdict {
        if (self.0)(query) { Verdict::Slow } else { Verdict::Pass }
    }
}

/// What a source needs beside the query.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The octets an answer may have for this client and transport, already the smaller of what both sides take.
    pub limit: usize,
    /// What other plugins of the block make of answers.
    pub shape: Shape,
    /// The clock and the dice.
    pub moment: Moment,
}

/// The time and randomness of one query, read once a batch and stirred once a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Seconds since the Unix epoch.
    pub seconds: u64,
    /// Random bits for rotation and shuffling; not for secrets.
    pub random: u64,
}

/// What plugins of a block make of the answers of its sources (`loadbalance`, `bufsize`, `cache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Address records come in random order (`loadbalance`).
    pub shuffle: bool,
    /// The largest UDP answer in octets, 512 to 4096 (`bufsize`; 1232).
    pub udp_payload: u16,
    /// The one TTL rule of `cache`, where it covers the name asked.
    pub ttl: Option<TtlRule>,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { shuffle: false, udp_payload: UDP_PAYLOAD, ttl: None }
    }
}

/// `cache` gives every record of an answer one TTL: the smallest in it, held to these ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlRule {
    /// For answers with data; `None` where `disable success` leaves TTLs as they are.
    pub positive: TtlRange,
    /// For NXDOMAIN, NODATA and errors.
    pub negative: TtlRange,
}

/// Seconds from `min` to `max`; where `min` is above `max`, `max` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TtlRange {
    pub min: u32,
    pub max: u32,
}

impl TtlRule {
    /// Gives all records of an answer one TTL, as the cache would have if the answer had come through it.
    pub fn hold(&self, message: &mut Message) {
        let Some(lowest) = message.sections().into_iter().flatten().map(|record| record.ttl).min() else { return };
        let is_positive = message.rcode() == Rcode::NOERROR && !message.answers.is_empty();
        let ttl = if is_positive { self.positive.hold(lowest) } else { self.negative.hold(lowest) };
        message.sections_mut().into_iter().flatten().for_each(|record| record.ttl = ttl);
    }
}

impl TtlRange {
    /// The TTL to send for a smallest TTL of `ttl`.
    pub fn hold(self, ttl: u32) -> u32 {
        ttl.max(self.min).min(self.max)
    }
}

/// The zones in which a TTL rule holds.
#[derive(Clone, Debug)]
pub(super) struct ZonedTtl {
    pub zones: Vec<Name>,
    pub rule: TtlRule,
}
