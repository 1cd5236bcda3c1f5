//! The way back from the store to objects that would make the same store.

use super::labels::Label;
use super::model::Model;
use super::store::{Family, Kind, Port, Service, Slice};
use crate::cluster::{self, Endpoint, EndpointSlice, Endpoints, Key, Object};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

impl Model {
    /// Calls with every object that is known. What changes meanwhile may be told as it was or as it is.
    pub(super) fn each_object(&self, mut visit: impl FnMut(Object)) {
        self.store.namespaces.for_each(|namespace| {
            if namespace.is_present() {
                visit(Object::Namespace(Key { namespace: String::new(), name: text(&namespace.label) }));
            }
        });
        self.store.services.for_each(|entry| {
            if entry.kind != Kind::Absent {
                let external = self.store.external.view(&entry.key);
                visit(Object::Service(service(entry, external.get())));
            }
            entry.slices().iter().for_each(|known| visit(Object::EndpointSlice(slice(known))));
        });
        for (key, ip) in self.pods() {
            let Some((namespace, name)) = key.split_once('/') else { continue };
            let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
            visit(Object::Pod(cluster::Pod { key, ip, terminating: false }));
        }
    }
}

fn service(entry: &Service, external: Option<&Service>) -> cluster::Service {
    let (name, namespace) = names(&entry.key);
    cluster::Service {
        key: Some(Key { namespace, name }),
        cluster_ips: if entry.kind == Kind::Cluster { addresses(entry).collect() } else { Vec::new() },
        headless: entry.kind == Kind::Headless,
        external_name: match &entry.kind {
            Kind::External(target) => Some(target.to_string()),
            // The root is no alias.
            Kind::Unusable => Some(".".to_owned()),
            _ => None,
        },
        ports: ports(&entry.ports),
        external_ips: match external.map(|external| (&external.kind, external)) {
            Some((Kind::External(host), _)) => vec![host.to_string()],
            Some((_, external)) => addresses(external).map(|address| address.to_string()).collect(),
            None => Vec::new(),
        },
    }
}

fn addresses(entry: &Service) -> impl Iterator<Item = IpAddr> {
    let v4 = entry.addresses::<Ipv4Addr>().iter().copied().map(IpAddr::from);
    v4.chain(entry.addresses::<Ipv6Addr>().iter().copied().map(IpAddr::from))
}

fn slice(known: &Slice) -> EndpointSlice {
    let mut endpoints = Endpoints::default();
    add_endpoints::<Ipv4Addr>(known, &mut endpoints);
    add_endpoints::<Ipv6Addr>(known, &mut endpoints);
    EndpointSlice {
        key: Some(Key { namespace: text(known.namespace()), name: known.name.to_string() }),
        service: names(&known.service).0,
        cluster: text(known.cluster().get(1..).unwrap_or_default()),
        endpoints,
        ports: ports(&known.ports),
        last_change: None,
    }
}

/// A label that is not made of the address is written as a host name, whatever it was made of.
fn add_endpoints<A: Family>(slice: &Slice, endpoints: &mut Endpoints) {
    let _ = slice.each::<A>(|label, address| {
        let zones = slice.topology.iter().flat_map(|topology| &topology.zones);
        let zone = zones.into_iter().find(|zone| A::in_zone(zone).binary_search(&address).is_ok());
        let address = address.ip();
        let own = &label[..=usize::from(label[0])];
        let is_own = own != Label::of_address(address).wire();
        let hostname = String::from_utf8_lossy(&own[1..]);
        endpoints.push(Endpoint {
            address: Some(address),
            text: &if address.is_ipv6() { address.to_string() } else { String::new() },
            hostname: if is_own { &hostname } else { "" },
            target: "",
            zone: &zone.map(|zone| dotted(&zone.name)).unwrap_or_default(),
        });
        ControlFlow::Continue(())
    });
}

fn ports(ports: &[Port]) -> Vec<cluster::Port> {
    let port = |port: &Port| cluster::Port {
        name: port.name.to_string(),
        number: port.number,
        protocol: port.protocol.to_string(),
    };
    ports.iter().map(port).collect()
}

/// Service and namespace of a key: two labels in wire form.
fn names(key: &[u8]) -> (String, String) {
    let length = usize::from(key.first().copied().unwrap_or_default());
    let (service, namespace) = key.split_at(key.len().min(length + 1));
    (text(service.get(1..).unwrap_or_default()), text(namespace.get(1..).unwrap_or_default()))
}

/// Labels in wire form, with dots between them.
fn dotted(mut labels: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((length, rest)) = labels.split_first() {
        let (label, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        parts.push(text(label));
        labels = rest;
    }
    parts.join(".")
}

fn text(label: &[u8]) -> String {
    String::from_utf8_lossy(label).into_owned()
}
