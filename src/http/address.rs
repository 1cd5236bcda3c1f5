//! From a configured listen address to a bound socket.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Binds `host:port`. An empty host is every address of both families, of IPv4 alone where the system has no IPv6; of
/// the addresses of a name an IPv4 one is taken first. `shared` binds beside a socket of ours that is about to close.
///
/// # Errors
/// No valid address, an unknown name, or what the system says to the bind.
pub(super) async fn bind(address: &str, shared: bool) -> io::Result<TcpListener> {
    let (host, port) = split(address)?;
    if !host.is_empty() {
        return open(resolve(host, port).await?, shared);
    }
    match open((Ipv6Addr::UNSPECIFIED, port).into(), shared) {
        Err(why) if why.kind() != io::ErrorKind::AddrInUse => open((Ipv4Addr::UNSPECIFIED, port).into(), shared),
        outcome => outcome,
    }
}

fn split(address: &str) -> io::Result<(&str, u16)> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let (host, port) = address.rsplit_once(':').ok_or_else(|| invalid("missing port in address"))?;
    let port = port.parse().map_err(|_| invalid("the port is not a number up to 65535"))?;
    match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(Some(host)) => Ok((host, port)),
        None if !host.contains(':') => Ok((host, port)),
        _ => Err(invalid("an IPv6 address needs brackets, as in [::1]:80")),
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let v4 = found.iter().find(|address| address.is_ipv4());
    v4.or(found.first()).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_port() {
        for (address, parts) in [
            (":8080", Some(("", 8080))),
            ("localhost:9153", Some(("localhost", 9153))),
            ("[::1]:80", Some(("::1", 80))),
            ("::1:80", None),
            ("[::1:80", None),
            ("localhost", None),
            ("localhost:http", None),
            (":65536", None),
        ] {
            assert_eq!(split(address).ok(), parts, "{address}");
        }
    }
}
