//! SRV records: the ports of a service, at the names that serve them.

use super::Kubernetes;
use super::answer::{Asked, Found};
use super::names::{Place, PortFilter};
use super::store::{EndpointLabel, Family, Kind, Service, Slice};
use crate::wire::{Answer, Owner, RecordType, Section};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

/// Octets of priority, weight and port in front of the target.
const FIXED: usize = 6;
/// Octets of an owner that is a pointer, and of type, class, TTL and length behind it.
const FRONT: usize = 12;
/// Offsets from here on do not fit a compression pointer.
const POINTER_END: usize = 0x4000;

impl Kubernetes {
    /// Answers an SRV question at a place.
    pub(super) fn srv(&self, asked: &Asked<'_>, place: Place<'_>, answer: &mut Answer<'_, '_>) -> Found {
        let any = PortFilter::default();
        let (key, ports, endpoint) = match place {
            Place::Service { key } | Place::Zonal { key, .. } => (key, any, None),
            Place::Endpoint { label, key } => (key, any, Some(EndpointLabel::new(label))),
            Place::Port { filter, key } => (key, filter, None),
            _ => return self.existence(asked, place),
        };
        let found = self.with_service(asked, key, |service| {
            let mut srv = Srv::new(asked, service, ports, endpoint, answer);
            match (&service.kind, place) {
                (Kind::Headless, Place::Zonal { zone, prefer, .. }) => {
                    srv.zone = service.zone(zone, prefer);
                    srv.endpoints()
                }
                (_, Place::Zonal { .. }) => Found::Missing,
                (Kind::Cluster, _) if endpoint.is_none() => srv.cluster(),
                (Kind::Cluster | Kind::Headless, _) => srv.endpoints(),
                _ => Found::Missing,
            }
        });
        if found == Found::Missing { self.existence(asked, place) } else { found }
    }
}

/// The SRV records of one service that one name asks for.
pub(super) struct Srv<'a, 'q, 'o> {
    asked: &'a Asked<'a>,
    service: &'a Service,
    ports: PortFilter<'a>,
    endpoint: Option<EndpointLabel<'a>>,
    /// The zone of topology that endpoints must be in.
    zone: Option<&'a [u8]>,
    answer: &'a mut Answer<'q, 'o>,
    weight: u16,
    /// Where the service's name stands in the message, spelled as in its objects.
    base: Option<u16>,
    /// The service's name up to the root, where the question ends with it as it is spelled in its objects.
    asked_name: Option<&'a [u8]>,
}

impl<'a, 'q, 'o> Srv<'a, 'q, 'o> {
    /// Those of a service whose name the question ends with.
    pub(super) fn new(
        asked: &'a Asked<'a>,
        service: &'a Service,
        ports: PortFilter<'a>,
        endpoint: Option<EndpointLabel<'a>>,
        answer: &'a mut Answer<'q, 'o>,
    ) -> Srv<'a, 'q, 'o> {
        let tree = usize::from(!asked.tree.is_empty());
        let first = asked.apex - (2 + tree);
        let is_canonical = asked.is_canonical(first);
        let base = is_canonical.then(|| answer.question_label(first));
        let asked_name = is_canonical.then(|| asked.name_behind(first));
        Srv { asked, service, ports, endpoint, zone: None, answer, weight: 0, base, asked_name }
    }

    /// One record a port, at the service's own name.
    pub(super) fn cluster(&mut self) -> Found {
        let service = self.service;
        let addresses = service.v4.as_slice().len() + service.v6.as_slice().len();
        let Some(weight) = weight(addresses * self.ports.entries(&service.ports)) else { return Found::Missing };
        self.weight = weight;
        let mut found = Found::Nothing;
        for number in self.ports.numbers(&service.ports) {
            found = Found::Data;
            let _ = self.record(&[], number);
        }
        if let (Found::Data, Some(base)) = (found, self.base) {
            let owner = Owner::At(base);
            self.glue(owner, service.v4.as_slice());
            self.glue(owner, service.v6.as_slice());
        }
        found
    }

    /// One record a port and endpoint name.
    pub(super) fn endpoints(&mut self) -> Found {
        let (service, ports) = (self.service, self.ports);
        let entries = service.slices().iter().map(|slice| ports.entries(&slice.ports) * self.endpoints_of(slice)).sum();
        let Some(weight) = weight(entries) else { return Found::Missing };
        self.weight = weight;
        for (at, slice) in service.slices().iter().enumerate() {
            for number in ports.numbers(&slice.ports) {
                let written = self.each_name(slice, |srv, label| match srv.is_new_target(at, label, number) {
                    true => srv.record(label, number),
                    false => ControlFlow::Continue(()),
                });
                if written.is_break() {
                    return Found::Data;
                }
            }
        }
        if self.answer.count(Section::Answer) == 0 {
            return Found::Nothing;
        }
        let _ = self.all_glue::<Ipv4Addr>();
        let _ = self.all_glue::<Ipv6Addr>();
        Found::Data
    }

    fn endpoints_of(&self, slice: &Slice) -> usize {
        match (self.endpoint, self.zone) {
            (Some(label), _) => slice.count_with_label(label),
            (None, Some(zone)) => slice.count_in_zone(zone),
            (None, None) => slice.len(),
        }
    }

    /// Calls `visit` with each label of a slice that is asked for, once.
    fn each_name(
        &mut self,
        slice: &Slice,
        mut visit: impl FnMut(&mut Self, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.endpoint {
            None => slice.each_label(|label| match self.zone {
                Some(_) if !self.has_name(slice, EndpointLabel::new(label)) => ControlFlow::Continue(()),
                _ => visit(self, label),
            }),
            Some(label) if slice.count_with_label(label) > 0 => visit(self, label.wire),
            Some(_) => ControlFlow::Continue(()),
        }
    }

    /// Whether a slice has this name, with an address in the zone that is asked for.
    fn has_name(&self, slice: &Slice, label: EndpointLabel<'_>) -> bool {
        let Some(zone) = self.zone else { return slice.count_with_label(label) > 0 };
        slice.with_label::<Ipv4Addr>(label).any(|address| slice.is_in_zone(address, zone))
            || slice.with_label::<Ipv6Addr>(label).any(|address| slice.is_in_zone(address, zone))
    }

    /// Whether no slice before has this name with this port.
    fn is_new_target(&self, at: usize, label: &[u8], number: u16) -> bool {
        let earlier = &self.service.slices()[..at];
        if earlier.is_empty() {
            return true;
        }
        let label = EndpointLabel::new(label);
        let has_port = |slice: &Slice| self.ports.numbers(&slice.ports).any(|other| other == number);
        !earlier.iter().any(|slice| has_port(slice) && self.has_name(slice, label))
    }

    /// Writes one SRV record; its target is never compressed (RFC 2782).
    fn record(&mut self, label: &[u8], number: u16) -> ControlFlow<()> {
        if !self.asked.has_room(label, self.service) {
            return ControlFlow::Continue(());
        }
        let mut fixed = [0; FIXED];
        fixed[2..4].copy_from_slice(&self.weight.to_be_bytes());
        fixed[4..].copy_from_slice(&number.to_be_bytes());
        let target = self.answer.position() + FRONT + FIXED + label.len();
        let mut put = |name: [&[u8]; 3]| {
            let rdata: [&[u8]; 5] = [&fixed, label, name[0], name[1], name[2]];
            self.answer.record(Section::Answer, Owner::Question, RecordType::SRV, self.asked.ttl, &rdata)
        };
        let has_room = match self.asked_name {
            Some(name) => put([name, &[], &[]]),
            None => put([&self.service.key, self.asked.tree, self.asked.zone_as_asked()]),
        };
        if !has_room {
            return ControlFlow::Break(());
        }
        if self.base.is_none() && target < POINTER_END {
            self.base = Some(target as u16);
        }
        ControlFlow::Continue(())
    }

    fn glue<A: Family>(&mut self, owner: Owner<'_>, addresses: &[A]) {
        let _ = addresses.iter().all(|address| address.write(self.answer, Section::Additional, owner, self.asked.ttl));
    }

    /// Writes the addresses of one family of every target, each once.
    fn all_glue<A: Family>(&mut self) -> ControlFlow<()> {
        let Some(base) = self.base else { return ControlFlow::Continue(()) };
        let service = self.service;
        for (at, slice) in service.slices().iter().enumerate().filter(|(_, slice)| has_number(self.ports, slice)) {
            let is_elsewhere = |address: A| self.zone.is_some_and(|zone| !slice.is_in_zone(address, zone));
            let mut put = |label: &[u8], address: A| {
                if is_elsewhere(address)
                    || !self.asked.has_room(label, service)
                    || !is_new_glue(service, self.ports, at, label, address)
                {
                    return ControlFlow::Continue(());
                }
                match address.write(self.answer, Section::Additional, Owner::Below(label, base), self.asked.ttl) {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            match self.endpoint {
                Some(label) => slice.with_label::<A>(label).try_for_each(|address| put(label.wire, address))?,
                None => slice.each::<A>(put)?,
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether no slice before that has a port asked for has this address by this name.
fn is_new_glue<A: Family>(service: &Service, ports: PortFilter<'_>, at: usize, label: &[u8], address: A) -> bool {
    let earlier = &service.slices()[..if service.overlaps { at } else { 0 }];
    let label = EndpointLabel::new(label);
    let has_it = |slice: &Slice| slice.with_label::<A>(label).any(|other| other == address);
    !earlier.iter().any(|slice| has_number(ports, slice) && has_it(slice))
}

fn has_number(ports: PortFilter<'_>, slice: &Slice) -> bool {
    ports.numbers(&slice.ports).next().is_some()
}

/// The weight of one of `entries` records, so that all together make about a hundred. `None` where there are none.
fn weight(entries: usize) -> Option<u16> {
    (entries > 0).then(|| (100 / entries).max(1) as u16)
}
