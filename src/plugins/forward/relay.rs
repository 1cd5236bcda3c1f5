//! One query's way: which upstream is asked, who is asked after one that fails, and when to give up.

use super::message::Outgoing;
use super::upstream::{Health, Protocol, Trouble, Upstream};
use super::{Forward, Permit};
use crate::plugin::{Failure, Outcome, Request, Transport};
use crate::wire::Rcode;
use rand::RngExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The time a query has in all.
const BUDGET: Duration = Duration::from_secs(5);

impl Forward {
    pub(super) async fn relay(&self, request: &Request) -> Outcome {
        if let Some(why) = &self.without_upstreams {
            return Outcome::Failed(Failure::servfail(why.clone()));
        }
        let Some(_permit) = self.permit() else {
            self.totals.rejects.inc();
            let reason = format!("concurrent queries exceeded maximum {}", self.options.max_concurrent);
            return Outcome::Failed(Failure { rcode: Rcode::REFUSED, reason });
        };
        self.try_upstreams(request, Arc::new(Outgoing::of(request))).await
    }

    /// Asks one upstream after the other until one answers, or time or attempts are over.
    async fn try_upstreams(&self, request: &Request, query: Arc<Outgoing>) -> Outcome {
        let began = Instant::now();
        let mut now = began;
        let attempts = match self.options.max_connect_attempts {
            0 => usize::MAX,
            limit => limit,
        };
        let (mut failed, mut reason) = (0, None);
        let mut last_answer = None;
        let mut answered = 0;
        let order = self.order();
        for index in order.iter().cycle() {
            if failed + answered > 0 {
                now = Instant::now();
            }
            let left = BUDGET.saturating_sub(now.saturating_duration_since(began));
            if failed >= attempts || left.is_zero() {
                break;
            }
            let Some(upstream) = self.usable(&self.upstreams[*index]) else { break };
            match self.ask(upstream, &query, request, now, left.min(self.options.read_timeout)).await {
                Ok(packet) => {
                    request.metadata.note("forward/upstream", || upstream.to_string());
                    answered += 1;
                    let rcode = Rcode(u16::from(packet[3] & 0x0f));
                    if !self.options.failover.contains(&rcode) || answered >= self.upstreams.len() {
                        return query.outcome(request, packet);
                    }
                    last_answer = Some(packet);
                }
                Err(trouble) => {
                    failed += 1;
                    reason = Some(trouble.reason);
                }
            }
        }
        match last_answer {
            Some(packet) => query.outcome(request, packet),
            None => Outcome::Failed(Failure::servfail(reason.unwrap_or_else(|| "no healthy proxies".to_owned()))),
        }
    }

    /// The upstreams in the policy's order, those whose last exchange failed behind the well ones: a dead one costs
    /// the queries that were under way when it died, and one now and then, instead of a timeout each. Those that are
    /// down are left out, unless all are.
    fn order(&self) -> Cow<'static, [usize]> {
        if self.upstreams.len() == 1 {
            return Cow::Borrowed(&[0]);
        }
        let mut order = self.options.policy.order(self.upstreams.len(), &self.turn);
        if order.len() < 2 || self.upstreams.iter().all(|upstream| upstream.health() == Health::Well) {
            return order.into();
        }
        order.sort_by_cached_key(|index| match self.upstreams[*index].health() {
            Health::Ailing if self.upstreams[*index].is_to_be_tried() => Health::Well,
            health => health,
        });
        let up = order.iter().take_while(|index| self.upstreams[**index].health() != Health::Down).count();
        if up > 0 {
            order.truncate(up);
        }
        order.into()
    }

    /// The upstream to ask in the place of this one: itself, or, as all are down, any, because the checks may be what
    /// is broken. `None` if even that is not to be: down upstreams are asked at a bounded rate.
    fn usable<'a>(&'a self, upstream: &'a Arc<Upstream>) -> Option<&'a Arc<Upstream>> {
        if upstream.health() != Health::Down {
            return Some(upstream);
        }
        // It may have gone down since the order was made.
        if let Some(other) = self.upstreams.iter().find(|upstream| upstream.health() != Health::Down) {
            return Some(other);
        }
        self.totals.broken.inc();
        let any = &self.upstreams[rand::rng().random_range(0..self.upstreams.len())];
        (!self.options.failfast && any.may_be_tried_while_down()).then_some(any)
    }

    /// One attempt at one upstream, with a second one over TCP where `prefer_udp` asks for it.
    async fn ask(
        &self,
        upstream: &Arc<Upstream>,
        query: &Arc<Outgoing>,
        request: &Request,
        began: Instant,
        timeout: Duration,
    ) -> Result<Vec<u8>, Trouble> {
        let options = &self.options;
        let protocol = match request.transport {
            _ if options.force_tcp => Protocol::Tcp,
            _ if options.prefer_udp => Protocol::Udp,
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let mut answer = upstream.exchange(query, protocol, began, timeout).await;
        if let Ok((packet, _)) = &answer
            && options.prefer_udp
            && protocol == Protocol::Udp
            && packet[2] & 0x02 != 0
        {
            answer = upstream.exchange(query, Protocol::Tcp, Instant::now(), timeout).await;
        }
        match &answer {
            Ok((_, then)) => upstream.is_well(*then),
            Err(_) => upstream.has_failed(began),
        }
        answer.map(|(packet, _)| packet)
    }

    /// A place among the queries in flight.
    fn permit(&self) -> Option<Permit<'_>> {
        let before = self.in_flight.fetch_add(1, Relaxed);
        self.totals.in_flight.inc();
        let permit = Permit(self);
        (self.options.max_concurrent == 0 || before < self.options.max_concurrent).then_some(permit)
    }
}
