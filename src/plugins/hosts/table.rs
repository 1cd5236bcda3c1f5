//! The lines of a hosts file as tables.

use crate::wire::{LowerName, MAX_NAME, Name};
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use std::net::IpAddr;

/// Names to addresses and addresses to names.
#[derive(Default)]
pub(super) struct Table {
    names: HashMap<Name, Vec<IpAddr>, RandomState>,
    owners: HashMap<IpAddr, Vec<Name>, RandomState>,
    wildcards: bool,
}

impl Table {
    /// Reads texts in the form of hosts(5). What is no line of an address and names is left out, and so is a name
    /// outside the zones.
    pub(super) fn read(texts: &[&str], zones: &[Name], reverse: bool) -> Table {
        let mut table = Table::default();
        for line in texts.iter().flat_map(|text| text.lines()) {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(address) else { continue };
            for name in words.filter_map(|word| Name::from_text(word).ok()) {
                if zones.iter().any(|zone| name.is_within(zone)) {
                    table.add(address, name, reverse);
                }
            }
        }
        table
    }

    fn add(&mut self, address: IpAddr, name: Name, reverse: bool) {
        let is_wildcard = name.wire().starts_with(b"\x01*");
        self.wildcards |= is_wildcard;
        // An address belongs to no name that a wildcard stands for.
        if reverse && !is_wildcard {
            let owners = self.owners.entry(address).or_default();
            if !owners.contains(&name) {
                owners.push(name.clone());
            }
        }
        let addresses = self.names.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a name, or else of the wildcard that stands for its first label.
    pub(super) fn addresses(&self, name: &LowerName<'_>) -> Option<&[IpAddr]> {
        let found = self.names.get(name.wire()).or_else(|| self.wildcard(name));
        found.map(Vec::as_slice)
    }

    fn wildcard(&self, name: &LowerName<'_>) -> Option<&Vec<IpAddr>> {
        if !self.wildcards || name.label_count() == 0 {
            return None;
        }
        let parent = name.suffix(name.label_count() - 1);
        let mut wildcard = [0; MAX_NAME + 2];
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..2 + parent.len()].copy_from_slice(parent);
        self.names.get(&wildcard[..2 + parent.len()])
    }

    /// The names of an address.
    pub(super) fn owners(&self, address: &IpAddr) -> Option<&[Name]> {
        self.owners.get(address).map(Vec::as_slice)
    }

    /// How many addresses of names and names of addresses there are.
    pub(super) fn entries(&self) -> usize {
        self.names.values().map(Vec::len).sum::<usize>() + self.owners.values().map(Vec::len).sum::<usize>()
    }
}

/// Whether a line that starts with this word, followed by so many names, says anything.
pub(super) fn is_entry(first: &str, names: usize) -> bool {
    address(first).is_some() && names > 0
}

/// An address, the interface behind `%` dropped. IPv4 in IPv6's clothes is IPv4.
fn address(word: &str) -> Option<IpAddr> {
    let address: IpAddr = word.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}
