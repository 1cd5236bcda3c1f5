//! The plugin as a whole: objects in, questions asked, answers read by an independent decoder.

use super::cluster::Cluster;
use super::*;
use crate::cluster::{Endpoint, EndpointSlice, Key, Kind, Object, Pod, Port, Service, Sink};
use crate::plugin::{Moment, Shape};
use crate::wire::{NameBuffer, RecordType};
use hickory_proto::op::Message;
use hickory_proto::rr::Record;

mod answers;
mod changes;
mod first;
mod handout;
mod kept;
mod lanes;
mod outside;
mod pods;
mod ports;
mod shapes;
mod topology;
mod zones;

const NODATA: &[&str] = &["NODATA"];
const NXDOMAIN: &[&str] = &["NXDOMAIN"];
const SOA: &str = "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. ";

/// A plugin over a cluster that the test makes.
pub(super) struct Fixture {
    pub(super) plugin: Kubernetes,
    shape: Shape,
    limit: usize,
}

/// What came of a question, as text.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) rcode: u16,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    pub(super) answer: Vec<String>,
    pub(super) authority: Vec<String>,
    pub(super) additional: Vec<String>,
}

impl Fixture {
    pub(super) fn new(zones: &[&str]) -> Fixture {
        let zones: Vec<Name> = zones.iter().map(|zone| Name::from_text(zone).unwrap()).collect();
        let primary = zones[0].clone();
        let zones = zones.into_iter().map(|name| (name.clone(), Zone::of(name)));
        Fixture {
            plugin: Kubernetes {
                zones: Suffixes::new(zones),
                primary,
                ttl: 5,
                pods: Pods::Disabled,
                cluster: Arc::new(Cluster::for_tests(false)),
                namespaces: Box::default(),
                fallthrough: Box::default(),
                ignore_empty: false,
                startup_timeout: Duration::ZERO,
                binds: Vec::new(),
                own: OnceLock::new(),
            },
            shape: Shape::default(),
            limit: 4096,
        }
    }

    /// The cluster most tests are about.
    pub(super) fn shop() -> Fixture {
        let fixture = Fixture::new(&["cluster.local", "in-addr.arpa", "ip6.arpa"]);
        fixture.list(shop());
        fixture
    }

    /// The same with other options.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Kubernetes)) -> Fixture {
        change(&mut self.plugin);
        self
    }

    /// The same with other names in its zones.
    pub(super) fn grammar(mut self, change: impl Fn(&str, &mut Grammar)) -> Fixture {
        let zones: Vec<Name> = self.plugin.zones.iter().map(|(name, _)| name.clone()).collect();
        self.plugin.zones = Suffixes::new(zones.into_iter().map(|name| {
            let mut zone = Zone::of(name.clone());
            change(&name.to_string(), &mut zone.grammar);
            (name, zone)
        }));
        self
    }

    pub(super) fn shaped(mut self, change: impl FnOnce(&mut Shape)) -> Fixture {
        change(&mut self.shape);
        self
    }

    pub(super) fn limited(mut self, limit: usize) -> Fixture {
        self.limit = limit;
        self
    }

    pub(super) fn list(&self, objects: Vec<Object>) {
        let model = self.plugin.cluster.model();
        let kinds = [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod];
        let kinds = [&kinds[..], &[Kind::ServiceImport, Kind::ImportedSlice]].concat();
        kinds.iter().for_each(|kind| model.list_begins(*kind));
        objects.into_iter().for_each(|object| model.apply(object));
        kinds.iter().for_each(|kind| model.list_ends(*kind));
    }

    pub(super) fn apply(&self, object: Object) {
        self.plugin.cluster.model().apply(object);
    }

    pub(super) fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        self.plugin.cluster.model().delete(kind, &key(namespace, name));
    }

    pub(super) fn serial(&self) -> u32 {
        self.plugin.cluster.store().serial.get()
    }

    /// The verdict and the message.
    pub(super) fn bytes(&self, name: &str, rtype: RecordType, random: u64) -> (Verdict, Vec<u8>) {
        let packet = question(name, rtype);
        let mut buffer = NameBuffer::default();
        let query = Query::parse(&packet, &mut buffer).unwrap();
        let context = Context { limit: self.limit, shape: self.shape, moment: Moment { seconds: 0, random } };
        let mut out = vec![0; 65535];
        let verdict = self.plugin.answer(&query, &context, &mut out);
        if let Verdict::Answered(len) = verdict {
            out.truncate(len);
        }
        (verdict, out)
    }

    /// The answer; relative names end in the cluster zone.
    pub(super) fn ask(&self, name: &str, rtype: RecordType) -> Answered {
        let name = if name.ends_with('.') { name.to_owned() } else { format!("{name}.cluster.local.") };
        match self.bytes(&name, rtype, 7) {
            (Verdict::Answered(_), bytes) => Answered::read(&bytes),
            (verdict, _) => panic!("{name} {rtype}: {verdict:?}"),
        }
    }

    /// The verdict alone.
    pub(super) fn verdict(&self, name: &str, rtype: RecordType) -> Verdict {
        self.bytes(name, rtype, 7).0
    }

    /// Record data in the answer section, sorted; `NODATA` and `NXDOMAIN` where there are none.
    pub(super) fn data(&self, name: &str, rtype: RecordType) -> Vec<String> {
        let answered = self.ask(name, rtype);
        match (answered.rcode, answered.answer.is_empty()) {
            (0, true) => vec!["NODATA".to_owned()],
            (3, true) => vec!["NXDOMAIN".to_owned()],
            (0, false) => answered.answer.iter().map(|text| text.splitn(5, ' ').nth(4).unwrap().to_owned()).collect(),
            (code, _) => vec![format!("rcode {code}")],
        }
    }

    pub(super) fn a(&self, name: &str) -> Vec<String> {
        self.data(name, RecordType::A)
    }

    pub(super) fn aaaa(&self, name: &str) -> Vec<String> {
        self.data(name, RecordType::AAAA)
    }
}

impl Answered {
    pub(super) fn read(bytes: &[u8]) -> Answered {
        let message = Message::from_vec(bytes).unwrap();
        let sorted = |records: &[Record]| {
            let mut texts: Vec<String> = records.iter().map(Record::to_string).collect();
            texts.sort();
            texts
        };
        Answered {
            rcode: message.metadata.response_code.into(),
            authoritative: message.metadata.authoritative,
            truncated: message.metadata.truncation,
            answer: sorted(&message.answers),
            authority: sorted(&message.authorities),
            additional: sorted(&message.additionals),
        }
    }
}

pub(super) fn question(name: &str, rtype: RecordType) -> Vec<u8> {
    let mut packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(rtype.0.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The objects of one of the manifests of tests/cases.
pub(super) fn manifest(name: &str) -> Vec<Object> {
    let path = format!("{}/tests/cases/manifests/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    crate::cluster::objects_from_text(&path, &std::fs::read_to_string(&path).unwrap()).unwrap()
}

pub(super) fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: namespace.into(), name: name.into() }
}

pub(super) fn namespace(name: &str) -> Object {
    Object::Namespace(key("", name))
}

/// Ports written as `http/80/TCP`.
fn ports(texts: &[&str]) -> Vec<Port> {
    let port = |text: &&str| {
        let parts: Vec<&str> = text.split('/').collect();
        Port { name: parts[0].into(), number: parts[1].parse().unwrap(), protocol: parts[2].into() }
    };
    texts.iter().map(port).collect()
}

/// A service with cluster IPs, or `None`.
pub(super) fn service(namespace: &str, name: &str, ips: &[&str], port_texts: &[&str]) -> Object {
    Object::Service(Service {
        key: Some(key(namespace, name)),
        cluster_ips: ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
        headless: ips == ["None"],
        ports: ports(port_texts),
        ..Service::default()
    })
}

pub(super) fn external(namespace: &str, name: &str, target: &str) -> Object {
    let external_name = Some(target.to_owned());
    Object::Service(Service { key: Some(key(namespace, name)), external_name, ..Service::default() })
}

/// A slice with endpoints written as `ADDRESS`, `ADDRESS=HOSTNAME` or `ADDRESS@POD`.
pub(super) fn slice(namespace: &str, name: &str, service: &str, endpoints: &[&str], port_texts: &[&str]) -> Object {
    fn endpoint<'a>(text: &&'a str) -> Endpoint<'a> {
        let (rest, hostname) = text.split_once('=').unwrap_or((text, ""));
        let (address, target) = rest.split_once('@').unwrap_or((rest, ""));
        Endpoint { address: address.parse().ok(), text: address, hostname, target, zone: "" }
    }
    Object::EndpointSlice(EndpointSlice {
        key: Some(key(namespace, name)),
        service: service.into(),
        cluster: String::new(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        ports: ports(port_texts),
        last_change: None,
    })
}

pub(super) fn pod(namespace: &str, name: &str, ip: &str, terminating: bool) -> Object {
    Object::Pod(Pod { key: key(namespace, name), ip: ip.parse().unwrap(), terminating })
}

pub(super) fn shop() -> Vec<Object> {
    const HTTP: &[&str] = &["http/80/TCP"];
    vec![
        namespace("shop"),
        namespace("kube-system"),
        namespace("hidden"),
        service("shop", "web", &["10.0.0.1"], HTTP),
        slice("shop", "web-1", "web", &["172.0.0.1=ep1a"], HTTP),
        service("shop", "idle", &["10.0.0.9"], HTTP),
        slice("shop", "idle-1", "idle", &[], HTTP),
        service("shop", "web6", &["1234:abcd::1"], HTTP),
        service("shop", "dual", &["10.0.0.3", "10::3"], HTTP),
        service("shop", "two", &["10.0.0.4"], &["http/80/TCP", "metrics/9090/TCP"]),
        service("shop", "bare", &["10.0.0.7"], &[]),
        service("shop", "unnamed", &["10.0.0.8"], &["/80/TCP"]),
        service("shop", "db", &["None"], HTTP),
        slice("shop", "db-1", "db", &["172.0.0.2", "172.0.0.3", "172.0.0.4=twin", "172.0.0.5=twin"], HTTP),
        slice("shop", "db-2", "db", &["5678:abcd::1", "5678:abcd::2"], HTTP),
        service("shop", "raw", &["None"], &[]),
        slice("shop", "raw-1", "raw", &["172.0.0.20"], &[]),
        service("shop", "hollow", &["None"], HTTP),
        external("shop", "ext", "ext.interwebs.test"),
        external("shop", "alias", "web.shop.svc.cluster.local"),
        external("shop", "chain", "alias.shop.svc.cluster.local"),
        external("shop", "self", "self.shop.svc.cluster.local"),
        external("shop", "ping", "pong.shop.svc.cluster.local"),
        external("shop", "pong", "ping.shop.svc.cluster.local"),
        external("shop", "dangling", "nothing.shop.svc.cluster.local"),
        external("shop", "literal", "10.1.2.3"),
        service("hidden", "web", &["10.0.0.2"], HTTP),
        service("ghost", "web", &["10.0.0.6"], HTTP),
        service("kube-system", "kube-dns", &["10.0.0.10"], &["dns/53/UDP", "dns-tcp/53/TCP", "metrics/9153/TCP"]),
        slice("kube-system", "kube-dns-1", "kube-dns", &["172.0.0.100"], &["dns/53/UDP"]),
    ]
}

fn check(fixture: &Fixture, rtype: RecordType, cases: &[(&str, &[&str])]) {
    for (name, expected) in cases {
        assert_eq!(fixture.data(name, rtype), *expected, "{name} {rtype}");
    }
}
