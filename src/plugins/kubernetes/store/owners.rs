//! Whose an address is: a service's own, or that of an endpoint of it.

use super::{Family, Store};
use crate::zone::Gathered;
use std::net::{Ipv4Addr, Ipv6Addr};

/// So many addresses may wait for others, eight octets each or twenty: a quarter of a megabyte or more for a moment,
/// and the index, which is copied once for all of them, is copied seldom.
const MOST: usize = 32_768;

/// Addresses of a first list, that readers see with those behind them.
#[derive(Default)]
pub struct Waiting {
    pub(super) v4: Gathered<Ipv4Addr>,
    pub(super) v6: Gathered<Ipv6Addr>,
}

impl Store {
    /// Makes a service, by its fingerprint, own the addresses of `after` where it owned those of `before`. With
    /// `may_wait` readers see them once [`publish`](Store::publish) is called, or many have gathered.
    pub fn set_owner<A: Family>(
        &self,
        waiting: &mut Waiting,
        owner: u32,
        (before, after): (Vec<A>, Vec<A>),
        may_wait: bool,
    ) {
        let (index, gathered) = (A::index(self), A::waiting(waiting));
        if may_wait && before.is_empty() {
            after.into_iter().for_each(|address| index.gather(gathered, address, owner));
            if gathered.count() >= MOST {
                index.publish(gathered);
            }
            return;
        }
        if !before.is_empty() {
            // What is taken away here may be among those that wait.
            index.publish(gathered);
        }
        index.replace(owner, before, after);
    }

    /// Lets readers see what waits.
    pub fn publish(&self, waiting: &mut Waiting) {
        self.v4.publish(&mut waiting.v4);
        self.v6.publish(&mut waiting.v6);
        *waiting = Waiting::default();
    }

    /// How many addresses readers see, each as often as somebody owns it.
    #[cfg(test)]
    pub fn addresses(&self) -> usize {
        self.v4.count() + self.v6.count()
    }
}
