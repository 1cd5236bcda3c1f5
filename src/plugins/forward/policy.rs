//! In which order upstreams are tried.

use rand::seq::SliceRandom;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// `policy` of `forward`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Policy {
    /// Any order, for every query anew.
    #[default]
    Random,
    /// Each query begins one further than the one before.
    RoundRobin,
    /// As written: the next only where the one before fails.
    Sequential,
}

impl Policy {
    /// The policy of a word.
    pub fn from_word(word: &str) -> Option<Policy> {
        match word {
            "random" => Some(Policy::Random),
            "round_robin" => Some(Policy::RoundRobin),
            "sequential" => Some(Policy::Sequential),
            _ => None,
        }
    }

    /// The order of `count` upstreams for the next query; `turn` is how many came before.
    pub fn order(self, count: usize, turn: &AtomicUsize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        match self {
            Policy::Sequential => {}
            _ if count < 2 => {}
            Policy::Random => order.shuffle(&mut rand::rng()),
            Policy::RoundRobin => order.rotate_left(turn.fetch_add(1, Relaxed) % count),
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let turn = AtomicUsize::new(0);
        assert_eq!(Policy::Sequential.order(3, &turn), [0, 1, 2]);
        assert_eq!(Policy::RoundRobin.order(3, &turn), [0, 1, 2]);
        assert_eq!(Policy::RoundRobin.order(3, &turn), [1, 2, 0]);
        let firsts: std::collections::HashSet<_> = (0..100).map(|_| Policy::Random.order(3, &turn)[0]).collect();
        assert_eq!(firsts.len(), 3);
    }
}
