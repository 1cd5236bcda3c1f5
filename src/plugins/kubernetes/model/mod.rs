//! From objects to the store: what an event changes, and nothing else, is written.
//!
//! The store is its own memory of the cluster: beside it the model keeps only what leads from a deleted object's name to
//! its entry, and the lists of ports, which most services share.

mod external;
mod imports;
mod namespaces;
mod pods;
mod ports;
mod services;
mod slices;

use super::programming::Programming;
use super::store::{Store, Waiting};
use crate::cluster::{self, Details, Key, Object, Sink};
pub(super) use imports::Models;
use pods::Pod;
use ports::PortLists;
use slices::Slices;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The one writer of a [`Store`].
pub(super) struct Model {
    pub(super) store: Arc<Store>,
    /// What is kept of endpoints: without a host name they are called after their pods, and names may ask for zones.
    details: Details,
    programming: Programming,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    slices: Slices,
    pods: HashMap<Box<str>, Pod>,
    /// How many times a pod got an address.
    addresses_given: u32,
    ports: PortLists,
    /// How many lists of each kind have begun. What was not seen since the last beginning is gone at its end.
    lists: [u32; 4],
    /// Of which kinds a list has come to its end.
    listed: [bool; 4],
    /// Addresses of first lists that readers see later.
    waiting: Waiting,
    namespaces: u32,
}

impl Model {
    pub(super) fn new(details: Details, programming: Programming) -> Model {
        Model { store: Arc::new(Store::new()), details, programming, writer: Mutex::default() }
    }

    /// A writer that panicked has left the store in a state that the next events of its objects mend.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump_serial(&self) {
        self.store.serial.bump(seconds_now());
    }

    fn bump_external_serial(&self) {
        self.store.external_serial.bump(seconds_now());
    }
}

fn seconds_now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}

/// What belongs to a ServiceImport comes here as if it were a Service's: see [`Models`].
impl Sink for Model {
    fn list_begins(&self, kind: cluster::Kind) {
        self.writer().lists[place(kind)] += 1;
    }

    fn apply(&self, object: Object) {
        let writer = &mut *self.writer();
        match object {
            Object::Namespace(key) => self.apply_namespace(writer, &key),
            Object::Service(service) | Object::ServiceImport(service) => self.apply_service(writer, &service),
            Object::EndpointSlice(slice) | Object::ImportedSlice(slice) => self.apply_slice(writer, &slice),
            Object::Pod(pod) => self.apply_pod(writer, &pod),
        }
    }

    fn delete(&self, kind: cluster::Kind, key: &Key) {
        let writer = &mut *self.writer();
        match kind {
            cluster::Kind::Namespace => self.delete_namespace(key.name.as_bytes()),
            cluster::Kind::Service | cluster::Kind::ServiceImport => {
                if let Some(key) = service_key(&key.name, &key.namespace) {
                    self.delete_service(writer, &key);
                }
            }
            cluster::Kind::EndpointSlice | cluster::Kind::ImportedSlice => {
                if let Some(slice) = writer.slices.get(&key.namespace, &key.name) {
                    self.delete_slice(writer, &slice);
                }
            }
            cluster::Kind::Pod => self.delete_pod(writer, key),
        }
        let namespace = if kind == cluster::Kind::Namespace { &key.name } else { &key.namespace };
        self.release_namespace(&namespace.to_ascii_lowercase().into_bytes());
    }

    fn list_breaks(&self, _: cluster::Kind) {
        self.store.publish(&mut self.writer().waiting);
    }

    fn list_ends(&self, kind: cluster::Kind) {
        let writer = &mut *self.writer();
        self.store.publish(&mut writer.waiting);
        writer.listed[place(kind)] = true;
        let list = writer.lists[place(kind)];
        match kind {
            cluster::Kind::Namespace => self.sweep_namespaces(list),
            cluster::Kind::Service | cluster::Kind::ServiceImport => self.sweep_services(writer, list),
            cluster::Kind::EndpointSlice | cluster::Kind::ImportedSlice => self.sweep_slices(writer, list),
            cluster::Kind::Pod => self.sweep_pods(writer, list),
        }
        self.release_namespaces();
        writer.ports.forget_unused();
    }
}

impl Writer {
    /// Whether the first list of a kind is running. What it brings may be seen a little later than what an event does.
    fn lists_first(&self, kind: cluster::Kind) -> bool {
        self.lists[place(kind)] > 0 && !self.listed[place(kind)]
    }
}

/// Where the lists of a kind are counted.
fn place(kind: cluster::Kind) -> usize {
    match kind {
        cluster::Kind::Namespace => 0,
        cluster::Kind::Service | cluster::Kind::ServiceImport => 1,
        cluster::Kind::EndpointSlice | cluster::Kind::ImportedSlice => 2,
        cluster::Kind::Pod => 3,
    }
}

/// An object's name as a label, in lower case. `None` if it cannot be one.
#[inline]
fn label(name: &str) -> Option<Cow<'_, [u8]>> {
    let name = name.as_bytes();
    if !matches!(name.len(), 1..=63) || name.contains(&b'.') {
        return None;
    }
    // Kubernetes allows no upper case in nearly all of them.
    Some(if name.iter().any(u8::is_ascii_uppercase) { name.to_ascii_lowercase().into() } else { name.into() })
}

/// The labels of service and namespace in wire form.
pub(super) fn service_key(service: &str, namespace: &str) -> Option<Vec<u8>> {
    let (service, namespace) = (label(service)?, label(namespace)?);
    Some([&[service.len() as u8], &service[..], &[namespace.len() as u8], &namespace].concat())
}
