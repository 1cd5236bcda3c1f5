//! # Description
//! `erratic` answers badly on purpose: it drops, delays and truncates. It is for tests of clients.
//!
//! # Syntax
//! ```text
//! erratic {
//!     drop [AMOUNT]
//!     truncate [AMOUNT]
//!     delay [AMOUNT [DURATION]]
//!     large
//! }
//! ```
//! - `drop` (2): one query in **AMOUNT** gets no answer; 0 for none. Without `delay` and `truncate` it is on.
//! - `truncate` (2): one answer in **AMOUNT** is marked truncated.
//! - `delay` (2, 100ms): one answer in **AMOUNT** comes late by **DURATION**.
//!
//! - `large`: answers have 29 addresses, which are too many for 512 octets.
//!
//! A is 192.0.2.53 and AAAA 2001:db8::53 for every name, with AA and the TTL 0. AXFR is a small zone, without its last
//! SOA where `truncate` strikes. Other types are SERVFAIL.
//!
//! # Examples
//! ```corefile
//! example.org {
//!     erratic {
//!         drop 3
//!         delay 2 50ms
//!     }
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `whoami`, which answers well.

use crate::corefile::values;
use crate::plugin::{BoxFuture, Definition, Directive, Error, Failure, Handler, Next, Outcome, Request, Setup};
use crate::wire::flags::{AA, TC};
use crate::wire::{RecordType, ResourceRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `erratic`.
pub const DEFINITION: Definition = Definition { directive: "erratic", setup, metrics: &[] };

/// 2001:db8::53.
const ADDRESS: &[u8; 16] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x53";
/// The addresses of an answer with `large`.
const LARGE: u8 = 29;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if let Some(word) = directive.args.first() {
        setup.warn(word, format!("'{}' does nothing: the plugin answers for the whole server block", word.text));
    }
    let (mut drop, mut truncate, mut delay, mut duration) = (None, 0, 0, Duration::from_millis(100));
    let mut large = false;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.len()) {
            ("drop", 0..=1) => drop = Some(read_amount(setup, option)?),
            ("drop", _) => return Err(setup.arguments(option, "drop [AMOUNT]")),
            ("truncate", 0..=1) => truncate = read_amount(setup, option)?,
            ("truncate", _) => return Err(setup.arguments(option, "truncate [AMOUNT]")),
            ("delay", 0..=2) => {
                delay = read_amount(setup, option)?;
                if let Some(word) = option.args.get(1) {
                    duration = values::duration(&word.text).map_err(|why| setup.error(word, why))?;
                }
            }
            ("delay", _) => return Err(setup.arguments(option, "delay [AMOUNT [DURATION]]")),
            ("large", 0) => large = true,
            ("large", _) => return Err(setup.arguments(option, "large")),
            _ => return Err(setup.unknown(option, "drop, truncate, delay, large")),
        }
    }
    let drop = drop.unwrap_or(if truncate > 0 || delay > 0 { 0 } else { 2 });
    setup.plan.chain.push(Arc::new(Erratic { asked: AtomicU64::new(0), drop, truncate, delay, duration, large }));
    Ok(())
}

/// One in how many.
fn read_amount(setup: &Setup<'_>, option: &Directive) -> Result<u64, Error> {
    match option.args.first() {
        None => Ok(2),
        Some(word) => values::integer(&word.text, 0..=1 << 32)
            .map_err(|why| setup.error(word, format!("illegal amount value given: {why}"))),
    }
}

struct Erratic {
    asked: AtomicU64,
    /// Each one in how many, 0 for none.
    drop: u64,
    truncate: u64,
    delay: u64,
    duration: Duration,
    large: bool,
}

impl Erratic {
    fn answer(&self, request: &Request, number: u64) -> Outcome {
        let is_cut = is_turn(number, self.truncate);
        let rdata = match request.qtype() {
            RecordType::AXFR => return transfer(request, is_cut),
            RecordType::A => vec![192, 0, 2, 53],
            RecordType::AAAA => ADDRESS.to_vec(),
            _ => return Outcome::Failed(Failure::servfail("")),
        };
        let mut message = request.answer();
        let owner = request.name_as_asked().to_vec();
        let first = ResourceRecord { owner, rtype: request.qtype(), class: request.qclass(), ttl: 0, rdata };
        message.answers.push(first.clone());
        for number in 1..if self.large { LARGE } else { 1 } {
            let mut next = first.clone();
            next.rdata.splice(next.rdata.len() - 1.., [number]);
            message.answers.push(next);
        }
        message.flags |= if is_cut { AA | TC } else { AA };
        request.reply(&message)
    }
}

/// A zone of the name asked: SOA, two name servers with an address each, and the SOA again unless it is cut off.
fn transfer(request: &Request, is_cut: bool) -> Outcome {
    let mut message = request.answer();
    let zone = request.name_as_asked().to_vec();
    let below = |label: &[u8; 2]| [&label[..], &zone].concat();
    let (a, b) = (below(b"\x01a"), below(b"\x01b"));
    let numbers: Vec<u8> = [1_u32, 7200, 3600, 1_209_600, 3600].into_iter().flat_map(u32::to_be_bytes).collect();
    let record = |owner: &[u8], rtype, rdata: Vec<u8>| {
        let owner = owner.to_vec();
        ResourceRecord { owner, rtype, class: request.qclass(), ttl: 0, rdata }
    };
    let soa = record(&zone, RecordType::SOA, [&a[..], &b, &numbers].concat());
    message.answers = vec![
        soa.clone(),
        record(&zone, RecordType::NS, a.clone()),
        record(&zone, RecordType::NS, b.clone()),
        record(&a, RecordType::AAAA, ADDRESS.to_vec()),
        record(&b, RecordType::AAAA, ADDRESS.to_vec()),
    ];
    if !is_cut {
        message.answers.push(soa);
    }
    message.flags |= AA;
    request.reply(&message)
}

fn is_turn(number: u64, amount: u64) -> bool {
    number.checked_rem(amount) == Some(0)
}

impl Handler for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if is_turn(number, self.delay) {
                tokio::time::sleep(self.duration).await;
            }
            if is_turn(number, self.drop) { Outcome::Dropped } else { self.answer(request, number) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, request};
    use hickory_proto::op::Message;
    use std::time::Instant;

    /// What becomes of six queries: the answer with `+tc`, `dropped` or `failed`, and whether it came late.
    async fn six(lines: &str, qtype: RecordType) -> Vec<String> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let began = Instant::now();
            let text = match bench.ask(&request(query("a.test", qtype)), Outcome::Dropped).await {
                Outcome::Dropped => "dropped".to_owned(),
                Outcome::Failed(_) => "failed".to_owned(),
                Outcome::Reply(reply) => {
                    let message = Message::from_vec(&reply.packet).unwrap();
                    assert!(message.metadata.authoritative);
                    let mark = if message.metadata.truncation { "+tc" } else { "" };
                    format!("{}{mark}", message.answers[0].data)
                }
            };
            seen.push(if began.elapsed() >= Duration::from_millis(15) { format!("late {text}") } else { text });
        }
        seen
    }

    #[tokio::test]
    async fn one_in_so_many() {
        let good = "192.0.2.53";
        assert_eq!(six("erratic", RecordType::A).await, ["dropped", good, "dropped", good, "dropped", good]);
        let three = six("erratic {\ndrop 3\n}", RecordType::AAAA).await;
        assert_eq!(three, ["dropped", "2001:db8::53", "2001:db8::53", "dropped", "2001:db8::53", "2001:db8::53"]);
        let cut = "192.0.2.53+tc";
        assert_eq!(six("erratic {\ntruncate\n}", RecordType::A).await, [cut, good, cut, good, cut, good]);
        let late = "late 192.0.2.53";
        assert_eq!(six("erratic {\ndelay 3 15ms\n}", RecordType::A).await, [late, good, good, late, good, good]);
        assert_eq!(six("erratic {\ndrop 0\n}", RecordType::MX).await, ["failed"; 6]);
    }

    #[tokio::test]
    async fn large_answers_and_small_zones() {
        for (lines, qtype, counts) in [
            ("erratic {\nlarge\ndrop 0\n}", RecordType::AAAA, [29, 29]),
            ("erratic {\ndrop 0\n}", RecordType::AXFR, [6, 6]),
            ("erratic {\ntruncate 2\n}", RecordType::AXFR, [5, 6]),
        ] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, lines).unwrap();
            for count in counts {
                let mut request = request(query("a.test", qtype));
                request.transport = crate::plugin::Transport::Tcp;
                let Outcome::Reply(reply) = bench.ask(&request, Outcome::Dropped).await else { panic!("no reply") };
                assert_eq!(Message::from_vec(&reply.packet).unwrap().answers.len(), count, "{lines}");
            }
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("erratic {\ndrop -1\n}", "illegal amount"),
                ("erratic {\ndrop 1 2\n}", "expected: drop [AMOUNT]"),
                ("erratic {\ntruncate 1 2\n}", "expected: truncate [AMOUNT]"),
                ("erratic {\ndelay 1 soon\n}", "is no duration"),
                ("erratic {\ndelay 1 1s 2\n}", "expected: delay"),
                ("erratic {\nlarge 1\n}", "expected: large"),
                ("erratic {\nsmall\n}", "unknown property 'small'"),
            ],
        );
    }
}
