//! # Description
//! `secondary` answers for zones that it takes from other servers by AXFR (RFC 5936), as `file` answers for zones of
//! files. It looks at the primary's SOA record as the zone's own timers say, and at once where the primary tells of a
//! change (NOTIFY, RFC 1996). Nothing is kept on disk: a restart takes the zones again, a reload keeps them.
//!
//! # Syntax
//! ```text
//! secondary [ZONE...] {
//!     transfer from ADDRESS...
//!     key NAME
//!     catalog [ZONE...]
//!     fallthrough [ZONE...]
//! }
//! ```
//! * **ZONE...** (the server block's): the zones.
//! * `transfer from` has the primaries' addresses (port 53, or the one given: `192.0.2.1:5353`), tried one after another.
//!   It may be given several times, and once at least. Only from these NOTIFY is taken.
//! * `key`: every request is signed with this key (RFC 8945), and answers that are not signed with it are refused. `tsig`
//!   in this block or one before it has the key. CoreDNS does not have this option.
//! * `catalog`: each **ZONE** of the directive is a catalog zone (RFC 9432), whose members are taken from the same
//!   primaries with the same key, and answered and handed on as it is. Members have to be within the zones that stand
//!   behind `catalog`, which RFC 9432 section 7 recommends to give, or may be any. A broken catalog changes nothing. Only
//!   queries that this server block serves come here: it has to be for the members' zones too, for `.` say.
//! * `fallthrough`: names that the zone does not have go to the next plugin, those below **ZONE...** or all.
//!
//! A zone is SERVFAIL before its first transfer, which is tried every 10 seconds, and when no primary has confirmed it
//! for the SOA's expiry time. A transfer of more than 256 MiB or 2,000,000 records is given up, and so is one in which
//! the primary is silent for 10 seconds. Of a catalog 10,000 members are followed, 16 at a time. IXFR is not asked for.
//! The records of DNSSEC are handed on by `transfer` and answered where they are asked for by name, but not added to
//! answers.
//!
//! # Examples
//! ```corefile
//! example.org {
//!     secondary {
//!         transfer from 192.0.2.1 192.0.2.2
//!     }
//! }
//! ```
//! Taken with a key, and handed on:
//! ```corefile
//! example.net {
//!     tsig {
//!         secret transfer.example.net. NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=
//!     }
//!     secondary {
//!         transfer from 192.0.2.1
//!         key transfer.example.net.
//!     }
//!     transfer {
//!         to *
//!     }
//! }
//! ```
//!
//! The zones of a catalog, below two names only:
//! ```corefile
//! . {
//!     secondary catalog.example {
//!         transfer from 192.0.2.1
//!         catalog example.org internal.example
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! * `dunlin_secondary_refreshes_total{zone, result}`: looks at the primaries: `transferred`, `current`, `failed`.
//! * `dunlin_secondary_notifies_total{zone, result}`: NOTIFY from a primary (`taken`) or from elsewhere (`dropped`).
//!
//! # See also
//! `file`, `transfer`, `tsig`.

mod catalog;
mod fetch;
mod refresh;
#[cfg(test)]
mod tests;

use crate::corefile::values::{self, Host};
use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{
    BoxFuture, Definition, Directive, Error, Failure, Fallthrough, Handler, Next, Outcome, Request, Setup, ZoneHolder,
    answer_from, not_ours,
};
use crate::wire::tsig::Key;
use crate::wire::{Name, Rcode, RecordType, ResourceRecord, flags};
use crate::zone::master::MasterZone;
use catalog::{Catalog, Members};
use prometheus::IntCounterVec;
use refresh::{Followed, Following};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// `secondary`.
pub const DEFINITION: Definition = Definition { directive: "secondary", setup, metrics: &[&REFRESHES, &NOTIFIES] };

const REFRESHES: Descriptor = Descriptor {
    name: "dunlin_secondary_refreshes_total",
    help: "Counter of looks at a zone's primaries, by result (transferred, current, failed).",
    labels: &["zone", "result"],
    kind: MetricKind::Counter,
};
const NOTIFIES: Descriptor = Descriptor {
    name: "dunlin_secondary_notifies_total",
    help: "Counter of NOTIFY messages for a zone: of its primaries (taken), of others (dropped).",
    labels: &["zone", "result"],
    kind: MetricKind::Counter,
};

/// The opcode NOTIFY.
const NOTIFY: u8 = 4;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut zones = Vec::new();
    for directive in setup.directives {
        zones.extend(read(setup, directive)?);
    }
    // The longest zone is found first.
    zones.sort_by_key(|zone| std::cmp::Reverse(zone.followed.origin.label_count()));
    let names: Vec<_> = zones.iter().map(|zone| zone.followed.origin.clone()).collect();
    let members = members(setup, &zones);
    let refreshes = setup.metrics.counter(&REFRESHES);
    for zone in &zones {
        let (key, refreshes, names) = (zone.key.clone(), refreshes.clone(), names.clone());
        let following = match &zone.catalog {
            None => {
                let followed = zone.followed.clone();
                Following::new(move || {
                    let (followed, key, refreshes) = (followed.clone(), key.clone(), refreshes.clone());
                    Box::pin(async move { followed.follow(key, refreshes).await })
                })
            }
            Some(catalog) => {
                let (members, catalog) = (members.clone(), catalog.clone());
                Following::new(move || {
                    let (catalog, names) = (catalog.clone(), names.clone());
                    Box::pin(members.clone().follow(catalog, names, key.clone(), refreshes.clone()))
                })
            }
        };
        setup.process.lifecycles.push(Arc::new(following));
    }
    // Only the slow lane answers from these zones; what stands behind in the chain is not asked before it.
    let listed = members.clone();
    setup.plan.leave_fast_lane_for(move |query| {
        names.iter().any(|zone| query.name.is_within(zone)) || listed.covering(query.name.wire()).is_some()
    });
    let secondary = Arc::new(Secondary { zones, members, notifies: setup.metrics.counter(&NOTIFIES) });
    setup.plan.holders.add(secondary.clone());
    setup.plan.chain.push(secondary);
    Ok(())
}

/// The members of the block's catalogs, as they were before a reload of the same catalogs.
fn members(setup: &Setup<'_>, zones: &[Zone]) -> Arc<Members> {
    let catalogs = zones.iter().filter_map(|zone| zone.catalog.as_ref());
    let catalogs: Vec<_> = catalogs
        .map(|catalog| format!("{} {:?} {:?}", catalog.followed.origin, catalog.followed.primaries, catalog.allowed))
        .collect();
    if catalogs.is_empty() {
        return Arc::default();
    }
    let kept = format!("secondary catalogs {}", catalogs.join(", "));
    let members = setup.kept.get::<Members>(&kept).unwrap_or_default();
    setup.keep.put(kept, members.clone());
    members
}

fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<Vec<Zone>, Error> {
    let zones = setup.zones_or_block(&directive.args)?;
    let (mut primaries, mut key, mut fallthrough) = (Vec::new(), None, Fallthrough::default());
    let mut catalog: Option<Vec<Name>> = None;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("transfer", [from, addresses @ ..]) if from.text == "from" && !addresses.is_empty() => {
                for word in addresses {
                    let primary = primary(&word.text).map_err(|why| setup.error(word, why))?;
                    primaries.push(primary);
                }
            }
            ("transfer", _) => return Err(setup.arguments(option, "transfer from ADDRESS...")),
            ("key", [word]) => {
                let name = Name::from_text(&word.text).map_err(|why| setup.error(word, why))?;
                let missing = "is not there; expected: tsig { secret NAME KEY } in this block or one before it";
                let found = setup.process.keys.get(&name);
                key = Some(found.ok_or_else(|| setup.error(word, format!("the key {name} {missing}")))?);
            }
            ("key", _) => return Err(setup.arguments(option, "key NAME")),
            ("fallthrough", _) => fallthrough = Fallthrough::read(setup, option)?,
            ("catalog", words) => {
                let allowed = catalog.get_or_insert_default();
                for word in words {
                    allowed.push(Name::from_text(&word.text).map_err(|why| setup.error(word, why))?);
                }
            }
            _ => return Err(setup.unknown(option, "transfer, key, catalog, fallthrough")),
        }
    }
    if primaries.is_empty() {
        return Err(setup.error(&directive.name, "there is no primary; expected: transfer from ADDRESS..."));
    }
    let zone = |origin: Name| {
        let kept = format!("secondary {origin} {primaries:?}");
        let fresh = || Arc::new(Followed::new(origin.clone(), primaries.clone()));
        let followed = setup.kept.get::<Followed>(&kept).unwrap_or_else(fresh);
        setup.keep.put(kept, followed.clone());
        let catalog = catalog.clone().map(|allowed| {
            let (followed, fallthrough) = (followed.clone(), fallthrough.clone());
            Arc::new(Catalog { followed, allowed, fallthrough, turns: Arc::new(Semaphore::new(catalog::TURNS)) })
        });
        Zone { followed, key: key.clone(), fallthrough: fallthrough.clone(), catalog }
    };
    Ok(zones.into_iter().map(zone).collect())
}

fn primary(word: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("'{word}' is no address of a primary; expecting IP[:PORT]");
    let address = values::upstream(word).map_err(|_| wrong())?;
    match (address.scheme.as_str(), address.host) {
        ("dns", Host::Ip(ip)) => Ok((ip, address.port).into()),
        _ => Err(wrong()),
    }
}

/// A zone of a server block.
struct Zone {
    followed: Arc<Followed>,
    key: Option<Arc<Key>>,
    fallthrough: Fallthrough,
    /// What it lists, where it is a catalog.
    catalog: Option<Arc<Catalog>>,
}

/// The zones of a server block, the longest first.
struct Secondary {
    zones: Vec<Zone>,
    members: Arc<Members>,
    notifies: IntCounterVec,
}

impl Handler for Secondary {
    fn name(&self) -> &'static str {
        "secondary"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some((followed, fallthrough)) = self.covering(&request.name) else {
                return not_ours(request, next).await;
            };
            if request.query().opcode() == NOTIFY {
                return self.notified(&followed, request);
            }
            match followed.zone() {
                Some(held) => answer_from(&held, &fallthrough, request, next).await,
                None => {
                    let reason = format!("the zone {} has not come yet, or has expired", followed.origin);
                    Outcome::Failed(Failure::servfail(reason))
                }
            }
        })
    }
}

impl Secondary {
    /// Takes a primary's word that the zone has changed; others are not answered (RFC 1996 section 3.10).
    fn notified(&self, zone: &Followed, request: &Request) -> Outcome {
        let client = request.client.ip().to_canonical();
        let is_primary = zone.primaries.iter().any(|primary| primary.ip() == client);
        let result = if is_primary { "taken" } else { "dropped" };
        self.notifies.with_label_values(&[&*zone.origin.to_string(), result]).inc();
        if !is_primary {
            return Outcome::Dropped;
        }
        if request.name != zone.origin || request.qtype() != RecordType::SOA {
            let reason = "NOTIFY is for a zone's SOA record".to_owned();
            return Outcome::Failed(Failure { rcode: Rcode::NOTAUTH, reason });
        }
        zone.wake.notify_one();
        let mut message = request.answer();
        message.flags |= flags::AA;
        request.reply(&message)
    }

    /// The longest zone that a name is within, of the Corefile's and those of catalogs.
    fn covering(&self, name: &Name) -> Option<(Arc<Followed>, Fallthrough)> {
        let fixed = self.zones.iter().find(|zone| name.is_within(&zone.followed.origin));
        let listed = self.members.covering(name.wire());
        match (fixed, listed) {
            (Some(zone), Some(listed)) if zone.followed.origin.is_within(&listed.followed.origin) => {
                Some((zone.followed.clone(), zone.fallthrough.clone()))
            }
            (_, Some(listed)) => Some((listed.followed, listed.fallthrough)),
            (Some(zone), None) => Some((zone.followed.clone(), zone.fallthrough.clone())),
            (None, None) => None,
        }
    }

    fn zone(&self, name: &Name) -> Option<Arc<MasterZone>> {
        match self.zones.iter().find(|zone| zone.followed.origin == *name) {
            Some(zone) => zone.followed.zone(),
            None => self.members.get(name)?.followed.zone(),
        }
    }
}

impl ZoneHolder for Secondary {
    fn zones(&self) -> Vec<Name> {
        let fixed = self.zones.iter().map(|zone| zone.followed.origin.clone());
        fixed.chain(self.members.all().into_iter().map(|listed| listed.followed.origin.clone())).collect()
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        self.zone(zone).map(|zone| zone.serial())
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        self.zone(zone).map(|zone| zone.records())
    }

    fn soa(&self, zone: &Name) -> Option<ResourceRecord> {
        self.zone(zone)?.soa()
    }
}
