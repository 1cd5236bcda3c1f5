//! The directives of CoreDNS that this program does not have: not yet, or no more.
//!
//! A Corefile that names one is refused with a sentence that says so, which is not the same as a word misspelt.

/// In CoreDNS's order. A directive that gets its file here leaves this list.
pub(super) const NOT_YET: &[&str] = &[
    "geoip",
    "proxyproto",
    "grpc_server",
    "https3",
    "trace",
    "dnstap",
    "dnssec",
    "route53",
    "azure",
    "clouddns",
    "etcd",
    "grpc",
    "on",
    "sign",
    "nomad",
];

/// The directives that CoreDNS once had and that did something nobody needs any more, each with what became of it. A
/// Corefile that names one runs without it, with a warning.
pub(super) const RETIRED: &[(&str, &str)] = &[
    ("federation", "clusters have no federation since Kubernetes 1.14"),
    ("startup", "commands are not run; a container has its own hooks"),
    ("shutdown", "commands are not run; a container has its own hooks"),
];
