//! One upstream: how it is asked, and whether it is well.

use super::case::Case;
use super::https::HttpsPool;
use super::message::Outgoing;
use super::metrics::Meters;
use super::options::{HealthCheck, Options};
use super::secure::Secure;
use super::targets::{Scheme, Target};
use super::tcp::TcpPool;
use super::udp::UdpPool;
use super::waiting::Arrival;
use crate::metrics::Metrics;
use crate::plugin::Datagrams;
use crate::wire::Rcode;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long one health check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// An upstream that stays down is checked less and less often, down to one check in this many intervals.
const RAREST_CHECK: u32 = 8;
/// How often a query tries an ailing upstream that is not checked, while others are well.
const TRIAL: Duration = Duration::from_secs(2);
/// The pause between two queries to one that is down, where all are.
const PAUSE_WHILE_DOWN: Duration = Duration::from_millis(50);

/// What is known of an upstream, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Health {
    Well,
    /// The last exchange failed, and nothing has come since.
    Ailing,
    /// More health checks in a row have failed than are forgiven.
    Down,
}

/// Why an exchange failed, in the words CoreDNS's users match with `errors { consolidate ... }`.
#[derive(Debug)]
pub(super) struct Trouble {
    pub reason: String,
    pub timed_out: bool,
}

impl Trouble {
    pub fn new(reason: String) -> Trouble {
        Trouble { reason, timed_out: false }
    }

    /// `what` took too long.
    pub fn timeout(what: String) -> Trouble {
        Trouble { reason: format!("{what}: i/o timeout"), timed_out: true }
    }
}

/// A system call's failure as Go says it: `read: connection refused`.
pub(super) fn words(call: &str, error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{call}: {}", text.to_lowercase())
}

/// How an upstream in the clear is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// How an upstream is reached.
enum Way {
    Clear { udp: UdpPool, tcp: TcpPool },
    Tls(TcpPool),
    Https(HttpsPool),
}

impl Way {
    /// `began` is about now: a clock is read once for all that a query needs it for.
    async fn exchange(
        &self,
        query: &Arc<Outgoing>,
        protocol: Protocol,
        began: Instant,
        timeout: Duration,
    ) -> Result<Arrival, Trouble> {
        match (self, protocol) {
            (Way::Clear { udp, .. }, Protocol::Udp) => udp.exchange(query, began, timeout).await,
            // Apart, so that a query over UDP, which nearly all are, has no room for what these need.
            (Way::Clear { tcp, .. }, Protocol::Tcp) | (Way::Tls(tcp), _) => {
                Box::pin(tcp.exchange(query, timeout)).await
            }
            (Way::Https(https), _) => Box::pin(https.exchange(query, timeout)).await,
        }
    }
}

/// A server that queries are relayed to.
pub(super) struct Upstream {
    address: SocketAddr,
    way: Way,
    check: HealthCheck,
    /// Failed health checks in a row.
    failures: AtomicU32,
    checking: AtomicBool,
    ailing: AtomicBool,
    /// The moments below are microseconds after this one.
    made: Instant,
    /// When the last reply came.
    last_reply: AtomicU64,
    /// When a query may try it next although it is ailing, and although it is down.
    next_trial: AtomicU64,
    next_while_down: AtomicU64,
    case: Arc<Case>,
    meters: Arc<Meters>,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Upstream {
    /// The upstream at `target`; `secure` is how it is spoken to where it is encrypted.
    pub fn new(
        target: &Target,
        secure: Option<Secure>,
        options: &Options,
        metrics: &Metrics,
        datagrams: Datagrams,
    ) -> Upstream {
        let (address, connections) = (target.address, options.connections);
        let stream = match target.scheme {
            Scheme::Tls => "tcp-tls",
            Scheme::Https => "https",
            _ => "tcp",
        };
        let meters = Arc::new(Meters::new(metrics, address.to_string(), stream));
        let case = Arc::<Case>::default();
        let way = match (target.scheme, secure) {
            (Scheme::Https, Some(secure)) => {
                Way::Https(HttpsPool::new(address, secure, options.doh_method, connections, meters.clone()))
            }
            (_, Some(secure)) => Way::Tls(TcpPool::new(address, Some(secure), connections, meters.clone())),
            (_, None) => Way::Clear {
                udp: UdpPool::new(address, connections, case.clone(), meters.clone(), datagrams),
                tcp: TcpPool::new(address, None, connections, meters.clone()),
            },
        };
        Upstream {
            address,
            way,
            check: options.check.clone(),
            failures: AtomicU32::new(0),
            checking: AtomicBool::new(false),
            ailing: AtomicBool::new(false),
            made: Instant::now(),
            last_reply: AtomicU64::new(0),
            next_trial: AtomicU64::new(0),
            next_while_down: AtomicU64::new(0),
            case,
            meters,
        }
    }

    /// Sends a query, now as `began` says, and waits for its reply; returns also when that came. A reply in another case
    /// than the question's, over UDP and from one that was seen to repeat it, is asked for again over TCP: a forger cannot
    /// know the case. If there is no TCP either, it was no forger who changed it.
    pub async fn exchange(
        &self,
        query: &Arc<Outgoing>,
        protocol: Protocol,
        began: Instant,
        timeout: Duration,
    ) -> Result<(Vec<u8>, Instant), Trouble> {
        let mut arrival = self.way.exchange(query, protocol, began, timeout).await?;
        if matches!(arrival, Arrival::CaseDiffers) {
            let left = timeout.saturating_sub(began.elapsed());
            let over_tcp = self.way.exchange(query, Protocol::Tcp, Instant::now(), left).await;
            arrival = over_tcp.inspect_err(|_| self.case.give_up())?;
        }
        match arrival {
            Arrival::Reply(packet) => {
                let now = Instant::now();
                self.meters.took(Rcode(u16::from(packet[3] & 0x0f)), now.saturating_duration_since(began));
                Ok((packet, now))
            }
            Arrival::CaseDiffers => Err(Trouble::new(format!("{}: the reply has another question", self.address))),
            Arrival::Broken(reason) => Err(Trouble::new(format!("{}: {reason}", self.address))),
        }
    }

    /// How it is, as far as is known. Without checks (`max_fails 0`) it is never down.
    pub fn health(&self) -> Health {
        match self.check.max_fails {
            most @ 1.. if self.failures.load(Relaxed) > most => Health::Down,
            _ if self.ailing.load(Relaxed) => Health::Ailing,
            _ => Health::Well,
        }
    }

    /// Whether a query shall try an ailing one although others are well: now and then, where no check does.
    pub fn is_to_be_tried(&self) -> bool {
        self.check.max_fails == 0 && self.takes(&self.next_trial, TRIAL)
    }

    /// Whether a query may be sent to one that is down.
    pub fn may_be_tried_while_down(&self) -> bool {
        self.takes(&self.next_while_down, PAUSE_WHILE_DOWN)
    }

    /// Takes the next trial, if it is time for one.
    fn takes(&self, next: &AtomicU64, pause: Duration) -> bool {
        let (now, due) = (self.micros(Instant::now()), next.load(Relaxed));
        let after = now + pause.as_micros() as u64;
        now >= due && next.compare_exchange(due, after, Relaxed, Relaxed).is_ok()
    }

    /// An exchange that began then has failed: if nothing has come since, it is not the query's fault. Checks its
    /// health until a check succeeds, if that is not going on already.
    pub fn has_failed(self: &Arc<Self>, began: Instant) {
        if self.last_reply.load(Relaxed) <= self.micros(began) && !self.ailing.swap(true, Relaxed) {
            self.next_trial.store(self.micros(Instant::now() + TRIAL), Relaxed);
        }
        if self.check.max_fails > 0 && !self.checking.swap(true, Relaxed) {
            tokio::spawn(check_health(Arc::downgrade(self)));
        }
    }

    /// A query has been answered at this moment.
    pub fn is_well(&self, then: Instant) {
        self.last_reply.store(self.micros(then), Relaxed);
        self.recover();
    }

    fn recover(&self) {
        if self.failures.load(Relaxed) > 0 {
            self.failed_in_a_row(0);
        }
        if self.ailing.load(Relaxed) {
            self.ailing.store(false, Relaxed);
        }
    }

    fn micros(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.made).as_micros() as u64
    }

    /// Takes it for down.
    #[cfg(test)]
    pub fn make_down(&self) {
        self.failures.store(u32::MAX / 2, Relaxed);
    }

    /// How many queries wait for a reply over UDP.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        match &self.way {
            Way::Clear { udp, .. } => udp.waiting(),
            Way::Tls(_) | Way::Https(_) => 0,
        }
    }

    /// One health check: any reply to the question is health.
    async fn check(&self) -> bool {
        let probe = Arc::new(Outgoing::probe(&self.check.domain, self.check.recursion_desired));
        let well = self.way.exchange(&probe, self.check.protocol, Instant::now(), CHECK_TIMEOUT).await;
        let well = matches!(well, Ok(Arrival::Reply(_) | Arrival::CaseDiffers));
        if well {
            self.recover();
        } else {
            self.meters.health_failures.inc();
            self.failed_in_a_row(self.failures.load(Relaxed).saturating_add(1));
        }
        well
    }

    fn failed_in_a_row(&self, failures: u32) {
        self.failures.store(failures, Relaxed);
        self.meters.failing.set(f64::from(failures));
    }
}

impl Drop for Upstream {
    /// Nobody is to hear of an upstream that a reload has taken away.
    fn drop(&mut self) {
        self.meters.failing.set(0.0);
    }
}

/// Checks until a check succeeds or the upstream is gone. A long outage is checked at longer intervals.
async fn check_health(upstream: Weak<Upstream>) {
    let mut misses = 0u32;
    loop {
        let Some(upstream) = upstream.upgrade() else { return };
        if upstream.check().await {
            upstream.checking.store(false, Relaxed);
            return;
        }
        misses += 1;
        let pause = upstream.check.interval * misses.saturating_sub(upstream.check.max_fails).clamp(1, RAREST_CHECK);
        drop(upstream);
        tokio::time::sleep(pause).await;
    }
}
