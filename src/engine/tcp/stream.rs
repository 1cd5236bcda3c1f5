//! The octets of a connection, as they are or under TLS.

use crate::engine::Protocol;
use socket2::SockRef;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Octets read at a time; a longer message comes in several reads.
const READ: usize = 16 << 10;
/// How long a connection that is told to stop waits for what is on its way.
const LINGER: Duration = Duration::from_millis(100);

thread_local! {
    /// Room for decrypted octets. Of the thread and not of the connection: idle ones hold none.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection's octets.
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Shakes hands as the protocol wants it.
    pub async fn open(stream: TcpStream, protocol: &Protocol) -> io::Result<Stream> {
        let keys = match protocol {
            Protocol::Dns => None,
            Protocol::Tls(keys) | Protocol::Https { keys, .. } | Protocol::Quic { keys, .. } => keys.load_full(),
        };
        match keys {
            None => Ok(Stream::Plain(stream)),
            Some(config) => Ok(Stream::Encrypted(Box::new(TlsAcceptor::from(config).accept(stream).await?))),
        }
    }

    /// What ALPN has settled on (RFC 7301).
    pub fn application_protocol(&self) -> Option<&[u8]> {
        match self {
            Stream::Plain(_) => None,
            Stream::Encrypted(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Waits for octets and adds them; none at the end of the client's stream. Nothing is lost when this is dropped
    /// while it waits.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => loop {
                stream.readable().await?;
                // Only now: a connection that waits holds no room.
                into.reserve(READ);
                match stream.try_read_buf(into) {
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            Stream::Encrypted(stream) => {
                poll_fn(|context| {
                    ROOM.with_borrow_mut(|room| {
                        let mut buffer = ReadBuf::new(room);
                        ready!(Pin::new(&mut **stream).poll_read(context, &mut buffer))?;
                        into.extend(buffer.filled());
                        Poll::Ready(Ok(buffer.filled().len()))
                    })
                })
                .await
            }
        }
    }

    /// Adds what has come already or comes this moment, until there are more than `enough` octets. In the clear it asks
    /// the system itself: tokio may not have heard yet.
    pub async fn read_rest(&mut self, into: &mut Vec<u8>, enough: usize) {
        match self {
            Stream::Plain(stream) => {
                let _ = timeout(LINGER, stream.readable()).await;
                let socket = SockRef::from(&*stream);
                let mut room = [0; READ];
                while let Ok(octets @ 1..) = (&*socket).read(&mut room) {
                    into.extend(&room[..octets]);
                    if into.len() > enough {
                        break;
                    }
                }
            }
            Stream::Encrypted(_) => {
                let reading =
                    async { while into.len() <= enough && self.read(into).await.is_ok_and(|octets| octets > 0) {} };
                let _ = timeout(LINGER, reading).await;
            }
        }
    }

    /// Sends all of it.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(octets).await,
            Stream::Encrypted(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Says that nothing more will be sent.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Encrypted(stream) => stream.shutdown().await,
        }
    }
}
