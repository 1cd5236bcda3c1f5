//! The registry: every directive, in the order of the chain.
//!
//! A plugin is one file here and two lines below: its `mod`, and its place in [`ORDER`], which is behaviour: plugins are
//! set up, and asked, in this order whatever the Corefile's.

mod cache;
mod forward;
mod loop_detection;

use crate::plugin::Definition;

/// Every plugin, in the order of the chain.
///
/// It is CoreDNS's order but for one rule: what holds zones in memory (`kubernetes`) stands before `cache`, so that
/// nothing we own is ever answered from a copy.
pub const ORDER: &[&Definition] =
    &[&cache::DEFINITION, &loop_detection::DEFINITION, &forward::DEFINITION, &forward::PROXY];
