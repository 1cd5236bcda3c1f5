//! A service: what its name has.

use super::super::names::PortFilter;
use super::{Family, Namespace, Port, Slice};
use crate::wire::Name;
use crate::zone::{Addresses, Few, Keyed, Octets};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a service is to DNS.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
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

/// A service and its endpoints. What a query for its addresses reads stands in front, in one cache line where there is
/// one IPv4 address.
#[repr(C, align(64))]
pub struct Service {
    /// The labels of service and namespace, in wire form.
    pub key: Octets,
    pub kind: Kind,
    pub namespace: Arc<Namespace>,
    /// The cluster IPs in their order; of a headless service, the addresses of all slices, each once.
    pub v4: Addresses<Ipv4Addr>,
    pub v6: Addresses<Ipv6Addr>,
    pub ports: Arc<[Port]>,
    pub slices: Few<Arc<Slice>>,
    /// Whether an address stands in more than one slice.
    pub overlaps: bool,
    /// The list of its kind that it was last in; for the model.
    pub seen: AtomicU32,
}

impl Service {
    pub fn slices(&self) -> &[Arc<Slice>] {
        self.slices.as_slice()
    }

    pub fn has_endpoints(&self) -> bool {
        self.slices().iter().any(|slice| slice.len() > 0)
    }

    pub fn addresses<A: Family>(&self) -> &[A] {
        A::addresses(self).as_slice()
    }

    /// The zone of topology that a name is narrowed to; `None` for all endpoints, where it prefers a zone without any.
    pub fn zone<'z>(&self, zone: &'z [u8], prefer: bool) -> Option<&'z [u8]> {
        Some(zone).filter(|zone| !prefer || self.slices().iter().any(|slice| slice.count_in_zone(zone) > 0))
    }

    /// Whether it has records of its own name: a headless one without endpoints does not exist (DNS specification 2.4.1).
    pub fn exists(&self) -> bool {
        match self.kind {
            Kind::Absent | Kind::Unusable => false,
            Kind::Cluster | Kind::External(_) => true,
            Kind::Headless => self.has_endpoints(),
        }
    }

    /// Whether names below the service's may exist.
    pub fn has_parts(&self) -> bool {
        matches!(self.kind, Kind::Cluster | Kind::Headless)
    }

    /// Whether a port of this name and protocol has an address: the service's own ports where it has cluster IPs, else
    /// those of its slices.
    pub fn has_port(&self, filter: PortFilter<'_>) -> bool {
        match self.kind {
            Kind::Cluster => filter.entries(&self.ports) > 0,
            Kind::Headless => self.slices().iter().any(|slice| slice.len() > 0 && filter.entries(&slice.ports) > 0),
            _ => false,
        }
    }

    /// Whether a label is the protocol of a named port: nothing is at `_tcp.web…` itself, but there is below it.
    pub fn has_protocol(&self, label: &[u8]) -> bool {
        let Some(protocol) = label.strip_prefix(b"_").filter(|protocol| !protocol.is_empty()) else { return false };
        let named =
            |ports: &[Port]| ports.iter().any(|port| !port.name.is_empty() && port.protocol.as_bytes() == protocol);
        match self.kind {
            Kind::Cluster => named(&self.ports),
            Kind::Headless => self.slices().iter().any(|slice| slice.len() > 0 && named(&slice.ports)),
            _ => false,
        }
    }
}

impl Clone for Service {
    fn clone(&self) -> Service {
        Service {
            key: self.key.clone(),
            namespace: Arc::clone(&self.namespace),
            kind: self.kind.clone(),
            ports: Arc::clone(&self.ports),
            v4: self.v4.clone(),
            v6: self.v6.clone(),
            slices: self.slices.clone(),
            overlaps: self.overlaps,
            seen: AtomicU32::new(self.seen.load(Ordering::Relaxed)),
        }
    }
}

impl Keyed for Service {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn what_most_questions_read_is_one_cache_line() {
        let single = Addresses::One(Ipv4Addr::new(1, 2, 3, 4));
        let Few::One(address) = &single else { unreachable!() };
        let place = std::ptr::from_ref(address) as usize - std::ptr::from_ref(&single) as usize;
        assert!(offset_of!(Service, v4) + place + 4 <= 64);
        assert_eq!((align_of::<Service>(), size_of::<Service>()), (64, 192));
    }
}
