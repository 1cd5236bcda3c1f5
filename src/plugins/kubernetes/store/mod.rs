//! What the cluster has, as queries read it: services by name, namespaces, owners of addresses.
//!
//! Nothing here is a record. A service is one entry with its ports, its addresses and its slices; a slice has its
//! addresses as bare octets, and labels only where they are not made of the address. 100,000 endpoints are a few MB.

mod memory;
mod owners;
mod pods;
mod port;
mod serial;
mod service;
mod slice;

pub use memory::PARTS;
pub use owners::Waiting;
pub use port::Port;
pub use serial::Serial;
pub use service::{Kind, Service};
pub use slice::{EndpointLabel, Named, Slice, Topology, TopologyZone};

use crate::zone::{Address, AddressIndex, Addresses, Gathered, Keyed, Table};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shards of the services: an update copies one or two in a cluster of 10,000, twelve in one of 100,000.
const SERVICES: usize = 8192;
/// Shards of addresses: an update copies some hundred pairs of eight octets, and ten times as many in ten times the
/// cluster; a look below a network visits each shard.
const ADDRESSES: usize = 1024;
/// Shards of what is reached from outside, which is little.
const EXTERNAL: usize = 64;
/// Shards of the namespaces.
const NAMESPACES: usize = 64;

/// Everything that queries are answered from. Read without waiting; written by one [`Model`](super::model::Model).
pub struct Store {
    pub namespaces: Table<Arc<Namespace>>,
    pub services: Table<Service>,
    /// Fingerprints of the services that have an address, as their own or as an endpoint's.
    v4: AddressIndex<Ipv4Addr>,
    v6: AddressIndex<Ipv6Addr>,
    /// Ids of the namespaces that have a pod of an address.
    pods_v4: AddressIndex<Ipv4Addr>,
    pods_v6: AddressIndex<Ipv6Addr>,
    /// The fingerprint of the namespace whose pod an address is of: of those that have it, the one that got it last.
    clients_v4: AddressIndex<Ipv4Addr>,
    clients_v6: AddressIndex<Ipv6Addr>,
    pub serial: Serial,
    /// Services as they are reached from outside, where they are: their addresses are those, and there are no slices.
    pub external: Table<Service>,
    /// Fingerprints of the services that have an address outside.
    external_v4: AddressIndex<Ipv4Addr>,
    external_v6: AddressIndex<Ipv6Addr>,
    pub external_serial: Serial,
}

impl Store {
    pub fn new() -> Store {
        Store {
            namespaces: Table::new(NAMESPACES),
            services: Table::new(SERVICES),
            v4: AddressIndex::new(ADDRESSES),
            v6: AddressIndex::new(ADDRESSES),
            pods_v4: AddressIndex::new(ADDRESSES),
            pods_v6: AddressIndex::new(ADDRESSES),
            clients_v4: AddressIndex::new(ADDRESSES),
            clients_v6: AddressIndex::new(ADDRESSES),
            serial: Serial::default(),
            external: Table::new(EXTERNAL),
            external_v4: AddressIndex::new(EXTERNAL),
            external_v6: AddressIndex::new(EXTERNAL),
            external_serial: Serial::default(),
        }
    }

    /// Calls `visit` for the services that may have `address`, until it breaks. The caller checks what it finds.
    pub fn owners_of<A: Family, B>(
        &self,
        address: A,
        mut visit: impl FnMut(&Service) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let owners = A::index(self).owners(address);
        owners.iter().try_for_each(|owner| self.services.with_fingerprint(owner, |service| visit(service)))
    }

    /// The same for those that may be reached at `address` from outside.
    pub fn external_owners_of<A: Family>(&self, address: A, mut visit: impl FnMut(&Service)) {
        for owner in A::external(self).owners(address).iter() {
            let _ = self.external.with_fingerprint(owner, |service| {
                visit(service);
                ControlFlow::<()>::Continue(())
            });
        }
    }

    /// How many pod addresses are known.
    pub fn pod_addresses(&self) -> usize {
        self.pods_v4.count() + self.pods_v6.count()
    }
}

/// A namespace, shared by what is in it.
pub struct Namespace {
    pub label: Box<[u8]>,
    pub id: u32,
    /// Whether the Namespace object itself is known: without it nothing in it exists.
    pub present: AtomicBool,
    /// The list of its kind that it was last in; for the model.
    pub seen: AtomicU32,
}

impl Namespace {
    #[inline]
    pub fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }
}

impl Keyed for Arc<Namespace> {
    fn key(&self) -> &[u8] {
        &self.label
    }
}

/// An address family, as the store keeps both apart.
pub trait Family: Address + std::hash::Hash {
    fn plain(slice: &Slice) -> &Addresses<Self>;
    fn named(named: &Named) -> &[(Self, u32)];
    fn addresses(service: &Service) -> &Addresses<Self>;
    fn index(store: &Store) -> &AddressIndex<Self>;
    fn waiting(waiting: &mut Waiting) -> &mut Gathered<Self>;
    fn pods(store: &Store) -> &AddressIndex<Self>;
    fn clients(store: &Store) -> &AddressIndex<Self>;
    fn external(store: &Store) -> &AddressIndex<Self>;
    fn in_zone(zone: &TopologyZone) -> &[Self];
}

macro_rules! family {
    ($address:ty, $field:ident, $pods:ident, $clients:ident, $external:ident) => {
        impl Family for $address {
            fn plain(slice: &Slice) -> &Addresses<$address> {
                &slice.$field
            }

            fn named(named: &Named) -> &[($address, u32)] {
                &named.$field
            }

            fn addresses(service: &Service) -> &Addresses<$address> {
                &service.$field
            }

            fn index(store: &Store) -> &AddressIndex<$address> {
                &store.$field
            }

            fn waiting(waiting: &mut Waiting) -> &mut Gathered<$address> {
                &mut waiting.$field
            }

            fn pods(store: &Store) -> &AddressIndex<$address> {
                &store.$pods
            }

            fn clients(store: &Store) -> &AddressIndex<$address> {
                &store.$clients
            }

            fn external(store: &Store) -> &AddressIndex<$address> {
                &store.$external
            }

            fn in_zone(zone: &TopologyZone) -> &[$address] {
                &zone.$field
            }
        }
    };
}

family!(Ipv4Addr, v4, pods_v4, clients_v4, external_v4);
family!(Ipv6Addr, v6, pods_v6, clients_v6, external_v6);
