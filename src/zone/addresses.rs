//! Addresses of one family, kept small: most names have one.

use crate::wire::{Answer, Owner, RecordType, Section};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// An IPv4 or IPv6 address as a table holds it.
pub trait Address: Copy + Ord + Send + Sync + 'static {
    /// The record type that carries it.
    const TYPE: RecordType;

    /// The address if it is of this family.
    fn from_ip(ip: IpAddr) -> Option<Self>;

    /// The address of either family.
    fn ip(self) -> IpAddr;

    /// Writes one address record. False if it did not fit.
    fn write(self, answer: &mut Answer<'_, '_>, section: Section, owner: Owner<'_>, ttl: u32) -> bool;
}

impl Address for Ipv4Addr {
    const TYPE: RecordType = RecordType::A;

    fn from_ip(ip: IpAddr) -> Option<Ipv4Addr> {
        match ip {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn ip(self) -> IpAddr {
        self.into()
    }

    #[inline]
    fn write(self, answer: &mut Answer<'_, '_>, section: Section, owner: Owner<'_>, ttl: u32) -> bool {
        answer.a(section, owner, ttl, self)
    }
}

impl Address for Ipv6Addr {
    const TYPE: RecordType = RecordType::AAAA;

    fn from_ip(ip: IpAddr) -> Option<Ipv6Addr> {
        match ip {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    fn ip(self) -> IpAddr {
        self.into()
    }

    #[inline]
    fn write(self, answer: &mut Answer<'_, '_>, section: Section, owner: Owner<'_>, ttl: u32) -> bool {
        answer.aaaa(section, owner, ttl, self)
    }
}

/// Addresses of one family: none, one in place, or several behind a pointer that copies share.
#[derive(Clone, Debug)]
pub enum Addresses<A> {
    /// No address.
    None,
    /// One address.
    One(A),
    /// More than one.
    Many(Arc<[A]>),
}

impl<A: Address> Addresses<A> {
    /// The addresses in their order.
    #[inline]
    pub fn as_slice(&self) -> &[A] {
        match self {
            Addresses::None => &[],
            Addresses::One(address) => std::slice::from_ref(address),
            Addresses::Many(addresses) => addresses,
        }
    }

    /// The addresses of this family among `ips`, in their order.
    pub fn of_family(ips: &[IpAddr]) -> Addresses<A> {
        Addresses::from(ips.iter().filter_map(|ip| A::from_ip(*ip)).collect::<Vec<A>>())
    }
}

impl<A: Address> From<Vec<A>> for Addresses<A> {
    fn from(addresses: Vec<A>) -> Addresses<A> {
        match addresses[..] {
            [] => Addresses::None,
            [address] => Addresses::One(address),
            _ => Addresses::Many(addresses.into()),
        }
    }
}

impl<A: Address> PartialEq for Addresses<A> {
    fn eq(&self, other: &Addresses<A>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_picked_in_order() {
        let ips: Vec<IpAddr> = ["10.0.0.2", "fd00::1", "10.0.0.1"].iter().map(|ip| ip.parse().unwrap()).collect();
        let v4 = Addresses::<Ipv4Addr>::of_family(&ips);
        assert_eq!(v4.as_slice(), [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)]);
        assert!(matches!(Addresses::<Ipv6Addr>::of_family(&ips), Addresses::One(_)));
        assert!(matches!(Addresses::<Ipv6Addr>::of_family(&ips[..1]), Addresses::None));
    }

    #[test]
    fn a_set_of_addresses_is_three_words() {
        assert!(size_of::<Addresses<Ipv4Addr>>() <= 24 && size_of::<Addresses<Ipv6Addr>>() <= 24);
    }
}
