//! # Description
//! `nsid` tells clients that ask so which server answered: by the NSID option of EDNS (RFC 5001).
//!
//! # Syntax
//! ```text
//! nsid [DATA]
//! ```
//! **DATA** (the machine's name, which in a cluster is the pod's) is text, of one word or several.
//!
//! Only queries with the option leave the fast lane. `dig +nsid` sends it.
//!
//! # Examples
//! ```corefile
//! . {
//!     nsid localdns
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `chaos`. RFC 5001.

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::{Message, Query, read_options};
use std::sync::Arc;

/// `nsid`.
pub const DEFINITION: Definition = Definition { directive: "nsid", setup, metrics: &[] };

/// The option's code.
const NSID: u16 = 3;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let words: Vec<_> = directive.args.iter().map(|word| word.text.as_str()).collect();
    let data = match words.as_slice() {
        [] => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        words => words.join(" "),
    };
    setup.plan.leave_fast_lane_for(asks);
    setup.plan.chain.push(Arc::new(Nsid { data: data.into_bytes() }));
    Ok(())
}

/// Whether the query has the option.
fn asks(query: &Query<'_>) -> bool {
    let Some((at, length @ 1..)) = query.edns.map(|edns| edns.options) else { return false };
    let options = query.packet.get(usize::from(at)..usize::from(at) + usize::from(length));
    options.and_then(read_options).is_some_and(|options| options.iter().any(|(code, _)| *code == NSID))
}

struct Nsid {
    data: Vec<u8>,
}

impl Handler for Nsid {
    fn name(&self) -> &'static str {
        "nsid"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        if !asks(&request.query()) {
            return next.run(request);
        }
        Box::pin(async move {
            let mut outcome = next.run(request).await;
            if let Outcome::Reply(reply) = &mut outcome
                && let Some(mut message) = Message::parse(&reply.packet)
                && let Some(opt) = &mut message.opt
            {
                opt.options.retain(|(code, _)| *code != NSID);
                opt.options.push((NSID, self.data.clone()));
                reply.packet = message.to_octets(request.limit());
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Reply, Verdict};
    use crate::plugins::testing::{Bench, query_with_edns, request};
    use crate::wire::{NameBuffer, RecordType};

    fn asking(options: &[(u16, Vec<u8>)]) -> Request {
        let mut message = Message::parse(&query_with_edns("a.test", RecordType::A, 1232, false)).unwrap();
        message.opt.as_mut().unwrap().options = options.to_vec();
        request(message.to_octets(512))
    }

    async fn options(lines: &str, request: &Request) -> Vec<(u16, Vec<u8>)> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        let reply = request.answer().to_octets(512);
        let Outcome::Reply(reply) = bench.ask(request, Outcome::Reply(Reply::new(reply))).await else { panic!() };
        Message::parse(&reply.packet).unwrap().opt.unwrap().options
    }

    #[tokio::test]
    async fn who_asks_is_told() {
        let asks = asking(&[(3, Vec::new())]);
        assert_eq!(options("nsid local dns", &asks).await, [(3, b"local dns".to_vec())]);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(options("nsid", &asks).await, [(3, host.trim().as_bytes().to_vec())]);
        assert!(options("nsid x", &asking(&[])).await.is_empty());
        assert!(options("nsid x", &asking(&[(10, vec![0; 8])])).await.is_empty());
    }

    #[test]
    fn only_who_asks_leaves_the_fast_lane() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "nsid").unwrap();
        let table = [
            (asking(&[(10, vec![0; 8]), (3, Vec::new())]), Verdict::Slow),
            (asking(&[(10, vec![0; 8])]), Verdict::Pass),
            (asking(&[]), Verdict::Pass),
        ];
        for (request, expected) in table {
            let mut buffer = NameBuffer::default();
            let query = Query::parse(&request.packet, &mut buffer).unwrap();
            let verdict = bench.done().plan.stores[0].answer(&query, &request.context(), &mut [0; 512]);
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn errors() {
        Bench::errors(&DEFINITION, &[("nsid {\nx\n}", "unknown property 'x'"), ("nsid\nnsid", "once")]);
    }
}
