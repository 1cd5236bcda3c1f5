//! Services: what they are called, where they lead, which addresses are theirs.

use super::{Model, Writer, service_key};
use crate::cluster::{self, Key};
use crate::plugins::kubernetes::store::{Family, Kind, Service, Slice};
use crate::wire::Name;
use crate::zone::{Addresses, Few, of_family};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

impl Model {
    pub(super) fn apply_service(&self, writer: &mut Writer, object: &cluster::Service) {
        let Some(Key { name, namespace }) = &object.key else { return };
        let (Some(key), Some(namespace)) = (service_key(name, namespace), self.namespace(writer, namespace)) else {
            return;
        };
        let list = writer.lists[super::place(cluster::Kind::Service)];
        let view = self.store.services.view(&key);
        let before = view.get();
        let kind = match &object.external_name {
            Some(target) if target.parse::<IpAddr>().is_ok() => Kind::Unusable,
            Some(target) => match Name::from_text(target) {
                Ok(name) if !name.is_root() => Kind::External(Box::new(name)),
                _ => Kind::Unusable,
            },
            None if object.headless => Kind::Headless,
            None => Kind::Cluster,
        };
        let mut service = Service {
            key: key[..].into(),
            namespace,
            kind,
            ports: writer.ports.intern(&object.ports),
            v4: Few::None,
            v6: Few::None,
            slices: before.map_or(Few::None, |before| before.slices.clone()),
            overlaps: false,
            seen: AtomicU32::new(list),
        };
        if service.kind == Kind::Cluster {
            service.v4 = of_family(&object.cluster_ips);
            service.v6 = of_family(&object.cluster_ips);
        }
        service.unite();
        self.apply_external(&service, &object.external_ips);
        if let Some(before) = before
            && before.equals(&service)
        {
            before.seen.store(list, Ordering::Relaxed);
            return;
        }
        if before.is_none_or(|before| before.kind == Kind::Absent || before.bumps(&service)) {
            self.bump_serial();
        }
        let of = cluster::Kind::Service;
        self.index::<Ipv4Addr>(writer, of, &key, cluster_ips(before), cluster_ips(Some(&service)));
        self.index::<Ipv6Addr>(writer, of, &key, cluster_ips(before), cluster_ips(Some(&service)));
        self.store.services.insert(service);
    }

    pub(super) fn delete_service(&self, writer: &mut Writer, key: &[u8]) {
        let view = self.store.services.view(key);
        let Some(before) = view.get().filter(|service| service.kind != Kind::Absent) else { return };
        self.remove_external(key);
        self.index::<Ipv4Addr>(writer, cluster::Kind::Service, key, cluster_ips(Some(before)), Vec::new());
        self.index::<Ipv6Addr>(writer, cluster::Kind::Service, key, cluster_ips(Some(before)), Vec::new());
        let ports = writer.ports.intern(&[]);
        let without = Service { kind: Kind::Absent, ports, v4: Few::None, v6: Few::None, ..before.clone() };
        self.publish(without, before.slices.clone());
        self.bump_serial();
    }

    /// Takes away those that the last list did not have.
    pub(super) fn sweep_services(&self, writer: &mut Writer, list: u32) {
        let mut gone = Vec::new();
        self.store.services.for_each(|service| {
            if service.kind != Kind::Absent && service.seen.load(Ordering::Relaxed) != list {
                gone.push(service.key.clone());
            }
        });
        gone.iter().for_each(|key| self.delete_service(writer, key));
    }

    /// Publishes a service with other slices, or forgets it if nothing is left of it.
    pub(super) fn publish(&self, mut service: Service, slices: Few<Arc<Slice>>) {
        service.slices = slices;
        if service.kind == Kind::Absent && service.slices().is_empty() {
            return self.store.services.remove(&service.key);
        }
        service.unite();
        self.store.services.insert(service);
    }

    /// Makes a service own other addresses, as an object of this kind says.
    pub(super) fn index<A: Family>(
        &self,
        writer: &mut Writer,
        kind: cluster::Kind,
        key: &[u8],
        before: Vec<A>,
        after: Vec<A>,
    ) {
        let (owner, may_wait) = (self.store.services.fingerprint(key), writer.lists_first(kind));
        self.store.set_owner(&mut writer.waiting, owner, (before, after), may_wait);
    }
}

/// The cluster IPs of one family.
fn cluster_ips<A: Family>(service: Option<&Service>) -> Vec<A> {
    match service {
        Some(service) if service.kind == Kind::Cluster => service.addresses().to_vec(),
        _ => Vec::new(),
    }
}

impl Service {
    pub(super) fn equals(&self, other: &Service) -> bool {
        self.kind == other.kind && self.ports == other.ports && self.v4 == other.v4 && self.v6 == other.v6
    }

    /// Whether becoming `other` is a change of the zone for its serial: ports and alias, not addresses (CoreDNS).
    fn bumps(&self, other: &Service) -> bool {
        let alias = |service: &Service| match &service.kind {
            Kind::External(name) => Some(name.clone()),
            _ => None,
        };
        self.ports != other.ports || alias(self) != alias(other)
    }

    /// Makes the addresses of a headless service those of its slices.
    fn unite(&mut self) {
        match self.kind {
            Kind::Headless => {
                (self.v4, self.overlaps) = united(self.slices());
                let (v6, overlaps) = united(self.slices());
                (self.v6, self.overlaps) = (v6, self.overlaps || overlaps);
            }
            _ => self.overlaps = united::<Ipv4Addr>(self.slices()).1 || united::<Ipv6Addr>(self.slices()).1,
        }
    }
}

/// The addresses of all slices, each once, and whether one stood there more than once.
fn united<A: Family>(slices: &[Arc<Slice>]) -> (Addresses<A>, bool) {
    if let [only] = slices
        && only.named.is_none()
    {
        return (A::plain(only).clone(), false);
    }
    let mut all: Vec<A> = slices.iter().flat_map(|slice| slice.endpoints().iter()).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    let overlaps = all.len() < count;
    (all.into_iter().collect(), overlaps)
}
