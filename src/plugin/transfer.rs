//! Zones that are handed out whole: between the plugins that hold them and the one that hands them out.

use crate::wire::{Name, ResourceRecord};
use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A plugin with zones that can be transferred (RFC 5936).
pub trait ZoneHolder: Send + Sync {
    /// The zones.
    fn zones(&self) -> Vec<Name>;

    /// The serial of a zone; `None` if it is not held here, or cannot be said yet.
    fn serial(&self, zone: &Name) -> Option<u32>;

    /// The records of a zone: SOA first, with the serial that is taken as handed out, then all others.
    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>>;

    /// The first of these alone. Who knows the rest, or asks by UDP, is sent no more.
    fn soa(&self, zone: &Name) -> Option<ResourceRecord> {
        self.records(zone)?.into_iter().next()
    }
}

/// The holders of a server block, filled by its plugins when they are set up.
#[derive(Clone, Default)]
pub struct ZoneHolders(Arc<Mutex<Vec<Arc<dyn ZoneHolder>>>>);

impl ZoneHolders {
    /// Adds one.
    pub fn add(&self, holder: Arc<dyn ZoneHolder>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(holder);
    }

    /// All of them, in the order of the chain.
    pub fn all(&self) -> Vec<Arc<dyn ZoneHolder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The messages of a reply behind its first, and the place that they hold while they are sent.
pub struct Following {
    messages: Vec<Vec<u8>>,
    place: Arc<dyn Any + Send + Sync>,
}

impl Following {
    /// Messages; `place` is dropped with them.
    pub fn new(messages: Vec<Vec<u8>>, place: impl Any + Send + Sync) -> Following {
        Following { messages, place: Arc::new(place) }
    }

    /// The same place with other messages, as a plugin has changed them.
    pub fn with_messages(&self, messages: Vec<Vec<u8>>) -> Following {
        Following { messages, place: self.place.clone() }
    }
}

impl AsRef<[Vec<u8>]> for Following {
    fn as_ref(&self) -> &[Vec<u8>] {
        &self.messages
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more messages", self.messages.len())
    }
}

impl PartialEq for Following {
    fn eq(&self, other: &Following) -> bool {
        self.messages == other.messages
    }
}

impl Eq for Following {}
