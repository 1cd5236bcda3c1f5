//! Tables that answer with bytes: readers never wait, an update costs what changed.
//!
//! This room knows DNS and nothing of Kubernetes, the Corefile or sockets.
