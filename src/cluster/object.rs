//! The slim objects: only what names and addresses are made of.

use super::Endpoints;
use std::net::IpAddr;

/// The kinds of objects that are followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Namespace,
    Service,
    EndpointSlice,
    Pod,
    ServiceImport,
    /// An EndpointSlice whose endpoints are those of a ServiceImport.
    ImportedSlice,
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
    /// A ServiceImport (multicluster.x-k8s.io/v1alpha1): `spec.ips` are its cluster IPs.
    ServiceImport(Service),
    /// An EndpointSlice (discovery.k8s.io/v1) with the label `multicluster.kubernetes.io/service-name`.
    ImportedSlice(EndpointSlice),
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
    /// The label `kubernetes.io/service-name` (imported: `multicluster.kubernetes.io/service-name`), empty where missing.
    pub service: String,
    /// Imported: the label `multicluster.kubernetes.io/source-cluster`. Else empty.
    pub cluster: String,
    /// The ready endpoints, one entry an address, in order.
    pub endpoints: Endpoints,
    /// The ports that hold for every endpoint.
    pub ports: Vec<Port>,
    /// The annotation `endpoints.kubernetes.io/last-change-trigger-time` (RFC 3339), where present.
    pub last_change: Option<String>,
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

impl Kind {
    /// The kind as manifests and metrics write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Pod => "Pod",
            Kind::ServiceImport => "ServiceImport",
            Kind::ImportedSlice => "ImportedEndpointSlice",
        }
    }
}

impl Object {
    /// The kind and, but for a Service or slice made without one, the identity.
    pub(super) fn identity(&self) -> (Kind, Option<&Key>) {
        match self {
            Object::Namespace(key) => (Kind::Namespace, Some(key)),
            Object::Service(service) => (Kind::Service, service.key.as_ref()),
            Object::EndpointSlice(slice) => (Kind::EndpointSlice, slice.key.as_ref()),
            Object::ServiceImport(service) => (Kind::ServiceImport, service.key.as_ref()),
            Object::ImportedSlice(slice) => (Kind::ImportedSlice, slice.key.as_ref()),
            Object::Pod(pod) => (Kind::Pod, Some(&pod.key)),
        }
    }
}
