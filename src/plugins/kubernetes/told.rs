//! What the plugin tells an operator: which object an answer is made of, and how many it holds.

use super::Kubernetes;
use super::cluster::Cluster;
use super::names::{self, Place};
use super::store::{Family, Kind, Service};
use crate::plugin::Table;
use crate::wire::{Name, Query};
use std::net::IpAddr;
use std::ops::ControlFlow;

impl Kubernetes {
    /// The object behind a name; `None` where there is none.
    pub(super) fn object_at(&self, query: &Query<'_>) -> Option<String> {
        let (_, zone) = self.zones.find(&query.name)?;
        match names::place(&query.name, zone.grammar) {
            Place::Service { key } | Place::Endpoint { key, .. } | Place::Port { key, .. } => {
                self.cluster.store().services.view(key).get().map(described)
            }
            Place::Address(IpAddr::V4(address)) => self.owner(address),
            Place::Address(IpAddr::V6(address)) => self.owner(address),
            Place::Services(label) | Place::Pods(label) => Some(format!("Namespace {}", label.escape_ascii())),
            Place::Pod { namespace, .. } => Some(format!("a pod of Namespace {}", namespace.escape_ascii())),
            _ => None,
        }
    }

    fn owner<A: Family>(&self, address: A) -> Option<String> {
        let found = self.cluster.store().owners_of(address, |service| {
            let own = self.has_own(service, address);
            let endpoint = || {
                let mut has = false;
                service.slices().iter().for_each(|slice| slice.labels_of(address, |_| has = true));
                has
            };
            if own || endpoint() { ControlFlow::Break(described(service)) } else { ControlFlow::Continue(()) }
        });
        found.break_value()
    }
}

/// `Service default/web, 3 endpoints in 1 EndpointSlice`.
fn described(service: &Service) -> String {
    let name = [&service.key[..], &[0]].concat();
    let labels: Vec<String> = Name::from_wire(&name)
        .iter()
        .flat_map(|name| name.labels().map(|label| label.escape_ascii().to_string()).collect::<Vec<_>>())
        .collect();
    let kind = match &service.kind {
        Kind::Absent => "EndpointSlices without a Service",
        Kind::Cluster => "Service",
        Kind::Headless => "headless Service",
        Kind::External(_) | Kind::Unusable => "ExternalName Service",
    };
    let endpoints: usize = service.slices().iter().map(|slice| slice.len()).sum();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let of = if service.slices().is_empty() {
        "no EndpointSlices".to_owned()
    } else {
        format!("{} in {}", counted(endpoints, "endpoint"), counted(service.slices().len(), "EndpointSlice"))
    };
    match &labels[..] {
        [name, namespace] => format!("{kind} {namespace}/{name}, {of}"),
        _ => format!("{kind}, {of}"),
    }
}

/// How many objects a cluster has, for the status page.
pub(super) fn held(cluster: &Cluster) -> Table {
    let store = cluster.store();
    let (mut namespaces, mut services, mut slices, mut endpoints) = (0u64, 0u64, 0u64, 0u64);
    store.namespaces.for_each(|namespace| namespaces += u64::from(namespace.is_present()));
    store.services.for_each(|service| {
        services += u64::from(service.kind != Kind::Absent);
        slices += service.slices().len() as u64;
        endpoints += service.slices().iter().map(|slice| slice.len() as u64).sum::<u64>();
    });
    let rows = [
        ("Namespace", namespaces),
        ("Service", services),
        ("EndpointSlice", slices),
        ("endpoint addresses", endpoints),
        ("pod addresses", store.pod_addresses() as u64),
    ];
    Table {
        columns: vec!["object", "held"],
        rows: rows.map(|(kind, count)| vec![kind.to_owned(), count.to_string()]).into(),
        trouble: Vec::new(),
    }
}
