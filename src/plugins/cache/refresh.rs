//! Answers from behind: asked for, held to their TTL, stored; before their end, at it, or after it.

use super::count::Event;
use super::entry::{Entry, Key};
use super::flight::{Follower, Leader, Seat};
use super::judge::{self, Kind};
use super::table::Table;
use super::{Cache, Tables};
use crate::plugin::{Failure, Handler, Next, Outcome, Reply, Request};
use crate::wire::{self, Query, Rcode, ReplyView};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Cache {
    /// Asks the rest of the chain, holds the answer's TTLs, and stores it.
    pub(super) async fn ask(&self, request: &Request, next: Next<'_>) -> Outcome {
        let began = Instant::now();
        let mut outcome = next.run(request).await;
        if let Outcome::Reply(reply) = &mut outcome {
            let now = request.moment.seconds + began.elapsed().as_secs();
            self.digest(&request.query(), &mut reply.packet, now);
        }
        outcome
    }

    /// Judges a reply, stores it, and gives all its records one TTL.
    pub(super) fn digest(&self, query: &Query<'_>, packet: &mut [u8], now: u64) {
        let Some(view) = ReplyView::parse(packet) else { return };
        let kind = judge::kind(query, &view, now);
        let ttl = judge::ttl(kind, &view, &self.options);
        if !view.question_matches(query.question()) {
            self.tally.count(Event::Drop);
        } else if ttl > 0 && judge::is_wanted(kind, query, &self.options) {
            self.store(query, &view, kind, ttl, now);
        }
        view.layout().set_ttls(packet, ttl);
        if !query.dnssec_ok() && !query.authentic_data() {
            packet[3] &= !0x20;
        }
    }

    fn store(&self, query: &Query<'_>, view: &ReplyView<'_>, kind: Kind, ttl: u32, now: u64) {
        let key = Key::of(query, &self.tables.seed);
        let Tables { success, denial, .. } = &*self.tables;
        let (in_success, in_denial) = (self.usable(success, &key, now), self.usable(denial, &key, now));
        if kind == Kind::Failure && (in_success.is_some() || in_denial.is_some()) {
            return;
        }
        let Some(entry) = Entry::new(query, view, ttl, now) else { return self.tally.count(Event::Drop) };
        let stays = self.options.prefer_positive && in_success == Some(true) && !entry.is_positive();
        match kind {
            // It has nothing of what the one that stays has.
            Kind::Success if stays => {}
            Kind::Success => {
                denial.remove(&key);
                success.insert(&key, entry, now);
            }
            _ => {
                if !stays {
                    success.remove(&key);
                }
                denial.insert(&key, entry, now);
            }
        }
    }

    /// Whether the entry of a key has what was asked for; `None` if there is none that may be given.
    fn usable(&self, table: &Table, key: &Key<'_>, now: u64) -> Option<bool> {
        let window = self.options.stale.map_or(0, |stale| stale.window);
        table.find(key).filter(|entry| entry.is_usable(now, window)).map(|entry| entry.is_positive())
    }

    /// Whether a denial of a key holds now.
    pub(super) fn is_denied(&self, key: &Key<'_>, now: u64) -> bool {
        self.tables.denial.find(key).is_some_and(|entry| entry.remaining(now).is_some())
    }

    /// Fetches an entry again beside the queries, unless that is going on. Returns a follower of it.
    pub(super) fn refresh(&self, entry: &Arc<Entry>, request: &Request, next: Next<'_>) -> Option<Follower> {
        if !entry.begin_refresh(request.moment.seconds) {
            return None;
        }
        let (Seat::Leader(leader), Some(own)) = (self.board(request), self.own.upgrade()) else {
            entry.end_refresh(0);
            return None;
        };
        let follower = leader.follow();
        let rest = next.rest();
        tokio::spawn(own.fetch_again(Refreshing(entry.clone()), request.clone(), rest, leader));
        Some(follower)
    }

    async fn fetch_again(
        self: Arc<Self>,
        refreshing: Refreshing,
        mut request: Request,
        rest: Vec<Arc<dyn Handler>>,
        leader: Leader,
    ) {
        // CoreDNS asks with AD when it asks for itself: whether data is authentic is then known to all.
        request.packet[3] |= 0x20;
        let began = Instant::now();
        let outcome = self.ask(&request, Next::all(&rest)).await;
        leader.land(&outcome);
        let recheck = self.options.stale.map_or(0, |stale| stale.recheck);
        let now = request.moment.seconds + began.elapsed().as_secs();
        refreshing.0.end_refresh(if is_good(&outcome) { 0 } else { now + recheck });
    }

    /// Waits for what is being fetched, if anybody is at it.
    pub(super) fn follow(&self, request: &Request) -> Option<Follower> {
        match self.board(request) {
            Seat::Follower(follower) => Some(follower),
            Seat::Leader(_) | Seat::Alone => None,
        }
    }

    /// What an upstream says in time, if it is an answer.
    pub(super) async fn verified(
        &self,
        follower: Option<Follower>,
        timeout: Option<Duration>,
        request: &Request,
    ) -> Option<Outcome> {
        let waiting = follower?.wait();
        let outcome = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, waiting).await.ok()??,
            None => waiting.await?,
        };
        let is_wanted = if self.options.prefer_positive { is_positive(request, &outcome) } else { is_good(&outcome) };
        is_wanted.then(|| share(request, &outcome))
    }

    /// A seat in the flight of those that take the same message: the question, DO, AD, CD, RD, and how much room there is.
    pub(super) fn board(&self, request: &Request) -> Seat {
        let [t0, t1] = request.qtype().0.to_be_bytes();
        let [c0, c1] = request.qclass().to_be_bytes();
        let (recursion_desired, authentic) = (request.packet[2] & 0x01, request.packet[3] & 0x30);
        let dnssec_ok = u8::from(request.edns().is_some_and(|edns| edns.dnssec_ok));
        let [l0, l1] = (request.limit() as u16).to_be_bytes();
        let rest = [t0, t1, c0, c1, recursion_desired, authentic, request.transport as u8, dnssec_ok, l0, l1];
        let mut key = [0; wire::MAX_NAME + 10];
        let (name, len) = (request.name.wire(), request.name.wire().len());
        key[..len].copy_from_slice(name);
        key[len..len + rest.len()].copy_from_slice(&rest);
        self.flights.board(&key[..len + rest.len()])
    }
}

/// An entry that is being fetched again; however that ends, another may try.
struct Refreshing(Arc<Entry>);

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.stop_refreshing();
    }
}

/// Whether an outcome is worth more than a stale entry.
fn is_good(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Reply(reply) if matches!(reply.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN))
}

/// Whether an outcome has what the request asks for.
fn is_positive(request: &Request, outcome: &Outcome) -> bool {
    let Outcome::Reply(reply) = outcome else { return false };
    reply.rcode() == Rcode::NOERROR && ReplyView::parse(&reply.packet).is_some_and(|view| view.reaches(request.qtype()))
}

/// A leader's outcome, addressed to another client.
pub(super) fn share(request: &Request, outcome: &Outcome) -> Outcome {
    let Outcome::Reply(reply) = outcome else { return outcome.clone() };
    let query = request.query();
    let view = ReplyView::parse(&reply.packet).filter(|view| view.question_matches(query.question()));
    let Some(view) = view else {
        return Outcome::Failed(Failure::servfail("the shared reply does not answer the question"));
    };
    let mut packet = view.without_opt();
    let len = packet.len();
    packet.resize(len + 11, 0);
    let len = wire::address_reply(&query, &mut packet, len, request.limit());
    packet.truncate(len);
    if !query.dnssec_ok() && !query.authentic_data() {
        packet[3] &= !0x20;
    }
    Outcome::Reply(Reply { packet, ..reply.clone() })
}
