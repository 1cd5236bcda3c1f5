//! PTR records: the services and endpoints that an address belongs to.

use super::Kubernetes;
use super::answer::{Asked, Found, SVC};
use super::store::{Family, Kind, Service};
use crate::wire::{Answer, MAX_NAME, Owner, RecordType, Section};
use crate::zone::reverse::Network;
use std::net::IpAddr;
use std::ops::ControlFlow;

/// Addresses of hidden namespaces that are looked at before a name above them is taken to have nothing below it.
const MAX_HIDDEN: usize = 1000;

impl Kubernetes {
    /// Looks the owners of an address up, and writes their names where there is an answer to write to.
    pub(super) fn pointers(&self, asked: &Asked<'_>, address: IpAddr, answer: Option<&mut Answer<'_, '_>>) -> Found {
        match address {
            IpAddr::V4(address) => self.pointers_of(asked, address, answer),
            IpAddr::V6(address) => self.pointers_of(asked, address, answer),
        }
    }

    fn pointers_of<A: Family>(&self, asked: &Asked<'_>, address: A, answer: Option<&mut Answer<'_, '_>>) -> Found {
        let mut put = match answer {
            Some(answer) => Put { plugin: self, asked, answer },
            None if self.has_pointer(address) => return Found::Nothing,
            None => return Found::Missing,
        };
        let store = self.cluster.store();
        // A service's own address hides the endpoints that have it too.
        let own = store.owners_of(address, |service| {
            if !self.has_own(service, address) {
                return ControlFlow::Continue(());
            }
            put.pointer(&[], service);
            ControlFlow::Break(())
        });
        if own.is_break() {
            return Found::Data;
        }
        let mut found = Found::Missing;
        let _ = store.owners_of(address, |service| {
            for (at, slice) in service.slices().iter().enumerate().filter(|_| self.shows_pointers(service)) {
                slice.labels_of(address, |label| {
                    found = Found::Data;
                    let mut repeated = false;
                    for earlier in &service.slices()[..if service.overlaps { at } else { 0 }] {
                        earlier.labels_of(address, |other| repeated |= other == label);
                    }
                    if !repeated {
                        put.pointer(label, service);
                    }
                });
            }
            ControlFlow::<()>::Continue(())
        });
        if found == Found::Data && put.answer.count(Section::Answer) == 0 && !put.answer.is_truncated() {
            return Found::Nothing;
        }
        found
    }

    fn has_pointer<A: Family>(&self, address: A) -> bool {
        let has = |service: &Service| {
            self.has_own(service, address)
                || self.shows_pointers(service)
                    && service.slices().iter().any(|slice| slice.endpoints::<A>().contains(address))
        };
        let visit = |service: &Service| if has(service) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        self.cluster.store().owners_of(address, visit).is_break()
    }

    /// Whether there are PTR records below a reverse name.
    pub(super) fn has_pointer_in(&self, network: Network) -> bool {
        match network {
            Network::V4(first, last) => self.has_pointer_between(first, last),
            Network::V6(first, last) => self.has_pointer_between(first, last),
        }
    }

    fn has_pointer_between<A: Family>(&self, first: A, last: A) -> bool {
        let store = self.cluster.store();
        let shown = |service: &Service| match self.shows_pointers(service) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let mut hidden = 0;
        A::index(store).any_between(first, last, |owner| {
            hidden += 1;
            hidden <= MAX_HIDDEN && store.services.with_fingerprint(owner, shown).is_break()
        })
    }

    pub(super) fn has_own<A: Family>(&self, service: &Service, address: A) -> bool {
        service.kind == Kind::Cluster && service.addresses().contains(&address) && self.shows_pointers(service)
    }

    /// `namespaces` hides PTR records; `namespace_labels` and a missing Namespace do not (CoreDNS).
    pub(super) fn shows_pointers(&self, service: &Service) -> bool {
        self.namespaces.is_empty() || self.exposes(&service.namespace)
    }
}

struct Put<'a, 'q, 'o> {
    plugin: &'a Kubernetes,
    asked: &'a Asked<'a>,
    answer: &'a mut Answer<'q, 'o>,
}

impl Put<'_, '_, '_> {
    /// Writes the PTR record of a service, or of its endpoint with a label (in wire form). A name that would be too long
    /// is left out.
    fn pointer(&mut self, label: &[u8], service: &Service) {
        let rdata: [&[u8]; 4] = [label, &service.key, SVC, self.plugin.primary.wire()];
        if rdata.iter().map(|part| part.len()).sum::<usize>() <= MAX_NAME {
            self.answer.record(Section::Answer, Owner::Question, RecordType::PTR, self.asked.ttl, &rdata);
        }
    }
}
