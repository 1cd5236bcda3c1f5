//! Waiting longer after each failure, by a random share, so that the replicas of a Deployment do not come back in step.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest that a server's `Retry-After` is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The smallest share of a delay: a random delay of nothing would be no delay.
const SMALLEST_SHARE: u32 = 8;

/// Exponential back-off with full jitter.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// After this long without a failure the next one counts as the first.
    calm: Duration,
    next: Duration,
    last_failure: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration, calm: Duration) -> Backoff {
        Backoff { first, longest, calm, next: first, last_failure: None }
    }

    /// Waits after a failure, longer than the server asked for: it asks all replicas for the same.
    pub(super) async fn wait(&mut self, retry_after: Option<Duration>) {
        let delay = self.delay(Instant::now());
        sleep(delay + retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)).await;
    }

    fn delay(&mut self, now: Instant) -> Duration {
        if self.last_failure.is_some_and(|last| now.duration_since(last) > self.calm) {
            self.next = self.first;
        }
        self.last_failure = Some(now);
        let limit = self.next;
        self.next = (limit * 2).min(self.longest);
        random_between(limit / SMALLEST_SHARE..=limit)
    }
}

/// A random duration. Not for secrets: the randomness is that of a hash map's seed.
pub(super) fn random_between(range: RangeInclusive<Duration>) -> Duration {
    let share = RandomState::new().hash_one(0_u8) >> 40;
    let width = range.end().saturating_sub(*range.start());
    *range.start() + width.mul_f64(share as f64 / (1_u64 << 24) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_longest_and_start_over_after_calm() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5), seconds(60));
        let mut now = Instant::now();
        for limit in [1, 2, 4, 5, 5] {
            let delay = backoff.delay(now);
            assert!(delay <= seconds(limit) && delay >= seconds(limit) / SMALLEST_SHARE, "{delay:?} of {limit}");
            now += seconds(30);
        }
        now += seconds(61);
        assert!(backoff.delay(now) <= seconds(1));
    }

    #[test]
    fn randomness_spreads_over_the_range() {
        let range = Duration::from_secs(300)..=Duration::from_secs(600);
        let drawn: Vec<_> = (0..200).map(|_| random_between(range.clone())).collect();
        assert!(drawn.iter().all(|one| range.contains(one)));
        assert!(drawn.iter().any(|one| one.as_secs() < 400) && drawn.iter().any(|one| one.as_secs() > 500));
    }
}
