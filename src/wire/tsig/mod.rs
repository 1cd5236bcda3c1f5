//! Transaction signatures (RFC 8945): the record at a message's end, and what it signs.
//!
//! An [`Exchange`] is one request and all messages of its answer, seen from either side. Secrets are compared in constant
//! time and never shown.

mod algorithm;
mod record;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use record::{Malformed, Tsig, take};

use super::{HEADER, Name, Rcode};
use std::fmt;
use std::sync::Arc;

/// BADSIG, the one code that a header's code has the number of (RFC 8945 section 3).
pub const BADSIG: Rcode = Rcode(16);
/// Seconds that the clocks of both sides may differ by (RFC 8945 section 10).
const FUDGE: u16 = 300;
/// Messages of a transfer that may come unsigned in a row (RFC 8945 section 5.3.1).
const MOST_UNSIGNED: usize = 99;

/// A secret that two servers share.
pub struct Key {
    /// The key's name.
    pub name: Name,
    /// What we sign our own requests with; an answer is signed as its request is.
    pub algorithm: Algorithm,
    secret: Vec<u8>,
}

impl Key {
    /// A key; the secret is as decoded from base64.
    pub fn new(name: Name, algorithm: Algorithm, secret: Vec<u8>) -> Key {
        Key { name, algorithm, secret }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {} for {}", self.name, self.algorithm.name())
    }
}

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// FORMERR: no signature that can be read, or none where one has to be.
    Form,
    /// The other side says this code in its TSIG, or this is ours to say: BADKEY, BADSIG, BADTIME, BADTRUNC.
    Code(Rcode),
}

/// The signatures of one request and its answer.
#[derive(Clone)]
pub struct Exchange {
    key: Arc<Key>,
    algorithm: Algorithm,
    /// The MAC of the message before, which goes into the next.
    previous: Vec<u8>,
    /// Whether a message of the answer has been signed: those behind it sign the times alone (RFC 8945 section 5.3.1).
    answered: bool,
    /// Messages that came unsigned since, and how many.
    unsigned: (Vec<u8>, usize),
}

impl Exchange {
    /// Signs a request of ours. `now` is in Unix seconds.
    pub fn begin(key: Arc<Key>, packet: &mut Vec<u8>, now: u64) -> Exchange {
        let mut exchange = Exchange::new(key.clone(), key.algorithm);
        exchange.put(packet, now, Rcode::NOERROR, Vec::new(), true);
        exchange
    }

    /// Checks a client's request, `stripped` of its TSIG, in the order of RFC 8945 section 5.2: the MAC, the time, the
    /// MAC's length. With BADTIME and BADTRUNC there is an exchange too, as their answers are signed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn accept(
        key: Arc<Key>,
        algorithm: Algorithm,
        tsig: &Tsig,
        stripped: &[u8],
        now: u64,
    ) -> Result<Exchange, (Wrong, Option<Exchange>)> {
        let mut exchange = Exchange::new(key, algorithm);
        let full = algorithm.octets();
        let least = 10.max(full / 2);
        if tsig.mac.len() > full || tsig.mac.len() < least {
            return Err((Wrong::Form, None));
        }
        let message = tsig.original(stripped);
        if !exchange.verifies(&[&message, &tsig.variables()], &tsig.mac) {
            return Err((Wrong::Code(BADSIG), None));
        }
        exchange.previous.clone_from(&tsig.mac);
        if !tsig.is_timely(now) {
            return Err((Wrong::Code(Rcode::BADTIME), Some(exchange)));
        }
        if tsig.mac.len() < full {
            return Err((Wrong::Code(Rcode::BADTRUNC), Some(exchange)));
        }
        Ok(exchange)
    }

    fn new(key: Arc<Key>, algorithm: Algorithm) -> Exchange {
        Exchange { key, algorithm, previous: Vec::new(), answered: false, unsigned: (Vec::new(), 0) }
    }

    /// Octets that a signature takes at most.
    pub fn octets(&self) -> usize {
        // Type, class, TTL, length; times, lengths, id, code; the server's time.
        let fixed = 10 + 16 + 6;
        self.key.name.wire().len() + self.algorithm.name().wire().len() + self.algorithm.octets() + fixed
    }

    /// Signs the next message of the answer. With `error` BADTIME the client's time stands in it and ours beside.
    pub fn sign(&mut self, packet: &mut Vec<u8>, now: u64) {
        let whole = !self.answered;
        self.answered = true;
        self.put(packet, now, Rcode::NOERROR, Vec::new(), whole);
    }

    /// Signs an answer that says what is wrong with its request's signature (RFC 8945 section 5.3.2).
    pub fn sign_error(&mut self, packet: &mut Vec<u8>, request: &Tsig, error: Rcode, now: u64) {
        let (at, other) = match error {
            Rcode::BADTIME => (request.signed_at, now.to_be_bytes()[2..].to_vec()),
            _ => (now, Vec::new()),
        };
        self.put(packet, at, error, other, true);
    }

    fn put(&mut self, packet: &mut Vec<u8>, at: u64, error: Rcode, other: Vec<u8>, whole: bool) {
        let mut tsig = Tsig {
            key: self.key.name.clone(),
            algorithm: self.algorithm.name(),
            signed_at: at,
            fudge: FUDGE,
            mac: Vec::new(),
            original_id: packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id)),
            error,
            other,
        };
        let signed = if whole { tsig.variables() } else { tsig.times() };
        tsig.mac = self.mac(&[packet, &signed]);
        self.previous.clone_from(&tsig.mac);
        tsig.append_to(packet);
    }

    /// Checks the next message of the answer to a request of ours and returns it without its TSIG. Within a transfer
    /// messages may be unsigned; whether the last was says [`Exchange::is_complete`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(&mut self, packet: &[u8], now: u64) -> Result<Vec<u8>, Wrong> {
        let Some((tsig, stripped)) = take(packet).map_err(|Malformed| Wrong::Form)? else {
            self.unsigned.1 += 1;
            if !self.answered || self.unsigned.1 > MOST_UNSIGNED {
                return Err(Wrong::Form);
            }
            self.unsigned.0.extend(packet);
            return Ok(packet.to_vec());
        };
        if tsig.error != Rcode::NOERROR {
            return Err(Wrong::Code(tsig.error));
        }
        if tsig.key != self.key.name || tsig.algorithm != self.algorithm.name() {
            return Err(Wrong::Code(Rcode::BADKEY));
        }
        let message = tsig.original(&stripped);
        let signed = if self.answered { tsig.times() } else { tsig.variables() };
        let unsigned = std::mem::take(&mut self.unsigned).0;
        let is_whole = tsig.mac.len() == self.algorithm.octets();
        if !is_whole || !self.verifies(&[&unsigned, &message, &signed], &tsig.mac) {
            return Err(Wrong::Code(BADSIG));
        }
        if !tsig.is_timely(now) {
            return Err(Wrong::Code(Rcode::BADTIME));
        }
        self.previous = tsig.mac;
        self.answered = true;
        Ok(stripped)
    }

    /// Whether the last message that was verified was signed itself.
    pub fn is_complete(&self) -> bool {
        self.answered && self.unsigned.1 == 0
    }

    fn mac(&self, parts: &[&[u8]]) -> Vec<u8> {
        self.with_previous(parts, |parts| self.algorithm.mac(&self.key.secret, parts))
    }

    fn verifies(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.with_previous(parts, |parts| self.algorithm.verifies(&self.key.secret, parts, mac))
    }

    /// The MAC before stands in front of what is signed, with its length (RFC 8945 section 4.3.1).
    fn with_previous<T>(&self, parts: &[&[u8]], call: impl FnOnce(&[&[u8]]) -> T) -> T {
        let length = (self.previous.len() as u16).to_be_bytes();
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
        if !self.previous.is_empty() {
            all.extend([&length[..], &self.previous]);
        }
        all.extend(parts);
        call(&all)
    }
}

/// Adds a TSIG without a MAC to an answer: the request's key or MAC is wrong (RFC 8945 section 5.3.2).
pub fn append_unsigned(packet: &mut Vec<u8>, request: &Tsig, error: Rcode) {
    if packet.len() >= HEADER {
        Tsig { mac: Vec::new(), error, other: Vec::new(), ..request.clone() }.append_to(packet);
    }
}
