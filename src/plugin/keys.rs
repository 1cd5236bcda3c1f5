//! The keys of transaction signatures (RFC 8945) that the Corefile has: those of every block, for every block.

use crate::wire::Name;
use crate::wire::tsig::Key;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Keys by name, filled while plugins are set up.
#[derive(Clone, Default)]
pub struct Keys(Arc<RwLock<HashMap<Name, Arc<Key>>>>);

impl Keys {
    /// Adds a key; one of the same name is replaced.
    pub fn add(&self, key: Key) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.name.clone(), Arc::new(key));
    }

    /// The key of a name.
    pub fn get(&self, name: &Name) -> Option<Arc<Key>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
