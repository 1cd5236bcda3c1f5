//! Services as they are reached from outside, for `k8s_external`: names without `svc`, and addresses of load balancers.

use super::Kubernetes;
use super::answer::{Asked, Found, existence};
use super::handout::Handout;
use super::names::{Grammar, Place, PortFilter};
use super::srv::Srv;
use super::store::{EndpointLabel, Family, Kind, Service};
use crate::plugin::{ExternalServices, ServiceFound, ServiceQuestion};
use crate::wire::{Answer, LowerName, MAX_NAME, Name, Owner, RecordType, ResourceRecord, Section};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

/// Octets of priority, weight and port in front of an SRV record's target.
const SRV_FIXED: usize = 6;
/// The weights of a name's SRV records make about this.
const WEIGHTS: u16 = 100;

impl ExternalServices for Kubernetes {
    fn answer(&self, question: &ServiceQuestion<'_>, answer: &mut Answer<'_, '_>) -> ServiceFound {
        let asked = outside(question);
        let any = PortFilter::default();
        let found = match place(&question.query.name, question.zone) {
            Place::Services(namespace) if self.with_namespace(namespace, |_| true) => Found::Nothing,
            Place::Service { key } => self.reached(&asked, question, key, any, None, answer),
            Place::Endpoint { label, key } => self.reached(&asked, question, key, any, Some(label), answer),
            Place::Port { filter, key } => self.reached(&asked, question, key, filter, None, answer),
            _ => Found::Missing,
        };
        match found {
            Found::Data => ServiceFound::Data,
            Found::Nothing => ServiceFound::Nothing,
            Found::Missing => ServiceFound::Missing,
            Found::Elsewhere(_) => ServiceFound::Alias,
        }
    }

    fn alias(&self, question: &ServiceQuestion<'_>) -> Option<Name> {
        let (Place::Service { key } | Place::Endpoint { key, .. } | Place::Port { key, .. }) =
            place(&question.query.name, question.zone)
        else {
            return None;
        };
        match self.cluster.store().external.get(key)?.kind {
            Kind::External(target) => Some(*target),
            _ => None,
        }
    }

    fn pointers(
        &self,
        question: &ServiceQuestion<'_>,
        address: IpAddr,
        origin: &Name,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound {
        let asked = outside(question);
        match address {
            IpAddr::V4(address) => self.names_of(&asked, address, origin, answer),
            IpAddr::V6(address) => self.names_of(&asked, address, origin, answer),
        }
    }

    fn name_servers(&self, headless: bool, visit: &mut dyn FnMut(IpAddr)) {
        let any = self.each_server(|service, slice| {
            if headless && service.kind == Kind::Headless {
                slice.endpoints::<Ipv4Addr>().iter().for_each(|address| visit(address.into()));
                slice.endpoints::<Ipv6Addr>().iter().for_each(|address| visit(address.into()));
            } else if let Some(outside) = self.cluster.store().external.view(&service.key).get() {
                outside.v4.as_slice().iter().for_each(|address| visit((*address).into()));
                outside.v6.as_slice().iter().for_each(|address| visit((*address).into()));
            }
            ControlFlow::Continue(())
        });
        if !any {
            self.own_addresses().iter().copied().for_each(visit);
        }
    }

    fn records(&self, zone: &Name, ttl: u32, headless: bool) -> Vec<ResourceRecord> {
        let store = self.cluster.store();
        let mut keys = Vec::new();
        store.external.for_each(|service| keys.push(service.key.clone()));
        if headless {
            store.services.for_each(|service| {
                if service.kind == Kind::Headless && store.external.view(&service.key).get().is_none() {
                    keys.push(service.key.clone());
                }
            });
        }
        let mut handout = Handout { zone, tree: b"", ttl, records: Vec::new() };
        handout.services(&mut keys, |key, handout| {
            self.with_reached(key, headless, false, |service, _| {
                handout.service(service);
                Found::Data
            });
        });
        handout.records
    }

    fn serial(&self) -> u32 {
        self.cluster.store().external_serial.get()
    }

    fn hand_out(&self) {
        self.cluster.store().external_serial.hand_out();
    }

    fn is_synced(&self) -> bool {
        self.cluster.is_synced()
    }
}

/// The question as one whose services stand right below the zone.
fn outside<'a>(question: &ServiceQuestion<'a>) -> Asked<'a> {
    let ttl = question.context.shape.ttl.map_or(question.ttl, |rule| rule.positive.hold(question.ttl));
    let labels = question.zone.label_count();
    Asked {
        query: question.query,
        context: question.context,
        zone: question.zone,
        grammar: Grammar { labels, ..Grammar::default() },
        tree: b"",
        apex: question.query.name.label_count() - labels,
        ttl,
    }
}

/// What the labels left of the zone stand for: the same as in the cluster's zone, without `svc`.
fn place<'a>(name: &LowerName<'a>, zone: &Name) -> Place<'a> {
    let key = |first: usize| &name.wire()[name.start(first)..name.start(first + 2)];
    match name.label_count() - zone.label_count() {
        1 => Place::Services(name.label(0)),
        2 => Place::Service { key: key(0) },
        3 => Place::Endpoint { label: &name.wire()[..name.start(1)], key: key(1) },
        4 => Place::Port { filter: PortFilter::of(name.label(0), name.label(1)), key: key(2) },
        _ => Place::Unknown,
    }
}

impl Kubernetes {
    /// Calls `read` with a service as it is reached from outside; true where that is at addresses of its own, not at its
    /// endpoints'.
    fn with_reached(
        &self,
        key: &[u8],
        headless: bool,
        endpoint: bool,
        read: impl FnOnce(&Service, bool) -> Found,
    ) -> Found {
        let store = self.cluster.store();
        let external = store.external.view(key);
        if let Some(service) = external.get() {
            return if self.exposes(&service.namespace) { read(service, true) } else { Found::Missing };
        }
        let view = store.services.view(key);
        let is_reached =
            |service: &&Service| service.kind == Kind::Headless || endpoint && service.kind == Kind::Cluster;
        match view.get().filter(is_reached) {
            Some(service) if headless && self.exposes(&service.namespace) => read(service, false),
            _ => Found::Missing,
        }
    }

    /// Writes what a service has. One with addresses of its own has them below its name as well, whatever the label: as
    /// CoreDNS, of which Ingresses make use.
    fn reached(
        &self,
        asked: &Asked<'_>,
        question: &ServiceQuestion<'_>,
        key: &[u8],
        ports: PortFilter<'_>,
        endpoint: Option<&[u8]>,
        answer: &mut Answer<'_, '_>,
    ) -> Found {
        self.with_reached(key, question.headless, endpoint.is_some(), |service, has_own| {
            let endpoint = endpoint.filter(|_| !has_own).map(EndpointLabel::new);
            if has_own && ports.entries(&service.ports) == 0 {
                return Found::Missing;
            }
            match (question.query.qtype, &service.kind) {
                (RecordType::A | RecordType::AAAA, Kind::External(target)) => {
                    let target_at = (answer.position() + 12) as u16;
                    answer.record(Section::Answer, Owner::Question, RecordType::CNAME, asked.ttl, &[target.wire()]);
                    Found::Elsewhere(target_at)
                }
                (RecordType::CNAME, Kind::External(target)) => {
                    answer.record(Section::Answer, Owner::Question, RecordType::CNAME, asked.ttl, &[target.wire()]);
                    Found::Data
                }
                (RecordType::SRV, Kind::External(target)) => ports_of_host(asked, service, ports, target, answer),
                (RecordType::A, _) => addresses::<Ipv4Addr>(asked, service, ports, endpoint, answer),
                (RecordType::AAAA, _) => addresses::<Ipv6Addr>(asked, service, ports, endpoint, answer),
                (RecordType::SRV, kind) if exists(service, ports, endpoint) => {
                    let mut srv = Srv::new(asked, service, ports, endpoint, answer);
                    if *kind == Kind::Cluster && endpoint.is_none() { srv.cluster() } else { srv.endpoints() }
                }
                _ if exists(service, ports, endpoint) => Found::Nothing,
                _ => Found::Missing,
            }
        })
    }

    fn names_of<A: Family>(
        &self,
        asked: &Asked<'_>,
        address: A,
        origin: &Name,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound {
        let mut found = ServiceFound::Missing;
        self.cluster.store().external_owners_of(address, |service| {
            if !service.addresses().contains(&address) || !self.shows_pointers(service) {
                return;
            }
            if asked.query.qtype == RecordType::PTR && service.key.len() + origin.wire().len() <= MAX_NAME {
                let rdata: [&[u8]; 2] = [&service.key, origin.wire()];
                answer.record(Section::Answer, Owner::Question, RecordType::PTR, asked.ttl, &rdata);
                found = ServiceFound::Data;
            } else if found == ServiceFound::Missing {
                found = ServiceFound::Nothing;
            }
        });
        found
    }
}

/// Whether there is anything at a name of a service.
fn exists(service: &Service, ports: PortFilter<'_>, endpoint: Option<EndpointLabel<'_>>) -> bool {
    match endpoint {
        Some(label) => service.slices().iter().any(|slice| slice.count_with_label(label) > 0),
        None if ports.is_any() => existence(service) == Found::Nothing,
        None => service.has_port(ports),
    }
}

fn addresses<A: Family>(
    asked: &Asked<'_>,
    service: &Service,
    ports: PortFilter<'_>,
    endpoint: Option<EndpointLabel<'_>>,
    answer: &mut Answer<'_, '_>,
) -> Found {
    if !exists(service, ports, endpoint) {
        return Found::Missing;
    }
    match endpoint {
        Some(label) if asked.write_endpoint::<A>(answer, Owner::Question, service, label) => Found::Data,
        Some(_) => Found::Nothing,
        None if ports.is_any() => match service.addresses::<A>() {
            [] => Found::Nothing,
            addresses => asked.write(answer, Owner::Question, addresses),
        },
        None => asked.write_port::<A>(answer, Owner::Question, service, ports),
    }
}

/// Writes the ports of a service at the host name of its load balancer. Its addresses are not looked up: additional
/// records are a favour (RFC 2782), and the client asks where it needs them.
fn ports_of_host(
    asked: &Asked<'_>,
    service: &Service,
    ports: PortFilter<'_>,
    target: &Name,
    answer: &mut Answer<'_, '_>,
) -> Found {
    let entries = ports.entries(&service.ports) as u16;
    let mut found = Found::Nothing;
    for number in ports.numbers(&service.ports) {
        let mut fixed = [0; SRV_FIXED];
        fixed[2..4].copy_from_slice(&(WEIGHTS / entries.max(1)).max(1).to_be_bytes());
        fixed[4..].copy_from_slice(&number.to_be_bytes());
        answer.record(Section::Answer, Owner::Question, RecordType::SRV, asked.ttl, &[&fixed, target.wire()]);
        found = Found::Data;
    }
    found
}
