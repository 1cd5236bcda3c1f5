//! One question, answered in memory, with the way its answer was made.

use super::build::{self, Place, Served};
use super::lanes::Current;
use super::routes::{Asker, Routes};
use super::running::start_all;
use crate::cli;
use crate::corefile::{Corefile, Span};
use crate::engine::{Answerer, Arrival, Fast};
use crate::metrics::Metrics;
use crate::plugin::{
    Arrivals, BoxFuture, Context, Control, Handler, Keep, Lookup, Moment, Next, Outcome, Request, Source, Transport,
    Verdict,
};
use crate::wire::{self, Name, NameBuffer, Query, Rcode, RecordType};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What runs beside the queries and has nothing to do with answers: it would ask or end a server that is not there.
const LEFT_OUT: [&str; 2] = ["health", "reload"];

/// A question.
pub struct Question {
    /// Whose records are asked for.
    pub name: Name,
    /// Their type.
    pub qtype: RecordType,
    /// Who asks.
    pub client: IpAddr,
}

/// How a server block answers a question.
pub struct Explanation {
    /// The zone that fits the name, and where its server block stands; `None` where no block is asked.
    pub block: Option<(Name, Span)>,
    /// The name of the block's view, where it has one.
    pub view: Option<String>,
    /// The addresses on which that is so.
    pub listens: Vec<SocketAddr>,
    /// The way of the answer.
    pub way: Way,
    /// The message; `None` where nothing is sent.
    pub reply: Option<Vec<u8>>,
    /// Why a plugin failed, or what it has to say although it answered.
    pub reason: Option<String>,
}

/// The way of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// The fast lane: the directive whose store has it, or the server itself for REFUSED.
    Fast(&'static str),
    /// The slow lane: the handlers that were asked in turn, each with how many lookups led to it (0: the question).
    Slow(Vec<(u8, &'static str)>),
}

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
    let trail = Trail::default();
    let (commands, _inbox) = mpsc::unbounded_channel();
    let control = Control { commands, corefile: Some(corefile.path.clone()), arrivals: Arrivals::default() };
    let plan = build::attempt(corefile, cli::DNS_PORT, &Metrics::new(), &Keep::default(), &control, Some(&trail))
        .map_err(|refused| refused.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let mut lifecycles = plan.process.lifecycles;
    lifecycles.retain(|lifecycle| !LEFT_OUT.contains(&lifecycle.name()));
    start_all(&lifecycles).await?;
    let packet = packet(question);
    let mut explanations = Vec::new();
    for (listens, index, routes) in asked(&plan.places, &packet, question.client)? {
        explanations.push(one(&routes, index, listens, &packet, question.client, &trail).await);
    }
    Ok(Explained { explanations, waiting: plan.process.readiness.waiting() })
}

type Asked = (Vec<SocketAddr>, Option<usize>, Arc<Routes>);

/// The server blocks that the question goes to, with their addresses. Addresses without one are told of only where
/// there are no others.
fn asked(served: &BTreeMap<Place, Served>, packet: &[u8], client: IpAddr) -> Result<Vec<Asked>, String> {
    let mut names = NameBuffer::default();
    let query = Query::parse(packet, &mut names).map_err(|why| format!("the question is no query: {why:?}"))?;
    let mut places: Vec<Asked> = Vec::new();
    for (Place { address, .. }, Served { routes, .. }) in served {
        let client = SocketAddr::new(client, 0);
        let asker = Asker { client, local: Some(*address), transport: Transport::Udp };
        let index = routes.find(&query, asker).ok().flatten();
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
    Ok(places)
}

/// Puts the question to both lanes in turn, as a listener would.
async fn one(
    routes: &Arc<Routes>,
    index: Option<usize>,
    listens: Vec<SocketAddr>,
    packet: &[u8],
    client: IpAddr,
    trail: &Trail,
) -> Explanation {
    let current = Arc::new(Current { routes: ArcSwap::new(Arc::clone(routes)), arrivals: Arrivals::default() });
    let client = SocketAddr::new(client, 0);
    let mut out = vec![0; usize::from(u16::MAX)];
    let block = index.map(|index| &routes.all()[index]).map(|route| (route.zone.clone(), route.block.span.clone()));
    let view = index.and_then(|index| routes.all()[index].block.plan.view.as_ref()).map(|view| view.name.clone());
    let mut lane = current.lane(Transport::Udp);
    lane.batch_begins();
    let (way, reply, reason) = match (lane.answer(packet, client, &mut out), index) {
        (Fast::Reply(length), _) => {
            out.truncate(length);
            let source = index.and_then(|index| answering(routes, index, packet)).unwrap_or("the server itself");
            (Way::Fast(source), Some(out), None)
        }
        (Fast::Slow, Some(index)) => {
            trail.clear();
            let local = listens.first().copied().unwrap_or(client);
            let outcome = slowly(routes, index, packet, (client, local)).await;
            let (reply, reason) = sent(outcome, packet);
            (Way::Slow(trail.steps()), reply, reason)
        }
        _ => (Way::Fast("the server itself"), None, None),
    };
    Explanation { block, view, listens, way, reply, reason }
}

/// The directive of the source that answers in the fast lane: each is asked again, which changes nothing.
fn answering(routes: &Routes, index: usize, packet: &[u8]) -> Option<&'static str> {
    let block = &routes.all()[index].block;
    let mut names = NameBuffer::default();
    let query = Query::parse(packet, &mut names).ok()?;
    let shape = block.plan.shape_for(&query.name);
    let context = Context {
        limit: wire::answer_limit(query.edns, Transport::Udp, shape.udp_payload),
        shape,
        moment: Moment::default(),
    };
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut answers =
        |source: &Arc<dyn Source>| matches!(source.answer(&query, &context, &mut out), Verdict::Answered(_));
    let mut stores = block.plan.stores.iter().zip(&block.stores);
    let store = stores.find(|(source, _)| answers(source)).map(|(_, directive)| *directive);
    store.or_else(|| block.plan.cache.as_ref().filter(|cache| answers(cache)).map(|_| "cache"))
}

/// The chain's outcome.
async fn slowly(
    routes: &Arc<Routes>,
    index: usize,
    packet: &[u8],
    (client, local): (SocketAddr, SocketAddr),
) -> Option<Outcome> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let moment = Moment { seconds: since.map_or(0, |since| since.as_secs()), random: 1 };
    let request = {
        let mut names = NameBuffer::default();
        let query = Query::parse(packet, &mut names).ok()?;
        let arrival = Arrival { client, local, transport: Transport::Udp };
        routes.request(index, &query, arrival, moment, Arc::clone(routes) as Arc<dyn Lookup>)
    };
    routes.resolve(index, &request).await
}

/// The message that is sent for an outcome, and what is said beside.
fn sent(outcome: Option<Outcome>, packet: &[u8]) -> (Option<Vec<u8>>, Option<String>) {
    let failed = |rcode: Rcode| {
        let mut out = vec![0; packet.len()];
        let length = wire::error_reply(packet, rcode, &mut out);
        out.truncate(length);
        Some(out)
    };
    match outcome {
        Some(Outcome::Reply(reply)) => (Some(reply.packet), reply.reason),
        Some(Outcome::Failed(failure)) => (failed(failure.rcode), Some(failure.reason)),
        Some(Outcome::Dropped) => (None, None),
        None => (failed(Rcode::REFUSED), None),
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

/// The handlers that a query meets, in turn.
#[derive(Clone, Default)]
pub(super) struct Trail(Arc<Mutex<Vec<(u8, &'static str)>>>);

impl Trail {
    /// The chain with a mark before each handler.
    pub(super) fn along(&self, chain: Vec<Arc<dyn Handler>>) -> Vec<Arc<dyn Handler>> {
        let marked = |handler: Arc<dyn Handler>| -> [Arc<dyn Handler>; 2] {
            [Arc::new(Mark { trail: self.clone(), name: handler.name() }), handler]
        };
        chain.into_iter().flat_map(marked).collect()
    }

    fn clear(&self) {
        if let Ok(mut steps) = self.0.lock() {
            steps.clear();
        }
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
