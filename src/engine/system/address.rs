//! Addresses in the form in which the kernel tells and takes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The one control message in use: packet information (`ip(7)` IP_PKTINFO, RFC 3542 section 6).
///
/// `info` is `in_pktinfo` (interface, local address, destination) or `in6_pktinfo` (address in four words, interface).
/// The kernel takes for sending the form it gives on receipt, so that the message goes back as it came.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Control {
    header: libc::cmsghdr,
    info: [u32; 5],
}

impl Control {
    /// The address a packet was sent to.
    pub(super) fn local(&self, port: u16) -> SocketAddr {
        if self.header.cmsg_level == libc::IPPROTO_IP {
            return (Ipv4Addr::from(self.info[1].to_ne_bytes()), port).into();
        }
        let address = self.v6();
        SocketAddrV6::new(address, port, 0, if address.is_unicast_link_local() { self.info[4] } else { 0 }).into()
    }

    fn v6(&self) -> Ipv6Addr {
        let mut octets = [0; 16];
        for (four, word) in octets.chunks_exact_mut(4).zip(self.info) {
            four.copy_from_slice(&word.to_ne_bytes());
        }
        octets.into()
    }

    /// Lets routing choose the interface of the reply, as it does for any other packet. Link-local addresses mean
    /// nothing without theirs.
    #[inline]
    pub(super) fn forget_interface(&mut self) {
        if self.header.cmsg_level == libc::IPPROTO_IP {
            self.info[0] = 0;
        } else if !self.v6().is_unicast_link_local() {
            self.info[4] = 0;
        }
    }
}

/// The address in storage that the kernel filled. `sockaddr_in` has its address where `sockaddr_in6` has flow
/// information, and all before it in the same places.
#[inline]
pub(super) fn socket_address(stored: &libc::sockaddr_in6) -> SocketAddr {
    let port = u16::from_be(stored.sin6_port);
    if libc::c_int::from(stored.sin6_family) == libc::AF_INET {
        return (Ipv4Addr::from(stored.sin6_flowinfo.to_ne_bytes()), port).into();
    }
    SocketAddrV6::new(stored.sin6_addr.s6_addr.into(), port, 0, stored.sin6_scope_id).into()
}
