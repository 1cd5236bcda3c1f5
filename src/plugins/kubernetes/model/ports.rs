//! Lists of ports, which most services share: each is kept once.

use crate::cluster;
use crate::plugins::kubernetes::store::Port;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// All lists of ports in use.
#[derive(Default)]
pub(super) struct PortLists {
    seed: RandomState,
    /// Each with its hash.
    lists: HashTable<(u64, Arc<[Port]>)>,
}

impl PortLists {
    /// The list of these ports that others have too. Where there is one, nothing is allocated to find it.
    pub(super) fn intern(&mut self, ports: &[cluster::Port]) -> Arc<[Port]> {
        let hash = hash(&self.seed, ports);
        let is_same = |(kept, port): (&Port, &cluster::Port)| {
            kept.number == port.number
                && kept.name.eq_ignore_ascii_case(&port.name)
                && kept.protocol.eq_ignore_ascii_case(&port.protocol)
        };
        let are_same =
            |(_, kept): &(u64, Arc<[Port]>)| kept.len() == ports.len() && kept.iter().zip(ports).all(is_same);
        if let Some((_, present)) = self.lists.find(hash, are_same) {
            return Arc::clone(present);
        }
        let lower = |text: &str| text.to_ascii_lowercase().into_boxed_str();
        let ports: Arc<[Port]> = ports
            .iter()
            .map(|port| Port { name: lower(&port.name), protocol: lower(&port.protocol), number: port.number })
            .collect();
        self.lists.insert_unique(hash, (hash, Arc::clone(&ports)), |(hash, _)| *hash);
        if self.lists.len().is_power_of_two() {
            self.forget_unused();
        }
        ports
    }

    /// Forgets the lists that nothing has any more.
    pub(super) fn forget_unused(&mut self) {
        self.lists.retain(|(_, ports)| Arc::strong_count(ports) > 1);
    }
}

/// Of names, protocols and numbers; upper case counts as lower.
fn hash(seed: &RandomState, ports: &[cluster::Port]) -> u64 {
    let mut hasher = seed.build_hasher();
    for cluster::Port { name, protocol, number } in ports {
        for text in [name, protocol] {
            text.bytes().for_each(|octet| hasher.write_u8(octet.to_ascii_lowercase()));
            hasher.write_u8(0);
        }
        hasher.write_u16(*number);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(number: u16) -> Vec<cluster::Port> {
        vec![cluster::Port { name: "HTTP".into(), number, protocol: "TCP".into() }]
    }

    #[test]
    fn equal_lists_are_one_and_unused_ones_go() {
        let mut lists = PortLists::default();
        let (first, second) = (lists.intern(&ports(80)), lists.intern(&ports(80)));
        assert!(Arc::ptr_eq(&first, &second));
        let lower = vec![cluster::Port { name: "http".into(), number: 80, protocol: "tcp".into() }];
        assert!(Arc::ptr_eq(&first, &lists.intern(&lower)));
        let others = [ports(81), Vec::new(), [ports(80), ports(80)].concat()].map(|other| lists.intern(&other));
        assert!(others.iter().all(|other| !Arc::ptr_eq(&first, other)));
        drop(others);
        assert_eq!((&*first[0].name, &*first[0].protocol), ("http", "tcp"));
        for number in 1..1000 {
            lists.intern(&ports(number));
        }
        lists.forget_unused();
        assert_eq!(lists.lists.len(), 1);
    }
}
