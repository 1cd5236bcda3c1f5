//! A slice: the endpoints of a service, by address and by label.

use super::super::labels::{Label, endpoint_address};
use super::{Family, Port};
use crate::zone::{Address, Addresses, Octets};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// The octets of the longest label in wire form (RFC 1035 section 3.1).
const MAX_LABEL: usize = 64;

/// The ready endpoints of an EndpointSlice.
pub struct Slice {
    /// The object's name.
    pub name: Box<str>,
    /// The key of its service.
    pub service: Octets,
    pub ports: Arc<[Port]>,
    /// Endpoints whose label is made of the address, ascending.
    pub v4: Addresses<Ipv4Addr>,
    pub v6: Addresses<Ipv6Addr>,
    /// Endpoints with a label of their own, if there are any.
    pub named: Option<Box<Named>>,
    /// Where the endpoints are, as far as names ask for that.
    pub topology: Option<Box<Topology>>,
    /// The list of its kind that it was last in; for the model.
    pub seen: AtomicU32,
}

/// Endpoints with labels of their own, each with the offset of its label, by label and address.
#[derive(Debug, PartialEq, Default)]
pub struct Named {
    pub v4: Box<[(Ipv4Addr, u32)]>,
    pub v6: Box<[(Ipv6Addr, u32)]>,
    /// The labels in wire form, one behind the other, ascending.
    pub labels: Box<[u8]>,
}

/// Where endpoints are.
#[derive(Debug, PartialEq, Default)]
pub struct Topology {
    /// The label of the cluster that an imported slice comes from, in wire form; empty for a slice of our own.
    pub cluster: Box<[u8]>,
    /// The zones that endpoints are in, where names may ask for them.
    pub zones: Box<[TopologyZone]>,
}

/// The endpoints in one zone of topology, ascending.
#[derive(Debug, PartialEq)]
pub struct TopologyZone {
    /// The zone's name as labels in wire form, in lower case.
    pub name: Box<[u8]>,
    pub v4: Box<[Ipv4Addr]>,
    pub v6: Box<[Ipv6Addr]>,
}

impl Named {
    /// The label at an offset, in wire form.
    fn label(&self, offset: u32) -> &[u8] {
        let start = offset as usize;
        &self.labels[start..start + 1 + usize::from(self.labels[start])]
    }
}

/// A label that may be an endpoint's.
#[derive(Clone, Copy)]
pub struct EndpointLabel<'a> {
    /// In wire form; of an imported endpoint, with its cluster's label behind it.
    pub wire: &'a [u8],
    /// The label alone, without its length octet.
    own: &'a [u8],
    /// The cluster's label in wire form, empty where there is none.
    cluster: &'a [u8],
    /// The address it would be made of.
    address: Option<IpAddr>,
}

impl<'a> EndpointLabel<'a> {
    /// From one label or two in wire form.
    pub fn new(wire: &'a [u8]) -> EndpointLabel<'a> {
        let (own, cluster) = wire.split_at(1 + usize::from(wire[0]));
        EndpointLabel { wire, own: &own[1..], cluster, address: endpoint_address(&own[1..]) }
    }
}

/// The endpoints of one family in a slice.
#[derive(Clone, Copy)]
pub struct Endpoints<'a, A> {
    /// Those whose label is made of the address, ascending.
    plain: &'a [A],
    /// Those with a label of their own, by label and address.
    named: &'a [(A, u32)],
}

impl<'a, A: Address> Endpoints<'a, A> {
    pub fn len(self) -> usize {
        self.plain.len() + self.named.len()
    }

    pub fn iter(self) -> impl Iterator<Item = A> + use<'a, A> {
        self.plain.iter().copied().chain(self.named.iter().map(|(address, _)| *address))
    }

    pub fn contains(self, address: A) -> bool {
        self.is_plain(address) || self.named.iter().any(|(other, _)| *other == address)
    }

    fn is_plain(self, address: A) -> bool {
        self.plain.binary_search(&address).is_ok()
    }
}

impl Slice {
    /// The endpoints of one family.
    pub fn endpoints<A: Family>(&self) -> Endpoints<'_, A> {
        Endpoints { plain: A::plain(self).as_slice(), named: self.named.as_deref().map(A::named).unwrap_or_default() }
    }

    /// The label of its namespace, which is its service's.
    pub fn namespace(&self) -> &[u8] {
        &self.service[2 + usize::from(self.service[0])..]
    }

    /// How many endpoints it has.
    pub fn len(&self) -> usize {
        self.endpoints::<Ipv4Addr>().len() + self.endpoints::<Ipv6Addr>().len()
    }

    /// The label of the cluster that it comes from, in wire form; empty for a slice of our own.
    pub fn cluster(&self) -> &[u8] {
        self.topology.as_deref().map_or(&[], |topology| &topology.cluster)
    }

    /// The addresses of one family in a zone of topology, ascending.
    fn in_zone<A: Family>(&self, zone: &[u8]) -> &[A] {
        let zones = self.topology.as_deref().map_or(&[][..], |topology| &topology.zones);
        zones.iter().find(|known| *known.name == *zone).map(A::in_zone).unwrap_or_default()
    }

    /// Whether an endpoint of this address is in a zone of topology.
    pub fn is_in_zone<A: Family>(&self, address: A, zone: &[u8]) -> bool {
        self.in_zone::<A>(zone).binary_search(&address).is_ok()
    }

    /// How many endpoints are in a zone of topology.
    pub fn count_in_zone(&self, zone: &[u8]) -> usize {
        let count_v4 = self.endpoints::<Ipv4Addr>().iter().filter(|address| self.is_in_zone(*address, zone)).count();
        let count_v6 = self.endpoints::<Ipv6Addr>().iter().filter(|address| self.is_in_zone(*address, zone)).count();
        count_v4 + count_v6
    }

    /// Calls `visit` with a label of an endpoint, and its cluster's behind it where it has one; both in wire form.
    fn whole<R>(&self, label: &[u8], visit: impl FnOnce(&[u8]) -> R) -> R {
        let cluster = self.cluster();
        if cluster.is_empty() {
            return visit(label);
        }
        let mut both = [0; 2 * MAX_LABEL];
        let len = label.len() + cluster.len();
        both[..label.len()].copy_from_slice(label);
        both[label.len()..len].copy_from_slice(cluster);
        visit(&both[..len])
    }

    /// The addresses of one family that a label stands for.
    pub fn with_label<A: Family>(&self, label: EndpointLabel<'_>) -> impl Iterator<Item = A> {
        let mut endpoints = self.endpoints::<A>();
        if label.cluster != self.cluster() {
            endpoints = Endpoints { plain: &[], named: &[] };
        }
        let plain = label.address.and_then(A::from_ip).filter(|address| endpoints.is_plain(*address));
        let named = self.named.as_deref().map(|named| {
            let text = |offset: u32| &named.label(offset)[1..];
            let wanted = label.own;
            let start = endpoints.named.partition_point(|(_, offset)| text(*offset) < wanted);
            let len = endpoints.named[start..].partition_point(|(_, offset)| text(*offset) == wanted);
            &endpoints.named[start..start + len]
        });
        named.unwrap_or_default().iter().map(|(address, _)| *address).chain(plain)
    }

    /// How many endpoints have this label.
    pub fn count_with_label(&self, label: EndpointLabel<'_>) -> usize {
        self.with_label::<Ipv4Addr>(label).count() + self.with_label::<Ipv6Addr>(label).count()
    }

    /// Calls `visit` with the label (in wire form, as in [`EndpointLabel::wire`]) and address of each endpoint of one
    /// family, until it breaks.
    pub fn each<A: Family>(&self, mut visit: impl FnMut(&[u8], A) -> ControlFlow<()>) -> ControlFlow<()> {
        let endpoints = self.endpoints::<A>();
        for address in endpoints.plain {
            self.whole(Label::of_address(address.ip()).wire(), |label| visit(label, *address))?;
        }
        let Some(named) = &self.named else { return ControlFlow::Continue(()) };
        let mut put = |(address, offset): &(A, u32)| self.whole(named.label(*offset), |label| visit(label, *address));
        endpoints.named.iter().try_for_each(&mut put)
    }

    /// Calls `visit` with each label (in wire form) once, until it breaks.
    pub fn each_label(&self, mut visit: impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        for address in self.v4.as_slice() {
            self.whole(Label::of_address(address.ip()).wire(), &mut visit)?;
        }
        for address in self.v6.as_slice() {
            self.whole(Label::of_address(address.ip()).wire(), &mut visit)?;
        }
        let Some(named) = &self.named else { return ControlFlow::Continue(()) };
        let mut offset = 0;
        while offset < named.labels.len() {
            let label = named.label(offset as u32);
            self.whole(label, &mut visit)?;
            offset += label.len();
        }
        ControlFlow::Continue(())
    }

    /// Calls `visit` with the labels (in wire form) of the endpoints that have this address.
    pub fn labels_of<A: Family>(&self, address: A, mut visit: impl FnMut(&[u8])) {
        let endpoints = self.endpoints::<A>();
        if endpoints.is_plain(address) {
            self.whole(Label::of_address(address.ip()).wire(), &mut visit);
        }
        let Some(named) = &self.named else { return };
        let of_address = endpoints.named.iter().filter(|(other, _)| *other == address);
        of_address.for_each(|(_, offset)| self.whole(named.label(*offset), &mut visit));
    }

    /// Whether another slice says the same of the same service.
    pub fn equals(&self, other: &Slice) -> bool {
        self.service == other.service
            && self.ports == other.ports
            && self.v4 == other.v4
            && self.v6 == other.v6
            && self.named == other.named
            && self.topology == other.topology
    }
}
