//! One question to one server: over UDP with TCP after TC, over TCP, TLS or HTTPS.
//!
//! For who asks now and then, as `dunlin query` and `compare` do, and `shadow`: a socket of its own each time, so that
//! ids and ports are never guessed twice. `forward`, which asks all the time, keeps its connections.

mod https;
mod stream;
mod udp;

use crate::wire::{Message, Name, Opt, Question, RecordType, ReplyView, UDP_PAYLOAD, flags};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server, and the way to it.
#[derive(Clone)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is asked.
    pub way: Way,
}

/// How a server is asked.
#[derive(Clone)]
pub enum Way {
    /// Datagrams, and a connection where an answer is cut (RFC 7766 section 5).
    Udp,
    /// A connection (RFC 7766).
    Tcp,
    /// A connection under TLS (RFC 7858).
    Tls(Secure),
    /// A POST over HTTP/2 (RFC 8484).
    Https(Secure),
}

/// What an encrypted connection needs.
#[derive(Clone)]
pub struct Secure {
    /// Whom we trust.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing came in time.
    Timeout,
    /// The system, TLS or HTTP says this.
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Timeout => f.write_str("no answer in time"),
            Trouble::Failed(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Udp => "udp",
            Way::Tcp => "tcp",
            Way::Tls(_) => "tls",
            Way::Https(_) => "https",
        })
    }
}

impl Server {
    /// A server that is asked over UDP, with TCP after TC.
    pub fn plain(address: SocketAddr) -> Server {
        Server { address, way: Way::Udp }
    }

    /// Asks with a query's octets and gives the reply's: the one whose id and question are the query's. Where TC stands
    /// in it, it came over TCP and is what the server has to give. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// Why no such reply came within `timeout`.
    pub async fn ask(&self, query: &[u8], timeout: Duration) -> Result<Vec<u8>, Trouble> {
        let asking = async {
            let failed = |why: std::io::Error| Trouble::Failed(format!("{} {}: {why}", self.way, self.address));
            match &self.way {
                Way::Udp => {
                    let reply = udp::ask(self.address, query, timeout / 3).await.map_err(failed)?;
                    match reply[2] & TC_OCTET {
                        0 => Ok(reply),
                        _ => stream::ask(self.address, None, query).await.map_err(failed),
                    }
                }
                Way::Tcp => stream::ask(self.address, None, query).await.map_err(failed),
                Way::Tls(secure) => stream::ask(self.address, Some(secure), query).await.map_err(failed),
                Way::Https(secure) => {
                    let asked = https::ask(self.address, secure, query).await;
                    asked.map_err(|why| Trouble::Failed(format!("https {}: {why}", self.address)))
                }
            }
        };
        tokio::time::timeout(timeout, asking).await.unwrap_or(Err(Trouble::Timeout))
    }
}

/// TC in the header's third octet.
const TC_OCTET: u8 = 0x02;

/// A query for one name: recursion desired, an OPT with the payload that is never fragmented, a random id.
pub fn query(name: &Name, qtype: RecordType) -> Vec<u8> {
    let question = Question { name: name.wire().to_vec(), qtype, qclass: crate::wire::CLASS_IN };
    let opt = Some(Opt::new(UDP_PAYLOAD, false));
    let (answers, authorities, additionals) = Default::default();
    Message { id: rand::random(), flags: flags::RD, question, answers, authorities, additionals, opt }
        .to_octets(usize::from(u16::MAX))
}

/// Whether a message is the reply to a query.
fn answers(reply: &[u8], query: &[u8]) -> bool {
    let Some(view) = ReplyView::parse(reply) else { return false };
    let question = question_of(query);
    // A server that could not read the query has no question to give back.
    reply[..2] == query[..2] && (view.question_matches(question) || view.question().is_empty())
}

/// The question of a query that we made.
fn question_of(query: &[u8]) -> &[u8] {
    let mut at = crate::wire::HEADER;
    while let Some(len @ 1..=63) = query.get(at) {
        at += 1 + usize::from(*len);
    }
    query.get(crate::wire::HEADER..at + 5).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    #[test]
    fn only_the_reply_to_the_question_is_taken() {
        let asked = query(&Name::from_text("a.test").unwrap(), RecordType::A);
        let mut reply = asked.clone();
        reply[2] |= 0x80;
        assert!(answers(&reply, &asked) && !answers(&asked, &asked));
        let mut other = reply.clone();
        other[0] ^= 1;
        assert!(!answers(&other, &asked));
        let mut other = query(&Name::from_text("b.test").unwrap(), RecordType::A);
        other[2] |= 0x80;
        other[..2].copy_from_slice(&asked[..2]);
        assert!(!answers(&other, &asked) && !answers(&reply[..5], &asked));
    }

    #[tokio::test]
    async fn a_lost_datagram_is_sent_again_and_a_forged_one_is_passed_over() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Server::plain(socket.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            let mut packet = [0; 512];
            socket.recv_from(&mut packet).await.unwrap();
            let (length, client) = socket.recv_from(&mut packet).await.unwrap();
            packet[2] |= 0x80;
            packet[0] ^= 1;
            socket.send_to(&packet[..length], client).await.unwrap();
            packet[0] ^= 1;
            socket.send_to(&packet[..length], client).await.unwrap();
        });
        let asked = query(&Name::from_text("a.test").unwrap(), RecordType::A);
        let reply = server.ask(&asked, Duration::from_secs(20)).await.unwrap();
        assert_eq!(reply[..2], asked[..2]);
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn silence_has_its_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Server::plain(socket.local_addr().unwrap());
        let asked = query(&Name::root(), RecordType::NS);
        assert_eq!(server.ask(&asked, Duration::from_millis(50)).await, Err(Trouble::Timeout));
    }
}
