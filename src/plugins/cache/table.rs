//! The table: eight entries a set, found by one hash, each behind a lock that nobody who reads waits for, and that is held
//! for as long as it takes to count one more user of an entry.
//!
//! Slots that are read without a lock (`ArcSwap`) were a tenth of what a miss takes: whoever stores an entry has to look
//! at what each thread is reading, and there is a thread for each processor and address.
//!
//! A query name is chosen by attackers, so the hash is seeded; whoever finds collisions anyway evicts at most eight
//! entries. Writers, which stand in the slow lane behind an upstream's answer, take turns.

use super::entry::{Entry, Key, Span};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

const WAYS: usize = 8;
/// Octets an entry may have on average before the table is full by memory instead of by count: answers of a resolver
/// are 100 to 300 octets, so only an attack or a zone of giants comes here.
const MEAN_SIZE: usize = 2048;

/// Entries of one class, in a bounded number and a bounded amount of memory.
pub(super) struct Table {
    sets: Box<[Set]>,
    capacity: usize,
    /// Seconds for which an expired entry is still worth its place.
    window: u64,
    writing: Mutex<()>,
    entries: AtomicUsize,
    octets: AtomicUsize,
    evictions: AtomicU64,
}

#[derive(Default)]
struct Set {
    /// The hashes of the entries, 0 for none, in one cache line: a miss touches nothing else.
    tags: [AtomicU64; WAYS],
    /// The entries' [`Span`]s, for writers: looking at eight entries would be eight fetches from memory.
    spans: [AtomicU64; WAYS],
    slots: [Slot; WAYS],
}

/// The place of one entry.
#[derive(Default)]
struct Slot(RwLock<Option<Arc<Entry>>>);

impl Table {
    /// A table for `capacity` entries, rounded up to whole sets, that are worth their place for `window` seconds beyond
    /// their time.
    pub fn new(capacity: usize, window: u64) -> Table {
        let sets = capacity.div_ceil(WAYS).max(1);
        Table {
            sets: (0..sets).map(|_| Set::default()).collect(),
            capacity: sets * WAYS,
            window,
            writing: Mutex::new(()),
            entries: AtomicUsize::new(0),
            octets: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The entry of a key, expired or not; `None` also in the moment in which it is replaced.
    #[inline]
    pub fn find(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        let set = self.set(key.hash);
        (0..WAYS).filter(|way| set.tags[*way].load(Acquire) == key.hash).find_map(|way| set.slots[way].entry_for(key))
    }

    /// Puts an entry in the place of the one with its key, of none, of an expired one, or of any in its set.
    /// False if there is no memory for it.
    pub fn insert(&self, key: &Key<'_>, entry: Entry, now: u64) -> bool {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let set = self.set(key.hash);
        let way = match set.way_of(key).or_else(|| set.free_way(now)) {
            Some(way) => way,
            None => {
                self.evictions.fetch_add(1, Relaxed);
                // The hash's bits below those that choose the set, stirred by what is evicted: as good as dice here.
                (key.hash ^ self.evictions.load(Relaxed)) as usize % WAYS
            }
        };
        let size = entry.size();
        if self.octets.load(Relaxed) + size > self.capacity * MEAN_SIZE {
            // Make room in this set only: over time every set that is written to gives back what it holds too much of.
            (0..WAYS).for_each(|way| self.clear(set, way));
            if self.octets.load(Relaxed) + size > self.capacity * MEAN_SIZE {
                return false;
            }
        }
        set.spans[way].store(entry.span(self.window).packed(), Relaxed);
        self.put(set, way, Some(Arc::new(entry)));
        self.entries.fetch_add(1, Relaxed);
        self.octets.fetch_add(size, Relaxed);
        set.tags[way].store(key.hash, Release);
        true
    }

    /// Takes the entry of a key out.
    pub fn remove(&self, key: &Key<'_>) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let set = self.set(key.hash);
        if let Some(way) = set.way_of(key) {
            self.clear(set, way);
        }
    }

    /// How many entries there are, expired ones that nothing has replaced included.
    pub fn entries(&self) -> usize {
        self.entries.load(Relaxed)
    }

    /// Octets of memory that the entries take, about.
    pub fn octets(&self) -> usize {
        self.octets.load(Relaxed)
    }

    /// How many live entries had to go for others.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    fn clear(&self, set: &Set, way: usize) {
        if set.tags[way].load(Relaxed) != 0 {
            self.put(set, way, None);
        }
    }

    /// Puts an entry, or none, in the place of what is there.
    fn put(&self, set: &Set, way: usize, entry: Option<Arc<Entry>>) {
        set.tags[way].store(0, Release);
        if let Some(gone) = set.slots[way].replace(entry) {
            self.entries.fetch_sub(1, Relaxed);
            self.octets.fetch_sub(gone.size(), Relaxed);
        }
    }

    fn set(&self, hash: u64) -> &Set {
        // The high bits, spread over any number of sets.
        &self.sets[((u128::from(hash) * self.sets.len() as u128) >> 64) as usize]
    }
}

impl Set {
    fn way_of(&self, key: &Key<'_>) -> Option<usize> {
        (0..WAYS).find(|way| self.tags[*way].load(Relaxed) == key.hash && self.slots[*way].entry_for(key).is_some())
    }

    fn free_way(&self, now: u64) -> Option<usize> {
        let is_over = |way: usize| Span::unpacked(self.spans[way].load(Relaxed)).is_over(now);
        (0..WAYS).find(|way| self.tags[*way].load(Relaxed) == 0 || is_over(*way))
    }
}

impl Slot {
    /// The entry, if it is the answer of this key. `None` also while it is being replaced: a miss costs less than to wait.
    #[inline(never)] // Inlined, it stands eight times in the loop over a set, which is what a miss runs through.
    fn entry_for(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        let entry = match self.0.try_read() {
            Ok(entry) => entry,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        entry.as_ref().filter(|entry| entry.is_for(key)).cloned()
    }

    /// Puts an entry, or none, here. Returns what was, which is let go of behind the lock.
    fn replace(&self, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), entry)
    }
}
