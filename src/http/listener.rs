//! One listener: its routes, its connections.

use super::counters::Counters;
use super::{Admits, Request, Response, address};
use arc_swap::ArcSwap;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HOST, HeaderMap, HeaderValue, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections a listener keeps at a time. One more ends the oldest: a probe that finds no room would be a restart, and
/// who holds connections without a use must not hold up who asks now.
const MAX_CONNECTIONS: usize = 256;
/// A request's head must come within this, a kept connection's next one too.
const HEAD: Duration = Duration::from_secs(5);
/// Octets of a request's head, and of answers to requests one behind the other that a client does not take.
const BUFFER: usize = 16 << 10;
/// No connection lives longer, whatever the client does or leaves undone.
const LIFE: Duration = Duration::from_secs(60);
/// How long a closing listener waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(2);
/// Octets of a body that a packet holds anyway.
const LEAST_ZIPPED: usize = 1200;
/// Answers of a listener that are made at the same time, each by a thread of its own and in memory of its own. More wait.
const MADE_AT_ONCE: usize = 8;
/// How long accepting rests when the system is out of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// What a page may do (Content Security Policy level 3): use what this listener serves; nothing inline, nothing from
/// elsewhere, nowhere framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Respond = Arc<dyn Fn(&Request) -> Response + Send + Sync>;
pub(super) type Routes = HashMap<&'static str, Respond>;

/// What stands before the routes.
#[derive(Clone, Default)]
pub(super) struct Guard {
    /// What new connections are encrypted with; nothing for those in the clear.
    pub keys: Option<Arc<rustls::ServerConfig>>,
    /// Who is answered.
    pub admits: Option<Admits>,
}

/// What connections share with their listener.
#[derive(Clone, Default)]
struct Shared {
    routes: Arc<ArcSwap<Routes>>,
    guard: Arc<ArcSwap<Guard>>,
}

pub(super) struct Listener {
    pub socket: Arc<TcpListener>,
    now: Shared,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and serves 404 there. A port that one of `leaving` has is shared with it until that is closed.
    pub async fn bind(address: &str, leaving: &[(&String, &Listener)], counters: Counters) -> io::Result<Listener> {
        let port = address.rsplit_once(':').map(|(_, port)| port);
        let same_port = leaving.iter().filter(|(other, _)| other.rsplit_once(':').map(|(_, port)| port) == port);
        let mut shared = false;
        for (_, other) in same_port {
            socket2::SockRef::from(&*other.socket).set_reuse_port(true)?;
            shared = true;
        }
        let socket = Arc::new(address::bind(address, shared).await?);
        let (closing, watching) = watch::channel(false);
        let now = Shared::default();
        let making = Arc::new(Semaphore::new(MADE_AT_ONCE));
        let serving = Serving { now: now.clone(), counters, making, closing: watching };
        let task = tokio::spawn(accept(socket.clone(), serving));
        Ok(Listener { socket, now, closing, task })
    }

    /// Answers with these from the next request on.
    pub fn route(&self, routes: Routes) {
        self.now.routes.store(Arc::new(routes));
    }

    /// Encrypts connections from the next one on, or does not; asks who is answered from the next request on.
    pub fn guard(&self, guard: Guard) {
        self.now.guard.store(Arc::new(guard));
    }

    /// Stops accepting, and waits for what is being answered.
    pub async fn close(self) {
        let Listener { socket, closing, task, .. } = self;
        drop(socket);
        closing.send_replace(true);
        let _ = task.await;
    }
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Serving {
    now: Shared,
    counters: Counters,
    making: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

async fn accept(socket: Arc<TcpListener>, serving: Serving) {
    let (mut connections, mut ages) = (JoinSet::new(), VecDeque::new());
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    if connections.len() >= MAX_CONNECTIONS {
                        end_oldest(&mut ages, &serving.counters);
                    } else if ages.len() > 2 * MAX_CONNECTIONS {
                        forget_ended(&mut ages);
                    }
                    let connection = open(stream, serving.clone());
                    ages.push_back(connections.spawn(connection));
                }
                Err(_) => sleep(ERROR_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = is_true(&serving.closing) => break,
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

fn forget_ended(ages: &mut VecDeque<AbortHandle>) {
    ages.retain(|connection| !connection.is_finished());
}

fn end_oldest(ages: &mut VecDeque<AbortHandle>, counters: &Counters) {
    forget_ended(ages);
    if let Some(oldest) = ages.pop_front() {
        oldest.abort();
        counters.ended_connection.inc();
    }
}

/// Shakes hands where the connection is encrypted, and serves it.
async fn open(stream: TcpStream, serving: Serving) {
    let _open = serving.counters.open();
    let Some(keys) = serving.now.guard.load().keys.clone() else { return serve(stream, serving).await };
    match timeout(HEAD, TlsAcceptor::from(keys).accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, serving).await,
        Ok(Err(_)) => {}
        Err(_) => serving.counters.ended_first.inc(),
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, serving: Serving) {
    let Serving { now, counters, making, closing } = serving;
    let service = service_fn(move |request| {
        answer(now.routes.load_full(), now.guard.load().admits.clone(), making.clone(), request)
    });
    let mut builder = http1::Builder::new();
    let connection = builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let mut connection = pin!(connection.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => {
            if ended.is_err_and(|why| why.is_timeout()) {
                counters.ended_first.inc();
            }
            return;
        }
        () = is_true(&closing) => {}
        () = sleep(LIFE) => counters.ended_life.inc(),
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Waits for the watched to become true, or to be dropped.
async fn is_true(watched: &watch::Receiver<bool>) {
    let _ = watched.clone().wait_for(|value| *value).await;
}

async fn answer(
    routes: Arc<Routes>,
    admits: Option<Admits>,
    making: Arc<Semaphore>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    if let Some(admits) = admits {
        let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        if !admits(header.unwrap_or_default().to_owned()).await {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
            return Ok(refusal);
        }
    }
    let Some(respond) = routes.get(request.uri().path()).cloned() else {
        return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
        refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let takes_gzip = accepts_gzip(request.headers());
    let turn = making.acquire_owned().await;
    let answered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let response = respond(&Request { path, query, host });
        let zipped = if takes_gzip { zipped(&response) } else { None };
        (response, zipped)
    });
    let made = answered.await.ok().and_then(|(response, zipped)| {
        let mut builder = hyper::Response::builder().status(response.status);
        builder = builder.header(CONTENT_TYPE, response.content_type).header(VARY, "Accept-Encoding");
        builder = builder.header(X_CONTENT_TYPE_OPTIONS, "nosniff").header(CACHE_CONTROL, "no-store");
        if response.content_type.starts_with("text/html") {
            builder = builder.header(CONTENT_SECURITY_POLICY, POLICY);
        }
        if zipped.is_some() {
            builder = builder.header(CONTENT_ENCODING, "gzip");
        }
        builder.body(Full::from(zipped.unwrap_or(response.body))).ok()
    });
    Ok(made.unwrap_or_else(|| plain(StatusCode::INTERNAL_SERVER_ERROR, "500 internal server error\n")))
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| HeaderValue::to_str(value).ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        matches!(name.trim(), "gzip" | "*") && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

/// The body compressed, where that is of use: text of some length.
fn zipped(response: &Response) -> Option<Vec<u8>> {
    if response.body.len() < LEAST_ZIPPED || !response.content_type.starts_with("text/") {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&response.body).and_then(|()| encoder.finish()).ok()
}

fn plain(status: StatusCode, text: &'static str) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::from(text));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
