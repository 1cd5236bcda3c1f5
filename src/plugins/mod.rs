//! The registry: every directive, in the order of the chain.
//!
//! A plugin is one file here and two lines below: its `mod`, and its place in [`ORDER`], which is behaviour: plugins are
//! set up, and asked, in this order whatever the Corefile's.

pub mod bind;
pub mod bufsize;
mod cache;
pub mod debug;
pub mod errors;
mod forward;
pub mod health;
mod kubernetes;
pub mod loadbalance;
pub mod log;
mod loop_detection;
mod not_yet;
pub mod prometheus;
pub mod ready;
pub mod reload;
pub mod root;
mod tls;
pub mod whoami;

#[cfg(test)]
mod manual;
#[cfg(test)]
pub mod testing;

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
    &tls::DEFINITION,
    &kubernetes::DEFINITION,
    &cache::DEFINITION,
    &loop_detection::DEFINITION,
    &forward::DEFINITION,
    &forward::PROXY,
    &whoami::DEFINITION,
];

/// The words that the Corefile knows, sorted, for `-plugins`.
pub fn directives() -> Vec<&'static str> {
    let mut words: Vec<_> = ORDER.iter().map(|definition| definition.directive).collect();
    words.sort_unstable();
    words
}

/// What a directive's word stands for.
#[derive(Clone, Copy)]
pub enum Found {
    /// A plugin.
    Known(&'static Definition),
    /// A plugin of CoreDNS's that is not here yet: `plugin/NAME: not supported by dunlin yet`.
    NotYet,
    /// Nothing: `Unknown directive 'NAME'`.
    Unknown,
}

/// Looks a directive's word up.
pub fn find(name: &str) -> Found {
    match ORDER.iter().find(|definition| definition.directive == name) {
        Some(definition) => Found::Known(definition),
        None if not_yet::NOT_YET.contains(&name) => Found::NotYet,
        None => Found::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_told_apart() {
        assert!(matches!(find("errors"), Found::Known(definition) if definition.directive == "errors"));
        assert!(matches!(find("rewrite"), Found::NotYet));
        assert!(matches!(find("federation"), Found::Unknown));
        assert!(matches!(find("Errors"), Found::Unknown));
    }

    #[test]
    fn no_directive_stands_twice() {
        let names: Vec<_> =
            ORDER.iter().map(|definition| definition.directive).chain(not_yet::NOT_YET.iter().copied()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
    }
}
