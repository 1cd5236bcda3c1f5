//! DNS over QUIC (RFC 9250): connections, at most so many, each with its streams.
//!
//! On quinn itself, not on hickory-server, which has it too: what a client may hold of us (connections, streams, octets,
//! time) has to be bounded here, and hickory's server takes none of quinn's limits.

mod stream;

use super::counters::Counters;
use super::shares::{Refusal, Shares};
use super::slow::SlowLane;
use super::{Answerer, Arrival, Closing, Keys, SharedLimits, Transport};
use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::IntCounterVec;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Answers by the code that their stream or connection ended with.
pub const RESPONSES: Descriptor = Descriptor {
    name: "coredns_dns_quic_responses_total",
    help: "Counter of DoQ responses per server and QUIC application code.",
    labels: &["server", "status"],
    kind: MetricKind::Counter,
};

/// DOQ_NO_ERROR, DOQ_INTERNAL_ERROR, DOQ_PROTOCOL_ERROR (RFC 9250 section 4.3).
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 1;
const PROTOCOL_ERROR: u32 = 2;

/// Octets of one stream that a client may send before they are read: the longest message and its length.
const STREAM_WINDOW: u32 = 2 + u16::MAX as u32;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Octets that wait to be acknowledged by one client.
const SEND_WINDOW: u64 = 512 << 10;
/// Handshakes that wait to be looked at, and what they may hold.
const MAX_INCOMING: usize = 256;
const INCOMING_OCTETS: u64 = 4 << 20;

/// What a listener and its connections need.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub keys: Keys,
    pub limits: SharedLimits,
    pub server: Arc<str>,
    pub answerer: Arc<dyn Answerer>,
    pub slow: SlowLane,
    pub counters: Counters,
    pub responses: IntCounterVec,
    pub closing: Arc<Closing>,
    pub connections: Arc<Shares>,
}

impl Acceptor {
    /// Opens the endpoint.
    ///
    /// # Errors
    /// What the system says, or what rustls says to the keys.
    pub fn open(&self, socket: UdpSocket) -> io::Result<Endpoint> {
        let config = EndpointConfig::default();
        Endpoint::new(config, Some(self.config()?), socket, Arc::new(TokioRuntime))
    }

    /// The configuration of new connections, as the keys and limits are now.
    fn config(&self) -> io::Result<ServerConfig> {
        let keys = self.keys.load_full().ok_or_else(|| io::Error::other("QUIC needs a certificate"))?;
        let crypto = QuicServerConfig::try_from(keys).map_err(io::Error::other)?;
        let limits = self.limits.load();
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(VarInt::from_u32(limits.streams));
        transport.max_concurrent_uni_streams(VarInt::from_u32(0));
        transport.max_idle_timeout(IdleTimeout::try_from(limits.idle).ok());
        transport.stream_receive_window(VarInt::from_u32(STREAM_WINDOW));
        transport.receive_window(VarInt::from_u32(CONNECTION_WINDOW));
        transport.send_window(SEND_WINDOW);
        transport.datagram_receive_buffer_size(None);
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        config.max_incoming(MAX_INCOMING).incoming_buffer_size(INCOMING_OCTETS / 64);
        config.incoming_buffer_size_total(INCOMING_OCTETS);
        Ok(config)
    }

    /// Accepts and serves until the listener closes and all connections have ended.
    pub async fn run(self, endpoint: Endpoint) {
        let mut connections = JoinSet::new();
        let mut keys = self.keys.load_full();
        let mut limits = self.limits.load_full();
        let mut workers = Arc::new(Semaphore::new(limits.workers));
        loop {
            tokio::select! {
                incoming = endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    let now = (self.keys.load_full(), self.limits.load_full());
                    let is_same = keys.as_ref().map(Arc::as_ptr) == now.0.as_ref().map(Arc::as_ptr);
                    if !is_same || limits != now.1 {
                        if let Ok(config) = self.config() {
                            endpoint.set_server_config(Some(config));
                        }
                        if limits.workers != now.1.workers {
                            workers = Arc::new(Semaphore::new(now.1.workers));
                        }
                        (keys, limits) = now;
                    }
                    self.admit(incoming, limits.connections, &workers, &mut connections);
                }
                Some(ended) = connections.join_next(), if !connections.is_empty() => self.count(&ended),
                () = self.closing.wait() => break,
            }
        }
        while let Some(ended) = connections.join_next().await {
            self.count(&ended);
        }
        endpoint.close(VarInt::from_u32(NO_ERROR), b"");
        endpoint.wait_idle().await;
    }

    /// Lets a client in, has it prove its address first where there are many, or refuses it.
    fn admit(&self, incoming: Incoming, most: usize, workers: &Arc<Semaphore>, connections: &mut JoinSet<()>) {
        // Below a half nobody is refused, so an address that is not the sender's takes nothing from its owner.
        if (most / 2..most).contains(&connections.len()) && !incoming.remote_address_validated() {
            // One that cannot be asked any more is refused when it is dropped.
            let _ = incoming.retry();
            return;
        }
        let refusal = match self.connections.take(incoming.remote_address().ip(), most) {
            Ok(share) => {
                let served = serve(incoming, self.clone(), workers.clone());
                connections.spawn(async move {
                    let _share = share;
                    served.await;
                });
                return;
            }
            Err(Refusal::Full) => &self.counters.connection,
            Err(Refusal::Part) => &self.counters.source,
        };
        refusal.inc();
        incoming.refuse();
    }

    fn count(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.counters.panics.inc();
        }
    }
}

/// Serves a connection to its end.
async fn serve(incoming: Incoming, acceptor: Acceptor, workers: Arc<Semaphore>) {
    let Ok(connecting) = incoming.accept() else { return };
    let limits = **acceptor.limits.load();
    let connection = match timeout(limits.read, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return,
        Err(_) => return acceptor.counters.ended_first.inc(),
    };
    let local = SocketAddr::new(connection.local_ip().unwrap_or([0; 4].into()), 0);
    let arrival = Arrival { client: connection.remote_address(), local, transport: Transport::Tcp };
    let mut streams = JoinSet::new();
    // A connection without streams is closed then, whatever it does to stay.
    let mut deadline = Instant::now() + limits.idle;
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => {
                let (send, receive) = match accepted {
                    Ok(stream) => stream,
                    // The client has gone: its streams go too.
                    Err(ConnectionError::TimedOut) => return acceptor.counters.ended_idle.inc(),
                    Err(_) => return,
                };
                // More streams than all clients together may have wait here, and those behind them with the client.
                let Ok(place) = workers.clone().acquire_owned().await else { return };
                let (acceptor, connection) = (acceptor.clone(), connection.clone());
                streams.spawn(async move {
                    stream::answer(send, receive, &connection, arrival, &acceptor, limits).await;
                    drop(place);
                });
            }
            Some(ended) = streams.join_next(), if !streams.is_empty() => {
                acceptor.count(&ended);
                deadline = Instant::now() + limits.idle;
            }
            () = sleep_until(deadline), if streams.is_empty() => {
                acceptor.counters.ended_idle.inc();
                break;
            }
            () = acceptor.closing.wait() => break,
        }
    }
    while let Some(ended) = streams.join_next().await {
        acceptor.count(&ended);
    }
    connection.close(VarInt::from_u32(NO_ERROR), b"");
}

/// The counter of [`RESPONSES`].
pub(super) fn responses(metrics: &Metrics) -> IntCounterVec {
    metrics.counter(&RESPONSES)
}
