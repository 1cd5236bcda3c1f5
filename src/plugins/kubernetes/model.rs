//! From objects to the store: what an event changes, and nothing else, is written.
//!
//! The store is its own memory of the cluster: beside it the model keeps only what leads from a deleted object's name to
//! its entry, and the lists of ports, which most services share.

use super::labels::Label;
use super::programming::Programming;
use super::store::{Endpoints, Family, Kind, Namespace, Port, Service, Slice, Store};
use crate::cluster::{self, Key, Object, Sink};
use crate::wire::Name;
use crate::zone::Addresses;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The one writer of a [`Store`].
pub(super) struct Model {
    pub(super) store: Arc<Store>,
    /// Endpoints without a host name are called after their pods.
    pod_names: bool,
    programming: Programming,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    slices: Slices,
    pods: HashMap<Box<str>, Pod>,
    ports: HashSet<Arc<[Port]>>,
    /// How many lists of each kind have begun. What was not seen since the last beginning is gone at its end.
    lists: [u32; 4],
    namespaces: u32,
}

/// Slices by namespace and name, whose texts are in the slices themselves.
#[derive(Default)]
struct Slices {
    seed: RandomState,
    table: HashTable<Arc<Slice>>,
}

struct Pod {
    ip: IpAddr,
    namespace: Arc<Namespace>,
    seen: u32,
}

impl Model {
    pub(super) fn new(pod_names: bool, programming: Programming) -> Model {
        Model { store: Arc::new(Store::new()), pod_names, programming, writer: Mutex::default() }
    }

    /// A writer that panicked has left the store in a state that the next events of its objects mend.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump_serial(&self) {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.store.serial.store(seconds as u32, Ordering::Relaxed);
    }
}

impl Sink for Model {
    fn list_begins(&self, kind: cluster::Kind) {
        self.writer().lists[kind as usize] += 1;
    }

    fn apply(&self, object: Object) {
        let writer = &mut *self.writer();
        match object {
            Object::Namespace(key) => self.apply_namespace(writer, &key),
            Object::Service(service) => self.apply_service(writer, &service),
            Object::EndpointSlice(slice) => self.apply_slice(writer, &slice),
            Object::Pod(pod) => self.apply_pod(writer, &pod),
        }
    }

    fn delete(&self, kind: cluster::Kind, key: &Key) {
        let writer = &mut *self.writer();
        match kind {
            cluster::Kind::Namespace => self.delete_namespace(key.name.as_bytes()),
            cluster::Kind::Service => {
                if let Some(key) = service_key(&key.name, &key.namespace) {
                    self.delete_service(writer, &key);
                }
            }
            cluster::Kind::EndpointSlice => {
                if let Some(slice) = writer.slices.get(&key.namespace, &key.name) {
                    self.delete_slice(writer, &slice);
                }
            }
            cluster::Kind::Pod => self.delete_pod(writer, &pod_key(key)),
        }
        let namespace = label(&key.namespace).and_then(|label| self.store.namespaces.get(&label));
        namespace.into_iter().for_each(|namespace| self.release(namespace));
    }

    fn list_ends(&self, kind: cluster::Kind) {
        let writer = &mut *self.writer();
        let list = writer.lists[kind as usize];
        let unseen = |seen: &AtomicU32| seen.load(Ordering::Relaxed) != list;
        match kind {
            cluster::Kind::Namespace => {
                let mut gone = Vec::new();
                self.store.namespaces.for_each(|namespace| {
                    if namespace.is_present() && unseen(&namespace.seen) {
                        gone.push(namespace.label.clone());
                    }
                });
                gone.iter().for_each(|label| self.delete_namespace(label));
            }
            cluster::Kind::Service => {
                let mut gone = Vec::new();
                self.store.services.for_each(|service| {
                    if service.kind != Kind::Absent && unseen(&service.seen) {
                        gone.push(Arc::clone(&service.key));
                    }
                });
                gone.iter().for_each(|key| self.delete_service(writer, key));
            }
            cluster::Kind::EndpointSlice => {
                let gone: Vec<_> = writer.slices.table.iter().filter(|slice| unseen(&slice.seen)).cloned().collect();
                gone.iter().for_each(|slice| self.delete_slice(writer, slice));
            }
            cluster::Kind::Pod => {
                let gone = writer.pods.iter().filter(|(_, pod)| pod.seen != list);
                let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| self.delete_pod(writer, key));
            }
        }
        let mut namespaces = Vec::new();
        self.store.namespaces.for_each(|namespace| namespaces.push(namespace.label.clone()));
        let held = |label: Box<[u8]>| self.store.namespaces.get(&label);
        namespaces.into_iter().filter_map(held).for_each(|namespace| self.release(namespace));
        writer.forget_unused_ports();
    }
}

/// Namespaces.
impl Model {
    fn apply_namespace(&self, writer: &mut Writer, key: &Key) {
        if let Some(namespace) = self.namespace(writer, &key.name) {
            namespace.present.store(true, Ordering::Relaxed);
            namespace.seen.store(writer.lists[cluster::Kind::Namespace as usize], Ordering::Relaxed);
        }
    }

    fn delete_namespace(&self, label: &[u8]) {
        if let Some(namespace) = self.store.namespaces.get(&label.to_ascii_lowercase()) {
            namespace.present.store(false, Ordering::Relaxed);
            self.release(namespace);
        }
    }

    /// The namespace of this name, which need not have been announced yet. `None` if the name is no label.
    fn namespace(&self, writer: &mut Writer, name: &str) -> Option<Arc<Namespace>> {
        let label = label(name)?;
        if let Some(namespace) = self.store.namespaces.get(&label) {
            return Some(namespace);
        }
        writer.namespaces += 1;
        let (id, present, seen) = (writer.namespaces, AtomicBool::new(false), AtomicU32::new(0));
        let namespace = Arc::new(Namespace { label: label.into(), id, present, seen });
        self.store.namespaces.insert(Arc::clone(&namespace));
        Some(namespace)
    }

    /// Forgets a namespace that is gone and has nothing in it: only the table and the caller hold it.
    fn release(&self, namespace: Arc<Namespace>) {
        if !namespace.is_present() && Arc::strong_count(&namespace) <= 2 {
            self.store.namespaces.remove(&namespace.label);
        }
    }
}

/// Services.
impl Model {
    fn apply_service(&self, writer: &mut Writer, object: &cluster::Service) {
        let Some(Key { name, namespace }) = &object.key else { return };
        let (Some(key), Some(namespace)) = (service_key(name, namespace), self.namespace(writer, namespace)) else {
            return;
        };
        let list = writer.lists[cluster::Kind::Service as usize];
        let before = self.store.services.get(&key);
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
            key: before.as_ref().map_or_else(|| key.into(), |before| Arc::clone(&before.key)),
            namespace,
            kind,
            ports: writer.intern(&object.ports),
            v4: Addresses::None,
            v6: Addresses::None,
            slices: before.as_ref().map(|before| before.slices.clone()).unwrap_or_default(),
            overlaps: false,
            seen: AtomicU32::new(list),
        };
        if service.kind == Kind::Cluster {
            service.v4 = Addresses::of_family(&object.cluster_ips);
            service.v6 = Addresses::of_family(&object.cluster_ips);
        }
        service.unite();
        if let Some(before) = &before
            && before.equals(&service)
        {
            before.seen.store(list, Ordering::Relaxed);
            return;
        }
        if before.as_ref().is_none_or(|before| before.kind == Kind::Absent || before.bumps(&service)) {
            self.bump_serial();
        }
        self.index::<Ipv4Addr>(&service.key, cluster_ips(before.as_deref()), cluster_ips(Some(&service)));
        self.index::<Ipv6Addr>(&service.key, cluster_ips(before.as_deref()), cluster_ips(Some(&service)));
        self.store.services.insert(Arc::new(service));
    }

    fn delete_service(&self, writer: &mut Writer, key: &[u8]) {
        let Some(before) = self.store.services.get(key).filter(|service| service.kind != Kind::Absent) else { return };
        self.index::<Ipv4Addr>(key, cluster_ips(Some(&before)), Vec::new());
        self.index::<Ipv6Addr>(key, cluster_ips(Some(&before)), Vec::new());
        let without = Service { kind: Kind::Absent, ports: writer.intern(&[]), ..before.copy() };
        self.publish(without, before.slices.clone());
        self.bump_serial();
    }

    /// Publishes a service with other slices, or forgets it if nothing is left of it.
    fn publish(&self, mut service: Service, slices: Box<[Arc<Slice>]>) {
        service.slices = slices;
        if service.kind == Kind::Absent && service.slices.is_empty() {
            return self.store.services.remove(&service.key);
        }
        service.unite();
        self.store.services.insert(Arc::new(service));
    }

    fn index<A: Family>(&self, key: &[u8], before: Vec<A>, after: Vec<A>) {
        A::index(&self.store).replace(self.store.services.fingerprint(key), before, after);
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
    /// The same service, to be changed and published anew.
    fn copy(&self) -> Service {
        Service {
            key: Arc::clone(&self.key),
            namespace: Arc::clone(&self.namespace),
            kind: self.kind.clone(),
            ports: Arc::clone(&self.ports),
            v4: self.v4.clone(),
            v6: self.v6.clone(),
            slices: self.slices.clone(),
            overlaps: self.overlaps,
            seen: AtomicU32::new(self.seen.load(Ordering::Relaxed)),
        }
    }

    fn equals(&self, other: &Service) -> bool {
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
        self.overlaps = false;
        match self.kind {
            Kind::Headless => {
                (self.v4, self.overlaps) = united(&self.slices);
                let (v6, overlaps) = united(&self.slices);
                (self.v6, self.overlaps) = (v6, self.overlaps || overlaps);
            }
            _ if self.slices.len() > 1 => {
                self.overlaps = united::<Ipv4Addr>(&self.slices).1 || united::<Ipv6Addr>(&self.slices).1;
            }
            _ => {}
        }
        if !matches!(self.kind, Kind::Headless | Kind::Cluster) {
            (self.v4, self.v6) = (Addresses::None, Addresses::None);
        }
    }
}

/// The addresses of all slices, each once, and whether one stood there more than once.
fn united<A: Family>(slices: &[Arc<Slice>]) -> (Addresses<A>, bool) {
    if let [only] = slices
        && A::endpoints(only).named.is_empty()
    {
        return (A::endpoints(only).plain.clone(), false);
    }
    let mut all: Vec<A> = slices.iter().flat_map(|slice| A::endpoints(slice).iter()).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    let overlaps = all.len() < count;
    (Addresses::from(all), overlaps)
}

/// EndpointSlices.
impl Model {
    fn apply_slice(&self, writer: &mut Writer, object: &cluster::EndpointSlice) {
        let Some(Key { name, namespace }) = &object.key else { return };
        let before = writer.slices.get(namespace, name);
        // A slice that belongs to no service has no name to answer.
        let (Some(key), Some(namespace)) = (service_key(&object.service, namespace), self.namespace(writer, namespace))
        else {
            if let Some(before) = before {
                self.delete_slice(writer, &before);
            }
            return;
        };
        let service = self.store.services.get(&key);
        let key = service.as_ref().map_or_else(|| key.into(), |service| Arc::clone(&service.key));
        let slice = writer.compact(object, self.pod_names, key, namespace);
        if let Some(before) = &before {
            if before.equals(&slice) {
                before.seen.store(slice.seen.load(Ordering::Relaxed), Ordering::Relaxed);
                return;
            }
            if before.service != slice.service {
                self.delete_slice(writer, before);
            }
        }
        let before = before.filter(|before| before.service == slice.service);
        self.put_slice(writer, before.as_ref(), slice);
        self.bump_serial();
        if let (Some(trigger), Some(service)) = (&object.last_change, service) {
            self.programming.observe(trigger, &service.kind);
        }
    }

    fn put_slice(&self, writer: &mut Writer, before: Option<&Arc<Slice>>, slice: Slice) {
        let slice = Arc::new(slice);
        let (old, key) = (before.map(|before| &**before), &slice.service);
        self.index::<Ipv4Addr>(key, endpoints(old), endpoints(Some(&slice)));
        self.index::<Ipv6Addr>(key, endpoints(old), endpoints(Some(&slice)));
        let service = self.store.services.get(key).map(|service| service.copy()).unwrap_or_else(|| Service {
            key: Arc::clone(key),
            namespace: Arc::clone(&slice.namespace),
            kind: Kind::Absent,
            ports: writer.intern(&[]),
            v4: Addresses::None,
            v6: Addresses::None,
            slices: Box::default(),
            overlaps: false,
            seen: AtomicU32::new(0),
        });
        let others = service.slices.iter().filter(|other| other.name != slice.name);
        let slices = others.chain([&slice]).cloned().collect();
        writer.slices.remove(&slice);
        writer.slices.insert(Arc::clone(&slice));
        self.publish(service, slices);
    }

    fn delete_slice(&self, writer: &mut Writer, slice: &Arc<Slice>) {
        writer.slices.remove(slice);
        self.index::<Ipv4Addr>(&slice.service, endpoints(Some(slice)), Vec::new());
        self.index::<Ipv6Addr>(&slice.service, endpoints(Some(slice)), Vec::new());
        if let Some(service) = self.store.services.get(&slice.service) {
            let rest = service.slices.iter().filter(|other| other.name != slice.name).cloned().collect();
            self.publish(service.copy(), rest);
        }
        self.bump_serial();
    }
}

/// The endpoint addresses of one family.
fn endpoints<A: Family>(slice: Option<&Slice>) -> Vec<A> {
    slice.map(|slice| A::endpoints(slice).iter().collect()).unwrap_or_default()
}

/// Pods.
impl Model {
    /// A pod that is being deleted keeps the record it has; one first seen so gets none.
    fn apply_pod(&self, writer: &mut Writer, object: &cluster::Pod) {
        let key = pod_key(&object.key);
        let seen = writer.lists[cluster::Kind::Pod as usize];
        match writer.pods.get_mut(&key) {
            Some(pod) if object.terminating || pod.ip == object.ip => pod.seen = seen,
            None if object.terminating => {}
            _ => {
                self.delete_pod(writer, &key);
                let Some(namespace) = self.namespace(writer, &object.key.namespace) else { return };
                match object.ip {
                    IpAddr::V4(ip) => Ipv4Addr::pods(&self.store).insert(ip, namespace.id),
                    IpAddr::V6(ip) => Ipv6Addr::pods(&self.store).insert(ip, namespace.id),
                }
                writer.pods.insert(key, Pod { ip: object.ip, namespace, seen });
                self.bump_serial();
            }
        }
    }

    fn delete_pod(&self, writer: &mut Writer, key: &str) {
        let Some(pod) = writer.pods.remove(key) else { return };
        match pod.ip {
            IpAddr::V4(ip) => Ipv4Addr::pods(&self.store).remove(ip, pod.namespace.id),
            IpAddr::V6(ip) => Ipv6Addr::pods(&self.store).remove(ip, pod.namespace.id),
        }
        self.bump_serial();
    }
}

impl Slices {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Slice>> {
        let namespace = label(namespace)?;
        let found = |slice: &Arc<Slice>| *slice.name == *name && *slice.namespace.label == *namespace;
        self.table.find(self.hash(&namespace, name), found).cloned()
    }

    fn insert(&mut self, slice: Arc<Slice>) {
        let seed = self.seed.clone();
        let hash = self.hash(&slice.namespace.label, &slice.name);
        self.table.insert_unique(hash, slice, |slice| seed.hash_one((&slice.namespace.label[..], &*slice.name)));
    }

    /// Takes out the slice of the same namespace and name.
    fn remove(&mut self, slice: &Slice) {
        let same = |other: &Arc<Slice>| other.name == slice.name && other.namespace.label == slice.namespace.label;
        if let Ok(found) = self.table.find_entry(self.hash(&slice.namespace.label, &slice.name), same) {
            found.remove();
        }
    }

    fn hash(&self, namespace: &[u8], name: &str) -> u64 {
        self.seed.hash_one((namespace, name))
    }
}

impl Writer {
    /// The list of these ports that others have too.
    fn intern(&mut self, ports: &[cluster::Port]) -> Arc<[Port]> {
        let lower = |text: &str| text.to_ascii_lowercase().into_boxed_str();
        let ports: Vec<Port> = ports
            .iter()
            .map(|port| Port { name: lower(&port.name), protocol: lower(&port.protocol), number: port.number })
            .collect();
        if let Some(present) = self.ports.get(&ports[..]) {
            return Arc::clone(present);
        }
        let ports: Arc<[Port]> = ports.into();
        self.ports.insert(Arc::clone(&ports));
        if self.ports.len().is_power_of_two() {
            self.forget_unused_ports();
        }
        ports
    }

    fn forget_unused_ports(&mut self) {
        self.ports.retain(|ports| Arc::strong_count(ports) > 1);
    }

    /// What the store keeps of a slice.
    fn compact(
        &mut self,
        object: &cluster::EndpointSlice,
        pod_names: bool,
        service: Arc<[u8]>,
        namespace: Arc<Namespace>,
    ) -> Slice {
        let (mut plain, mut named) = (Vec::new(), Vec::new());
        for endpoint in &object.endpoints {
            let Some(address) = endpoint.address else { continue };
            match own_label(endpoint, address, pod_names) {
                Some(label) => named.push((label, address)),
                None => plain.push(address),
            }
        }
        plain.sort_unstable();
        plain.dedup();
        named.sort_unstable();
        named.dedup();
        let mut labels: Vec<u8> = Vec::new();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut offset = 0;
        for (at, (label, address)) in named.iter().enumerate() {
            if at == 0 || named[at - 1].0 != *label {
                offset = labels.len() as u32;
                labels.push(label.len() as u8);
                labels.extend_from_slice(label);
            }
            match address {
                IpAddr::V4(address) => v4.push((*address, offset)),
                IpAddr::V6(address) => v6.push((*address, offset)),
            }
        }
        Slice {
            name: object.key.as_ref().map(|key| key.name.as_str()).unwrap_or_default().into(),
            namespace,
            service,
            ports: self.intern(&object.ports),
            v4: Endpoints { plain: Addresses::of_family(&plain), named: v4.into() },
            v6: Endpoints { plain: Addresses::of_family(&plain), named: v6.into() },
            labels: labels.into(),
            seen: AtomicU32::new(self.lists[cluster::Kind::EndpointSlice as usize]),
        }
    }
}

/// The label of an endpoint that is not simply made of its address.
fn own_label(endpoint: &cluster::Endpoint, address: IpAddr, pod_names: bool) -> Option<Vec<u8>> {
    let target = if pod_names { endpoint.target.as_str() } else { "" };
    label(&endpoint.hostname).or_else(|| label(target)).or_else(|| {
        let written = Label::of_text(&endpoint.text).filter(|written| !written.text().is_empty())?;
        (written.text() != Label::of_address(address).text()).then(|| written.text().to_vec())
    })
}

/// An object's name as a label, in lower case. `None` if it cannot be one.
fn label(name: &str) -> Option<Vec<u8>> {
    (matches!(name.len(), 1..=63) && !name.contains('.')).then(|| name.to_ascii_lowercase().into_bytes())
}

/// The labels of service and namespace in wire form.
pub(super) fn service_key(service: &str, namespace: &str) -> Option<Vec<u8>> {
    let (service, namespace) = (label(service)?, label(namespace)?);
    Some([&[service.len() as u8], &service[..], &[namespace.len() as u8], &namespace].concat())
}

fn pod_key(key: &Key) -> Box<str> {
    format!("{}/{}", key.namespace, key.name).into()
}
