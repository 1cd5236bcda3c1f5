//! Copies of queries and their answers, for who looks at them afterwards (`shadow`).
//!
//! A lane copies a sample into a ring made beforehand: it allocates nothing, waits for nobody, and where there is no room
//! the copy is let go and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Octets of the longest query that is copied.
const QUERY: usize = 768;
/// Octets of the longest answer that is copied.
const REPLY: usize = 4096;
/// Copies that may wait.
const SLOTS: usize = 128;

/// A query and its answer, octet for octet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Copy {
    pub query: Vec<u8>,
    pub reply: Vec<u8>,
}

/// The copies of one server block. [`Copies::OCTETS`] on the heap.
pub struct Copies {
    /// A query is copied whose dice show less: its share of 2³².
    threshold: u64,
    /// Copies a second, at most.
    limit: u32,
    open: AtomicBool,
    dropped: AtomicU64,
    ring: Mutex<Ring>,
}

struct Ring {
    slots: Vec<Slot>,
    used: usize,
    second: u64,
    this_second: u32,
}

struct Slot {
    query: [u8; QUERY],
    query_length: usize,
    reply: [u8; REPLY],
    reply_length: usize,
}

const EMPTY: Slot = Slot { query: [0; QUERY], query_length: 0, reply: [0; REPLY], reply_length: 0 };

impl Copies {
    /// Octets that a ring takes.
    pub const OCTETS: usize = SLOTS * size_of::<Slot>();

    /// Copies of this share of the queries, from 0 to 1, at most `limit` a second.
    pub fn new(share: f64, limit: u32) -> Copies {
        let slots = std::iter::repeat_with(|| EMPTY).take(SLOTS).collect();
        Copies {
            threshold: (share.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64,
            limit,
            open: AtomicBool::new(true),
            dropped: AtomicU64::new(0),
            ring: Mutex::new(Ring { slots, used: 0, second: 0, this_second: 0 }),
        }
    }

    /// Whether this query is to be copied; `random` is a lane's dice, whose upper bits are the better ones.
    #[inline]
    pub fn is_due(&self, random: u64) -> bool {
        random >> 32 < self.threshold && self.open.load(Ordering::Relaxed)
    }

    /// Copies a query and its answer in this second.
    #[cold]
    pub fn put(&self, query: &[u8], reply: &[u8], seconds: u64) {
        let put = self.ring.try_lock().is_ok_and(|mut ring| ring.put(query, reply, seconds, self.limit));
        if !put {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes what waits, the oldest first.
    pub fn take(&self) -> Vec<Copy> {
        let mut ring = self.locked();
        let used = std::mem::take(&mut ring.used);
        let copy = |slot: &Slot| Copy {
            query: slot.query[..slot.query_length].to_vec(),
            reply: slot.reply[..slot.reply_length].to_vec(),
        };
        ring.slots[..used].iter().map(copy).collect()
    }

    /// Begins or ends copying. What is copied already stays.
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// How many were due and let go since this was last asked.
    pub fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn locked(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Whether there was room.
    fn put(&mut self, query: &[u8], reply: &[u8], seconds: u64, limit: u32) -> bool {
        if self.second != seconds {
            (self.second, self.this_second) = (seconds, 0);
        }
        if self.this_second >= limit || query.len() > QUERY || reply.len() > REPLY {
            return false;
        }
        let Some(slot) = self.slots.get_mut(self.used) else { return false };
        slot.query[..query.len()].copy_from_slice(query);
        slot.reply[..reply.len()].copy_from_slice(reply);
        (slot.query_length, slot.reply_length) = (query.len(), reply.len());
        self.used += 1;
        self.this_second += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_due_and_none_while_closed() {
        let due = |share: f64| {
            let copies = Copies::new(share, 1);
            (0..1000u64).filter(|n| copies.is_due(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).count()
        };
        assert_eq!((due(0.0), due(1.0)), (0, 1000));
        assert!((150..250).contains(&due(0.2)), "{}", due(0.2));
        let copies = Copies::new(1.0, 1);
        copies.open(false);
        assert!(!copies.is_due(0));
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let copies = Copies::new(1.0, 2);
        (0..3).for_each(|n| copies.put(&[n], b"reply", 7));
        assert_eq!(copies.dropped(), 1, "two a second");
        copies.put(&[3], b"reply", 8);
        let taken: Vec<u8> = copies.take().iter().map(|copy| copy.query[0]).collect();
        assert_eq!((taken, copies.dropped()), (vec![0, 1, 3], 0));
        assert!(copies.take().is_empty());
        copies.put(&[0; QUERY + 1], b"", 9);
        copies.put(b"", &[0; REPLY + 1], 9);
        let held = copies.ring.lock().unwrap();
        copies.put(b"", b"", 9);
        drop(held);
        assert_eq!((copies.take().len(), copies.dropped()), (0, 3));
        let copies = Copies::new(1.0, u32::MAX);
        (0..=SLOTS).for_each(|_| copies.put(b"q", b"r", 1));
        assert_eq!((copies.take().len(), copies.dropped()), (SLOTS, 1));
    }

    // As the manual of `shadow` states it.
    const _: () = assert!(Copies::OCTETS <= 640 * 1024);
}
