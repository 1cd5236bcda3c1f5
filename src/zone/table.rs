//! A table that is read without waiting and written a shard at a time.

use arc_swap::{ArcSwap, Guard};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Something a [`Table`] holds, by value: what stands in it needs no further fetch. Copies are made with each update of a
/// neighbour, so they are to be cheap.
pub trait Keyed: Clone {
    /// The octets it is looked up by; the same for its whole life.
    fn key(&self) -> &[u8];
}

type Shard<V> = HashTable<V>;

/// Entries by key, in shards that are replaced whole.
///
/// A reader takes the shard as it is and never waits for a writer. A writer copies one shard, about a thousandth of the
/// table; writers must not run at the same time. The hash is seeded: who chooses the names cannot choose collisions.
pub struct Table<V> {
    seed: RandomState,
    shards: Box<[ArcSwap<Shard<V>>]>,
}

impl<V: Keyed> Table<V> {
    /// An empty table of `shards` shards, a power of two.
    pub fn new(shards: usize) -> Table<V> {
        let empty = Arc::new(Shard::new());
        let shards = (0..shards.next_power_of_two()).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Table { seed: RandomState::default(), shards }
    }

    /// Four octets that stand for a key where the key would be too long. Different keys may share them.
    #[inline]
    pub fn fingerprint(&self, key: &[u8]) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(key);
        hasher.finish() as u32
    }

    /// The place of `key`, as it is now.
    #[inline]
    pub fn view<'k>(&self, key: &'k [u8]) -> View<'k, V> {
        let fingerprint = self.fingerprint(key);
        View { shard: self.shard(fingerprint).load(), hash: spread(fingerprint), key }
    }

    /// A copy of the entry of `key`.
    pub fn get(&self, key: &[u8]) -> Option<V> {
        self.view(key).get().cloned()
    }

    /// Calls `visit` for every entry whose key may have this fingerprint, until it breaks: the caller checks what it finds.
    pub fn with_fingerprint<B>(
        &self,
        fingerprint: u32,
        visit: impl FnMut(&V) -> std::ops::ControlFlow<B>,
    ) -> std::ops::ControlFlow<B> {
        self.shard(fingerprint).load().iter_hash(spread(fingerprint)).try_for_each(visit)
    }

    /// Adds an entry, or replaces the one of the same key.
    pub fn insert(&self, entry: V) {
        let fingerprint = self.fingerprint(entry.key());
        let shard = self.shard(fingerprint);
        let mut changed = Shard::clone(&shard.load());
        let hash = spread(fingerprint);
        match changed.find_mut(hash, |present| present.key() == entry.key()) {
            Some(present) => *present = entry,
            None => {
                changed.insert_unique(hash, entry, |other| spread(self.fingerprint(other.key())));
            }
        }
        shard.store(Arc::new(changed));
    }

    /// Takes the entry of `key` out.
    pub fn remove(&self, key: &[u8]) {
        let fingerprint = self.fingerprint(key);
        let shard = self.shard(fingerprint);
        let mut changed = Shard::clone(&shard.load());
        if let Ok(found) = changed.find_entry(spread(fingerprint), |present| present.key() == key) {
            found.remove();
            changed.shrink_to_fit(|other| spread(self.fingerprint(other.key())));
            shard.store(Arc::new(changed));
        }
    }

    /// Calls `visit` for every entry, shard after shard.
    pub fn for_each(&self, mut visit: impl FnMut(&V)) {
        self.shards.iter().for_each(|shard| shard.load().iter().for_each(&mut visit));
    }

    /// How many entries there are; walks the shards.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Octets of the table itself; what its entries have elsewhere is not in it. Walks the shards.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.shards) + self.shards.iter().map(|shard| shard.load().allocation_size()).sum::<usize>()
    }

    #[inline]
    fn shard(&self, fingerprint: u32) -> &ArcSwap<Shard<V>> {
        &self.shards[fingerprint as usize & (self.shards.len() - 1)]
    }
}

/// The hash inside a shard, whose entries all agree in the fingerprint's low bits.
#[inline]
fn spread(fingerprint: u32) -> u64 {
    let product = u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// One key's place in a [`Table`], held as it was when it was looked up.
pub struct View<'k, V> {
    shard: Guard<Arc<Shard<V>>>,
    hash: u64,
    key: &'k [u8],
}

impl<V: Keyed> View<'_, V> {
    /// The entry, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&V> {
        self.shard.find(self.hash, |entry| entry.key() == self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[derive(Clone)]
    struct Entry(String, u32);

    impl Keyed for Entry {
        fn key(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    fn filled(shards: usize) -> Table<Entry> {
        let table = Table::new(shards);
        (0..500).for_each(|number| table.insert(Entry(format!("name-{number}"), number)));
        table
    }

    #[test]
    fn what_is_inserted_is_found_and_nothing_else() {
        for shards in [1, 16, 1024] {
            let table = filled(shards);
            assert_eq!(table.count(), 500);
            for number in 0..500 {
                assert_eq!(table.get(format!("name-{number}").as_bytes()).map(|entry| entry.1), Some(number));
            }
            assert!(table.get(b"name-500").is_none());
        }
    }

    #[test]
    fn a_second_insert_replaces_and_a_view_keeps_what_it_saw() {
        let table = filled(4);
        let before = table.view(b"name-7");
        table.insert(Entry("name-7".into(), 700));
        assert_eq!(before.get().map(|entry| entry.1), Some(7));
        assert_eq!(table.get(b"name-7").map(|entry| entry.1), Some(700));
        assert_eq!(table.count(), 500);
    }

    #[test]
    fn what_is_removed_is_gone_alone() {
        let table = filled(8);
        table.remove(b"name-3");
        table.remove(b"never there");
        assert_eq!((table.get(b"name-3").is_none(), table.count()), (true, 499));
        let mut sum = 0;
        table.for_each(|entry| sum += entry.1);
        assert_eq!(sum, (0..500).sum::<u32>() - 3);
    }

    #[test]
    fn a_fingerprint_leads_to_its_entry() {
        let table = filled(16);
        for number in 0..500 {
            let name = format!("name-{number}");
            let found = table.with_fingerprint(table.fingerprint(name.as_bytes()), |entry| match entry.0 == name {
                true => ControlFlow::Break(entry.1),
                false => ControlFlow::Continue(()),
            });
            assert_eq!(found, ControlFlow::Break(number));
        }
    }
}
