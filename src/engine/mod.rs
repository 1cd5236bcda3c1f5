//! Sockets, threads, buffers: packets in, packets out, by a fast lane that never waits and a slow lane that may.
//!
//! UDP runs on worker threads of its own, one SO_REUSEPORT socket each, in batches of system calls; TCP on tokio. The
//! engine knows nothing of plugins: it asks a [`Lane`] for each packet and hands what that cannot answer to an
//! [`Answerer`]. Under TCP's connections may be TLS, in them HTTP; QUIC is quinn's ([`Protocol`]).
//!
//! `udp.rs` and `tcp.rs` are the life of a packet; `slow.rs` bounds what waits, `shares.rs` each client's part of what
//! is bounded, `fairness.rs` its part of an overload; `sockets.rs` opens, `beside.rs` what is beside a wildcard;
//! `system.rs` is the only file of the program with `unsafe`.

mod beside;
mod counters;
mod fairness;
mod limits;
mod quic;
mod shares;
mod single;
mod slow;
mod sockets;
mod system;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use crate::wire::Transport;
pub use counters::{CONNECTIONS, CONNECTIONS_ENDED, DROPPED, SLOW_QUERIES};
pub use limits::{Limits, SharedLimits};
pub use quic::RESPONSES as QUIC_RESPONSES;
pub use slow::SlowQueries;
pub use system::{receive_connected, send_connected, watch_for_arrivals};
pub use tcp::HTTPS_RESPONSES;

use crate::metrics::Metrics;
use arc_swap::ArcSwapOption;
use beside::{Beside, Crew, Group};
use counters::Counters;
use futures_util::future::BoxFuture;
use shares::Shares;
use slow::SlowLane;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the fast lane says to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fast {
    /// This many octets of the buffer are the answer.
    Reply(usize),
    /// Nothing is sent.
    Silence,
    /// The slow lane has to see it.
    Slow,
}

/// The fast lane of one worker or connection. Allocates nothing, waits for nothing; the one exception to the first is a
/// zone whose blocks have views, whose expressions make strings.
pub trait Lane: Send {
    /// A batch begins: the only moment to read the clock or pick up a new plan.
    fn batch_begins(&mut self);
    /// Answers one packet into `out`.
    fn answer(&mut self, packet: &[u8], client: SocketAddr, out: &mut [u8]) -> Fast;
    /// The batch has been sent; `took` is from its receipt.
    fn batch_ends(&mut self, took: Duration);
    /// Whether the answers to this batch are let go instead of sent. Asked by UDP workers alone.
    fn is_silent(&self) -> bool {
        false
    }
}

/// What is spoken on a listener.
#[derive(Clone)]
pub enum Protocol {
    /// DNS over UDP and TCP (RFC 1035 section 4.2).
    Dns,
    /// DNS over TLS (RFC 7858), on TCP alone.
    Tls(Keys),
    /// DNS over HTTPS (RFC 8484), on TCP alone.
    #[allow(missing_docs)]
    Https {
        keys: Keys,
        /// The listener as metrics name it.
        server: Arc<str>,
    },
    /// DNS over QUIC (RFC 9250), on UDP alone. It needs keys.
    #[allow(missing_docs)]
    Quic { keys: Keys, server: Arc<str> },
}

/// What new connections prove us with; a reload may put something else in. Without anything they are not encrypted:
/// something in front of us ends TLS.
pub type Keys = Arc<ArcSwapOption<rustls::ServerConfig>>;

/// Whence a packet came and whither it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Arrival {
    pub client: SocketAddr,
    /// The address the client sent to; unspecified where the system did not say.
    pub local: SocketAddr,
    pub transport: Transport,
}

/// Who answers the packets of one listener.
pub trait Answerer: Send + Sync + 'static {
    /// A fast lane for a new worker or connection.
    fn lane(&self, transport: Transport) -> Box<dyn Lane>;
    /// The slow lane: the whole answer, or `None` for silence.
    fn slow(&self, packet: Vec<u8>, arrival: Arrival) -> BoxFuture<'static, Option<Sent>>;
}

/// What the slow lane has to send.
pub struct Sent {
    /// The message, of most answers the only one.
    pub message: Vec<u8>,
    /// Those that follow it over TCP (a zone transfer), kept as long as they wait.
    pub more: Option<Arc<dyn AsRef<[Vec<u8>]> + Send + Sync>>,
}

impl From<Vec<u8>> for Sent {
    fn from(message: Vec<u8>) -> Sent {
        Sent { message, more: None }
    }
}

/// How a listener is run.
#[derive(Clone)]
pub struct ListenerOptions {
    /// UDP worker threads (and sockets) of this address.
    pub workers: usize,
    /// What may be in flight in its slow lane, and in those of the listeners it shares this with.
    pub slow: SlowQueries,
    /// What its clients may have; kept by the caller too, to change them.
    pub limits: SharedLimits,
    /// Where panics and what is let go are counted.
    pub metrics: Metrics,
}

/// An open listener: one address, UDP and TCP or what its protocol has. Dropped, it ends without waiting for anything.
pub struct Listener {
    address: SocketAddr,
    closing: Arc<Closing>,
    /// The workers on the address itself.
    udp: Option<Group>,
    /// Of a wildcard.
    beside: Option<Arc<Beside>>,
    /// The TCP side, and the slow lane of each worker, which outlives its thread.
    tasks: JoinSet<()>,
    /// The workers beside, once they are closing.
    ending: JoinSet<()>,
}

/// Opens what `protocol` needs on `address`: UDP and TCP for DNS, with port 0 on the same free port; else TCP.
/// Must be called inside a tokio runtime.
///
/// # Errors
/// What the system says to the bind.
pub fn listen(
    address: SocketAddr,
    protocol: Protocol,
    answerer: Arc<dyn Answerer>,
    options: &ListenerOptions,
) -> io::Result<Listener> {
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    let counters = Counters::new(&options.metrics);
    let limits = options.limits.clone();
    let slow = SlowLane::new(answerer.clone(), options.slow.clone(), counters.clone());
    let opened = match protocol {
        Protocol::Dns => sockets::open(address, options.workers)?,
        Protocol::Tls(_) | Protocol::Https { .. } => sockets::open_tcp(address)?,
        Protocol::Quic { keys, server } => {
            let (closing, responses) = (Arc::<Closing>::default(), quic::responses(&options.metrics));
            let connections = Shares::new(counters.connections.clone());
            let acceptor = quic::Acceptor {
                keys,
                limits,
                server,
                answerer,
                slow,
                counters,
                responses,
                closing: closing.clone(),
                connections,
            };
            let endpoint = acceptor.open(sockets::open_udp(address)?)?;
            let (address, mut tasks) = (endpoint.local_addr()?, JoinSet::new());
            tasks.spawn_on(acceptor.run(endpoint), &runtime);
            return Ok(Listener { address, closing, udp: None, beside: None, tasks, ending: JoinSet::new() });
        }
    };
    let address = opened.tcp.local_addr()?;
    let crew = Crew { answerer: answerer.clone(), slow: slow.clone(), counters: counters.clone(), runtime };
    let has_wildcard = address.ip().is_unspecified() && !opened.udp.is_empty();
    let (closing, tasks, ending) = (Arc::<Closing>::default(), JoinSet::new(), JoinSet::new());
    let mut listener = Listener { address, closing: closing.clone(), udp: None, beside: None, tasks, ending };
    listener.udp = Some(Group::start(&crew, opened.udp, closing.clone(), &mut listener.tasks)?);
    if has_wildcard {
        let beside = Arc::new(Beside::new(address, options.workers, crew.clone()));
        beside.look();
        listener.tasks.spawn_on(look_now_and_then(beside.clone(), closing.clone()), &crew.runtime);
        listener.beside = Some(beside);
    }
    let (descriptors, metrics) = (system::raise_descriptor_limit(), options.metrics.clone());
    let connections = Shares::new(counters.connections.clone());
    let acceptor =
        tcp::Acceptor { protocol, answerer, slow, limits, counters, metrics, closing, connections, descriptors };
    listener.tasks.spawn_on(acceptor.run(tokio::net::TcpListener::from_std(opened.tcp)?), &crew.runtime);
    Ok(listener)
}

/// Addresses come and go while we serve.
async fn look_now_and_then(beside: Arc<Beside>, closing: Arc<Closing>) {
    while timeout(beside::PERIOD, closing.wait()).await.is_err() {
        beside.look();
    }
}

impl Listener {
    /// The bound address, with the port that was chosen where 0 was asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Other listeners were opened or closed: what they bind is theirs alone.
    pub fn look_around(&self) {
        if let Some(beside) = &self.beside {
            beside.look();
        }
    }

    /// Stops: answers what the kernel has queued already and what is in flight, at most for `grace`, then closes.
    pub async fn close(mut self, grace: Duration) {
        self.begin_closing(grace);
        let all_end = async {
            while self.tasks.join_next().await.is_some() {}
            while self.ending.join_next().await.is_some() {}
        };
        let _ = timeout(grace, all_end).await;
        self.tasks.shutdown().await;
        self.ending.shutdown().await;
    }

    /// As [`Listener::close`], but what comes from now on is left to other listeners on its port, if there are any.
    pub async fn hand_over(self, grace: Duration) {
        if let Some(udp) = &self.udp {
            udp.hand_over();
        }
        if let Some(beside) = &self.beside {
            beside.hand_over();
        }
        self.close(grace).await;
    }

    /// Wakes everybody.
    fn begin_closing(&mut self, grace: Duration) {
        self.closing.begin(grace);
        if let Some(udp) = &self.udp {
            udp.begin_closing(grace);
        }
        if let Some(ending) = self.beside.as_ref().and_then(|beside| beside.begin_closing(grace)) {
            self.ending = ending;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.begin_closing(Duration::ZERO);
    }
}

/// Whether a listener is closing, and until when it may go on answering.
#[derive(Default)]
struct Closing {
    deadline: OnceLock<Instant>,
    begun: watch::Sender<bool>,
}

impl Closing {
    /// The first call counts.
    fn begin(&self, grace: Duration) {
        self.deadline.get_or_init(|| Instant::now() + grace);
        self.begun.send_replace(true);
    }

    /// Whether the grace has passed. Until closing begins this is one load.
    fn is_over(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    /// Waits for closing to begin.
    async fn wait(&self) {
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }
}
