//! One listener: its routes, its connections.

use super::{Request, Response, address};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Connections a listener keeps at a time; what comes above them is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// A request's head must come within this, a kept connection's next one too.
const HEAD: Duration = Duration::from_secs(5);
/// No connection lives longer, whatever the client does or leaves undone.
const LIFE: Duration = Duration::from_secs(60);
/// How long a closing listener waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(2);
/// How long accepting rests when the system is out of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// What a page may do (Content Security Policy level 3): use what this listener serves; nothing inline, nothing from
/// elsewhere, nowhere framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Respond = Arc<dyn Fn(&Request) -> Response + Send + Sync>;
pub(super) type Routes = HashMap<&'static str, Respond>;

pub(super) struct Listener {
    pub socket: Arc<TcpListener>,
    routes: Arc<ArcSwap<Routes>>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and serves 404 there. A port that one of `leaving` has is shared with it until that is closed.
    pub async fn bind(address: &str, leaving: &[(&String, &Listener)]) -> io::Result<Listener> {
        let port = address.rsplit_once(':').map(|(_, port)| port);
        let same_port = leaving.iter().filter(|(other, _)| other.rsplit_once(':').map(|(_, port)| port) == port);
        let mut shared = false;
        for (_, other) in same_port {
            socket2::SockRef::from(&*other.socket).set_reuse_port(true)?;
            shared = true;
        }
        let socket = Arc::new(address::bind(address, shared).await?);
        let (closing, watching) = watch::channel(false);
        let routes = Arc::<ArcSwap<Routes>>::default();
        let task = tokio::spawn(accept(socket.clone(), routes.clone(), watching));
        Ok(Listener { socket, routes, closing, task })
    }

    /// Answers with these from the next request on.
    pub fn route(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// Stops accepting, and waits for what is being answered.
    pub async fn close(self) {
        let Listener { socket, closing, task, .. } = self;
        drop(socket);
        closing.send_replace(true);
        let _ = task.await;
    }
}

async fn accept(socket: Arc<TcpListener>, routes: Arc<ArcSwap<Routes>>, closing: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve(stream, routes.clone(), closing.clone()));
                }
                Ok(_) => {}
                Err(_) => sleep(ERROR_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = is_true(&closing) => break,
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, routes: Arc<ArcSwap<Routes>>, closing: watch::Receiver<bool>) {
    let service = service_fn(move |request| answer(routes.load_full(), request));
    let mut builder = http1::Builder::new();
    let connection = builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(connection.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = is_true(&closing) => {}
        () = sleep(LIFE) => {}
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
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let Some(respond) = routes.get(request.uri().path()).cloned() else {
        return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
        refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let answered = tokio::task::spawn_blocking(move || respond(&Request { path, query })).await;
    let made = answered.ok().and_then(|response| {
        let builder = hyper::Response::builder().status(response.status).header(CONTENT_TYPE, response.content_type);
        let builder = builder.header(X_CONTENT_TYPE_OPTIONS, "nosniff").header(CACHE_CONTROL, "no-store");
        let is_page = response.content_type.starts_with("text/html");
        let builder = if is_page { builder.header(CONTENT_SECURITY_POLICY, POLICY) } else { builder };
        builder.body(Full::from(response.body)).ok()
    });
    Ok(made.unwrap_or_else(|| plain(StatusCode::INTERNAL_SERVER_ERROR, "500 internal server error\n")))
}

fn plain(status: StatusCode, text: &'static str) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::from(text));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
