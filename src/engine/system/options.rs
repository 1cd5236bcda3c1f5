//! What a socket is told about packets: the address they came to, and whether they may be cut.

use super::set_option;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

/// Asks for the packet information that [`Batch::receive`](super::Batch::receive) reads; a socket bound to one address does not need it.
///
/// # Errors
/// What the system says.
pub(in crate::engine) fn ask_packet_information(socket: &impl AsRawFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Sends replies that nobody may cut, and heeds no ICMP message that says how large they may be: it may be forged (RFC
/// 9715 section 3.1, R2). A packet that is never cut needs no identification, for which the kernel hashes and counts.
///
/// # Errors
/// What the system says.
pub(in crate::engine) fn forbid_fragments(socket: &impl AsRawFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    }
}

/// Lets replies be cut that are longer than the link takes, as a `bufsize` above its MTU asks for; ICMP messages still
/// say nothing.
pub(super) fn allow_fragments(socket: &impl AsRawFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    }
}
