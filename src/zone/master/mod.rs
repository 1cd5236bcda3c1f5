//! Zones from master files (RFC 1035 section 5), and the answers an authoritative server gives from them.
//!
//! The reader is our own: an operator's error needs its file and line, and hickory's parser gives neither, nor DNAME.

mod lookup;
mod rdata;
mod reader;
mod records;
#[cfg(test)]
mod tests;
mod words;

pub use lookup::Found;
pub use reader::read;

use crate::wire::{Name, RecordType};
use std::collections::HashMap;

/// All records of one owner and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RRset {
    /// The type.
    pub rtype: RecordType,
    /// Seconds to live: the smallest of the records' (RFC 2181 section 5.2).
    pub ttl: u32,
    /// RDATA of each record, names whole and lower-case; at least one, none twice.
    pub rdata: Vec<Vec<u8>>,
}

/// One zone: every owner in it, empty non-terminals too.
#[derive(Debug)]
pub struct MasterZone {
    origin: Name,
    /// The RRsets of each owner; none for an empty non-terminal (RFC 4592 section 2.2.2).
    nodes: HashMap<Name, Vec<RRset>>,
    serial: u32,
    /// Records of the file that are not within the zone, which are left out.
    outside: usize,
}

impl MasterZone {
    /// The zone's name.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The SOA's serial.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many records of the file were left out because they are not within the zone.
    pub fn outside(&self) -> usize {
        self.outside
    }

    /// The RRset of an owner, by the owner's lower-case wire form.
    fn rrset(&self, owner: &[u8], rtype: RecordType) -> Option<&RRset> {
        find(self.nodes.get(owner)?, rtype)
    }
}

/// The RDATA of a type from the text of a master file (RFC 1035 section 5), in which every name is absolute.
///
/// # Errors
/// What was expected.
pub fn rdata(rtype: RecordType, text: &str) -> Result<Vec<u8>, String> {
    let entries = words::entries(text).map_err(|(_, why)| why)?;
    rdata::read(rtype, entries.first().map_or(&[][..], |entry| &entry.words), &Name::root())
}

fn find(node: &[RRset], rtype: RecordType) -> Option<&RRset> {
    node.iter().find(|set| set.rtype == rtype)
}

/// The name without its first label.
fn parent(wire: &[u8]) -> &[u8] {
    wire.split_first().and_then(|(len, rest)| rest.get(usize::from(*len)..)).unwrap_or_default()
}
