//! Both lanes of a listener: the fast one on the engine's workers, the slow one around the chain.

use super::routes::{Asker, Later, NoRoute, Routes};
use super::targets::Targets;
use crate::engine::{Answerer, Arrival, Fast, Lane, Sent};
use crate::metrics::{Counted, Family, Sample, SampledShard, TrafficShard};
use crate::plugin::{
    Arrivals, BlockPlan, BoxFuture, Context, Failure, Lookup, Moment, Outcome, Request, Transport, Verdict,
};
use crate::wire::{Answer, NameBuffer, Query, Rcode, RecordType, Refusal, answer_limit, cut, error_reply};
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The answerer of one listener: whatever plan is current.
pub(super) struct Current {
    pub routes: ArcSwap<Routes>,
    pub arrivals: Arrivals,
}

impl Answerer for Arc<Current> {
    fn lane(&self, transport: Transport) -> Box<dyn Lane> {
        let routes = self.routes.load_full();
        let counting = Counting::new(transport, &routes);
        let sampling = sampling(transport, &routes);
        Box::new(FastLane {
            current: Arc::clone(self),
            transport,
            counting,
            sampling,
            routes,
            names: NameBuffer::default(),
            targets: (transport == Transport::Udp).then(Box::default),
            moment: Moment { seconds: 0, random: seed() },
        })
    }

    fn slow(&self, packet: Vec<u8>, arrival: Arrival) -> BoxFuture<'static, Option<Sent>> {
        let routes = self.routes.load_full();
        Box::pin(async move { answer_slowly(routes, packet, arrival).await })
    }
}

/// Starts a worker's dice; the rest is stirred by xorshift.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() | 1
}

/// The fast lane of one worker or connection.
struct FastLane {
    current: Arc<Current>,
    routes: Arc<Routes>,
    transport: Transport,
    counting: Counting,
    /// Where some block has `status`.
    sampling: Option<SampledShard>,
    names: NameBuffer,
    /// Where the targets of aliases are asked for. A connection leaves them to the slow lane.
    targets: Option<Box<Targets>>,
    moment: Moment,
}

impl Lane for FastLane {
    fn batch_begins(&mut self) {
        self.moment.seconds = unix_seconds();
        self.current.arrivals.note(self.moment.seconds);
        let current = self.current.routes.load();
        if !Arc::ptr_eq(&current, &self.routes) {
            self.routes = Arc::clone(&current);
            self.counting = Counting::new(self.transport, &self.routes);
            // Samples live on across reloads.
            let is_same = |shard: &SampledShard| self.routes.sampled.as_ref().is_some_and(|all| shard.is_of(all));
            if !self.sampling.as_ref().is_some_and(is_same) {
                self.sampling = sampling(self.transport, &self.routes);
            }
        }
        if let Some(sampling) = &mut self.sampling {
            sampling.batch_begins(self.moment.seconds);
        }
        self.counting.batch_begins();
    }

    fn answer(&mut self, packet: &[u8], client: SocketAddr, out: &mut [u8]) -> Fast {
        let query = match Query::parse(packet, &mut self.names) {
            Ok(query) => query,
            Err(Refusal::Drop) => return Fast::Silence,
            Err(refusal) => return Fast::Reply(refuse(packet, refusal, out)),
        };
        let asker = Asker { client, local: None, transport: self.transport };
        let index = match self.routes.find(&query, asker) {
            Ok(Some(index)) => index,
            Ok(None) => {
                let length = empty(&query, Rcode::REFUSED, out);
                self.counting.record(None, &self.routes, &query, client, &out[..length]);
                return Fast::Reply(length);
            }
            Err(Later) => return Fast::Slow,
        };
        self.moment.random = stir(self.moment.random);
        let asking = Asking { routes: &self.routes, asker, moment: self.moment };
        let length = match asking.sources(index, &query, out, |_| {}) {
            Verdict::Answered(length) => length,
            Verdict::Alias { len, target } => {
                let Some(targets) = &mut self.targets else { return Fast::Slow };
                let Some(length) = targets.follow(&asking, index, &query, (len, target), out, |index, query, reply| {
                    self.counting.record(Some(index), &self.routes, query, client, reply);
                }) else {
                    return Fast::Slow;
                };
                length
            }
            Verdict::Pass | Verdict::Slow => return Fast::Slow,
        };
        self.counting.record(Some(index), &self.routes, &query, client, &out[..length]);
        if let Some(sampling) = &mut self.sampling
            && sampling.is_due()
        {
            sampling.record(sample(&query, client, &out[..length]), self.moment.random);
        }
        copy(asking.plan(index), &query, &out[..length], self.moment);
        Fast::Reply(length)
    }

    fn batch_ends(&mut self, took: Duration) {
        self.counting.batch_ends(took);
    }

    fn is_silent(&self) -> bool {
        self.routes.silent
    }
}

/// Where a lane leaves its samples: a worker in sketches of its own, a connection in those of all.
fn sampling(transport: Transport, routes: &Routes) -> Option<SampledShard> {
    let sampled = routes.sampled.as_ref()?;
    Some(match transport {
        Transport::Udp => sampled.shard(),
        Transport::Tcp => sampled.shard_of_connection(),
    })
}

/// A question on its way through the sources of its block.
pub(super) struct Asking<'a> {
    pub routes: &'a Routes,
    pub asker: Asker,
    pub moment: Moment,
}

impl Asking<'_> {
    /// Asks the stores of a route's block, then its cache. What is neither an answer nor an alias is the slow lane's.
    /// `answered` is told which source has answered, by its place among all of them; nothing where the server itself has.
    #[inline]
    pub fn sources(&self, index: usize, query: &Query<'_>, out: &mut [u8], answered: impl FnOnce(usize)) -> Verdict {
        let plan = self.plan(index);
        if plan.chain.is_empty() {
            return Verdict::Answered(empty(query, Rcode::REFUSED, out));
        }
        // Transfers are the chain's.
        if matches!(query.qtype, RecordType::AXFR | RecordType::IXFR) {
            return Verdict::Slow;
        }
        if query.signed || query.opcode() != 0 || query.qclass != crate::wire::CLASS_IN || !plan.is_fast(&query.name) {
            return Verdict::Slow;
        }
        let context = self.context(index, query);
        let mut place = 0;
        // Two loops in a row: an iterator over both costs as much as a look-up.
        let mut verdict = Verdict::Pass;
        for store in &plan.stores {
            verdict = store.answer(query, &context, out);
            if verdict != Verdict::Pass {
                break;
            }
            place += 1;
        }
        if let (Verdict::Pass, Some(cache)) = (verdict, &plan.cache) {
            verdict = cache.answer(query, &context, out);
        }
        match verdict {
            Verdict::Answered(length) if plan.may_send(&query.name, &out[..length]) => answered(place),
            Verdict::Answered(_) | Verdict::Pass => return Verdict::Slow,
            Verdict::Alias { .. } | Verdict::Slow => {}
        }
        verdict
    }

    #[inline]
    pub fn plan(&self, index: usize) -> &BlockPlan {
        &self.routes.all()[index].block.plan
    }

    #[inline]
    pub fn context(&self, index: usize, query: &Query<'_>) -> Context {
        let shape = self.plan(index).shape_for(&query.name);
        Context { limit: answer_limit(query.edns, self.asker.transport, shape.udp_payload), shape, moment: self.moment }
    }
}

/// The slow lane: the whole answer to a packet that the fast lane left, or `None` for silence.
async fn answer_slowly(routes: Arc<Routes>, packet: Vec<u8>, arrival: Arrival) -> Option<Sent> {
    let began = Instant::now();
    let (index, known) = match routes.read(&packet, arrival) {
        Ok(found) => found,
        Err(NoRoute::NoQuery) => return None,
        // Only a view that had to wait for the address asked leads here.
        Err(NoRoute::NoBlock(known)) => {
            let query = known.view(&packet);
            let reply = write_out(None, &query, 0)?;
            if let Some(traffic) = &routes.dropped {
                traffic.record_slow(counted(&query, arrival.transport, arrival.client, &reply), began.elapsed());
            }
            return Some(reply.into());
        }
    };
    let moment = Moment { seconds: unix_seconds(), random: rand::random() };
    let request = routes.request(index, (packet, known), arrival, moment, Arc::clone(&routes) as Arc<dyn Lookup>);
    let outcome = routes.resolve(index, &request).await;
    let more = match &outcome {
        Some(Outcome::Reply(reply)) => reply.more.clone(),
        _ => None,
    };
    let query = request.query();
    let reply = write_out(outcome, &query, request.limit())?;
    if let Some(traffic) = &routes.all()[index].traffic {
        traffic.record_slow(counted(&query, arrival.transport, arrival.client, &reply), began.elapsed());
    }
    if let Some(sampled) = &routes.sampled {
        sampled.record_shared(sample(&query, arrival.client, &reply), moment.seconds, moment.random);
    }
    if more.is_none() {
        copy(&routes.all()[index].block.plan, &query, &reply, moment);
    }
    Some(Sent { message: reply, more: more.map(|more| more as _) })
}

/// What is sent for an outcome. A reply above the limit is cut down to what fits, marked truncated.
pub(super) fn write_out(outcome: Option<Outcome>, query: &Query<'_>, limit: usize) -> Option<Vec<u8>> {
    let rcode = match outcome {
        Some(Outcome::Reply(reply)) if reply.packet.len() <= limit => return Some(reply.packet),
        Some(Outcome::Reply(reply)) => return Some(cut(reply.packet, limit)),
        Some(Outcome::Dropped) => return None,
        Some(Outcome::Failed(failure)) => failure.rcode,
        None => Rcode::REFUSED,
    };
    let mut out = vec![0; query.question_end() + 11];
    let length = empty(query, rcode, &mut out);
    out.truncate(length);
    Some(out)
}

impl Lookup for Routes {
    fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let began = Instant::now();
            let arrival = Arrival { client: request.client, local: request.local, transport: request.transport };
            let refused = |reason: &str| Outcome::Failed(Failure { rcode: Rcode::REFUSED, reason: reason.into() });
            let (index, known) = match self.read(&packet, arrival) {
                Ok(found) => found,
                Err(NoRoute::NoQuery) => return Outcome::Failed(Failure::servfail("an internal lookup is no query")),
                Err(NoRoute::NoBlock(_)) => return refused("no server block"),
            };
            let inner = self.request(index, (packet, known), arrival, request.moment, Arc::clone(&request.server));
            let inner = Request { depth: request.depth + 1, ..inner };
            let outcome = self.resolve(index, &inner).await;
            if let (Some(traffic), Some(Outcome::Reply(reply))) = (&self.all()[index].traffic, &outcome) {
                let counted = counted(&inner.query(), request.transport, request.client, &reply.packet);
                traffic.record_slow(counted, began.elapsed());
            }
            outcome.unwrap_or_else(|| refused("an empty server block"))
        })
    }
}

/// How a lane counts: a worker in shards of its own, once a batch; a connection in the shared counters.
enum Counting {
    Worker { shards: Vec<Option<(TrafficShard, u64)>>, dropped: Option<TrafficShard> },
    Connection { began: Instant },
}

impl Counting {
    fn new(transport: Transport, routes: &Routes) -> Counting {
        match transport {
            Transport::Udp => Counting::Worker {
                shards: routes.all().iter().map(|route| Some((route.traffic.as_ref()?.shard(), 0))).collect(),
                dropped: routes.dropped.as_ref().map(|traffic| traffic.shard()),
            },
            Transport::Tcp => Counting::Connection { began: Instant::now() },
        }
    }

    fn batch_begins(&mut self) {
        if let Counting::Connection { began } = self {
            *began = Instant::now();
        }
    }

    #[inline]
    fn record(&mut self, index: Option<usize>, routes: &Routes, query: &Query<'_>, client: SocketAddr, reply: &[u8]) {
        match self {
            Counting::Worker { shards, dropped } => {
                let shard = match index {
                    Some(index) => match &mut shards[index] {
                        Some((shard, pending)) => {
                            *pending += 1;
                            Some(shard)
                        }
                        None => None,
                    },
                    None => dropped.as_mut(),
                };
                if let Some(shard) = shard {
                    shard.record(counted(query, Transport::Udp, client, reply));
                }
            }
            Counting::Connection { began } => {
                let traffic = match index {
                    Some(index) => &routes.all()[index].traffic,
                    None => &routes.dropped,
                };
                if let Some(traffic) = traffic {
                    traffic.record_shared(counted(query, Transport::Tcp, client, reply), began.elapsed());
                }
            }
        }
    }

    fn batch_ends(&mut self, took: Duration) {
        if let Counting::Worker { shards, .. } = self {
            for (shard, pending) in shards.iter_mut().flatten().filter(|(_, pending)| *pending > 0) {
                shard.record_durations(*pending, took);
                *pending = 0;
            }
        }
    }
}

/// The reply to what is no query.
fn refuse(packet: &[u8], refusal: Refusal, out: &mut [u8]) -> usize {
    let rcode = match refusal {
        Refusal::Opcode => Rcode::NOTIMP,
        Refusal::EdnsVersion => Rcode::BADVERS,
        Refusal::Malformed | Refusal::Drop => Rcode::FORMERR,
    };
    error_reply(packet, rcode, out)
}

/// An empty answer of a code that the server itself gives: no AA.
fn empty(query: &Query<'_>, rcode: Rcode, out: &mut [u8]) -> usize {
    let limit = out.len();
    Answer::begin(query, out, limit).finish(rcode, false)
}

/// What the metrics count of a query and its reply.
#[inline]
fn counted(query: &Query<'_>, transport: Transport, client: SocketAddr, reply: &[u8]) -> Counted {
    Counted {
        transport,
        family: if client.is_ipv4() { Family::V4 } else { Family::V6 },
        qtype: query.qtype,
        dnssec_ok: query.dnssec_ok(),
        request: query.packet.len(),
        response: reply.len(),
        rcode: Rcode(u16::from(reply[3] & 0x0f)),
    }
}

/// Leaves a copy where the block has `shadow` and the dice say so. Transfers and signed queries are nobody else's.
#[inline]
fn copy(plan: &BlockPlan, query: &Query<'_>, reply: &[u8], moment: Moment) {
    if let Some(copies) = &plan.copies
        && copies.is_due(moment.random)
        && !query.signed
    {
        copies.put(query.packet, reply, moment.seconds);
    }
}

/// What is sampled of a query and its reply.
#[inline]
fn sample<'a>(query: &Query<'a>, client: SocketAddr, reply: &[u8]) -> Sample<'a> {
    Sample { name: query.name.wire(), client: client.ip(), rcode: Rcode(u16::from(reply[3] & 0x0f)) }
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One step of xorshift64 (Marsaglia): enough to rotate addresses by, never a secret.
#[inline]
fn stir(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}
