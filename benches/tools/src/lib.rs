//! What the three tools share: questions as packets, batched system calls, a process's CPU time, arguments.

#![warn(missing_docs)]

pub mod arguments;
pub mod batch;
pub mod ports;
pub mod process;
pub mod questions;
