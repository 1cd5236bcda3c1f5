//! Services as they are reached from outside a cluster: between the plugin that knows them and the one that answers for
//! them in zones of its own.

use super::Context;
use crate::wire::{Answer, Name, Query, ResourceRecord};
use std::net::IpAddr;

/// A question for a name below a zone: `[ENDPOINT.|_PORT._PROTOCOL.]SERVICE.NAMESPACE.ZONE`.
#[derive(Clone, Copy)]
pub struct ServiceQuestion<'a> {
    /// The question, whose name is within the zone.
    pub query: &'a Query<'a>,
    /// How it is answered.
    pub context: &'a Context,
    /// The zone.
    pub zone: &'a Name,
    /// The TTL of records in seconds, before `cache` has its say.
    pub ttl: u32,
    /// Whether headless services, which have no address outside, are reached at their endpoints.
    pub headless: bool,
}

/// What there is at a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceFound {
    /// Records, which have been written.
    Data,
    /// The name, but nothing of the type asked.
    Nothing,
    /// Not even the name.
    Missing,
    /// An alias, which has to be followed.
    Alias,
}

/// A plugin that knows services. Its answers take no lock that a writer holds, and allocate nothing.
pub trait ExternalServices: Send + Sync {
    /// Writes what a name has.
    fn answer(&self, question: &ServiceQuestion<'_>, answer: &mut Answer<'_, '_>) -> ServiceFound;

    /// The host name that a question's service is an alias of.
    fn alias(&self, question: &ServiceQuestion<'_>) -> Option<Name>;

    /// Writes PTR records: the services that are reached at an address, as names in the zone `origin`.
    fn pointers(
        &self,
        question: &ServiceQuestion<'_>,
        address: IpAddr,
        origin: &Name,
        answer: &mut Answer<'_, '_>,
    ) -> ServiceFound;

    /// Calls with the addresses at which this server is reached from outside, as far as it can know.
    fn name_servers(&self, headless: bool, visit: &mut dyn FnMut(IpAddr));

    /// The records of all services, as they are now.
    fn records(&self, zone: &Name, ttl: u32, headless: bool) -> Vec<ResourceRecord>;

    /// The serial: Unix seconds of the last change of what is reached from outside.
    fn serial(&self) -> u32;

    /// The zone is about to be handed out: a change from now on has another serial.
    fn hand_out(&self);

    /// Whether all there is is known. What is missing before may exist.
    fn is_synced(&self) -> bool;
}
