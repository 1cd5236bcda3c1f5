//! The zone's own names: its apex, and the name server below `APEX`; and the zone as a whole.

use super::External;
use crate::plugin::{ServiceFound, ZoneHolder};
use crate::wire::{Answer, CLASS_IN, LowerName, MAX_NAME, Name, Owner, RecordType, ResourceRecord, Section};
use crate::zone::Soa;
use std::net::IpAddr;

/// The label of the name server below `APEX`, in wire form.
const NAME_SERVER: &[u8] = b"\x03ns1";
/// The label of the mailbox beside it.
const MAILBOX: &[u8] = b"\x0ahostmaster";
/// Octets of both labels at most.
const ROOM: usize = 128;
/// Seconds, as CoreDNS has them.
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86_400;

/// A name that is the zone's own, not a service's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Own {
    Apex,
    /// `APEX`, below which the name server is.
    Above,
    NameServer,
    /// Below `APEX`, but nothing.
    Missing,
}

impl External {
    /// What a name is of the zone's own, which starts at its label `apex`.
    pub(super) fn own(&self, name: &LowerName<'_>, apex: usize) -> Option<Own> {
        let is_below = apex > 0 && name.label(apex - 1) == &self.apex[1..];
        match apex {
            0 => Some(Own::Apex),
            1 if is_below => Some(Own::Above),
            2 if is_below && name.label(0) == &NAME_SERVER[1..] => Some(Own::NameServer),
            _ => is_below.then_some(Own::Missing),
        }
    }

    /// Writes the SOA record of the zone that starts at a label of the question.
    pub(super) fn write_soa(&self, soa: Soa, section: Section, apex: usize, answer: &mut Answer<'_, '_>) {
        let (mut primary, mut mailbox) = ([0; ROOM], [0; ROOM]);
        let apex = answer.question_label(apex);
        soa.write_as(answer, section, apex, self.below(NAME_SERVER, &mut primary), self.below(MAILBOX, &mut mailbox));
    }

    /// Writes the NS record at the apex, and the addresses of the name server.
    pub(super) fn write_name_server(&self, ttl: u32, apex: usize, answer: &mut Answer<'_, '_>) {
        let mut room = [0; ROOM];
        let name = self.below(NAME_SERVER, &mut room);
        let apex = answer.question_label(apex);
        let zone = (0xc000 | apex).to_be_bytes();
        answer.record(Section::Answer, Owner::Question, RecordType::NS, ttl, &[name, &zone]);
        let Some(services) = self.services.get() else { return };
        services.name_servers(self.headless, &mut |address| {
            write(answer, Section::Additional, Owner::Below(name, apex), ttl, address);
        });
    }

    /// Writes the addresses of one family of the name server.
    pub(super) fn write_addresses(&self, qtype: RecordType, ttl: u32, answer: &mut Answer<'_, '_>) -> ServiceFound {
        let Some(services) = self.services.get() else { return ServiceFound::Nothing };
        let mut found = ServiceFound::Nothing;
        services.name_servers(self.headless, &mut |address| {
            if address.is_ipv4() == (qtype == RecordType::A) {
                found = ServiceFound::Data;
                write(answer, Section::Answer, Owner::Question, ttl, address);
            }
        });
        found
    }

    /// A label below `APEX`, in wire form.
    fn below<'r>(&self, label: &[u8], room: &'r mut [u8; ROOM]) -> &'r [u8] {
        let len = label.len() + self.apex.len();
        room[..label.len()].copy_from_slice(label);
        room[label.len()..len].copy_from_slice(&self.apex);
        &room[..len]
    }
}

fn write(answer: &mut Answer<'_, '_>, section: Section, owner: Owner<'_>, ttl: u32, address: IpAddr) {
    match address {
        IpAddr::V4(address) => answer.a(section, owner, ttl, address),
        IpAddr::V6(address) => answer.aaaa(section, owner, ttl, address),
    };
}

impl ZoneHolder for External {
    fn zones(&self) -> Vec<Name> {
        self.zones.iter().filter(|(_, zone)| !zone.is_reverse).map(|(name, _)| name.clone()).collect()
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        let services = self.services.get().filter(|services| services.is_synced())?;
        let is_held = self.zones.iter().any(|(name, held)| name == zone && !held.is_reverse);
        is_held.then(|| services.serial())
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        let services = self.services.get()?;
        services.hand_out();
        let below = |label: &[u8]| [label, &self.apex, zone.wire()].concat();
        let (server, mailbox) = (below(NAME_SERVER), below(MAILBOX));
        if server.len().max(mailbox.len()) > MAX_NAME {
            return None;
        }
        let record = |owner: &[u8], rtype, rdata| {
            let owner = owner.to_vec();
            ResourceRecord { owner, rtype, class: CLASS_IN, ttl: self.ttl, rdata }
        };
        let numbers = [services.serial(), REFRESH, RETRY, EXPIRE, self.ttl].map(u32::to_be_bytes).concat();
        let mut records = vec![
            record(zone.wire(), RecordType::SOA, [&server[..], &mailbox, &numbers].concat()),
            record(zone.wire(), RecordType::NS, server.clone()),
        ];
        services.name_servers(self.headless, &mut |address| {
            records.push(match address {
                IpAddr::V4(address) => record(&server, RecordType::A, address.octets().to_vec()),
                IpAddr::V6(address) => record(&server, RecordType::AAAA, address.octets().to_vec()),
            });
        });
        records.extend(services.records(zone, self.ttl, self.headless));
        Some(records)
    }
}
