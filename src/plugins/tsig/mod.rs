//! # Description
//! `tsig` holds secrets that clients share with us, verifies the requests that are signed with them, and signs the
//! answers (RFC 8945): every message of a zone transfer too.
//!
//! # Syntax
//! ```text
//! tsig [ZONE...] {
//!     secret NAME KEY
//!     secrets FILE
//!     require [QTYPE...]
//!     require_opcode [OPCODE...]
//! }
//! ```
//! * **ZONE...** (the server block's): requests for names within are verified, others go by as they are.
//! * `secret`: a key's name and its secret in base64. It may be given several times. Every block knows the keys of all.
//! * `secrets`: a file of keys as named.conf has them, `key "NAME" { algorithm ALGORITHM; secret "KEY"; };`. A client may
//!   sign with any algorithm, whatever the file says; what `secondary` asks with the key is signed with the file's, else
//!   with hmac-sha256.
//! * `require`: the types of questions that are REFUSED if they are not signed: `require all`, and `require none` which
//!   is the default. `require_opcode`: the same for opcodes (QUERY, IQUERY, STATUS, NOTIFY, UPDATE).
//!
//! Algorithms: hmac-md5, hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512; truncated MACs are refused
//! (BADTRUNC). A key that is not known, a wrong signature, or a clock more than the client's fudge away is answered with
//! NOTAUTH and BADKEY, BADSIG or BADTIME, the last with our time. What stands behind in the chain sees no signature: a
//! request that is forwarded is forwarded without. NOTIFY that `transfer` sends is not signed.
//!
//! # Examples
//! Zone transfers for those who have the key:
//! ```corefile
//! example.org {
//!     tsig {
//!         secret transfer.example.org. NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=
//!         require AXFR IXFR
//!     }
//!     transfer {
//!         to *
//!     }
//!     file db.example.org
//! }
//! ```
//! Secrets from a file, as a Kubernetes Secret mounts it:
//! ```corefile
//! cluster.local {
//!     tsig {
//!         secrets /etc/dunlin/tsig.keys
//!         require all
//!     }
//!     kubernetes
//! }
//! ```
//!
//! # Metrics
//! * `dunlin_tsig_requests_total{server, result}`: requests that were signed (`verified`, `badkey`, `badsig`, `badtime`,
//!   `badtrunc`, `malformed`), or had to be and were not (`unsigned`).
//!
//! # See also
//! `transfer`, `secondary`. tsig-keygen of BIND and keymgr of Knot make keys.

mod secrets;
#[cfg(test)]
mod tests;

use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{
    BoxFuture, Definition, Directive, Error, Failure, Following, Handler, Keys, Next, Outcome, Reply, Request, Setup,
};
use crate::wire::tsig::{self, Algorithm, Exchange, Key, Tsig, Wrong};
use crate::wire::{Name, Rcode, RecordType, base64, cut};
use prometheus::IntCounterVec;
use std::sync::Arc;

/// `tsig`.
pub const DEFINITION: Definition = Definition { directive: "tsig", setup, metrics: &[&REQUESTS] };

const REQUESTS: Descriptor = Descriptor {
    name: "dunlin_tsig_requests_total",
    help: "Counter of requests that were signed, or had to be, by result.",
    labels: &["server", "result"],
    kind: MetricKind::Counter,
};

/// The opcodes that there are words for (RFC 6895 section 2.2).
const OPCODES: &[(&str, u8)] = &[("QUERY", 0), ("IQUERY", 1), ("STATUS", 2), ("NOTIFY", 4), ("UPDATE", 5)];

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    for directive in setup.directives {
        let (zones, needs) = read(setup, directive)?;
        let (requests, server) = (setup.metrics.counter(&REQUESTS), setup.plan.server.clone());
        let needs = Arc::new(needs);
        if !needs.types.is_empty() || !needs.opcodes.is_empty() {
            let (zones, needs) = (zones.clone(), needs.clone());
            setup.plan.leave_fast_lane_for(move |query| {
                needs.signature(query.qtype, query.opcode()) && zones.iter().any(|zone| query.name.is_within(zone))
            });
        }
        setup.plan.chain.push(Arc::new(Verifier { zones, needs, keys: setup.process.keys.clone(), requests, server }));
    }
    Ok(())
}

fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<(Vec<Name>, Needs), Error> {
    let zones = setup.zones_or_block(&directive.args)?;
    let mut needs = Needs::default();
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("secret", [name, secret]) => {
                let key = Name::from_text(&name.text).map_err(|why| setup.error(name, why))?;
                // The word itself is not repeated: what is nearly a secret is one.
                let octets = base64(&secret.text).filter(|octets| !octets.is_empty());
                let octets = octets.ok_or_else(|| setup.error(name, format!("the secret of {key} is no base64")))?;
                setup.process.keys.add(Key::new(key, Algorithm::Sha256, octets));
            }
            ("secret", _) => return Err(setup.error(&option.name, "expected: secret NAME KEY")),
            ("secrets", [file]) => {
                let path = setup.path(&file.text);
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|why| setup.error(file, format!("open {}: {why}", path.display())))?;
                let keys = secrets::read(&text);
                let keys =
                    keys.map_err(|(line, why)| setup.error(file, format!("{}:{line}: {why}", path.display())))?;
                keys.into_iter().for_each(|key| setup.process.keys.add(key));
            }
            ("secrets", _) => return Err(setup.arguments(option, "secrets FILE")),
            ("require", words @ [_, ..]) => {
                for word in words {
                    needs.types.add(&word.text, RecordType::from_mnemonic).map_err(|()| {
                        setup.error(word, format!("'{}' is no type; expected: require [all|none|QTYPE...]", word.text))
                    })?;
                }
            }
            ("require", _) => return Err(setup.arguments(option, "require [all|none|QTYPE...]")),
            ("require_opcode", words @ [_, ..]) => {
                let opcode = |text: &str| OPCODES.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
                for word in words {
                    needs.opcodes.add(&word.text, opcode).map_err(|()| {
                        let expected = "QUERY, IQUERY, STATUS, NOTIFY, UPDATE, all, none";
                        setup.error(word, format!("'{}' is no opcode; expected one of: {expected}", word.text))
                    })?;
                }
            }
            ("require_opcode", _) => return Err(setup.arguments(option, "require_opcode [all|none|OPCODE...]")),
            _ => return Err(setup.unknown(option, "secret, secrets, require, require_opcode")),
        }
    }
    Ok((zones, needs))
}

/// What has to be signed.
#[derive(Default)]
struct Needs {
    types: Required<RecordType>,
    opcodes: Required<u8>,
}

impl Needs {
    fn signature(&self, qtype: RecordType, opcode: u8) -> bool {
        self.types.has(qtype) || self.opcodes.has(opcode)
    }
}

/// Some, or all.
struct Required<T> {
    all: bool,
    some: Vec<T>,
}

impl<T> Default for Required<T> {
    fn default() -> Required<T> {
        Required { all: false, some: Vec::new() }
    }
}

impl<T: Copy + PartialEq> Required<T> {
    fn is_empty(&self) -> bool {
        !self.all && self.some.is_empty()
    }

    fn has(&self, one: T) -> bool {
        self.all || self.some.contains(&one)
    }

    fn add(&mut self, word: &str, read: impl Fn(&str) -> Option<T>) -> Result<(), ()> {
        match word.to_ascii_lowercase().as_str() {
            "all" => self.all = true,
            "none" => *self = Required::default(),
            _ => self.some.push(read(&word.to_ascii_uppercase()).ok_or(())?),
        }
        Ok(())
    }
}

/// Verifies requests and signs their answers.
struct Verifier {
    zones: Vec<Name>,
    needs: Arc<Needs>,
    keys: Keys,
    requests: IntCounterVec,
    server: String,
}

impl Handler for Verifier {
    fn name(&self) -> &'static str {
        "tsig"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let query = request.query();
        if !self.zones.iter().any(|zone| request.name.is_within(zone)) {
            return next.run(request);
        }
        if query.signed {
            return Box::pin(self.verify(request, next));
        }
        if self.needs.signature(request.qtype(), query.opcode()) {
            self.count("unsigned");
            return Box::pin(async { failed(Rcode::REFUSED, "the request has to be signed") });
        }
        next.run(request)
    }
}

impl Verifier {
    fn count(&self, result: &str) {
        self.requests.with_label_values(&[&*self.server, result]).inc();
    }

    async fn verify(&self, request: &Request, next: Next<'_>) -> Outcome {
        let Ok(Some((tsig, stripped))) = tsig::take(&request.packet) else { return self.malformed() };
        let now = request.moment.seconds;
        let key = self.keys.get(&tsig.key).zip(Algorithm::from_name(&tsig.algorithm));
        let Some((key, algorithm)) = key else { return self.not_authentic(request, &tsig, Rcode::BADKEY, None) };
        match Exchange::accept(key, algorithm, &tsig, &stripped, now) {
            Ok(exchange) => {
                self.count("verified");
                let Some(inner) = request.with_packet(stripped) else { return self.malformed() };
                sign(next.run(&inner).await, &inner, exchange)
            }
            Err((Wrong::Form, _)) => self.malformed(),
            Err((Wrong::Code(code), exchange)) => self.not_authentic(request, &tsig, code, exchange),
        }
    }

    fn malformed(&self) -> Outcome {
        self.count("malformed");
        failed(Rcode::FORMERR, "the signature cannot be read")
    }

    /// NOTAUTH with what is wrong in the TSIG, which is signed where there is an exchange (RFC 8945 section 5.3.2).
    fn not_authentic(&self, request: &Request, tsig: &Tsig, code: Rcode, exchange: Option<Exchange>) -> Outcome {
        let (result, reason) = match code {
            Rcode::BADKEY => ("badkey", "the key is not known"),
            Rcode::BADTIME => ("badtime", "the client's clock is not ours"),
            Rcode::BADTRUNC => ("badtrunc", "the signature is cut"),
            _ => ("badsig", "the signature is wrong"),
        };
        self.count(result);
        let mut message = request.answer();
        message.set_rcode(Rcode::NOTAUTH);
        let mut packet = message.to_octets(request.limit());
        match exchange {
            Some(mut exchange) => exchange.sign_error(&mut packet, tsig, code, request.moment.seconds),
            None => tsig::append_unsigned(&mut packet, tsig, code),
        }
        Outcome::Reply(Reply { reason: Some(reason.to_owned()), ..Reply::new(packet) })
    }
}

fn failed(rcode: Rcode, reason: &str) -> Outcome {
    Outcome::Failed(Failure { rcode, reason: reason.to_owned() })
}

/// Signs what the rest of the chain has made of a request: also a code that the server would write itself.
fn sign(outcome: Outcome, request: &Request, mut exchange: Exchange) -> Outcome {
    let now = request.moment.seconds;
    let mut reply = match outcome {
        Outcome::Reply(reply) => reply,
        Outcome::Dropped => return Outcome::Dropped,
        Outcome::Failed(failure) => {
            let mut message = request.answer();
            message.set_rcode(failure.rcode);
            Reply { reason: Some(failure.reason), ..Reply::new(message.to_octets(request.limit())) }
        }
    };
    // What does not fit with its signature is cut before it is signed (RFC 8945 section 5.3).
    let room = request.limit().saturating_sub(exchange.octets());
    if reply.packet.len() > room {
        reply.packet = cut(reply.packet, room);
    }
    exchange.sign(&mut reply.packet, now);
    if let Some(more) = &reply.more {
        let mut messages = (**more).as_ref().to_vec();
        messages.iter_mut().for_each(|message| exchange.sign(message, now));
        reply.more = Some(Arc::new(Following::with_messages(more, messages)));
    }
    Outcome::Reply(reply)
}
