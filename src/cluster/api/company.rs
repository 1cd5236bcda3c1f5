//! The company of a start: instances that start together with nothing to answer with list one after another.
//!
//! How many they are is in the EndpointSlices of the Service that selects them, where the control plane marks those
//! that are not ready. One small request asks for that before the first lists. It is a courtesy to the API server,
//! never a reason not to start: without an answer in time, without the right to ask, or without such a Service nobody
//! waits.
//!
//! Instances that restart before the control plane has marked them are not seen.

use super::backoff::random_between;
use super::connection::{Connection, Failure};
use super::frames::read_whole;
use super::request;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What a cluster's DNS Service is labelled, in Kubernetes' own manifests and in CoreDNS's chart. Its slices have its
/// labels.
const SERVICES: &str = "k8s-app in (kube-dns,coredns)";
/// So many start together as a Deployment is updated: they wait for nobody.
const FEW: usize = 5;
/// How many of more than those begin in a second.
const A_SECOND: u32 = 10;
/// The longest that one waits, however many there are.
const LONGEST: Duration = Duration::from_secs(10);
/// How long the whole of the question may take: an API server is slow just when many ask it.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest answer that is read, in octets: about ten thousand endpoints.
const LONGEST_ANSWER: usize = 4 << 20;

/// Waits until it is this instance's turn among those that a namespace's DNS Service has; `None` is nobody's.
pub(super) async fn turn(connection: Connection, namespace: Option<String>) {
    let Some(namespace) = namespace else { return };
    let Ok(Ok(starting)) = timeout(PATIENCE, starting(&connection, &namespace)).await else { return };
    let longest = longest_wait(starting);
    if longest.is_zero() {
        return;
    }
    let wait = random_between(Duration::ZERO..=longest);
    tracing::info!(
        target: "plugin/kubernetes",
        "{starting} instances of the DNS Service in {namespace} are starting: this one's first lists begin in {wait:.1?}"
    );
    sleep(wait).await;
}

/// How many instances are starting, this one among them.
async fn starting(connection: &Connection, namespace: &str) -> Result<usize, Failure> {
    let answer = connection.get(request::slices(namespace, SERVICES), PATIENCE).await?;
    let body = read_whole(answer.into_body(), LONGEST_ANSWER, PATIENCE).await?;
    starting_in(&body).map_err(|error| error.to_string().into())
}

/// The longest that one of so many waits.
fn longest_wait(starting: usize) -> Duration {
    let starting = if starting > FEW { u32::try_from(starting).unwrap_or(u32::MAX) } else { 0 };
    LONGEST.min(Duration::from_secs(starting.into()) / A_SECOND)
}

#[derive(Deserialize)]
struct Slices {
    items: Vec<Slice>,
}

#[derive(Deserialize)]
struct Slice {
    /// None is `null`.
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    conditions: Conditions,
    target_ref: Option<TargetRef>,
}

/// What is unset counts as ready, and as not terminating (the API reference for EndpointSlice).
#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct TargetRef {
    name: String,
}

/// The pods that are neither ready nor on their way out. A pod has an endpoint in each Service that selects it, and for
/// each family of addresses.
fn starting_in(body: &[u8]) -> serde_json::Result<usize> {
    let slices: Slices = serde_json::from_slice(body)?;
    let endpoints = slices.items.into_iter().filter_map(|slice| slice.endpoints).flatten();
    let starting = endpoints
        .filter(|Endpoint { conditions, .. }| conditions.ready == Some(false) && conditions.terminating != Some(true));
    let pods: BTreeSet<String> = starting.filter_map(|endpoint| Some(endpoint.target_ref?.name)).collect();
    Ok(pods.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_a_few_wait_and_not_for_ever() {
        let milliseconds = [0, 1, 2, 5, 6, 42, 100, 101, usize::MAX].map(|starting| longest_wait(starting).as_millis());
        assert_eq!(milliseconds, [0, 0, 0, 0, 600, 4_200, 10_000, 10_000, 10_000]);
    }

    /// The endpoint of a pod, with these conditions.
    fn endpoint(pod: &str, conditions: &str) -> String {
        format!(
            r#"{{"addresses": ["10.1.0.1"], "conditions": {{{conditions}}}, "targetRef": {{"kind": "Pod", "name": "{pod}"}}}}"#
        )
    }

    fn counted(slices: &[&[String]]) -> usize {
        let slices = slices.iter().map(|endpoints| format!(r#"{{"endpoints": [{}]}}"#, endpoints.join(",")));
        let slices: Vec<String> = slices.collect();
        starting_in(format!(r#"{{"kind": "EndpointSliceList", "items": [{}]}}"#, slices.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn those_that_are_ready_or_terminate_do_not_start() {
        let starts = r#""ready": false, "serving": false, "terminating": false"#;
        let slice = [
            endpoint("old", ""),
            endpoint("ready", r#""ready": true, "serving": true, "terminating": false"#),
            endpoint("stops", r#""ready": false, "serving": true, "terminating": true"#),
            endpoint("new", starts),
            endpoint("newer", r#""ready": false"#),
            r#"{"addresses": ["10.1.0.2"]}"#.to_owned(),
        ];
        assert_eq!(counted(&[&slice]), 2);
        assert_eq!(counted(&[]), 0);
    }

    #[test]
    fn a_pod_counts_once_whatever_selects_it() {
        let starts = r#""ready": false"#;
        let first = [endpoint("a", starts), endpoint("b", starts)];
        let second = [endpoint("b", starts), endpoint("c", starts)];
        assert_eq!(counted(&[&first, &second]), 3);
        assert_eq!(starting_in(br#"{"items": [{"endpoints": null}, {}]}"#).unwrap(), 0);
    }

    #[test]
    fn what_is_no_list_counts_nobody() {
        for body in [&b"{}"[..], b"", b"k8s\0\x0a", br#"{"kind": "Status", "code": 403}"#] {
            assert!(starting_in(body).is_err());
        }
    }
}
