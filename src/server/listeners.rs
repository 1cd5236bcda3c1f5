//! The open DNS listeners: those that a plan needs are opened, those it shares with the last one live on.

use super::lanes::Current;
use super::routes::Routes;
use crate::engine::{self, Listener, ListenerOptions};
use crate::metrics::Metrics;
use crate::plugin::Arrivals;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a closing listener may take to answer what it has.
const GRACE: Duration = Duration::from_secs(5);
/// Slow-lane queries in flight for one listener. At a kilobyte or two each this bounds what a dead upstream can hold.
const MAX_SLOW: usize = 20_000;

/// The open listeners by the address that was asked for.
pub(super) struct Listeners {
    options: ListenerOptions,
    arrivals: Arrivals,
    open: BTreeMap<SocketAddr, (Listener, Arc<Current>)>,
}

impl Listeners {
    /// None open yet; a worker a core, as far as the process may use them.
    pub(super) fn new(metrics: Metrics, arrivals: Arrivals) -> Listeners {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let options = ListenerOptions { workers, max_slow: MAX_SLOW, metrics };
        Listeners { options, arrivals, open: BTreeMap::new() }
    }

    /// Makes these the listeners. What is new is opened before anything else changes; nothing changes on error.
    pub(super) async fn apply(&mut self, routes: &BTreeMap<SocketAddr, Arc<Routes>>) -> Result<(), String> {
        let mut opened = Vec::new();
        for (address, routes) in routes.iter().filter(|(address, _)| !self.open.contains_key(address)) {
            let current =
                Arc::new(Current { routes: ArcSwap::from(Arc::clone(routes)), arrivals: self.arrivals.clone() });
            match engine::listen(*address, Arc::new(Arc::clone(&current)), &self.options) {
                Ok(listener) => opened.push((*address, (listener, current))),
                // A host without IPv6 serves the IPv4 half of a wildcard.
                Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {}
                Err(error) => {
                    for (_, (listener, _)) in opened {
                        listener.close(Duration::ZERO).await;
                    }
                    return Err(format!("listen {address}: {error}"));
                }
            }
        }
        for (address, (_, current)) in &self.open {
            if let Some(routes) = routes.get(address) {
                current.routes.store(Arc::clone(routes));
            }
        }
        self.open.extend(opened);
        let gone: Vec<_> = self.open.keys().filter(|address| !routes.contains_key(address)).copied().collect();
        for address in gone {
            if let Some((listener, _)) = self.open.remove(&address) {
                tokio::spawn(listener.close(GRACE));
            }
        }
        Ok(())
    }

    /// The bound addresses.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.open.values().map(|(listener, _)| listener.address()).collect()
    }

    /// Closes every listener at once, answering what they have.
    pub(super) async fn close(&mut self) {
        let closing = std::mem::take(&mut self.open).into_values().map(|(listener, _)| listener.close(GRACE));
        futures_util::future::join_all(closing).await;
    }
}

fn lacks_ipv6(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
