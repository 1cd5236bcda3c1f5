//! # Description
//! `minimal` leaves the authority and additional sections out of positive answers. Negative answers and referrals, which
//! need them, stay what they are.
//!
//! # Syntax
//! ```text
//! minimal
//! ```
//! Only answers that have something to leave out leave the fast lane.
//!
//! # Examples
//! ```corefile
//! . {
//!     minimal
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `bufsize`, which bounds answers in octets.

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::{Message, Name, Rcode, RecordType, ReplyView, Section};
use std::sync::Arc;

/// `minimal`.
pub const DEFINITION: Definition = Definition { directive: "minimal", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "minimal"));
    }
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.plan.leave_fast_lane_when(vec![Name::root()], has_surplus);
    setup.plan.chain.push(Arc::new(Minimal));
    Ok(())
}

/// Whether this is a positive answer with records behind its answer section.
fn has_surplus(answer: &[u8]) -> bool {
    let Some(view) = ReplyView::parse(answer) else { return false };
    let is_surplus =
        |record: &crate::wire::Record| record.section != Section::Answer && record.rtype != RecordType::OPT;
    view.rcode() == Rcode::NOERROR && view.count(Section::Answer) > 0 && view.records().any(|one| is_surplus(&one))
}

struct Minimal;

impl Handler for Minimal {
    fn name(&self) -> &'static str {
        "minimal"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut outcome = next.run(request).await;
            if let Outcome::Reply(reply) = &mut outcome
                && has_surplus(&reply.packet)
                && let Some(mut message) = Message::parse(&reply.packet)
            {
                message.authorities.clear();
                message.additionals.clear();
                reply.packet = message.to_octets(request.limit());
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Reply;
    use crate::plugins::testing::{Bench, query_with_edns, request};
    use crate::wire::{NameBuffer, ResourceRecord};

    /// A reply with so many answers, and one record in each other section.
    fn reply(request: &Request, answers: usize, rcode: Rcode) -> Outcome {
        let mut message = request.answer();
        let owner = request.name.wire().to_vec();
        let record = ResourceRecord { owner, rtype: RecordType::A, class: 1, ttl: 5, rdata: vec![10, 0, 0, 1] };
        message.set_rcode(rcode);
        message.answers = vec![record.clone(); answers];
        message.authorities = vec![record.clone()];
        message.additionals = vec![record];
        Outcome::Reply(Reply::new(message.to_octets(1232)))
    }

    #[tokio::test]
    async fn positive_answers_are_cut_and_others_are_not() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "minimal").unwrap();
        let request = request(query_with_edns("a.test", RecordType::A, 1232, true));
        for (answers, rcode, kept) in [(2, Rcode::NOERROR, 0), (0, Rcode::NOERROR, 1), (1, Rcode::NXDOMAIN, 1)] {
            let Outcome::Reply(cut) = bench.ask(&request, reply(&request, answers, rcode)).await else { panic!() };
            let message = Message::parse(&cut.packet).unwrap();
            assert_eq!((message.answers.len(), message.rcode()), (answers, rcode));
            assert_eq!((message.authorities.len(), message.additionals.len()), (kept, kept));
            assert!(message.opt.is_some());
        }
    }

    #[test]
    fn only_answers_with_a_surplus_leave_the_fast_lane() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "minimal").unwrap();
        let request = request(query_with_edns("a.test", RecordType::A, 1232, true));
        let mut buffer = NameBuffer::default();
        let name = buffer.lower(request.name.wire()).unwrap();
        let Outcome::Reply(full) = reply(&request, 1, Rcode::NOERROR) else { panic!() };
        assert!(!bench.done().plan.may_send(&name, &full.packet));
        let Outcome::Reply(negative) = reply(&request, 0, Rcode::NOERROR) else { panic!() };
        assert!(bench.done().plan.may_send(&name, &negative.packet));
        let mut lean = Message::parse(&full.packet).unwrap();
        (lean.authorities, lean.additionals) = (Vec::new(), Vec::new());
        assert!(bench.done().plan.may_send(&name, &lean.to_octets(1232)));
    }

    #[test]
    fn errors() {
        let cases = [("minimal all", "expected: minimal"), ("minimal {\nall\n}", "unknown property")];
        Bench::errors(&DEFINITION, &cases);
    }
}
