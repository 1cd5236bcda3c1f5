//! TCP: accepting connections, at most so many, until told to stop.

mod connection;
mod https;
mod stream;

pub use https::RESPONSES as HTTPS_RESPONSES;

use super::counters::Counters;
use super::shares::{Refusal, Shares};
use super::slow::SlowLane;
use super::{Answerer, Closing, Protocol, SharedLimits};
use crate::metrics::Metrics;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};

/// Connections one listener keeps at a time, where the process may open twice as many files: upstreams and the API
/// server need some too. What comes above them is closed at once and counted. An idle one holds about a kilobyte.
const MAX_CONNECTIONS: usize = 20_000;
/// The same for encrypted ones, which hold some tens of kilobytes each.
const MAX_ENCRYPTED: usize = 2_000;
/// How long accepting rests when the process or the system is out of descriptors or memory.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// What every connection of a listener needs.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub protocol: Protocol,
    pub answerer: Arc<dyn Answerer>,
    pub slow: SlowLane,
    pub limits: SharedLimits,
    pub counters: Counters,
    pub metrics: Metrics,
    pub closing: Arc<Closing>,
    pub connections: Arc<Shares>,
    /// Files that the process may open.
    pub descriptors: usize,
}

impl Acceptor {
    /// The connections the listener may keep, half of what the process may open at most.
    fn max_connections(&self) -> usize {
        let most = match &self.protocol {
            Protocol::Dns => MAX_CONNECTIONS,
            Protocol::Tls(_) => MAX_ENCRYPTED,
            // Each may have hundreds of requests in flight.
            Protocol::Https { .. } | Protocol::Quic { .. } => self.limits.load().connections,
        };
        most.min(self.descriptors / 2)
    }

    /// Accepts and serves until the listener closes and all connections have ended.
    pub async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, client)) => self.serve(stream, client.ip(), &mut connections),
                    Err(why) => self.pause(&why).await,
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => self.count(&ended),
                () = self.closing.wait() => break,
            }
        }
        self.serve_waiting(listener, &mut connections);
        while let Some(ended) = connections.join_next().await {
            self.count(&ended);
        }
    }

    fn serve(&self, stream: TcpStream, client: IpAddr, connections: &mut JoinSet<()>) {
        let share = match self.connections.take(client, self.max_connections()) {
            Ok(share) => share,
            Err(Refusal::Full) => return self.counters.connection.inc(),
            Err(Refusal::Part) => return self.counters.source.inc(),
        };
        let served = connection::serve(stream, self.clone());
        connections.spawn(async move {
            let _share = share;
            served.await;
        });
    }

    /// Serves the connections that the system has made already, and closes the listener. It asks the system itself:
    /// tokio may not have heard of them yet.
    fn serve_waiting(&self, listener: TcpListener, connections: &mut JoinSet<()>) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, client)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            stream.into_iter().for_each(|stream| self.serve(stream, client.ip(), connections));
        }
    }

    /// A client that went away while it waited is no reason to rest; all else (EMFILE, ENFILE, ENOBUFS, ENOMEM) may go
    /// on for a while.
    async fn pause(&self, why: &io::Error) {
        let harmless = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
        if !harmless.contains(&why.kind()) {
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }

    fn count(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.counters.panics.inc();
        }
    }
}
