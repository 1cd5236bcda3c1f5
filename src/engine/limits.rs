//! What the clients of a listener may have of us: connections, streams, queries and time.

use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// The limits of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections over HTTPS or QUIC, all together. TCP and TLS have bounds that cannot be changed.
    pub connections: usize,
    /// QUIC streams of one connection: queries in flight.
    pub streams: u32,
    /// QUIC streams of all connections together.
    pub workers: usize,
    /// A new connection's handshake, where there is one, must be done within this, and its first whole message come;
    /// over HTTP every request's head, and its body; over QUIC every stream's query.
    pub read: Duration,
    /// The client must take what is written within this.
    pub write: Duration,
    /// A connection without anything in flight is closed this long after its last message (RFC 7766 section 6.2.3).
    pub idle: Duration,
    /// Queries after which a connection is closed; `None` for no bound. HTTP and QUIC have none.
    pub queries: Option<u32>,
}

impl Default for Limits {
    /// CoreDNS's.
    fn default() -> Limits {
        let [read, write, idle] = [3, 5, 10].map(Duration::from_secs);
        Limits { connections: 200, streams: 256, workers: 512, read, write, idle, queries: None }
    }
}

/// The limits of a listener as they are now; a reload may put others in, for the connections that come.
pub type SharedLimits = Arc<ArcSwap<Limits>>;
