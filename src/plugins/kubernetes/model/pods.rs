//! Pods, where their names are verified.

use super::{Model, Writer};
use crate::cluster::{self, Key};
use crate::plugins::kubernetes::store::Namespace;
use std::net::IpAddr;
use std::sync::Arc;

/// A pod that has a record.
pub(super) struct Pod {
    ip: IpAddr,
    namespace: Arc<Namespace>,
    seen: u32,
    /// Where it stands among the pods in the order in which they got their addresses, as far as we were told.
    order: u32,
}

impl Model {
    /// The pods that are known now: `NAMESPACE/NAME` and address, in the order in which they got it.
    pub(in crate::plugins::kubernetes) fn pods(&self) -> Vec<(Box<str>, IpAddr)> {
        let writer = self.writer();
        let mut pods: Vec<_> = writer.pods.iter().collect();
        pods.sort_unstable_by_key(|(_, pod)| pod.order);
        pods.into_iter().map(|(key, pod)| (key.clone(), pod.ip)).collect()
    }

    /// A pod that is being deleted keeps the record it has; one first seen so gets none.
    pub(super) fn apply_pod(&self, writer: &mut Writer, object: &cluster::Pod) {
        let key = pod_key(&object.key);
        let seen = writer.lists[super::place(cluster::Kind::Pod)];
        match writer.pods.get_mut(&key) {
            Some(pod) if object.terminating || pod.ip == object.ip => pod.seen = seen,
            None if object.terminating => {}
            _ => {
                self.forget_pod(writer, &key);
                let Some(namespace) = self.namespace(writer, &object.key.namespace) else { return };
                self.store.insert_pod(object.ip, &namespace);
                writer.addresses_given = writer.addresses_given.saturating_add(1);
                let order = writer.addresses_given;
                writer.pods.insert(key, Pod { ip: object.ip, namespace, seen, order });
                self.bump_serial();
            }
        }
    }

    /// Takes away those that the last list did not have.
    pub(super) fn sweep_pods(&self, writer: &mut Writer, list: u32) {
        let gone = writer.pods.iter().filter(|(_, pod)| pod.seen != list);
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.forget_pod(writer, key));
    }

    pub(super) fn delete_pod(&self, writer: &mut Writer, key: &Key) {
        self.forget_pod(writer, &pod_key(key));
    }

    fn forget_pod(&self, writer: &mut Writer, key: &str) {
        let Some(pod) = writer.pods.remove(key) else { return };
        if self.store.remove_pod(pod.ip, &pod.namespace) {
            // Pods of the host's network, or an address that is in use again: seldom enough for a walk over all.
            let others = writer.pods.values().filter(|other| other.ip == pod.ip);
            let last = others.max_by_key(|other| other.order);
            self.store.set_client(pod.ip, last.map(|other| &*other.namespace));
        }
        self.bump_serial();
    }
}

fn pod_key(key: &Key) -> Box<str> {
    format!("{}/{}", key.namespace, key.name).into()
}
