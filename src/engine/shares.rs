//! What is bounded, and how much of it one client may have: the more is taken, the less.
//!
//! A client may have so much that [`GENEROSITY`] times what is free is not less than what it has: alone it gets eight
//! ninths, of several each gets the same, and a newcomer always finds something (dynamic thresholds: Choudhury and
//! Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). Below a half nobody is ever refused.

use prometheus::Gauge;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many times what is free one client may have.
const GENEROSITY: usize = 8;
/// Clients are told apart by a seeded hash of so many values; two that share one share its part.
const CLIENTS: usize = 1024;

/// Something bounded.
pub(super) struct Shares {
    /// Those of the listeners that are bounded together.
    taken: Arc<AtomicUsize>,
    /// Those of this listener's clients.
    of: [AtomicUsize; CLIENTS],
    seed: foldhash::fast::RandomState,
    gauge: Gauge,
}

/// One of them, given back when dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    client: usize,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// All are taken.
    Full,
    /// This client has more than its part.
    Part,
}

impl Shares {
    /// None taken yet; counted by `gauge`, which other listeners may count by too.
    pub fn new(gauge: Gauge) -> Arc<Shares> {
        Shares::together(Arc::default(), gauge)
    }

    /// The same, bounded together with all that have this `taken`.
    pub fn together(taken: Arc<AtomicUsize>, gauge: Gauge) -> Arc<Shares> {
        let of = std::array::from_fn(|_| AtomicUsize::new(0));
        Arc::new(Shares { taken, of, seed: foldhash::fast::RandomState::default(), gauge })
    }

    /// Takes one of `max` for a client.
    pub fn take(self: &Arc<Shares>, client: IpAddr, max: usize) -> Result<Share, Refusal> {
        let share = Share { shares: self.clone(), client: self.seed.hash_one(client) as usize % CLIENTS };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let own = self.of[share.client].fetch_add(1, Ordering::Relaxed);
        self.gauge.inc();
        // A refused share is dropped, which gives it back.
        match max.saturating_sub(taken) {
            0 => Err(Refusal::Full),
            free if own >= free.saturating_mul(GENEROSITY) => Err(Refusal::Part),
            _ => Ok(share),
        }
    }

    /// Whether this listener has none.
    pub fn is_idle(&self) -> bool {
        self.of.iter().all(|of| of.load(Ordering::Relaxed) == 0)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.of[self.client].fetch_sub(1, Ordering::Relaxed);
        self.shares.taken.fetch_sub(1, Ordering::Relaxed);
        self.shares.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(shares: &Arc<Shares>, client: &str, max: usize) -> (Vec<Share>, Refusal) {
        let client = client.parse().unwrap();
        let mut taken = Vec::new();
        loop {
            match shares.take(client, max) {
                Ok(share) => taken.push(share),
                Err(why) => return (taken, why),
            }
        }
    }

    #[test]
    fn one_client_leaves_some_to_another_and_gets_it_back() {
        let gauge = Gauge::new("test", "A test.").unwrap();
        let shares = Shares::new(gauge.clone());
        let (first, why) = take_all(&shares, "10.0.0.1", 900);
        assert_eq!((first.len(), why), (800, Refusal::Part));
        let (second, why) = take_all(&shares, "10.0.0.2", 900);
        assert_eq!(why, Refusal::Part);
        assert!((80..100).contains(&second.len()), "{}", second.len());
        assert_eq!(gauge.get(), (first.len() + second.len()) as f64);
        drop(first);
        assert_eq!(take_all(&shares, "10.0.0.2", 900).0.len() + second.len(), 800);
        drop(second);
        assert!(shares.is_idle());
        assert_eq!(gauge.get(), 0.0);
    }

    #[test]
    fn many_clients_fill_it_to_the_bound_and_never_past_it() {
        let shares = Shares::new(Gauge::new("test", "A test.").unwrap());
        let taken: Vec<_> = (0..200_u8).map(|last| shares.take([10, 0, 0, last].into(), 100)).collect();
        assert_eq!(taken.iter().filter(|one| one.is_ok()).count(), 100);
        assert!(taken[100..].iter().all(|one| one.as_ref().err() == Some(&Refusal::Full)));
    }
}
