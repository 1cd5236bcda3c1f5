//! A zone as records: taken from a transfer, handed out by one.

use super::{MasterZone, RRset};
use crate::wire::{CLASS_IN, Name, RecordType, ResourceRecord};
use std::collections::HashMap;

impl MasterZone {
    /// A zone from its records, as a transfer brings them. Records outside the zone are left out.
    ///
    /// # Errors
    /// There is not one SOA at the zone's name, or a name that is none.
    pub fn from_records(origin: &Name, records: impl Iterator<Item = ResourceRecord>) -> Result<MasterZone, String> {
        let mut zone = MasterZone { origin: origin.clone(), nodes: HashMap::new(), serial: 0, outside: 0 };
        for mut record in records {
            let owner = Name::from_wire(&record.owner).ok_or("an owner is no name")?;
            if !owner.is_within(origin) || record.class != CLASS_IN {
                zone.outside += 1;
                continue;
            }
            for name in record.names() {
                record.rdata[name].make_ascii_lowercase();
            }
            let node = zone.nodes.entry(owner).or_default();
            match node.iter_mut().find(|set| set.rtype == record.rtype) {
                Some(set) => {
                    set.ttl = set.ttl.min(record.ttl);
                    set.rdata.push(record.rdata);
                }
                None => node.push(RRset { rtype: record.rtype, ttl: record.ttl, rdata: vec![record.rdata] }),
            }
        }
        for set in zone.nodes.values_mut().flatten() {
            set.rdata.sort_unstable();
            set.rdata.dedup();
        }
        zone.finish()?;
        Ok(zone)
    }

    /// All records, SOA first.
    pub fn records(&self) -> Vec<ResourceRecord> {
        let mut records: Vec<_> = self.soa().into_iter().collect();
        for (owner, node) in &self.nodes {
            records.extend(node.iter().filter(|set| set.rtype != RecordType::SOA).flat_map(|set| of(owner, set)));
        }
        records
    }

    /// The SOA record.
    pub fn soa(&self) -> Option<ResourceRecord> {
        of(&self.origin, self.rrset(self.origin.wire(), RecordType::SOA)?).next()
    }

    /// Seconds between looks at the primary, between looks that fail, and until the zone is not answered from any more
    /// (RFC 1035 section 3.3.13).
    pub fn timers(&self) -> [u32; 3] {
        let soa = self.rrset(self.origin.wire(), RecordType::SOA);
        let numbers = soa.and_then(|soa| soa.rdata[0].last_chunk::<16>());
        numbers.map_or([0; 3], |octets| {
            [0, 4, 8].map(|at| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]))
        })
    }

    /// Takes the serial from the SOA, and makes every name between an owner and the apex an owner.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let soa = self.rrset(self.origin.wire(), RecordType::SOA);
        let soa = soa.filter(|soa| soa.rdata.len() == 1).ok_or_else(|| format!("no SOA for {}", self.origin))?;
        // Behind the SOA's two names, five words of four octets: the serial is the first.
        let serial = soa.rdata[0].last_chunk::<20>().and_then(|octets| octets.first_chunk());
        self.serial = u32::from_be_bytes(*serial.ok_or("the SOA is too short")?);
        self.add_empty_non_terminals();
        Ok(())
    }
}

/// The records of a set.
fn of<'s>(owner: &'s Name, set: &'s RRset) -> impl Iterator<Item = ResourceRecord> + 's {
    set.rdata.iter().map(|rdata| ResourceRecord {
        owner: owner.wire().to_vec(),
        rtype: set.rtype,
        class: CLASS_IN,
        ttl: set.ttl,
        rdata: rdata.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::master;

    const ZONE: &str = "@ 60 SOA Ns host 7 300 60 900 30\n@ NS ns\nns A 192.0.2.1\nns A 192.0.2.2\n*.a.b MX 5 mail\n";

    fn zone() -> MasterZone {
        master::tests::zone(ZONE).unwrap()
    }

    #[test]
    fn a_zone_comes_back_from_its_records() {
        let zone = zone();
        let mut records = zone.records();
        assert_eq!((records.len(), records[0].rtype), (5, RecordType::SOA));
        // Twice, in other case, and a stranger.
        records.push(ResourceRecord { owner: b"\x02NS\x07EXAMPLE\x04test\x00".to_vec(), ..records[2].clone() });
        records.push(ResourceRecord { owner: b"\x05other\x00".to_vec(), ..records[2].clone() });
        let again = MasterZone::from_records(zone.origin(), records.into_iter()).unwrap();
        assert_eq!((again.serial(), again.timers(), again.outside()), (7, [300, 60, 900], 1));
        let nodes = again.nodes.len();
        assert_eq!(nodes, zone.nodes.len(), "empty non-terminals too");
    }

    #[test]
    fn a_zone_needs_one_soa() {
        let records = zone().records();
        let origin = Name::from_text("example.test").unwrap();
        let none = MasterZone::from_records(&origin, records[1..].iter().cloned());
        assert_eq!(none.err().as_deref(), Some("no SOA for example.test."));
        let mut two = records.clone();
        two.push(records[0].clone());
        assert!(MasterZone::from_records(&origin, two.clone().into_iter()).is_ok(), "the same twice is one");
        two[0].rdata.push(1);
        assert!(MasterZone::from_records(&origin, two.into_iter()).is_err());
    }
}
