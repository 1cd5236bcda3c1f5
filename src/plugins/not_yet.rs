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

/// Plugins that are built into other people's CoreDNS, which operators may take for CoreDNS's own, and what they may
/// write here instead; nothing where there is no such thing.
pub(super) const EXTERNAL: &[(&str, &str)] = &[
    ("ads", "`hosts` or `template` answers for blocked names"),
    ("alternate", "`next` of `forward` hands a query on by its answer's code"),
    ("blocklist", "`hosts` or `template` answers for blocked names"),
    ("dnsredir", "`forward` in a server block of these names"),
    ("fanout", "`forward` asks the next upstream where one does not answer"),
    ("finalize", ""),
    ("gslb", ""),
    ("ipset", ""),
    ("k8s_crd", ""),
    ("k8s_dns_chaos", ""),
    ("k8s_event", ""),
    ("k8s_gateway", "`k8s_external` answers for Services, not for Ingresses and Gateways"),
    ("kubernetai", "several server blocks with a `kubernetes` each"),
    ("lighthouse", "`forward` to the server that answers for this zone"),
    ("mdns", ""),
    ("meship", "`forward` to the server that answers for this zone"),
    ("meshname", "`forward` to the server that answers for this zone"),
    ("netbox", ""),
    ("ocp_dnsnameresolver", ""),
    ("records", "`template` or `file` has records in the Corefile or beside it"),
    ("redis", ""),
    ("unbound", "`forward` to a resolver"),
    ("wgsd", ""),
];

/// The directives that CoreDNS once had and that did something nobody needs any more, each with what became of it. A
/// Corefile that names one runs without it, with a warning.
pub(super) const RETIRED: &[(&str, &str)] = &[
    ("federation", "clusters have no federation since Kubernetes 1.14"),
    ("startup", "commands are not run; a container has its own hooks"),
    ("shutdown", "commands are not run; a container has its own hooks"),
];
