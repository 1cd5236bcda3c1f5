//! The open DNS listeners: those that a plan needs are opened, those it shares with the last one live on.

use super::build::{self, Place, Served};
use super::lanes::Current;
use super::threads;
use crate::corefile::Scheme;
use crate::engine::{self, Keys, Listener, ListenerOptions, Protocol, SharedLimits, SlowQueries};
use crate::metrics::Metrics;
use crate::plugin::Arrivals;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a closing listener may take to answer what it has.
const GRACE: Duration = Duration::from_secs(5);
/// Slow-lane queries in flight, of all listeners together. At six kilobytes each this bounds what a dead upstream can
/// hold: 120 MB.
const MAX_SLOW: usize = 20_000;

/// The open listeners by the place that was asked for.
pub(super) struct Listeners {
    options: ListenerOptions,
    arrivals: Arrivals,
    open: BTreeMap<Place, Open>,
}

struct Open {
    listener: Listener,
    current: Arc<Current>,
    keys: Keys,
    limits: SharedLimits,
}

impl Listeners {
    /// None open yet.
    pub(super) fn new(metrics: Metrics, arrivals: Arrivals) -> Listeners {
        let slow = SlowQueries::at_most(MAX_SLOW);
        let options = ListenerOptions { workers: threads(), slow, limits: SharedLimits::default(), metrics };
        Listeners { options, arrivals, open: BTreeMap::new() }
    }

    /// Makes these the listeners. What is new is opened before anything else changes; nothing changes on error.
    pub(super) async fn apply(&mut self, places: &BTreeMap<Place, Served>) -> Result<(), String> {
        let mut opened = Vec::new();
        for (place, served) in places.iter().filter(|(place, _)| !self.open.contains_key(place)) {
            let address = place.address;
            match self.open(*place, served) {
                Ok(open) => opened.push((*place, open)),
                // A host without IPv6 serves the IPv4 half of a wildcard.
                Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {}
                Err(error) => {
                    for (_, open) in opened {
                        open.listener.close(Duration::ZERO).await;
                    }
                    return Err(format!("listen {address}: {error}"));
                }
            }
        }
        for (place, open) in &self.open {
            if let Some(served) = places.get(place) {
                open.current.routes.store(Arc::clone(&served.routes));
                open.keys.store(served.keys.clone());
                open.limits.store(Arc::new(served.limits));
            }
        }
        self.open.extend(opened);
        let gone: Vec<_> = self.open.keys().filter(|place| !places.contains_key(place)).copied().collect();
        for place in gone {
            if let Some(open) = self.open.remove(&place) {
                tokio::spawn(open.listener.hand_over(GRACE));
            }
        }
        self.open.values().for_each(|open| open.listener.look_around());
        Ok(())
    }

    fn open(&self, place: Place, served: &Served) -> io::Result<Open> {
        let routes = ArcSwap::from(Arc::clone(&served.routes));
        let current = Arc::new(Current { routes, arrivals: self.arrivals.clone() });
        let keys = Keys::new(served.keys.clone().into());
        let limits = SharedLimits::new(ArcSwap::from_pointee(served.limits));
        let options = ListenerOptions {
            workers: served.sockets.unwrap_or(self.options.workers),
            limits: limits.clone(),
            ..self.options.clone()
        };
        let bind = Some(place.address.ip()).filter(|ip| !ip.is_unspecified());
        let server = build::server_name(place.scheme, bind.as_ref(), place.address.port());
        let protocol = match place.scheme {
            Scheme::Tls => Protocol::Tls(keys.clone()),
            Scheme::Https => Protocol::Https { keys: keys.clone(), server: server.into() },
            Scheme::Quic => Protocol::Quic { keys: keys.clone(), server: server.into() },
            _ => Protocol::Dns,
        };
        let listener = engine::listen(place.address, protocol, Arc::new(Arc::clone(&current)), &options)?;
        Ok(Open { listener, current, keys, limits })
    }

    /// The bound addresses of `dns://`.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let dns = self.open.iter().filter(|(place, _)| place.scheme == Scheme::Dns);
        dns.map(|(_, open)| open.listener.address()).collect()
    }

    /// Closes every listener at once, answering what they have.
    pub(super) async fn close(&mut self) {
        let closing = std::mem::take(&mut self.open).into_values().map(|open| open.listener.close(GRACE));
        futures_util::future::join_all(closing).await;
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
