//! A zone's records as messages.

use crate::plugin::{Failure, Following, Outcome, Reply, Request};
use crate::wire::{Message, RecordType, ResourceRecord, flags, whole_name};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Octets of records, not compressed, that a message gets: what it has beside them fits a message in any case.
const FULL: usize = 60_000;
/// Octets of a record beside its names and its data.
const FIXED: usize = 10;

/// The serial in the SOA record that an IXFR query carries (RFC 1995 section 3).
pub(super) fn client_serial(packet: &[u8]) -> Option<u32> {
    let message = Message::parse(packet)?;
    let soa = message.authorities.iter().find(|record| record.rtype == RecordType::SOA)?;
    let mut at = 0;
    whole_name(&soa.rdata, &mut at)?;
    whole_name(&soa.rdata, &mut at)?;
    soa.rdata.get(at..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// The SOA record alone, for a client that knows the rest or has to come again over TCP (RFC 1995 section 2).
pub(super) fn current(request: &Request, soa: Option<ResourceRecord>) -> Outcome {
    let Some(soa) = soa else { return Outcome::Failed(Failure::servfail("the zone has no SOA record")) };
    let template = request.answer();
    request.reply(&Message { flags: template.flags | flags::AA, answers: vec![soa], ..template })
}

/// The whole zone, `records` with the SOA record behind them again.
pub(super) fn reply(request: &Request, mut records: Vec<ResourceRecord>, place: OwnedSemaphorePermit) -> Outcome {
    let Some(soa) = records.first().cloned() else {
        return Outcome::Failed(Failure::servfail("the zone has no SOA record"));
    };
    let template = request.answer();
    records.push(soa);
    tracing::info!(
        target: "plugin/transfer",
        "Outgoing transfer of {} records of zone {} to {}", records.len(), request.name, request.client
    );
    let mut messages = Vec::new();
    let mut message = Message { flags: template.flags | flags::AA, ..template };
    let mut octets = 0;
    for record in records {
        let more = record.owner.len() + FIXED + record.rdata.len();
        if octets > 0 && octets + more > FULL {
            messages.push(message.to_octets(usize::from(u16::MAX)));
            message.answers.clear();
            octets = 0;
        }
        octets += more;
        message.answers.push(record);
    }
    messages.push(message.to_octets(usize::from(u16::MAX)));
    let first = messages.remove(0);
    let more = (!messages.is_empty()).then(|| Arc::new(Following::new(messages, place)));
    Outcome::Reply(Reply { more, ..Reply::new(first) })
}
