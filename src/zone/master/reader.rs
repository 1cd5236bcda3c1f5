//! From a master file to a zone.

use super::words::{Entry, Word, entries};
use super::{MasterZone, RRset, parent, rdata};
use crate::wire::{Name, RecordType};
use std::collections::HashMap;
use std::path::Path;

/// `$INCLUDE` within included files: more is a loop.
const MAX_INCLUDES: usize = 7;
/// Where a file gives none.
const DEFAULT_TTL: u32 = 3600;

/// Reads a zone's master file. Relative files of `$INCLUDE` start at the file's folder.
///
/// # Errors
/// The file cannot be read, or is wrong: `FILE:LINE: what is wrong`. There must be one SOA, at the zone's name.
pub fn read(file: &Path, origin: &Name) -> Result<MasterZone, String> {
    let zone = MasterZone { origin: origin.clone(), nodes: HashMap::new(), serial: 0, outside: 0 };
    let mut reader = Reader { zone, owner: None, last_ttl: None, default_ttl: None };
    reader.file(file, origin.clone(), 0)?;
    let mut zone = reader.zone;
    zone.finish().map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(zone)
}

struct Reader {
    zone: MasterZone,
    owner: Option<Name>,
    last_ttl: Option<u32>,
    default_ttl: Option<u32>,
}

impl Reader {
    fn file(&mut self, file: &Path, mut origin: Name, depth: usize) -> Result<(), String> {
        let at = |line: usize, why: String| format!("{}:{line}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
        for entry in entries(&text).map_err(|(line, why)| at(line, why))? {
            let wrong = |why: String| at(entry.line, why);
            let words: Vec<_> = entry.words.iter().map(|word| word.text.as_str()).collect();
            match words.as_slice() {
                ["$ORIGIN", name] => origin = rdata::name(name, &origin).map_err(wrong)?,
                ["$TTL", ttl] => {
                    let seconds = rdata::ttl(ttl).ok_or_else(|| wrong(format!("'{ttl}' is not a time")))?;
                    self.default_ttl = Some(seconds);
                }
                ["$INCLUDE", include, rest @ ..] if rest.len() < 2 => {
                    if depth == MAX_INCLUDES {
                        return Err(wrong(format!("$INCLUDE nests more than {MAX_INCLUDES} deep")));
                    }
                    let origin = rest.first().map_or(Ok(origin.clone()), |name| rdata::name(name, &origin));
                    let include = file.parent().unwrap_or(Path::new("")).join(include);
                    // What an included file does to the owner does not reach behind it (RFC 1035 section 5.1).
                    let owner = self.owner.clone();
                    self.file(&include, origin.map_err(wrong)?, depth + 1).map_err(wrong)?;
                    self.owner = owner;
                }
                [directive, ..] if directive.starts_with('$') => {
                    return Err(wrong(format!(
                        "'{directive}' is not read; expected $ORIGIN NAME, $TTL TIME or $INCLUDE FILE [NAME]"
                    )));
                }
                _ => self.record(&entry, &origin).map_err(wrong)?,
            }
        }
        Ok(())
    }

    fn record(&mut self, entry: &Entry, origin: &Name) -> Result<(), String> {
        let mut words = entry.words.as_slice();
        if !entry.starts_blank
            && let Some((first, rest)) = words.split_first()
        {
            self.owner = Some(rdata::name(&first.text, origin)?);
            words = rest;
        }
        let owner = self.owner.clone().ok_or("the first record has no owner")?;
        let (rtype, ttl, words) = type_of(words)?;
        let rdata = rdata::read(rtype, words, origin)?;
        self.last_ttl = ttl.or(self.last_ttl);
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl).unwrap_or(DEFAULT_TTL);
        if !owner.is_within(&self.zone.origin) {
            self.zone.outside += 1;
            return Ok(());
        }
        if rtype == RecordType::SOA && owner != self.zone.origin {
            return Err(format!("a SOA of {owner} in the zone {}", self.zone.origin));
        }
        self.zone.add(owner, rtype, ttl, rdata)
    }
}

/// Type and TTL at the front of a record's words; the class may stand before or behind the TTL.
fn type_of(mut words: &[Word]) -> Result<(RecordType, Option<u32>, &[Word]), String> {
    let mut ttl = None;
    loop {
        let Some((word, rest)) = words.split_first() else { return Err("the record has no type".to_owned()) };
        words = rest;
        let text = word.text.to_ascii_uppercase();
        match text.as_str() {
            "IN" => {}
            "CH" | "HS" | "CS" => return Err(format!("the class must be IN, not {text}")),
            _ if ttl.is_none() && rdata::ttl(&text).is_some() => ttl = rdata::ttl(&text),
            _ => {
                let rtype = RecordType::from_mnemonic(&text).filter(|rtype| !is_meta(*rtype));
                return Ok((rtype.ok_or_else(|| format!("'{}' is no type of records", word.text))?, ttl, words));
            }
        }
    }
}

/// Types that only questions and messages have (RFC 6895 section 3.1).
fn is_meta(rtype: RecordType) -> bool {
    rtype == RecordType::OPT || rtype.0 == 0 || (128..=255).contains(&rtype.0)
}

impl MasterZone {
    fn add(&mut self, owner: Name, rtype: RecordType, ttl: u32, rdata: Vec<u8>) -> Result<(), String> {
        let node = self.nodes.entry(owner).or_default();
        match node.iter_mut().find(|set| set.rtype == rtype) {
            Some(_) if rtype == RecordType::SOA => return Err("the zone has a SOA already".to_owned()),
            Some(set) => {
                set.ttl = set.ttl.min(ttl);
                if !set.rdata.contains(&rdata) {
                    set.rdata.push(rdata);
                }
            }
            None => node.push(RRset { rtype, ttl, rdata: vec![rdata] }),
        }
        Ok(())
    }

    /// Makes every name between an owner and the apex an owner.
    pub(super) fn add_empty_non_terminals(&mut self) {
        let owners: Vec<Name> = self.nodes.keys().cloned().collect();
        for owner in owners {
            let mut above = parent(owner.wire());
            while above.len() > self.origin.wire().len() && !self.nodes.contains_key(above) {
                let Some(name) = Name::from_wire(above) else { break };
                self.nodes.insert(name, Vec::new());
                above = parent(above);
            }
        }
    }
}
