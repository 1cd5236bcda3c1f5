//! What a socket is told about packets: the address they came to, and whether they may be cut.

use super::set_option;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// The port of a peer that a socket has in name only: that of the discard protocol (RFC 863).
const NOBODY: u16 = 9;

/// Leaves what comes from now on to the other sockets of its port; what is queued can still be received and answered. A
/// connected socket is passed over for whoever is not its peer.
///
/// # Errors
/// What the system says.
pub(in crate::engine) fn hand_over(socket: &UdpSocket) -> io::Result<()> {
    socket.connect(SocketAddr::new(socket.local_addr()?.ip(), NOBODY))
}

/// Asks for the packet information that [`Batch::receive`](super::Batch::receive) reads; a socket bound to one address
/// does not need it.
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

#[cfg(test)]
mod tests {
    use super::super::super::sockets::udp_workers;
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_hands_over_keeps_what_is_queued_and_gets_nothing_more() {
        const CLIENTS: usize = 40;
        for (from, to) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "0.0.0.0")] {
            let open = |address: &str, port| {
                let address: IpAddr = address.parse().unwrap();
                let socket = udp_workers((address, port).into(), 1).unwrap().remove(0);
                socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                socket
            };
            let first = open(from, 0);
            let at = ("127.0.0.1", first.local_addr().unwrap().port());
            let clients: Vec<_> = (0..CLIENTS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            let all_ask = || clients.iter().for_each(|client| assert_eq!(client.send_to(b"?", at).unwrap(), 1));
            let come = |socket: &UdpSocket| (0..CLIENTS).filter(|_| socket.recv(&mut [0; 8]).is_ok()).count();
            all_ask();
            let second = open(to, at.1);
            hand_over(&first).unwrap();
            all_ask();
            assert_eq!((come(&second), come(&first)), (CLIENTS, CLIENTS), "{from} to {to}");
            // It can still answer.
            first.send_to(b"!", clients[0].local_addr().map(|client| ("127.0.0.1", client.port())).unwrap()).unwrap();
            assert_eq!(clients[0].recv(&mut [0; 8]).unwrap(), 1);
        }
    }
}
