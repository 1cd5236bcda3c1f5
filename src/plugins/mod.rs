//! The registry: every directive, in the order of the chain.
//!
//! A plugin is one file here and two lines below: its `mod`, and its place in [`ORDER`], which is behaviour: plugins are
//! set up, and asked, in this order whatever the Corefile's.

mod bind;
mod bufsize;
mod debug;
mod errors;
mod health;
mod loadbalance;
mod log;
mod not_yet;
mod prometheus;
mod ready;
pub mod reload;
mod root;
mod whoami;

#[cfg(test)]
mod manual;
#[cfg(test)]
mod testing;

use crate::plugin::Definition;

/// Every plugin, in the order of the chain.
///
/// It is CoreDNS's order but for one rule: what holds zones in memory (`kubernetes`) stands before `cache`, so that
/// nothing we own is ever answered from a copy.
pub const ORDER: &[&Definition] = &[
    &root::DEFINITION,
    &reload::DEFINITION,
    &bufsize::DEFINITION,
    &bind::DEFINITION,
    &debug::DEFINITION,
    &ready::DEFINITION,
    &health::DEFINITION,
    &prometheus::DEFINITION,
    &errors::DEFINITION,
    &log::DEFINITION,
    &loadbalance::DEFINITION,
    &whoami::DEFINITION,
];

/// What a directive's word stands for.
#[derive(Clone, Copy)]
pub enum Known {
    /// A plugin.
    Plugin(&'static Definition),
    /// A plugin of CoreDNS's that is not here yet.
    NotYet,
    /// Nothing.
    Unknown,
}

/// Looks a directive's word up.
pub fn find(name: &str) -> Known {
    match ORDER.iter().find(|definition| definition.directive == name) {
        Some(definition) => Known::Plugin(definition),
        None if not_yet::NOT_YET.contains(&name) => Known::NotYet,
        None => Known::Unknown,
    }
}

/// The words of all plugins, in the order of the chain.
pub fn directives() -> Vec<&'static str> {
    ORDER.iter().map(|definition| definition.directive).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_told_apart() {
        assert!(matches!(find("errors"), Known::Plugin(definition) if definition.directive == "errors"));
        assert!(matches!(find("rewrite"), Known::NotYet));
        assert!(matches!(find("nonsense"), Known::Unknown));
        assert!(matches!(find("Errors"), Known::Unknown));
    }

    #[test]
    fn no_directive_stands_twice() {
        let names: Vec<_> = directives().into_iter().chain(not_yet::NOT_YET.iter().copied()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
    }
}
