//! Pods by their addresses: whether a namespace has one there, and whose an address is.

use super::{Family, Namespace, Store};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Store {
    /// Whether a namespace has a pod of this address.
    pub fn has_pod(&self, address: IpAddr, namespace: &Namespace) -> bool {
        match address {
            IpAddr::V4(address) => has(self, address, namespace),
            IpAddr::V6(address) => has(self, address, namespace),
        }
    }

    /// The namespace of the pod that an address is of: where several have it, of the one that got it last.
    pub fn client(&self, address: IpAddr) -> Option<Arc<Namespace>> {
        match address {
            IpAddr::V4(address) => client(self, address),
            IpAddr::V6(address) => client(self, address),
        }
    }

    /// Notes that a pod has an address, which is its from now on.
    pub fn insert_pod(&self, address: IpAddr, namespace: &Namespace) {
        match address {
            IpAddr::V4(address) => Ipv4Addr::pods(self).insert(address, namespace.id),
            IpAddr::V6(address) => Ipv6Addr::pods(self).insert(address, namespace.id),
        }
        self.set_client(address, Some(namespace));
    }

    /// Notes that a pod has an address no more. True if others have it: whose it is now has to be said.
    pub fn remove_pod(&self, address: IpAddr, namespace: &Namespace) -> bool {
        let is_shared = match address {
            IpAddr::V4(address) => remove(self, address, namespace),
            IpAddr::V6(address) => remove(self, address, namespace),
        };
        if !is_shared {
            self.set_client(address, None);
        }
        is_shared
    }

    /// Says whose an address is.
    pub fn set_client(&self, address: IpAddr, namespace: Option<&Namespace>) {
        match address {
            IpAddr::V4(address) => set_client(self, address, namespace),
            IpAddr::V6(address) => set_client(self, address, namespace),
        }
    }
}

fn has<A: Family>(store: &Store, address: A, namespace: &Namespace) -> bool {
    A::pods(store).owners(address).iter().any(|id| id == namespace.id)
}

fn client<A: Family>(store: &Store, address: A) -> Option<Arc<Namespace>> {
    let owners = A::clients(store).owners(address);
    owners.iter().find_map(|owner| {
        let check = |namespace: &Arc<Namespace>| match has(store, address, namespace) {
            true => ControlFlow::Break(Arc::clone(namespace)),
            false => ControlFlow::Continue(()),
        };
        store.namespaces.with_fingerprint(owner, check).break_value()
    })
}

fn remove<A: Family>(store: &Store, address: A, namespace: &Namespace) -> bool {
    A::pods(store).remove(address, namespace.id);
    A::pods(store).owners(address).iter().next().is_some()
}

fn set_client<A: Family>(store: &Store, address: A, namespace: Option<&Namespace>) {
    let index = A::clients(store);
    let owner = namespace.map(|namespace| store.namespaces.fingerprint(&namespace.label));
    let before = index.owners(address).iter().next();
    if before == owner {
        return;
    }
    if let Some(before) = before {
        index.remove(address, before);
    }
    if let Some(owner) = owner {
        index.insert(address, owner);
    }
}
