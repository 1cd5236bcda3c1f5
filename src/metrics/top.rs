//! What is asked most, by whom, and what is asked in vain: estimates in bounded memory.
//!
//! The space-saving sketch (Metwally, Agrawal and El Abbadi, 2005) keeps a fixed number of keys. A key that is not among
//! them takes the place of the smallest and inherits its count, which is kept as the new key's possible error. Every key
//! with more than one in `CAPACITY` of the weight is among them, and no count is below the true one.

/// Keys of at most `N` octets, of which `CAPACITY` are kept. Adding allocates nothing and looks at every key, which are
/// few and side by side: faster than a table that is kept in order.
pub(super) struct Top<const N: usize, const CAPACITY: usize> {
    /// Of the keys: two are taken for the same if their hashes are. The hash is seeded and has 64 bits.
    hashes: Box<[u64; CAPACITY]>,
    counts: Box<[u64; CAPACITY]>,
    errors: Box<[u64; CAPACITY]>,
    keys: Box<[Key<N>; CAPACITY]>,
    used: usize,
}

#[derive(Clone, Copy)]
struct Key<const N: usize> {
    octets: [u8; N],
    length: u8,
}

/// A key, the weight it may have at most, and by how much that may be too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub key: &'a [u8],
    pub count: u64,
    pub error: u64,
}

impl<const N: usize, const CAPACITY: usize> Default for Top<N, CAPACITY> {
    fn default() -> Self {
        Top {
            hashes: Box::new([0; CAPACITY]),
            counts: Box::new([0; CAPACITY]),
            errors: Box::new([0; CAPACITY]),
            keys: Box::new([Key { octets: [0; N], length: 0 }; CAPACITY]),
            used: 0,
        }
    }
}

impl<const N: usize, const CAPACITY: usize> Top<N, CAPACITY> {
    /// Octets on the heap.
    pub const OCTETS: usize = CAPACITY * (3 * size_of::<u64>() + size_of::<Key<N>>());

    /// Adds `weight` to a key. What of a key is beyond `N` octets is not kept.
    pub fn add(&mut self, key: &[u8], hash: u64, weight: u64) {
        if let Some(at) = self.hashes[..self.used].iter().position(|known| *known == hash) {
            self.counts[at] += weight;
            return;
        }
        let (at, inherited) = if self.used < CAPACITY {
            self.used += 1;
            (self.used - 1, 0)
        } else {
            let smallest = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
            smallest.map_or((0, 0), |(at, count)| (at, *count))
        };
        self.hashes[at] = hash;
        self.counts[at] = inherited + weight;
        self.errors[at] = inherited;
        let length = key.len().min(N).min(usize::from(u8::MAX));
        self.keys[at].octets[..length].copy_from_slice(&key[..length]);
        self.keys[at].length = length as u8;
    }

    /// The keys, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.used).map(|at| Entry {
            key: &self.keys[at].octets[..usize::from(self.keys[at].length)],
            count: self.counts[at],
            error: self.errors[at],
        })
    }

    /// Halves every count, so that what is long past weighs ever less.
    pub fn halve(&mut self) {
        for count in self.counts[..self.used].iter_mut().chain(&mut self.errors[..self.used]) {
            *count /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(top: &mut Top<8, 4>, key: &str, weight: u64) {
        let hash = key.bytes().fold(1, |hash: u64, octet| hash.wrapping_mul(257) + u64::from(octet));
        top.add(key.as_bytes(), hash, weight);
    }

    fn told(top: &Top<8, 4>) -> Vec<(String, u64, u64)> {
        let mut told: Vec<_> = top
            .entries()
            .map(|entry| (String::from_utf8_lossy(entry.key).into_owned(), entry.count, entry.error))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut top = Top::default();
        for key in ["a", "b", "a", "c", "a"] {
            add(&mut top, key, 1);
        }
        add(&mut top, "b", 10);
        assert_eq!(told(&top), [("a".into(), 3, 0), ("b".into(), 11, 0), ("c".into(), 1, 0)]);
        top.halve();
        assert_eq!(told(&top), [("a".into(), 1, 0), ("b".into(), 5, 0), ("c".into(), 0, 0)]);
    }

    #[test]
    fn a_new_key_inherits_the_smallest_count_as_its_error() {
        let mut top = Top::default();
        for (key, weight) in [("a", 9), ("b", 8), ("c", 7), ("d", 3), ("e", 1)] {
            add(&mut top, key, weight);
        }
        assert_eq!(told(&top), [("a".into(), 9, 0), ("b".into(), 8, 0), ("c".into(), 7, 0), ("e".into(), 4, 3)]);
    }

    #[test]
    fn heavy_keys_survive_a_flood_of_others() {
        let mut top = Top::<8, 4>::default();
        for round in 0..1000 {
            add(&mut top, "heavy", 1);
            add(&mut top, &format!("x{round}"), 1);
        }
        let heavy = told(&top).into_iter().find(|(key, ..)| key == "heavy").unwrap();
        assert!(heavy.1 >= 1000 && heavy.1 - heavy.2 <= 1000, "{heavy:?}");
    }

    #[test]
    fn long_keys_are_cut() {
        let mut top = Top::default();
        add(&mut top, "0123456789", 1);
        assert_eq!(told(&top), [("01234567".into(), 1, 0)]);
    }
}
