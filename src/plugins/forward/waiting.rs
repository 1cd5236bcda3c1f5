//! The queries that wait for a reply on one socket, by id.

use super::case::{self, Case, Judgement};
use super::message::{Outgoing, is_bare_error, truncated_stub};
use crate::wire::{HEADER, ReplyView, with_room};
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

struct Slot {
    query: Arc<Outgoing>,
    /// The case it was sent in, where that is not the client's.
    pattern: Option<u64>,
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
    pub fn enter(&self, query: &Arc<Outgoing>, pattern: Option<u64>) -> Option<(u16, oneshot::Receiver<Arrival>)> {
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
        slots.by_id.insert(id, Slot { query: query.clone(), pattern, sender });
        Some((id, receiver))
    }

    /// A query waits no longer.
    pub fn leave(&self, id: u16) {
        self.lock().by_id.remove(&id);
    }

    /// Hands a packet to the query it answers. False if it answers none and is to be ignored. Where `case` is what is
    /// known of the upstream, the question's case has to be the one that was sent.
    pub fn deliver(&self, packet: &[u8], case: Option<&Case>) -> bool {
        let Some(id) = packet.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return false };
        let mut slots = self.lock();
        let Some(slot) = slots.by_id.get(&id) else { return false };
        let question = slot.query.question();
        let arrival = match ReplyView::parse(packet) {
            Some(view) if is_bare_error(&view) => Arrival::Reply(with_room(view.octets())),
            Some(view) => {
                let Some(exact) = same_question(question, view.question(), slot.pattern) else { return false };
                match case.map_or(Judgement::Take, |case| case.judge(exact)) {
                    Judgement::Take => Arrival::Reply(with_room(view.octets())),
                    Judgement::AskAgain => Arrival::CaseDiffers,
                }
            }
            None => {
                let seen = packet.get(HEADER..HEADER + question.len()).unwrap_or_default();
                let is_exact = same_question(question, seen, slot.pattern) == Some(true);
                match truncated_stub(packet, question).filter(|_| is_exact) {
                    Some(stub) => Arrival::Reply(stub),
                    None => return false,
                }
            }
        };
        if let Some(slot) = slots.by_id.remove(&id) {
            // It may have stopped waiting this very moment.
            let _ = slot.sender.send(arrival);
        }
        true
    }

    /// Tells one that waits that it could not be sent.
    pub fn fail_one(&self, id: u16, reason: &str) {
        if let Some(slot) = self.lock().by_id.remove(&id) {
            let _ = slot.sender.send(Arrival::Broken(reason.into()));
        }
    }

    /// Whether a query with this id waits.
    pub fn has(&self, id: u16) -> bool {
        self.lock().by_id.contains_key(&id)
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

/// Whether a question is the one asked; if so, whether in the case it was sent in.
fn same_question(question: &[u8], seen: &[u8], pattern: Option<u64>) -> Option<bool> {
    let (name, fixed) = question.split_at_checked(question.len().checked_sub(4)?)?;
    let (seen_name, seen_fixed) = seen.split_at_checked(seen.len().checked_sub(4)?)?;
    if fixed == seen_fixed { case::compare(name, seen_name, pattern) } else { None }
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
