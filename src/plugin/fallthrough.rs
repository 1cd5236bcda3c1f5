//! `fallthrough [ZONE...]`: which names a plugin that has nothing for them leaves to the next one.

use super::{Directive, Error, Setup};
use crate::wire::{LowerName, Name};

/// The names that fall through; none where the option is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallthrough(Vec<Name>);

impl Fallthrough {
    /// Reads the option: the zones it names, all names where it names none.
    ///
    /// # Errors
    /// An argument that is no zone.
    pub fn read(setup: &mut Setup<'_>, option: &Directive) -> Result<Fallthrough, Error> {
        match option.args.as_slice() {
            [] => Ok(Fallthrough(vec![Name::root()])),
            zones => setup.zones_or_block(zones).map(Fallthrough),
        }
    }

    /// Whether the option is given.
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether this name falls through.
    pub fn lets(&self, name: &LowerName<'_>) -> bool {
        self.0.iter().any(|zone| name.is_within(zone))
    }
}
