//! # Description
//! `transfer` hands whole zones of the block to other name servers: AXFR (RFC 5936), and IXFR (RFC 1995) as the SOA
//! record alone where the client has the current serial, else as the whole zone. AXFR over UDP is refused; IXFR over
//! UDP is the SOA record alone, which tells the client whether to ask over TCP (section 2 there). When a zone changes,
//! the addresses in `to` are told (NOTIFY, RFC 1996) within a second or so.
//!
//! The zones are those of `kubernetes` (services, endpoints and aliases, without pods and reverse names), `file`, `auto`
//! and `secondary` in the same block. A request that `tsig` has verified gets every message of its answer signed.
//!
//! # Syntax
//! ```text
//! transfer [ZONE...] {
//!     to ADDRESS...
//!     source ADDRESS
//! }
//! ```
//! * **ZONE**: names of zones; the block's if there are none.
//! * `to` has the addresses that may ask, and that are told of changes (at port 53 or the one given, `192.0.2.1:5353`);
//!   `*` lets everybody ask. It may be given several times, and once at least.
//! * `source`: the address of ours that NOTIFY is sent from. It does not bear on who may ask.
//!
//! `transfer` may stand in a block several times; the longest zone that fits a question counts. At most four transfers
//! are on their way at a time; further ones get SERVFAIL, and secondaries ask again.
//!
//! # Examples
//! ```corefile
//! cluster.local {
//!     kubernetes
//!     transfer {
//!         to 192.0.2.1 192.0.2.2
//!     }
//! }
//! ```
//!
//! A zone of a file, only for those who have the key:
//! ```corefile
//! example.org {
//!     tsig {
//!         secret transfer.example.org. NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=
//!         require AXFR IXFR
//!     }
//!     transfer {
//!         to *
//!     }
//!     file /etc/dunlin/db.example.org
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `kubernetes`, `file`, `auto`, `secondary`, `tsig`, `acl`.

mod notify;
mod send;
#[cfg(test)]
mod tests;

use crate::plugin::{
    BoxFuture, Definition, Directive, Error, Failure, Handler, Next, Outcome, Request, Setup, Transport, ZoneHolders,
};
use crate::wire::{Name, Rcode, RecordType};
use notify::Notifier;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// `transfer`.
pub const DEFINITION: Definition = Definition { directive: "transfer", setup, metrics: &[] };

/// Transfers on their way at a time: each holds its zone in memory.
const MOST: usize = 4;
/// The port of DNS.
const PORT: u16 = 53;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let rules: Vec<Rule> =
        setup.directives.iter().map(|directive| Rule::read(setup, directive)).collect::<Result<_, _>>()?;
    let rules: Arc<[Rule]> = rules.into();
    let holders = setup.plan.holders.clone();
    setup.process.lifecycles.push(Arc::new(Notifier::new(rules.clone(), holders.clone())));
    setup.plan.chain.push(Arc::new(Transfer { rules, holders, places: Arc::new(Semaphore::new(MOST)) }));
    Ok(())
}

/// One directive.
struct Rule {
    zones: Vec<Name>,
    everybody: bool,
    to: Vec<SocketAddr>,
    /// Where NOTIFY is sent from.
    source: Option<IpAddr>,
}

impl Rule {
    fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<Rule, Error> {
        let mut rule =
            Rule { zones: setup.zones_or_block(&directive.args)?, everybody: false, to: Vec::new(), source: None };
        for option in directive.options() {
            match (option.name.text.as_str(), &option.args[..]) {
                ("to", []) => return Err(setup.arguments(option, "to ADDRESS...")),
                ("to", words) => {
                    for word in words {
                        let text = word.text.strip_prefix("dns://").unwrap_or(&word.text);
                        match (text, address(text)) {
                            ("*", _) => rule.everybody = true,
                            (_, Some(address)) => rule.to.push(address),
                            (_, None) => {
                                return Err(setup.error(word, format!("'{text}' is neither an IP address nor *")));
                            }
                        }
                    }
                }
                ("source", [word]) => {
                    let source = word.text.parse();
                    let wrong = |_| setup.error(word, format!("'{}' is no IP address", word.text));
                    rule.source = Some(source.map_err(wrong)?);
                }
                ("source", _) => return Err(setup.arguments(option, "source ADDRESS")),
                _ => return Err(setup.unknown(option, "to, source")),
            }
        }
        if let Some(source) = rule.source
            && let Some(to) = rule.to.iter().find(|to| to.is_ipv4() != source.is_ipv4())
        {
            return Err(setup.error(&directive.name, format!("from {source} there is no way to {to}")));
        }
        if rule.to.is_empty() && !rule.everybody {
            return Err(setup.error(&directive.name, "'to' is required; expected: to ADDRESS..."));
        }
        Ok(rule)
    }

    fn allows(&self, client: IpAddr) -> bool {
        self.everybody || self.to.iter().any(|address| address.ip() == client.to_canonical())
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| Some((bare.parse::<IpAddr>().ok()?, PORT).into()))
}

/// The plugin.
struct Transfer {
    rules: Arc<[Rule]>,
    holders: ZoneHolders,
    places: Arc<Semaphore>,
}

impl Handler for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        match self.rule(request) {
            Some(rule) => Box::pin(async move { self.transfer(request, rule, next).await }),
            None => next.run(request),
        }
    }
}

impl Transfer {
    /// The directive that a request for a transfer falls under.
    fn rule(&self, request: &Request) -> Option<&Rule> {
        if !matches!(request.qtype(), RecordType::AXFR | RecordType::IXFR) {
            return None;
        }
        let longest = |rule: &Rule| {
            let fitting = rule.zones.iter().filter(|zone| request.name.is_within(zone));
            fitting.map(Name::label_count).max()
        };
        self.rules
            .iter()
            .filter_map(|rule| Some((longest(rule)?, rule)))
            .max_by_key(|(labels, _)| *labels)
            .map(|(_, rule)| rule)
    }

    async fn transfer(&self, request: &Request, rule: &Rule, next: Next<'_>) -> Outcome {
        let refused = |reason: &str| Outcome::Failed(Failure { rcode: Rcode::REFUSED, reason: reason.into() });
        let is_incremental = request.qtype() == RecordType::IXFR;
        if request.transport == Transport::Udp && !is_incremental {
            return refused("AXFR is made over TCP");
        }
        if !rule.allows(request.client.ip()) {
            return refused("the client is not in 'to'");
        }
        let holder = self.holders.all().into_iter().find_map(|holder| Some((holder.serial(&request.name)?, holder)));
        let Some((serial, holder)) = holder else { return next.run(request).await };
        let is_known = is_incremental && send::client_serial(&request.packet) == Some(serial);
        if is_known || request.transport == Transport::Udp {
            return send::current(request, holder.soa(&request.name));
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Outcome::Failed(Failure::servfail("too many transfers at a time"));
        };
        // Collecting a large zone takes a while, which other queries must not wait for.
        let (zone, from) = (request.name.clone(), holder);
        let Ok(Some(records)) = tokio::task::spawn_blocking(move || from.records(&zone)).await else {
            return Outcome::Failed(Failure::servfail("the zone cannot be handed out"));
        };
        send::reply(request, records, place)
    }
}
