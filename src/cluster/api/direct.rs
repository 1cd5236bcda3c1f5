//! A transport with a connection for each request, which whoever reads the answer drives.
//!
//! hyper's own has a task a connection: what arrives wakes it, and it wakes the task that reads, which wakes it for more,
//! for each piece of an event. A watch is one answer on one connection for minutes; here one task is woken, once for all
//! that has arrived.

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::task::AtomicWaker;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use tower::{BoxError, Service};

/// How often body and connection are asked in turn before others may run: hyper hands over a body piece by piece.
const TURNS: usize = 64;

/// The transport, over what connects to a URL.
#[derive(Clone)]
pub(super) struct Direct<C>(pub(super) C);

impl<C, R> Service<Request<R>> for Direct<C>
where
    C: Service<Uri, Error: Into<BoxError>, Response: Read + Write + Unpin + Send + 'static, Future: Send + 'static>,
    R: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Driven>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Driven>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let connecting = self.0.call(request.uri().clone());
        Box::pin(async move {
            let (mut sender, connection) = http1::handshake(connecting.await.map_err(Into::into)?).await?;
            let connection: Connection = Box::pin(connection);
            let (answer, connection) = match select(pin!(sender.send_request(addressed(request))), connection).await {
                Either::Left((answer, connection)) => (answer?, Some(connection)),
                // With its last words, or with the error that it tells the request.
                Either::Right((_, asked)) => (asked.await?, None),
            };
            Ok(answer.map(|body| Driven { body, connection, bell: Arc::default() }))
        })
    }
}

/// A request as it goes over a connection to its host (RFC 9112 section 3.2.1).
fn addressed<R>(mut request: Request<R>) -> Request<R> {
    let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
    request
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A body and the connection that it comes from.
pub(super) struct Driven {
    body: Incoming,
    /// `None` once it has ended. What is wrong with it the body tells.
    connection: Option<Connection>,
    bell: Arc<Bell>,
}

impl Body for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Driven { body, connection, bell } = &mut *self;
        bell.reader.register(cx.waker());
        bell.is_heard.store(true, SeqCst);
        let waker = Waker::from(Arc::clone(bell));
        let mut inner = Context::from_waker(&waker);
        let mut frame = Poll::Pending;
        for _ in 0..TURNS {
            bell.has_rung.store(false, SeqCst);
            frame = Pin::new(&mut *body).poll_frame(&mut inner);
            if frame.is_ready() {
                break;
            }
            if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(&mut inner).is_ready()) {
                *connection = None;
                continue;
            }
            if !bell.has_rung.load(SeqCst) {
                break;
            }
        }
        bell.is_heard.store(false, SeqCst);
        // It rang after it was looked at last, or each time: others first.
        if frame.is_pending() && bell.has_rung.load(SeqCst) {
            cx.waker().wake_by_ref();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// What body and connection wake: the reader, unless it is at work on them already.
#[derive(Default)]
struct Bell {
    reader: AtomicWaker,
    is_heard: AtomicBool,
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        self.has_rung.store(true, SeqCst);
        if !self.is_heard.load(SeqCst) {
            self.reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use hyper_util::rt::TokioIo;
    use std::future::ready;
    use std::sync::atomic::AtomicUsize;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Wakes>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// An answer without its body's end, and the server's side of its connection.
    async fn begun() -> (Driven, DuplexStream) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let mut ours = Some(TokioIo::new(ours));
        let connector = tower::service_fn(move |_: Uri| ready(ours.take().ok_or("a second connection")));
        let request = Request::get("http://api.example:6443/path?a=b").body(Empty::<Bytes>::new()).unwrap();
        let asking = tokio::spawn(Direct(connector).call(request));
        let mut asked = String::new();
        while !asked.ends_with("\r\n\r\n") {
            asked.push(theirs.read_u8().await.unwrap().into());
        }
        assert!(
            asked.starts_with("GET /path?a=b HTTP/1.1\r\n") && asked.contains("host: api.example:6443\r\n"),
            "{asked}"
        );
        theirs.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        (asking.await.unwrap().unwrap().into_body(), theirs)
    }

    /// The octets that are there, and what comes behind them.
    fn read(body: &mut Driven, cx: &mut Context<'_>) -> (usize, Poll<Option<Result<(), String>>>) {
        let mut octets = 0;
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => octets += frame.into_data().map_or(0, |data| data.len()),
                other => return (octets, other.map(|end| end.map(|end| end.map(drop).map_err(|it| it.to_string())))),
            }
        }
    }

    #[tokio::test]
    async fn what_has_arrived_wakes_its_reader_once() {
        let (mut body, mut server) = begun().await;
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(read(&mut body, &mut cx), (0, Poll::Pending));
        for round in 1..=3 {
            server.write_all("5\r\nhello\r\n".repeat(50).as_bytes()).await.unwrap();
            assert_eq!(wakes.0.load(SeqCst), round);
            assert_eq!(read(&mut body, &mut cx), (250, Poll::Pending));
        }
        assert_eq!(wakes.0.load(SeqCst), 3);
        server.write_all(b"5\r\nhel").await.unwrap();
        drop(server);
        let (octets, end) = read(&mut body, &mut cx);
        assert!(octets == 3 && matches!(end, Poll::Ready(Some(Err(_)))), "{octets} {end:?}");
    }

    #[tokio::test]
    async fn an_answer_that_ends_is_over() {
        let (mut body, mut server) = begun().await;
        server.write_all(b"5\r\nhello\r\n0\r\n\r\n").await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(read(&mut body, &mut cx), (5, Poll::Ready(None)));
    }
}
