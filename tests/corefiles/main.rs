//! The Corefiles of distributions and their users: each is read, set up, and answers its probes.

#[path = "../support/mod.rs"]
mod support;

mod node;
mod probes;
mod run;
mod shipped;
mod upstream;
