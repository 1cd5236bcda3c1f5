//! Whose client asks: between the plugin that knows the pods and the one that walks their search lists.

use crate::wire::LowerName;
use std::net::IpAddr;

/// A plugin that knows the pods by their addresses. It takes no lock that a writer holds.
pub trait Clients: Send + Sync {
    /// The search list that the client's pod has below the zone of `name`, as kubelet writes it (`NAMESPACE.svc.ZONE`,
    /// `svc.ZONE`, `ZONE`), in wire form. `None` for a name of no such zone, and where no pod has the address.
    fn search_list(&self, name: &LowerName<'_>, client: IpAddr) -> Option<Vec<Vec<u8>>>;
}
