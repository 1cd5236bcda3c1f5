//! What the tools share: questions as packets, batched system calls, a process's CPU time, a cluster's objects,
//! arguments.

#![warn(missing_docs)]

pub mod arguments;
pub mod batch;
pub mod ports;
pub mod process;
pub mod protobuf;
pub mod questions;
