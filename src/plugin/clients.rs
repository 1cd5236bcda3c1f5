//! Whose client asks: between the plugin that knows the pods and those that walk their search lists or show them.

use crate::wire::LowerName;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A plugin that knows the pods by their addresses. It takes no lock that a writer holds.
pub trait Clients: Send + Sync {
    /// The search list that the client's pod has below the zone of `name`, as kubelet writes it (`NAMESPACE.svc.ZONE`,
    /// `svc.ZONE`, `ZONE`), in wire form. `None` for a name of no such zone, and where no pod has the address.
    fn search_list(&self, name: &LowerName<'_>, client: IpAddr) -> Option<Vec<Vec<u8>>>;

    /// The namespace of the client's pod; `None` where no pod has the address.
    fn namespace(&self, client: IpAddr) -> Option<String>;
}

/// The plugins of all blocks of a plan that know pods.
#[derive(Clone, Default)]
pub struct KnownClients(Arc<Mutex<Vec<Arc<dyn Clients>>>>);

impl KnownClients {
    /// Adds one that is asked.
    pub fn add(&self, clients: Arc<dyn Clients>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(clients);
    }

    /// Those that have been added, in that order.
    pub fn all(&self) -> Vec<Arc<dyn Clients>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
