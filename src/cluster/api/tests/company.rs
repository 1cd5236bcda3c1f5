//! The question before the first lists: it is asked once, and whatever comes of it the lists are taken.

use super::super::company_of;
use super::fake_api::{FakeApi, Reply};
use super::{empty_list, options, syncs};
use crate::cluster::recorder::Recorder;
use crate::cluster::{First, Source, start};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

const QUESTION: &str = "/apis/discovery.k8s.io/v1/namespaces/dns/endpointslices?resourceVersion=0&\
                        labelSelector=k8s-app%20in%20%28kube-dns%2Ccoredns%29";

/// What a feed of two kinds asks for until it is synced, but for watches, of a server with such an answer before its
/// lists.
async fn asked(first: First, answer: Option<Reply>) -> Vec<String> {
    let lists = (0..20).map(|_| empty_list("1"));
    let api = FakeApi::start(answer.into_iter().chain(lists).collect()).await;
    let options = options(Source::Endpoint(api.url.clone(), None));
    let feed = start(options, Arc::new(Recorder::default()), first, &Metrics::new()).unwrap();
    assert!(syncs(&feed, Duration::from_secs(10)).await, "{:?}", api.requests());
    api.requests().iter().filter(|path| !path.contains("watch=true")).cloned().collect()
}

#[tokio::test]
async fn whatever_the_answer_the_lists_are_taken() {
    let two = r#"{"conditions": {"ready": false}, "targetRef": {"name": "a"}},
                 {"conditions": {"ready": false}, "targetRef": {"name": "b"}}"#;
    for answer in [
        Reply::json(format!(r#"{{"items": [{{"endpoints": [{two}]}}]}}"#)),
        Reply::json(r#"{"items": []}"#),
        Reply::json("{"),
        Reply::json(r#"{"items": "#).cut(),
        Reply::error("403 Forbidden", "no such right"),
        Reply::error("429 Too Many Requests", "later").with_header("retry-after: 60"),
        // It never comes to its end.
        Reply::json("{").silent(),
    ] {
        let asked = asked(First::AmongOthers(Some("dns".to_owned())), Some(answer)).await;
        assert_eq!(asked[0], QUESTION);
        assert!(asked.len() == 3 && asked[1..].iter().all(|path| path.starts_with("/api/v1/")), "{asked:?}");
    }
}

#[test]
fn a_pod_is_among_those_of_its_namespace() {
    let (pod, elsewhere) = (Source::InCluster, Source::Endpoint("http://a".into(), None));
    let other = || Some("other".to_owned());
    for (first, source, expected) in [
        (First::AmongOthers(None), &pod, Some("own".to_owned())),
        (First::AmongOthers(None), &elsewhere, None),
        (First::AmongOthers(other()), &pod, other()),
        (First::AmongOthers(other()), &elsewhere, other()),
        (First::AtOnce, &pod, None),
        (First::Spread, &pod, None),
    ] {
        assert_eq!(company_of(&first, source, "own"), expected, "{first:?} {source:?}");
    }
}

#[tokio::test]
async fn who_needs_not_ask_does_not() {
    // This source is no pod's.
    for first in [First::AtOnce, First::AmongOthers(None)] {
        let asked = asked(first, None).await;
        assert!(asked.len() == 2 && asked.iter().all(|path| path.starts_with("/api/v1/")), "{asked:?}");
    }
}
