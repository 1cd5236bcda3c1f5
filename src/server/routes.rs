//! Which server block answers a question: the one whose zone fits longest.

use crate::corefile::Span;
use crate::engine::Arrival;
use crate::metrics;
use crate::plugin::expression::Asked;
use crate::plugin::{BlockPlan, Handler, Lookup, Moment, Next, Outcome, Request, Transport};
use crate::wire::{CLASS_IN, KnownQuery, Name, NameBuffer, Query, RecordType};
use crate::zone::Suffixes;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A server block as queries meet it.
pub(super) struct Block {
    pub plan: BlockPlan,
    /// Where the block's first address stands.
    pub span: Span,
    /// The directive of each of the plan's stores.
    pub stores: Vec<&'static str>,
}

/// One zone of a server block on one listener.
pub(super) struct Route {
    pub zone: Name,
    pub block: Arc<Block>,
    /// The counters, where the block has `prometheus`.
    pub traffic: Option<Arc<metrics::Traffic>>,
}

/// Everything one listener answers for. Immutable; a reload puts another in its place.
pub(super) struct Routes {
    routes: Vec<Route>,
    zones: Suffixes<Choice>,
    /// Queries that no block is asked for (`zone="dropped"`).
    pub dropped: Option<Arc<metrics::Traffic>>,
    /// Where lanes leave samples of their queries (`status`).
    pub sampled: Option<Arc<metrics::Sampled>>,
    /// Whether nobody is answered over UDP: some block stands on a mirror of traffic (`shadow`).
    pub silent: bool,
    /// Whether classes other than IN are let in: some block has `chaos` or `forward`.
    any_class: bool,
}

/// The routes of one zone, by their places.
enum Choice {
    /// The zone has one block, which takes every query.
    One(usize),
    /// The first whose view admits the query, in the order of the file.
    ByView(Vec<usize>),
}

/// Who asks, as far as a view can tell.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub client: SocketAddr,
    /// The address asked; the fast lane does not know it.
    pub local: Option<SocketAddr>,
    pub transport: Transport,
}

impl From<Arrival> for Asker {
    fn from(arrival: Arrival) -> Asker {
        Asker { client: arrival.client, local: Some(arrival.local), transport: arrival.transport }
    }
}

/// A view asks for what only the slow lane knows.
pub(super) struct Later;

/// Why a packet has no route.
pub(super) enum NoRoute {
    /// It is no well-formed query.
    NoQuery,
    /// No block stands for what it asks.
    NoBlock(KnownQuery),
}

impl Routes {
    pub(super) fn new(
        routes: Vec<Route>,
        dropped: Option<Arc<metrics::Traffic>>,
        sampled: Option<Arc<metrics::Sampled>>,
    ) -> Routes {
        let any_class = routes.iter().any(|route| route.block.plan.any_class);
        let silent = routes.iter().any(|route| route.block.plan.is_mirror);
        let zones = Suffixes::new(routes.iter().map(|route| (route.zone.clone(), choice(&routes, &route.zone))));
        Routes { routes, zones, dropped, sampled, silent, any_class }
    }

    /// The routes, for counters that go beside them.
    #[inline]
    pub(super) fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The place of the route for a question; `None` is REFUSED.
    ///
    /// DS stands at the parent (RFC 4035 section 3.1.4.1), so it goes to the shortest zone that fits but the root's.
    ///
    /// # Errors
    /// A view has to know the address asked, and the asker does not.
    #[inline]
    pub(super) fn find(&self, query: &Query<'_>, asker: Asker) -> Result<Option<usize>, Later> {
        if query.qclass != CLASS_IN && !self.any_class {
            return Ok(None);
        }
        match self.zones.find(&query.name) {
            None => Ok(None),
            Some((_, Choice::One(index))) if query.qtype != RecordType::DS => Ok(Some(*index)),
            Some(_) => self.search(query, asker),
        }
    }

    /// Zone by zone, from the longest that fits to the shortest.
    #[cold]
    fn search(&self, query: &Query<'_>, asker: Asker) -> Result<Option<usize>, Later> {
        let mut found = None;
        for (zone, choice) in self.zones.iter().filter(|(zone, _)| query.name.is_within(zone)) {
            // The root has no parent side: it is asked for a DS only where nothing else is.
            if found.is_some() && zone.is_root() {
                break;
            }
            found = match choice {
                Choice::One(index) => Some(*index),
                Choice::ByView(indexes) => self.admitting(indexes, query, asker)?.or(found),
            };
            if found.is_some() && query.qtype != RecordType::DS {
                break;
            }
        }
        Ok(found)
    }

    /// The first of these routes whose block has no view, or one that admits the query.
    fn admitting(&self, indexes: &[usize], query: &Query<'_>, asker: Asker) -> Result<Option<usize>, Later> {
        for index in indexes {
            let plan = &self.routes[*index].block.plan;
            let Some(view) = &plan.view else { return Ok(Some(*index)) };
            if view.needs_local() && asker.local.is_none() {
                return Err(Later);
            }
            let metadata = |label: &str| plan.metadata(&query.name, asker.client).value(label).unwrap_or_default();
            let Asker { client, local, transport } = asker;
            if view.admits(&Asked { query, client, local, transport, metadata: &metadata }) {
                return Ok(Some(*index));
            }
        }
        Ok(None)
    }

    /// What a packet says, and the place of its route.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn read(&self, packet: &[u8], arrival: Arrival) -> Result<(usize, KnownQuery), NoRoute> {
        let mut names = NameBuffer::default();
        let query = Query::parse(packet, &mut names).map_err(|_| NoRoute::NoQuery)?;
        let known = KnownQuery::from(&query);
        match self.find(&query, arrival.into()) {
            Ok(Some(index)) => Ok((index, known)),
            Ok(None) | Err(Later) => Err(NoRoute::NoBlock(known)),
        }
    }

    /// Runs the chain of the block for this query. `None` where no block, or an empty one, stands for the name.
    pub(super) async fn resolve(&self, index: usize, request: &Request) -> Option<Outcome> {
        use futures_util::FutureExt;
        let chain: &[Arc<dyn Handler>] = &self.routes[index].block.plan.chain;
        if chain.is_empty() {
            return None;
        }
        let outcome = AssertUnwindSafe(Next::all(chain).run(request)).catch_unwind().await;
        Some(outcome.unwrap_or_else(|_| {
            Outcome::Failed(crate::plugin::Failure::servfail("a plugin panicked; the query was given up"))
        }))
    }

    /// A request for the block at `index`, of a query's packet and what it says; `server` is what its lookups ask.
    pub(super) fn request(
        &self,
        index: usize,
        (packet, known): (Vec<u8>, KnownQuery),
        arrival: Arrival,
        moment: Moment,
        server: Arc<dyn Lookup>,
    ) -> Request {
        let query = known.view(&packet);
        let plan = &self.routes[index].block.plan;
        let (name, shape) = (query.name.to_name(), plan.shape_for(&query.name));
        let metadata = plan.metadata(&query.name, arrival.client);
        Request {
            packet,
            known,
            name,
            options: Vec::new(),
            client: arrival.client,
            local: arrival.local,
            transport: arrival.transport,
            shape,
            moment,
            metadata,
            depth: 0,
            server,
        }
    }
}

/// How the routes of a zone are told apart.
fn choice(routes: &[Route], zone: &Name) -> Choice {
    let of_zone = || routes.iter().enumerate().filter(|(_, route)| route.zone == *zone);
    match of_zone().next() {
        Some((index, route)) if route.block.plan.view.is_none() => Choice::One(index),
        _ => Choice::ByView(of_zone().map(|(index, _)| index).collect()),
    }
}
