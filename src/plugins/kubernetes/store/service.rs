//! A service: what its name has.

use super::{Family, Namespace, Port, Slice};
use crate::wire::Name;
use crate::zone::{Addresses, Few, Keyed};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

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

/// A service and its endpoints.
pub struct Service {
    /// The labels of service and namespace, in wire form.
    pub key: Arc<[u8]>,
    pub namespace: Arc<Namespace>,
    pub kind: Kind,
    pub ports: Arc<[Port]>,
    /// The cluster IPs in their order; of a headless service, the addresses of all slices, each once.
    pub v4: Addresses<Ipv4Addr>,
    pub v6: Addresses<Ipv6Addr>,
    pub slices: Few<Arc<Slice>>,
    /// Whether an address stands in more than one slice.
    pub overlaps: bool,
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

    /// Whether it has records of its own name: a headless one without endpoints does not exist (DNS specification 2.4.1).
    pub fn exists(&self) -> bool {
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
