//! # Description
//! `loadbalance` sends the addresses of a name in random order, a new one for each answer: A, AAAA and MX records in all
//! sections of NOERROR answers, with CNAMEs in front of them. Clients that take the first address are so spread over all
//! of them. Zone transfers and signed messages are left as they are.
//!
//! # Syntax
//! ```text
//! loadbalance [round_robin]
//! ```
//! `round_robin` is the policy anyway. The policy `weighted` and the option `prefer` are not supported yet.
//!
//! # Examples
//! ```corefile
//! . {
//!     loadbalance
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `cache`, whose answers are shuffled anew each time.

mod shuffle;

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::{Rcode, RecordType};
use std::sync::Arc;

/// `loadbalance`.
pub const DEFINITION: Definition = Definition { directive: "loadbalance", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    match directive.args.first() {
        None => {}
        Some(policy) if policy.text == "weighted" => return Err(setup.not_supported(policy)),
        Some(policy) if policy.text != "round_robin" => {
            return Err(setup.error(policy, format!("'{}' is no policy; expected round_robin", policy.text)));
        }
        Some(_) if directive.args.len() > 1 => return Err(setup.arguments(directive, "loadbalance [round_robin]")),
        Some(_) => {}
    }
    if let Some(option) = directive.options().first() {
        return Err(match option.name.text.as_str() {
            "prefer" => setup.not_supported(&option.name),
            _ => setup.unknown(option, "none"),
        });
    }
    setup.plan.shape.shuffle = true;
    setup.plan.chain.push(Arc::new(Loadbalance));
    Ok(())
}

/// Shuffles what the slow lane's handlers answer; sources shuffle by the shape.
struct Loadbalance;

impl Handler for Loadbalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut outcome = next.run(request).await;
            if let Outcome::Reply(reply) = &mut outcome
                && reply.rcode() == Rcode::NOERROR
                && !matches!(request.qtype, RecordType::AXFR | RecordType::IXFR)
            {
                shuffle::shuffle(&mut reply.packet, request.moment.random, request.limit());
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Reply;
    use crate::plugins::testing::{Bench, query, request};

    /// NOERROR for `a.`/`qtype` with the addresses 10.0.0.1 and 10.0.0.2.
    fn two_addresses(qtype: RecordType) -> Vec<u8> {
        let mut packet = query("a", qtype);
        packet[2] |= 0x80;
        packet[7] = 2;
        for last in [1, 2] {
            packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, last]);
        }
        packet
    }

    /// Whether some of a hundred answers come in another order.
    async fn is_shuffled(lines: &str, qtype: RecordType, packet: Vec<u8>) -> bool {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        assert!(bench.done().plan.shape.shuffle);
        let mut request = request(query("a", qtype));
        for random in 0..100 {
            request.moment.random = random;
            let sent = Outcome::Reply(Reply::new(packet.clone()));
            if bench.ask(&request, sent.clone()).await != sent {
                return true;
            }
        }
        false
    }

    #[tokio::test]
    async fn answers_are_shuffled_but_for_transfers_and_errors() {
        let mut error = two_addresses(RecordType::A);
        error[3] |= 2;
        assert!(is_shuffled("loadbalance", RecordType::A, two_addresses(RecordType::A)).await);
        assert!(is_shuffled("loadbalance round_robin", RecordType::A, two_addresses(RecordType::A)).await);
        assert!(!is_shuffled("loadbalance", RecordType::AXFR, two_addresses(RecordType::AXFR)).await);
        assert!(!is_shuffled("loadbalance", RecordType::A, error).await);
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("loadbalance weighted file", "'weighted' is not supported by dunlin yet"),
                ("loadbalance fair", "'fair' is no policy; expected round_robin"),
                ("loadbalance round_robin x", "expected: loadbalance [round_robin]"),
                ("loadbalance {\nprefer 10.0.0.0/8\n}", "'prefer' is not supported by dunlin yet"),
                ("loadbalance {\nnope\n}", "unknown property 'nope'"),
                ("loadbalance\nloadbalance", "once"),
            ],
        );
    }
}
