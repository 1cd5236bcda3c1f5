//! Which records of a reply its question leads to (RFC 5452 section 6, RFC 2181 section 5.4.1).
//!
//! Whoever can make an upstream answer one question must not come by a place in the answer to another, so what is
//! stored is the question's own: in the answer section the name asked and what aliases lead to, in the authority
//! section the zones above these, in the additional section the hosts that the others name.

use crate::wire::{HEADER, RecordType, ReplyView, Section};

/// A pointer to the question's name.
const QUESTION: &[u8] = &[0xc0, HEADER as u8];
/// Names that one answer may lead to.
const MOST_NAMES: usize = 32;
/// Octets of the longest name (RFC 1035 section 2.3.4), and pointers that one may have.
const MAX_NAME: usize = 255;
const MOST_POINTERS: usize = 64;

/// How much of a reply may be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    Whole,
    /// As far as here; so many records of the additional section stand before it.
    Up {
        to: usize,
        additional: u16,
    },
    Nothing,
}

/// How much of a reply its question leads to.
pub(super) fn extent(view: &ReplyView<'_>) -> Extent {
    let octets = view.octets();
    if is_about_one_name(view) {
        return Extent::Whole;
    }
    let Some(names) = reached(view) else { return Extent::Nothing };
    let mut additional = 0;
    for record in view.records() {
        let is_fitting = match (record.section, record.rtype) {
            // A signature proves itself, and so does what says that there is nothing between two names.
            (Section::Answer, RecordType::DNAME | RecordType::RRSIG) | (Section::Authority, _) => {
                is_denial(record.rtype) || name_at(octets, record.start).is_some_and(|owner| names.are_below(&owner))
            }
            (Section::Answer, _) => names.have(octets, record.start),
            (_, RecordType::OPT) => true,
            (_, _) => names.have(octets, record.start) || is_named(view, octets, record.start),
        };
        match record.section {
            _ if !is_fitting && record.section != Section::Additional => return Extent::Nothing,
            Section::Additional if !is_fitting => return Extent::Up { to: record.start, additional },
            Section::Additional => additional += 1,
            _ => {}
        }
    }
    Extent::Whole
}

/// Whether it is answers of the name asked alone, which it repeats by pointers, and none leads to another name: as nearly
/// all are.
fn is_about_one_name(view: &ReplyView<'_>) -> bool {
    !view.question().is_empty()
        && view.records().all(|record| {
            record.section == Section::Answer
                && record.rtype != RecordType::CNAME
                && view.octets()[record.start..].starts_with(QUESTION)
        })
}

fn is_denial(rtype: RecordType) -> bool {
    matches!(rtype.0, 47 | 50) || rtype == RecordType::RRSIG
}

/// The name asked, and those that aliases lead to.
struct Names(Vec<Vec<u8>>);

impl Names {
    fn have(&self, octets: &[u8], at: usize) -> bool {
        // Nearly every owner is a pointer to the question.
        octets[at..].starts_with(QUESTION) || name_at(octets, at).is_some_and(|name| self.0.contains(&name))
    }

    /// Whether one of them is the zone, or below it.
    fn are_below(&self, zone: &[u8]) -> bool {
        self.0.iter().any(|name| is_within(name, zone))
    }
}

/// `None` where the answer leads nowhere that could be followed.
fn reached(view: &ReplyView<'_>) -> Option<Names> {
    let octets = view.octets();
    let mut names = Names(vec![name_at(octets, HEADER)?]);
    let answers = || view.records().take_while(|record| record.section == Section::Answer);
    // In whatever order the aliases stand.
    loop {
        let before = names.0.len();
        for alias in answers().filter(|record| record.rtype == RecordType::CNAME) {
            let target = name_at(octets, alias.rdata.start)?;
            if names.have(octets, alias.start) && !names.0.contains(&target) {
                names.0.push(target);
            }
        }
        match names.0.len() {
            MOST_NAMES.. => return None,
            len if len == before => return Some(names),
            _ => {}
        }
    }
}

/// Whether a record before the additional section names the host at `at`.
fn is_named(view: &ReplyView<'_>, octets: &[u8], at: usize) -> bool {
    let Some(host) = name_at(octets, at) else { return false };
    let mut before = view.records().take_while(|record| record.section != Section::Additional);
    before.any(|record| {
        let skipped = match record.rtype {
            RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => 0,
            RecordType::MX => 2,
            RecordType::SRV => 6,
            // SVCB and HTTPS (RFC 9460 section 2.2).
            RecordType(64 | 65) => 2,
            _ => return false,
        };
        name_at(octets, record.rdata.start + skipped).is_some_and(|name| name == host)
    })
}

/// Whether a name in lower-case wire form is a zone's or below it.
fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let Some(offset) = name.len().checked_sub(zone.len()) else { return false };
    let mut at = 0;
    while at < offset {
        at += 1 + usize::from(name[at]);
    }
    at == offset && name[offset..] == *zone
}

/// The name at `at` in lower-case wire form, pointers followed.
fn name_at(octets: &[u8], mut at: usize) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(32);
    let mut pointers = 0;
    loop {
        match *octets.get(at)? {
            0 => {
                name.push(0);
                return (name.len() <= MAX_NAME).then_some(name);
            }
            length @ 1..=63 => {
                let label = octets.get(at..=at + usize::from(length))?;
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                at += label.len();
                if name.len() > MAX_NAME {
                    return None;
                }
            }
            high @ 0xc0.. => {
                at = usize::from(high & 0x3f) << 8 | usize::from(*octets.get(at + 1)?);
                pointers += 1;
                if pointers > MOST_POINTERS {
                    return None;
                }
            }
            _ => return None,
        }
    }
}
