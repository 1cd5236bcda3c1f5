//! Services as they are reached from outside: the few that have addresses or host names there.

use super::Model;
use crate::plugins::kubernetes::store::{Family, Kind, Service};
use crate::wire::Name;
use crate::zone::{Few, of_family};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

impl Model {
    /// Puts down where a service is reached from outside: `spec.externalIPs`, and what its load balancer has.
    pub(super) fn apply_external(&self, service: &Service, hosts: &[String]) {
        let Some((kind, addresses)) = reached(hosts) else { return self.remove_external(&service.key) };
        let external = Service {
            key: service.key.clone(),
            namespace: Arc::clone(&service.namespace),
            kind,
            ports: Arc::clone(&service.ports),
            v4: of_family(&addresses),
            v6: of_family(&addresses),
            slices: Few::None,
            overlaps: false,
            seen: AtomicU32::new(0),
        };
        let view = self.store.external.view(&service.key);
        let before = view.get();
        if before.is_some_and(|before| before.equals(&external)) {
            return;
        }
        self.index_external::<Ipv4Addr>(before, Some(&external));
        self.index_external::<Ipv6Addr>(before, Some(&external));
        self.store.external.insert(external);
        self.bump_external_serial();
    }

    pub(super) fn remove_external(&self, key: &[u8]) {
        let view = self.store.external.view(key);
        let Some(before) = view.get() else { return };
        self.index_external::<Ipv4Addr>(Some(before), None);
        self.index_external::<Ipv6Addr>(Some(before), None);
        self.store.external.remove(key);
        self.bump_external_serial();
    }

    fn index_external<A: Family>(&self, before: Option<&Service>, after: Option<&Service>) {
        let Some(either) = before.or(after) else { return };
        let fingerprint = self.store.external.fingerprint(&either.key);
        let addresses = |service: Option<&Service>| service.map(|it| it.addresses::<A>().to_vec()).unwrap_or_default();
        A::external(&self.store).replace(fingerprint, addresses(before), addresses(after));
    }
}

/// The addresses among `hosts`, each once; where there are none, the first host name. Both at one name would be an alias
/// beside other records (RFC 2181 section 10.1).
fn reached(hosts: &[String]) -> Option<(Kind, Vec<IpAddr>)> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in hosts.iter().filter_map(|host| host.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if !addresses.is_empty() {
        return Some((Kind::Cluster, addresses));
    }
    let mut names = hosts.iter().filter_map(|host| Name::from_text(host).ok());
    names.find(|name| !name.is_root()).map(|name| (Kind::External(Box::new(name)), addresses))
}
