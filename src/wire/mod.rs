//! DNS bytes: names, the view of a question, the answer writer, the walk over a reply, signatures.
//!
//! This room knows octets and RFC 1035/6891 rules and nothing else of the program. What it hands out borrows from
//! the packet; nothing on the way from a question to its answer allocates.

mod alias;
mod answer;
mod base64;
mod message;
mod name;
mod query;
mod reply;
mod text;
pub mod tsig;
mod types;

pub use alias::join_alias;
pub use answer::{Answer, Owner, Section, error_reply};
pub use base64::{base64, base64url, to_base64};
pub use message::{Message, Opt, Question, ResourceRecord, flags, read_options, whole_name};
pub use name::{LowerName, MAX_NAME, Name, NameBuffer, NameError, same};
pub use query::{Edns, KnownQuery, Query, Refusal, answer_limit, skip_name};
pub use reply::{Record, ReplyView, address_reply, cut, cut_reply, opt, record_count, set_ttls, with_room};
pub use text::NameText;
pub use types::{CLASS_ANY, CLASS_CH, CLASS_IN, Rcode, RecordType, Transport};

/// Octets of a DNS header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The UDP payload we promise and send at most unless a client or `bufsize` says less (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// The UDP payload of a client that sends no OPT (RFC 1035 section 4.2.1).
pub const UDP_PLAIN: u16 = 512;
