//! From a question to an answer, in memory: the fast lane, and the first half of the slow one.

use super::names::{self, Grammar, Place};
use super::store::{EndpointLabel, Kind, Namespace, Service, Store};
use super::{Kubernetes, Pods, labels};
use crate::plugin::{Context, Verdict};
use crate::wire::{Answer, LowerName, MAX_NAME, Name, Owner, Query, Rcode, RecordType, Section};
use crate::zone::Soa;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest TTL of an SOA record, in seconds (CoreDNS).
const MAX_SOA_TTL: u32 = 300;
/// The TTL of the specification's version, in seconds (DNS specification 2.2).
const VERSION_TTL: u32 = 28_800;
/// The version of the DNS specification that is followed, as a character string.
const VERSION: &[u8] = b"\x051.1.0";
/// The TTL that `cache` gives a server failure, in seconds.
const FAILURE_TTL: u32 = 5;
/// The label that services stand under, in wire form.
pub(super) const SVC: &[u8] = b"\x03svc";

/// What there is at a name, for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Records, which have been written.
    Data,
    /// The name, but nothing of this type.
    Nothing,
    /// Not even the name.
    Missing,
    /// An alias of a name that others hold; its CNAME record has been written, with the target at this offset.
    Elsewhere(u16),
}

/// A question in one of our zones.
pub(super) struct Asked<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) context: &'a Context,
    pub(super) zone: &'a Name,
    pub(super) grammar: Grammar,
    /// What stands between a service's namespace and the zone, in wire form: `svc`, or nothing.
    pub(super) tree: &'static [u8],
    /// The label of the question at which the zone starts.
    pub(super) apex: usize,
    /// The TTL of records, in seconds.
    pub(super) ttl: u32,
}

impl Asked<'_> {
    /// The TTL of an answer whose smallest TTL is `ttl`.
    #[inline]
    pub(super) fn shaped(&self, ttl: u32) -> u32 {
        self.context.shape.ttl.map_or(ttl, |rule| rule.positive.hold(ttl))
    }

    /// The zone in wire form, spelled as in the question.
    pub(super) fn zone_as_asked(&self) -> &[u8] {
        self.name_behind(self.apex)
    }

    /// The question's name from a label on, spelled as it is there.
    #[inline]
    pub(super) fn name_behind(&self, index: usize) -> &[u8] {
        let question = self.query.question();
        &question[self.query.name.start(index)..question.len() - 4]
    }

    /// Whether the name of a service below the zone, or of its endpoint with this label (in wire form), is short enough.
    pub(super) fn has_room(&self, label: &[u8], service: &Service) -> bool {
        label.len() + service.key.len() + self.tree.len() + self.zone_as_asked().len() <= MAX_NAME
    }

    /// Whether the labels from `first` to the zone are spelled in lower case, as objects are.
    pub(super) fn is_canonical(&self, first: usize) -> bool {
        let range = self.query.name.start(first)..self.query.name.start(self.apex);
        self.query.question()[range.clone()] == self.query.name.wire()[range]
    }
}

impl Kubernetes {
    #[inline]
    pub(super) fn respond(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        let Some(asked) = self.asked(query, context) else { return Verdict::Pass };
        let mut answer = Answer::begin(query, out, context.limit);
        if matches!(query.qtype, RecordType::AXFR | RecordType::IXFR) {
            return Verdict::Answered(answer.finish(Rcode::REFUSED, false));
        }
        let found = self.resolve(&asked, &mut answer);
        let rcode = match found {
            Found::Data => return Verdict::Answered(answer.finish(Rcode::NOERROR, true)),
            Found::Elsewhere(_) if answer.is_truncated() => return Verdict::Slow,
            Found::Elsewhere(target) => {
                return Verdict::Alias { len: answer.finish(Rcode::NOERROR, true), target: usize::from(target) };
            }
            Found::Nothing => Rcode::NOERROR,
            // The next plugin may have the name: it must not be denied. SOA is not passed on all the same (CoreDNS).
            Found::Missing if self.falls_through(&query.name) => match query.qtype {
                RecordType::SOA => Rcode::NOERROR,
                _ => return Verdict::Pass,
            },
            Found::Missing if self.cluster.is_synced() => Rcode::NXDOMAIN,
            Found::Missing => Rcode::SERVFAIL,
        };
        Verdict::Answered(self.negative(&asked, rcode, answer))
    }

    /// The question as one in the longest zone of ours that has it.
    #[inline]
    pub(super) fn asked<'a>(&'a self, query: &'a Query<'a>, context: &'a Context) -> Option<Asked<'a>> {
        let (labels, zone) = self.zones.find(&query.name)?;
        let ttl = context.shape.ttl.map_or(self.ttl, |rule| rule.positive.hold(self.ttl));
        let (apex, grammar) = (query.name.label_count() - labels, zone.grammar);
        Some(Asked { query, context, zone: &zone.name, grammar, tree: SVC, apex, ttl })
    }

    #[inline]
    fn falls_through(&self, name: &LowerName<'_>) -> bool {
        self.fallthrough.iter().any(|zone| name.is_within(zone))
    }

    /// An answer without records, whatever was written before: the zone's SOA record says how long that may be
    /// remembered (RFC 2308 section 3).
    #[inline]
    pub(super) fn negative(&self, asked: &Asked<'_>, rcode: Rcode, mut answer: Answer<'_, '_>) -> usize {
        let mut soa = self.soa(asked);
        if let Some(rule) = asked.context.shape.ttl {
            soa.ttl = rule.negative.hold(if rcode == Rcode::SERVFAIL { FAILURE_TTL } else { soa.ttl });
        }
        answer.clear();
        let apex = answer.question_label(asked.apex);
        soa.write(&mut answer, Section::Authority, apex);
        answer.finish(rcode, true)
    }

    #[inline]
    fn soa(&self, asked: &Asked<'_>) -> Soa {
        let serial = self.store(asked.grammar).serial.get();
        Soa { serial, ttl: self.ttl.min(MAX_SOA_TTL), minimum: self.ttl }
    }

    #[inline]
    fn resolve(&self, asked: &Asked<'_>, answer: &mut Answer<'_, '_>) -> Found {
        let name = &asked.query.name;
        match asked.query.qtype {
            RecordType::A => return self.addresses::<Ipv4Addr>(asked, name, Owner::Question, 0, answer),
            RecordType::AAAA => return self.addresses::<Ipv6Addr>(asked, name, Owner::Question, 0, answer),
            _ => {}
        }
        let place = names::place(name, asked.grammar);
        match (asked.query.qtype, place) {
            (RecordType::SRV, _) => self.srv(asked, place, answer),
            (RecordType::CNAME, Place::Service { key }) => {
                self.with_service(asked, key, |service| match &service.kind {
                    Kind::External(target) => {
                        answer.record(Section::Answer, Owner::Question, RecordType::CNAME, asked.ttl, &[target.wire()]);
                        Found::Data
                    }
                    _ => existence(service),
                })
            }
            (RecordType::PTR, Place::Address(address)) => self.pointers(asked, address, Some(answer)),
            (RecordType::NS, Place::Apex) => self.name_servers(asked, answer),
            (RecordType::SOA, Place::Apex) => {
                let apex = answer.question_label(asked.apex);
                let soa = self.soa(asked);
                Soa { ttl: asked.shaped(soa.ttl), ..soa }.write(answer, Section::Answer, apex);
                Found::Data
            }
            (RecordType::TXT, Place::Version) => {
                let ttl = asked.shaped(VERSION_TTL);
                answer.record(Section::Answer, Owner::Question, RecordType::TXT, ttl, &[VERSION]);
                Found::Data
            }
            _ => self.existence(asked, place),
        }
    }

    /// Whether there is anything at a place, which then has no records of the type asked.
    pub(super) fn existence(&self, asked: &Asked<'_>, place: Place<'_>) -> Found {
        let found = |exists: bool| if exists { Found::Nothing } else { Found::Missing };
        match place {
            Place::Apex | Place::Tree | Place::Dns | Place::NameServer | Place::Version => Found::Nothing,
            Place::Services(namespace) => found(self.with_namespace(namespace, |_| true)),
            Place::Pods(namespace) => found(self.pods != Pods::Disabled && self.with_namespace(namespace, |_| true)),
            Place::Service { key } => self.with_service(asked, key, existence),
            Place::Endpoint { label, key } => self.with_service(asked, key, |service| {
                let endpoint = EndpointLabel::new(label);
                let has_endpoint = service.slices().iter().any(|slice| slice.count_with_label(endpoint) > 0);
                found(service.has_parts() && has_endpoint || service.has_protocol(&label[1..]))
            }),
            Place::Port { filter, key } => self.with_service(asked, key, |service| found(service.has_port(filter))),
            // Whether the zone has endpoints or not: it would be another answer a moment later.
            Place::Zonal { key, .. } => self.with_service(asked, key, |service| found(service.kind == Kind::Headless)),
            Place::Pod { label, namespace } => found(self.pod(label, namespace).is_some()),
            Place::Address(address) => self.pointers(asked, address, None),
            Place::Network(network) => found(self.has_pointer_in(network)),
            Place::Unknown => Found::Missing,
        }
    }

    /// What the services of a zone are read from.
    #[inline]
    pub(super) fn store(&self, grammar: Grammar) -> &Store {
        match self.cluster.imports() {
            Some(imports) if grammar.is_multicluster => imports,
            _ => self.cluster.store(),
        }
    }

    /// Runs `read` on a service whose namespace is shown.
    #[inline]
    pub(super) fn with_service(&self, asked: &Asked<'_>, key: &[u8], read: impl FnOnce(&Service) -> Found) -> Found {
        let view = self.store(asked.grammar).services.view(key);
        match view.get() {
            Some(service) if self.shows(service) => read(service),
            _ => Found::Missing,
        }
    }

    #[inline]
    pub(super) fn shows(&self, service: &Service) -> bool {
        self.exposes(&service.namespace)
            && !(self.ignore_empty && service.kind == Kind::Cluster && !service.has_endpoints())
    }

    /// Whether names in a namespace are answered.
    #[inline]
    pub(super) fn exposes(&self, namespace: &Namespace) -> bool {
        namespace.is_present() && (self.namespaces.is_empty() || self.namespaces.contains(&namespace.label))
    }

    pub(super) fn with_namespace(&self, label: &[u8], read: impl FnOnce(&Namespace) -> bool) -> bool {
        let view = self.cluster.store().namespaces.view(label);
        view.get().is_some_and(|namespace| self.exposes(namespace) && read(namespace))
    }

    /// The address of a pod's name, if it is one.
    pub(super) fn pod(&self, label: &[u8], namespace: &[u8]) -> Option<IpAddr> {
        let is_known = |address| {
            self.with_namespace(namespace, |namespace| match self.pods {
                Pods::Disabled => false,
                Pods::Insecure => true,
                Pods::Verified => self.cluster.store().has_pod(address, namespace),
            })
        };
        match self.pods {
            Pods::Disabled => None,
            Pods::Insecure => labels::pod_address(label).filter(|address| is_known(*address)),
            // CoreDNS compares texts: of an address that can be written in two ways only one is the pod's.
            Pods::Verified => labels::printed_pod_address(label).filter(|address| is_known(*address)),
        }
    }
}

/// Whether there are records at a service's own name.
pub(super) fn existence(service: &Service) -> Found {
    if service.exists() { Found::Nothing } else { Found::Missing }
}
