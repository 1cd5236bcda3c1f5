//! The value grammars of options: what a word means, and what is wrong with it.
//!
//! Each reader takes one word and says its errors as a sentence without a place, which the plugin adds.

mod duration;
mod endpoint;
mod number;
mod zones;

pub use duration::{duration, seconds};
pub use endpoint::{Host, ListenAddress, UpstreamAddress, listen_address, upstream};
pub use number::integer;
pub(super) use zones::{host_zones, is_network};
pub use zones::{network, zones};
