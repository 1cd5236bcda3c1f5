//! Which server block answers a question: the one whose zone fits longest.

use crate::corefile::Span;
use crate::engine::Arrival;
use crate::metrics;
use crate::plugin::{BlockPlan, Handler, Lookup, Moment, Next, Outcome, Request};
use crate::wire::{CLASS_IN, Name, Query, RecordType};
use crate::zone::Suffixes;
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
    /// The place in `routes` of each zone.
    zones: Suffixes<usize>,
    /// Queries that no block is asked for (`zone="dropped"`).
    pub dropped: Option<Arc<metrics::Traffic>>,
    /// Where lanes leave samples of their queries (`status`).
    pub sampled: Option<Arc<metrics::Sampled>>,
    /// Whether classes other than IN are let in: some block has `chaos` or `forward`.
    any_class: bool,
}

impl Routes {
    pub(super) fn new(
        routes: Vec<Route>,
        dropped: Option<Arc<metrics::Traffic>>,
        sampled: Option<Arc<metrics::Sampled>>,
    ) -> Routes {
        let any_class = routes.iter().any(|route| route.block.plan.any_class);
        let zones = Suffixes::new(routes.iter().enumerate().map(|(index, route)| (route.zone.clone(), index)));
        Routes { routes, zones, dropped, sampled, any_class }
    }

    /// The routes, for counters that go beside them.
    pub(super) fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The place of the route for a question; `None` is REFUSED.
    ///
    /// DS stands at the parent (RFC 4035 section 3.1.4.1), so it goes to the shortest zone that fits but the root's.
    pub(super) fn find(&self, query: &Query<'_>) -> Option<usize> {
        if query.qclass != CLASS_IN && !self.any_class {
            return None;
        }
        let (_, &longest) = self.zones.find(&query.name)?;
        if query.qtype != RecordType::DS {
            return Some(longest);
        }
        let fitting = self.zones.iter().filter(|(zone, _)| !zone.is_root() && query.name.is_within(zone));
        Some(fitting.last().map_or(longest, |(_, shortest)| *shortest))
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

    /// A request for the block at `index`, made from a query's packet; `server` is what its lookups ask.
    pub(super) fn request(
        &self,
        index: usize,
        query: &Query<'_>,
        arrival: Arrival,
        moment: Moment,
        server: Arc<dyn Lookup>,
    ) -> Request {
        Request {
            packet: query.packet.to_vec(),
            name: query.name.to_name(),
            qtype: query.qtype,
            qclass: query.qclass,
            edns: query.edns,
            client: arrival.client,
            local: arrival.local,
            transport: arrival.transport,
            shape: self.routes[index].block.plan.shape_for(&query.name),
            moment,
            depth: 0,
            server,
        }
    }
}
