//! The view of a query: borrowed from the packet, checked as far as answering needs.

use super::name::KeptName;
use super::{HEADER, LowerName, NameBuffer, RecordType, Transport, UDP_PLAIN};

/// What a client's OPT says (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The UDP payload the client can take, in octets, as sent.
    pub payload: u16,
    /// The DO bit: DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// Where the options stand in the packet: offset and length of OPT's RDATA.
    pub options: (u16, u16),
}

/// One well-formed query of one question.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The packet as received.
    pub packet: &'a [u8],
    /// The question's name, lowered.
    pub name: LowerName<'a>,
    /// QTYPE.
    pub qtype: RecordType,
    /// QCLASS.
    pub qclass: u16,
    /// The client's OPT, if any.
    pub edns: Option<Edns>,
    /// Whether the last record is a TSIG (RFC 8945); such a query needs the slow lane.
    pub signed: bool,
}

/// What becomes of a packet that is not a query we can view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Silence: too short for a header, or itself a response (RFC 1035 section 7.3; a reply would loop or reflect).
    Drop,
    /// FORMERR: counts or octets that are no query.
    Malformed,
    /// NOTIMP: an opcode other than QUERY and NOTIFY.
    Opcode,
    /// BADVERS with an OPT: an EDNS version above 0 (RFC 6891 section 6.1.3).
    EdnsVersion,
}

impl<'a> Query<'a> {
    /// Reads a packet. Counts are held to one question, at most one answer and authority record and two additional ones.
    #[inline]
    pub fn parse(packet: &'a [u8], buffer: &'a mut NameBuffer) -> Result<Query<'a>, Refusal> {
        if packet.len() < HEADER || packet[2] & 0x80 != 0 {
            return Err(Refusal::Drop);
        }
        // Opcodes 0 (QUERY) and 4 (NOTIFY).
        if !matches!(packet[2] >> 3 & 0x0f, 0 | 4) {
            return Err(Refusal::Opcode);
        }
        let count = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        if count(4) != 1 || count(6) > 1 || count(8) > 1 || count(10) > 2 {
            return Err(Refusal::Malformed);
        }
        let name = buffer.lower(&packet[HEADER..]).ok_or(Refusal::Malformed)?;
        let end = HEADER + name.wire().len();
        let Some(&[t0, t1, c0, c1]) = packet[end..].first_chunk() else { return Err(Refusal::Malformed) };
        let mut query = Query {
            packet,
            name,
            qtype: RecordType(u16::from_be_bytes([t0, t1])),
            qclass: u16::from_be_bytes([c0, c1]),
            edns: None,
            signed: false,
        };
        let before_additional = count(6) + count(8);
        if before_additional + count(10) > 0 {
            query.read_records(end + 4, before_additional, count(10))?;
        }
        Ok(query)
    }

    fn read_records(&mut self, mut at: usize, skipped: u16, additional: u16) -> Result<(), Refusal> {
        for index in 0..skipped + additional {
            let start = at;
            at = skip_name(self.packet, at).ok_or(Refusal::Malformed)?;
            let Some(fixed) = self.packet[at..].first_chunk::<10>() else { return Err(Refusal::Malformed) };
            let rdata = at + 10;
            let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            at = rdata + len;
            if at > self.packet.len() {
                return Err(Refusal::Malformed);
            }
            if index < skipped {
                continue;
            }
            match RecordType(u16::from_be_bytes([fixed[0], fixed[1]])) {
                RecordType::OPT if self.edns.is_some() || self.packet[start] != 0 => return Err(Refusal::Malformed),
                RecordType::OPT if fixed[5] != 0 => return Err(Refusal::EdnsVersion),
                RecordType::OPT => {
                    self.edns = Some(Edns {
                        payload: u16::from_be_bytes([fixed[2], fixed[3]]),
                        dnssec_ok: fixed[6] & 0x80 != 0,
                        options: (rdata as u16, len as u16),
                    });
                }
                RecordType::TSIG => self.signed = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// The message's id.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.packet[0], self.packet[1]])
    }

    /// The opcode: 0 (QUERY) or 4 (NOTIFY).
    #[inline]
    pub fn opcode(&self) -> u8 {
        self.packet[2] >> 3 & 0x0f
    }

    /// The RD bit.
    pub fn recursion_desired(&self) -> bool {
        self.packet[2] & 0x01 != 0
    }

    /// The CD bit (RFC 4035 section 3.2.2).
    #[inline]
    pub fn checking_disabled(&self) -> bool {
        self.packet[3] & 0x10 != 0
    }

    /// The AD bit (RFC 6840 section 5.7).
    #[inline]
    pub fn authentic_data(&self) -> bool {
        self.packet[3] & 0x20 != 0
    }

    /// Whether the client set DO.
    #[inline]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The question as sent: name in the client's case, type, class.
    #[inline]
    pub fn question(&self) -> &'a [u8] {
        &self.packet[HEADER..self.question_end()]
    }

    /// The offset behind the question.
    #[inline]
    pub fn question_end(&self) -> usize {
        HEADER + self.name.wire().len() + 4
    }
}

/// What a well-formed query says, kept without its packet: with the packet it is the [`Query`] again, which nobody has to
/// read a second time.
#[derive(Clone)]
pub struct KnownQuery {
    name: KeptName,
    /// QTYPE.
    pub qtype: RecordType,
    /// QCLASS.
    pub qclass: u16,
    /// The OPT record.
    pub edns: Option<Edns>,
    signed: bool,
}

impl From<&Query<'_>> for KnownQuery {
    fn from(query: &Query<'_>) -> KnownQuery {
        let Query { packet: _, name, qtype, qclass, edns, signed } = *query;
        KnownQuery { name: name.to_kept(), qtype, qclass, edns, signed }
    }
}

impl KnownQuery {
    /// The query. `packet` has to be its own; bits of the header may differ.
    pub fn view<'a>(&'a self, packet: &'a [u8]) -> Query<'a> {
        let KnownQuery { ref name, qtype, qclass, edns, signed } = *self;
        Query { packet, name: name.get(), qtype, qclass, edns, signed }
    }
}

/// How many octets an answer to a client with this OPT may have, when we send at most `ours` by UDP.
#[inline]
pub fn answer_limit(edns: Option<Edns>, transport: Transport, ours: u16) -> usize {
    match transport {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => {
            let offered = edns.map_or(UDP_PLAIN, |edns| edns.payload.max(UDP_PLAIN));
            usize::from(offered.min(ours.max(UDP_PLAIN)))
        }
    }
}

/// The offset behind the possibly compressed name at `at`. `None` if it is cut or has a reserved label type.
pub fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            0xc0.. => return (at + 2 <= packet.len()).then_some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(counts: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 0x01, 0x10];
        counts.iter().for_each(|count| packet.extend([0, *count]));
        packet.extend(rest);
        packet
    }

    const QUESTION: &[u8] = b"\x03WeB\x04test\x00\x00\x01\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00";

    fn parse(packet: &[u8]) -> Result<(String, u16, Option<Edns>), Refusal> {
        let mut buffer = NameBuffer::default();
        Query::parse(packet, &mut buffer).map(|query| (query.name.to_string(), query.qtype.0, query.edns))
    }

    #[test]
    fn a_plain_question() {
        let bytes = packet([1, 0, 0, 0], QUESTION);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&bytes, &mut buffer).unwrap();
        assert_eq!((query.id(), query.recursion_desired(), query.checking_disabled()), (0x1234, true, true));
        assert_eq!((query.name.to_string().as_str(), query.qtype, query.qclass), ("web.test.", RecordType::A, 1));
        assert_eq!((query.question(), answer_limit(query.edns, Transport::Udp, 1232)), (QUESTION, 512));
    }

    #[test]
    fn an_opt_gives_size_and_do() {
        let (_, _, edns) = parse(&packet([1, 0, 0, 1], &[QUESTION, OPT].concat())).unwrap();
        let edns = edns.unwrap();
        assert_eq!((edns.payload, edns.dnssec_ok), (4096, true));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        let mut response = packet([1, 0, 0, 0], QUESTION);
        response[2] |= 0x80;
        let mut update = packet([1, 0, 0, 0], QUESTION);
        update[2] = 5 << 3;
        let version = b"\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00";
        for (bytes, refusal) in [
            (vec![1, 2, 3], Refusal::Drop),
            (response, Refusal::Drop),
            (update, Refusal::Opcode),
            (packet([2, 0, 0, 0], QUESTION), Refusal::Malformed),
            (packet([1, 0, 0, 3], QUESTION), Refusal::Malformed),
            (packet([1, 0, 0, 0], &QUESTION[..9]), Refusal::Malformed),
            (packet([1, 0, 0, 1], QUESTION), Refusal::Malformed),
            (packet([1, 0, 0, 2], &[QUESTION, OPT, OPT].concat()), Refusal::Malformed),
            (packet([1, 0, 0, 0], b"\xc0\x0c\x00\x01\x00\x01"), Refusal::Malformed),
            (packet([1, 0, 0, 1], &[QUESTION, version].concat()), Refusal::EdnsVersion),
        ] {
            assert_eq!(parse(&bytes), Err(refusal), "{bytes:?}");
        }
    }
}
