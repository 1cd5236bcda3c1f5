//! One question, answered in memory, with the way its answer was made: for `dunlin explain` and the status page.

use super::build::{self, Place, Served};
use super::lanes::{Asking, unix_seconds, write_out};
use super::routes::{Asker, Block, NoRoute, Routes};
use super::running::start_all;
use crate::cli;
use crate::corefile::Corefile;
use crate::engine::Arrival;
use crate::metrics::Metrics;
use crate::plugin::{
    Arrivals, BoxFuture, Control, Explain, Explanation, Failure, Handler, History, Keep, Lookup, Moment, Next, Outcome,
    Question, Request, Transport, Verdict, Way,
};
use crate::wire::{self, KnownQuery, NameBuffer, Query};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What runs beside the queries and has nothing to do with answers: it would ask or end a server that is not there.
const LEFT_OUT: [&str; 3] = ["health", "reload", "status"];

/// All explanations of a question: one for each server block that answers it somewhere.
pub struct Explained {
    /// What is said, in the order of the addresses.
    pub explanations: Vec<Explanation>,
    /// The plugins that were not ready within their time.
    pub waiting: Vec<&'static str>,
}

/// Sets a configuration up, waits for what its plugins wait for at a start, and answers one question. No socket listens.
///
/// # Errors
/// All that is wrong with the configuration, or what would keep a server from starting.
pub fn explain(corefile: &Corefile, question: &Question) -> Result<Explained, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let explained = runtime.block_on(explain_within(corefile, question));
    runtime.shutdown_background();
    explained
}

async fn explain_within(corefile: &Corefile, question: &Question) -> Result<Explained, String> {
    let (commands, _inbox) = mpsc::unbounded_channel();
    let (arrivals, history) = (Arrivals::default(), History::default());
    let control = Control { commands, corefile: Some(corefile.path.clone()), arrivals, history };
    let plan = build::attempt(corefile, cli::DNS_PORT, &Metrics::new(), &Keep::default(), &control)
        .map_err(|refused| refused.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let mut lifecycles = plan.process.lifecycles;
    lifecycles.retain(|lifecycle| !LEFT_OUT.contains(&lifecycle.name()));
    start_all(&lifecycles).await?;
    let explanations = Plans::of(&plan.places).explain(question.clone()).await;
    Ok(Explained { explanations, waiting: plan.process.readiness.waiting() })
}

/// What each address answers for.
pub(super) struct Plans(Vec<(SocketAddr, Arc<Routes>)>);

impl Plans {
    pub(super) fn of(places: &BTreeMap<Place, Served>) -> Plans {
        Plans(places.iter().map(|(place, served)| (place.address, Arc::clone(&served.routes))).collect())
    }

    /// The server blocks that a query goes to, with their addresses. Addresses without one are told of only where
    /// there are no others.
    fn asked(&self, query: &Query<'_>, client: IpAddr) -> Vec<Asked> {
        let mut places: Vec<Asked> = Vec::new();
        for (address, routes) in &self.0 {
            let client = SocketAddr::new(client, 0);
            let asker = Asker { client, local: Some(*address), transport: Transport::Udp };
            let index = routes.find(query, asker).ok().flatten();
            let block = |routes: &Arc<Routes>, index: Option<usize>| {
                index.map(|index| (Arc::as_ptr(&routes.all()[index].block), routes.all()[index].zone.clone()))
            };
            match places.iter_mut().find(|(_, other, known)| block(known, *other) == block(routes, index)) {
                Some((listens, ..)) => listens.push(*address),
                None => places.push((vec![*address], index, Arc::clone(routes))),
            }
        }
        if places.iter().any(|(_, index, _)| index.is_some()) {
            places.retain(|(_, index, _)| index.is_some());
        }
        places
    }
}

type Asked = (Vec<SocketAddr>, Option<usize>, Arc<Routes>);

impl Explain for Plans {
    fn explain(&self, question: Question) -> BoxFuture<'_, Vec<Explanation>> {
        Box::pin(async move {
            let packet = packet(&question);
            let mut names = NameBuffer::default();
            // Made from a name, so it is a query.
            let asked =
                Query::parse(&packet, &mut names).map(|query| self.asked(&query, question.client)).unwrap_or_default();
            let mut explanations = Vec::new();
            for (listens, index, routes) in asked {
                explanations.extend(one(&routes, index, listens, &packet, &question).await);
            }
            explanations
        })
    }
}

/// Puts the question to both lanes in turn, as a listener would.
async fn one(
    routes: &Arc<Routes>,
    index: Option<usize>,
    listens: Vec<SocketAddr>,
    packet: &[u8],
    question: &Question,
) -> Option<Explanation> {
    let route = index.map(|index| &routes.all()[index]);
    let block = route.map(|route| (route.zone.clone(), route.block.span.clone()));
    let view = route.and_then(|route| route.block.plan.view.as_ref()).map(|view| view.name.clone());
    let (client, local) = (SocketAddr::new(question.client, 0), listens.first().copied()?);
    let moment = Moment { seconds: unix_seconds(), random: 1 };
    let explanation = |way, object, reply, reason| Explanation { block, view, listens, way, object, reply, reason };
    let (request, traced) = {
        let mut names = NameBuffer::default();
        let query = Query::parse(packet, &mut names).ok()?;
        let Some((index, route)) = index.zip(route) else {
            return Some(explanation(Way::Fast(ITSELF), None, write_out(None, &query, packet.len()), None));
        };
        let (mut out, mut source) = (vec![0; usize::from(u16::MAX)], None);
        let asker = Asker { client, local: None, transport: Transport::Udp };
        let asking = Asking { routes, asker, moment };
        if let Verdict::Answered(length) = asking.sources(index, &query, &mut out, |at| source = Some(at)) {
            out.truncate(length);
            let (by, object) = source.map_or((ITSELF, None), |at| told(&route.block, at, &query));
            return Some(explanation(Way::Fast(by), object, Some(out), None));
        }
        let traced = Arc::new(Traced { routes: Arc::clone(routes), trail: Trail::default() });
        let arrival = Arrival { client, local, transport: Transport::Udp };
        let asked = (packet.to_vec(), KnownQuery::from(&query));
        (routes.request(index, asked, arrival, moment, Arc::clone(&traced) as Arc<dyn Lookup>), traced)
    };
    let outcome = traced.resolve(index?, &request).await;
    let reason = match &outcome {
        Some(Outcome::Reply(reply)) => reply.reason.clone(),
        Some(Outcome::Failed(failure)) => Some(failure.reason.clone()),
        _ => None,
    };
    let reply = write_out(outcome, &request.query(), request.limit());
    Some(explanation(Way::Slow(traced.trail.steps()), None, reply, reason))
}

const ITSELF: &str = "the server itself";

/// The directive of a block's source, and what it made the answer of.
fn told(block: &Block, at: usize, query: &Query<'_>) -> (&'static str, Option<String>) {
    match block.stores.get(at).zip(block.plan.stores.get(at)) {
        Some((directive, store)) => (directive, store.object(query)),
        None => ("cache", None),
    }
}

/// The question as `dig` would put it: RD, and EDNS with 1232 octets.
fn packet(question: &Question) -> Vec<u8> {
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend(question.name.wire());
    packet.extend(question.qtype.0.to_be_bytes());
    packet.extend(wire::CLASS_IN.to_be_bytes());
    packet.extend(wire::opt(wire::UDP_PAYLOAD, false));
    packet
}

/// Routes whose handlers leave a trail, also those of lookups.
struct Traced {
    routes: Arc<Routes>,
    trail: Trail,
}

impl Traced {
    async fn resolve(&self, index: usize, request: &Request) -> Option<Outcome> {
        let chain = self.trail.along(&self.routes.all()[index].block.plan.chain);
        if chain.is_empty() { None } else { Some(Next::all(&chain).run(request).await) }
    }
}

impl Lookup for Traced {
    fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let arrival = Arrival { client: request.client, local: request.local, transport: request.transport };
            let failed = |reason| Outcome::Failed(Failure::servfail(reason));
            let (index, known) = match self.routes.read(&packet, arrival) {
                Ok(found) => found,
                Err(NoRoute::NoQuery) => return failed("an internal lookup is no query"),
                Err(NoRoute::NoBlock(_)) => return failed("no server block stands for an internal lookup"),
            };
            let server = Arc::clone(&request.server);
            let inner = self.routes.request(index, (packet, known), arrival, request.moment, server);
            let inner = Request { depth: request.depth + 1, ..inner };
            self.resolve(index, &inner).await.unwrap_or_else(|| failed("an empty server block"))
        })
    }
}

/// The handlers that a query meets, in turn.
#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<(u8, &'static str)>>>);

impl Trail {
    /// The chain with a mark before each handler.
    fn along(&self, chain: &[Arc<dyn Handler>]) -> Vec<Arc<dyn Handler>> {
        let marked = |handler: &Arc<dyn Handler>| -> [Arc<dyn Handler>; 2] {
            [Arc::new(Mark { trail: self.clone(), name: handler.name() }), Arc::clone(handler)]
        };
        chain.iter().flat_map(marked).collect()
    }

    fn steps(&self) -> Vec<(u8, &'static str)> {
        self.0.lock().map(|steps| steps.clone()).unwrap_or_default()
    }
}

/// Notes that the handler behind it is asked.
struct Mark {
    trail: Trail,
    name: &'static str,
}

impl Handler for Mark {
    fn name(&self) -> &'static str {
        self.name
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        if let Ok(mut steps) = self.trail.0.lock() {
            steps.push((request.depth, self.name));
        }
        next.run(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corefile;
    use crate::wire::{Name, RecordType};
    use std::path::Path;

    const COREFILE: &str = "cluster.local {
    errors
    kubernetes cluster.local {
        manifests @sample
    }
}
. {
    errors
    acl {
        drop net 192.0.2.0/24
    }
    cache 30
    erratic {
        drop 0
    }
}
empty.test:1053 {
}
";

    fn explained(name: &str, client: &str) -> Vec<Explanation> {
        let corefile = corefile::parse(Path::new("Corefile"), COREFILE, &|_| None).unwrap();
        let (name, client) = (Name::from_text(name).unwrap(), client.parse().unwrap());
        let explained = explain(&corefile, &Question { name, qtype: RecordType::A, client }).unwrap();
        assert!(explained.waiting.is_empty());
        explained.explanations
    }

    #[test]
    fn the_fast_lane_is_told_with_its_store_and_its_block() {
        let [only] = &explained("backend-service.default.svc.cluster.local", "127.0.0.1")[..] else {
            panic!("one block")
        };
        assert_eq!(only.way, Way::Fast("kubernetes"));
        let (zone, span) = only.block.as_ref().unwrap();
        assert_eq!((zone.to_string().as_str(), span.line), ("cluster.local.", 1));
        assert_eq!(only.listens.len(), 2);
        assert_eq!(only.reply.as_ref().map(|reply| reply[7]), Some(1));
    }

    #[test]
    fn the_slow_lane_is_told_as_far_as_it_was_asked() {
        let [only] = &explained("www.test", "127.0.0.1")[..] else { panic!("one block") };
        let Way::Slow(steps) = &only.way else { panic!("{:?}", only.way) };
        assert_eq!(steps.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["errors", "acl", "cache", "erratic"]);
        assert_eq!(only.block.as_ref().unwrap().1.line, 7);
    }

    #[test]
    fn who_asks_counts() {
        let [only] = &explained("www.test", "192.0.2.7")[..] else { panic!("one block") };
        let Way::Slow(steps) = &only.way else { panic!("{:?}", only.way) };
        assert_eq!((steps.last(), only.reply.is_none()), (Some(&(0, "acl")), true));
    }

    #[test]
    fn views_are_tried_in_the_order_of_the_file_and_then_shorter_zones() {
        const VIEWS: &str = "a.test {
    view inside {
        expr incidr(client_ip(), '10.0.0.0/8')
    }
    erratic {
        drop 0
    }
}
a.test {
    view labelled {
        expr metadata('view/name') == 'labelled'
        expr server_port() == '53'
        expr incidr(client_ip(), '192.0.2.0/24')
    }
    metadata
    whoami
}
test {
    whoami
}
";
        let corefile = corefile::parse(Path::new("Corefile"), VIEWS, &|_| None).unwrap();
        for (client, view, line) in
            [("10.9.9.9", Some("inside"), 1), ("192.0.2.9", Some("labelled"), 9), ("198.51.100.1", None, 18)]
        {
            let name = Name::from_text("x.a.test").unwrap();
            let question = Question { name, qtype: RecordType::A, client: client.parse().unwrap() };
            let explained = explain(&corefile, &question).unwrap();
            let [only] = &explained.explanations[..] else { panic!("one block") };
            assert_eq!((only.view.as_deref(), only.block.as_ref().unwrap().1.line), (view, line), "{client}");
        }
    }

    #[test]
    fn every_block_that_answers_somewhere_is_told() {
        let both = explained("empty.test", "127.0.0.1");
        let lines: Vec<u32> = both.iter().map(|one| one.block.as_ref().unwrap().1.line).collect();
        assert_eq!(lines, [7, 17]);
        assert_eq!(both[1].way, Way::Fast("the server itself"));
        assert_eq!(both[1].reply.as_ref().map(|reply| reply[3] & 0x0f), Some(5));
    }
}
