//! The SOA record of a zone that is made, not edited.

use crate::wire::{Answer, Owner, RecordType, Section};

/// Seconds until a secondary asks again.
const REFRESH: u32 = 7200;
/// Seconds until it asks again after a failure.
const RETRY: u32 = 1800;
/// Seconds until it gives up.
const EXPIRE: u32 = 86400;
const PRIMARY: &[u8] = b"\x02ns\x03dns";
const MAILBOX: &[u8] = b"\x0ahostmaster";

/// What of a zone's SOA record varies. The rest is CoreDNS's: `ns.dns` and `hostmaster` in the zone, refresh 7200, retry
/// 1800, expire 86400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The serial number.
    pub serial: u32,
    /// The record's own TTL in seconds.
    pub ttl: u32,
    /// How long a missing name may be remembered, in seconds (RFC 2308 section 4).
    pub minimum: u32,
}

impl Soa {
    /// Writes the record of the zone whose name stands at offset `apex` of the message, spelled as it is there.
    #[inline]
    pub fn write(&self, answer: &mut Answer<'_, '_>, section: Section, apex: u16) -> bool {
        self.write_as(answer, section, apex, PRIMARY, MAILBOX)
    }

    /// The same with the labels of its primary name server and mailbox below the zone, in wire form.
    #[inline]
    pub fn write_as(
        &self,
        answer: &mut Answer<'_, '_>,
        section: Section,
        apex: u16,
        primary: &[u8],
        mailbox: &[u8],
    ) -> bool {
        let zone = (0xc000 | apex).to_be_bytes();
        let numbers = [self.serial, REFRESH, RETRY, EXPIRE, self.minimum].map(u32::to_be_bytes);
        let rdata: [&[u8]; 5] = [primary, &zone, mailbox, &zone, numbers.as_flattened()];
        answer.record(section, Owner::At(apex), RecordType::SOA, self.ttl, &rdata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NameBuffer, Query, Rcode};
    use hickory_proto::op::Message;

    #[test]
    fn the_zone_is_spelled_as_in_the_question() {
        let packet = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04nope\x03Svc\x05LoCal\0\0\x01\0\x01";
        let mut buffer = NameBuffer::default();
        let query = Query::parse(packet, &mut buffer).unwrap();
        let mut out = [0; 512];
        let mut answer = Answer::begin(&query, &mut out, 512);
        let apex = answer.question_label(2);
        assert!(Soa { serial: 9, ttl: 5, minimum: 30 }.write(&mut answer, Section::Authority, apex));
        let len = answer.finish(Rcode::NXDOMAIN, true);
        let message = Message::from_vec(&out[..len]).unwrap();
        let text = message.authorities[0].to_string();
        assert_eq!(text, "LoCal. 5 IN SOA ns.dns.LoCal. hostmaster.LoCal. 9 7200 1800 86400 30");
    }
}
