//! What the cluster has, as queries read it: services by name, namespaces, owners of addresses.
//!
//! Nothing here is a record. A service is one entry with its ports, its addresses and its slices; a slice has its
//! addresses as bare octets, and labels only where they are not made of the address. 100,000 endpoints are a few MB.

use super::labels::{Label, endpoint_address};
use super::names::PortFilter;
use crate::wire::Name;
use crate::zone::{Address, AddressIndex, Addresses, Keyed, Table};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shards of the services: an update copies the pointers of about ten in a cluster of 10,000.
const SERVICES: usize = 1024;
/// Shards of addresses: an update copies some hundred pairs of eight octets, a look below a network visits each shard.
const ADDRESSES: usize = 256;
/// Shards of the namespaces.
const NAMESPACES: usize = 64;

/// Everything that queries are answered from. Read without waiting; written by one [`Model`](super::model::Model).
pub(super) struct Store {
    pub(super) namespaces: Table<Namespace>,
    pub(super) services: Table<Service>,
    /// Fingerprints of the services that have an address, as their own or as an endpoint's.
    v4: AddressIndex<Ipv4Addr>,
    v6: AddressIndex<Ipv6Addr>,
    /// Ids of the namespaces that have a pod of an address.
    pods_v4: AddressIndex<Ipv4Addr>,
    pods_v6: AddressIndex<Ipv6Addr>,
    /// Unix seconds of the last change that secondaries would care for, 0 before the first.
    pub(super) serial: AtomicU32,
}

impl Store {
    pub(super) fn new() -> Store {
        Store {
            namespaces: Table::new(NAMESPACES),
            services: Table::new(SERVICES),
            v4: AddressIndex::new(ADDRESSES),
            v6: AddressIndex::new(ADDRESSES),
            pods_v4: AddressIndex::new(ADDRESSES),
            pods_v6: AddressIndex::new(ADDRESSES),
            serial: AtomicU32::new(0),
        }
    }

    /// Calls `visit` for the services that may have `address`, until it breaks. The caller checks what it finds.
    pub(super) fn owners_of<A: Family, B>(
        &self,
        address: A,
        mut visit: impl FnMut(&Service) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let owners = A::index(self).owners(address);
        owners.iter().try_for_each(|owner| self.services.with_fingerprint(owner, |service| visit(service)))
    }

    /// Whether a namespace has a pod of this address.
    pub(super) fn has_pod(&self, address: IpAddr, namespace: &Namespace) -> bool {
        match address {
            IpAddr::V4(address) => self.pods_v4.owners(address).iter().any(|id| id == namespace.id),
            IpAddr::V6(address) => self.pods_v6.owners(address).iter().any(|id| id == namespace.id),
        }
    }
}

/// A namespace, shared by what is in it.
pub(super) struct Namespace {
    pub(super) label: Box<[u8]>,
    pub(super) id: u32,
    /// Whether the Namespace object itself is known: without it nothing in it exists.
    pub(super) present: AtomicBool,
    pub(super) seen: AtomicU32,
}

impl Namespace {
    #[inline]
    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }
}

impl Keyed for Namespace {
    fn key(&self) -> &[u8] {
        &self.label
    }
}

/// A port of a service or slice; name and protocol in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Port {
    pub(super) name: Box<str>,
    pub(super) protocol: Box<str>,
    pub(super) number: u16,
}

impl<'f> PortFilter<'f> {
    #[inline]
    pub(super) fn matches(self, port: &Port) -> bool {
        (self.name.is_empty() || self.name == port.name.as_bytes())
            && (self.protocol.is_empty() || self.protocol == port.protocol.as_bytes())
    }

    /// How many entries an address makes with these ports: one a port, or one for all where there are no ports.
    pub(super) fn entries(self, ports: &[Port]) -> usize {
        match ports {
            [] => usize::from(self.is_any()),
            ports => ports.iter().filter(|port| self.matches(port)).count(),
        }
    }

    /// The numbers of the ports that match, each once.
    pub(super) fn numbers<'p>(self, ports: &'p [Port]) -> impl Iterator<Item = u16> + use<'p, 'f> {
        let is_new = move |at: usize, number: u16| {
            !ports[..at].iter().any(|before| before.number == number && self.matches(before))
        };
        let matching = ports.iter().enumerate().filter(move |(_, port)| self.matches(port));
        matching.filter(move |(at, port)| is_new(*at, port.number)).map(|(_, port)| port.number)
    }
}

/// What a service is to DNS.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// No Service object: its slices are known, its names are not.
    Absent,
    /// With cluster IPs.
    Cluster,
    /// Without (`clusterIP: None`): its addresses are its endpoints'.
    Headless,
    /// An alias of a name.
    External(Box<Name>),
    /// An alias of what is no name, such as an address.
    Unusable,
}

/// A service and its endpoints.
pub(super) struct Service {
    /// The labels of service and namespace, in wire form.
    pub(super) key: Arc<[u8]>,
    pub(super) namespace: Arc<Namespace>,
    pub(super) kind: Kind,
    pub(super) ports: Arc<[Port]>,
    /// The cluster IPs in their order; of a headless service, the addresses of all slices, each once.
    pub(super) v4: Addresses<Ipv4Addr>,
    pub(super) v6: Addresses<Ipv6Addr>,
    pub(super) slices: Box<[Arc<Slice>]>,
    /// Whether an address stands in more than one slice.
    pub(super) overlaps: bool,
    pub(super) seen: AtomicU32,
}

impl Service {
    pub(super) fn has_endpoints(&self) -> bool {
        self.slices.iter().any(|slice| slice.len() > 0)
    }

    pub(super) fn addresses<A: Family>(&self) -> &[A] {
        A::addresses(self).as_slice()
    }

    /// Whether it has records of its own name: a headless one without endpoints does not exist (DNS specification 2.4.1).
    pub(super) fn exists(&self) -> bool {
        match self.kind {
            Kind::Absent | Kind::Unusable => false,
            Kind::Cluster | Kind::External(_) => true,
            Kind::Headless => self.has_endpoints(),
        }
    }
}

impl Keyed for Service {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// The ready endpoints of an EndpointSlice.
pub(super) struct Slice {
    /// The object's name.
    pub(super) name: Box<str>,
    pub(super) namespace: Arc<Namespace>,
    /// The key of its service.
    pub(super) service: Arc<[u8]>,
    pub(super) ports: Arc<[Port]>,
    pub(super) v4: Endpoints<Ipv4Addr>,
    pub(super) v6: Endpoints<Ipv6Addr>,
    /// The labels of named endpoints in wire form, one behind the other.
    pub(super) labels: Box<[u8]>,
    pub(super) seen: AtomicU32,
}

/// A label that may be an endpoint's.
#[derive(Clone, Copy)]
pub(super) struct EndpointLabel<'a> {
    /// With its length octet.
    pub(super) wire: &'a [u8],
    /// The address it would be made of.
    address: Option<IpAddr>,
}

impl<'a> EndpointLabel<'a> {
    /// From the wire form, length octet included.
    pub(super) fn new(wire: &'a [u8]) -> EndpointLabel<'a> {
        EndpointLabel { wire, address: endpoint_address(&wire[1..]) }
    }
}

/// The endpoints of one family in a slice.
#[derive(Debug, PartialEq)]
pub(super) struct Endpoints<A: Address> {
    /// Those whose label is made of the address, ascending.
    pub(super) plain: Addresses<A>,
    /// Those with a label of their own, and its offset in the slice's labels, by label and address.
    pub(super) named: Box<[(A, u32)]>,
}

impl<A: Address> Default for Endpoints<A> {
    fn default() -> Endpoints<A> {
        Endpoints { plain: Addresses::None, named: Box::default() }
    }
}

impl<A: Address> Endpoints<A> {
    pub(super) fn len(&self) -> usize {
        self.plain.as_slice().len() + self.named.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = A> + '_ {
        self.plain.as_slice().iter().copied().chain(self.named.iter().map(|(address, _)| *address))
    }

    pub(super) fn contains(&self, address: A) -> bool {
        self.plain.as_slice().binary_search(&address).is_ok() || self.named.iter().any(|(other, _)| *other == address)
    }
}

impl Slice {
    /// How many endpoints it has.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The label at an offset, in wire form.
    fn label(&self, offset: u32) -> &[u8] {
        let start = offset as usize;
        &self.labels[start..start + 1 + usize::from(self.labels[start])]
    }

    /// The named endpoints of one family with this label.
    fn named<A: Family>(&self, label: &[u8]) -> &[(A, u32)] {
        let named = &A::endpoints(self).named;
        let start = named.partition_point(|(_, offset)| &self.label(*offset)[1..] < label);
        let len = named[start..].partition_point(|(_, offset)| &self.label(*offset)[1..] == label);
        &named[start..start + len]
    }

    /// The addresses of one family that a label stands for.
    pub(super) fn with_label<A: Family>(&self, label: EndpointLabel<'_>) -> impl Iterator<Item = A> {
        let plain = label.address.and_then(A::from_ip);
        let plain = plain.filter(|address| A::endpoints(self).plain.as_slice().binary_search(address).is_ok());
        self.named::<A>(&label.wire[1..]).iter().map(|(address, _)| *address).chain(plain)
    }

    /// How many endpoints have this label.
    pub(super) fn count_with_label(&self, label: EndpointLabel<'_>) -> usize {
        self.with_label::<Ipv4Addr>(label).count() + self.with_label::<Ipv6Addr>(label).count()
    }

    /// Calls `visit` with the label (in wire form) and address of each endpoint of one family, until it breaks.
    pub(super) fn each<A: Family>(&self, mut visit: impl FnMut(&[u8], A) -> ControlFlow<()>) -> ControlFlow<()> {
        let endpoints = A::endpoints(self);
        for address in endpoints.plain.as_slice() {
            visit(Label::of_address(address.ip()).wire(), *address)?;
        }
        endpoints.named.iter().try_for_each(|(address, offset)| visit(self.label(*offset), *address))
    }

    /// Calls `visit` with each label (in wire form) once, until it breaks.
    pub(super) fn each_label(&self, mut visit: impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        for address in self.v4.plain.as_slice() {
            visit(Label::of_address(address.ip()).wire())?;
        }
        for address in self.v6.plain.as_slice() {
            visit(Label::of_address(address.ip()).wire())?;
        }
        let mut offset = 0;
        while offset < self.labels.len() {
            let label = self.label(offset as u32);
            visit(label)?;
            offset += label.len();
        }
        ControlFlow::Continue(())
    }

    /// Calls `visit` with the labels (in wire form) of the endpoints that have this address.
    pub(super) fn labels_of<A: Family>(&self, address: A, mut visit: impl FnMut(&[u8])) {
        let endpoints = A::endpoints(self);
        if endpoints.plain.as_slice().binary_search(&address).is_ok() {
            visit(Label::of_address(address.ip()).wire());
        }
        endpoints
            .named
            .iter()
            .filter(|(other, _)| *other == address)
            .for_each(|(_, offset)| visit(self.label(*offset)));
    }

    /// Whether another slice says the same of the same service.
    pub(super) fn equals(&self, other: &Slice) -> bool {
        self.service == other.service
            && self.ports == other.ports
            && self.v4 == other.v4
            && self.v6 == other.v6
            && self.labels == other.labels
    }
}

/// An address family, as the store keeps both apart.
pub(super) trait Family: Address + std::hash::Hash {
    fn endpoints(slice: &Slice) -> &Endpoints<Self>;
    fn addresses(service: &Service) -> &Addresses<Self>;
    fn index(store: &Store) -> &AddressIndex<Self>;
    fn pods(store: &Store) -> &AddressIndex<Self>;
}

impl Family for Ipv4Addr {
    fn endpoints(slice: &Slice) -> &Endpoints<Ipv4Addr> {
        &slice.v4
    }

    fn addresses(service: &Service) -> &Addresses<Ipv4Addr> {
        &service.v4
    }

    fn index(store: &Store) -> &AddressIndex<Ipv4Addr> {
        &store.v4
    }

    fn pods(store: &Store) -> &AddressIndex<Ipv4Addr> {
        &store.pods_v4
    }
}

impl Family for Ipv6Addr {
    fn endpoints(slice: &Slice) -> &Endpoints<Ipv6Addr> {
        &slice.v6
    }

    fn addresses(service: &Service) -> &Addresses<Ipv6Addr> {
        &service.v6
    }

    fn index(store: &Store) -> &AddressIndex<Ipv6Addr> {
        &store.v6
    }

    fn pods(store: &Store) -> &AddressIndex<Ipv6Addr> {
        &store.pods_v6
    }
}
