//! One connection of DNS over HTTPS (RFC 8484), HTTP/1.1 or HTTP/2 as ALPN says.

mod exchange;

pub use exchange::RESPONSES;

use super::Acceptor;
use super::stream::Stream;
use crate::engine::{Arrival, Limits};
use exchange::Responder;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Requests of one connection in flight, as CoreDNS has it.
const MAX_STREAMS: u32 = 256;
/// Octets of a request's head: the longest GET that anybody has a use for.
const HEAD: usize = 16 << 10;
/// Octets of bodies that a client may send before they are read: what 256 streams could fill would be too much.
const WINDOW: u32 = 128 << 10;

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, acceptor: Acceptor, arrival: Arrival) {
    let Some(responder) = Responder::new(acceptor.clone(), arrival) else { return };
    let limits = **acceptor.limits.load();
    let activity = Arc::new(Activity::new(limits.idle));
    let is_http2 = stream.application_protocol() == Some(b"h2");
    match stream {
        Stream::Plain(stream) => run_http1(TokioIo::new(stream), responder, activity, limits, &acceptor).await,
        Stream::Encrypted(stream) if !is_http2 => {
            run_http1(TokioIo::new(stream), responder, activity, limits, &acceptor).await;
        }
        Stream::Encrypted(stream) => {
            let service = service_fn(tracked(responder, activity.clone()));
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(HEAD as u32);
            builder.initial_stream_window_size(WINDOW / 2).initial_connection_window_size(WINDOW);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            run(connection, &activity, limits, &acceptor).await;
        }
    }
}

async fn run_http1<I>(io: I, responder: Responder, activity: Arc<Activity>, limits: Limits, acceptor: &Acceptor)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(tracked(responder, activity.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.read).max_buf_size(HEAD);
    run(builder.serve_connection(io, service), &activity, limits, acceptor).await;
}

/// Answers requests, and knows how many are in flight.
fn tracked(responder: Responder, activity: Arc<Activity>) -> impl Fn(hyper::Request<Incoming>) -> Responding {
    let responder = Arc::new(responder);
    move |request| {
        let (responder, busy) = (responder.clone(), Busy::new(activity.clone()));
        Box::pin(async move {
            let response = responder.respond(request).await;
            drop(busy);
            Ok(response)
        })
    }
}

type Responding = BoxFuture<'static, Result<exchange::Response, hyper::Error>>;

/// Drives a connection until it ends, has been idle for too long, or the listener closes; what is in flight then has the
/// time for writing.
async fn run<C: Connection>(connection: C, activity: &Activity, limits: Limits, acceptor: &Acceptor) {
    let mut connection = pin!(connection);
    loop {
        let deadline = activity.deadline();
        tokio::select! {
            // hyper itself looks after the time that a request's head may take.
            ended = connection.as_mut() => {
                if ended.is_err_and(|why| why.is_timeout()) {
                    acceptor.counters.ended_first.inc();
                }
                return;
            }
            () = acceptor.closing.wait() => break,
            () = sleep_until(deadline) => if activity.deadline() <= deadline {
                acceptor.counters.ended_idle.inc();
                break;
            },
        }
    }
    connection.as_mut().shut_down();
    let _ = timeout(limits.write, connection).await;
}

/// What both kinds of connection can.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Takes no more requests, and ends when those in flight are answered.
    fn shut_down(self: Pin<&mut Self>);
}

impl<I, S> Connection for http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = exchange::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Connection for http2::Connection<I, S, TokioExecutor>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = exchange::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The requests of a connection.
struct Activity {
    /// How many are in flight, and when that changed last.
    state: Mutex<(usize, Instant)>,
    /// How long there may be none.
    idle: Duration,
}

impl Activity {
    fn new(idle: Duration) -> Activity {
        Activity { state: Mutex::new((0, Instant::now())), idle }
    }

    /// When the connection has been idle for too long, should nothing happen.
    fn deadline(&self) -> Instant {
        let (in_flight, last) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if in_flight > 0 { Instant::now() + self.idle } else { last + self.idle }
    }

    fn change(&self, step: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (step(state.0), Instant::now());
    }
}

/// One request in flight.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: Arc<Activity>) -> Busy {
        activity.change(|in_flight| in_flight + 1);
        Busy(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|in_flight| in_flight.saturating_sub(1));
    }
}
