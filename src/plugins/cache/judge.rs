//! What may be stored, in which class, for how long.

use super::options::Options;
use crate::wire::{Name, Query, Rcode, RecordType, ReplyView};

/// The TTL of a reply that says nothing about how long it holds, in seconds.
const UNTOLD: u32 = 5;

/// What a reply is to a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Data, or NOERROR with neither data nor SOA.
    Success,
    /// NXDOMAIN and NODATA with the SOA that RFC 2308 asks for.
    Denial,
    /// SERVFAIL and NOTIMP, written by an upstream.
    Failure,
    /// Never stored.
    Other,
}

/// What a reply is, for this query, at this time in seconds since the Unix epoch.
pub(super) fn kind(query: &Query<'_>, reply: &ReplyView<'_>, now: u64) -> Kind {
    let is_transfer = matches!(query.qtype, RecordType::AXFR | RecordType::IXFR);
    if reply.is_truncated() || is_transfer || query.opcode() != 0 {
        return Kind::Other;
    }
    let (soa, answers) = (reply.has_authority_soa(), reply.count(crate::wire::Section::Answer));
    match reply.rcode() {
        Rcode::SERVFAIL | Rcode::NOTIMP => Kind::Failure,
        _ if query.dnssec_ok() && has_expired_signature(reply, now) => Kind::Other,
        Rcode::NOERROR if reply.reaches(query.qtype) => Kind::Success,
        Rcode::NOERROR | Rcode::NXDOMAIN if soa => Kind::Denial,
        Rcode::NOERROR if answers == 0 => Kind::Success,
        // A CNAME into the void, an NXDOMAIN of unknown length, REFUSED and the like.
        _ => Kind::Other,
    }
}

/// Whether a signature is outside its time (RFC 4034 section 3.1.5).
fn has_expired_signature(reply: &ReplyView<'_>, now: u64) -> bool {
    let now = now as u32;
    reply.records().filter(|record| record.rtype == RecordType::RRSIG).any(|record| {
        let Some(times) = reply.octets()[record.rdata].get(8..16) else { return true };
        let time = |at: usize| u32::from_be_bytes([times[at], times[at + 1], times[at + 2], times[at + 3]]);
        // Serial number arithmetic: differences count, not values.
        (time(0).wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(time(4)) as i32) < 0
    })
}

/// The one TTL that all records of the reply get, in seconds.
pub(super) fn ttl(kind: Kind, reply: &ReplyView<'_>, options: &Options) -> u32 {
    let silent = reply.count(crate::wire::Section::Answer) == 0 && !reply.has_authority_soa();
    let lowest = reply.lowest_ttl().filter(|_| !silent).unwrap_or(UNTOLD);
    match kind {
        Kind::Success => options.success.ttl.hold(lowest),
        Kind::Denial => options.denial.ttl.hold(lowest),
        Kind::Failure => options.servfail,
        Kind::Other => options.success.ttl.hold(UNTOLD),
    }
}

/// Whether a reply of this kind to this name is to be stored.
pub(super) fn is_wanted(kind: Kind, query: &Query<'_>, options: &Options) -> bool {
    let disabled = |zones: &[Name]| zones.iter().any(|zone| query.name.is_within(zone));
    match kind {
        Kind::Success => !disabled(&options.no_success),
        Kind::Denial | Kind::Failure => !disabled(&options.no_denial),
        Kind::Other => false,
    }
}
