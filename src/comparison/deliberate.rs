//! Where dunlin answers otherwise than CoreDNS on purpose: CoreDNS contradicts the DNS standards there.
//!
//! A reason holds only where both answers are as it says, so that a wrong answer of ours never hides behind one. The
//! recorded answers of `tests/data/conformance` try all of this.

use crate::wire::{Message, RecordType, ResourceRecord, flags};

const NODATA: &str = "a name that exists has no records of this type: NODATA (RFC 2308 section 2.2, RFC 8020)";
const NXDOMAIN: &str = "a name that does not exist has no SOA either: NXDOMAIN (RFC 2308 section 2.1)";
const APEX: &str = "a zone has its name server and its address (RFC 1034 section 4.2.1)";
const SERVICE: &str =
    "a zone's name server is the Service in front of the server that answers, or ns.dns where there is none";
const CASE: &str = "names are compared without case (RFC 4343)";
const POD: &str = "labels left of a pod's name are no name, and a pod has no ports";
const LONG: &str = "a query may be longer than 512 octets (RFC 6891)";
const RELAYED: &str = "records of other zones are those that were relayed at that moment";

/// Octets of a query that CoreDNS still reads over UDP.
const LONGEST_QUERY: usize = 512;
/// FORMERR.
const FORMERR: u16 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Data,
    NoData,
    NxDomain,
    Other(u16),
}

fn outcome(message: &Message) -> Outcome {
    match (message.rcode().0, message.answers.is_empty()) {
        (0, true) => Outcome::NoData,
        (0, false) => Outcome::Data,
        (3, _) => Outcome::NxDomain,
        (other, _) => Outcome::Other(other),
    }
}

/// Why two answers that differ may.
pub(super) fn reason(query: &[u8], theirs: &Message, ours: &Message) -> Option<&'static str> {
    let qtype = ours.question.qtype;
    let name = labels(&ours.question.name);
    let in_authority = |message: &Message| message.flags & flags::AA != 0;
    let left = left_of_zone(theirs, ours, &name);
    let left: Option<Vec<&[u8]>> = left.map(|count| name[..count].iter().map(|label| &label[..]).collect());
    let is_mixed = ours.question.name.iter().any(u8::is_ascii_uppercase);
    match (outcome(theirs), outcome(ours)) {
        (Outcome::Other(FORMERR), Outcome::Data | Outcome::NoData | Outcome::NxDomain)
            if query.len() > LONGEST_QUERY =>
        {
            Some(LONG)
        }
        (Outcome::Data, Outcome::Data) if !in_authority(theirs) && !in_authority(ours) => Some(RELAYED),
        (Outcome::Data, Outcome::Data)
            if is_behind_service(theirs) && is_name_server(ours) && qtype == RecordType::NS =>
        {
            Some(SERVICE)
        }
        (Outcome::Data, Outcome::Data) if alias(theirs).is_some() && alias(theirs) == alias(ours) => Some(RELAYED),
        (Outcome::NxDomain, Outcome::NoData) if left.as_deref().is_some_and(|left| exists(left, &name)) => Some(NODATA),
        (Outcome::NoData, Outcome::NxDomain) if qtype == RecordType::SOA => Some(NXDOMAIN),
        (Outcome::NoData | Outcome::NxDomain, Outcome::Data) if is_name_server(ours) => {
            Some(if is_mixed { CASE } else { APEX })
        }
        (Outcome::Data | Outcome::NoData, Outcome::NxDomain) => {
            let left = left?;
            (left.len() > 3 && left.last() == Some(&&b"pod"[..])).then_some(POD)
        }
        (Outcome::Data, Outcome::NoData) if qtype == RecordType::SRV => {
            let left = left?;
            (left.len() == 3 && left[2] == b"pod").then_some(POD)
        }
        _ => None,
    }
}

/// The labels of a name in lower case.
fn labels(wire: &[u8]) -> Vec<Vec<u8>> {
    let (mut labels, mut rest) = (Vec::new(), wire);
    while let Some((len @ 1..=63, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(usize::from(*len)) else { break };
        labels.push(label.to_ascii_lowercase());
        rest = behind;
    }
    labels
}

/// How many labels stand left of the zone that the SOA of an answer names.
fn left_of_zone(theirs: &Message, ours: &Message, name: &[Vec<u8>]) -> Option<usize> {
    let soa = |message: &&Message| message.authorities.iter().any(|record| record.rtype == RecordType::SOA);
    let message = [ours, theirs].into_iter().find(soa)?;
    let record = message.authorities.iter().find(|record| record.rtype == RecordType::SOA)?;
    let zone = labels(&record.owner);
    name.ends_with(&zone).then(|| name.len() - zone.len())
}

/// Whether a name exists in a cluster's zone without being an object's: what CoreDNS takes for missing.
fn exists(left: &[&[u8]], name: &[Vec<u8>]) -> bool {
    match left {
        _ if name.last().is_some_and(|label| label == b"arpa") => true,
        [] | [b"svc" | b"pod" | b"dns" | b"dns-version"] | [_, b"svc" | b"pod"] | [b"ns", b"dns"] => true,
        [protocol, _, _, b"svc"] => protocol.starts_with(b"_"),
        _ => false,
    }
}

/// Whether an answer is the apex's NS, or the address of the name it gives.
fn is_name_server(message: &Message) -> bool {
    let name = labels(&message.question.name);
    let at_ns = |labels: &[Vec<u8>]| matches!(labels, [ns, dns, ..] if ns == b"ns" && dns == b"dns");
    match message.question.qtype {
        RecordType::NS => message.answers.iter().all(|record| record.target().is_some_and(|t| at_ns(&labels(t)))),
        _ => at_ns(&name),
    }
}

/// Whether the apex's NS are Services, as a server says that is an endpoint of theirs.
fn is_behind_service(message: &Message) -> bool {
    let zone = labels(&message.question.name);
    message.answers.iter().all(|record| {
        let target = record.target().map(labels).unwrap_or_default();
        target.len() == zone.len() + 3 && target[2] == b"svc" && target.ends_with(&zone)
    })
}

/// The CNAME that an ExternalName is: what it leads to is another zone's.
fn alias(message: &Message) -> Option<Vec<u8>> {
    let is_alias = |record: &&ResourceRecord| {
        record.rtype == RecordType::CNAME && record.owner.eq_ignore_ascii_case(&message.question.name)
    };
    message.answers.iter().find(is_alias).and_then(|record| Some(record.target()?.to_ascii_lowercase()))
}
