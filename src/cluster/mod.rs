//! Kubernetes objects by watch or from files; the only room that imports `kube`.
//!
//! Objects arrive slim: only what names and addresses are made of. A relist is told as a beginning, the objects, and an
//! end, so that the receiver applies it as a difference; losing the API server removes nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The kinds of objects that are followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Namespace,
    Service,
    EndpointSlice,
    Pod,
}

/// An object's identity within its kind. A Namespace has an empty `namespace`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

/// What DNS needs of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// A namespace exists.
    Namespace(Key),
    /// A Service (v1).
    Service(Service),
    /// An EndpointSlice (discovery.k8s.io/v1).
    EndpointSlice(EndpointSlice),
    /// A Pod (v1) that is neither Succeeded, Failed nor Unknown.
    Pod(Pod),
}

/// What DNS needs of a Service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Service {
    /// Namespace and name.
    pub key: Option<Key>,
    /// `spec.clusterIPs`, or `spec.clusterIP` where that list is empty, without `None` and what is no address.
    pub cluster_ips: Vec<IpAddr>,
    /// Whether the first cluster IP is literally `None`.
    pub headless: bool,
    /// `spec.externalName` where `spec.type` is `ExternalName`.
    pub external_name: Option<String>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// `spec.externalIPs`, then load balancer IPs or host names.
    pub external_ips: Vec<String>,
}

/// A port of a Service or of an EndpointSlice.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Port {
    /// The name, empty where unnamed.
    pub name: String,
    /// The port number as clients see it.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What DNS needs of an EndpointSlice: the ready endpoints (`conditions.ready` true or unset).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub key: Option<Key>,
    /// The label `kubernetes.io/service-name`, empty where missing.
    pub service: String,
    /// The ready endpoints, one entry an address, in order.
    pub endpoints: Vec<Endpoint>,
    /// The ports that hold for every endpoint.
    pub ports: Vec<Port>,
    /// The annotation `endpoints.kubernetes.io/last-change-trigger-time` (RFC 3339), where present.
    pub last_change: Option<String>,
}

/// One ready address of a slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The address; `None` for an address that is a host name (`addressType: FQDN`).
    pub address: Option<IpAddr>,
    /// The address as written: labels are made from this text, not from a re-normalised one.
    pub text: String,
    /// `hostname`, empty where unset.
    pub hostname: String,
    /// `targetRef.name`, empty where unset.
    pub target: String,
    /// `zone` (topology), empty where unset.
    pub zone: String,
}

/// What DNS needs of a Pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// `status.podIP`, the primary address.
    pub ip: IpAddr,
    /// `metadata.deletionTimestamp` is set: a known pod keeps its record until deleted, a new one is not added.
    pub terminating: bool,
}

/// Who receives objects. Calls for one kind come in order from one task; kinds may interleave.
pub trait Sink: Send + Sync + 'static {
    /// A complete list of this kind begins; what is known stays until it ends.
    fn list_begins(&self, kind: Kind);
    /// An object exists in this state: listed, added or changed.
    fn apply(&self, object: Object);
    /// An object is gone.
    fn delete(&self, kind: Kind, key: &Key);
    /// The list has ended: of this kind, what was not applied since it began is gone.
    fn list_ends(&self, kind: Kind);
}

/// Where objects come from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The service account and environment of a pod.
    InCluster,
    /// A kubeconfig file, and a context other than its current one.
    Kubeconfig(PathBuf, Option<String>),
    /// An API server by URL, with client certificate, key and CA files.
    Endpoint(String, Option<[PathBuf; 3]>),
    /// Manifest files and directories.
    Manifests(Vec<PathBuf>),
}

/// What to follow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Options {
    /// Where objects come from.
    pub source: Source,
    /// The label selector on Services, EndpointSlices and Pods; empty for all.
    pub labels: String,
    /// The label selector on Namespaces; empty for all.
    pub namespace_labels: String,
    /// Whether EndpointSlices are followed.
    pub endpoints: bool,
    /// Whether Pods are followed.
    pub pods: bool,
}

/// A running feed of objects. Dropping it ends its tasks; nothing is removed from the sink.
pub struct Feed;

/// Checks the options (files readable, selectors well-formed, in-cluster variables present) and starts following.
/// Must be called inside a tokio runtime.
///
/// # Errors
/// What the operator has to mend, as a sentence. An API server that cannot be reached is not an error.
pub fn start(_options: Options, _sink: Arc<dyn Sink>, _metrics: &crate::metrics::Metrics) -> Result<Feed, String> {
    unimplemented!()
}

impl Feed {
    /// Whether every kind that is followed has completed its first list. Never turns back to false.
    pub fn is_synced(&self) -> bool {
        unimplemented!()
    }
}
