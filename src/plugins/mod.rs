//! The registry: every directive, in the order of the chain.
//!
//! A plugin is one file here and two lines below: its `mod`, and its place in [`ORDER`], which is behaviour: plugins are
//! set up, and asked, in this order whatever the Corefile's.

mod kubernetes;

use crate::plugin::Definition;

/// Every plugin, in the order of the chain.
///
/// It is CoreDNS's order but for one rule: what holds zones in memory (`kubernetes`) stands before `cache`, so that
/// nothing we own is ever answered from a copy.
pub const ORDER: &[&Definition] = &[&kubernetes::DEFINITION];
