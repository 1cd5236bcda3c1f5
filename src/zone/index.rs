//! From an address to its owners, for reverse look-ups: sorted arrays instead of an entry an address.

use super::Address;
use arc_swap::{ArcSwap, Guard};
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// An address and one owner of it.
type Pair<A> = (A, u32);
/// Sorted pairs.
type Shard<A> = Box<[Pair<A>]>;

/// Pairs that wait until they are published together, each with those of its shard: a shard is copied once for all of
/// them, and not once for each.
pub struct Gathered<A> {
    shards: Vec<Vec<Pair<A>>>,
    count: usize,
}

impl<A> Default for Gathered<A> {
    fn default() -> Gathered<A> {
        Gathered { shards: Vec::new(), count: 0 }
    }
}

impl<A> Gathered<A> {
    /// How many wait.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Owners by address. An owner is four octets whose meaning is the caller's; it may own an address more than once.
///
/// Eight octets an IPv4 address, twenty an IPv6 one. Read without waiting; one writer at a time, whose update copies a
/// shard, about a thousandth of the index.
pub struct AddressIndex<A> {
    seed: RandomState,
    shards: Box<[ArcSwap<Shard<A>>]>,
}

impl<A: Address + std::hash::Hash> AddressIndex<A> {
    /// An empty index of `shards` shards, a power of two.
    pub fn new(shards: usize) -> AddressIndex<A> {
        let empty = Arc::new(Box::default());
        let shards = (0..shards.next_power_of_two()).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        AddressIndex { seed: RandomState::default(), shards }
    }

    /// The owners of `address`, as they are now.
    pub fn owners(&self, address: A) -> Owners<A> {
        let shard = self.shard(address).load();
        let start = shard.partition_point(|(other, _)| *other < address);
        let end = start + shard[start..].partition_point(|(other, _)| *other == address);
        Owners { shard, range: start..end }
    }

    /// Whether an address from `first` to `last` has an owner that `counts`. Looks into every shard, so this is no
    /// question for every query.
    pub fn any_between(&self, first: A, last: A, mut counts: impl FnMut(u32) -> bool) -> bool {
        self.shards.iter().any(|shard| {
            let shard = shard.load();
            let start = shard.partition_point(|(address, _)| *address < first);
            shard[start..].iter().take_while(|(address, _)| *address <= last).any(|(_, owner)| counts(*owner))
        })
    }

    /// Notes that `owner` has `address`, once more.
    pub fn insert(&self, address: A, owner: u32) {
        let shard = self.shard(address);
        let present = shard.load();
        let at = present.partition_point(|pair| *pair < (address, owner));
        let mut changed = Vec::with_capacity(present.len() + 1);
        changed.extend_from_slice(&present[..at]);
        changed.push((address, owner));
        changed.extend_from_slice(&present[at..]);
        shard.store(Arc::new(changed.into()));
    }

    /// Notes the same, to be seen by readers once it is published.
    pub fn gather(&self, gathered: &mut Gathered<A>, address: A, owner: u32) {
        gathered.shards.resize_with(self.shards.len(), Vec::new);
        gathered.shards[self.place(address)].push((address, owner));
        gathered.count += 1;
    }

    /// Lets readers see what has been gathered.
    pub fn publish(&self, gathered: &mut Gathered<A>) {
        for (shard, pairs) in self.shards.iter().zip(&mut gathered.shards).filter(|(_, pairs)| !pairs.is_empty()) {
            pairs.sort_unstable();
            let mut all = [&shard.load()[..], pairs].concat();
            if all.len() > pairs.len() {
                // Two ascending runs, which this merges.
                all.sort();
            }
            shard.store(Arc::new(all.into()));
            pairs.clear();
        }
        gathered.count = 0;
    }

    /// Notes that `owner` has `address` once less.
    pub fn remove(&self, address: A, owner: u32) {
        let shard = self.shard(address);
        let present = shard.load();
        if let Ok(at) = present.binary_search(&(address, owner)) {
            shard.store(Arc::new([&present[..at], &present[at + 1..]].concat().into()));
        }
    }

    /// Makes `owner` have the addresses of `after` where it had those of `before`. Both are sorted here.
    pub fn replace(&self, owner: u32, mut before: Vec<A>, mut after: Vec<A>) {
        before.sort_unstable();
        after.sort_unstable();
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (Some(gone), next) if next.is_none_or(|next| *gone < *next) => {
                    self.remove(**gone, owner);
                    old.next();
                }
                (next, Some(come)) if next.is_none_or(|next| *come < *next) => {
                    self.insert(**come, owner);
                    new.next();
                }
                (Some(_), Some(_)) => {
                    old.next();
                    new.next();
                }
                _ => return,
            }
        }
    }

    /// How many pairs there are; walks the shards.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Octets of the index; walks the shards.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.shards) + self.count() * size_of::<Pair<A>>()
    }

    fn shard(&self, address: A) -> &ArcSwap<Shard<A>> {
        &self.shards[self.place(address)]
    }

    fn place(&self, address: A) -> usize {
        self.seed.hash_one(address) as usize & (self.shards.len() - 1)
    }
}

/// The owners of one address, held as they were when they were looked up.
pub struct Owners<A> {
    shard: Guard<Arc<Shard<A>>>,
    range: std::ops::Range<usize>,
}

impl<A> Owners<A> {
    /// The owners, each once, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let pairs = &self.shard[self.range.clone()];
        let distinct = |(at, pair): (usize, &Pair<A>)| (at == 0 || pairs[at - 1].1 != pair.1).then_some(pair.1);
        pairs.iter().enumerate().filter_map(distinct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn owners(index: &AddressIndex<Ipv4Addr>, last: u8) -> Vec<u32> {
        index.owners(address(last)).iter().collect()
    }

    #[test]
    fn an_owner_counts_how_often_it_has_an_address() {
        let index = AddressIndex::new(2);
        [(1, 7), (2, 7), (1, 7), (1, 3), (255, 9)]
            .iter()
            .for_each(|(last, owner)| index.insert(address(*last), *owner));
        assert_eq!((owners(&index, 1), owners(&index, 2), owners(&index, 3)), (vec![3, 7], vec![7], vec![]));
        index.remove(address(1), 7);
        assert_eq!(owners(&index, 1), [3, 7]);
        index.remove(address(1), 7);
        index.remove(address(1), 7);
        assert_eq!((owners(&index, 1), index.count()), (vec![3], 3));
    }

    #[test]
    fn what_is_gathered_is_seen_once_it_is_published_beside_what_was_there() {
        let (index, one_by_one, mut gathered) = (AddressIndex::new(2), AddressIndex::new(2), Gathered::default());
        for round in 0..3 {
            for last in [9, 1, 5, 1, 200].map(|last| last + round) {
                index.gather(&mut gathered, address(last), u32::from(round));
                one_by_one.insert(address(last), u32::from(round));
            }
            index.insert(address(5), 77);
            one_by_one.insert(address(5), 77);
            assert!(!owners(&index, 9 + round).contains(&u32::from(round)));
            assert_eq!(gathered.count(), 5);
            index.publish(&mut gathered);
            assert_eq!((gathered.count(), index.count()), (0, one_by_one.count()));
            for last in 0..=255 {
                assert_eq!(owners(&index, last), owners(&one_by_one, last), "{last}");
            }
        }
    }

    #[test]
    fn owners_are_found_by_network() {
        let index = AddressIndex::new(4);
        [(1, 7), (2, 8), (9, 9)].iter().for_each(|(last, owner)| index.insert(address(*last), *owner));
        let any = |first, last, owner| index.any_between(address(first), address(last), |other| other == owner);
        assert!(any(0, 255, 7) && any(2, 2, 8) && any(3, 9, 9));
        assert!(!any(0, 255, 1) && !any(2, 255, 7) && !any(3, 8, 9) && !any(10, 255, 9));
    }

    #[test]
    fn replacing_touches_the_difference_only() {
        let index = AddressIndex::new(4);
        let list = |lasts: &[u8]| lasts.iter().map(|last| address(*last)).collect::<Vec<_>>();
        index.replace(1, vec![], list(&[5, 1, 3, 3]));
        index.insert(address(3), 2);
        let untouched = index.shard(address(1)).load_full();
        index.replace(1, list(&[5, 1, 3, 3]), list(&[3, 1, 9]));
        assert_eq!([1, 3, 5, 9].map(|last| owners(&index, last).len()), [1, 2, 0, 1]);
        index.replace(1, list(&[3, 1, 9]), list(&[1]));
        assert_eq!([1, 3, 5, 9].map(|last| owners(&index, last).len()), [1, 1, 0, 0]);
        assert_eq!(index.count(), 2);
        drop(untouched);
    }
}
