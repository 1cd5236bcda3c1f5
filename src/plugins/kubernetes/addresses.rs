//! A and AAAA: the addresses of services, endpoints, ports, pods and name servers, and of what aliases lead to.

use super::Kubernetes;
use super::answer::{Asked, Found, existence};
use super::names::{self, Place, PortFilter};
use super::store::{EndpointLabel, Family, Kind, Service, Slice};
use crate::wire::{Answer, LowerName, Name, NameBuffer, Owner, RecordType, Section};
use crate::zone::Shuffle;

/// CNAME records that may stand in one answer; more is a loop.
pub(super) const MAX_ALIASES: usize = 11;

impl Kubernetes {
    /// Writes the addresses of one family that `name` has, owned by `owner`, behind `aliases` CNAME records.
    #[inline]
    pub(super) fn addresses<A: Family>(
        &self,
        asked: &Asked<'_>,
        name: &LowerName<'_>,
        owner: Owner<'_>,
        aliases: usize,
        answer: &mut Answer<'_, '_>,
    ) -> Found {
        match names::place(name, asked.grammar) {
            Place::Service { key } => self.with_service(asked, key, |service| match &service.kind {
                Kind::External(target) => self.follow::<A>(asked, name, target, owner, aliases, answer),
                _ => match service.addresses::<A>() {
                    [] => existence(service),
                    addresses => asked.write(answer, owner, addresses),
                },
            }),
            Place::Endpoint { label, key } => self.with_service(asked, key, |service| {
                let label = EndpointLabel::new(label);
                if !service.has_parts() || !asked.write_endpoint::<A>(answer, owner, service, label) {
                    return self.existence(asked, names::place(name, asked.grammar));
                }
                Found::Data
            }),
            Place::Port { filter, key } => self.with_service(asked, key, |service| match service.has_port(filter) {
                true => asked.write_port::<A>(answer, owner, service, filter),
                false => Found::Missing,
            }),
            Place::Zonal { zone, prefer, key } => self.with_service(asked, key, |service| match service.kind {
                Kind::Headless => asked.write_zone::<A>(answer, owner, service, service.zone(zone, prefer)),
                _ => Found::Missing,
            }),
            Place::Pod { label, namespace } => match self.pod(label, namespace) {
                Some(address) => A::from_ip(address).map_or(Found::Nothing, |it| asked.write(answer, owner, &[it])),
                None => Found::Missing,
            },
            Place::NameServer => self.name_server_addresses::<A>(asked, owner, answer),
            other => self.existence(asked, other),
        }
    }

    /// Writes the CNAME record of an alias, and the addresses of its target where that is in the zone. A target there
    /// that has none takes the alias with it.
    fn follow<A: Family>(
        &self,
        asked: &Asked<'_>,
        name: &LowerName<'_>,
        target: &Name,
        owner: Owner<'_>,
        aliases: usize,
        answer: &mut Answer<'_, '_>,
    ) -> Found {
        if aliases == MAX_ALIASES || is_loop(name, target) {
            return Found::Nothing;
        }
        // A pointer and ten octets stand in front of the target, to which the next record's owner points.
        let target_at = (answer.position() + 12) as u16;
        answer.record(Section::Answer, owner, RecordType::CNAME, asked.ttl, &[target.wire()]);
        if !target.is_within(asked.zone) {
            return Found::Elsewhere(target_at);
        }
        let mut buffer = NameBuffer::default();
        let Some(next) = buffer.lower(target.wire()) else { return Found::Nothing };
        match self.addresses::<A>(asked, &next, Owner::At(target_at), aliases + 1, answer) {
            Found::Missing => Found::Nothing,
            found => found,
        }
    }
}

/// Whether an alias leads to its own name or below it.
pub(super) fn is_loop(name: &LowerName<'_>, target: &Name) -> bool {
    let mut rest = target.wire();
    while rest.len() > name.wire().len() {
        rest = &rest[1 + usize::from(rest[0])..];
    }
    rest == name.wire()
}

impl Asked<'_> {
    /// Writes address records, in random order where `loadbalance` wants that.
    #[inline]
    pub(super) fn write<A: Family>(&self, answer: &mut Answer<'_, '_>, owner: Owner<'_>, addresses: &[A]) -> Found {
        let mut put = |address: &A| address.write(answer, Section::Answer, owner, self.ttl);
        if self.context.shape.shuffle && addresses.len() > 1 {
            let _ = Shuffle::new(addresses.len(), self.context.moment.random).all(|at| put(&addresses[at]));
        } else {
            let _ = addresses.iter().all(put);
        }
        Found::Data
    }

    /// Writes the addresses of one family that are in a zone of topology, or all.
    fn write_zone<A: Family>(
        &self,
        answer: &mut Answer<'_, '_>,
        owner: Owner<'_>,
        service: &Service,
        zone: Option<&[u8]>,
    ) -> Found {
        let addresses = service.addresses::<A>();
        let Some(zone) = zone.filter(|_| !addresses.is_empty()) else {
            return if addresses.is_empty() { Found::Nothing } else { self.write(answer, owner, addresses) };
        };
        let mut found = Found::Nothing;
        let mut put = |address: A| {
            if !service.slices().iter().any(|slice| slice.is_in_zone(address, zone)) {
                return true;
            }
            found = Found::Data;
            address.write(answer, Section::Answer, owner, self.ttl)
        };
        let _ = match self.context.shape.shuffle {
            true => Shuffle::new(addresses.len(), self.context.moment.random).all(|at| put(addresses[at])),
            false => addresses.iter().all(|address| put(*address)),
        };
        found
    }

    /// Writes the addresses of one family that an endpoint's label stands for. False if there are none.
    pub(super) fn write_endpoint<A: Family>(
        &self,
        answer: &mut Answer<'_, '_>,
        owner: Owner<'_>,
        service: &Service,
        label: EndpointLabel<'_>,
    ) -> bool {
        let mut found = false;
        for (at, slice) in service.slices().iter().enumerate() {
            for address in slice.with_label::<A>(label) {
                found = true;
                let earlier = &service.slices()[..if service.overlaps { at } else { 0 }];
                if !earlier.iter().any(|slice| slice.with_label::<A>(label).any(|other| other == address)) {
                    address.write(answer, Section::Answer, owner, self.ttl);
                }
            }
        }
        found
    }

    /// Writes the addresses of one family that have a port.
    pub(super) fn write_port<A: Family>(
        &self,
        answer: &mut Answer<'_, '_>,
        owner: Owner<'_>,
        service: &Service,
        filter: PortFilter<'_>,
    ) -> Found {
        let has_port = |slice: &Slice| filter.entries(&slice.ports) > 0;
        if service.kind == Kind::Cluster || service.slices().iter().all(|slice| has_port(slice)) {
            return match service.addresses::<A>() {
                [] => Found::Nothing,
                addresses => self.write(answer, owner, addresses),
            };
        }
        let mut found = Found::Nothing;
        for (at, slice) in service.slices().iter().enumerate().filter(|(_, slice)| has_port(slice)) {
            let earlier = &service.slices()[..if service.overlaps { at } else { 0 }];
            for address in slice.endpoints::<A>().iter() {
                found = Found::Data;
                if answer.is_truncated() {
                    return found;
                }
                if !earlier.iter().any(|slice| has_port(slice) && slice.endpoints::<A>().contains(address)) {
                    address.write(answer, Section::Answer, owner, self.ttl);
                }
            }
        }
        found
    }
}
