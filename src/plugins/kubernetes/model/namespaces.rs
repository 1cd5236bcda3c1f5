//! Namespaces, which are there before their objects and after them.

use super::{Model, Writer, label};
use crate::cluster::{self, Key};
use crate::plugins::kubernetes::store::Namespace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

impl Model {
    pub(super) fn apply_namespace(&self, writer: &mut Writer, key: &Key) {
        if let Some(namespace) = self.namespace(writer, &key.name) {
            namespace.present.store(true, Ordering::Relaxed);
            namespace.seen.store(writer.lists[super::place(cluster::Kind::Namespace)], Ordering::Relaxed);
        }
    }

    pub(super) fn delete_namespace(&self, label: &[u8]) {
        if let Some(namespace) = self.store.namespaces.get(&label.to_ascii_lowercase()) {
            namespace.present.store(false, Ordering::Relaxed);
        }
    }

    /// The namespace of this name, which need not have been announced yet. `None` if the name is no label.
    pub(super) fn namespace(&self, writer: &mut Writer, name: &str) -> Option<Arc<Namespace>> {
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

    /// Takes away those that the last list did not have.
    pub(super) fn sweep_namespaces(&self, list: u32) {
        let mut gone = Vec::new();
        self.store.namespaces.for_each(|namespace| {
            if namespace.is_present() && namespace.seen.load(Ordering::Relaxed) != list {
                gone.push(namespace.label.clone());
            }
        });
        gone.iter().for_each(|label| self.delete_namespace(label));
    }

    /// Forgets all namespaces that are gone and have nothing in them.
    pub(super) fn release_namespaces(&self) {
        let mut labels = Vec::new();
        self.store.namespaces.for_each(|namespace| {
            if !namespace.is_present() {
                labels.push(namespace.label.clone());
            }
        });
        labels.iter().for_each(|label| self.release_namespace(label));
    }

    /// Forgets a namespace that is gone and has nothing in it: only the table and the caller hold it.
    pub(super) fn release_namespace(&self, label: &[u8]) {
        let held = self.store.namespaces.get(label);
        if held.is_some_and(|namespace| !namespace.is_present() && Arc::strong_count(&namespace) <= 2) {
            self.store.namespaces.remove(label);
        }
    }
}
