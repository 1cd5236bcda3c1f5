//! NS records: who serves the zone, as far as this process can know.
//!
//! Its own addresses lead to the slices that have them, and those to their services: these are the name servers. Where no
//! slice has one of them it is `ns.dns` in the zone, with the own addresses.

use super::Kubernetes;
use super::answer::{Asked, Found, SVC};
use super::store::{Family, Kind, Service, Slice};
use crate::wire::{Answer, MAX_NAME, Owner, RecordType, Section};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

const NS_DNS: &[u8] = b"\x02ns\x03dns";
/// Services and slices that are told apart; a server is in a handful.
const DISTINCT: usize = 32;

impl Kubernetes {
    /// Answers NS at the apex.
    pub(super) fn name_servers(&self, asked: &Asked<'_>, answer: &mut Answer<'_, '_>) -> Found {
        if self.own_addresses().is_empty() {
            return Found::Nothing;
        }
        let apex = answer.question_label(asked.apex);
        let zone = (0xc000 | apex).to_be_bytes();
        let any = self.each_server(|service, slice| {
            let mut target = |label: &[u8]| {
                let rdata: [&[u8]; 4] = [label, &service.key, SVC, &zone];
                if !asked.has_room(label, service) {
                    return ControlFlow::Continue(());
                }
                match answer.record(Section::Answer, Owner::Question, RecordType::NS, asked.ttl, &rdata) {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            match service.kind {
                Kind::Headless => slice.each_label(target),
                _ => target(&[]),
            }
        });
        if !any {
            answer.record(Section::Answer, Owner::Question, RecordType::NS, asked.ttl, &[NS_DNS, &zone]);
            for address in self.own_addresses() {
                let owner = Owner::Below(NS_DNS, apex);
                match address {
                    IpAddr::V4(it) => answer.a(Section::Additional, owner, asked.ttl, *it),
                    IpAddr::V6(it) => answer.aaaa(Section::Additional, owner, asked.ttl, *it),
                };
            }
            return Found::Data;
        }
        if answer.count(Section::Answer) == 0 && !answer.is_truncated() {
            return Found::Nothing;
        }
        self.each_server(|service, slice| {
            server_glue::<Ipv4Addr>(asked, answer, apex, service, slice)?;
            server_glue::<Ipv6Addr>(asked, answer, apex, service, slice)
        });
        Found::Data
    }

    /// Writes the addresses of one family of all name servers.
    pub(super) fn name_server_addresses<A: Family>(
        &self,
        asked: &Asked<'_>,
        owner: Owner<'_>,
        answer: &mut Answer<'_, '_>,
    ) -> Found {
        let mut found = Found::Nothing;
        let mut put = |address: A| {
            found = Found::Data;
            address.write(answer, Section::Answer, owner, asked.ttl);
        };
        let any = self.each_server(|service, slice| {
            match service.kind {
                Kind::Headless => slice.endpoints::<A>().iter().for_each(&mut put),
                _ => service.addresses::<A>().iter().copied().for_each(&mut put),
            }
            ControlFlow::Continue(())
        });
        if !any {
            self.own_addresses().iter().filter_map(|address| A::from_ip(*address)).for_each(put);
        }
        found
    }

    /// Calls `visit` with the services that have one of our addresses, and the slice that has it: once a service with
    /// cluster IPs, once a slice of a headless one. False if there is none.
    pub(super) fn each_server(&self, mut visit: impl FnMut(&Service, &Slice) -> ControlFlow<()>) -> bool {
        let mut visited = Visited::default();
        for address in self.own_addresses() {
            let _ = match *address {
                IpAddr::V4(address) => self.servers_of(address, &mut visited, &mut visit),
                IpAddr::V6(address) => self.servers_of(address, &mut visited, &mut visit),
            };
        }
        visited.count > 0
    }

    fn servers_of<A: Family>(
        &self,
        address: A,
        visited: &mut Visited,
        visit: &mut impl FnMut(&Service, &Slice) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.cluster.store().owners_of(address, |service| {
            for slice in service.slices().iter().filter(|slice| slice.endpoints::<A>().contains(address)) {
                let identity = match service.kind {
                    Kind::Headless => (&raw const **slice).addr(),
                    Kind::Cluster if service.exists() => (&raw const *service).addr(),
                    _ => continue,
                };
                if visited.is_new(identity) {
                    visit(service, slice)?;
                }
            }
            ControlFlow::Continue(())
        })
    }
}

fn server_glue<A: Family>(
    asked: &Asked<'_>,
    answer: &mut Answer<'_, '_>,
    apex: u16,
    service: &Service,
    slice: &Slice,
) -> ControlFlow<()> {
    let mut put = |label: &[u8], address: A| {
        if !asked.has_room(label, service) {
            return ControlFlow::Continue(());
        }
        let mut owner = [0; MAX_NAME];
        let mut len = 0;
        for part in [label, &service.key, SVC] {
            owner[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        match address.write(answer, Section::Additional, Owner::Below(&owner[..len], apex), asked.ttl) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    match service.kind {
        Kind::Headless => slice.each::<A>(put),
        _ => service.addresses::<A>().iter().try_for_each(|address| put(&[], *address)),
    }
}

/// What has been visited, by where it is in memory.
#[derive(Default)]
struct Visited {
    seen: [usize; DISTINCT],
    count: usize,
}

impl Visited {
    fn is_new(&mut self, identity: usize) -> bool {
        if self.count == DISTINCT || self.seen[..self.count].contains(&identity) {
            return false;
        }
        self.seen[self.count] = identity;
        self.count += 1;
        true
    }
}
