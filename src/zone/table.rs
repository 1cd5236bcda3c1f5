//! A table that is read without waiting and written a shard at a time.

use crate::wire::same;
use arc_swap::{ArcSwap, Guard};
use foldhash::quality::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Something a [`Table`] holds, by value: what stands in it needs no further fetch. Copies are made with each update of a
/// neighbour, so they are to be cheap.
pub trait Keyed: Clone {
    /// The octets it is looked up by; the same for its whole life.
    fn key(&self) -> &[u8];
}

/// Entries by key, in shards that are replaced whole.
///
/// A reader takes the shard as it is and never waits for a writer. A writer copies one shard, about a thousandth of the
/// table; writers must not run at the same time. The hash is seeded: who chooses the names cannot choose collisions.
pub struct Table<V> {
    seed: RandomState,
    shards: Box<[ArcSwap<Shard<V>>]>,
}

/// Tags that stand in the same cache line as the way to the entries: so many words of so many.
const NEAR: usize = WORDS * TAGS;
const WORDS: usize = 4;
const TAGS: usize = 4;

/// Some entries, few enough to look at the tags of all: a tag is the part of the fingerprint that does not choose the
/// shard. What is asked at random is fetched from memory twice, this and the entry.
#[repr(C, align(64))]
struct Shard<V> {
    /// The tags of the first entries, zeroes behind them.
    near: [u16; NEAR],
    entries: Box<[V]>,
    /// The tags of the others.
    far: Box<[u16]>,
}

impl<V: Keyed> Table<V> {
    /// An empty table of `shards` shards, a power of two up to 65,536.
    pub fn new(shards: usize) -> Table<V> {
        let empty = Arc::new(Shard::new([].into(), &[]));
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
        View { shard: self.shard(fingerprint).load(), tag: tag(fingerprint), key }
    }

    /// A copy of the entry of `key`.
    pub fn get(&self, key: &[u8]) -> Option<V> {
        self.view(key).get().cloned()
    }

    /// Calls `visit` for every entry whose key may have this fingerprint, until it breaks: the caller checks what it
    /// finds.
    pub fn with_fingerprint<B>(&self, fingerprint: u32, mut visit: impl FnMut(&V) -> ControlFlow<B>) -> ControlFlow<B> {
        let shard = self.shard(fingerprint).load();
        shard.tagged(tag(fingerprint)).try_for_each(|(_, entry)| visit(entry))
    }

    /// Adds an entry, or replaces the one of the same key.
    pub fn insert(&self, entry: V) {
        let fingerprint = self.fingerprint(entry.key());
        let shard = self.shard(fingerprint);
        let present = shard.load();
        let place = present.place(tag(fingerprint), entry.key());
        shard.store(Arc::new(present.with(place, tag(fingerprint), Some(entry))));
    }

    /// Takes the entry of `key` out.
    pub fn remove(&self, key: &[u8]) {
        let fingerprint = self.fingerprint(key);
        let shard = self.shard(fingerprint);
        let present = shard.load();
        let place = present.place(tag(fingerprint), key);
        if place.is_some() {
            shard.store(Arc::new(present.with(place, tag(fingerprint), None)));
        }
    }

    /// Calls `visit` for every entry, shard after shard.
    pub fn for_each(&self, mut visit: impl FnMut(&V)) {
        self.shards.iter().for_each(|shard| shard.load().entries.iter().for_each(&mut visit));
    }

    /// How many entries there are; walks the shards.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().entries.len()).sum()
    }

    /// Octets of the table itself; what its entries have elsewhere is not in it. Walks the shards.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.shards) + self.shards.iter().map(|shard| shard.load().octets()).sum::<usize>()
    }

    #[inline]
    fn shard(&self, fingerprint: u32) -> &ArcSwap<Shard<V>> {
        &self.shards[fingerprint as usize & (self.shards.len() - 1)]
    }
}

#[inline]
fn tag(fingerprint: u32) -> u16 {
    (fingerprint >> 16) as u16
}

impl<V: Keyed> Shard<V> {
    fn new(entries: Box<[V]>, tags: &[u16]) -> Shard<V> {
        let (first, others) = tags.split_at(tags.len().min(NEAR));
        let mut near = [0; NEAR];
        near[..first.len()].copy_from_slice(first);
        Shard { near, entries, far: others.into() }
    }

    fn octets(&self) -> usize {
        size_of_val(self) + size_of_val(&*self.entries) + size_of_val(&*self.far)
    }

    /// The entries that may have a tag, and where they stand.
    #[inline]
    fn tagged(&self, tag: u16) -> impl Iterator<Item = (usize, &V)> {
        let mut near = self.near_with(tag);
        let mut far = self.far.iter();
        std::iter::from_fn(move || {
            if near != 0 {
                let bit = near.trailing_zeros() as usize;
                near &= near - 1;
                return Some(bit % WORDS * TAGS + bit / u16::BITS as usize);
            }
            let skipped = self.far.len() - far.len();
            far.position(|far| *far == tag).map(|at| NEAR + skipped + at)
        })
        // Where there is no entry the tag is none either.
        .filter_map(|at| Some((at, self.entries.get(at)?)))
    }

    /// A bit for each near tag that is this one, and for some that are not: four at a time by the arithmetic of one
    /// word, in which a zero borrows from its neighbour (Mycroft's test for a zero octet). The tag `at` of word `word`
    /// has bit `16 * at + word`.
    #[inline]
    fn near_with(&self, tag: u16) -> u64 {
        const ONES: u64 = 0x0001_0001_0001_0001;
        let wanted = u64::from(tag) * ONES;
        let (words, _) = self.near.as_chunks::<TAGS>();
        words.iter().enumerate().fold(0, |found, (word, tags)| {
            let [a, b, c, d] = tags.map(u64::from);
            let differs = (a | b << 16 | c << 32 | d << 48) ^ wanted;
            let equal = differs.wrapping_sub(ONES) & !differs & ONES << 15;
            found | equal >> (15 - word)
        })
    }

    #[inline]
    fn find(&self, tag: u16, key: &[u8]) -> Option<(usize, &V)> {
        self.tagged(tag).find(|(_, entry)| same(entry.key(), key))
    }

    fn place(&self, tag: u16, key: &[u8]) -> Option<usize> {
        self.find(tag, key).map(|(at, _)| at)
    }

    /// A copy with this entry in a place or, without a place, at the end; without an entry, the place is given up.
    fn with(&self, place: Option<usize>, tag: u16, entry: Option<V>) -> Shard<V> {
        let len = self.entries.len();
        let at = place.unwrap_or(len);
        let behind = len.min(at + 1);
        let mut entries = Vec::with_capacity(len + usize::from(entry.is_some()) - usize::from(place.is_some()));
        let mut tags: Vec<u16> = self.near[..len.min(NEAR)].iter().chain(&self.far).copied().collect();
        tags.splice(at..behind, entry.is_some().then_some(tag));
        entries.extend_from_slice(&self.entries[..at]);
        entries.extend(entry);
        entries.extend_from_slice(&self.entries[behind..]);
        Shard::new(entries.into(), &tags)
    }
}

/// One key's place in a [`Table`], held as it was when it was looked up.
pub struct View<'k, V> {
    shard: Guard<Arc<Shard<V>>>,
    tag: u16,
    key: &'k [u8],
}

impl<V: Keyed> View<'_, V> {
    /// The entry, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&V> {
        self.shard.find(self.tag, self.key).map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
