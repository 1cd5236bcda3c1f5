//! The directives of CoreDNS that this program does not have yet.
//!
//! A Corefile that names one is refused with a sentence that says so, which is not the same as a word misspelt.

/// In CoreDNS's order. A directive that gets its file here leaves this list.
pub(super) const NOT_YET: &[&str] = &[
    "geoip",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "trace",
    "pprof",
    "dnstap",
    "tsig",
    "dnssec",
    "route53",
    "azure",
    "clouddns",
    "secondary",
    "etcd",
    "grpc",
    "on",
    "sign",
    "nomad",
];
