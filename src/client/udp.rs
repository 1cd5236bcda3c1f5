//! Datagrams: sent again until an answer comes.

use super::answers;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Asks until an answer comes; the query goes out again each `pause`.
pub(super) async fn ask(server: SocketAddr, query: &[u8], pause: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        socket.send(query).await?;
        if let Ok(length) = tokio::time::timeout(pause, answer(&socket, query, &mut buffer)).await {
            buffer.truncate(length?);
            return Ok(buffer);
        }
    }
}

/// Waits for the reply to this query; what else comes is passed over.
async fn answer(socket: &UdpSocket, query: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let length = socket.recv(buffer).await?;
        if answers(&buffer[..length], query) {
            return Ok(length);
        }
    }
}
