//! The whole zone, for `transfer`: what CoreDNS hands out, in its order.
//!
//! SOA, NS with their addresses, then the services by name. Pods, reverse names and the version are not in it. SRV weighs
//! 100 at a service with cluster IPs, and 100 divided by the addresses of the slice at an endpoint.

use super::Kubernetes;
use super::store::{Family, Kind, Service, Slice};
use crate::plugin::{Context, Moment, Shape, Verdict, ZoneHolder};
use crate::wire::{CLASS_IN, MAX_NAME, Message, Name, NameBuffer, Query, RecordType, ResourceRecord};
use crate::zone::Address;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

const SVC: &[u8] = b"\x03svc";
/// The weight of a service's own SRV records.
const WEIGHT: u16 = 100;

impl ZoneHolder for Kubernetes {
    fn zones(&self) -> Vec<Name> {
        self.zones.iter().filter(|(_, zone)| !zone.is_reverse).map(|(name, _)| name.clone()).collect()
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        let is_held = self.zones.iter().any(|(name, held)| name == zone && !held.is_reverse);
        (is_held && self.cluster.is_synced()).then(|| self.cluster.store().serial.load(Ordering::Relaxed))
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        self.cluster.store().hand_out();
        let mut handout = Handout { zone, ttl: self.ttl, records: Vec::new() };
        handout.records.extend(self.ask(zone, RecordType::SOA)?.answers);
        if let Some(servers) = self.ask(zone, RecordType::NS) {
            handout.records.extend(servers.answers);
            handout.records.extend(servers.additionals);
        }
        let mut keys = Vec::new();
        self.cluster.store().services.for_each(|service| {
            if service.kind != Kind::Absent && self.shows(service) {
                keys.push(service.key.clone());
            }
        });
        // By the service's label, then by its namespace's.
        keys.sort_unstable_by(|one, other| labels(one).cmp(&labels(other)));
        for key in keys {
            if let Some(service) = self.cluster.store().services.view(&key).get() {
                handout.service(service);
            }
        }
        Some(handout.records)
    }
}

impl Kubernetes {
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
struct Handout<'a> {
    zone: &'a Name,
    ttl: u32,
    records: Vec<ResourceRecord>,
}

impl Handout<'_> {
    fn service(&mut self, service: &Service) {
        let Some(name) = self.name(&[&service.key, SVC]) else { return };
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
                if let Some(target) = self.name(&[label, &service.key, SVC]) {
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
            if let Some(owner) = self.name(&[label, &service.key, SVC])
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
        self.name(&[&label(port), &label(protocol), &service.key, SVC])
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
