//! Kept UDP sockets of one upstream: several source ports, drawn at random, each given up before it is old.

use super::case::Case;
use super::message::Outgoing;
use super::metrics::Meters;
use super::options::Connections;
use super::upstream::{Trouble, words};
use super::waiting::{Arrival, Ticket, Waiting};
use rand::RngExt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

/// Source ports of one upstream in use at once.
const PORTS: usize = 8;
/// A port is given up after this long even where `expire` is longer: a port in use for long can be found by scanning.
const OLDEST: Duration = Duration::from_secs(30);
/// How long a port that takes no more queries still listens for the replies to those it sent.
const GRACE: Duration = Duration::from_secs(6);
/// Octets of the largest reply taken, one more than we ever ask for: what fills it may have been cut.
const LARGEST: usize = 4097;

/// The sockets.
pub(super) struct UdpPool {
    upstream: SocketAddr,
    lifetime: Duration,
    source: IpAddr,
    case: Arc<Case>,
    meters: Arc<Meters>,
    lines: Mutex<[Option<Arc<Line>>; PORTS]>,
}

struct Line {
    socket: UdpSocket,
    local: SocketAddr,
    waiting: Waiting,
    /// No query is sent from here after this.
    until: Instant,
}

impl UdpPool {
    pub fn new(upstream: SocketAddr, connections: Connections, case: Arc<Case>, meters: Arc<Meters>) -> UdpPool {
        let any: IpAddr = match upstream {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = connections.source.unwrap_or(any);
        let lifetime = connections.expire.min(OLDEST);
        UdpPool { upstream, lifetime, source, case, meters, lines: Mutex::default() }
    }

    /// Sends a query from one of the ports and waits for what comes.
    pub async fn exchange(&self, query: &Arc<Outgoing>, timeout: Duration) -> Result<Arrival, Trouble> {
        let line = self
            .line()
            .map_err(|error| Trouble::new(format!("dial udp {}: {}", self.upstream, words("connect", &error))))?;
        let pattern = if query.is_plain() { self.case.pattern(rand::rng().random()) } else { None };
        let Some((id, receiver)) = line.waiting.enter(query, pattern) else {
            return Err(Trouble::new(format!("udp {}: too many queries wait for a reply", self.upstream)));
        };
        let _ticket = Ticket { waiting: &line.waiting, id };
        let mut packet = Vec::with_capacity(query.len());
        query.write_in_case(id, pattern, &mut packet);
        let trouble =
            |what: &str, why: &str| Trouble::new(format!("{what} udp {}->{}: {why}", line.local, self.upstream));
        let exchange = async {
            match line.socket.try_send(&packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => line.socket.send(&packet).await.map(drop),
                sent => sent.map(drop),
            }
            .map_err(|error| trouble("write", &words("write", &error)))?;
            receiver.await.map_err(|_| trouble("read", "the socket was closed"))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(Arrival::Broken(reason))) => Err(trouble("read", &reason)),
            Ok(arrival) => arrival,
            Err(_) => Err(Trouble::timeout(format!("read udp {}->{}", line.local, self.upstream))),
        }
    }

    /// How many queries wait on all ports.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lines.lock().unwrap().iter().flatten().map(|line| line.waiting.len()).sum()
    }

    fn line(&self) -> io::Result<Arc<Line>> {
        let now = Instant::now();
        let port = rand::rng().random_range(0..PORTS);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines[port].as_ref().filter(|line| now < line.until && !line.waiting.is_closed()) {
            self.meters.udp_reused.inc();
            return Ok(line.clone());
        }
        self.meters.udp_opened.inc();
        let line = Arc::new(Line::open(self.upstream, self.source, now + self.lifetime)?);
        tokio::spawn(line.clone().listen(self.case.clone(), self.meters.clone()));
        lines[port] = Some(line.clone());
        Ok(line)
    }
}

impl Line {
    fn open(upstream: SocketAddr, source: IpAddr, until: Instant) -> io::Result<Line> {
        let socket = std::net::UdpSocket::bind((source, 0))?;
        // Connected: the kernel drops what comes from elsewhere, and tells of a closed port.
        socket.connect(upstream)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Line { socket: UdpSocket::from_std(socket)?, local, waiting: Waiting::default(), until })
    }

    /// Hands replies to those that wait until the port is given up.
    async fn listen(self: Arc<Self>, case: Arc<Case>, meters: Arc<Meters>) {
        let mut buffer = vec![0; LARGEST];
        let end = sleep_until(self.until + GRACE);
        tokio::pin!(end);
        loop {
            tokio::select! {
                received = self.socket.recv(&mut buffer) => match received {
                    // A reply that fills the buffer was cut by the kernel: without its last octet it is surely damaged.
                    Ok(len) => if !self.waiting.deliver(&buffer[..len.min(LARGEST - 1)], Some(&case)) {
                        meters.ignored.inc();
                    },
                    Err(error) => self.waiting.fail(&words("read", &error)),
                },
                () = &mut end => break,
            }
        }
        self.waiting.close("the socket was closed");
    }
}
