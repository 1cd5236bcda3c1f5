//! The whole zone, for `transfer`: what CoreDNS hands out, in its order.
//!
//! SOA, NS with their addresses, then the services by name. Pods, reverse names and the version are not in it. SRV weighs
//! 100 at a service with cluster IPs, and 100 divided by the addresses of the slice at an endpoint.

use super::Kubernetes;
use super::answer::SVC;
use super::store::{Family, Kind, Service, Slice, Store};
use crate::plugin::{Context, Moment, Shape, Verdict, ZoneHolder};
use crate::wire::{CLASS_IN, MAX_NAME, Message, Name, NameBuffer, Query, RecordType, ResourceRecord};
use crate::zone::{Address, Octets};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

/// The weight of a service's own SRV records.
const WEIGHT: u16 = 100;

impl ZoneHolder for Kubernetes {
    fn zones(&self) -> Vec<Name> {
        self.zones.iter().filter(|(_, zone)| !zone.grammar.is_reverse).map(|(name, _)| name.clone()).collect()
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        Some(self.zone_store(zone)?.serial.get()).filter(|_| self.cluster.is_synced())
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        let store = self.zone_store(zone)?;
        store.serial.hand_out();
        let mut handout = Handout { zone, tree: SVC, ttl: self.ttl, records: Vec::new() };
        handout.records.extend(self.ask(zone, RecordType::SOA)?.answers);
        if let Some(servers) = self.ask(zone, RecordType::NS) {
            handout.records.extend(servers.answers);
            handout.records.extend(servers.additionals);
        }
        let mut keys = Vec::new();
        store.services.for_each(|service| {
            if service.kind != Kind::Absent && self.shows(service) {
                keys.push(service.key.clone());
            }
        });
        handout.services(&mut keys, |key, handout| {
            if let Some(service) = store.services.view(key).get() {
                handout.service(service);
            }
        });
        Some(handout.records)
    }

    fn soa(&self, zone: &Name) -> Option<ResourceRecord> {
        self.zone_store(zone)?.serial.hand_out();
        self.ask(zone, RecordType::SOA)?.answers.into_iter().next()
    }
}

impl Kubernetes {
    /// What the services of a zone that can be handed out are read from.
    fn zone_store(&self, zone: &Name) -> Option<&Store> {
        let held = self.zones.iter().find(|(name, held)| name == zone && !held.grammar.is_reverse);
        held.map(|(_, held)| self.store(held.grammar))
    }

    /// What a question at the apex is answered with.
    fn ask(&self, zone: &Name, qtype: RecordType) -> Option<Message> {
        let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(zone.wire());
        packet.extend(qtype.0.to_be_bytes());
        packet.extend(CLASS_IN.to_be_bytes());
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).ok()?;
        let mut out = vec![0; usize::from(u16::MAX)];
        let context = Context { limit: out.len(), shape: Shape::default(), moment: Moment::default() };
        match self.respond(&query, &context, &mut out) {
            Verdict::Answered(len) => Message::parse(&out[..len]),
            Verdict::Alias { .. } | Verdict::Pass | Verdict::Slow => None,
        }
    }
}

/// The labels of service and namespace of a key.
fn labels(key: &[u8]) -> (&[u8], &[u8]) {
    let (service, namespace) = key.split_at(key.len().min(1 + usize::from(key[0])));
    (&service[1..], namespace.get(1..).unwrap_or_default())
}

/// Records being collected.
pub(super) struct Handout<'a> {
    pub(super) zone: &'a Name,
    /// What stands between a service's namespace and the zone, in wire form.
    pub(super) tree: &'static [u8],
    pub(super) ttl: u32,
    pub(super) records: Vec<ResourceRecord>,
}

impl Handout<'_> {
    /// Calls with each of these services, by name and then by namespace.
    pub(super) fn services(&mut self, keys: &mut [Octets], mut add: impl FnMut(&[u8], &mut Self)) {
        keys.sort_unstable_by(|one, other| labels(one).cmp(&labels(other)));
        keys.iter().for_each(|key| add(key, self));
    }

    pub(super) fn service(&mut self, service: &Service) {
        let Some(name) = self.name(&[&service.key, self.tree]) else { return };
        match &service.kind {
            Kind::Absent | Kind::Unusable => {}
            Kind::External(target) => self.put(&name, RecordType::CNAME, target.wire().to_vec()),
            Kind::Cluster => {
                self.addresses::<Ipv4Addr>(&name, service.v4.as_slice());
                self.addresses::<Ipv6Addr>(&name, service.v6.as_slice());
                for port in &*service.ports {
                    let rdata = srv(WEIGHT, port.number, &name);
                    self.put(&name, RecordType::SRV, rdata.clone());
                    if let Some(owner) = self.port_name(&port.name, &port.protocol, service) {
                        self.put(&owner, RecordType::SRV, rdata);
                    }
                }
            }
            Kind::Headless => {
                self.addresses::<Ipv4Addr>(&name, service.v4.as_slice());
                self.addresses::<Ipv6Addr>(&name, service.v6.as_slice());
                let mut seen = BTreeSet::new();
                for slice in service.slices() {
                    self.slice(service, slice, &mut seen);
                }
            }
        }
    }

    /// The endpoint names of a slice and their ports; `seen` has the records of slices before.
    fn slice(&mut self, service: &Service, slice: &Slice, seen: &mut BTreeSet<(Vec<u8>, Vec<u8>)>) {
        self.endpoint_addresses::<Ipv4Addr>(service, slice, seen);
        self.endpoint_addresses::<Ipv6Addr>(service, slice, seen);
        let weight = (WEIGHT as usize / slice.len().max(1)) as u16;
        for port in &*slice.ports {
            let Some(owner) = self.port_name(&port.name, &port.protocol, service) else { continue };
            let _ = slice.each_label(|label| {
                if let Some(target) = self.name(&[label, &service.key, self.tree]) {
                    let rdata = srv(weight, port.number, &target);
                    // An endpoint of both families is one target, whatever its slices.
                    if seen.insert((owner.clone(), rdata[4..].to_vec())) {
                        self.put(&owner, RecordType::SRV, rdata);
                    }
                }
                ControlFlow::Continue(())
            });
        }
    }

    fn endpoint_addresses<A: Family>(
        &mut self,
        service: &Service,
        slice: &Slice,
        seen: &mut BTreeSet<(Vec<u8>, Vec<u8>)>,
    ) {
        let _ = slice.each::<A>(|label, address| {
            if let Some(owner) = self.name(&[label, &service.key, self.tree])
                && seen.insert((owner.clone(), octets(address.ip())))
            {
                self.addresses(&owner, &[address]);
            }
            ControlFlow::Continue(())
        });
    }

    fn addresses<A: Address>(&mut self, owner: &[u8], addresses: &[A]) {
        for address in addresses {
            let rtype = if address.ip().is_ipv4() { RecordType::A } else { RecordType::AAAA };
            self.put(owner, rtype, octets(address.ip()));
        }
    }

    /// `_PORT._PROTOCOL` at a service; `None` for a port without a name.
    fn port_name(&self, port: &str, protocol: &str, service: &Service) -> Option<Vec<u8>> {
        if port.is_empty() || port.len() > 62 || protocol.len() > 62 {
            return None;
        }
        let label = |text: &str| [&[text.len() as u8 + 1, b'_'], text.as_bytes()].concat();
        self.name(&[&label(port), &label(protocol), &service.key, self.tree])
    }

    /// A name in the zone; `None` if it would be too long.
    fn name(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let name = [&parts.concat(), self.zone.wire()].concat();
        (name.len() <= MAX_NAME).then_some(name)
    }

    fn put(&mut self, owner: &[u8], rtype: RecordType, rdata: Vec<u8>) {
        self.records.push(ResourceRecord { owner: owner.to_vec(), rtype, class: CLASS_IN, ttl: self.ttl, rdata });
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn srv(weight: u16, port: u16, target: &[u8]) -> Vec<u8> {
    let mut rdata = vec![0, 0];
    rdata.extend(weight.to_be_bytes());
    rdata.extend(port.to_be_bytes());
    rdata.extend(target);
    rdata
}
