//! dunlin: an in-cluster DNS server that takes the place of CoreDNS.
//!
//! Read ARCHITECTURE.md first: it has the life of a query, of an object and of a configuration, and what each room
//! below may import. A room's charter stands at the head of its `mod.rs`.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod client;
pub mod cluster;
pub mod commands;
pub mod comparison;
pub mod corefile;
pub mod engine;
pub mod http;
pub mod metrics;
pub mod plugin;
pub mod plugins;
pub mod server;
pub mod wire;
pub mod zone;
