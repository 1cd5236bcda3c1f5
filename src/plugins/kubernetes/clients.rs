//! The pods that clients are, where pods are followed: for `autopath`, `metadata` and `status`.

use super::answer::SVC;
use super::store::Namespace;
use super::{Kubernetes, Pods};
use crate::plugin::Clients;
use crate::wire::LowerName;
use std::net::IpAddr;
use std::sync::Arc;

impl Clients for Kubernetes {
    fn search_list(&self, name: &LowerName<'_>, client: IpAddr) -> Option<Vec<Vec<u8>>> {
        let (_, zone) = self.zones.find(name).filter(|(_, zone)| !zone.grammar.is_reverse)?;
        let namespace = self.namespace_of(client)?;
        let zone = &zone.name.wire().to_ascii_lowercase()[..];
        let label = &*namespace.label;
        Some(vec![[&[label.len() as u8], label, SVC, zone].concat(), [SVC, zone].concat(), zone.to_vec()])
    }

    fn namespace(&self, client: IpAddr) -> Option<String> {
        Some(String::from_utf8_lossy(&self.namespace_of(client)?.label).into_owned())
    }
}

impl Kubernetes {
    /// The namespace of the pod that a client is.
    pub(super) fn namespace_of(&self, client: IpAddr) -> Option<Arc<Namespace>> {
        let is_followed = self.pods == Pods::Verified;
        is_followed.then(|| self.cluster.store().client(client.to_canonical())).flatten()
    }
}
