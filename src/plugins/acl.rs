//! # Description
//! `acl` decides by client and type which queries are answered.
//!
//! # Syntax
//! ```text
//! acl [ZONE...] {
//!     allow|block|filter|drop [type TYPE...] [net SOURCE...]
//! }
//! ```
//! The directive can be used several times.
//! - **ZONE...** (the server block's): the names that the policies are for.
//! - `allow` lets the query through, `block` answers REFUSED, `filter` NOERROR without records, `drop` nothing.
//! - `type`: record types; `*` or none for all; `ANY` is the type of that name.
//! - `net`: addresses and networks of clients; `*` or none for all.
//!
//! In a directive the first policy that fits decides, and the first directive with such a policy; where no policy fits,
//! the query is let through. `block` and `filter` say so with an extended error (RFC 8914: 15, 17) to clients that send
//! an OPT; there is no OPT for those that do not.
//!
//! Queries of zones and types without a policy stay in the fast lane.
//!
//! # Examples
//! Only the cluster's own network:
//! ```corefile
//! . {
//!     acl {
//!         allow net 10.0.0.0/8 fd00::/8
//!         block
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//! No IPv6 addresses of one zone for some clients:
//! ```corefile
//! . {
//!     acl example.org {
//!         filter type AAAA net 192.168.0.0/16
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_acl_blocked_requests_total{server,zone,view}`, `coredns_acl_filtered_requests_total{server,zone,view}`,
//!   `coredns_acl_dropped_requests_total{server,zone,view}`
//! - `coredns_acl_allowed_requests_total{server,view}`: queries that were let through by or past policies for their zone
//!   and type; those that no policy is for are not counted here.
//!
//! # See also
//! `template`, which can answer names with nothing too.

use crate::corefile::values;
use crate::metrics::{Descriptor, MetricKind, Metrics};
use crate::plugin::{BoxFuture, Definition, Directive, Error, Handler, Next, Outcome, Request, Setup, Token};
use crate::wire::{LowerName, Name, NameBuffer, Rcode, RecordType};
use std::net::IpAddr;
use std::sync::Arc;

/// `acl`.
pub const DEFINITION: Definition =
    Definition { directive: "acl", setup, metrics: &[&BLOCKED, &FILTERED, &DROPPED, &ALLOWED] };

const BLOCKED: Descriptor = Descriptor {
    name: "coredns_acl_blocked_requests_total",
    help: "Counter of DNS requests being blocked.",
    labels: &["server", "zone", "view"],
    kind: MetricKind::Counter,
};

const FILTERED: Descriptor = Descriptor {
    name: "coredns_acl_filtered_requests_total",
    help: "Counter of DNS requests being filtered.",
    labels: &["server", "zone", "view"],
    kind: MetricKind::Counter,
};

const DROPPED: Descriptor = Descriptor {
    name: "coredns_acl_dropped_requests_total",
    help: "Counter of DNS requests being dropped.",
    labels: &["server", "zone", "view"],
    kind: MetricKind::Counter,
};

const ALLOWED: Descriptor = Descriptor {
    name: "coredns_acl_allowed_requests_total",
    help: "Counter of DNS requests being allowed.",
    labels: &["server", "view"],
    kind: MetricKind::Counter,
};

/// EDE codes (RFC 8914 sections 4.16 and 4.18).
const EDE_BLOCKED: u16 = 15;
const EDE_FILTERED: u16 = 17;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut rules = Vec::new();
    for directive in setup.directives {
        let zones = setup.zones_or_block(&directive.args)?;
        let policies = directive.options().iter().map(|option| read_policy(setup, option)).collect::<Result<_, _>>()?;
        rules.push(Rule { zones, policies });
    }
    let acl = Arc::new(Acl {
        rules,
        metrics: setup.metrics.clone(),
        server: setup.plan.server.clone(),
        view: setup.plan.view_name().to_owned(),
    });
    let gate = acl.clone();
    setup.plan.leave_fast_lane_for(move |query| gate.is_concerned(&query.name, query.qtype));
    setup.plan.chain.push(acl);
    Ok(())
}

fn read_policy(setup: &Setup<'_>, option: &Directive) -> Result<Policy, Error> {
    let action = match option.name.text.to_ascii_lowercase().as_str() {
        "allow" => Action::Allow,
        "block" => Action::Block,
        "filter" => Action::Filter,
        "drop" => Action::Drop,
        _ => return Err(setup.unknown(option, "allow, block, filter, drop")),
    };
    let (mut types, mut nets) = (None, None);
    let mut words = option.args.as_slice();
    while let Some((section, rest)) = words.split_first() {
        let is_section = |word: &Token| matches!(word.text.to_ascii_lowercase().as_str(), "type" | "net");
        let end = rest.iter().position(is_section).unwrap_or(rest.len());
        let (values, behind) = rest.split_at(end);
        if !is_section(section) {
            let message = format!("unexpected token '{}'; expect 'type | net'", section.text);
            return Err(setup.error(section, message));
        }
        if values.is_empty() {
            return Err(setup.error(section, format!("no token specified in '{}' section", section.text)));
        }
        if section.text.eq_ignore_ascii_case("type") {
            add(&mut types, read_types(setup, values)?);
        } else {
            add(&mut nets, read_nets(setup, values)?);
        }
        words = behind;
    }
    Ok(Policy { action, types: types.unwrap_or_default(), nets: nets.unwrap_or_default() })
}

/// Adds what another section of the same kind names; one that names all makes it all.
fn add<T>(held: &mut Option<Vec<T>>, more: Vec<T>) {
    match held {
        Some(held) if held.is_empty() || more.is_empty() => held.clear(),
        Some(held) => held.extend(more),
        None => *held = Some(more),
    }
}

/// The types named; none for all.
fn read_types(setup: &Setup<'_>, words: &[Token]) -> Result<Vec<RecordType>, Error> {
    let read = |word: &Token| {
        RecordType::from_mnemonic(&word.text)
            .ok_or_else(|| setup.error(word, format!("unexpected token '{}'; expect legal QTYPE", word.text)))
    };
    until_all(words, read)
}

/// The values up to a `*`, which stands for all and needs none; CoreDNS does not read what is behind it.
fn until_all<T>(words: &[Token], read: impl Fn(&Token) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let named = words.iter().take_while(|word| word.text != "*").map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(if named.len() < words.len() { Vec::new() } else { named })
}

/// The networks named; none for all.
fn read_nets(setup: &Setup<'_>, words: &[Token]) -> Result<Vec<(IpAddr, u8)>, Error> {
    let read = |word: &Token| values::network(&word.text).map_err(|why| setup.error(word, why));
    until_all(words, read)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Block,
    Filter,
    Drop,
}

struct Policy {
    action: Action,
    /// Empty for all.
    types: Vec<RecordType>,
    /// First address and prefix length; empty for all.
    nets: Vec<(IpAddr, u8)>,
}

impl Policy {
    fn is_for(&self, qtype: RecordType) -> bool {
        self.types.is_empty() || self.types.contains(&qtype)
    }

    fn fits(&self, client: IpAddr, qtype: RecordType) -> bool {
        self.is_for(qtype) && (self.nets.is_empty() || self.nets.iter().any(|net| contains(*net, client)))
    }
}

fn contains((first, length): (IpAddr, u8), address: IpAddr) -> bool {
    match (first, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            address.to_bits() & mask == first.to_bits() & mask
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            address.to_bits() & mask == first.to_bits() & mask
        }
        _ => false,
    }
}

/// One directive.
struct Rule {
    zones: Vec<Name>,
    policies: Vec<Policy>,
}

impl Rule {
    /// The longest zone that the name is in.
    fn zone(&self, name: &LowerName<'_>) -> Option<&Name> {
        self.zones.iter().filter(|zone| name.is_within(zone)).max_by_key(|zone| zone.wire().len())
    }
}

struct Acl {
    rules: Vec<Rule>,
    metrics: Metrics,
    server: String,
    view: String,
}

impl Acl {
    /// Whether some policy is for this name and type.
    fn is_concerned(&self, name: &LowerName<'_>, qtype: RecordType) -> bool {
        let concerns = |rule: &Rule| rule.zone(name).is_some() && rule.policies.iter().any(|one| one.is_for(qtype));
        self.rules.iter().any(concerns)
    }

    /// The action of the first policy that fits, and the zone it is for.
    fn decide(&self, name: &LowerName<'_>, qtype: RecordType, client: IpAddr) -> Option<(Action, &Name)> {
        self.rules.iter().find_map(|rule| {
            let zone = rule.zone(name)?;
            let policy = rule.policies.iter().find(|policy| policy.fits(client, qtype))?;
            Some((policy.action, zone))
        })
    }

    fn count(&self, metric: &'static Descriptor, zone: &Name) {
        self.metrics.counter(metric).with_label_values(&[&*self.server, &zone.to_string(), &*self.view]).inc();
    }

    /// An empty answer that says why it is one.
    fn deny(&self, request: &Request, rcode: Rcode, extended_error: u16) -> Outcome {
        let mut message = request.answer();
        message.set_rcode(rcode);
        message.add_extended_error(extended_error, "");
        request.reply(&message)
    }
}

impl Handler for Acl {
    fn name(&self) -> &'static str {
        "acl"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let (mut buffer, client) = (NameBuffer::default(), request.client.ip().to_canonical());
        let decision = buffer
            .lower(request.name.wire())
            .map(|name| (self.decide(&name, request.qtype(), client), self.is_concerned(&name, request.qtype())));
        match decision {
            Some((Some((Action::Block, zone)), _)) => {
                self.count(&BLOCKED, zone);
                let outcome = self.deny(request, Rcode::REFUSED, EDE_BLOCKED);
                Box::pin(async { outcome })
            }
            Some((Some((Action::Filter, zone)), _)) => {
                self.count(&FILTERED, zone);
                let outcome = self.deny(request, Rcode::NOERROR, EDE_FILTERED);
                Box::pin(async { outcome })
            }
            Some((Some((Action::Drop, zone)), _)) => {
                self.count(&DROPPED, zone);
                Box::pin(async { Outcome::Dropped })
            }
            Some((_, true)) => {
                self.metrics.counter(&ALLOWED).with_label_values(&[&*self.server, &*self.view]).inc();
                next.run(request)
            }
            _ => next.run(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Failure;
    use crate::plugin::Verdict;
    use crate::plugins::testing::{Bench, query, query_with_edns, request};
    use crate::wire::{Message, Query};

    /// What becomes of a query, in a word.
    async fn ask(bench: &Bench, client: &str, name: &str, qtype: RecordType) -> &'static str {
        let mut request = request(query_with_edns(name, qtype, 1232, true));
        request.client.set_ip(client.parse().unwrap());
        match bench.ask(&request, Outcome::Failed(Failure::servfail("next"))).await {
            Outcome::Failed(_) => "next",
            Outcome::Dropped => "dropped",
            Outcome::Reply(reply) => {
                let message = Message::parse(&reply.packet).unwrap();
                assert!(message.answers.is_empty() && message.authorities.is_empty());
                let options = message.opt.as_ref().unwrap().options.clone();
                match message.rcode() {
                    Rcode::REFUSED => {
                        assert_eq!(options, [(15, vec![0, 15])]);
                        "refused"
                    }
                    Rcode::NOERROR => {
                        assert_eq!(options, [(15, vec![0, 17])]);
                        "filtered"
                    }
                    _ => "other",
                }
            }
        }
    }

    #[tokio::test]
    async fn policies_decide() {
        let table = [
            ("acl {\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "refused"),
            ("acl {\nallow net 10.0.0.0/8\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl {\nallow net 10.0.0.0/8\nblock\n}", "::ffff:10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl {\nallow net 10.0.0.0/8\nblock\n}", "192.0.2.1", "a.test", RecordType::A, "refused"),
            // Sections of one kind add up, and one that is for all makes them all.
            (
                "acl {\nallow type A type MX net fd00::/8 net 10.0.0.0/8\nblock\n}",
                "10.1.2.3",
                "a.test",
                RecordType::A,
                "next",
            ),
            (
                "acl {\nallow type A type MX net fd00::/8 net 10.0.0.0/8\nblock\n}",
                "fd00::1",
                "a.test",
                RecordType::MX,
                "next",
            ),
            ("acl {\nallow type A type MX net fd00::/8\nblock\n}", "fd00::1", "a.test", RecordType::TXT, "refused"),
            ("acl {\nallow net fd00::/8 net *\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl {\nblock type NULL\n}", "10.1.2.3", "a.test", RecordType::NULL, "refused"),
            ("acl {\nallow net fd00::/8 10.9.9.9\nblock\n}", "fd12::1", "a.test", RecordType::A, "next"),
            ("acl {\nallow net fd00::/8 10.9.9.9\nblock\n}", "10.9.9.8", "a.test", RecordType::A, "refused"),
            ("acl {\nfilter type AAAA\n}", "10.1.2.3", "a.test", RecordType::AAAA, "filtered"),
            ("acl {\nfilter type AAAA\n}", "10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl {\ndrop type A net *\n}", "10.1.2.3", "a.test", RecordType::A, "dropped"),
            ("acl {\nblock type *\n}", "10.1.2.3", "a.test", RecordType::MX, "refused"),
            ("acl {\nblock type * net 10.1.2.3/32\n}", "10.1.2.3", "a.test", RecordType::MX, "refused"),
            ("acl {\nblock type ANY\nallow\n}", "10.1.2.3", "a.test", RecordType::ANY, "refused"),
            ("acl b.test {\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl b.test {\nblock\n}", "10.1.2.3", "x.B.test", RecordType::A, "refused"),
            ("acl a.test {\nallow\n}\nacl {\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "next"),
            ("acl a.test {\nallow net 1.2.3.4\n}\nacl {\nblock\n}", "10.1.2.3", "a.test", RecordType::A, "refused"),
        ];
        for (lines, client, name, qtype, expected) in table {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, lines).unwrap();
            assert_eq!(ask(&bench, client, name, qtype).await, expected, "{lines} {client}");
        }
    }

    #[tokio::test]
    async fn decisions_are_counted() {
        let bench = Bench::new();
        let lines = "acl test {\nblock type A\nfilter type AAAA\ndrop type MX\nallow type TXT\n}";
        bench.set_up(&DEFINITION, lines).unwrap();
        for qtype in [RecordType::A, RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::NS] {
            ask(&bench, "10.1.2.3", "a.test", qtype).await;
        }
        let text = bench.metrics.render();
        for name in [
            "coredns_acl_blocked_requests_total",
            "coredns_acl_filtered_requests_total",
            "coredns_acl_dropped_requests_total",
        ] {
            let line = format!("{name}{{server=\"\",view=\"\",zone=\"test.\"}} 1");
            assert!(text.contains(&line), "{line}");
        }
        assert!(text.contains("coredns_acl_allowed_requests_total{server=\"\",view=\"\"} 1"));
    }

    #[test]
    fn only_what_policies_are_for_leaves_the_fast_lane() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "acl test {\nfilter type AAAA\n}").unwrap();
        let table = [
            ("a.test", RecordType::AAAA, Verdict::Slow),
            ("a.test", RecordType::A, Verdict::Pass),
            ("a.example", RecordType::AAAA, Verdict::Pass),
        ];
        for (name, qtype, expected) in table {
            let packet = query(name, qtype);
            let mut buffer = NameBuffer::default();
            let query = Query::parse(&packet, &mut buffer).unwrap();
            let context = request(packet.clone()).context();
            assert_eq!(bench.done().plan.stores[0].answer(&query, &context, &mut [0; 512]), expected, "{name}");
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("acl {\nblock type A nonsense *\n}", "unexpected token 'nonsense'; expect legal QTYPE"),
                ("acl {\nblock net 10.0.0.256 *\n}", "10.0.0.256"),
                ("acl a..b {\nblock\n}", "a label is empty"),
                ("acl {\nreject\n}", "unknown property 'reject'"),
                ("acl {\nblock A\n}", "expect 'type | net'"),
                ("acl {\nblock type\n}", "no token specified in 'type' section"),
                ("acl {\nblock type A net\n}", "no token specified in 'net' section"),
                ("acl {\nblock type ABC\n}", "expect legal QTYPE"),
                ("acl {\nblock net 10.0.0.0/33\n}", "no prefix length"),
                ("acl {\nblock net cluster\n}", "is no network"),
            ],
        );
    }
}
