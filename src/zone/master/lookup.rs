//! A question to a zone (RFC 1034 section 4.3.2, wildcards RFC 4592, DNAME RFC 6672).

use super::{MasterZone, RRset, find, parent};
use crate::wire::{CLASS_IN, MAX_NAME, Message, Name, Rcode, RecordType, ResourceRecord, flags};

/// How far an alias is followed.
const MAX_ALIASES: usize = 8;

/// What the zone had for a question, beside the records it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The message is whole; this is its code.
    Whole(Rcode),
    /// The answer section ends with an alias of this name, which is not in the zone.
    Alias(Name),
}

/// Where a name leads in the zone.
enum Place<'z> {
    /// A node, its own or the wildcard's.
    Node(&'z [RRset]),
    /// Below a zone cut.
    Referral(Name, &'z RRset),
    /// Below a DNAME.
    Redirected(Name, &'z RRset),
    Nowhere,
}

impl MasterZone {
    /// Writes the answer to the question of `message`, whose lower-case name is `name` and within the zone.
    pub fn answer(&self, name: &Name, message: &mut Message) -> Found {
        let qtype = message.question.qtype;
        let (mut name, mut owner) = (name.clone(), message.question.name.clone());
        let mut met = Vec::new();
        message.flags |= flags::AA;
        for _ in 0..=MAX_ALIASES {
            let target = match self.place(&name, qtype) {
                Place::Node(node) => match (find(node, qtype), find(node, RecordType::CNAME)) {
                    (Some(set), _) => return self.positive(&owner, set, message),
                    // A minimal answer to ANY: one RRset (RFC 8482 section 4.1).
                    _ if qtype == RecordType::ANY && !node.is_empty() => {
                        return self.positive(&owner, &node[0], message);
                    }
                    (None, Some(alias)) => {
                        write(&mut message.answers, &owner, alias);
                        Name::from_wire(&alias.rdata[0])
                    }
                    (None, None) => return self.negative(Rcode::NOERROR, message),
                },
                Place::Redirected(from, set) => {
                    write(&mut message.answers, from.wire(), set);
                    let Some(target) = redirect(&name, &from, &set.rdata[0]) else {
                        return whole(Rcode::YXDOMAIN, message);
                    };
                    let alias = RRset { rtype: RecordType::CNAME, ttl: set.ttl, rdata: vec![target.wire().to_vec()] };
                    write(&mut message.answers, &owner, &alias);
                    if qtype == RecordType::CNAME {
                        self.add_servers(message);
                        return whole(Rcode::NOERROR, message);
                    }
                    Some(target)
                }
                Place::Referral(cut, servers) => return self.referral(&cut, servers, message),
                Place::Nowhere => return self.negative(Rcode::NXDOMAIN, message),
            };
            let Some(target) = target else { return whole(Rcode::SERVFAIL, message) };
            if !target.is_within(&self.origin) {
                self.add_servers(message);
                return Found::Alias(target);
            }
            met.push(name);
            if met.contains(&target) {
                break;
            }
            owner = target.wire().to_vec();
            name = target;
        }
        whole(Rcode::SERVFAIL, message)
    }

    /// Walks from the apex down to the name.
    fn place(&self, name: &Name, qtype: RecordType) -> Place<'_> {
        let mut above = vec![name.wire()];
        while let Some(last) = above.last().filter(|last| last.len() > self.origin.wire().len()) {
            above.push(parent(last));
        }
        let mut encloser = self.origin.wire();
        let mut node: &[RRset] = &[];
        for &wire in above.iter().rev() {
            let Some(here) = self.nodes.get(wire) else {
                // The closest encloser's wildcard, or nothing (RFC 4592 section 3.3.1).
                let wildcard = self.nodes.get(&[b"\x01*", encloser].concat()[..]);
                return wildcard.map_or(Place::Nowhere, |node| Place::Node(node));
            };
            let (is_name, is_apex) = (wire == name.wire(), wire == self.origin.wire());
            let owner = || Name::from_wire(wire).unwrap_or_else(Name::root);
            // DS is the parent's to answer (RFC 4035 section 3.1.4.1).
            if let Some(servers) = find(here, RecordType::NS)
                && !is_apex
                && !(is_name && qtype == RecordType::DS)
            {
                return Place::Referral(owner(), servers);
            }
            if let Some(set) = find(here, RecordType::DNAME)
                && !is_name
            {
                return Place::Redirected(owner(), set);
            }
            (encloser, node) = (wire, here);
        }
        Place::Node(node)
    }

    fn positive(&self, owner: &[u8], set: &RRset, message: &mut Message) -> Found {
        write(&mut message.answers, owner, set);
        self.add_addresses(set, message);
        if set.rtype != RecordType::NS {
            self.add_servers(message);
        }
        whole(Rcode::NOERROR, message)
    }

    /// The zone's servers, in the authority section of what it had an answer or an alias for.
    fn add_servers(&self, message: &mut Message) {
        if let Some(servers) = self.rrset(self.origin.wire(), RecordType::NS) {
            write(&mut message.authorities, self.origin.wire(), servers);
        }
    }

    /// NXDOMAIN or NODATA: the SOA, its TTL held to its last field (RFC 2308 section 3).
    fn negative(&self, rcode: Rcode, message: &mut Message) -> Found {
        if let Some(soa) = self.rrset(self.origin.wire(), RecordType::SOA) {
            let minimum = soa.rdata[0].last_chunk().map_or(soa.ttl, |octets| u32::from_be_bytes(*octets));
            let held = RRset { ttl: soa.ttl.min(minimum), ..soa.clone() };
            write(&mut message.authorities, self.origin.wire(), &held);
        }
        whole(rcode, message)
    }

    fn referral(&self, cut: &Name, servers: &RRset, message: &mut Message) -> Found {
        // Behind an alias of ours the answer stays authoritative.
        if message.answers.is_empty() {
            message.flags &= !flags::AA;
        }
        write(&mut message.authorities, cut.wire(), servers);
        if let Some(signer) = self.rrset(cut.wire(), RecordType::DS)
            && message.opt.as_ref().is_some_and(|opt| opt.flags & 0x8000 != 0)
        {
            write(&mut message.authorities, cut.wire(), signer);
        }
        self.add_addresses(servers, message);
        whole(Rcode::NOERROR, message)
    }

    /// The addresses that the zone has for the names in an RRset: glue, and what would be asked next.
    fn add_addresses(&self, set: &RRset, message: &mut Message) {
        if !matches!(set.rtype, RecordType::NS | RecordType::MX | RecordType::SRV) {
            return;
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        for rdata in &set.rdata {
            let start = match set.rtype {
                RecordType::NS => 0,
                RecordType::MX => 2,
                _ => 6,
            };
            let Some(name) = rdata.get(start..) else { continue };
            if names.iter().any(|known| known == name) {
                continue;
            }
            names.push(name.to_vec());
            for rtype in [RecordType::A, RecordType::AAAA] {
                if let Some(addresses) = self.rrset(name, rtype) {
                    write(&mut message.additionals, name, addresses);
                }
            }
        }
    }
}

fn whole(rcode: Rcode, message: &mut Message) -> Found {
    message.set_rcode(rcode);
    Found::Whole(rcode)
}

/// The name with `from` at its end made the DNAME's target; `None` if it becomes too long.
fn redirect(name: &Name, from: &Name, target: &[u8]) -> Option<Name> {
    let front = &name.wire()[..name.wire().len() - from.wire().len()];
    let redirected = [front, target].concat();
    if redirected.len() > MAX_NAME { None } else { Name::from_wire(&redirected) }
}

fn write(section: &mut Vec<ResourceRecord>, owner: &[u8], set: &RRset) {
    let record = |rdata: &Vec<u8>| ResourceRecord {
        owner: owner.to_vec(),
        rtype: set.rtype,
        class: CLASS_IN,
        ttl: set.ttl,
        rdata: rdata.clone(),
    };
    section.extend(set.rdata.iter().map(record));
}
