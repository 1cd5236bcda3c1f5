//! One talk with a primary: its serial, and the zone where that is newer (RFC 5936).

use crate::wire::tsig::{Exchange, Key, Wrong};
use crate::wire::{CLASS_IN, Message, Name, Rcode, RecordType, ResourceRecord};
use crate::zone::master::MasterZone;
use rand::RngExt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the primary may take to let us in, and to send each message.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a whole transfer may take.
const WHOLE: Duration = Duration::from_secs(600);
/// Octets of messages in one transfer.
const MAX_OCTETS: usize = 256 << 20;
/// Records in one transfer.
const MAX_RECORDS: usize = 2_000_000;

/// What a primary had.
pub(super) enum Fetched {
    /// Nothing newer than what is known.
    Current,
    /// A zone.
    Zone(Box<MasterZone>),
}

/// Asks a primary for a zone, unless its serial is not newer than `known` (RFC 1982).
///
/// # Errors
/// What went wrong, for the operator.
pub(super) async fn fetch(
    primary: SocketAddr,
    origin: &Name,
    known: Option<u32>,
    key: Option<&Arc<Key>>,
) -> Result<Fetched, String> {
    let talk = async {
        let connecting = timeout(PATIENCE, TcpStream::connect(primary)).await;
        let stream = connecting.map_err(|_| "it does not answer".to_owned())?.map_err(|why| why.to_string())?;
        let mut talk = Talk { stream, origin, key, exchange: None, id: 0, octets: 0 };
        if let Some(known) = known
            && !is_newer(talk.serial().await?, known)
        {
            return Ok(Fetched::Current);
        }
        let records = talk.zone().await?;
        // A large zone takes a while to be put in order, which queries must not wait for.
        let origin = origin.clone();
        let building = tokio::task::spawn_blocking(move || MasterZone::from_records(&origin, records.into_iter()));
        let zone = building.await.map_err(|why| why.to_string())??;
        Ok(Fetched::Zone(Box::new(zone)))
    };
    timeout(WHOLE, talk).await.unwrap_or_else(|_| Err(format!("the transfer took more than {} s", WHOLE.as_secs())))
}

/// Serial number arithmetic (RFC 1982 section 3.2).
fn is_newer(serial: u32, known: u32) -> bool {
    serial.wrapping_sub(known) as i32 > 0
}

/// A connection to a primary.
struct Talk<'a> {
    stream: TcpStream,
    origin: &'a Name,
    key: Option<&'a Arc<Key>>,
    exchange: Option<Exchange>,
    id: u16,
    /// Octets received.
    octets: usize,
}

impl Talk<'_> {
    /// The primary's serial.
    async fn serial(&mut self) -> Result<u32, String> {
        self.ask(RecordType::SOA).await?;
        let message = self.take(true).await?;
        self.check_signed()?;
        message.answers.iter().find_map(|record| self.serial_of(record)).ok_or_else(|| "it sent no SOA".to_owned())
    }

    /// All records of the zone, SOA first and not again behind them.
    async fn zone(&mut self) -> Result<Vec<ResourceRecord>, String> {
        self.ask(RecordType::AXFR).await?;
        let mut records: Vec<ResourceRecord> = Vec::new();
        let mut is_first = true;
        loop {
            let message = self.take(std::mem::take(&mut is_first)).await?;
            let mut ended = false;
            for record in message.answers {
                let serial = self.serial_of(&record);
                match (records.first().map(|first| self.serial_of(first)), serial) {
                    _ if ended => return Err("there are records behind the zone's end".into()),
                    (None, None) => return Err("the zone does not begin with its SOA".into()),
                    (Some(first), Some(_)) if first == serial => ended = true,
                    (Some(_), Some(_)) => return Err("the zone changed while it was sent".into()),
                    _ => records.push(record),
                }
            }
            if ended {
                self.check_signed()?;
                return Ok(records);
            }
            if records.len() > MAX_RECORDS || self.octets > MAX_OCTETS {
                return Err(format!("the zone has more than {MAX_RECORDS} records or {MAX_OCTETS} octets"));
            }
        }
    }

    /// The serial, where the record is the zone's SOA.
    fn serial_of(&self, record: &ResourceRecord) -> Option<u32> {
        let is_soa = record.rtype == RecordType::SOA && record.owner.eq_ignore_ascii_case(self.origin.wire());
        let numbers = record.rdata.last_chunk::<20>().filter(|_| is_soa)?;
        numbers.first_chunk().map(|octets| u32::from_be_bytes(*octets))
    }

    async fn ask(&mut self, qtype: RecordType) -> Result<(), String> {
        self.id = rand::rng().random();
        let mut message = self.id.to_be_bytes().to_vec();
        message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(self.origin.wire());
        message.extend(qtype.0.to_be_bytes());
        message.extend(CLASS_IN.to_be_bytes());
        self.exchange = self.key.map(|key| Exchange::begin(key.clone(), &mut message, unix_seconds()));
        let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        let written = timeout(PATIENCE, self.stream.write_all(&framed)).await;
        written.map_err(|_| "it does not read".to_owned())?.map_err(|why| why.to_string())
    }

    /// The next message of the answer, its signature verified where there is a key.
    async fn take(&mut self, is_first: bool) -> Result<Message, String> {
        let packet = timeout(PATIENCE, read(&mut self.stream)).await;
        let packet = packet.map_err(|_| "it is silent".to_owned())?.map_err(|why| why.to_string())?;
        self.octets += packet.len();
        let is_ours = packet.len() >= 12 && packet[..2] == self.id.to_be_bytes() && packet[2] & 0x80 != 0;
        if !is_ours {
            return Err("it sent something else".into());
        }
        let rcode = Rcode(u16::from(packet[3] & 0x0f));
        let packet = match &mut self.exchange {
            Some(exchange) => exchange.verify(&packet, unix_seconds()).map_err(|wrong| unsigned(wrong, rcode))?,
            None => packet,
        };
        if rcode != Rcode::NOERROR {
            return Err(format!("it says {rcode}"));
        }
        let message = Message::parse_following(&packet).ok_or("a message cannot be read")?;
        // Only the first has to repeat the question (RFC 5936 section 2.2.1).
        let name = &message.question.name;
        if (is_first || !name.is_empty()) && !name.eq_ignore_ascii_case(self.origin.wire()) {
            return Err("it answers another question".into());
        }
        Ok(message)
    }

    /// Whether the answer's end is signed, where there is a key.
    fn check_signed(&self) -> Result<(), String> {
        match &self.exchange {
            Some(exchange) if !exchange.is_complete() => Err("the answer's end is not signed".into()),
            _ => Ok(()),
        }
    }
}

fn unsigned(wrong: Wrong, rcode: Rcode) -> String {
    match wrong {
        Wrong::Form => format!("its answer ({rcode}) is not signed"),
        Wrong::Code(Rcode(16)) => "the signature is wrong (BADSIG)".to_owned(),
        Wrong::Code(code) => format!("the signature is wrong ({code})"),
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::is_newer;

    #[test]
    fn serials_go_round() {
        assert!(is_newer(2, 1) && is_newer(0, u32::MAX) && is_newer(0x8000_0000, 1));
        assert!(!is_newer(1, 1) && !is_newer(1, 2) && !is_newer(u32::MAX, 0));
    }
}
