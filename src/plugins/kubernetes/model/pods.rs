//! Pods, where their names are verified.

use super::{Model, Writer};
use crate::cluster::{self, Key};
use crate::plugins::kubernetes::store::{Family, Namespace};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A pod that has a record.
pub(super) struct Pod {
    ip: IpAddr,
    namespace: Arc<Namespace>,
    seen: u32,
}

impl Model {
    /// The pods that are known now: `NAMESPACE/NAME` and address.
    pub(in crate::plugins::kubernetes) fn pods(&self) -> Vec<(Box<str>, IpAddr)> {
        self.writer().pods.iter().map(|(key, pod)| (key.clone(), pod.ip)).collect()
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
                match object.ip {
                    IpAddr::V4(ip) => Ipv4Addr::pods(&self.store).insert(ip, namespace.id),
                    IpAddr::V6(ip) => Ipv6Addr::pods(&self.store).insert(ip, namespace.id),
                }
                writer.pods.insert(key, Pod { ip: object.ip, namespace, seen });
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
        match pod.ip {
            IpAddr::V4(ip) => Ipv4Addr::pods(&self.store).remove(ip, pod.namespace.id),
            IpAddr::V6(ip) => Ipv6Addr::pods(&self.store).remove(ip, pod.namespace.id),
        }
        self.bump_serial();
    }
}

fn pod_key(key: &Key) -> Box<str> {
    format!("{}/{}", key.namespace, key.name).into()
}
