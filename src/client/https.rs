//! A POST over HTTP/2 (RFC 8484).

use super::{Secure, answers};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The path that servers have.
const PATH: &str = "/dns-query";

/// Opens a connection and asks once.
pub(super) async fn ask(
    server: SocketAddr,
    secure: &Secure,
    query: &[u8],
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut config = (*secure.config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(secure.name.clone(), stream).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let serving = tokio::spawn(connection);
    let host = match secure.name.to_str() {
        address if address.contains(':') => format!("[{address}]"),
        name => name.into_owned(),
    };
    let request = hyper::Request::post(format!("https://{host}:{}{PATH}", server.port()))
        .header("accept", "application/dns-message")
        .header("content-type", "application/dns-message")
        .body(Full::<Bytes>::from(query.to_vec()))?;
    let response = sender.send_request(request).await?;
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("status {}", response.status()).into());
    }
    let body = Limited::new(response.into_body(), usize::from(u16::MAX)).collect().await?.to_bytes();
    serving.abort();
    match answers(&body, query) {
        true => Ok(body.to_vec()),
        false => Err("what came back is no reply to the question".into()),
    }
}
