//! Addresses of one family, as tables hold them and answers carry them.

use super::Few;
use crate::wire::{Answer, Owner, RecordType, Section};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Addresses of one family.
pub type Addresses<A> = Few<A>;

/// The addresses of one family among `ips`, in their order.
pub fn of_family<A: Address>(ips: &[IpAddr]) -> Addresses<A> {
    ips.iter().filter_map(|ip| A::from_ip(*ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_picked_in_order() {
        let ips: Vec<IpAddr> = ["10.0.0.2", "fd00::1", "10.0.0.1"].iter().map(|ip| ip.parse().unwrap()).collect();
        let v4 = of_family::<Ipv4Addr>(&ips);
        assert_eq!(v4.as_slice(), [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)]);
        assert!(matches!(of_family::<Ipv6Addr>(&ips), Few::One(_)));
        assert!(matches!(of_family::<Ipv6Addr>(&ips[..1]), Few::None));
    }
}
