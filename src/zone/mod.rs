//! Tables that answer with bytes: readers never wait, an update costs what changed.
//!
//! What a store of names and addresses is built from: a [`Table`] looked up by octets, an index from addresses to their
//! owners, compact sets of addresses and the order they are sent in, the zone of a name, reverse names, SOA records.
//! This room knows DNS and nothing of Kubernetes, the Corefile or sockets.

mod address;
mod apex;
mod few;
mod index;
pub mod master;
mod octets;
mod order;
pub mod reverse;
mod suffixes;
mod table;

pub use address::{Address, Addresses, of_family};
pub use apex::Soa;
pub use few::Few;
pub use index::{AddressIndex, Gathered, Owners};
pub use octets::Octets;
pub use order::Shuffle;
pub use suffixes::Suffixes;
pub use table::{Keyed, Table, View};
