//! The order in which addresses are sent.

/// A random order of `0..count`, made as it is read.
///
/// Up to 128 items, more than a UDP answer holds, come in any of their orders with the same likelihood (Fisher and
/// Yates). More than that come from a random start in random steps, which spreads clients over them as well.
pub struct Shuffle {
    random: u64,
    count: usize,
    next: usize,
    /// Of few items: what has not come yet, from `next` on.
    places: [u8; FEW],
    /// Of many items: where to go from here.
    step: usize,
    at: usize,
}

const FEW: usize = 128;

impl Shuffle {
    /// A random order of `count` items.
    pub fn new(count: usize, random: u64) -> Shuffle {
        let mut shuffle = Shuffle { random: random | 1, count, next: 0, places: [0; FEW], step: 1, at: 0 };
        if count <= FEW {
            shuffle.places[..count].iter_mut().enumerate().for_each(|(at, place)| *place = at as u8);
        } else {
            shuffle.at = shuffle.below(count);
            shuffle.step += shuffle.below(count - 1);
            while common_divisor(shuffle.step, count) != 1 {
                shuffle.step = shuffle.step % (count - 1) + 1;
            }
        }
        shuffle
    }

    /// A number below `bound`, from xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
    #[inline]
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * bound as u64) >> 32) as usize
    }
}

impl Iterator for Shuffle {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.next == self.count {
            return None;
        }
        let place = if self.count <= FEW {
            let chosen = self.next + self.below(self.count - self.next);
            self.places.swap(self.next, chosen);
            usize::from(self.places[self.next])
        } else {
            let place = self.at;
            self.at = (place + self.step) % self.count;
            place
        };
        self.next += 1;
        Some(place)
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_comes_once() {
        for count in [0, 1, 2, 10, 127, 128, 129, 1000, 4096] {
            for random in [0, 1, 0x1234_5678_9abc_def0, u64::MAX] {
                let mut order: Vec<_> = Shuffle::new(count, random).collect();
                order.sort_unstable();
                assert!(order.into_iter().eq(0..count), "{count} {random}");
            }
        }
    }

    #[test]
    fn every_item_leads_about_as_often() {
        for count in [3, 300] {
            let mut led = vec![0u32; count];
            let mut random = 42u64;
            for _ in 0..100 * count {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                led[Shuffle::new(count, random).next().unwrap()] += 1;
            }
            assert!(led.iter().all(|times| (40..200).contains(times)), "{led:?}");
        }
    }
}
