//! Everything that clients may ask of a cluster (Kubernetes DNS specification 1.1.0), and what they ask in vain.

use super::Question;
use crate::cluster::{EndpointSlice, Key, Object, Pod, Service};
use crate::wire::{Name, RecordType};
use std::collections::BTreeSet;
use std::net::IpAddr;

const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;
const SRV: RecordType = RecordType::SRV;

/// What is asked through a search list and does not exist there.
const ELSEWHERE: &str = "www.example.com";
/// A Service that nobody has.
const NOBODY: &str = "no-such-service";

/// The questions that these objects imply, in no order, some of them more than once.
pub(super) fn implied(objects: &[Object], zone: &Name) -> Vec<Question> {
    let mut asked = Asked { zone: zone.to_string(), questions: Vec::new() };
    asked.zone();
    let mut namespaces = BTreeSet::new();
    for object in objects {
        match object {
            Object::Namespace(key) => drop(namespaces.insert(key.name.as_str())),
            Object::Service(service) => asked.service(service),
            Object::EndpointSlice(slice) => asked.slice(slice),
            Object::Pod(pod) => asked.pod(pod),
            // Another zone's.
            Object::ServiceImport(_) | Object::ImportedSlice(_) => {}
        }
        namespaces.extend(object_namespace(object));
    }
    namespaces.into_iter().for_each(|namespace| asked.namespace(namespace));
    asked.questions
}

fn object_namespace(object: &Object) -> Option<&str> {
    let key = match object {
        Object::Namespace(_) | Object::ServiceImport(_) | Object::ImportedSlice(_) => None,
        Object::Service(service) => service.key.as_ref(),
        Object::EndpointSlice(slice) => slice.key.as_ref(),
        Object::Pod(pod) => Some(&pod.key),
    };
    key.map(|key| key.namespace.as_str())
}

struct Asked {
    zone: String,
    questions: Vec<Question>,
}

impl Asked {
    /// Asks for a name in the zone. What is too long to be a name is nobody's.
    fn ask(&mut self, left: &str, types: &[RecordType]) {
        let zone = &self.zone;
        let whole = if left.is_empty() { zone.clone() } else { format!("{left}.{zone}") };
        self.ask_whole(&whole, types);
    }

    fn ask_whole(&mut self, name: &str, types: &[RecordType]) {
        if let Ok(name) = Name::from_text(name) {
            self.questions.extend(types.iter().map(|qtype| (name.clone(), *qtype)));
        }
    }

    fn zone(&mut self) {
        self.ask("", &[RecordType::SOA, RecordType::NS, A, RecordType::TXT]);
        self.ask("svc", &[A]);
        self.ask("pod", &[A]);
        self.ask("dns-version", &[RecordType::TXT]);
        self.ask(ELSEWHERE, &[A, AAAA]);
    }

    fn namespace(&mut self, namespace: &str) {
        self.ask(&format!("{namespace}.svc"), &[A]);
        self.ask(&format!("{ELSEWHERE}.{namespace}.svc"), &[A, AAAA]);
        self.ask(&format!("{NOBODY}.{namespace}.svc"), &[A, AAAA, SRV, RecordType::SOA]);
        self.ask(&format!("{ELSEWHERE}.svc"), &[A, AAAA]);
    }

    fn service(&mut self, service: &Service) {
        let Some(Key { namespace, name }) = &service.key else { return };
        let own = format!("{name}.{namespace}.svc");
        self.ask(&own, &[A, AAAA, SRV, RecordType::CNAME, RecordType::TXT]);
        for port in service.ports.iter().filter(|port| !port.name.is_empty()) {
            let protocol = port.protocol.to_lowercase();
            self.ask(&format!("_{}._{protocol}.{own}", port.name), &[SRV, A]);
        }
        self.ask(&format!("_no-such-port._tcp.{own}"), &[SRV]);
        // The way of a search list: from its own namespace with the namespace said, and without `svc`.
        self.ask(&format!("{name}.{namespace}.{namespace}.svc"), &[A, AAAA]);
        self.ask(&format!("{name}.{namespace}"), &[A, AAAA]);
        service.cluster_ips.iter().for_each(|ip| self.pointer(*ip));
    }

    fn slice(&mut self, slice: &EndpointSlice) {
        let Some(Key { namespace, .. }) = &slice.key else { return };
        if slice.service.is_empty() {
            return;
        }
        let own = format!("{}.{namespace}.svc", slice.service);
        for port in slice.ports.iter().filter(|port| !port.name.is_empty()) {
            self.ask(&format!("_{}._{}.{own}", port.name, port.protocol.to_lowercase()), &[SRV]);
        }
        for endpoint in slice.endpoints.iter() {
            let label = match endpoint.hostname {
                "" => endpoint.text.replace(['.', ':'], "-"),
                hostname => hostname.to_owned(),
            };
            self.ask(&format!("{label}.{own}"), &[A, AAAA]);
            endpoint.address.into_iter().for_each(|ip| self.pointer(ip));
        }
    }

    fn pod(&mut self, pod: &Pod) {
        let label = pod.ip.to_string().replace(['.', ':'], "-");
        self.ask(&format!("{label}.{}.pod", pod.key.namespace), &[A, AAAA]);
        self.pointer(pod.ip);
    }

    fn pointer(&mut self, ip: IpAddr) {
        let labels: Vec<String> = match ip {
            IpAddr::V4(ip) => ip.octets().iter().rev().map(ToString::to_string).collect(),
            IpAddr::V6(ip) => {
                ip.octets().iter().rev().flat_map(|octet| [octet & 15, octet >> 4]).map(|n| format!("{n:x}")).collect()
            }
        };
        let tree = if ip.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        self.ask_whole(&format!("{}.{tree}", labels.join(".")), &[RecordType::PTR]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::objects_from_text;

    #[test]
    fn a_cluster_implies_its_names() {
        let text = include_str!("../../../corefile-examples/quickstart-cluster.yaml");
        let objects = objects_from_text("quickstart", text).unwrap();
        let asked = implied(&objects, &Name::from_text("k.test").unwrap());
        let asked: BTreeSet<String> = asked.iter().map(|(name, qtype)| format!("{name} {qtype}")).collect();
        for expected in [
            "k.test. SOA",
            "backend-service.default.svc.k.test. A",
            "backend-service.default.svc.k.test. AAAA",
            "backend-service.default.default.svc.k.test. A",
            "www.example.com.default.svc.k.test. AAAA",
            "no-such-service.default.svc.k.test. A",
            "1.0.100.10.in-addr.arpa. PTR",
        ] {
            assert!(asked.contains(expected), "{expected} in {asked:#?}");
        }
    }

    #[test]
    fn endpoints_and_pods_have_names_by_address() {
        let mut asked = Asked { zone: "k.test.".into(), questions: Vec::new() };
        let key = Key { namespace: "prod".into(), name: "db".into() };
        asked.pod(&Pod { key, ip: "fd00::1".parse().unwrap(), terminating: false });
        let asked: Vec<String> = asked.questions.iter().map(|(name, qtype)| format!("{name} {qtype}")).collect();
        assert_eq!(asked[0], "fd00--1.prod.pod.k.test. A");
        assert!(asked[2].starts_with("1.0.0.0.") && asked[2].ends_with(".0.0.d.f.ip6.arpa. PTR"), "{asked:?}");
    }
}
