mod company;
mod fake_api;
mod tls;

use super::connection::Connection;
use super::follow::{Follower, Pace};
use super::request::Target;
use crate::cluster::counters::{Counters, WatchCounters};
use crate::cluster::decode::protobuf::encode;
use crate::cluster::recorder::Recorder;
use crate::cluster::{Details, Feed, First, Kind, Options, Source, start};
use crate::metrics::Metrics;
use fake_api::{FakeApi, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A follower of one kind on a scripted server.
struct Run {
    api: FakeApi,
    sink: Arc<Recorder>,
    unsynced: Arc<AtomicUsize>,
    counters: WatchCounters,
    metrics: Metrics,
}

/// Short, but for what is not under test.
fn pace() -> Pace {
    let milliseconds = Duration::from_millis;
    Pace {
        backoff: (milliseconds(20), milliseconds(40), milliseconds(60_000)),
        lifetime: milliseconds(60_000)..=milliseconds(60_000),
        shortest_life: milliseconds(1),
        slack: milliseconds(0),
        silence: milliseconds(60_000),
        answer: milliseconds(5_000),
        relist: milliseconds(3_600_000)..=milliseconds(3_600_000),
        spread: milliseconds(0),
    }
}

async fn run(kind: Kind, script: Vec<Reply>) -> Run {
    run_at(kind, script, pace()).await
}

async fn run_at(kind: Kind, script: Vec<Reply>, pace: Pace) -> Run {
    let api = FakeApi::start(script).await;
    let sink = Arc::new(Recorder::default());
    let unsynced = Arc::new(AtomicUsize::new(1));
    let metrics = Metrics::new();
    let mut counters = Counters::new(&metrics, &[kind]);
    let watch_counters = counters.watches.remove(&kind).unwrap();
    let follower = Follower {
        connection: Connection::new(&Source::Endpoint(api.url.clone(), None), counters.requests).unwrap(),
        target: Target { kind, labels: String::new(), details: Details::ALL },
        sink: sink.clone(),
        counters: watch_counters.clone(),
        pace,
        unsynced: Arc::clone(&unsynced),
    };
    tokio::spawn(follower.run(std::future::ready(())));
    Run { api, sink, unsynced, counters: watch_counters, metrics }
}

const PATH: &str = "/api/v1/services";

fn list_path(rest: &str) -> String {
    format!("{PATH}?limit=500{rest}")
}

fn watch_path(version: &str) -> String {
    format!("{PATH}?watch=true&allowWatchBookmarks=true&resourceVersion={version}")
}

fn service(name: &str, version: &str, ip: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"{version}"}},"spec":{{"clusterIP":"{ip}"}}}}"#
    )
}

fn list(version: &str, next: &str, items: &[String]) -> Reply {
    let items = items.join(",");
    Reply::json(format!(
        r#"{{"kind":"ServiceList","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{items}]}}"#
    ))
}

/// A line of a watch.
fn line(event_type: &str, object: &str) -> String {
    format!("{{\"type\":\"{event_type}\",\"object\":{object}}}\n")
}

fn empty_list(version: &str) -> Reply {
    list(version, "", &[])
}

const EMPTY: [&str; 2] = ["begin Service", "end Service"];

#[tokio::test]
async fn pages_are_told_as_one_list_and_then_watched() {
    let script = vec![
        list("10", "t/1", &[service("a", "1", "10.0.0.1")]),
        list("10", "", &[service("b", "2", "10.0.0.2")]),
        Reply::json(line("ADDED", &service("c", "11", "10.0.0.3")))
            .then(line("MODIFIED", &service("a", "12", "10.0.0.9")))
            .then(line("DELETED", &service("b", "13", "10.0.0.2")))
            .silent(),
    ];
    let run = run(Kind::Service, script).await;
    run.sink
        .told(&[
            "begin Service",
            "apply shop/a 10.0.0.1",
            "apply shop/b 10.0.0.2",
            "end Service",
            "apply shop/c 10.0.0.3",
            "apply shop/a 10.0.0.9",
            "delete shop/b",
        ])
        .await;
    assert_eq!(run.unsynced.load(Ordering::Acquire), 0);
    // The list as a whole, in JSON, was not taken.
    assert_eq!(run.api.requests(), [list_path(""), list_path("&continue=t%2F1"), watch_path("10")]);
}

#[tokio::test]
async fn protobuf_is_told_just_the_same() {
    let event = |event_type: &str, name: &str, version: &str, ip: &str| {
        encode::frame(encode::watch_event(event_type, encode::service(name, version, ip)))
    };
    let added = event("ADDED", "b", "11", "10.0.0.2");
    let (head, tail) = added.split_at(added.len() / 2);
    let script = vec![
        Reply::protobuf(encode::list("10", "", &[encode::service("a", "1", "10.0.0.1")])),
        // A frame in two parts, and two frames in one.
        Reply::protobuf(head)
            .then(tail)
            .then([event("MODIFIED", "a", "12", "10.0.0.9"), event("DELETED", "b", "13", "10.0.0.2")].concat()),
    ];
    let run = run(Kind::Service, script).await;
    let told = [
        "begin Service",
        "apply shop/a 10.0.0.1",
        "end Service",
        "apply shop/b 10.0.0.2",
        "apply shop/a 10.0.0.9",
        "delete shop/b",
    ];
    run.sink.told(&told).await;
    let requests = run.api.requested(3).await;
    assert_eq!((&requests[0], &requests[2]), (&format!("{PATH}?resourceVersion=0"), &watch_path("13")));
}

#[tokio::test]
async fn a_clean_end_resumes_behind_the_last_event_or_bookmark() {
    let bookmark = r#"{"metadata":{"resourceVersion":"40"}}"#;
    let script = vec![
        empty_list("10"),
        Reply::json(line("ADDED", &service("a", "11", "10.0.0.1"))),
        Reply::json(line("BOOKMARK", bookmark)),
    ];
    let run = run(Kind::Service, script).await;
    let requests = run.api.requested(4).await;
    assert_eq!(requests[1..], [watch_path("10"), watch_path("11"), watch_path("40")]);
    run.sink.told(&["begin Service", "end Service", "apply shop/a 10.0.0.1"]).await;
    assert_eq!(run.counters.relists.get(), 0);
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_not_asked_in_a_hot_loop() {
    let script = (0..200).map(|_| Reply::json("")).collect::<Vec<_>>();
    let script = std::iter::once(empty_list("10")).chain(script).collect();
    let backoff = (Duration::from_millis(200), Duration::from_secs(30), Duration::from_secs(60));
    let run = run_at(Kind::Service, script, Pace { backoff, shortest_life: Duration::from_secs(5), ..pace() }).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let requests = run.api.requests().len();
    assert!((2..10).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_line_loses_nothing_but_that_line() {
    let added = line("ADDED", &service("b", "12", "10.0.0.2"));
    let script = vec![
        empty_list("10"),
        Reply::json(line("ADDED", &service("a", "11", "10.0.0.1"))).then(&added[..30]).cut(),
        Reply::json(&added).silent(),
    ];
    let run = run(Kind::Service, script).await;
    run.sink.told(&["begin Service", "end Service", "apply shop/a 10.0.0.1", "apply shop/b 10.0.0.2"]).await;
    assert_eq!(run.api.requests()[1..], [watch_path("10"), watch_path("11")]);
}

#[tokio::test]
async fn a_410_status_lists_again() {
    let script =
        vec![empty_list("10"), Reply::error("410 Gone", "too old"), list("7", "", &[]), Reply::json("").silent()];
    let run = run(Kind::Service, script).await;
    // The new list may be older than the first: what it says counts.
    assert_eq!(run.api.requested(4).await[2..], [list_path(""), watch_path("7")]);
    run.sink.told(&[EMPTY, EMPTY].concat()).await;
    assert_eq!(run.counters.relists.get(), 1);
    let text = run.metrics.render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{kind=\"Service\"} "));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}\n{text}"))
    };
    assert_eq!((value("dunlin_watch_relists_total"), value("dunlin_watch_failures_total")), (1.0, 0.0));
    assert!(value("dunlin_watch_last_event_timestamp_seconds") > 1.7e9);
    let host = run.api.url.trim_start_matches("http://");
    let took =
        format!("coredns_kubernetes_rest_client_request_duration_seconds_count{{host=\"{host}\",verb=\"GET\"}} ");
    assert!(text.lines().any(|line| line.strip_prefix(&took).is_some_and(|times| times != "0")), "{took}\n{text}");
}

#[tokio::test]
async fn a_410_event_lists_again_in_both_encodings() {
    let json = line("ERROR", r#"{"kind":"Status","status":"Failure","code":410,"reason":"Expired"}"#);
    let protobuf = encode::frame(encode::watch_event("ERROR", encode::number(6, 410)));
    for watch in [Reply::json(json), Reply::protobuf(protobuf)] {
        let run = run(Kind::Service, vec![empty_list("10"), watch.silent(), list("20", "", &[])]).await;
        assert_eq!(run.api.requested(4).await[2..], [list_path(""), watch_path("20")]);
    }
}

#[tokio::test]
async fn another_error_event_resumes() {
    let error = line("ERROR", r#"{"kind":"Status","code":500,"message":"etcd is away"}"#);
    let run = run(Kind::Service, vec![empty_list("10"), Reply::json(error)]).await;
    assert_eq!(run.api.requested(3).await[2], watch_path("10"));
    assert_eq!(run.counters.failures.get(), 1);
}

#[tokio::test]
async fn a_watch_that_is_refused_again_and_again_lists_again() {
    let mut script = vec![empty_list("10")];
    script.extend((0..3).map(|_| Reply::error("500 Internal Server Error", "no")));
    script.push(list("20", "", &[]));
    let run = run(Kind::Service, script).await;
    assert_eq!(run.api.requested(6).await[3..], [watch_path("10"), list_path(""), watch_path("20")]);
}

#[tokio::test]
async fn a_place_that_a_server_has_not_come_to_lists_again_at_once() {
    let refused = Reply::error("504 Gateway Timeout", "Too large resource version: 10, current: 7");
    let run = run(Kind::Service, vec![empty_list("10"), refused, list("7", "", &[])]).await;
    assert_eq!(run.api.requested(4).await[2..], [list_path(""), watch_path("7")]);
}

#[tokio::test]
async fn an_event_out_of_order_changes_nothing_and_lists_again() {
    let event = |version: &str, ip: &str| line("MODIFIED", &service("a", version, ip));
    let script = vec![
        empty_list("10"),
        Reply::json(event("12", "10.0.0.12")).then(event("11", "10.0.0.11")).silent(),
        list("12", "", &[service("a", "12", "10.0.0.12")]),
        // Of what is no number nothing is told.
        Reply::json(event("b", "10.0.0.13")).then(event("a", "10.0.0.14")).silent(),
    ];
    let run = run(Kind::Service, script).await;
    let mut told = vec!["begin Service", "end Service", "apply shop/a 10.0.0.12"];
    told.extend(["begin Service", "apply shop/a 10.0.0.12", "end Service"]);
    told.extend(["apply shop/a 10.0.0.13", "apply shop/a 10.0.0.14"]);
    run.sink.told(&told).await;
    assert_eq!(run.api.requested(4).await[2..], [list_path(""), watch_path("12")]);
    assert_eq!(run.counters.failures.get(), 1);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let refused = Reply::error("429 Too Many Requests", "slow down").with_header("retry-after: 1");
    let began = Instant::now();
    let run = run(Kind::Service, vec![refused, empty_list("10")]).await;
    run.sink.told(&["break Service", "begin Service", "end Service"]).await;
    // Longer than that: the others that were refused are told the same.
    let shortest = pace().backoff.0 / 8;
    assert!(began.elapsed() >= Duration::from_secs(1) + shortest, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_list_is_tried_until_it_is_complete() {
    let script = vec![
        Reply::error("500 Internal Server Error", "no"),
        Reply::json("this is no list"),
        list("10", "more", &[service("a", "1", "10.0.0.1")]),
        Reply::json(r#"{"metadata":{},"items":[{"#).cut(),
        list("11", "", &[service("b", "2", "10.0.0.2")]),
    ];
    let run = run(Kind::Service, script).await;
    // What turns out to be no list has begun one.
    let told =
        ["break Service", "begin Service", "break Service", "begin Service", "apply shop/a 10.0.0.1", "break Service"];
    let again = ["begin Service", "apply shop/b 10.0.0.2", "end Service"];
    run.sink.told(&[&told[..], &again].concat()).await;
    assert_eq!(run.counters.failures.get(), 3);
    // A server whose memory is not filled yet says no to the first.
    assert_eq!(run.api.requests()[1], list_path(""));
}

#[tokio::test]
async fn nobody_waits_for_a_kind_that_is_not_installed_and_it_is_asked_for_again() {
    let missing = || Reply::error("404 Not Found", "the server could not find the requested resource");
    let script = || vec![missing(), missing(), empty_list("10")];
    let custom = run(Kind::ServiceImport, script()).await;
    custom.api.requested(2).await;
    assert_eq!(custom.unsynced.load(Ordering::Acquire), 0);
    let broken = ["break ServiceImport"; 2];
    custom.sink.told(&[&broken[..], &["begin ServiceImport", "end ServiceImport"]].concat()).await;
    // Once is enough: the list takes nothing more from those that are waited for.
    custom.api.requested(4).await;
    assert_eq!((custom.unsynced.load(Ordering::Acquire), custom.counters.failures.get() >= 2), (0, true));
    // A kind that every API server has is waited for: a 404 is a wrong address.
    let built_in = run(Kind::Service, vec![missing(), missing()]).await;
    built_in.api.requested(2).await;
    assert_eq!(built_in.unsynced.load(Ordering::Acquire), 1);
    assert!(built_in.sink.take().iter().all(|told| told == "break Service"));
}

#[tokio::test]
async fn a_continue_token_that_has_expired_asks_for_everything_at_once() {
    let script = vec![
        list("10", "more", &[service("a", "1", "10.0.0.1")]),
        Reply::error("410 Gone", "the continue token is too old"),
        list("12", "", &[service("a", "1", "10.0.0.1"), service("b", "2", "10.0.0.2")]),
    ];
    let run = run(Kind::Service, script).await;
    let told = ["begin Service", "apply shop/a 10.0.0.1", "break Service"];
    let again = ["begin Service", "apply shop/a 10.0.0.1", "apply shop/b 10.0.0.2", "end Service"];
    run.sink.told(&[&told[..], &again].concat()).await;
    assert_eq!(run.api.requests()[2], PATH);
}

#[tokio::test]
async fn one_undecodable_object_stops_neither_list_nor_watch() {
    let odd = r#"{"metadata":{"name":"odd"},"spec":{"ports":"all"}}"#;
    let script = vec![
        list("10", "", &[service("a", "1", "10.0.0.1"), odd.to_owned(), service("b", "2", "10.0.0.2")]),
        Reply::json(line("ADDED", odd)).then("not even JSON\n").then(line("ADDED", &service("c", "11", "10.0.0.3"))),
    ];
    let run = run(Kind::Service, script).await;
    let listed = ["begin Service", "apply shop/a 10.0.0.1", "apply shop/b 10.0.0.2", "end Service"];
    run.sink.told(&[&listed[..], &["apply shop/c 10.0.0.3"]].concat()).await;
    assert_eq!(run.counters.undecodable.get(), 3);
    assert_eq!(run.api.requested(3).await[2], watch_path("11"));
}

#[tokio::test]
async fn a_silent_watch_is_dropped_and_resumed() {
    let bookmark = line("BOOKMARK", r#"{"metadata":{"resourceVersion":"40"}}"#);
    // Without bookmarks only its lifetime tells; with them, silence does.
    let lifetime = Duration::from_millis(50)..=Duration::from_millis(50);
    let short =
        run_at(Kind::Service, vec![empty_list("10"), Reply::json("").silent()], Pace { lifetime, ..pace() }).await;
    assert_eq!(short.api.requested(3).await[2], watch_path("10"));
    let silence = Duration::from_millis(50);
    let script = vec![empty_list("10"), Reply::json(bookmark).silent()];
    let silent = run_at(Kind::Service, script, Pace { silence, ..pace() }).await;
    assert_eq!(silent.api.requested(3).await[2], watch_path("40"));
}

#[tokio::test]
async fn watches_that_stay_deaf_are_followed_by_a_list() {
    let bookmark = line("BOOKMARK", r#"{"metadata":{"resourceVersion":"40"}}"#);
    // The server was set back to 7: a watch from 40 says nothing, not even a bookmark.
    let quiet = || Reply::json("").silent();
    let script = vec![
        list("10", "", &[service("a", "1", "10.0.0.1")]),
        Reply::json(bookmark).silent(),
        quiet(),
        quiet(),
        list("7", "", &[service("b", "2", "10.0.0.2")]),
    ];
    let run = run_at(Kind::Service, script, Pace { silence: Duration::from_millis(50), ..pace() }).await;
    let paths = [watch_path("40"), watch_path("40"), list_path(""), watch_path("7")];
    assert_eq!(run.api.requested(6).await[2..], paths);
    let old = ["begin Service", "apply shop/a 10.0.0.1", "end Service"];
    let new = ["begin Service", "apply shop/b 10.0.0.2", "end Service"];
    run.sink.told(&[old, new].concat()).await;
}

#[tokio::test]
async fn a_list_is_taken_now_and_then_though_no_watch_fails() {
    let relist = Duration::from_millis(100)..=Duration::from_millis(200);
    let lifetime = Duration::from_millis(20)..=Duration::from_millis(20);
    let mut script = vec![empty_list("10")];
    script.extend((0..30).map(|_| Reply::json("").silent()));
    let run = run_at(Kind::Service, script, Pace { relist, lifetime, ..pace() }).await;
    let began = Instant::now();
    while !run.api.requests().iter().skip(1).any(|one| *one == list_path("")) {
        assert!(began.elapsed() < Duration::from_secs(10), "no second list");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_never_answers_is_asked_again() {
    let answer = Duration::from_millis(50);
    let run = run_at(Kind::Service, vec![], Pace { answer, ..pace() }).await;
    assert!(run.api.requested(3).await.len() >= 3);
    assert!(run.sink.take().iter().all(|told| told == "break Service"));
    assert_eq!(run.unsynced.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn a_pod_that_loses_its_address_is_deleted() {
    let pod = |version: &str, status: &str| {
        let metadata = format!(r#"{{"name":"p","namespace":"shop","resourceVersion":"{version}"}}"#);
        format!(r#"{{"metadata":{metadata},"status":{status}}}"#)
    };
    let script = vec![
        list("10", "", &[pod("1", r#"{"podIP":"10.1.0.1"}"#), pod("2", "{}")]),
        Reply::json(line("MODIFIED", &pod("11", r#"{"phase":"Failed","podIP":"10.1.0.1"}"#))).silent(),
    ];
    let run = run(Kind::Pod, script).await;
    run.sink.told(&["begin Pod", "apply shop/p 10.1.0.1", "end Pod", "delete shop/p"]).await;
}

/// Namespaces and Services of a source.
fn options(source: Source) -> Options {
    let (labels, namespace_labels) = (String::new(), String::new());
    Options {
        source,
        labels,
        namespace_labels,
        endpoints: false,
        pods: false,
        imports: false,
        details: Details::default(),
    }
}

/// Whether a feed is synced within a time.
async fn syncs(feed: &Feed, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !feed.is_synced() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    feed.is_synced()
}

#[tokio::test]
async fn a_feed_is_synced_when_every_kind_is() {
    // An empty list is one of either kind.
    for (lists, will_sync) in [(1, false), (20, true)] {
        let api = FakeApi::start((0..lists).map(|_| empty_list("1")).collect()).await;
        let source = Source::Endpoint(api.url.clone(), None);
        let options = Options { labels: "app=web".into(), namespace_labels: "team".into(), ..options(source) };
        let feed = start(options, Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).unwrap();
        let requests = api.requested(3).await;
        let asked = |path: &str| requests.iter().any(|one| one.starts_with(path));
        assert!(asked("/api/v1/namespaces?labelSelector=team&"), "{requests:?}");
        assert!(asked("/api/v1/services?labelSelector=app%3Dweb&"), "{requests:?}");
        let patience = Duration::from_millis(if will_sync { 10_000 } else { 100 });
        assert_eq!(syncs(&feed, patience).await, will_sync);
    }
}

#[tokio::test]
async fn what_the_operator_has_to_mend_is_said() {
    let fault = |source: Source| {
        start(options(source), Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).err().unwrap()
    };
    let missing = ["/missing/cert", "/missing/key", "/missing/ca"].map(std::path::PathBuf::from);
    let said = fault(Source::Endpoint("https://127.0.0.1:1".into(), Some(missing)));
    assert!(said.starts_with("/missing/cert: "), "{said}");
    let said = fault(Source::Endpoint("ftp://host".into(), None));
    assert_eq!(said, "endpoint \"ftp://host\" is no http or https URL");
    let said = fault(Source::Kubeconfig("/missing/config".into(), None));
    assert!(said.starts_with("/missing/config: "), "{said}");
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        let said = fault(Source::InCluster);
        assert!(said.contains("not in a pod"), "{said}");
    }
    let odd = Options { labels: "a b".into(), ..options(Source::Text("x", "")) };
    let said = start(odd, Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).err().unwrap();
    assert!(said.starts_with("label selector \"a b\": "), "{said}");
}
