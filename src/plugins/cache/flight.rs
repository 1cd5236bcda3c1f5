//! One upstream query for many clients that miss the same name at the same time.

use crate::plugin::Outcome;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Names that may be in flight at once; more are asked for one by one.
const MOST: usize = 4096;

type Outcomes = watch::Sender<Option<Arc<Outcome>>>;
/// What is told to the followers of a key's flight, once it has any.
type Aloft = HashMap<Arc<[u8]>, Option<Outcomes>, foldhash::quality::RandomState>;

/// The misses that are being asked for.
#[derive(Default)]
pub(super) struct Flights {
    aloft: Mutex<Aloft>,
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
        if let Some(outcomes) = aloft.get_mut(key) {
            return Seat::Follower(Follower(outcomes.get_or_insert_default().subscribe()));
        }
        if aloft.len() >= MOST {
            return Seat::Alone;
        }
        let key = Arc::<[u8]>::from(key);
        aloft.insert(key.clone(), None);
        Seat::Leader(Leader { flights: self.clone(), key, has_landed: false })
    }

    fn lock(&self) -> MutexGuard<'_, Aloft> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that asks. When it is dropped without an outcome, its followers ask for themselves.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: Arc<[u8]>,
    has_landed: bool,
}

impl Leader {
    /// A follower of this one's own.
    pub fn follow(&self) -> Follower {
        let mut aloft = self.flights.lock();
        Follower(aloft.entry(self.key.clone()).or_default().get_or_insert_default().subscribe())
    }

    /// Tells the followers, if there are any.
    pub fn land(mut self, outcome: &Outcome) {
        self.has_landed = true;
        // Not in the condition: it would hold the lock while the followers are told.
        let outcomes = self.flights.lock().remove(&self.key).flatten();
        if let Some(outcomes) = outcomes {
            outcomes.send_replace(Some(Arc::new(outcome.clone())));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.has_landed {
            self.flights.lock().remove(&self.key);
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
