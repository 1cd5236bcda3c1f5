//! Upstreams over HTTPS (RFC 8484): one HTTP/2 connection, kept, with many requests in flight.

use super::message::Outgoing;
use super::metrics::Meters;
use super::options::Connections;
use super::secure::Secure;
use super::tcp::dial;
use super::upstream::Trouble;
use super::waiting::Arrival;
use crate::wire::ReplyView;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The path that servers have.
const PATH: &str = "/dns-query";
/// Octets of the longest reply.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// A connection on which nothing comes for this long is asked whether it is there, and given up where it is not.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How queries are put into requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Method {
    #[default]
    Post,
    /// Answers of these may be cached on the way.
    Get,
}

impl Method {
    /// The method of a word.
    pub fn from_word(word: &str) -> Option<Method> {
        match word {
            "POST" => Some(Method::Post),
            "GET" => Some(Method::Get),
            _ => None,
        }
    }
}

/// The connection.
pub(super) struct HttpsPool {
    upstream: SocketAddr,
    secure: Secure,
    method: Method,
    authority: String,
    connections: Connections,
    meters: Arc<Meters>,
    kept: Mutex<Option<Kept>>,
    /// One connection is opened at a time, so that a burst shares it.
    dialing: tokio::sync::Mutex<()>,
}

struct Kept {
    sender: SendRequest<Full<Bytes>>,
    opened: Instant,
    last_used: Instant,
}

impl HttpsPool {
    pub fn new(
        upstream: SocketAddr,
        secure: Secure,
        method: Method,
        connections: Connections,
        meters: Arc<Meters>,
    ) -> HttpsPool {
        let host = match secure.name.to_str() {
            address if address.contains(':') => format!("[{address}]"),
            name => name.into_owned(),
        };
        let authority = if upstream.port() == 443 { host } else { format!("{host}:{}", upstream.port()) };
        let dialing = tokio::sync::Mutex::default();
        HttpsPool { upstream, secure, method, authority, connections, meters, kept: Mutex::default(), dialing }
    }

    /// Sends a query in a request and waits for what comes. A kept connection that turns out to have ended meanwhile
    /// costs one more try on a new one.
    pub async fn exchange(&self, query: &Arc<Outgoing>, timeout: Duration) -> Result<Arrival, Trouble> {
        let deadline = Instant::now() + timeout;
        if let Some(sender) = self.kept() {
            self.meters.tcp_reused.inc();
            match self.ask(sender, query, deadline).await {
                Err(trouble) if !trouble.timed_out => self.give_up(),
                arrival => return arrival,
            }
        }
        let dialed = timeout_at(deadline, self.dial()).await;
        let sender = dialed.unwrap_or_else(|_| Err(Trouble::timeout(format!("dial tcp {}", self.upstream))))?;
        self.ask(sender, query, deadline).await
    }

    async fn ask(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        query: &Outgoing,
        deadline: Instant,
    ) -> Result<Arrival, Trouble> {
        let trouble = |why: String| Trouble::new(format!("https {}: {why}", self.upstream));
        let exchange = async {
            let request = self.request(query).map_err(|why| trouble(why.to_string()))?;
            sender.ready().await.map_err(|why| trouble(why.to_string()))?;
            let response = sender.send_request(request).await.map_err(|why| trouble(why.to_string()))?;
            if response.status() != hyper::StatusCode::OK {
                return Err(trouble(format!("status {}", response.status())));
            }
            let body = Limited::new(response.into_body(), MAX_MESSAGE).collect().await;
            Ok(body.map_err(|why| trouble(why.to_string()))?.to_bytes())
        };
        let body = match timeout_at(deadline, exchange).await {
            Ok(body) => body?,
            Err(_) => {
                // It may be dead: nobody new comes.
                self.give_up();
                return Err(Trouble::timeout(format!("read https {}", self.upstream)));
            }
        };
        let view = ReplyView::parse(&body).ok_or_else(|| trouble("the body is no reply".into()))?;
        match view.question_matches(query.question()) || super::message::is_bare_error(&view) {
            true => Ok(Arrival::Reply(view.octets().to_vec())),
            false => Err(trouble("the reply has another question".into())),
        }
    }

    /// The request of a query. Its id is 0, so that caches on the way see one question as one (RFC 8484 section 4.1).
    fn request(&self, query: &Outgoing) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut message = Vec::with_capacity(query.len());
        query.write(0, &mut message);
        let uri = Uri::builder().scheme("https").authority(self.authority.as_str());
        let builder = Request::builder().header("accept", "application/dns-message");
        match self.method {
            Method::Post => builder
                .method("POST")
                .uri(uri.path_and_query(PATH).build()?)
                .header("content-type", "application/dns-message")
                .body(Full::from(message)),
            Method::Get => {
                let uri = uri.path_and_query(format!("{PATH}?dns={}", base64url(&message))).build()?;
                builder.uri(uri).body(Full::default())
            }
        }
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Connections { expire, max_age, .. } = self.connections;
        let is_old = |kept: &Kept| max_age.is_some_and(|most| kept.opened.elapsed() >= most);
        let expired = |kept: &Kept| kept.sender.is_closed() || kept.last_used.elapsed() > expire || is_old(kept);
        if kept.as_ref().is_some_and(expired) {
            // The connection ends when the requests in flight on it have.
            *kept = None;
        }
        let kept = kept.as_mut()?;
        kept.last_used = Instant::now();
        Some(kept.sender.clone())
    }

    fn give_up(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let _turn = self.dialing.lock().await;
        // What another one has opened meanwhile is as good as new.
        if let Some(sender) = self.kept() {
            return Ok(sender);
        }
        self.meters.tcp_opened.inc();
        let stream = dial(self.upstream, self.connections.source, Some(&self.secure)).await?;
        let trouble = |why: String| Trouble::new(format!("dial https {}: {why}", self.upstream));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|why| trouble(why.to_string()))?;
        // It ends when the last sender is dropped, or the upstream ends it.
        tokio::spawn(connection);
        let kept = Kept { sender: sender.clone(), opened: Instant::now(), last_used: Instant::now() };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(sender)
    }
}

/// Encodes base64url without padding (RFC 4648 section 5).
fn base64url(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_written() {
        for (octets, text) in [(&b""[..], ""), (&[0], "AA"), (&[0xff, 0xef], "_-8"), (&[0xfb, 0xff, 0xbf], "-_-_")] {
            assert_eq!(base64url(octets), text);
        }
    }
}
