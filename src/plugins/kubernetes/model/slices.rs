//! EndpointSlices: whose endpoints they are, and what they are called.

use super::{Model, Writer, label, service_key};
use crate::cluster::{self, Details, Key};
use crate::plugins::kubernetes::labels::Label;
use crate::plugins::kubernetes::store::{Family, Kind, Named, Namespace, Service, Slice, Topology, TopologyZone};
use crate::zone::{Addresses, Few, Octets, of_family};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Slices by namespace and name, whose texts are in the slices themselves.
#[derive(Default)]
pub(super) struct Slices {
    seed: RandomState,
    table: HashTable<Arc<Slice>>,
}

impl Model {
    pub(super) fn apply_slice(&self, writer: &mut Writer, object: &cluster::EndpointSlice) {
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
        let slice = writer.compact(object, self.details, key[..].into());
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
        self.put_slice(writer, before.as_ref(), slice, namespace);
        self.bump_serial();
        let view = self.store.services.view(&key);
        let Some(service) = view.get() else { return };
        if service.kind == Kind::Headless {
            self.bump_external_serial();
        }
        if let Some(trigger) = &object.last_change {
            self.programming.observe(trigger, &service.kind);
        }
    }

    fn put_slice(&self, writer: &mut Writer, before: Option<&Arc<Slice>>, slice: Slice, namespace: Arc<Namespace>) {
        let slice = Arc::new(slice);
        let (old, key) = (before.map(|before| &**before), &slice.service);
        self.index_slice::<Ipv4Addr>(writer, key, old, Some(&slice));
        self.index_slice::<Ipv6Addr>(writer, key, old, Some(&slice));
        let service = self.store.services.get(key).unwrap_or_else(|| Service {
            key: key.clone(),
            namespace,
            kind: Kind::Absent,
            ports: writer.ports.intern(&[]),
            v4: Few::None,
            v6: Few::None,
            slices: Few::None,
            overlaps: false,
            seen: AtomicU32::new(0),
        });
        let others = service.slices().iter().filter(|other| other.name != slice.name);
        let slices = others.chain([&slice]).cloned().collect();
        writer.slices.put(Arc::clone(&slice));
        self.publish(service, slices);
    }

    pub(super) fn delete_slice(&self, writer: &mut Writer, slice: &Arc<Slice>) {
        writer.slices.remove(slice);
        self.index_slice::<Ipv4Addr>(writer, &slice.service, Some(slice), None);
        self.index_slice::<Ipv6Addr>(writer, &slice.service, Some(slice), None);
        if let Some(service) = self.store.services.get(&slice.service) {
            if service.kind == Kind::Headless {
                self.bump_external_serial();
            }
            let rest = service.slices().iter().filter(|other| other.name != slice.name).cloned().collect();
            self.publish(service, rest);
        }
        self.bump_serial();
    }

    /// Makes a service own the endpoints of `new` where it owned those of `old`. Most often they differ in one, and only
    /// what is between the first and the last difference is looked at.
    fn index_slice<A: Family>(&self, writer: &mut Writer, key: &[u8], old: Option<&Slice>, new: Option<&Slice>) {
        let [mut before, mut after] =
            [old, new].map(|slice| slice.map(|slice| A::plain(slice).as_slice()).unwrap_or_default());
        while let ([first, before_rest @ ..], [other, after_rest @ ..]) = (before, after)
            && first == other
        {
            (before, after) = (before_rest, after_rest);
        }
        while let ([before_rest @ .., last], [after_rest @ .., other]) = (before, after)
            && last == other
        {
            (before, after) = (before_rest, after_rest);
        }
        let whole = |plain: &[A], slice: Option<&Slice>| {
            let named = slice.and_then(|slice| slice.named.as_deref()).map(A::named).unwrap_or_default();
            plain.iter().copied().chain(named.iter().map(|(address, _)| *address)).collect::<Vec<_>>()
        };
        let (before, after) = (whole(before, old), whole(after, new));
        if !before.is_empty() || !after.is_empty() {
            self.index(writer, cluster::Kind::EndpointSlice, key, before, after);
        }
    }

    /// Takes away those that the last list did not have.
    pub(super) fn sweep_slices(&self, writer: &mut Writer, list: u32) {
        let unseen = |slice: &&Arc<Slice>| slice.seen.load(Ordering::Relaxed) != list;
        let gone: Vec<_> = writer.slices.table.iter().filter(unseen).cloned().collect();
        gone.iter().for_each(|slice| self.delete_slice(writer, slice));
    }
}

impl Writer {
    /// What the store keeps of a slice.
    fn compact(&mut self, object: &cluster::EndpointSlice, details: Details, service: Octets) -> Slice {
        let (mut plain_v4, mut plain_v6, mut named) =
            (Vec::with_capacity(object.endpoints.len()), Vec::new(), Vec::new());
        for endpoint in object.endpoints.iter() {
            let Some(address) = endpoint.address else { continue };
            match (own_label(&endpoint, address, details.pod_names), address) {
                (Some(label), _) => named.push((label, address)),
                (None, IpAddr::V4(address)) => plain_v4.push(address),
                (None, IpAddr::V6(address)) => plain_v6.push(address),
            }
        }
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
            service,
            ports: self.ports.intern(&object.ports),
            v4: ascending(plain_v4),
            v6: ascending(plain_v6),
            named: (!named.is_empty()).then(|| Box::new(Named { v4: v4.into(), v6: v6.into(), labels: labels.into() })),
            topology: topology(object, details),
            seen: AtomicU32::new(self.lists[super::place(cluster::Kind::EndpointSlice)]),
        }
    }
}

/// The addresses in their order, each once.
fn ascending<A: Family>(mut addresses: Vec<A>) -> Addresses<A> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into()
}

/// What is kept of where endpoints are.
fn topology(object: &cluster::EndpointSlice, details: Details) -> Option<Box<Topology>> {
    let cluster = label(&object.cluster).map(|label| wire(&label)).unwrap_or_default();
    let mut zones: BTreeMap<Vec<u8>, Vec<IpAddr>> = BTreeMap::new();
    if details.zones {
        for endpoint in object.endpoints.iter() {
            if let (Some(address), Some(name)) = (endpoint.address, zone_name(endpoint.zone)) {
                zones.entry(name).or_default().push(address);
            }
        }
    }
    if cluster.is_empty() && zones.is_empty() {
        return None;
    }
    let zones = zones.into_iter().map(|(name, mut addresses)| {
        addresses.sort_unstable();
        addresses.dedup();
        let (v4, v6) = (of_family(&addresses), of_family(&addresses));
        TopologyZone { name: name.into(), v4: v4.as_slice().into(), v6: v6.as_slice().into() }
    });
    Some(Box::new(Topology { cluster: cluster.into(), zones: zones.collect() }))
}

/// The labels of a zone of topology in wire form; a zone's name may have dots. `None` if no name can ask for it.
fn zone_name(zone: &str) -> Option<Vec<u8>> {
    let labels = zone.split('.').map(|part| label(part).map(|label| wire(&label)));
    labels.collect::<Option<Vec<_>>>().map(|labels| labels.concat())
}

fn wire(label: &[u8]) -> Vec<u8> {
    [&[label.len() as u8], label].concat()
}

/// The label of an endpoint that is not simply made of its address.
fn own_label<'a>(endpoint: &cluster::Endpoint<'a>, address: IpAddr, pod_names: bool) -> Option<Cow<'a, [u8]>> {
    let target = if pod_names { endpoint.target } else { "" };
    label(endpoint.hostname).or_else(|| label(target)).or_else(|| {
        // An IPv4 address has no text of its own: there is one way to write it.
        let written = Some(endpoint.text).filter(|text| !text.is_empty()).and_then(Label::of_text)?;
        (written.text() != Label::of_address(address).text()).then(|| written.text().to_vec().into())
    })
}

impl Slices {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Slice>> {
        let namespace = label(namespace)?;
        let found = |slice: &Arc<Slice>| *slice.name == *name && *slice.namespace() == *namespace;
        self.table.find(self.hash(&namespace, name), found).cloned()
    }

    /// Adds a slice, or puts it in the place of the one of the same namespace and name.
    fn put(&mut self, slice: Arc<Slice>) {
        let hash = self.hash(slice.namespace(), &slice.name);
        let same = |other: &Arc<Slice>| other.name == slice.name && other.namespace() == slice.namespace();
        let hash_of = |slice: &Arc<Slice>| self.seed.hash_one((slice.namespace(), &*slice.name));
        match self.table.entry(hash, same, hash_of) {
            Entry::Occupied(mut present) => *present.get_mut() = slice,
            Entry::Vacant(place) => drop(place.insert(slice)),
        }
    }

    /// Takes out the slice of the same namespace and name.
    fn remove(&mut self, slice: &Slice) {
        let same = |other: &Arc<Slice>| other.name == slice.name && other.namespace() == slice.namespace();
        if let Ok(found) = self.table.find_entry(self.hash(slice.namespace(), &slice.name), same) {
            found.remove();
        }
    }

    fn hash(&self, namespace: &[u8], name: &str) -> u64 {
        self.seed.hash_one((namespace, name))
    }
}
