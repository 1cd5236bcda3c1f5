//! How a query meets the cache: in the fast lane as a source of bytes, in the slow lane around the rest of the chain.

use super::Cache;
use super::count::Event;
use super::entry::{Entry, Key};
use super::flight::Seat;
use crate::plugin::{BoxFuture, Context, Handler, Next, Outcome, Reply, Request, Source, Verdict};
use crate::wire::{LowerName, Query, RecordType};
use std::sync::Arc;

/// The fast lane: a hit, or none of its business.
impl Source for Cache {
    #[inline]
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        if !self.is_ours(query) {
            return Verdict::Pass;
        }
        let now = context.moment.seconds;
        let written = self.find(query, now).and_then(|found| {
            let is_final = match found.age {
                Age::Fresh => true,
                // The slow lane starts what has to be fetched; everybody else goes on here.
                Age::Due => found.entry.is_quiet(now),
                Age::Stale => self.gives_at_once(&found, now),
            };
            if is_final { self.write(&found, query, context, out) } else { None }
        });
        written.map_or(Verdict::Pass, Verdict::Answered)
    }
}

/// An entry that may be given.
pub(super) struct Found {
    entry: Arc<Entry>,
    event: Event,
    age: Age,
    ttl: u32,
    /// A denial that holds came after it: nobody needs to ask whether it is still so.
    denied: bool,
}

/// How far on in its time an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    /// Popular, and near its end: to be fetched again.
    Due,
    /// Past its end.
    Stale,
}

impl Cache {
    #[inline]
    fn is_ours(&self, query: &Query<'_>) -> bool {
        query.opcode() == 0 && !query.signed && self.covers(&query.name)
    }

    #[inline]
    fn covers(&self, name: &LowerName<'_>) -> bool {
        self.options.zones.iter().any(|zone| name.is_within(zone))
    }

    /// The entry for a query that holds still, or is stale and may be given.
    #[inline]
    pub(super) fn find(&self, query: &Query<'_>, now: u64) -> Option<Found> {
        let key = Key::of(query, &self.tables.seed);
        for (table, event) in [(&self.tables.success, Event::Success), (&self.tables.denial, Event::Denial)] {
            let Some(entry) = table.find(&key) else { continue };
            let (age, ttl) = match (entry.remaining(now), self.options.stale) {
                (Some(left), _) => {
                    let is_due = self.options.prefetch.is_some_and(|prefetch| entry.is_due(now, left, &prefetch));
                    let ttl = if self.options.keep_ttl { entry.ttl() } else { left };
                    (if is_due { Age::Due } else { Age::Fresh }, ttl)
                }
                (None, Some(stale)) if entry.is_stale(now, stale.window) => (Age::Stale, stale.ttl),
                _ => continue,
            };
            let denied = age == Age::Stale && self.options.prefer_positive && self.is_denied(&key, now);
            return Some(Found { entry, event, age, ttl, denied });
        }
        None
    }

    /// Whether a stale entry is given without asking anybody.
    fn gives_at_once(&self, found: &Found, now: u64) -> bool {
        if found.denied {
            return true;
        }
        let verifies = self.options.stale.is_some_and(|stale| stale.verify.is_some());
        if verifies { found.entry.is_resting(now) } else { found.entry.is_quiet(now) }
    }

    /// Writes what was found. `None` if the buffer is too small for it.
    #[inline]
    pub(super) fn write(&self, found: &Found, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Option<usize> {
        let len = found.entry.write(query, context, found.ttl, out)?;
        self.tally.count(found.event);
        if found.age == Age::Stale {
            self.tally.count(Event::Stale);
        }
        Some(len)
    }

    /// What was found as a message of its own.
    fn message(&self, found: &Found, request: &Request) -> Option<Outcome> {
        let mut packet = vec![0; found.entry.answer_size()];
        let context = request.context();
        let len = self.write(found, &request.query(), &context, &mut packet)?;
        packet.truncate(len);
        Some(Outcome::Reply(Reply::new(packet)))
    }
}

/// The slow lane: a hit, or what the rest of the chain says.
impl Handler for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.run(request, next))
    }
}

impl Cache {
    async fn run(&self, request: &Request, next: Next<'_>) -> Outcome {
        let now = request.moment.seconds;
        let query = request.query();
        if !self.is_ours(&query) {
            return next.run(request).await;
        }
        match self.find(&query, now) {
            Some(found) => match self.give(&found, request, next).await {
                Some(outcome) => outcome,
                None => self.fetch(request, next).await,
            },
            None => {
                self.tally.count(Event::Miss);
                self.fetch(request, next).await
            }
        }
    }

    /// A hit, and what it starts.
    async fn give(&self, found: &Found, request: &Request, next: Next<'_>) -> Option<Outcome> {
        let entry = &found.entry;
        let now = request.moment.seconds;
        match found.age {
            Age::Fresh => {}
            Age::Due => {
                if self.refresh(entry, request, next).is_some() {
                    self.tally.count(Event::Prefetch);
                }
            }
            Age::Stale if self.gives_at_once(found, now) => {}
            Age::Stale => {
                let refreshed = self.refresh(entry, request, next);
                let verify = self.options.stale.and_then(|stale| stale.verify);
                if let Some(timeout) = verify {
                    let follower = refreshed.or_else(|| self.follow(request));
                    if let Some(outcome) = self.verified(follower, timeout, request).await {
                        self.tally.count(Event::Miss);
                        return Some(outcome);
                    }
                }
            }
        }
        self.message(found, request)
    }

    /// Asks the rest of the chain, with all who miss the same name now.
    async fn fetch(&self, request: &Request, next: Next<'_>) -> Outcome {
        // The probe of `loop` has to come round, so it must not wait for itself.
        if request.qtype() == RecordType::HINFO {
            return self.ask(request, next).await;
        }
        match self.board(request) {
            Seat::Leader(leader) => {
                let outcome = self.ask(request, next).await;
                leader.land(&outcome);
                outcome
            }
            Seat::Follower(follower) => match follower.wait().await {
                Some(outcome) => super::refresh::share(request, &outcome),
                None => self.ask(request, next).await,
            },
            Seat::Alone => self.ask(request, next).await,
        }
    }
}
