//! Objects as the API publishes them, cut down to the fields that are read, and the rules that make slim objects of them.
//!
//! Everything is optional: what a field's absence means is said here, not by the decoder. Sources: the Kubernetes API
//! reference for Service, Namespace and Pod (v1); for ServiceImport, KEP-1645. EndpointSlices are in
//! [`slice`](super::slice).

use super::super::selector::Labels;
use super::super::{self as cluster, Details, Key, Kind, Object, Port};
use super::State;
use super::protobuf::Message;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A kind of object that can be read in every format. What is borrowed is borrowed from what was read.
pub(super) trait Raw<'a>: Deserialize<'a> + Message<'a> {
    const KIND: Kind;

    /// One to be filled, of whose endpoints this is wanted.
    fn wanting(_: Details) -> Self {
        Self::default()
    }

    fn metadata(&mut self) -> &mut Metadata;

    /// The slim object.
    ///
    /// # Errors
    /// What an object cannot be without.
    fn state(self) -> Result<State, String>;
}

/// `meta/v1.ObjectMeta`.
#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
    pub(super) labels: Option<Labels>,
    pub(super) annotations: Option<Annotations>,
}

/// The one annotation that is read; the others can be large (`last-applied-configuration`) and are skipped.
#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    pub(super) last_change: Option<String>,
}

/// The label that names a slice's Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names an imported slice's ServiceImport (KEP-1645).
pub(in crate::cluster) const IMPORT_NAME: &str = "multicluster.kubernetes.io/service-name";
/// The label with the id of the cluster that an imported slice's endpoints are in (KEP-1645).
pub(super) const SOURCE_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";
/// The annotation that [`Annotations::last_change`] is read from.
pub(super) const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Namespace {
    pub(super) metadata: Metadata,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Metadata,
    pub(super) spec: Option<ServiceSpec>,
    pub(super) status: Option<ServiceStatus>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(super) service_type: Option<String>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    pub(super) cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalName")]
    pub(super) external_name: Option<String>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Option<Vec<String>>,
    pub(super) ports: Option<Vec<ObjectPort>>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: Option<LoadBalancer>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct LoadBalancer {
    pub(super) ingress: Option<Vec<Ingress>>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Ingress {
    pub(super) ip: Option<String>,
    pub(super) hostname: Option<String>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct ServiceImport {
    pub(super) metadata: Metadata,
    pub(super) spec: Option<ServiceImportSpec>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct ServiceImportSpec {
    #[serde(rename = "type")]
    pub(super) import_type: Option<String>,
    pub(super) ips: Option<Vec<String>>,
    pub(super) ports: Option<Vec<ObjectPort>>,
}

/// A port of a Service or of a slice.
#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default)]
pub(super) struct ObjectPort {
    pub(super) name: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) protocol: Option<String>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) status: Option<PodStatus>,
}

#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(default)]
pub(super) struct PodStatus {
    pub(super) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
}

impl Metadata {
    /// The identity, which is taken out; what has no namespace (a manifest not yet applied) is in `default`, as with
    /// `kubectl apply`.
    pub(super) fn take_key(&mut self, kind: Kind) -> Result<Key, String> {
        let name = self.name.take().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("a {} without metadata.name", kind.name()))?;
        let namespace = match kind {
            Kind::Namespace => String::new(),
            _ => self.namespace.take().filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".into()),
        };
        Ok(Key { namespace, name })
    }

    /// The value of a label, empty where it has none; it is taken out.
    pub(super) fn take_label(&mut self, label: &str) -> String {
        self.labels.as_mut().and_then(|labels| labels.remove(label)).unwrap_or_default()
    }
}

impl Raw<'_> for Namespace {
    const KIND: Kind = Kind::Namespace;

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        Ok(State::Present(Object::Namespace(self.metadata.take_key(Self::KIND)?)))
    }
}

impl Raw<'_> for Service {
    const KIND: Kind = Kind::Service;

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let key = self.metadata.take_key(Self::KIND)?;
        let spec = self.spec.unwrap_or_default();
        let cluster_ips = match spec.cluster_ips {
            Some(ips) if !ips.is_empty() => ips,
            _ => spec.cluster_ip.into_iter().collect(),
        };
        let ingress = self.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
        let ingress = ingress.into_iter().flatten().filter_map(|one| {
            one.ip.filter(|ip| !ip.is_empty()).or_else(|| one.hostname.filter(|hostname| !hostname.is_empty()))
        });
        Ok(State::Present(Object::Service(cluster::Service {
            key: Some(key),
            headless: cluster_ips.first().is_some_and(|ip| ip == "None"),
            cluster_ips: cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
            external_name: spec.external_name.filter(|_| spec.service_type.as_deref() == Some("ExternalName")),
            ports: ports(spec.ports),
            external_ips: spec.external_ips.unwrap_or_default().into_iter().chain(ingress).collect(),
        })))
    }
}

impl Raw<'_> for ServiceImport {
    const KIND: Kind = Kind::ServiceImport;

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let key = self.metadata.take_key(Self::KIND)?;
        let spec = self.spec.unwrap_or_default();
        Ok(State::Present(Object::ServiceImport(cluster::Service {
            key: Some(key),
            headless: spec.import_type.as_deref() == Some("Headless"),
            cluster_ips: spec.ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect(),
            external_name: None,
            ports: ports(spec.ports),
            external_ips: Vec::new(),
        })))
    }
}

impl Raw<'_> for Pod {
    const KIND: Kind = Kind::Pod;

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let key = self.metadata.take_key(Self::KIND)?;
        let status = self.status.unwrap_or_default();
        let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed" | "Unknown"));
        Ok(match status.pod_ip.and_then(|ip| ip.parse().ok()) {
            Some(ip) if !has_ended => State::Present(Object::Pod(cluster::Pod {
                key,
                ip,
                terminating: self.metadata.deletion_timestamp.is_some(),
            })),
            _ => State::Absent(Kind::Pod, key),
        })
    }
}

/// A port without a number (a slice's "every port") or with one that is none cannot be asked for and is left out.
pub(super) fn ports(ports: Option<Vec<ObjectPort>>) -> Vec<Port> {
    let port = |port: ObjectPort| {
        let number = u16::try_from(port.port?).ok().filter(|number| *number != 0)?;
        let protocol = port.protocol.filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "TCP".into());
        Some(Port { name: port.name.unwrap_or_default(), number, protocol })
    };
    ports.unwrap_or_default().into_iter().filter_map(port).collect()
}
