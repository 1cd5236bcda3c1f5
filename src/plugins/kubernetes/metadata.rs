//! What the plugin knows of a query for others (`metadata`).

use super::Kubernetes;
use super::names::{Place, place};
use crate::plugin::{Provider, Subject};
use crate::wire::NameBuffer;

impl Provider for Kubernetes {
    fn label(&self, label: &str, subject: &Subject) -> Option<String> {
        let label = label.strip_prefix("kubernetes/")?;
        match label {
            "client-namespace" => self.namespace_of(subject.client.ip()).map(|namespace| text(&namespace.label)),
            _ => self.label_of_name(label, subject),
        }
    }
}

impl Kubernetes {
    /// The parts of a name in one of the zones.
    fn label_of_name(&self, label: &str, subject: &Subject) -> Option<String> {
        let mut buffer = NameBuffer::default();
        let name = buffer.lower(subject.name.wire())?;
        let (_, zone) = self.zones.find(&name)?;
        let parts = Parts::of(&place(&name, zone.grammar));
        match (label, parts) {
            ("parse-error", None) => Some("invalid query name".to_owned()),
            ("kind", Some(parts)) => Some(parts.kind.to_owned()),
            ("namespace", Some(parts)) => Some(parts.namespace),
            ("service", Some(parts)) => Some(parts.service),
            ("endpoint", Some(parts)) => Some(parts.endpoint),
            ("port-name", Some(parts)) => Some(parts.port),
            ("protocol", Some(parts)) => Some(parts.protocol),
            ("cluster", Some(parts)) if !parts.cluster.is_empty() => Some(parts.cluster),
            ("zone", Some(parts)) => Some(parts.zone),
            _ => None,
        }
    }
}

/// What a name says, empty where it does not.
#[derive(Default)]
struct Parts {
    kind: &'static str,
    namespace: String,
    service: String,
    endpoint: String,
    port: String,
    protocol: String,
    /// That of an endpoint of a `multicluster` zone.
    cluster: String,
    /// The zone of topology.
    zone: String,
}

impl Parts {
    fn of(place: &Place<'_>) -> Option<Parts> {
        let parts = Parts { kind: "svc", ..Parts::default() };
        let with_key = |key: &[u8], parts: Parts| {
            let mut labels = labels(key).into_iter();
            let (service, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
            Parts { service, namespace, ..parts }
        };
        Some(match place {
            Place::Services(namespace) => Parts { namespace: text(namespace), ..parts },
            Place::Pods(namespace) => Parts { kind: "pod", namespace: text(namespace), ..parts },
            Place::Pod { label, namespace } => {
                Parts { kind: "pod", namespace: text(namespace), service: text(label), ..parts }
            }
            Place::Service { key } => with_key(key, parts),
            Place::Endpoint { label, key } => {
                let mut labels = labels(label).into_iter();
                let (endpoint, cluster) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
                with_key(key, Parts { endpoint, cluster, ..parts })
            }
            Place::Port { filter, key } => {
                with_key(key, Parts { port: text(filter.name), protocol: text(filter.protocol), ..parts })
            }
            Place::Zonal { zone, key, .. } => with_key(key, Parts { zone: labels(zone).join("."), ..parts }),
            // The tree's own names have no parts, but they are no errors.
            Place::Apex | Place::Tree => Parts { kind: "", ..parts },
            _ => return None,
        })
    }
}

fn text(label: &[u8]) -> String {
    String::from_utf8_lossy(label).into_owned()
}

/// The labels of a run in wire form.
fn labels(mut wire: &[u8]) -> Vec<String> {
    let mut labels = Vec::new();
    while let Some((length, rest)) = wire.split_first() {
        let length = usize::from(*length).min(rest.len());
        labels.push(text(&rest[..length]));
        wire = &rest[length..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::names::Grammar;
    use super::*;
    use crate::wire::Name;

    /// The parts of a name in `cluster.local`, those that are not empty.
    fn parts(name: &str) -> Option<Vec<String>> {
        let name = Name::from_text(&format!("{name}cluster.local")).unwrap();
        let mut buffer = NameBuffer::default();
        let parts = Parts::of(&place(
            &buffer.lower(name.wire()).unwrap(),
            Grammar { labels: 2, is_zonal: true, ..Grammar::default() },
        ))?;
        let all = [
            parts.kind.to_owned(),
            parts.namespace,
            parts.service,
            parts.endpoint,
            parts.port,
            parts.protocol,
            parts.zone,
        ];
        Some(all.into_iter().filter(|part| !part.is_empty()).collect())
    }

    #[test]
    fn a_name_has_the_parts_it_says() {
        for (name, expected) in [
            ("prod.svc.", Some(vec!["svc", "prod"])),
            ("Web.prod.svc.", Some(vec!["svc", "prod", "web"])),
            ("web-0.web.prod.svc.", Some(vec!["svc", "prod", "web", "web-0"])),
            ("_http._tcp.web.prod.svc.", Some(vec!["svc", "prod", "web", "http", "tcp"])),
            ("10-0-0-1.prod.pod.", Some(vec!["pod", "prod", "10-0-0-1"])),
            ("", Some(vec![])),
            ("eu.1a.pin._zone.db.prod.svc.", Some(vec!["svc", "prod", "db", "eu.1a"])),
            ("a.b.c.d.e.svc.", None),
            ("other.", None),
        ] {
            let found = parts(name);
            assert_eq!(found.as_ref().map(|parts| parts.iter().map(String::as_str).collect()), expected, "{name}");
        }
    }
}
