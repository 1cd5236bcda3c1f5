//! # Description
//! `k8s_external` answers for services as they are reached from outside the cluster, in zones of its own: the addresses
//! in `spec.externalIPs` and those of load balancers. It asks the `kubernetes` of the same server block.
//!
//! The names, left of a zone *Z*:
//!
//! | name | type | answer |
//! |---|---|---|
//! | `S.NS` | A, AAAA | the addresses outside; with `headless`, of a headless service without any, its endpoints |
//! | `S.NS` | A, AAAA | of a load balancer with a host name and no address, the alias and what it leads to |
//! | `_PORT._PROTOCOL.S.NS`, `S.NS` | SRV | the port, at the service's name, its endpoints' or the load balancer's |
//! | `LABEL.S.NS` | all | the same as `S.NS`; with `headless`, of a headless service, the endpoint of that name |
//! | reverse names | PTR | the services reached at that address; the reverse zone has to be one of the zones |
//! | *Z* | SOA, NS | the zone, and `ns1.APEX.Z` |
//! | `ns1.APEX` | A, AAAA | the addresses outside of the services that this server is an endpoint of |
//!
//! Where a service has addresses and host names only the addresses are answered: an alias stands alone at its name.
//! `transfer` hands the zones out.
//!
//! # Syntax
//! ```text
//! k8s_external [ZONE...] {
//!     apex LABEL
//!     ttl SECONDS
//!     headless
//!     fallthrough [ZONE...]
//! }
//! ```
//! - **ZONE** are names, or networks as their reverse zones; without them, the server block's. PTR records lead to the
//!   first one that is not reverse.
//! - `apex`: the label that the zone's own names stand under (`dns`).
//! - `ttl`: of every record, 0 to 3600 seconds (5).
//! - `headless`: headless services without addresses outside are answered with their endpoints.
//! - `fallthrough`: missing names in these zones, or in all, go to the next plugin.
//!
//! # Examples
//! ```corefile
//! . {
//!     kubernetes cluster.local {
//!         endpoint https://192.0.2.1:6443
//!     }
//!     k8s_external example.org {
//!         headless
//!     }
//!     transfer example.org {
//!         to 192.0.2.2
//!     }
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `kubernetes`, `transfer`.

mod answer;
mod apex;
#[cfg(test)]
mod tests;

use crate::plugin::{Definition, Directive, Error, ExternalServices, Fallthrough, Setup};
use crate::wire::Name;
use crate::zone::{Suffixes, reverse};
use std::sync::{Arc, OnceLock};

/// `k8s_external`.
pub const DEFINITION: Definition = Definition { directive: "k8s_external", setup, metrics: &[] };

const DEFAULT_TTL: u32 = 5;
const MAX_TTL: u32 = 3600;
const DEFAULT_APEX: &[u8] = b"\x03dns";
const OPTIONS: &str = "apex, ttl, headless, fallthrough";

/// The plugin.
struct External {
    zones: Suffixes<Zone>,
    /// The zone that PTR records lead to.
    primary: Name,
    apex: Box<[u8]>,
    /// Seconds.
    ttl: u32,
    headless: bool,
    fallthrough: Fallthrough,
    /// Set when `kubernetes` is, which stands behind in the chain.
    services: Arc<OnceLock<Arc<dyn ExternalServices>>>,
}

struct Zone {
    name: Name,
    is_reverse: bool,
}

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?.clone();
    if !setup.siblings.iter().any(|sibling| sibling.name.text == "kubernetes") {
        let message = "kubernetes plugin not loaded; expected kubernetes in the same server block";
        return Err(setup.error(&directive.name, message));
    }
    let zones = setup.zones_or_block(&directive.args)?;
    let named = zones.iter().find(|zone| !reverse::is_reverse(zone)).or(zones.first());
    // Only empty words name none.
    let Some(primary) = named.or(setup.block.zones.first()).cloned() else {
        return Err(setup.arguments(&directive, "k8s_external ZONE..."));
    };
    let zone = |name: Name| (name.clone(), Zone { is_reverse: reverse::is_reverse(&name), name });
    let mut plugin = External {
        zones: Suffixes::new(zones.into_iter().map(zone)),
        primary,
        apex: DEFAULT_APEX.into(),
        ttl: DEFAULT_TTL,
        headless: false,
        fallthrough: Fallthrough::default(),
        services: Arc::clone(&setup.plan.services),
    };
    for option in directive.options() {
        plugin.read(setup, option)?;
    }
    let plugin = Arc::new(plugin);
    setup.plan.stores.push(Arc::clone(&plugin) as _);
    setup.plan.chain.push(Arc::clone(&plugin) as _);
    setup.plan.holders.add(plugin);
    Ok(())
}

impl External {
    fn read(&mut self, setup: &mut Setup<'_>, option: &Directive) -> Result<(), Error> {
        match (option.name.text.as_str(), &option.args[..]) {
            ("apex", [label]) => {
                let apex = Name::from_text(&label.text).ok().filter(|name| name.label_count() == 1);
                let apex = apex.ok_or_else(|| setup.error(label, format!("apex must be one label: {}", label.text)))?;
                let wire = apex.wire().to_ascii_lowercase();
                self.apex = wire[..wire.len() - 1].into();
            }
            ("apex", _) => return Err(setup.arguments(option, "apex LABEL")),
            // Further words are read over (CoreDNS).
            ("ttl", [value, ..]) => {
                let seconds = value.text.parse::<i64>();
                let seconds = seconds
                    .map_err(|_| setup.error(value, format!("ttl must be a number of seconds, not {}", value.text)))?;
                let valid = u32::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_TTL);
                self.ttl = valid
                    .ok_or_else(|| setup.error(value, format!("ttl must be in range [0, {MAX_TTL}]: {seconds}")))?;
            }
            ("ttl", []) => return Err(setup.arguments(option, "ttl SECONDS")),
            ("headless", _) => self.headless = true,
            ("fallthrough", _) => self.fallthrough = Fallthrough::read(setup, option)?,
            _ => return Err(setup.unknown(option, OPTIONS)),
        }
        Ok(())
    }
}
