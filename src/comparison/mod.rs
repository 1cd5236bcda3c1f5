//! Two answers to one question: equal, different on purpose, or different.
//!
//! Equal are the response code, the records of the answer with their TTLs, the SOA in authority but for its serial, the
//! addresses in the additional section, AA, and whether an OPT comes. Order, compression, the OPT's size, and which
//! records are left in a cut answer are no part of an answer. What differs on purpose is in [`deliberate`].

mod deliberate;

use crate::wire::{Message, RecordType, ResourceRecord, flags};
use std::fmt;

/// How the TTLs of answers in authority are held against each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    /// They are the same.
    Exact,
    /// Theirs may be lower: what is left of ours in their cache.
    Remaining,
}

/// What a comparison says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The same.
    Equal,
    /// Not the same, with the reason why ours is right, or why nobody is wrong.
    Deliberate(&'static str),
    /// Not the same: what is.
    Different(String),
}

/// Holds our answer against theirs, where theirs is the server that is to be replaced.
pub fn compare(query: &[u8], theirs: &[u8], ours: &[u8], ttl: Ttl) -> Verdict {
    let (Some(theirs), Some(ours)) = (Message::parse(theirs), Message::parse(ours)) else {
        return Verdict::Different("an answer cannot be read".into());
    };
    match difference(&theirs, &ours, ttl) {
        None => Verdict::Equal,
        Some(difference) => match deliberate::reason(query, &theirs, &ours) {
            Some(reason) => Verdict::Deliberate(reason),
            None => Verdict::Different(difference),
        },
    }
}

/// The first thing that differs.
fn difference(theirs: &Message, ours: &Message, ttl: Ttl) -> Option<String> {
    if theirs.rcode() != ours.rcode() {
        return Some(format!("{}, ours {}", Outcome::of(theirs), Outcome::of(ours)));
    }
    let authority = |message: &Message| message.flags & flags::AA != 0;
    if authority(theirs) != authority(ours) {
        let word = |message| if authority(message) { "in authority" } else { "not in authority" };
        return Some(format!("{}, ours {}", word(theirs), word(ours)));
    }
    if theirs.opt.is_some() != ours.opt.is_some() {
        let word = |message: &Message| if message.opt.is_some() { "with an OPT" } else { "without an OPT" };
        return Some(format!("{}, ours {}", word(theirs), word(ours)));
    }
    // What is relayed comes from the caches of others, whose clocks are their own.
    let ttl = if authority(ours) { Some(ttl) } else { None };
    let cut = [theirs.flags & flags::TC != 0, ours.flags & flags::TC != 0];
    let soa = |record: &&ResourceRecord| record.rtype == RecordType::SOA;
    let address = |record: &&ResourceRecord| matches!(record.rtype, RecordType::A | RecordType::AAAA);
    records("answer", theirs.answers.iter().collect(), ours.answers.iter().collect(), ttl, cut)
        .or_else(|| {
            let of = |message: &'_ Message| message.authorities.iter().filter(soa).cloned().collect::<Vec<_>>();
            let (theirs, ours) = (of(theirs), of(ours));
            records("authority", theirs.iter().collect(), ours.iter().collect(), ttl, cut)
        })
        .or_else(|| {
            let of = |message: &'_ Message| message.additionals.iter().filter(address).cloned().collect::<Vec<_>>();
            let (theirs, ours) = (of(theirs), of(ours));
            records("additional", theirs.iter().collect(), ours.iter().collect(), ttl, cut)
        })
}

/// What only one side has. Of a cut answer any part will do.
fn records(
    section: &str,
    theirs: Vec<&ResourceRecord>,
    mut ours: Vec<&ResourceRecord>,
    ttl: Option<Ttl>,
    [theirs_cut, ours_cut]: [bool; 2],
) -> Option<String> {
    let fits = |theirs: u32, ours: u32| match ttl {
        None => true,
        Some(Ttl::Exact) => theirs == ours,
        Some(Ttl::Remaining) => theirs <= ours,
    };
    for record in theirs {
        let data = data(record);
        let found = ours.iter().position(|other| self::data(other) == data && fits(record.ttl, other.ttl));
        match found {
            Some(at) => drop(ours.swap_remove(at)),
            None if ours_cut => {}
            None => {
                let other = ours.iter().find(|other| self::data(other) == data);
                let why = other.map_or("missing in ours".into(), |other| format!("TTL {} in ours", other.ttl));
                return Some(format!("{section}: {} {why}", Shown(record)));
            }
        }
    }
    let surplus = ours.first().filter(|_| !theirs_cut)?;
    Some(format!("{section}: {} only in ours", Shown(surplus)))
}

/// A record without its TTL, in the form that is compared: names in lower case, no serial.
fn data(record: &ResourceRecord) -> (Vec<u8>, RecordType, u16, Vec<u8>) {
    let mut rdata = record.rdata.clone();
    let names = record.names();
    names.iter().for_each(|range| rdata[range.clone()].make_ascii_lowercase());
    if let (RecordType::SOA, Some(serial)) = (record.rtype, names.last().map(|range| range.end)) {
        rdata.iter_mut().skip(serial).take(4).for_each(|octet| *octet = 0);
    }
    (record.owner.to_ascii_lowercase(), record.rtype, record.class, rdata)
}

/// What an answer amounts to.
struct Outcome<'a>(&'a Message);

impl<'a> Outcome<'a> {
    fn of(message: &'a Message) -> Outcome<'a> {
        Outcome(message)
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = self.0.answers.len();
        match (self.0.flags & 0x0f, records) {
            (0, 0) => f.write_str("NODATA"),
            (0, 1) => f.write_str("1 record"),
            (0, _) => write!(f, "{records} records"),
            _ => write!(f, "{}", self.0.rcode()),
        }
    }
}

/// A record as a person reads it.
struct Shown<'a>(&'a ResourceRecord);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceRecord { owner, rtype, ttl, rdata, .. } = self.0;
        match crate::wire::Name::from_wire(owner) {
            Some(name) => write!(f, "{name} {ttl} {rtype} ")?,
            None => write!(f, "? {ttl} {rtype} ")?,
        }
        match (rtype, &rdata[..]) {
            (&RecordType::A, &[a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            (&RecordType::AAAA, octets) => match <[u8; 16]>::try_from(octets) {
                Ok(octets) => std::net::Ipv6Addr::from(octets).fmt(f),
                Err(_) => f.write_str("?"),
            },
            _ => match (self.0.target().and_then(crate::wire::Name::from_wire), rdata.get(4..6)) {
                (Some(name), Some(port)) if *rtype == RecordType::SRV => {
                    write!(f, "{} {name}", u16::from_be_bytes([port[0], port[1]]))
                }
                (Some(name), _) => name.fmt(f),
                (None, _) => write!(f, "\"{}\"", rdata.escape_ascii()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
