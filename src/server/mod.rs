//! Composition: Corefile to plan to engine; reload, signals, lameduck.

pub mod logging;
