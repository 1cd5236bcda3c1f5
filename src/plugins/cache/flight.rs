//! One upstream query for many clients that miss the same name at the same time.

use crate::plugin::Outcome;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Names that may be in flight at once; more are asked for one by one.
const MOST: usize = 4096;

type Outcomes = watch::Sender<Option<Arc<Outcome>>>;

/// The misses that are being asked for.
#[derive(Default)]
pub(super) struct Flights {
    aloft: Mutex<HashMap<Box<[u8]>, Arc<Outcomes>, foldhash::quality::RandomState>>,
}

/// Who asks.
pub(super) enum Seat {
    /// This one, for all that come meanwhile.
    Leader(Leader),
    /// Another one.
    Follower(Follower),
    /// This one, for itself: too many names are in flight.
    Alone,
}

impl Flights {
    /// Takes a seat in the flight of a key.
    pub fn board(self: &Arc<Self>, key: &[u8]) -> Seat {
        let mut aloft = self.lock();
        if let Some(outcomes) = aloft.get(key) {
            return Seat::Follower(Follower(outcomes.subscribe()));
        }
        if aloft.len() >= MOST {
            return Seat::Alone;
        }
        let outcomes = Arc::new(Outcomes::default());
        aloft.insert(key.into(), outcomes.clone());
        Seat::Leader(Leader { flights: self.clone(), key: key.into(), outcomes })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Outcomes>, foldhash::quality::RandomState>> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that asks. When it is dropped without an outcome, its followers ask for themselves.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: Box<[u8]>,
    outcomes: Arc<Outcomes>,
}

impl Leader {
    /// A follower of this one's own.
    pub fn follow(&self) -> Follower {
        Follower(self.outcomes.subscribe())
    }

    /// Tells the followers, if there are any.
    pub fn land(self, outcome: &Outcome) {
        self.flights.lock().remove(&self.key);
        if self.outcomes.receiver_count() > 0 {
            self.outcomes.send_replace(Some(Arc::new(outcome.clone())));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut aloft = self.flights.lock();
        if aloft.get(&self.key).is_some_and(|outcomes| Arc::ptr_eq(outcomes, &self.outcomes)) {
            aloft.remove(&self.key);
        }
    }
}

/// One that waits.
pub(super) struct Follower(watch::Receiver<Option<Arc<Outcome>>>);

impl Follower {
    /// The leader's outcome; `None` if it went without one.
    pub async fn wait(mut self) -> Option<Arc<Outcome>> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}
