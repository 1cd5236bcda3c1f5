//! From objects to the store: what an event changes, and nothing else, is written.
//!
//! The store is its own memory of the cluster: beside it the model keeps only what leads from a deleted object's name to
//! its entry, and the lists of ports, which most services share.

mod namespaces;
mod pods;
mod ports;
mod services;
mod slices;

use super::programming::Programming;
use super::store::Store;
use crate::cluster::{self, Key, Object, Sink};
use pods::Pod;
use ports::PortLists;
use slices::Slices;
use std::collections::HashMap;
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
    ports: PortLists,
    /// How many lists of each kind have begun. What was not seen since the last beginning is gone at its end.
    lists: [u32; 4],
    namespaces: u32,
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
        self.store.bump_serial(seconds as u32);
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
            cluster::Kind::Pod => self.delete_pod(writer, key),
        }
        let namespace = if kind == cluster::Kind::Namespace { &key.name } else { &key.namespace };
        self.release_namespace(&namespace.to_ascii_lowercase().into_bytes());
    }

    fn list_ends(&self, kind: cluster::Kind) {
        let writer = &mut *self.writer();
        let list = writer.lists[kind as usize];
        match kind {
            cluster::Kind::Namespace => self.sweep_namespaces(list),
            cluster::Kind::Service => self.sweep_services(writer, list),
            cluster::Kind::EndpointSlice => self.sweep_slices(writer, list),
            cluster::Kind::Pod => self.sweep_pods(writer, list),
        }
        self.release_namespaces();
        writer.ports.forget_unused();
    }
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
