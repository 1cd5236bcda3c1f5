//! How much memory the store takes, by what is in it.

use super::{Kind, Namespace, Port, Service, Slice, Store};
use crate::zone::Table;
use std::sync::Arc;

/// What is told apart: each part's name.
pub const PARTS: [&str; 5] = ["namespaces", "services", "endpoints", "addresses", "pods"];

impl Store {
    /// Octets of each of [`PARTS`]: namespaces; services with their ports; their slices of endpoints; the owners of
    /// addresses, for reverse names; pods. Walks everything: not for a query.
    pub fn octets(&self) -> [usize; PARTS.len()] {
        let (mut namespaces, mut services, mut endpoints) = (self.namespaces.octets(), 0, 0);
        self.namespaces.for_each(|one| namespaces += size_of::<Namespace>() + one.label.len());
        let mut table = |table: &Table<Service>| {
            services += table.octets();
            table.for_each(|service| {
                services += service.octets_elsewhere();
                endpoints += service.slices.octets_elsewhere();
                endpoints += service.slices().iter().map(|slice| slice.octets()).sum::<usize>();
            });
        };
        table(&self.services);
        table(&self.external);
        let addresses = self.v4.octets() + self.v6.octets() + self.external_v4.octets() + self.external_v6.octets();
        let pods = self.pods_v4.octets() + self.pods_v6.octets() + self.clients_v4.octets() + self.clients_v6.octets();
        [namespaces, services, endpoints, addresses, pods]
    }
}

impl Service {
    /// Octets beside its place in the table, without its slices.
    fn octets_elsewhere(&self) -> usize {
        let alias = match &self.kind {
            Kind::External(name) => size_of_val(&**name) + name.wire().len(),
            _ => 0,
        };
        let addresses = self.v4.octets_elsewhere() + self.v6.octets_elsewhere();
        self.key.octets_elsewhere() + alias + addresses + ports(&self.ports)
    }
}

impl Slice {
    fn octets(&self) -> usize {
        let named = self.named.as_deref().map_or(0, |named| {
            size_of_val(named) + size_of_val(&*named.v4) + size_of_val(&*named.v6) + named.labels.len()
        });
        let topology = self.topology.as_deref().map_or(0, |topology| {
            let zones = topology.zones.iter();
            let zones = zones.map(|zone| zone.name.len() + size_of_val(&*zone.v4) + size_of_val(&*zone.v6));
            size_of_val(topology) + topology.cluster.len() + size_of_val(&*topology.zones) + zones.sum::<usize>()
        });
        let addresses = self.v4.octets_elsewhere() + self.v6.octets_elsewhere();
        let names = self.name.len() + self.service.octets_elsewhere();
        size_of::<Slice>() + names + addresses + ports(&self.ports) + named + topology
    }
}

/// Of ports that many share, the part of one.
fn ports(ports: &Arc<[Port]>) -> usize {
    let whole = size_of_val(&**ports) + ports.iter().map(|port| port.name.len() + port.protocol.len()).sum::<usize>();
    whole / Arc::strong_count(ports)
}
