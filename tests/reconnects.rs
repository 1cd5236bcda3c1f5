//! A hundred instances whose API server goes, comes back, forgets, or was never there: they do not come back in step.
//!
//! Nor do those that start together with nothing to answer with, as pods of a DNS Service that shows that they start. A
//! start of which the Service shows nothing lists at once: of one alone, of a few, outside of a pod, or before the
//! control plane has marked who was restarted. Then it is for the API server to say that it is too much: what its
//! priority and fairness refuses with 429 comes again after its `Retry-After`, spread, and as a read of memory again.
//! That is proved below, too.
//!
//! Each is a feed as the server has it, with its own durations, all in one process on one fake API server. Prints how
//! many lists or watches began in each half second, and how many in the busiest second.

mod support;

use dunlin::cluster::{self, Details, Feed, First, Key, Kind, Object, Options, Sink, Source};
use dunlin::metrics::Metrics;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::fakeapi::{FakeApi, Fault};
use support::say;

const INSTANCES: usize = 100;
/// What each follows: Namespaces, Services, EndpointSlices.
const KINDS: usize = 3;
/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(6);
/// The longest until all are back: the longest back-off, the spread of lists, and a machine that does other things.
const LONGEST: Duration = Duration::from_secs(30);
/// Of all requests, the most in any second.
const MOST: f64 = 0.6;

/// So many pods start together when a Deployment is updated.
const FEW: usize = 2;

struct Ignored;

impl Sink for Ignored {
    fn list_begins(&self, _: Kind) {}
    fn apply(&self, _: Object) {}
    fn delete(&self, _: Kind, _: &Key) {}
    fn list_breaks(&self, _: Kind) {}
    fn list_ends(&self, _: Kind) {}
}

fn instances(api: &FakeApi, first: &First) -> Vec<Feed> {
    let options = Options {
        source: Source::Endpoint(api.url.clone(), None),
        labels: String::new(),
        namespace_labels: String::new(),
        endpoints: true,
        pods: false,
        imports: false,
        details: Details::default(),
    };
    (0..INSTANCES)
        .map(|_| cluster::start(options.clone(), Arc::new(Ignored), first.clone(), &Metrics::new()).expect("a feed"))
        .collect()
}

/// As pods of a DNS Service that so many pods have, of which the first are not ready.
fn pods(api: &FakeApi, unready: usize) -> Vec<Feed> {
    let endpoints: Vec<_> = (0..INSTANCES)
        .map(|pod| {
            json!({
                "addresses": [format!("10.244.0.{pod}")],
                "conditions": {"ready": pod >= unready},
                "targetRef": {"kind": "Pod", "name": format!("dns-{pod}")}
            })
        })
        .collect();
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/service-name": "kube-dns"});
    let metadata = json!({"namespace": "kube-system", "name": "kube-dns-1", "labels": labels});
    api.put("EndpointSlice", json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}));
    instances(api, &First::AmongOthers(Some("kube-system".to_owned())))
}

/// Lists, or watches.
type Which = fn(&FakeApi) -> Vec<Instant>;

fn lists(api: &FakeApi) -> Vec<Instant> {
    api.requests().0
}

fn watches(api: &FakeApi) -> Vec<Instant> {
    api.requests().1
}

/// Waits until each instance has made one such request for each kind since then; prints when, and gives the busiest
/// second's part of them.
async fn spread(what: &str, api: &FakeApi, which: Which, since: Instant) -> f64 {
    let began = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < INSTANCES * KINDS {
        assert!(began.elapsed() < LONGEST, "{what}: {} requests", seen.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = which(api).into_iter().filter(|at| *at >= since).map(|at| at - since).collect();
    }
    seen.truncate(INSTANCES * KINDS);
    busiest_second(what, &seen)
}

/// Prints when requests came; gives the busiest second's part of them.
fn busiest_second(what: &str, seen: &[Duration]) -> f64 {
    let second = Duration::from_secs(1);
    let busiest = seen.iter().map(|at| seen.iter().filter(|other| (*at..*at + second).contains(*other)).count()).max();
    let busiest = busiest.unwrap_or_default();
    let halves = seen.last().map_or(0, |last| last.as_millis() as usize / 500);
    let histogram: Vec<String> = (0..=halves)
        .map(|half| seen.iter().filter(|at| at.as_millis() as usize / 500 == half).count().to_string())
        .collect();
    say(format!("{what:<52} busiest second {busiest:>3} of {}; each half second: {}", seen.len(), histogram.join(" ")));
    busiest as f64 / seen.len() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_instances_do_not_come_back_in_the_same_second() {
    say("");
    let api = FakeApi::start();
    let begun = Instant::now();
    let feeds = instances(&api, &First::AtOnce);
    // See the head of this file.
    spread("lists of a start of which nobody tells", &api, lists, begun).await;
    assert_eq!(api.questions(), 0);

    api.begin(Fault::Down);
    tokio::time::sleep(AWAY).await;
    let back = Instant::now();
    api.end();
    let most = spread("watches after the API server was away", &api, watches, back).await;
    assert!(most <= MOST, "watches: {most:.2} of them in one second");
    assert_eq!(api.requests().0.len(), INSTANCES * KINDS, "what was only away is not listed again");

    let forgotten = Instant::now();
    api.begin(Fault::GoneEvent);
    let most = spread("lists after all watches were told 410", &api, lists, forgotten).await;
    api.end();
    assert!(most <= MOST, "relists: {most:.2} of them in one second");
    drop(feeds);

    let api = FakeApi::start();
    api.begin(Fault::Down);
    let feeds = instances(&api, &First::AtOnce);
    tokio::time::sleep(AWAY).await;
    let back = Instant::now();
    api.end();
    let most = spread("lists of a start while the API server was away", &api, lists, back).await;
    assert!(most <= MOST, "lists after an outage: {most:.2} of them in one second");
    drop(feeds);

    let (api, begun) = (FakeApi::start(), Instant::now());
    api.begin(Fault::Busy);
    let feeds = instances(&api, &First::AtOnce);
    let most = spread("lists of a start together, taken by a busy server", &api, lists, begun).await;
    assert!(most <= MOST, "lists that a busy server took: {most:.2} of them in one second");
    let asked: Vec<Duration> = api.asked().into_iter().map(|at| at - begun).collect();
    let again: Vec<Duration> = asked[INSTANCES * KINDS..].to_vec();
    let most = busiest_second("those that it refused, asked again", &again);
    assert!(most <= MOST, "lists asked again: {most:.2} of them in one second");
    assert!(again.len() <= 2 * INSTANCES * KINDS, "{} asked again", again.len());
    drop(feeds);

    let (api, begun) = (FakeApi::start(), Instant::now());
    let feeds = instances(&api, &First::Spread);
    let most = spread("lists of a start together from snapshots", &api, lists, begun).await;
    assert!(most <= MOST, "lists after snapshots: {most:.2} of them in one second");
    drop(feeds);

    let (api, begun) = (FakeApi::start(), Instant::now());
    let feeds = pods(&api, INSTANCES);
    let most = spread("lists of pods that start together", &api, lists, begun).await;
    assert!(most <= MOST, "lists of pods: {most:.2} of them in one second");
    assert_eq!(api.questions(), INSTANCES, "one question an instance, not one a kind");
    drop(feeds);

    let (api, begun) = (FakeApi::start(), Instant::now());
    let _feeds = pods(&api, FEW);
    spread("lists where two pods start", &api, lists, begun).await;
    assert_eq!(api.questions(), INSTANCES);
}
