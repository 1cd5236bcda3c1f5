//! Lists of ports, which most services share: each is kept once.

use crate::cluster;
use crate::plugins::kubernetes::store::Port;
use std::collections::HashSet;
use std::sync::Arc;

/// All lists of ports in use.
#[derive(Default)]
pub(super) struct PortLists(HashSet<Arc<[Port]>>);

impl PortLists {
    /// The list of these ports that others have too.
    pub(super) fn intern(&mut self, ports: &[cluster::Port]) -> Arc<[Port]> {
        let lower = |text: &str| text.to_ascii_lowercase().into_boxed_str();
        let ports: Vec<Port> = ports
            .iter()
            .map(|port| Port { name: lower(&port.name), protocol: lower(&port.protocol), number: port.number })
            .collect();
        if let Some(present) = self.0.get(&ports[..]) {
            return Arc::clone(present);
        }
        let ports: Arc<[Port]> = ports.into();
        self.0.insert(Arc::clone(&ports));
        if self.0.len().is_power_of_two() {
            self.forget_unused();
        }
        ports
    }

    /// Forgets the lists that nothing has any more.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|ports| Arc::strong_count(ports) > 1);
    }
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
        assert_eq!((&*first[0].name, &*first[0].protocol), ("http", "tcp"));
        for number in 1..1000 {
            lists.intern(&ports(number));
        }
        lists.forget_unused();
        assert_eq!(lists.0.len(), 1);
    }
}
