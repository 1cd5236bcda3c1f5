//! How long a connection may keep us waiting, and how much it may ask.

use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// The limits of one connection over TCP, TLS or HTTPS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// A new connection's handshake, where there is one, must be done within this, and its first whole message come;
    /// over HTTP every request's head, and its body.
    pub read: Duration,
    /// The client must take what is written within this.
    pub write: Duration,
    /// A connection without anything in flight is closed this long after its last message (RFC 7766 section 6.2.3).
    pub idle: Duration,
    /// Queries after which a connection is closed; `None` for no bound. HTTP has none.
    pub queries: Option<u32>,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        let [read, write, idle] = [3, 5, 10].map(Duration::from_secs);
        ConnectionLimits { read, write, idle, queries: None }
    }
}

/// The limits of a listener's connections; a reload may put others in, for the connections that come.
pub type Limits = Arc<ArcSwap<ConnectionLimits>>;
