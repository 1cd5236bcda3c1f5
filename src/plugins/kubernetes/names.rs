//! The grammar of names in a cluster zone, by the Kubernetes DNS specification 1.1.0 and CoreDNS's additions to it.

use crate::wire::LowerName;
use crate::zone::reverse::{self, Network};
use std::net::IpAddr;

/// What the labels left of the zone stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The zone itself.
    Apex,
    /// `svc` or `pod`: always there.
    Tree,
    /// `dns`, which exists for the name server below it.
    Dns,
    /// `ns.dns`, the name server of the zone.
    NameServer,
    /// `dns-version`, the version of the specification.
    Version,
    /// `NAMESPACE.svc`.
    Services(&'a [u8]),
    /// `NAMESPACE.pod`.
    Pods(&'a [u8]),
    /// `SERVICE.NAMESPACE.svc`; the key is both labels in wire form.
    Service { key: &'a [u8] },
    /// `ENDPOINT.SERVICE.NAMESPACE.svc`; the label with its length octet.
    Endpoint { label: &'a [u8], key: &'a [u8] },
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`.
    Port { filter: PortFilter<'a>, key: &'a [u8] },
    /// `ADDRESS.NAMESPACE.pod`.
    Pod { label: &'a [u8], namespace: &'a [u8] },
    /// The reverse name of an address.
    Address(IpAddr),
    /// A name above the reverse names of these addresses.
    Network(Network),
    /// Nothing that this grammar knows.
    Unknown,
}

/// The ports that a name asks for. An empty part matches any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct PortFilter<'a> {
    pub(super) name: &'a [u8],
    pub(super) protocol: &'a [u8],
}

/// Reads a name in a zone of `zone_labels` labels. A reverse zone has no services and pods.
#[inline]
pub(super) fn place<'a>(name: &LowerName<'a>, zone_labels: usize, is_reverse: bool) -> Place<'a> {
    match forward(name, zone_labels) {
        Place::Unknown => {}
        place @ (Place::Apex | Place::Tree | Place::Dns | Place::NameServer | Place::Version) => return place,
        place if !is_reverse => return place,
        _ => {}
    }
    match reverse::network(name) {
        Some(network) => network.address().map_or(Place::Network(network), Place::Address),
        None => Place::Unknown,
    }
}

#[inline]
fn forward<'a>(name: &LowerName<'a>, zone_labels: usize) -> Place<'a> {
    let left = name.label_count() - zone_labels;
    if left == 0 {
        return Place::Apex;
    }
    let key = |first: usize| &name.wire()[name.start(first)..name.start(first + 2)];
    match (name.label(left - 1), left) {
        (b"svc", 3) => Place::Service { key: key(0) },
        (b"svc" | b"pod", 1) => Place::Tree,
        (b"svc", 2) => Place::Services(name.label(0)),
        (b"svc", 4) => Place::Endpoint { label: &name.wire()[..name.start(1)], key: key(1) },
        (b"svc", 5) => Place::Port { filter: PortFilter::of(name.label(0), name.label(1)), key: key(2) },
        (b"pod", 2) => Place::Pods(name.label(0)),
        (b"pod", 3) => Place::Pod { label: name.label(0), namespace: name.label(1) },
        (b"dns", 1) => Place::Dns,
        (b"dns", 2) if name.label(0) == b"ns" => Place::NameServer,
        (b"dns-version", 1) => Place::Version,
        _ => Place::Unknown,
    }
}

impl<'a> PortFilter<'a> {
    /// From the labels of a port and a protocol. CoreDNS does not insist on their underscores.
    fn of(name: &'a [u8], protocol: &'a [u8]) -> PortFilter<'a> {
        let bare = |label: &'a [u8]| label.strip_prefix(b"_").unwrap_or(label);
        PortFilter { name: bare(name), protocol: bare(protocol) }
    }

    /// Whether it asks for no port in particular.
    pub(super) fn is_any(self) -> bool {
        self.name.is_empty() && self.protocol.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Name, NameBuffer};

    fn check(name: &str, expected: Place<'_>) {
        for zone in ["cluster.local", ".", "a.b.c"] {
            let whole = Name::from_text(&format!("{name}.{zone}").replace("..", ".").replace("@.", "")).unwrap();
            let mut buffer = NameBuffer::default();
            let labels = Name::from_text(zone).unwrap().label_count();
            assert_eq!(place(&buffer.lower(whole.wire()).unwrap(), labels, false), expected, "{name} in {zone}");
        }
    }

    #[test]
    fn the_structure() {
        check("@", Place::Apex);
        check("svc", Place::Tree);
        check("Pod", Place::Tree);
        check("dns", Place::Dns);
        check("NS.dns", Place::NameServer);
        check("dns-version", Place::Version);
        check("prod.svc", Place::Services(b"prod"));
        check("prod.pod", Place::Pods(b"prod"));
        check("svc.svc", Place::Services(b"svc"));
    }

    #[test]
    fn services_endpoints_ports_pods() {
        let key: &[u8] = b"\x03web\x04prod";
        let port = |name, protocol| Place::Port { filter: PortFilter { name, protocol }, key };
        check("WEB.prod.svc", Place::Service { key });
        check("ep-1.web.prod.svc", Place::Endpoint { label: b"\x04ep-1", key });
        check("_tcp.web.prod.svc", Place::Endpoint { label: b"\x04_tcp", key });
        check("_http._tcp.web.prod.svc", port(b"http", b"tcp"));
        check("http.TCP.web.prod.svc", port(b"http", b"tcp"));
        check("__._.web.prod.svc", port(b"_", b""));
        check("1-2-3-4.prod.pod", Place::Pod { label: b"1-2-3-4", namespace: b"prod" });
        check("pod.svc.svc", Place::Service { key: b"\x03pod\x03svc" });
    }

    #[test]
    fn everything_else_is_unknown() {
        for name in
            ["foo", "web.prod", "a.b.c.web.prod.svc", "x.1-2-3-4.prod.pod", "x.dns", "x.ns.dns", "x.dns-version"]
        {
            check(name, Place::Unknown);
        }
    }

    #[test]
    fn a_reverse_zone_has_addresses_and_no_services() {
        let mut buffer = NameBuffer::default();
        let mut read = |name: &str, labels| {
            let name = Name::from_text(name).unwrap();
            format!("{:?}", place(&buffer.lower(name.wire()).unwrap(), labels, labels > 0))
        };
        assert_eq!(read("4.3.2.1.in-addr.arpa", 2), "Address(1.2.3.4)");
        assert_eq!(read("4.3.2.1.in-addr.arpa", 3), "Address(1.2.3.4)");
        assert_eq!(read("4.3.2.1.in-addr.arpa", 0), "Address(1.2.3.4)");
        assert_eq!(read("2.1.in-addr.arpa", 2), "Network(V4(1.2.0.0, 1.2.255.255))");
        assert_eq!(read("x.2.1.in-addr.arpa", 2), "Unknown");
        assert_eq!(read("web.prod.svc.in-addr.arpa", 2), "Unknown");
        assert_eq!(read("svc.in-addr.arpa", 2), "Tree");
    }
}
