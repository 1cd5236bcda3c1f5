//! # Description
//!
//! `kubernetes` answers for the Services, endpoints and Pods of a cluster, by the Kubernetes DNS-Based Service Discovery
//! specification 1.1.0, as CoreDNS does. Objects are followed by watches, and an event is in the next answer: nothing
//! stands between the store and the client, whatever `cache` says; `cache` only shapes TTLs here.
//!
//! The names, left of a zone *Z*:
//!
//! | name | type | answer |
//! |---|---|---|
//! | `S.NS.svc` | A, AAAA | the cluster IPs; of a headless service, its ready endpoints |
//! | `S.NS.svc` | CNAME, A, AAAA | of a service of type ExternalName, the alias, and what it leads to |
//! | `E.S.NS.svc` | A, AAAA | the endpoint of that host name, or with that address in dashes |
//! | `_PORT._PROTOCOL.S.NS.svc` | SRV | the port, at the service's name or its endpoints' |
//! | `1-2-3-4.NS.pod` | A, AAAA | that address, as `pods` has it |
//! | reverse names | PTR | the service, or else the endpoints, of that address |
//! | *Z* | SOA, NS | the zone, and the services that this server is an endpoint of, or `ns.dns` |
//! | `dns-version` | TXT | `1.1.0` |
//!
//! A name that exists without records of the type asked is NODATA, empty non-terminals included; only a name that does
//! not exist falls through. Until the first lists have arrived a missing name is SERVFAIL. SOA does not fall through: a
//! name that another plugin may have is NODATA for it.
//!
//! EndpointSlices of host names (`addressType: FQDN`) are not answered. CoreDNS makes an alias of each, and several
//! aliases at one name are none (RFC 1034 section 3.6.2).
//!
//! # Syntax
//!
//! ```text
//! kubernetes [ZONES...] {
//!     endpoint URL
//!     tls CERT KEY CACERT
//!     kubeconfig FILE [CONTEXT]
//!     manifests FILE|DIRECTORY...
//!     namespaces NAMESPACE...
//!     namespace_labels SELECTOR
//!     labels SELECTOR
//!     pods disabled|insecure|verified
//!     endpoint_pod_names
//!     ttl SECONDS
//!     noendpoints
//!     fallthrough [ZONES...]
//!     ignore empty_service
//!     multicluster [ZONES...]
//!     zonal
//!     startup_timeout DURATION
//!     snapshot FILE
//! }
//! ```
//!
//! - **ZONES** are names, or networks as their reverse zones; without them, the server block's. One must not be a
//!   reverse zone: PTR records lead to the first of those.
//! - `endpoint`, `tls`: the API server's URL, and files to authenticate with. Without these, `kubeconfig` and
//!   `manifests`, the service account of the pod is used.
//! - `kubeconfig`: a file and one of its contexts, instead of its current one. Wins over `endpoint`.
//! - `manifests`: objects from YAML or JSON files instead of an API server. Not in CoreDNS. `@sample` is
//!   the small cluster in the program, which runs without a Corefile.
//! - `namespaces`: only these are answered for; all where it is not given. `namespace_labels`: only those with matching
//!   labels.
//! - `labels`: only Services, EndpointSlices and Pods with matching labels are followed.
//! - `pods`: `disabled` (the default) answers no pod names, `insecure` answers any address in an existing namespace,
//!   `verified` those of known pods, which are then followed.
//! - `endpoint_pod_names`: endpoints without a host name are called after their pods.
//! - `ttl`: of every record, 0 to 3600 seconds; 5 where it is not given. SOA records have at most 300.
//! - `noendpoints`: EndpointSlices are not followed.
//! - `fallthrough`: missing names in these zones, or in all, go to the next plugin.
//! - `ignore empty_service`: services with cluster IPs but without ready endpoints do not exist.
//! - `multicluster`: these of the plugin's zones are for services of several clusters, by the Multi-Cluster Services
//!   API (KEP-1645): those that have a ServiceImport, with the endpoints of the EndpointSlices that are labelled with
//!   its name. An endpoint's name has its cluster's label behind it: `E.CLUSTER.S.NS.svc`. The server has to be allowed
//!   to list and watch `serviceimports` of `multicluster.x-k8s.io`. Where that kind is not installed nobody waits for
//!   it; it is asked for again and again.
//! - `zonal`: the endpoints of a headless service in one zone of topology are at `TOPOLOGY-ZONE.pin._zone.S.NS.svc` (none
//!   there is NODATA), and at `TOPOLOGY-ZONE.prefer._zone.S.NS.svc` (none there is all of them); A, AAAA and SRV.
//! - `startup_timeout`: how long the start waits for the first lists (`5s`). One of many pods that start together takes
//!   them at a random moment of the first ten seconds at most.
//! - `snapshot`: keeps the last known state in a file, written five seconds after a change, at most twice a minute, and
//!   when the process is asked to end. A start serves it at once, before the API server has been heard, whose first
//!   lists, taken at a random moment of the first three seconds, then take its place as a difference; until then
//!   `/ready` says `OK` and that it is so. A file that is damaged, of another configuration or of another version is
//!   said and not used. Not in CoreDNS; for an API server only.
//! - `apiserver_qps`, `apiserver_burst`, `apiserver_max_inflight` are read and have no effect, as in CoreDNS.
//! - `upstream` and `resyncperiod` of old Corefiles are ignored with a warning; `transfer to ADDRESS...` runs as the
//!   plugin `transfer`, with one that shows its lines.
//!
//! # Examples
//!
//! The cluster zone and all reverse zones:
//!
//! ```corefile
//! .:53 {
//!     kubernetes cluster.local in-addr.arpa ip6.arpa {
//!         pods insecure
//!         fallthrough in-addr.arpa ip6.arpa
//!         ttl 30
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! Outside a cluster, for one namespace:
//!
//! ```corefile
//! cluster.local:1053 {
//!     kubernetes {
//!         endpoint https://192.0.2.1:6443
//!         namespaces default
//!     }
//! }
//! ```
//!
//! Through an outage of the API server, restarts included:
//!
//! ```corefile
//! cluster.local {
//!     kubernetes {
//!         endpoint https://192.0.2.1:6443
//!         snapshot /var/lib/dunlin/cluster
//!     }
//! }
//! ```
//!
//! Several clusters, and endpoints by their zone:
//!
//! ```corefile
//! cluster.local clusterset.local {
//!     kubernetes {
//!         endpoint https://192.0.2.1:6443
//!         multicluster clusterset.local
//!         zonal
//!     }
//! }
//! ```
//!
//! # Metrics
//!
//! - `coredns_kubernetes_dns_programming_duration_seconds{service_kind}`: from a change's cause to its answers, where the
//!   EndpointSlice has a trigger time.
//!
//! - `dunlin_kubernetes_store_bytes{store}`: the memory of what answers are made of, of all clusters: `namespaces`,
//!   `services`, `endpoints`, `addresses` (their owners, for reverse names), `pods`; worked out every minute.
//! - `dunlin_snapshot_in_use{file}`: 1 while answers come from a snapshot.
//! - `dunlin_snapshot_timestamp_seconds{file}`: when it was written.
//! - `dunlin_snapshot_failures_total{file}`: files not written, or not used.
//!
//! # See also
//!
//! `ready`, `cache`, `loadbalance`, `forward`, `transfer`, `k8s_external`. The specification:
//! <https://github.com/kubernetes/dns>.

mod addresses;
mod answer;
mod chase;
mod clients;
mod cluster;
mod external;
mod handout;
mod keeper;
mod labels;
mod memory;
mod metadata;
mod model;
mod names;
mod nameservers;
mod objects;
mod own;
mod pointers;
mod programming;
mod setup;
mod srv;
mod store;
#[cfg(test)]
mod tests;
mod told;

use crate::plugin::{
    BoxFuture, Context, Definition, Failure, Handler, Lifecycle, Next, Outcome, Reply, Request, Source, Verdict,
};
use crate::wire::{HEADER, Name, Query};
use crate::zone::{Suffixes, reverse};
use cluster::Cluster;
use names::Grammar;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The plugin's definition.
pub(super) static DEFINITION: Definition = Definition {
    directive: "kubernetes",
    setup: setup::setup,
    metrics: &[&programming::PROGRAMMING, &keeper::IN_USE, &keeper::SAVED, &keeper::FAILURES, &memory::BYTES],
};

/// An empty cluster that nobody asks, for measurements of what an update costs.
#[doc(hidden)]
pub fn sink_for_measurements(metrics: &crate::metrics::Metrics) -> impl crate::cluster::Sink {
    model::Model::new(
        crate::cluster::Details::default(),
        programming::Programming(metrics.histogram(&programming::PROGRAMMING)),
    )
}

/// What one `kubernetes` directive answers, from a cluster that others may share.
struct Kubernetes {
    zones: Suffixes<Zone>,
    /// The first zone that is no reverse one.
    primary: Name,
    /// Seconds.
    ttl: u32,
    pods: Pods,
    cluster: Arc<Cluster>,
    /// The only namespaces answered for; empty for all.
    namespaces: Box<[Box<[u8]>]>,
    /// Zones whose missing names are the next plugin's.
    fallthrough: Box<[Name]>,
    ignore_empty: bool,
    startup_timeout: Duration,
    /// The addresses the block listens on, where it says which.
    binds: Vec<IpAddr>,
    own: OnceLock<Vec<IpAddr>>,
}

struct Zone {
    name: Name,
    grammar: Grammar,
}

impl Zone {
    fn of(name: Name) -> Zone {
        let (labels, is_reverse) = (name.label_count(), reverse::is_reverse(&name));
        Zone { name, grammar: Grammar { labels, is_reverse, ..Grammar::default() } }
    }
}

/// Which pod names are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pods {
    Disabled,
    Insecure,
    Verified,
}

impl Kubernetes {
    /// The addresses clients reach this server at: those it is bound to, or those of the machine's interfaces.
    fn own_addresses(&self) -> &[IpAddr] {
        self.own.get().unwrap_or(&self.binds)
    }
}

impl Source for Kubernetes {
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        self.respond(query, context, out)
    }

    fn object(&self, query: &Query<'_>) -> Option<String> {
        self.object_at(query)
    }
}

impl Handler for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let context = request.context();
            let query = request.query();
            let mut out = vec![0; context.limit.max(query.question_end() + HEADER)];
            match self.respond(&query, &context, &mut out) {
                Verdict::Answered(len) => {
                    out.truncate(len);
                    Outcome::Reply(Reply::new(out))
                }
                Verdict::Alias { .. } | Verdict::Slow => {
                    let lost = || Outcome::Failed(Failure::servfail("the alias went away while it was followed"));
                    self.chase(request).await.unwrap_or_else(lost)
                }
                Verdict::Pass => next.run(request).await,
            }
        })
    }
}

impl Lifecycle for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            if self.binds.is_empty() {
                self.own.get_or_init(own::interface_addresses);
            }
            self.cluster.start(self.startup_timeout).await
        })
    }

    fn ready(&self) -> Option<bool> {
        Some(self.cluster.is_synced())
    }

    fn note(&self) -> Option<&'static str> {
        self.cluster.is_from_snapshot().then_some("serving a snapshot")
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.cluster.save())
    }
}
