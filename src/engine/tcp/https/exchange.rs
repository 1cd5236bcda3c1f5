//! One request and its response.

use super::super::Acceptor;
use super::READ;
use crate::engine::{Arrival, Protocol, single};
use crate::metrics::{Descriptor, MetricKind};
use crate::wire::{ReplyView, base64url};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use prometheus::IntCounterVec;
use std::sync::Arc;
use tokio::time::timeout;

/// Responses by status.
pub const RESPONSES: Descriptor = Descriptor {
    name: "coredns_dns_https_responses_total",
    help: "Counter of DoH responses per server and http status code.",
    labels: &["server", "status"],
    kind: MetricKind::Counter,
};

pub(super) type Body = Full<Bytes>;
pub(super) type Response = hyper::Response<Body>;

/// The one path (RFC 8484 leaves it to the server; all of them took this one).
const PATH: &str = "/dns-query";
/// The one media type (RFC 8484 section 6).
const DNS_MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");
/// Octets of the longest message.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// A shorter one has no header and so no answer.
const MIN_MESSAGE: usize = crate::wire::HEADER;

/// Who answers the requests of one connection.
pub(super) struct Responder {
    acceptor: Acceptor,
    arrival: Arrival,
    server: Arc<str>,
    responses: IntCounterVec,
}

impl Responder {
    /// `None` where HTTP is not spoken.
    pub fn new(acceptor: Acceptor, arrival: Arrival) -> Option<Responder> {
        let Protocol::Https { server, .. } = &acceptor.protocol else { return None };
        let (server, responses) = (server.clone(), acceptor.metrics.counter(&RESPONSES));
        Some(Responder { acceptor, arrival, server, responses })
    }

    pub async fn respond(&self, request: Request<Incoming>) -> Response {
        let response = match self.answer(request).await {
            Ok(answer) => answered(answer),
            Err(status) => refused(status),
        };
        self.responses.with_label_values(&[&*self.server, response.status().as_str()]).inc();
        response
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Vec<u8>, StatusCode> {
        if request.uri().path() != PATH {
            return Err(StatusCode::NOT_FOUND);
        }
        let message = match *request.method() {
            Method::GET => in_query(request.uri().query().unwrap_or_default()).ok_or(StatusCode::BAD_REQUEST)?,
            Method::POST => in_body(request).await?,
            _ => return Err(StatusCode::METHOD_NOT_ALLOWED),
        };
        if message.len() < MIN_MESSAGE {
            return Err(StatusCode::BAD_REQUEST);
        }
        let answer = single::answer(&*self.acceptor.answerer, &self.acceptor.slow, message, self.arrival).await;
        // HTTP has no silence. Half an answer is none: a transfer needs a connection of its own.
        let whole = answer.filter(|sent| sent.more.is_none());
        whole.map(|sent| sent.message).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The message in `dns=` of a query string.
fn in_query(query: &str) -> Option<Vec<u8>> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("dns="))?;
    base64url(text).filter(|message| message.len() <= MAX_MESSAGE)
}

/// The message in a body. A client that does not say what it sends is taken to send the only thing there is.
async fn in_body(request: Request<Incoming>) -> Result<Vec<u8>, StatusCode> {
    if request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind != DNS_MESSAGE) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let body = Limited::new(request.into_body(), MAX_MESSAGE).collect();
    match timeout(READ, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// A DNS answer, fresh for as long as its records are (RFC 8484 section 5.1).
fn answered(answer: Vec<u8>) -> Response {
    let seconds = ReplyView::parse(&answer).and_then(|view| view.lowest_ttl()).unwrap_or(0);
    let mut response = hyper::Response::new(Full::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, DNS_MESSAGE);
    if let Ok(age) = HeaderValue::try_from(format!("max-age={seconds}")) {
        response.headers_mut().insert(CACHE_CONTROL, age);
    }
    response
}

fn refused(status: StatusCode) -> Response {
    let text = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default().to_ascii_lowercase());
    let mut response = hyper::Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_found_in_a_query() {
        assert_eq!(in_query("a=b&dns=AA&c"), Some(vec![0]));
        assert_eq!((in_query(""), in_query("DNS=AA"), in_query("xdns=AA")), (None, None, None));
        assert_eq!(in_query(&format!("dns={}", "A".repeat(90_000))), None);
    }
}
