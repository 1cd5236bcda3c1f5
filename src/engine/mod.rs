//! Sockets, threads, buffers: packets in, packets out, by a fast lane that never waits and a slow lane that may.
//!
//! UDP runs on worker threads of its own, one SO_REUSEPORT socket each, in batches of system calls; TCP on tokio. The
//! engine knows nothing of plugins: it asks a [`Lane`] for each packet and hands what that cannot answer to a [`Slow`].

use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

/// The fast lane of one worker or connection. Allocates nothing, waits for nothing.
pub trait Lane: Send {
    /// A batch begins: the only moment to read the clock or pick up a new plan.
    fn batch_begins(&mut self);
    /// Answers one packet into `out`.
    fn answer(&mut self, packet: &[u8], client: SocketAddr, out: &mut [u8]) -> Fast;
    /// The batch has been sent; `took` is from its receipt.
    fn batch_ends(&mut self, took: Duration);
}

/// The transport a packet came by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
}

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
    fn slow(&self, packet: Vec<u8>, arrival: Arrival) -> BoxFuture<'static, Option<Vec<u8>>>;
}

/// How a listener is run.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// UDP worker threads (and sockets) of this address.
    pub workers: usize,
    /// Slow-lane queries that may be in flight for this listener; more are answered by silence and counted.
    pub max_slow: usize,
}

/// An open listener: UDP and TCP on one address.
pub struct Listener;

/// Opens UDP and TCP on `address`. Must be called inside a tokio runtime. Port 0 takes the same free port for both.
///
/// # Errors
/// What the system says to the bind.
pub fn listen(
    _address: SocketAddr,
    _answerer: Arc<dyn Answerer>,
    _options: &ListenerOptions,
) -> std::io::Result<Listener> {
    unimplemented!()
}

impl Listener {
    /// The bound address, with the port that was chosen where 0 was asked.
    pub fn address(&self) -> SocketAddr {
        unimplemented!()
    }

    /// Stops: answers what the kernel has queued already and what is in flight, at most for `grace`, then closes.
    pub async fn close(self, _grace: Duration) {
        unimplemented!()
    }
}
