//! The task beside the queries: takes copies, asks the target, compares; leaves the target alone while it is slow.

use super::results::{Outcome, Results};
use crate::client::Server;
use crate::comparison::{Ttl, Verdict, compare};
use crate::plugin::{Copies, Copy};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often copies are taken.
const TICK: Duration = Duration::from_millis(50);
/// Questions in flight.
const IN_FLIGHT: usize = 64;
/// Failures in a row after which the target is left alone.
const FAILURES: u32 = 5;
/// For how long at first, and at most.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// How long the target has to hear of a change that we know.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Asking {
    pub server: Server,
    pub timeout: Duration,
    pub copies: Arc<Copies>,
    pub results: Arc<Results>,
}

impl Asking {
    /// Until it is aborted; what is in flight then ends with it.
    pub(super) async fn run(self: Arc<Self>) {
        let mut flying = JoinSet::new();
        let mut breaker = Breaker::default();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.results.paused(None);
        loop {
            tokio::select! {
                Some(done) = flying.join_next(), if !flying.is_empty() => {
                    if let Ok(outcome) = done {
                        let failed = self.results.count(outcome);
                        if let Some(pause) = breaker.note(failed) {
                            self.copies.open(false);
                            self.results.paused(Some(pause));
                        }
                    }
                }
                _ = tick.tick() => {
                    if breaker.ends_pause() {
                        self.copies.open(true);
                    }
                    let mut copies = self.copies.take();
                    let room = match breaker.state {
                        State::Closed => IN_FLIGHT.saturating_sub(flying.len()),
                        State::Trying => usize::from(flying.is_empty()),
                        State::Open(_) => 0,
                    };
                    let dropped = copies.len().saturating_sub(room) as u64 + self.copies.dropped();
                    copies.truncate(room);
                    self.results.dropped(dropped);
                    self.results.say();
                    for copy in copies {
                        flying.spawn(Arc::clone(&self).ask(copy));
                    }
                }
            }
            if breaker.is_well_again() {
                self.results.paused(None);
            }
        }
    }

    /// Asks the target what we were asked. What differs is asked again a little later.
    async fn ask(self: Arc<Self>, mut copy: Copy) -> Outcome {
        // An id of our own: the client's may be known to others.
        if let Some(id) = copy.query.first_chunk_mut() {
            *id = rand::random::<u16>().to_be_bytes();
        }
        let mut verdict = None;
        for pause in [Duration::ZERO, SETTLE] {
            sleep(pause).await;
            match self.server.ask(&copy.query, self.timeout).await {
                Ok(theirs) => {
                    let compared = compare(&copy.query, &theirs, &copy.reply, Ttl::Remaining);
                    let is_different = matches!(compared, Verdict::Different(_));
                    verdict = Some(compared);
                    if !is_different {
                        break;
                    }
                }
                Err(_) => return Outcome { copy, verdict: None },
            }
        }
        Outcome { copy, verdict }
    }
}

/// When the target is left alone.
#[derive(Default)]
struct Breaker {
    state: State,
    failures: u32,
    /// How often in a row it has been left alone.
    pauses: u32,
    /// An answer came after a pause.
    recovered: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    #[default]
    Closed,
    /// Nothing is asked before then.
    Open(Instant),
    /// One question decides.
    Trying,
}

impl Breaker {
    /// Notes how a question went: the pause that begins, if one does.
    fn note(&mut self, failed: bool) -> Option<Duration> {
        match (failed, self.state) {
            (_, State::Open(_)) => None,
            (false, state) => {
                self.recovered = state == State::Trying;
                (self.state, self.failures, self.pauses) = (State::Closed, 0, 0);
                None
            }
            (true, state) => {
                self.failures += 1;
                if state == State::Closed && self.failures < FAILURES {
                    return None;
                }
                let [first, most] = PAUSE;
                let pause = most.min(first * 2u32.saturating_pow(self.pauses.min(10)));
                self.pauses += 1;
                self.state = State::Open(Instant::now() + pause);
                Some(pause)
            }
        }
    }

    /// Whether a pause ends now: one question may try.
    fn ends_pause(&mut self) -> bool {
        let ends = matches!(self.state, State::Open(until) if until <= Instant::now());
        if ends {
            self.state = State::Trying;
        }
        ends
    }

    /// Once after a pause.
    fn is_well_again(&mut self) -> bool {
        std::mem::take(&mut self.recovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_and_end_with_an_answer() {
        let mut breaker = Breaker::default();
        assert!((1..FAILURES).all(|_| breaker.note(true).is_none()));
        assert_eq!(breaker.note(true), Some(PAUSE[0]));
        assert!(!breaker.ends_pause() && breaker.note(true).is_none(), "late failures change nothing");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            breaker.state = State::Open(Instant::now());
            assert!(breaker.ends_pause() && breaker.state == State::Trying);
            pauses.extend(breaker.note(true).map(|pause| pause.as_secs()));
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        breaker.state = State::Trying;
        assert!(breaker.note(false).is_none() && breaker.is_well_again() && !breaker.is_well_again());
        assert!(breaker.state == State::Closed && breaker.note(true).is_none());
    }
}
