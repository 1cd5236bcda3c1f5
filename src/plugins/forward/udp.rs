//! Kept UDP sockets of one upstream: several source ports, drawn at random, each given up before it is old.
//!
//! Queries leave what they want sent with a task of the pool, which sends it once they all have, and takes what came on
//! all ports before anybody looks at it: whoever sends a packet at a time wakes the receiver for each. So the port is
//! drawn for what goes with one system call, not for each query in it.

mod task;

use super::case::Case;
use super::message::Outgoing;
use super::metrics::Meters;
use super::options::Connections;
use super::upstream::{Trouble, words};
use super::waiting::{Arrival, Ticket, Waiting};
use crate::plugin::Datagrams;
use futures_util::task::AtomicWaker;
use rand::RngExt;
use std::cell::Cell;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::Task;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

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
    lines: Mutex<Lines>,
    shared: Arc<Shared>,
}

/// The lines of a pool, and the one that is drawn.
#[derive(Default)]
struct Lines {
    ports: [Option<Arc<Line>>; PORTS],
    drawn: usize,
    /// For which round it was drawn, and for how many queries.
    round: usize,
    taken: usize,
}

struct Line {
    socket: AsyncFd<UdpSocket>,
    /// `udp LOCAL->UPSTREAM`, for the log.
    ends: String,
    waiting: Waiting,
    /// No query is sent from here after this.
    until: Instant,
}

/// What the pool's queries and its task share.
struct Shared {
    case: Arc<Case>,
    meters: Arc<Meters>,
    datagrams: Datagrams,
    tray: Mutex<Tray>,
    waker: AtomicWaker,
    /// How often the task has emptied the tray: queries of one round are sent together.
    round: AtomicUsize,
    /// Where replies are received: the task's, which looks at one port after the other.
    room: Mutex<Room>,
}

/// What the task has not seen yet.
#[derive(Default)]
struct Tray {
    opened: Vec<Arc<Line>>,
    outgoing: Vec<Sending>,
    /// Whether there is a task.
    is_served: bool,
    /// The pool is gone.
    is_closed: bool,
}

/// Room for replies, and their lengths.
struct Room {
    octets: Vec<u8>,
    lengths: [usize; Datagrams::MOST],
}

impl Default for Room {
    fn default() -> Room {
        Room { octets: vec![0; LARGEST * Datagrams::MOST], lengths: [0; Datagrams::MOST] }
    }
}

/// A query on its way to its socket.
struct Sending {
    is_done: Cell<bool>,
    line: Arc<Line>,
    id: u16,
    pattern: Option<u64>,
    query: Arc<Outgoing>,
}

impl UdpPool {
    pub fn new(
        upstream: SocketAddr,
        connections: Connections,
        case: Arc<Case>,
        meters: Arc<Meters>,
        datagrams: Datagrams,
    ) -> UdpPool {
        let any: IpAddr = match upstream {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = connections.source.unwrap_or(any);
        let lifetime = connections.expire.min(OLDEST);
        let shared = Arc::new(Shared {
            case,
            meters,
            datagrams,
            tray: Mutex::default(),
            waker: AtomicWaker::new(),
            round: AtomicUsize::new(1),
            room: Mutex::default(),
        });
        UdpPool { upstream, lifetime, source, lines: Mutex::default(), shared }
    }

    /// Sends a query from one of the ports and waits for what comes.
    pub async fn exchange(
        &self,
        query: &Arc<Outgoing>,
        began: std::time::Instant,
        timeout: Duration,
    ) -> Result<Arrival, Trouble> {
        let began = Instant::from_std(began);
        let line = self
            .line(began)
            .map_err(|error| Trouble::new(format!("dial udp {}: {}", self.upstream, words("connect", &error))))?;
        let pattern = if query.is_plain() { self.shared.case.pattern(rand::rng().random()) } else { None };
        let Some((id, receiver)) = line.waiting.enter(query, pattern) else {
            return Err(Trouble::new(format!("udp {}: too many queries wait for a reply", self.upstream)));
        };
        let _ticket = Ticket { waiting: &line.waiting, id };
        self.shared.send(Sending { is_done: Cell::new(false), line: line.clone(), id, pattern, query: query.clone() });
        match timeout_at(began + timeout, receiver).await {
            Ok(Ok(Arrival::Broken(reason))) => Err(Trouble::new(reason.to_string())),
            Ok(Ok(arrival)) => Ok(arrival),
            Ok(Err(_)) => Err(Trouble::new(format!("read {}: the socket was closed", line.ends))),
            Err(_) => Err(Trouble::timeout(format!("read {}", line.ends))),
        }
    }

    /// How many queries wait on all ports.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lines.lock().unwrap().ports.iter().flatten().map(|line| line.waiting.len()).sum()
    }

    /// The line for one more query: that of those before it which the task has not sent yet, up to what a system call
    /// takes.
    fn line(&self, now: Instant) -> io::Result<Arc<Line>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let port = lines.draw(self.shared.round.load(Relaxed));
        if let Some(line) = lines.ports[port].as_ref().filter(|line| now < line.until && !line.waiting.is_closed()) {
            self.shared.meters.udp_reused.inc();
            return Ok(line.clone());
        }
        self.shared.meters.udp_opened.inc();
        let line = Arc::new(Line::open(self.upstream, self.source, now + self.lifetime, self.shared.datagrams)?);
        self.shared.serve(line.clone());
        lines.ports[port] = Some(line.clone());
        Ok(line)
    }
}

impl Lines {
    /// The port for one more query of this round.
    fn draw(&mut self, round: usize) -> usize {
        if self.round != round || self.taken == Datagrams::MOST {
            self.drawn = rand::rng().random_range(0..PORTS);
            (self.round, self.taken) = (round, 0);
        }
        self.taken += 1;
        self.drawn
    }
}

impl Drop for UdpPool {
    fn drop(&mut self) {
        self.shared.tray().is_closed = true;
        self.shared.waker.wake();
    }
}

impl Shared {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a query for the task, which sends it as soon as those that are at work now have left theirs.
    fn send(&self, sending: Sending) {
        let mut tray = self.tray();
        tray.outgoing.push(sending);
        let is_first = tray.outgoing.len() == 1;
        drop(tray);
        if is_first {
            self.waker.wake();
        }
    }

    /// Gives the task one more line, and the pool a task where it has none.
    fn serve(self: &Arc<Self>, line: Arc<Line>) {
        let mut tray = self.tray();
        tray.opened.push(line);
        if !mem::replace(&mut tray.is_served, true) {
            tokio::spawn(Task::new(self.clone()).run());
        }
    }
}

impl Line {
    fn open(upstream: SocketAddr, source: IpAddr, until: Instant, datagrams: Datagrams) -> io::Result<Line> {
        let socket = UdpSocket::bind((source, 0))?;
        // Connected: the kernel drops what comes from elsewhere, and tells of a closed port.
        socket.connect(upstream)?;
        socket.set_nonblocking(true)?;
        let ends = format!("udp {}->{upstream}", socket.local_addr()?);
        Ok(Line { socket: (datagrams.watch)(socket)?, ends, waiting: Waiting::default(), until })
    }

    /// Hands replies to those that wait until the port is given up.
    async fn listen(self: Arc<Self>, shared: Arc<Shared>) {
        let _closing = Closing(&self);
        // A closed port is an error without anything to read.
        let interest = Interest::READABLE | Interest::ERROR;
        let receiving = async { while self.socket.async_io(interest, |_| self.receive(&shared)).await.is_ok() {} };
        // Without an end it is the runtime that is gone.
        let _ = timeout_at(self.until + GRACE, receiving).await;
    }

    fn close(&self) {
        self.waiting.close(&format!("read {}: the socket was closed", self.ends));
    }

    /// Takes what has come, as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is left; what else the system says those hear that wait.
    fn receive(&self, shared: &Shared) -> io::Result<()> {
        let mut room = shared.room.lock().unwrap_or_else(PoisonError::into_inner);
        let Room { octets, lengths } = &mut *room;
        let count = match (shared.datagrams.receive)(self.socket.get_ref().as_fd(), octets, lengths) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => {
                self.waiting.fail(&format!("read {}: {}", self.ends, words("read", &error)));
                return Ok(());
            }
            Ok(count) => count,
        };
        for (octets, length) in octets.chunks_exact(LARGEST).zip(&*lengths).take(count) {
            // A reply that fills its part was cut by the kernel: without its last octet it is surely damaged.
            if !self.waiting.deliver(&octets[..(*length).min(LARGEST - 1)], Some(&shared.case)) {
                shared.meters.ignored.inc();
            }
        }
        // Where there was room for more nothing is left: no call is needed to hear that.
        if count < lengths.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}

/// Closes a line when nobody listens to it any more, however that comes.
struct Closing<'a>(&'a Line);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
