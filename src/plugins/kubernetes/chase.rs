//! Aliases of names that others hold: the target is asked of the whole server, as the client would ask it.

use super::Kubernetes;
use super::addresses::{MAX_ALIASES, is_loop};
use super::answer::Asked;
use super::names::{self, Place};
use super::store::Kind;
use crate::plugin::{Outcome, Reply, Request};
use crate::wire::{Answer, HEADER, Message, Name, NameBuffer, Owner, Query, Rcode, RecordType, Section, flags};

impl Kubernetes {
    /// Answers a request for the addresses of an alias whose target is not ours. What went wrong on the way to the
    /// target is not the client's to know (CoreDNS): it gets the alias alone.
    pub(super) async fn chase(&self, request: &Request) -> Option<Outcome> {
        let query = request.query();
        let aliases = self.aliases(&query, request);
        let target = aliases.last()?;
        let inner = match request.lookup(target.wire(), request.qtype()).await {
            Outcome::Reply(reply) => Some(reply.packet),
            Outcome::Failed(_) => Some(Vec::new()),
            Outcome::Dropped => None,
        };
        let context = request.context();
        let mut out = vec![0; context.limit.max(query.question_end() + HEADER)];
        let asked = self.asked(&query, &context)?;
        let len = match inner {
            Some(inner) => write(&asked, &aliases, &inner, &mut out),
            None => self.negative(&asked, Rcode::NOERROR, Answer::begin(&query, &mut out, context.limit)),
        };
        out.truncate(len);
        Some(Outcome::Reply(Reply::new(out)))
    }

    /// The targets that the question's name leads to, one alias behind the other, the last one outside the zone.
    fn aliases(&self, query: &Query<'_>, request: &Request) -> Vec<Name> {
        let context = request.context();
        let mut targets: Vec<Name> = Vec::new();
        let Some(asked) = self.asked(query, &context) else { return targets };
        let mut buffer = NameBuffer::default();
        while targets.len() < MAX_ALIASES {
            let wire = targets.last().map_or(query.name.wire(), Name::wire);
            let Some(name) = buffer.lower(wire) else { break };
            let Place::Service { key } = names::place(&name, asked.grammar) else { break };
            let Some(service) = self.store(asked.grammar).services.get(key) else { break };
            match &service.kind {
                Kind::External(target) if !is_loop(&name, target) => targets.push((**target).clone()),
                _ => break,
            }
            if targets.last().is_some_and(|target| !target.is_within(asked.zone)) {
                break;
            }
        }
        targets
    }
}

/// Writes the aliases and what the inner answer's answer section has. Returns the message's length.
fn write(asked: &Asked<'_>, aliases: &[Name], inner: &[u8], out: &mut [u8]) -> usize {
    let inner = Message::parse(inner);
    let records = inner.as_ref().map(|inner| &inner.answers[..]).unwrap_or_default();
    let smallest = records.iter().map(|record| record.ttl).fold(asked.ttl, u32::min);
    let rule = asked.context.shape.ttl.map(|rule| rule.positive.hold(smallest));
    let mut answer = Answer::begin(asked.query, out, asked.context.limit);
    for (at, target) in aliases.iter().enumerate() {
        let owner = at.checked_sub(1).map_or(Owner::Question, |before| Owner::Name(aliases[before].wire()));
        answer.record(Section::Answer, owner, RecordType::CNAME, rule.unwrap_or(asked.ttl), &[target.wire()]);
    }
    for record in records {
        let ttl = rule.unwrap_or(record.ttl);
        answer.record(Section::Answer, Owner::Name(&record.owner), record.rtype, ttl, &[&record.rdata]);
    }
    if inner.is_some_and(|inner| inner.flags & flags::TC != 0) {
        answer.set_truncated();
    }
    answer.finish(Rcode::NOERROR, true)
}
