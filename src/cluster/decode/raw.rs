//! Objects as the API publishes them, cut down to the fields that are read, and the rules that make slim objects of them.
//!
//! Everything is optional: what a field's absence means is said here, not by the decoder. Sources: the Kubernetes API
//! reference for Service, Namespace, Pod (v1) and EndpointSlice (discovery.k8s.io/v1); for ServiceImport, KEP-1645.

use super::super::selector::Labels;
use super::super::{self as cluster, Endpoints, Key, Kind, Object, Port};
use super::State;
use super::protobuf::Message;
use super::text::{Text, Texts};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::net::{IpAddr, Ipv4Addr};

/// A kind of object that can be read in every format. What is borrowed is borrowed from what was read.
pub(super) trait Raw<'a>: Deserialize<'a> + Message<'a> {
    const KIND: Kind;

    fn metadata(&self) -> &Metadata;

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

#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EndpointSlice<'a> {
    pub(super) metadata: Metadata,
    #[serde(borrow)]
    pub(super) address_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) endpoints: Option<Vec<Endpoint<'a>>>,
    pub(super) ports: Option<Vec<ObjectPort>>,
}

/// An EndpointSlice of a ServiceImport.
#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(transparent)]
pub(super) struct ImportedSlice<'a>(#[serde(borrow)] pub(super) EndpointSlice<'a>);

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

#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Endpoint<'a> {
    #[serde(borrow)]
    pub(super) addresses: Option<Texts<'a>>,
    pub(super) conditions: Option<Conditions>,
    #[serde(borrow)]
    pub(super) hostname: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) target_ref: Option<TargetRef<'a>>,
    #[serde(borrow)]
    pub(super) zone: Option<Text<'a>>,
}

#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
}

#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default)]
pub(super) struct TargetRef<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
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
    /// The identity; what has no namespace (a manifest not yet applied) is in `default`, as with `kubectl apply`.
    pub(super) fn key(&self, kind: Kind) -> Result<Key, String> {
        let name = self.name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("a {} without metadata.name", kind.name()))?;
        let namespace = match kind {
            Kind::Namespace => String::new(),
            _ => self.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".into()),
        };
        Ok(Key { namespace, name })
    }

    /// The value of a label, empty where it has none; it is taken out.
    fn take_label(&mut self, label: &str) -> String {
        self.labels.as_mut().and_then(|labels| labels.remove(label)).unwrap_or_default()
    }
}

impl Raw<'_> for Namespace {
    const KIND: Kind = Kind::Namespace;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn state(self) -> Result<State, String> {
        Ok(State::Present(Object::Namespace(self.metadata.key(Self::KIND)?)))
    }
}

impl Raw<'_> for Service {
    const KIND: Kind = Kind::Service;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn state(self) -> Result<State, String> {
        let key = self.metadata.key(Self::KIND)?;
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

impl<'a> Raw<'a> for EndpointSlice<'a> {
    const KIND: Kind = Kind::EndpointSlice;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let service = self.metadata.take_label(SERVICE_NAME);
        Ok(State::Present(Object::EndpointSlice(self.slim(service, String::new())?)))
    }
}

impl<'a> Raw<'a> for ImportedSlice<'a> {
    const KIND: Kind = Kind::ImportedSlice;

    fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let (service, cluster) = (self.0.metadata.take_label(IMPORT_NAME), self.0.metadata.take_label(SOURCE_CLUSTER));
        Ok(State::Present(Object::ImportedSlice(self.0.slim(service, cluster)?)))
    }
}

impl EndpointSlice<'_> {
    /// Whether its endpoints are (also) those of a ServiceImport.
    pub(super) fn is_imported(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(IMPORT_NAME))
    }

    fn slim(self, service: String, cluster: String) -> Result<cluster::EndpointSlice, String> {
        let key = self.metadata.key(Kind::EndpointSlice)?;
        let is_host_names = self.address_type.as_deref() == Some("FQDN");
        let read = self.endpoints.unwrap_or_default();
        let octets = read.iter().map(Endpoint::octets).sum();
        let mut endpoints = Endpoints::with_capacity(read.len(), octets);
        read.iter()
            .filter(|endpoint| endpoint.is_ready())
            .for_each(|endpoint| endpoint.put(is_host_names, &mut endpoints));
        Ok(cluster::EndpointSlice {
            key: Some(key),
            service,
            cluster,
            endpoints,
            ports: ports(self.ports),
            last_change: self.metadata.annotations.and_then(|annotations| annotations.last_change),
        })
    }
}

impl Raw<'_> for ServiceImport {
    const KIND: Kind = Kind::ServiceImport;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn state(self) -> Result<State, String> {
        let key = self.metadata.key(Self::KIND)?;
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

impl Endpoint<'_> {
    /// Unset means ready: `serving` and `terminating` are not looked at.
    fn is_ready(&self) -> bool {
        self.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    }

    /// One entry an address. In a slice of addresses, what is none is left out: it could only make a wrong name.
    fn put(&self, is_host_names: bool, endpoints: &mut Endpoints) {
        let (hostname, zone) = (text(&self.hostname), text(&self.zone));
        let target = self.target_ref.as_ref().map_or("", |target| text(&target.name));
        for text in self.addresses.iter().flat_map(Texts::iter) {
            let address = if is_host_names { None } else { address(text) };
            if is_host_names || address.is_some() {
                endpoints.push(cluster::Endpoint { address, text, hostname, target, zone });
            }
        }
    }

    /// How long its texts are together: more addresses are so rare that no room is kept for them.
    fn octets(&self) -> usize {
        let address = self.addresses.iter().flat_map(Texts::iter).next().map_or(0, str::len);
        let target = self.target_ref.as_ref().map_or("", |target| text(&target.name));
        address + text(&self.hostname).len() + target.len() + text(&self.zone).len()
    }
}

fn text<'a>(text: &'a Option<Text<'_>>) -> &'a str {
    text.as_deref().unwrap_or_default()
}

/// An address as objects write it.
fn address(text: &str) -> Option<IpAddr> {
    ipv4(text.as_bytes()).map_or_else(|| text.parse().ok(), |address| Some(address.into()))
}

/// The usual way to write an IPv4 address, in a third of the time: a slice may have a thousand. What it does not read
/// may still be an address.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut part, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for octet in text {
        match octet {
            // No part begins with a zero but zero itself.
            b'0'..=b'9' if digits < 3 && (digits == 0 || part != 0) => {
                part = part * 10 + u32::from(octet - b'0');
                digits += 1;
            }
            b'.' if digits != 0 && part < 256 && dots < 3 => {
                address = address << 8 | part;
                (part, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits != 0 && part < 256).then(|| Ipv4Addr::from_bits(address << 8 | part))
}

impl Raw<'_> for Pod {
    const KIND: Kind = Kind::Pod;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn state(self) -> Result<State, String> {
        let key = self.metadata.key(Self::KIND)?;
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
fn ports(ports: Option<Vec<ObjectPort>>) -> Vec<Port> {
    let port = |port: ObjectPort| {
        let number = u16::try_from(port.port?).ok().filter(|number| *number != 0)?;
        let protocol = port.protocol.filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "TCP".into());
        Some(Port { name: port.name.unwrap_or_default(), number, protocol })
    };
    ports.into_iter().flatten().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_the_standard_library_does(text in "[0-9]{0,4}([.:][0-9]{0,4}){0,5}[a-f.]?") {
            prop_assert_eq!(address(&text), text.parse::<IpAddr>().ok());
        }

        #[test]
        fn every_ipv4_address_is_read_at_once(bits in any::<u32>()) {
            let written = Ipv4Addr::from_bits(bits).to_string();
            prop_assert_eq!(ipv4(written.as_bytes()), Some(Ipv4Addr::from_bits(bits)));
        }
    }

    #[test]
    fn what_is_no_ipv4_address_is_left_to_others() {
        for text in
            ["", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.256", "01.2.3.4", "1.2.3.00", "1..3.4", "::1", "1.2.3.4a"]
        {
            assert_eq!(ipv4(text.as_bytes()), None, "{text}");
        }
    }
}
