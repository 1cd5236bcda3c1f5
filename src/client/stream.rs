//! Connections, plain or under TLS: a message behind its length (RFC 1035 section 4.2.2).

use super::{Secure, answers};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Opens a connection and asks once.
pub(super) async fn ask(server: SocketAddr, secure: Option<&Secure>, query: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    match secure {
        None => exchange(stream, query).await,
        Some(Secure { config, name }) => {
            exchange(TlsConnector::from(config.clone()).connect(name.clone(), stream).await?, query).await
        }
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    stream.flush().await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    match answers(&reply, query) {
        true => Ok(reply),
        false => Err(io::Error::other("what came back is no reply to the question")),
    }
}
