//! The queries that wait for a reply on one socket, by id.

use super::message::{Outgoing, is_bare_error, truncated_stub};
use crate::wire::ReplyView;
use hashbrown::HashMap;
use rand::RngExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Queries that may wait on one socket: far fewer than there are ids, so that a free one is found by guessing and an
/// attacker who guesses as well has little to hit.
const MOST: usize = 4096;

/// What comes for a query that waits.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A reply to its question.
    Reply(Vec<u8>),
    /// A reply to its question in another case: to be asked again over TCP, where nobody can guess.
    CaseDiffers,
    /// The socket failed, for this reason.
    Broken(Arc<str>),
}

/// How strictly a reply's question is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// Octet for octet: whoever forges a reply has to know the client's case too.
    Exact,
    /// Names have no case.
    AnyCase,
}

struct Slot {
    query: Arc<Outgoing>,
    sender: oneshot::Sender<Arrival>,
}

#[derive(Default)]
struct Slots {
    by_id: HashMap<u16, Slot, foldhash::fast::RandomState>,
    closed: bool,
}

/// The table of one socket.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Slots>);

impl Waiting {
    /// Gives a query a random id that no other has here. `None` if the table is closed or full.
    pub fn enter(&self, query: &Arc<Outgoing>) -> Option<(u16, oneshot::Receiver<Arrival>)> {
        let mut slots = self.lock();
        if slots.closed || slots.by_id.len() >= MOST {
            return None;
        }
        let mut random = rand::rng();
        let mut id: u16 = random.random();
        while slots.by_id.contains_key(&id) {
            id = random.random();
        }
        let (sender, receiver) = oneshot::channel();
        slots.by_id.insert(id, Slot { query: query.clone(), sender });
        Some((id, receiver))
    }

    /// A query waits no longer.
    pub fn leave(&self, id: u16) {
        self.lock().by_id.remove(&id);
    }

    /// Hands a packet to the query it answers. False if it answers none and is to be ignored.
    pub fn deliver(&self, packet: &[u8], compare: Compare) -> bool {
        let Some(id) = packet.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return false };
        let mut slots = self.lock();
        let Some(slot) = slots.by_id.get(&id) else { return false };
        let question = slot.query.question();
        let arrival = match ReplyView::parse(packet) {
            Some(view) if view.question_is(question) || is_bare_error(&view) => Arrival::Reply(view.octets().to_vec()),
            Some(view) if !view.question_matches(question) => return false,
            Some(view) if compare == Compare::AnyCase => Arrival::Reply(view.octets().to_vec()),
            Some(_) => Arrival::CaseDiffers,
            None => match truncated_stub(packet, question) {
                Some(stub) => Arrival::Reply(stub),
                None => return false,
            },
        };
        if let Some(slot) = slots.by_id.remove(&id) {
            // It may have stopped waiting this very moment.
            let _ = slot.sender.send(arrival);
        }
        true
    }

    /// Tells all that wait that the socket failed.
    pub fn fail(&self, reason: &str) {
        let failed = std::mem::take(&mut self.lock().by_id);
        let reason: Arc<str> = reason.into();
        for slot in failed.into_values() {
            let _ = slot.sender.send(Arrival::Broken(reason.clone()));
        }
    }

    /// Lets nobody in any more, and fails those that wait.
    pub fn close(&self, reason: &str) {
        self.lock().closed = true;
        self.fail(reason);
    }

    /// Whether nobody may enter.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the table when the query stops waiting, however that happens.
pub(super) struct Ticket<'a> {
    pub waiting: &'a Waiting,
    pub id: u16,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.leave(self.id);
    }
}
