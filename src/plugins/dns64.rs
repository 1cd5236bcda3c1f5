//! # Description
//! `dns64` makes IPv6 addresses from IPv4 addresses for clients that have no other way there than NAT64 (RFC 6147).
//!
//! # Syntax
//! ```text
//! dns64 [PREFIX] {
//!     prefix PREFIX
//!     translate_all
//!     allow_ipv4
//! }
//! ```
//! - **PREFIX**, `prefix` (`64:ff9b::/96`): the network that addresses are put in; a length of 32 to 96 bits in steps of
//!   8 (RFC 6052 section 2.2).
//! - `translate_all`: names that have IPv6 addresses get those made of the IPv4 ones in their place.
//! - `allow_ipv4`: for clients that ask over IPv4 too.
//!
//! A query for AAAA without an answer is asked again for A. The TTL is the smaller one of the A record and the SOA of
//! the AAAA answer (600 without a SOA). NXDOMAIN is not asked again. Clients that check signatures themselves (DO and CD)
//! get what is signed (RFC 6147 section 5.5).
//!
//! All queries for AAAA leave the fast lane.
//!
//! # Examples
//! ```corefile
//! . {
//!     dns64 2001:db8:64::/96 {
//!         allow_ipv4
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_dns64_requests_translated_total{server}`: answers that were made.
//!
//! # See also
//! RFC 6147, RFC 6052.

use crate::corefile::values;
use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{BoxFuture, Definition, Directive, Error, Handler, Next, Outcome, Request, Setup, Token};
use crate::wire::{CLASS_IN, Message, Rcode, RecordType, ResourceRecord, flags};
use std::net::IpAddr;
use std::sync::Arc;

/// `dns64`.
pub const DEFINITION: Definition = Definition { directive: "dns64", setup, metrics: &[&TRANSLATED] };

const TRANSLATED: Descriptor = Descriptor {
    name: "coredns_dns64_requests_translated_total",
    help: "Counter of DNS requests translated by dns64.",
    labels: &["server"],
    kind: MetricKind::Counter,
};

/// The TTL of what has no SOA to bound it.
const TTL_WITHOUT_SOA: u32 = 600;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    let (mut prefix, mut all, mut ipv4) =
        (Prefix { octets: *b"\x00\x64\xff\x9b\0\0\0\0\0\0\0\0\0\0\0\0", length: 96 }, false, false);
    match directive.args.as_slice() {
        [] => {}
        [word] => prefix = read_prefix(setup, word)?,
        _ => return Err(setup.arguments(directive, "dns64 [PREFIX]")),
    }
    let plain = |option: &Directive| match option.args.as_slice() {
        [] => Ok(true),
        _ => Err(setup.arguments(option, &option.name.text)),
    };
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("prefix", [word]) => prefix = read_prefix(setup, word)?,
            ("prefix", _) => return Err(setup.arguments(option, "prefix PREFIX")),
            ("translate_all", _) => all = plain(option)?,
            ("allow_ipv4", _) => ipv4 = plain(option)?,
            _ => return Err(setup.unknown(option, "prefix, translate_all, allow_ipv4")),
        }
    }
    let translated = setup.metrics.counter(&TRANSLATED).with_label_values(&[&*setup.plan.server]);
    setup.plan.leave_fast_lane_for(|query| query.qtype == RecordType::AAAA);
    setup.plan.chain.push(Arc::new(Dns64 { prefix, all, ipv4, translated }));
    Ok(())
}

fn read_prefix(setup: &Setup<'_>, word: &Token) -> Result<Prefix, Error> {
    match values::network(&word.text).map_err(|why| setup.error(word, why))? {
        (IpAddr::V6(first), length @ 32..=96) if length % 8 == 0 => Ok(Prefix { octets: first.octets(), length }),
        (IpAddr::V6(_), _) => {
            Err(setup.error(word, format!("invalid prefix '{}': its length is not 32 to 96 in steps of 8", word.text)))
        }
        (IpAddr::V4(_), _) => Err(setup.error(word, format!("invalid prefix '{}': it is not IPv6", word.text))),
    }
}

#[derive(Clone, Copy)]
struct Prefix {
    octets: [u8; 16],
    /// Bits.
    length: u8,
}

impl Prefix {
    /// Puts an address behind the prefix, around the octet from bit 64 on, which stays zero (RFC 6052 section 2.2).
    fn embed(&self, address: [u8; 4]) -> [u8; 16] {
        let mut octets = self.octets;
        let places = (usize::from(self.length / 8)..octets.len()).filter(|place| *place != 8);
        places.zip(address).for_each(|(place, octet)| octets[place] = octet);
        octets
    }
}

struct Dns64 {
    prefix: Prefix,
    all: bool,
    ipv4: bool,
    translated: prometheus::IntCounter,
}

impl Dns64 {
    fn is_ours(&self, request: &Request) -> bool {
        let client = request.client.ip().to_canonical();
        let checks = request.query().dnssec_ok() && request.query().checking_disabled();
        request.qtype() == RecordType::AAAA
            && request.qclass() == CLASS_IN
            && (self.ipv4 || client.is_ipv6())
            && !checks
    }

    /// Whether an answer for AAAA leaves something to be wished for: none, or an error that is not NXDOMAIN
    /// (RFC 6147 section 5.1.2).
    fn wants(&self, message: &Message) -> bool {
        let has_addresses = message.answers.iter().any(|record| record.rtype == RecordType::AAAA);
        self.all || message.rcode() != Rcode::NXDOMAIN && !has_addresses
    }

    /// The answer made of the A records of the name; `None` where it has none.
    async fn translate(&self, request: &Request, original: Option<&Message>) -> Option<Outcome> {
        let Outcome::Reply(reply) = request.lookup(request.name_as_asked(), RecordType::A).await else { return None };
        let mut message = Message::parse(&reply.packet)?;
        let soa =
            original.into_iter().flat_map(|message| &message.authorities).find(|one| one.rtype == RecordType::SOA);
        let bound = soa.map_or(TTL_WITHOUT_SOA, |soa| soa.ttl);
        let mut made = false;
        for record in &mut message.answers {
            made |= self.translate_record(record, bound);
        }
        // Cut to nothing is not nothing: the client asks again over TCP.
        made |= message.flags & flags::TC != 0;
        if !made || message.rcode() != Rcode::NOERROR {
            return None;
        }
        // The other sections are those of the answer for A (RFC 6147 section 5.4).
        message.question.qtype = RecordType::AAAA;
        // No zone has these records.
        message.flags &= !(flags::AA | flags::AD);
        self.translated.inc();
        Some(request.reply(&message))
    }

    fn translate_record(&self, record: &mut ResourceRecord, bound: u32) -> bool {
        let (RecordType::A, Some(address)) = (record.rtype, record.rdata.first_chunk()) else { return false };
        record.rdata = self.prefix.embed(*address).to_vec();
        record.rtype = RecordType::AAAA;
        record.ttl = record.ttl.min(bound);
        true
    }
}

impl Handler for Dns64 {
    fn name(&self) -> &'static str {
        "dns64"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        if !self.is_ours(request) {
            return next.run(request);
        }
        Box::pin(async move {
            let outcome = next.run(request).await;
            let message = match &outcome {
                Outcome::Reply(reply) => Message::parse(&reply.packet),
                Outcome::Failed(_) => None,
                Outcome::Dropped => return outcome,
            };
            if message.as_ref().is_some_and(|message| !self.wants(message)) {
                return outcome;
            }
            self.translate(request, message.as_ref()).await.unwrap_or(outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Failure, Lookup, Reply};
    use crate::plugins::testing::{Bench, query, query_with_edns, request};
    use hickory_proto::op::Message as Independent;

    /// Has a CNAME and two A records for every name but `none.test`.
    struct Server;

    impl Lookup for Server {
        fn lookup<'a>(&'a self, packet: Vec<u8>, request: &'a Request) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                let inner = request.with_packet(packet).unwrap();
                assert_eq!(inner.qtype(), RecordType::A);
                let mut message = inner.answer();
                let owner = inner.name_as_asked().to_vec();
                if inner.name.to_string() != "none.test." {
                    let record = |rtype, ttl, rdata: &[u8]| ResourceRecord {
                        owner: owner.clone(),
                        rtype,
                        class: 1,
                        ttl,
                        rdata: rdata.to_vec(),
                    };
                    message.answers = vec![
                        record(RecordType::CNAME, 50, b"\x01b\x04test\x00"),
                        record(RecordType::A, 100, &[192, 0, 2, 33]),
                        record(RecordType::A, 900, &[192, 0, 2, 34]),
                    ];
                    message.additionals = vec![record(RecordType::A, 1, &[192, 0, 2, 1])];
                }
                Outcome::Reply(Reply::new(message.to_octets(1232)))
            })
        }
    }

    fn asking(name: &str, client: &str) -> Request {
        let mut request = request(query_with_edns(name, RecordType::AAAA, 1232, false));
        request.client.set_ip(client.parse().unwrap());
        request.server = Arc::new(Server);
        request
    }

    fn reply(request: &Request, rcode: Rcode, answers: &[&[u8]], soa: Option<u32>) -> Outcome {
        let mut message = request.answer();
        message.set_rcode(rcode);
        let owner = request.name.wire().to_vec();
        let record = |rtype, ttl, rdata: &[u8]| ResourceRecord {
            owner: owner.clone(),
            rtype,
            class: 1,
            ttl,
            rdata: rdata.to_vec(),
        };
        message.answers = answers.iter().map(|rdata| record(RecordType::AAAA, 7, rdata)).collect();
        message.authorities = soa.map(|ttl| record(RecordType::SOA, ttl, &[0; 22])).into_iter().collect();
        Outcome::Reply(Reply::new(message.to_octets(1232)))
    }

    async fn answers(lines: &str, request: &Request, last: Outcome) -> Vec<String> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        match bench.ask(request, last).await {
            Outcome::Reply(reply) => {
                let message = Independent::from_vec(&reply.packet).unwrap();
                assert_eq!(message.queries[0].query_type(), hickory_proto::rr::RecordType::AAAA);
                assert!(message.edns.is_some());
                message.answers.iter().map(ToString::to_string).collect()
            }
            other => vec![format!("{other:?}")],
        }
    }

    const MADE: [&str; 3] = [
        "a.test. 50 IN CNAME b.test.",
        "a.test. 100 IN AAAA 64:ff9b::c000:221",
        "a.test. 600 IN AAAA 64:ff9b::c000:222",
    ];

    #[tokio::test]
    async fn what_has_no_addresses_gets_some() {
        let request = asking("a.test", "2001:db8::9");
        assert_eq!(answers("dns64", &request, reply(&request, Rcode::NOERROR, &[], None)).await, MADE);
        let bounded = answers("dns64", &request, reply(&request, Rcode::NOERROR, &[], Some(60))).await;
        assert_eq!(bounded[1..], ["a.test. 60 IN AAAA 64:ff9b::c000:221", "a.test. 60 IN AAAA 64:ff9b::c000:222"]);
        assert_eq!(answers("dns64", &request, reply(&request, Rcode::SERVFAIL, &[], None)).await, MADE);
        assert_eq!(answers("dns64", &request, Outcome::Failed(Failure::servfail("x"))).await, MADE);
    }

    #[tokio::test]
    async fn the_other_sections_are_those_of_the_answer_for_a() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "dns64").unwrap();
        let request = asking("a.test", "2001:db8::9");
        let outcome = bench.ask(&request, reply(&request, Rcode::NOERROR, &[], Some(60))).await;
        let Outcome::Reply(made) = outcome else { panic!("{outcome:?}") };
        let made = Message::parse(&made.packet).unwrap();
        let additional: Vec<_> = made.additionals.iter().map(|record| (record.rtype, record.ttl)).collect();
        assert_eq!((made.authorities.len(), additional), (0, vec![(RecordType::A, 1)]));
    }

    #[tokio::test]
    async fn what_has_some_or_is_not_there_stays() {
        let request = asking("a.test", "2001:db8::9");
        let own = answers("dns64", &request, reply(&request, Rcode::NOERROR, &[&[1; 16]], None)).await;
        assert_eq!(own, ["a.test. 7 IN AAAA 101:101:101:101:101:101:101:101"]);
        let all =
            answers("dns64 {\ntranslate_all\n}", &request, reply(&request, Rcode::NOERROR, &[&[1; 16]], None)).await;
        assert_eq!(all, MADE);
        assert!(answers("dns64", &request, reply(&request, Rcode::NXDOMAIN, &[], None)).await.is_empty());
        let none = asking("none.test", "2001:db8::9");
        assert!(answers("dns64", &none, reply(&none, Rcode::NOERROR, &[], None)).await.is_empty());
        let failed = answers("dns64", &none, Outcome::Failed(Failure::servfail("down"))).await;
        assert!(failed[0].contains("down"));
    }

    #[tokio::test]
    async fn clients_over_ipv4_only_where_allowed() {
        for client in ["10.0.0.1", "::ffff:10.0.0.1"] {
            let request = asking("a.test", client);
            let last = || reply(&request, Rcode::NOERROR, &[], None);
            assert!(answers("dns64", &request, last()).await.is_empty());
            assert_eq!(answers("dns64 {\nallow_ipv4\n}", &request, last()).await, MADE);
        }
    }

    #[tokio::test]
    async fn other_types_and_validating_clients_pass() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "dns64 {\nallow_ipv4\n}").unwrap();
        let plain = request(query("a.test", RecordType::A));
        assert_eq!(bench.ask(&plain, Outcome::Dropped).await, Outcome::Dropped);
        let mut checking = request(query_with_edns("a.test", RecordType::AAAA, 1232, true));
        checking.packet[3] |= 0x10;
        let last = reply(&checking, Rcode::NOERROR, &[], None);
        assert_eq!(bench.ask(&checking, last.clone()).await, last);
        let text = bench.metrics.render();
        assert!(text.contains("coredns_dns64_requests_translated_total{server=\"\"} 0"), "{text}");
    }

    /// The table of RFC 6052 section 2.4.
    #[test]
    fn addresses_are_put_where_they_belong() {
        let table = [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::c000:221"),
        ];
        for (prefix, expected) in table {
            let (IpAddr::V6(first), length) = values::network(prefix).unwrap() else { panic!("{prefix}") };
            let octets = Prefix { octets: first.octets(), length }.embed([192, 0, 2, 33]);
            assert_eq!(std::net::Ipv6Addr::from(octets).to_string(), expected, "{prefix}");
        }
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("dns64 a b", "expected: dns64 [PREFIX]"),
                ("dns64 64:ff9b::/97", "steps of 8"),
                ("dns64 64:ff9b::/24", "steps of 8"),
                ("dns64 10.0.0.0/8", "it is not IPv6"),
                ("dns64 prefix", "is no network"),
                ("dns64 {\nprefix\n}", "expected: prefix PREFIX"),
                ("dns64 {\ntranslate_all yes\n}", "expected: translate_all"),
                ("dns64 {\ntranslate\n}", "unknown property 'translate'"),
            ],
        );
    }
}
