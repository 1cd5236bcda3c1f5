//! The grammar of names in a cluster zone, by the Kubernetes DNS specification 1.1.0 and CoreDNS's additions to it.

use crate::wire::LowerName;
use crate::zone::reverse::{self, Network};
use std::net::IpAddr;

/// What holds of the names in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Grammar {
    /// How many labels the zone has.
    pub(super) labels: usize,
    /// Whether it has addresses instead of services and pods.
    pub(super) is_reverse: bool,
    /// Whether its services are those imported from other clusters, whose endpoints have their cluster's label behind
    /// their own.
    pub(super) is_multicluster: bool,
    /// Whether endpoints may be asked for by their zone of topology.
    pub(super) is_zonal: bool,
}

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
    /// `ENDPOINT.SERVICE.NAMESPACE.svc`, or `ENDPOINT.CLUSTER.SERVICE.NAMESPACE.svc`; one label or two, in wire form.
    Endpoint { label: &'a [u8], key: &'a [u8] },
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`.
    Port { filter: PortFilter<'a>, key: &'a [u8] },
    /// `ZONE.pin._zone.SERVICE.NAMESPACE.svc`, or `prefer`; the zone of topology is one label or more, in wire form.
    Zonal { zone: &'a [u8], prefer: bool, key: &'a [u8] },
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

/// Reads a name in a zone.
#[inline]
pub(super) fn place<'a>(name: &LowerName<'a>, grammar: Grammar) -> Place<'a> {
    match forward(name, grammar) {
        Place::Unknown => {}
        place @ (Place::Apex | Place::Tree | Place::Dns | Place::NameServer | Place::Version) => return place,
        place if !grammar.is_reverse => return place,
        _ => {}
    }
    match reverse::network(name) {
        Some(network) => network.address().map_or(Place::Network(network), Place::Address),
        None => Place::Unknown,
    }
}

#[inline]
fn forward<'a>(name: &LowerName<'a>, grammar: Grammar) -> Place<'a> {
    let left = name.label_count() - grammar.labels;
    if left == 0 {
        return Place::Apex;
    }
    let key = |first: usize| &name.wire()[name.start(first)..name.start(first + 2)];
    match (name.label(left - 1), left) {
        (b"svc", 3) => Place::Service { key: key(0) },
        (b"svc" | b"pod", 1) => Place::Tree,
        (b"svc", 2) => Place::Services(name.label(0)),
        (b"svc", 4) => Place::Endpoint { label: &name.wire()[..name.start(1)], key: key(1) },
        (b"svc", 5) if grammar.is_multicluster && !has_underscore(name.label(0)) && !has_underscore(name.label(1)) => {
            Place::Endpoint { label: &name.wire()[..name.start(2)], key: key(2) }
        }
        (b"svc", 5) => Place::Port { filter: PortFilter::of(name.label(0), name.label(1)), key: key(2) },
        (b"svc", 6..) if grammar.is_zonal && !grammar.is_multicluster && name.label(left - 4) == b"_zone" => {
            let prefer = match name.label(left - 5) {
                b"pin" => false,
                b"prefer" => true,
                _ => return Place::Unknown,
            };
            Place::Zonal { zone: &name.wire()[..name.start(left - 5)], prefer, key: key(left - 3) }
        }
        (b"pod", 2) => Place::Pods(name.label(0)),
        (b"pod", 3) => Place::Pod { label: name.label(0), namespace: name.label(1) },
        (b"dns", 1) => Place::Dns,
        (b"dns", 2) if name.label(0) == b"ns" => Place::NameServer,
        (b"dns-version", 1) => Place::Version,
        _ => Place::Unknown,
    }
}

fn has_underscore(label: &[u8]) -> bool {
    label.first() == Some(&b'_')
}

impl<'a> PortFilter<'a> {
    /// From the labels of a port and a protocol. CoreDNS does not insist on their underscores.
    pub(super) fn of(name: &'a [u8], protocol: &'a [u8]) -> PortFilter<'a> {
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
        check_with(Grammar::default(), name, expected);
    }

    fn check_with(grammar: Grammar, name: &str, expected: Place<'_>) {
        for zone in ["cluster.local", ".", "a.b.c"] {
            let whole = Name::from_text(&format!("{name}.{zone}").replace("..", ".").replace("@.", "")).unwrap();
            let mut buffer = NameBuffer::default();
            let labels = Name::from_text(zone).unwrap().label_count();
            let grammar = Grammar { labels, ..grammar };
            assert_eq!(place(&buffer.lower(whole.wire()).unwrap(), grammar), expected, "{name} in {zone}");
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
    fn zones_of_topology() {
        let zonal = Grammar { is_zonal: true, ..Grammar::default() };
        let key: &[u8] = b"\x02db\x04shop";
        let place = |zone, prefer| Place::Zonal { zone, prefer, key };
        check_with(zonal, "us-west-2a.pin._zone.db.shop.svc", place(b"\x0aus-west-2a", false));
        check_with(zonal, "Corp.example.prefer._zone.db.shop.svc", place(b"\x04corp\x07example", true));
        for name in ["a.near._zone.db.shop.svc", "a.pin.zone.db.shop.svc", "a.pin._zone.db.shop.pod"] {
            check_with(zonal, name, Place::Unknown);
        }
        let filter = PortFilter { name: b"pin", protocol: b"zone" };
        check_with(zonal, "pin._zone.db.shop.svc", Place::Port { filter, key });
        check("us-west-2a.pin._zone.db.shop.svc", Place::Unknown);
        check_with(Grammar { is_multicluster: true, ..zonal }, "us-west-2a.pin._zone.db.shop.svc", Place::Unknown);
    }

    #[test]
    fn endpoints_of_other_clusters() {
        let imported = Grammar { is_multicluster: true, ..Grammar::default() };
        let key: &[u8] = b"\x02db\x04shop";
        check_with(imported, "ep.c1.db.shop.svc", Place::Endpoint { label: b"\x02ep\x02c1", key });
        check_with(imported, "ep.db.shop.svc", Place::Endpoint { label: b"\x02ep", key });
        for name in ["_http._tcp.db.shop.svc", "http._tcp.db.shop.svc", "_http.tcp.db.shop.svc"] {
            let filter = PortFilter { name: b"http", protocol: b"tcp" };
            check_with(imported, name, Place::Port { filter, key });
        }
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
            let grammar = Grammar { labels, is_reverse: labels > 0, ..Grammar::default() };
            format!("{:?}", place(&buffer.lower(name.wire()).unwrap(), grammar))
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
