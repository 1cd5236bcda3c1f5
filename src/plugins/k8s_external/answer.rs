//! Names below the zones: in memory, and what load balancers with a host name lead to.

use super::apex::Own;
use super::{External, Zone};
use crate::plugin::{
    BoxFuture, Context, ExternalServices, Handler, Next, Outcome, Reply, Request, ServiceFound, ServiceQuestion,
    Source, Verdict,
};
use crate::wire::{
    Answer, CLASS_IN, HEADER, LowerName, Message, Query, Rcode, RecordType, ResourceRecord, Section, flags,
};
use crate::zone::{Soa, reverse};

/// The TTL that `cache` gives a server failure, in seconds.
const FAILURE_TTL: u32 = 5;

impl Source for External {
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        let (Some((zone, apex)), Some(services)) = (self.zone(&query.name), self.services.get()) else {
            return Verdict::Pass;
        };
        let mut answer = Answer::begin(query, out, context.limit);
        if matches!(query.qtype, RecordType::AXFR | RecordType::IXFR) {
            return Verdict::Answered(answer.finish(Rcode::REFUSED, false));
        }
        let negative = |rcode, out: &mut [u8]| Verdict::Answered(self.negative(query, context, apex, rcode, out));
        if let Some(own) = self.own(&query.name, apex) {
            return match self.answer_own(own, query, context, apex, &mut answer) {
                ServiceFound::Data => Verdict::Answered(answer.finish(Rcode::NOERROR, true)),
                ServiceFound::Missing => negative(Rcode::NXDOMAIN, out),
                ServiceFound::Nothing | ServiceFound::Alias => negative(Rcode::NOERROR, out),
            };
        }
        match self.find(zone, services.as_ref(), query, context, &mut answer) {
            ServiceFound::Data => Verdict::Answered(answer.finish(Rcode::NOERROR, true)),
            ServiceFound::Nothing => negative(Rcode::NOERROR, out),
            ServiceFound::Alias => Verdict::Slow,
            ServiceFound::Missing if self.fallthrough.lets(&query.name) => Verdict::Pass,
            ServiceFound::Missing if services.is_synced() => negative(Rcode::NXDOMAIN, out),
            ServiceFound::Missing => negative(Rcode::SERVFAIL, out),
        }
    }
}

impl Handler for External {
    fn name(&self) -> &'static str {
        "k8s_external"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let query = request.query();
            let mut out = vec![0; request.limit().max(query.question_end() + HEADER)];
            match self.answer(&query, &request.context(), &mut out) {
                Verdict::Answered(len) => {
                    out.truncate(len);
                    Outcome::Reply(Reply::new(out))
                }
                Verdict::Alias { .. } | Verdict::Slow => match self.chase(request).await {
                    Some(outcome) => outcome,
                    None => next.run(request).await,
                },
                Verdict::Pass => next.run(request).await,
            }
        })
    }
}

impl External {
    /// The longest zone that has a name, and the label of the name at which it starts.
    pub(super) fn zone(&self, name: &LowerName<'_>) -> Option<(&Zone, usize)> {
        let (labels, zone) = self.zones.find(name)?;
        Some((zone, name.label_count() - labels))
    }

    fn find(
        &self,
        zone: &Zone,
        services: &dyn ExternalServices,
        query: &Query<'_>,
        context: &Context,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound {
        let question = ServiceQuestion { query, context, zone: &zone.name, ttl: self.ttl, headless: self.headless };
        match reverse::network(&query.name).and_then(|network| network.address()) {
            Some(address) => services.pointers(&question, address, &self.primary, answer),
            None if zone.is_reverse => ServiceFound::Missing,
            None => services.answer(&question, answer),
        }
    }

    /// Answers with an alias, and what the whole server has for it as the client would ask. What went wrong on that way
    /// is not the client's to know (CoreDNS): it gets the alias alone.
    async fn chase(&self, request: &Request) -> Option<Outcome> {
        let context = request.context();
        let query = &request.query();
        let (zone, _) = self.zone(&query.name)?;
        let zone = &zone.name;
        let question = ServiceQuestion { query, context: &context, zone, ttl: self.ttl, headless: self.headless };
        let target = self.services.get()?.alias(&question)?;
        let mut message = request.answer();
        message.flags |= flags::AA;
        message.answers.push(ResourceRecord {
            owner: request.name_as_asked().to_vec(),
            rtype: RecordType::CNAME,
            class: CLASS_IN,
            ttl: self.ttl,
            rdata: target.wire().to_vec(),
        });
        if let Outcome::Reply(reply) = request.lookup(target.wire(), request.qtype()).await
            && let Some(inner) = Message::parse(&reply.packet)
        {
            message.flags |= inner.flags & flags::TC;
            message.answers.extend(inner.answers);
        }
        if let Some(rule) = request.shape.ttl {
            rule.hold(&mut message);
        }
        Some(request.reply(&message))
    }

    /// An answer without records: the zone's SOA record says how long that may be remembered (RFC 2308 section 3).
    fn negative(&self, query: &Query<'_>, context: &Context, apex: usize, rcode: Rcode, out: &mut [u8]) -> usize {
        let mut answer = Answer::begin(query, out, context.limit);
        let mut soa = self.soa();
        if let Some(rule) = context.shape.ttl {
            soa.ttl = rule.negative.hold(if rcode == Rcode::SERVFAIL { FAILURE_TTL } else { soa.ttl });
        }
        self.write_soa(soa, Section::Authority, apex, &mut answer);
        answer.finish(rcode, true)
    }

    pub(super) fn soa(&self) -> Soa {
        let serial = self.services.get().map(|services| services.serial()).unwrap_or_default();
        Soa { serial, ttl: self.ttl, minimum: self.ttl }
    }
}

impl External {
    /// Answers one of the zone's own names.
    fn answer_own(
        &self,
        own: Own,
        query: &Query<'_>,
        context: &Context,
        apex: usize,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound {
        let ttl = context.shape.ttl.map_or(self.ttl, |rule| rule.positive.hold(self.ttl));
        match (own, query.qtype) {
            (Own::Missing, _) => ServiceFound::Missing,
            (Own::Apex, RecordType::SOA) => {
                self.write_soa(Soa { ttl, ..self.soa() }, Section::Answer, apex, answer);
                ServiceFound::Data
            }
            (Own::Apex, RecordType::NS) => {
                self.write_name_server(ttl, apex, answer);
                ServiceFound::Data
            }
            (Own::NameServer, RecordType::A | RecordType::AAAA) => self.write_addresses(query.qtype, ttl, answer),
            _ => ServiceFound::Nothing,
        }
    }
}
