//! Opening the sockets of one address.

use super::system;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// Octets asked for a UDP receive queue; the system's `net.core.rmem_max` bounds them.
const RECEIVE_QUEUE: usize = 4 << 20;
/// How long a worker may wait for room in the send queue: an answer that is later than this is of no use to anybody,
/// and clients on the same link that do not answer ARP must not hold up the others.
const SEND_WAIT: Duration = Duration::from_millis(10);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often a port is drawn that is free for UDP and TCP.
const DRAWS: usize = 16;

/// The sockets of one address.
pub(super) struct Sockets {
    /// One a worker, none where only TCP is spoken; the system spreads the clients over them (SO_REUSEPORT).
    pub udp: Vec<UdpSocket>,
    /// Non-blocking, as tokio wants it.
    pub tcp: TcpListener,
}

/// Opens `workers` UDP sockets and a TCP listener on `address`. Port 0 takes one port that is free for both.
///
/// # Errors
/// What the system says.
pub(super) fn open(address: SocketAddr, workers: usize) -> io::Result<Sockets> {
    if address.port() != 0 {
        return Ok(Sockets { udp: udp_workers(address, workers)?, tcp: tcp(address, true)? });
    }
    let mut draw = 1;
    loop {
        match open_drawn(address, workers) {
            Err(why) if why.kind() == io::ErrorKind::AddrInUse && draw < DRAWS => draw += 1,
            outcome => return outcome,
        }
    }
}

/// Opens `workers` UDP sockets alone.
///
/// # Errors
/// What the system says.
pub(super) fn udp_workers(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    (0..workers.max(1)).map(|_| udp(address, true)).collect()
}

/// Opens a TCP listener alone.
///
/// # Errors
/// What the system says.
pub(super) fn open_tcp(address: SocketAddr) -> io::Result<Sockets> {
    Ok(Sockets { udp: Vec::new(), tcp: tcp(address, address.port() != 0)? })
}

/// Opens one UDP socket alone.
///
/// # Errors
/// What the system says.
pub(super) fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    udp(address, false)
}

/// The system may draw a port of others for a socket with SO_REUSEPORT, so the first one gets that when it is bound.
fn open_drawn(address: SocketAddr, workers: usize) -> io::Result<Sockets> {
    let first = udp(address, false)?;
    socket2::SockRef::from(&first).set_reuse_port(true)?;
    let drawn = first.local_addr()?;
    let tcp = tcp(drawn, false)?;
    let rest = (1..workers).map(|_| udp(drawn, true));
    Ok(Sockets { udp: std::iter::once(Ok(first)).chain(rest).collect::<io::Result<_>>()?, tcp })
}

fn udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if address.ip().is_unspecified() {
        system::ask_packet_information(&socket, address.ip())?;
    }
    socket.set_write_timeout(Some(SEND_WAIT))?;
    // Better with both, but no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_QUEUE);
    let _ = system::forbid_fragments(&socket, address.ip());
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose old connections linger can be bound again.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_port_is_one_for_all_sockets_and_nobody_elses() {
        let open_v4 = || open("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let (one, other) = (open_v4(), open_v4());
        let port = one.tcp.local_addr().unwrap().port();
        assert!(one.udp.iter().all(|socket| socket.local_addr().unwrap().port() == port));
        assert_eq!((one.udp.len(), port != 0), (3, true));
        assert_ne!(other.tcp.local_addr().unwrap().port(), port);
    }

    #[test]
    fn both_families_take_the_same_port() {
        let v4 = open("0.0.0.0:0".parse().unwrap(), 1).unwrap();
        let port = v4.tcp.local_addr().unwrap().port();
        assert!(open(SocketAddr::new("::".parse().unwrap(), port), 2).is_ok());
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let why = open(taken.local_addr().unwrap(), 1).err().unwrap();
        assert_eq!(why.kind(), io::ErrorKind::AddrInUse);
    }
}
