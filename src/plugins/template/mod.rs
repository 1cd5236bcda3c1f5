//! # Description
//! `template` makes answers from the question: records whose text is a Go template, a response code, or nothing.
//!
//! # Syntax
//! ```text
//! template CLASS TYPE [ZONE...] {
//!     match REGEX...
//!     var NAME EXPRESSION
//!     expr EXPRESSION
//!     answer RR...
//!     additional RR...
//!     authority RR...
//!     rcode CODE
//!     ederror CODE [TEXT]
//!     fallthrough [ZONE...]
//! }
//! ```
//! The directive can be used several times; the first that fits answers.
//! - **CLASS**, **TYPE**: those answered for; `ANY` for all. A query for `ANY` fits every template.
//! - **ZONE...** (the server block's): the names answered for.
//! - `match` (`.*`): patterns for the name, lower case and with its last dot; not anchored. The first that matches
//!   counts.
//! - `expr`: a condition in the language of `view`, with its functions; all have to be true, or it is as if no `match`
//!   fitted. `group(NAME)` and `group(NUMBER)` are what the pattern matched.
//! - `var`: a value, for the conditions and variables behind it by its **NAME**, and for templates as `.Var.NAME`.
//! - `answer`, `additional`, `authority`: records in the form of zone files, after the template is filled. A TTL left out
//!   is 3600, a class left out IN. A CNAME that answers A or AAAA is followed.
//! - `rcode` (NOERROR): SERVFAIL is the server's own, without records and AA.
//! - `ederror`: an extended error (RFC 8914) for clients that send an OPT.
//! - `fallthrough`: names that no `match` fits go to the next template and then to the next plugin; without it they are
//!   SERVFAIL.
//!
//! Templates know these values: `.Zone`, `.Name` (lower case), `.Class`, `.Type`, `.Match` and `.Group` (what the
//! pattern matched, by number and by name), `.Remote` (the client's address), `.Question.Name`, `.Question.Qtype`,
//! `.Question.Qclass`, `.Message.Id` and the message's other header fields (`.Message.RecursionDesired`), `.Regex` (the
//! pattern), `.Var.NAME`, and `.Meta "label"`, the value of a label of `metadata`. They know pipelines, variables,
//! `if`, `with` and `range` with their `else`, `end`, `break` and `continue` (`.` is then the value gone over, and `$`
//! what stands above), `define`, `template` and `block` (their `.` and `$` are what they are given, and a record knows
//! its own only), and the functions `index` `slice` `len` `parseInt` `print` `printf` `println` `html` `js` `urlquery`
//! `eq` `ne` `lt` `le` `gt` `ge` `and` `or` `not`. What is not known is an error at load, but in `define` and `block`,
//! and behind `with` and `range`, where only the query tells what `.` is. `{{$x}}` has to be written `{{ $x }}`: the
//! Corefile would take it for a variable of the environment.
//!
//! A template without records costs no more than an answer from memory; one with records makes only the queries it fits
//! leave the fast lane, and so do those that conditions are asked about.
//!
//! # Examples
//! No IPv6 addresses for one zone:
//! ```corefile
//! . {
//!     template IN AAAA example.org
//!     forward . /etc/resolv.conf
//! }
//! ```
//! Names that hold an address:
//! ```corefile
//! . {
//!     template IN A example {
//!         match "^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$"
//!         answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
//!         fallthrough
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//! A zone that is not there, with the SOA that resolvers need to remember so:
//! ```corefile
//! . {
//!     template ANY ANY invalid {
//!         rcode NXDOMAIN
//!         authority "invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)"
//!         ederror 21 "Blocked by policy"
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! Names that hold an address, if it is a private one:
//! ```corefile
//! . {
//!     template IN A example.com {
//!         match ^(?P<ip>[0-9]{1,3}(-[0-9]{1,3}){3})[.]device[.]example[.]com[.]$
//!         var ip replace(group('ip'), '-', '.')
//!         expr "any(['10.0.0.0/8', '192.168.0.0/16'], incidr(ip, #))"
//!         answer "{{ .Name }} 60 IN A {{ .Var.ip }}"
//!         fallthrough
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_template_matches_total{server,zone,view,class,type}`: queries that a pattern matched.
//! - `coredns_template_template_failures_total{server,zone,view,class,type,section,template}`: templates that could not
//!   be filled.
//! - `coredns_template_rr_failures_total{server,zone,view,class,type,section,template}`: records that could not be read.
//!
//! # See also
//! `nodata`, for the commonest template in one line. `rewrite`. Go's text/template.

mod conditions;
mod floats;
mod functions;
mod language;
mod printf;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod value;

use crate::metrics::{Descriptor, MetricKind, Metrics};
use crate::plugin::{
    BoxFuture, Context, Definition, Error, Failure, Fallthrough, Handler, Next, Outcome, Reply, Request, Setup, Source,
    Verdict,
};
use crate::wire::flags::{AA, TC};
use crate::wire::{
    Answer, CLASS_ANY, LowerName, Message, Name, NameText, Query, Rcode, RecordType, ResourceRecord, Section,
};
use conditions::{Conditions, Variables};
use language::Template;
use prometheus::{IntCounter, IntCounterVec};
use regex::Regex;
use std::sync::Arc;
use value::Scope;

/// `template`.
pub const DEFINITION: Definition =
    Definition { directive: "template", setup, metrics: &[&MATCHES, &TEMPLATE_FAILURES, &RECORD_FAILURES] };

const MATCHES: Descriptor = Descriptor {
    name: "coredns_template_matches_total",
    help: "Counter of template regex matches.",
    labels: &["server", "zone", "view", "class", "type"],
    kind: MetricKind::Counter,
};

const TEMPLATE_FAILURES: Descriptor = Descriptor {
    name: "coredns_template_template_failures_total",
    help: "Counter of go template failures.",
    labels: &["server", "zone", "view", "class", "type", "section", "template"],
    kind: MetricKind::Counter,
};

const RECORD_FAILURES: Descriptor = Descriptor {
    name: "coredns_template_rr_failures_total",
    help: "Counter of mis-templated RRs.",
    labels: &["server", "zone", "view", "class", "type", "section", "template"],
    kind: MetricKind::Counter,
};

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut rules = Vec::new();
    for directive in setup.directives {
        rules.push(read::rule(setup, directive)?);
    }
    let templates = Arc::new(Templates {
        rules,
        matches: setup.metrics.counter(&MATCHES),
        metrics: setup.metrics.clone(),
        server: setup.plan.server.clone(),
        view: setup.plan.view_name().to_owned(),
    });
    setup.plan.stores.push(templates.clone());
    setup.plan.chain.push(templates);
    Ok(())
}

/// One directive.
struct Rule {
    class: u16,
    qtype: RecordType,
    zones: Vec<Zone>,
    /// Empty for `.*`.
    patterns: Vec<Regex>,
    conditions: Conditions,
    records: Vec<(Section, Template)>,
    rcode: Rcode,
    extended_error: Option<(u16, String)>,
    fallthrough: Fallthrough,
}

/// One of its zones.
struct Zone {
    name: Name,
    /// What metrics and templates call it.
    label: String,
    /// Matches of the directive's own class and type.
    matches: IntCounter,
}

impl Rule {
    /// Whether the answer is the same for all questions, but for the question.
    fn is_plain(&self) -> bool {
        self.records.is_empty()
            && self.conditions.is_empty()
            && self.extended_error.is_none()
            && self.rcode != Rcode::SERVFAIL
            && self.rcode.0 <= 0x0f
    }

    /// The longest of the zones that the query is for, if class and type fit too.
    fn zone(&self, name: &LowerName<'_>, query: &Query<'_>) -> Option<&Zone> {
        let class_fits = self.class == CLASS_ANY || query.qclass == CLASS_ANY || query.qclass == self.class;
        let type_fits = self.qtype == RecordType::ANY || query.qtype == RecordType::ANY || query.qtype == self.qtype;
        if !class_fits || !type_fits {
            return None;
        }
        self.zones.iter().filter(|zone| name.is_within(&zone.name)).max_by_key(|zone| zone.name.wire().len())
    }

    /// The class and the type that an answer is about: the query's, but the rule's where the query is for any.
    fn about(&self, qclass: u16, qtype: RecordType) -> (u16, RecordType) {
        let class = if qclass == CLASS_ANY { self.class } else { qclass };
        (class, if qtype == RecordType::ANY { self.qtype } else { qtype })
    }
}

/// What the rules say to a query.
enum Choice<'t> {
    /// No rule is for it.
    None,
    /// A rule's zone is, but none of its patterns.
    Stranger,
    /// A rule may be for it: its conditions need the whole request.
    Later,
    /// This rule answers, by this pattern, in this zone.
    Rule(&'t Rule, Option<&'t Regex>, &'t Zone, Variables),
}

struct Templates {
    rules: Vec<Rule>,
    matches: IntCounterVec,
    metrics: Metrics,
    server: String,
    view: String,
}

impl Templates {
    fn choose(&self, query: &Query<'_>, request: Option<&Request>) -> Choice<'_> {
        let mut text = NameText::default();
        for rule in &self.rules {
            let Some(zone) = rule.zone(&query.name, query) else { continue };
            let pattern = rule.patterns.iter().find(|pattern| pattern.is_match(text.of(&query.name)));
            if pattern.is_some() || rule.patterns.is_empty() {
                let variables = match request {
                    _ if rule.conditions.is_empty() => Some(Variables::default()),
                    Some(request) => rule.conditions.admit(query, request, pattern),
                    None => return Choice::Later,
                };
                if let Some(variables) = variables {
                    return Choice::Rule(rule, pattern, zone, variables);
                }
            }
            if !rule.fallthrough.lets(&query.name) {
                return Choice::Stranger;
            }
        }
        Choice::None
    }

    /// Counts a match by what the answer is about.
    fn count(&self, rule: &Rule, zone: &Zone, about: (u16, RecordType)) {
        if about == (rule.class, rule.qtype) {
            return zone.matches.inc();
        }
        let [class, qtype] = value::labels(about);
        self.matches.with_label_values(&[&*self.server, &*zone.label, &*self.view, class, qtype]).inc();
    }
}

/// The fast lane: answers without records.
impl Source for Templates {
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        match self.choose(query, None) {
            Choice::None => Verdict::Pass,
            Choice::Rule(rule, _, zone, _) if rule.is_plain() => {
                self.count(rule, zone, rule.about(query.qclass, query.qtype));
                Verdict::Answered(Answer::begin(query, out, context.limit).finish(rule.rcode, true))
            }
            Choice::Rule(..) | Choice::Stranger | Choice::Later => Verdict::Slow,
        }
    }
}

impl Handler for Templates {
    fn name(&self) -> &'static str {
        "template"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self.choose(&request.query(), Some(request)) {
                Choice::None | Choice::Later => next.run(request).await,
                Choice::Stranger => Outcome::Failed(Failure::servfail("")),
                Choice::Rule(rule, pattern, zone, variables) => {
                    let about = rule.about(request.qclass(), request.qtype());
                    self.count(rule, zone, about);
                    let scope = Scope::new(request, about, &zone.label, pattern, variables);
                    match self.fill(request, rule, &scope).await {
                        Ok(message) => request.reply(&message),
                        Err(reason) => Outcome::Failed(Failure::servfail(reason)),
                    }
                }
            }
        })
    }
}

impl Templates {
    async fn fill(&self, request: &Request, rule: &Rule, scope: &Scope<'_>) -> Result<Message, String> {
        if rule.rcode == Rcode::SERVFAIL {
            return Err(String::new());
        }
        let mut message = request.answer();
        // A code of more than four bits cannot be said without an OPT (RFC 6891 section 6.1.3).
        if rule.rcode.0 > 0x0f && message.opt.is_none() {
            return Err(format!("{} is for clients that send an OPT", rule.rcode));
        }
        message.flags |= AA;
        message.set_rcode(rule.rcode);
        for (section, template) in &rule.records {
            let failed = |metric: &'static Descriptor, why: String| {
                let (section, [class, qtype]) = (section_name(*section), value::labels(scope.about));
                let labels = [&*self.server, scope.zone, &*self.view, class, qtype, section, &template.source];
                self.metrics.counter(metric).with_label_values(&labels).inc();
                format!("{section} '{}': {why}", template.source)
            };
            let text = template.fill(scope).map_err(|why| failed(&TEMPLATE_FAILURES, why))?;
            let record = record::read(&text).map_err(|why| failed(&RECORD_FAILURES, format!("'{text}': {why}")))?;
            let target = followed(request, *section, &record);
            message.sections_mut()[*section as usize].push(record);
            if let Some(target) = target {
                self.follow(request, &target, &mut message).await;
            }
        }
        if let Some((code, text)) = &rule.extended_error {
            message.add_extended_error(*code, text);
        }
        if let Some(rule) = request.shape.ttl {
            rule.hold(&mut message);
        }
        Ok(message)
    }

    /// Adds what a CNAME's target has.
    async fn follow(&self, request: &Request, target: &[u8], message: &mut Message) {
        if let Outcome::Reply(Reply { packet, .. }) = request.lookup(target, request.qtype()).await
            && let Some(found) = Message::parse(&packet)
        {
            message.flags |= found.flags & TC;
            message.answers.extend(found.answers);
        }
    }
}

fn section_name(section: Section) -> &'static str {
    match section {
        Section::Answer => "answer",
        Section::Authority => "authority",
        Section::Additional => "additional",
    }
}

/// The name to look up behind a record.
fn followed(request: &Request, section: Section, record: &ResourceRecord) -> Option<Vec<u8>> {
    let wanted = matches!(request.qtype(), RecordType::A | RecordType::AAAA);
    let is_chain = section == Section::Answer && record.rtype == RecordType::CNAME;
    (wanted && is_chain).then(|| record.target().map(<[u8]>::to_vec)).flatten()
}
