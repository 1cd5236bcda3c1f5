//! Kept TCP connections of one upstream, under TLS or not: queries are sent one behind the other without waiting (RFC
//! 7766 section 6.2.1.1).

use super::message::Outgoing;
use super::metrics::Meters;
use super::options::Connections;
use super::secure::Secure;
use super::upstream::{Trouble, words};
use super::waiting::{Arrival, Ticket, Waiting};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Connections of one upstream at most.
const MOST: usize = 16;
/// Queries that wait on a connection before another one is opened.
const BUSY: usize = 32;
/// Messages that may wait to be written on a connection.
const QUEUE: usize = 128;
/// How long opening a connection may take.
const DIAL: Duration = Duration::from_secs(2);

/// The connections.
pub(super) struct TcpPool {
    upstream: SocketAddr,
    connections: Connections,
    /// `None` in the clear.
    secure: Option<Secure>,
    meters: Arc<Meters>,
    lines: Mutex<Vec<Arc<Line>>>,
    /// One connection is opened at a time, so that a burst shares it.
    dialing: tokio::sync::Mutex<()>,
}

struct Line {
    waiting: Waiting,
    opened: Instant,
    messages: mpsc::Sender<Vec<u8>>,
}

impl TcpPool {
    pub fn new(upstream: SocketAddr, secure: Option<Secure>, connections: Connections, meters: Arc<Meters>) -> TcpPool {
        let (lines, dialing) = Default::default();
        TcpPool { upstream, connections, secure, meters, lines, dialing }
    }

    /// Sends a query over a kept connection, or a new one, and waits for what comes. A kept connection that turns out
    /// to have been closed by the upstream meanwhile costs one more try on a new one.
    pub async fn exchange(&self, query: &Arc<Outgoing>, timeout: Duration) -> Result<Arrival, Trouble> {
        let deadline = Instant::now() + timeout;
        if let Some(line) = self.kept() {
            self.meters.tcp_reused.inc();
            match self.ask(&line, query, deadline).await {
                Err(trouble) if !trouble.timed_out => self.give_up(&line),
                arrival => return arrival,
            }
        }
        let dialed = tokio::time::timeout_at(deadline, self.dial()).await;
        let line = dialed.unwrap_or_else(|_| Err(Trouble::timeout(format!("dial tcp {}", self.upstream))))?;
        self.ask(&line, query, deadline).await
    }

    async fn ask(&self, line: &Arc<Line>, query: &Arc<Outgoing>, deadline: Instant) -> Result<Arrival, Trouble> {
        let closed = |why: &str| Trouble::new(format!("read tcp {}: {why}", self.upstream));
        let (id, receiver) =
            line.waiting.enter(query, None).ok_or_else(|| closed("the connection takes no more queries"))?;
        let _ticket = Ticket { waiting: &line.waiting, id };
        let mut message = Vec::with_capacity(2 + query.len());
        message.extend((query.len() as u16).to_be_bytes());
        query.write(id, &mut message);
        let exchange = async {
            line.messages.send(message).await.map_err(|_| closed("EOF"))?;
            receiver.await.map_err(|_| closed("EOF"))
        };
        match tokio::time::timeout_at(deadline, exchange).await {
            Ok(Ok(Arrival::Broken(reason))) => Err(closed(&reason)),
            Ok(arrival) => arrival,
            Err(_) => {
                // It may be stuck in the middle of a message: others that wait on it go on, nobody new comes.
                self.give_up(line);
                Err(Trouble::timeout(format!("read tcp {}", self.upstream)))
            }
        }
    }

    fn give_up(&self, line: &Arc<Line>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, line));
    }

    /// The kept connection with the fewest queries; `None` if there is none, or if all are busy and there may be more.
    fn kept(&self) -> Option<Arc<Line>> {
        let mut lines = self.lock();
        // One that is too old ends when nobody waits on it any more.
        let is_old = |line: &Line| self.connections.max_age.is_some_and(|most| line.opened.elapsed() >= most);
        lines.retain(|line| !line.waiting.is_closed() && !is_old(line));
        let (load, line) = lines.iter().map(|line| (line.waiting.len(), line)).min_by_key(|(load, _)| *load)?;
        (load < BUSY || lines.len() >= self.connections.most.unwrap_or(MOST).min(MOST)).then(|| line.clone())
    }

    async fn dial(&self) -> Result<Arc<Line>, Trouble> {
        let _turn = self.dialing.lock().await;
        // What another one has opened meanwhile is as good as new.
        if let Some(line) = self.kept() {
            return Ok(line);
        }
        self.meters.tcp_opened.inc();
        let stream = dial(self.upstream, self.connections.source, self.secure.as_ref()).await?;
        let (messages, queue) = mpsc::channel(QUEUE);
        let line = Arc::new(Line { waiting: Waiting::default(), opened: Instant::now(), messages });
        tokio::spawn(serve(stream, Arc::downgrade(&line), queue, self.connections.expire, self.meters.clone()));
        self.lock().push(line.clone());
        Ok(line)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The octets of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection, with a TLS handshake where it is to be encrypted.
pub(super) async fn dial(
    upstream: SocketAddr,
    source: Option<IpAddr>,
    secure: Option<&Secure>,
) -> Result<Box<dyn Stream>, Trouble> {
    let trouble = |why: String| Trouble::new(format!("dial tcp {upstream}: {why}"));
    let dialing = async {
        let stream = connect(upstream, source).await.map_err(|error| trouble(words("connect", &error)))?;
        stream.set_nodelay(true).map_err(|error| trouble(words("setsockopt", &error)))?;
        let Some(secure) = secure else { return Ok(Box::new(stream) as Box<dyn Stream>) };
        let shaking = TlsConnector::from(secure.config()).connect(secure.name.clone(), stream);
        let encrypted = shaking.await.map_err(|error| trouble(words("tls", &error)))?;
        Ok(Box::new(encrypted) as Box<dyn Stream>)
    };
    let dialed = tokio::time::timeout(DIAL, dialing).await;
    dialed.unwrap_or_else(|_| Err(Trouble::timeout(format!("dial tcp {upstream}"))))
}

async fn connect(upstream: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(upstream).await };
    let socket = if upstream.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((source, 0).into())?;
    socket.connect(upstream).await
}

/// Writes and reads until the upstream closes, fails, or nothing has been asked for `expire`.
async fn serve(
    stream: Box<dyn Stream>,
    line: std::sync::Weak<Line>,
    queue: mpsc::Receiver<Vec<u8>>,
    expire: Duration,
    meters: Arc<Meters>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = write(writer, queue) => ended,
        ended = read(reader, &line, expire, &meters) => ended,
    };
    if let Some(line) = line.upgrade() {
        line.waiting.close(&ended.err().map_or_else(|| "EOF".into(), |error| reason(&error)));
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "EOF".into(),
        _ => words("read", error),
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(message) = queue.recv().await {
        writer.write_all(&message).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    line: &std::sync::Weak<Line>,
    expire: Duration,
    meters: &Meters,
) -> io::Result<()> {
    let mut message = Vec::new();
    loop {
        let mut length = [0; 2];
        // One octet first: a timeout between the two would lose the place in the stream.
        match tokio::time::timeout(expire, reader.read_exact(&mut length[..1])).await {
            Ok(read) => drop(read?),
            Err(_) if line.upgrade().is_some_and(|line| line.waiting.len() > 0) => continue,
            Err(_) => return Ok(()),
        }
        reader.read_exact(&mut length[1..]).await?;
        message.resize(usize::from(u16::from_be_bytes(length)), 0);
        reader.read_exact(&mut message).await?;
        let Some(line) = line.upgrade() else { return Ok(()) };
        if !line.waiting.deliver(&message, None) {
            meters.ignored.inc();
        }
    }
}
