use super::encode::{bytes, list, metadata, number, service, watch_event, wrapped};
use super::*;
use crate::cluster::decode;
use crate::cluster::decode::raw::LAST_CHANGE;
use crate::cluster::decode::raw::{self, Raw};
use crate::cluster::decode::slice;
use crate::cluster::decode::{Format, ListReader, State, raw::Pod};
use crate::cluster::{self, Endpoints, Kind, Object, Port};
use proptest::prelude::*;

/// The objects of a list, and why others could not be read.
fn taken(kind: Kind, body: &[u8]) -> (PageEnd, Vec<State>, Vec<String>) {
    let (mut states, mut undecodable) = (Vec::new(), Vec::new());
    let mut take = |object: Result<State, String>| match object {
        Ok(state) => states.push(state),
        Err(reason) => undecodable.push(reason),
    };
    let mut reader = ListReader::new(kind, Details::ALL, Format::Protobuf);
    reader.push(body, &mut take).unwrap();
    let end = reader.finish(&mut take).unwrap();
    (end, states, undecodable)
}

fn present<'a, T: Raw<'a>>(message: &'a [u8]) -> Object {
    match read::<T>(Details::ALL, message).unwrap().state().unwrap() {
        State::Present(object) => object,
        State::Absent(..) => panic!("the object is absent"),
    }
}

fn key(name: &str) -> cluster::Key {
    cluster::Key { namespace: "shop".into(), name: name.into() }
}

#[test]
fn a_service_with_everything() {
    let port = [bytes(1, "http"), bytes(2, "TCP"), number(3, 80), number(5, 30080)].concat();
    let spec = [
        bytes(1, port),
        bytes(2, [bytes(1, "app"), bytes(2, "web")].concat()),
        bytes(3, "10.0.0.3"),
        bytes(4, "ClusterIP"),
        bytes(5, "192.0.2.1"),
        bytes(10, ""),
        number(13, 0),
        bytes(18, "10.0.0.3"),
        bytes(18, "fd00::3"),
        bytes(19, "IPv4"),
    ];
    let ingress = [bytes(1, ""), bytes(2, "lb.example.")].concat();
    let status = bytes(1, bytes(1, ingress));
    let message = [bytes(1, metadata("web", "7")), bytes(2, spec.concat()), bytes(3, status)].concat();
    assert_eq!(
        present::<raw::Service>(&message),
        Object::Service(cluster::Service {
            key: Some(key("web")),
            cluster_ips: vec!["10.0.0.3".parse().unwrap(), "fd00::3".parse().unwrap()],
            headless: false,
            external_name: None,
            ports: vec![Port { name: "http".into(), number: 80, protocol: "TCP".into() }],
            external_ips: vec!["192.0.2.1".into(), "lb.example.".into()],
        })
    );
}

#[test]
fn a_slice_with_everything() {
    let label = [bytes(1, "kubernetes.io/service-name"), bytes(2, "db")].concat();
    let other_label = [bytes(1, "app"), bytes(2, "db")].concat();
    let annotation = [bytes(1, LAST_CHANGE), bytes(2, "2026-01-02T03:04:05Z")].concat();
    let metadata = [metadata("db-1", "9"), bytes(11, other_label), bytes(11, label), bytes(12, annotation)].concat();
    let endpoint = |address: &str, ready: i64| {
        [
            bytes(1, address),
            bytes(2, [number(1, ready), number(2, 1)].concat()),
            bytes(3, "db-0"),
            bytes(4, [bytes(1, "Pod"), bytes(2, "shop"), bytes(3, "db-pod")].concat()),
            bytes(6, "node-1"),
            bytes(7, "zone-a"),
        ]
        .concat()
    };
    let message = [
        bytes(1, metadata),
        bytes(2, endpoint("10.1.0.1", 1)),
        bytes(2, endpoint("10.1.0.2", 0)),
        bytes(3, [bytes(1, "pg"), bytes(2, "UDP"), number(3, 5432)].concat()),
        // A port without a number.
        bytes(3, [bytes(1, "any"), bytes(2, "TCP")].concat()),
        bytes(4, "IPv4"),
    ];
    assert_eq!(
        present::<slice::EndpointSlice>(&message.concat()),
        Object::EndpointSlice(cluster::EndpointSlice {
            key: Some(key("db-1")),
            service: "db".into(),
            cluster: String::new(),
            endpoints: Endpoints::from_iter([cluster::Endpoint {
                address: Some("10.1.0.1".parse().unwrap()),
                text: "",
                hostname: "db-0",
                target: "db-pod",
                zone: "zone-a",
            }]),
            ports: vec![Port { name: "pg".into(), number: 5432, protocol: "UDP".into() }],
            last_change: Some("2026-01-02T03:04:05Z".into()),
        })
    );
}

#[test]
fn of_endpoints_what_is_not_wanted_is_not_read() {
    let target = bytes(4, [bytes(1, "Pod"), bytes(3, "db-pod")].concat());
    let endpoint = [bytes(1, "10.1.0.1"), bytes(3, "db-0"), target, bytes(7, "zone-a")].concat();
    let message = [bytes(1, metadata("db-1", "9")), bytes(2, endpoint), bytes(4, "IPv4")].concat();
    let event = watch_event("ADDED", &message);
    for (details, target, zone) in [
        (Details::default(), "", ""),
        (Details { pod_names: true, zones: false }, "db-pod", ""),
        (Details { pod_names: false, zones: true }, "", "zone-a"),
        (Details::ALL, "db-pod", "zone-a"),
    ] {
        let address = Some("10.1.0.1".parse().unwrap());
        let wanted = cluster::Endpoint { address, text: "", hostname: "db-0", target, zone };
        let of = |state: State| match state {
            State::Present(Object::EndpointSlice(slice) | Object::ImportedSlice(slice)) => slice.endpoints,
            other => panic!("{other:?}"),
        };
        for kind in [Kind::EndpointSlice, Kind::ImportedSlice] {
            let watched = decode::event(kind, details, Format::Protobuf, &event).unwrap();
            let Event::Added(state) = watched.event else { panic!("another event") };
            assert_eq!(of(state), Endpoints::from_iter([wanted]), "{kind:?} {details:?}");
            let mut listed = Vec::new();
            let mut take = |object: Result<State, String>| listed.push(of(object.unwrap()));
            let mut reader = ListReader::new(kind, details, Format::Protobuf);
            reader.push(&list("12", "", std::slice::from_ref(&message)), &mut take).unwrap();
            reader.finish(&mut take).unwrap();
            assert_eq!(listed, [Endpoints::from_iter([wanted])], "{kind:?} {details:?}");
        }
    }
}

#[test]
fn an_imported_slice_has_its_service_and_cluster_from_its_labels() {
    let label = |key: &str, value: &str| bytes(11, [bytes(1, key), bytes(2, value)].concat());
    let labels = [
        label("multicluster.kubernetes.io/service-name", "db"),
        label("multicluster.kubernetes.io/source-cluster", "c1"),
        label("kubernetes.io/service-name", "derived-db"),
    ];
    let metadata = [metadata("db-c1", "9"), labels.concat()].concat();
    let endpoint = [bytes(1, "10.1.0.1"), bytes(2, number(1, 1))].concat();
    let message = [bytes(1, metadata), bytes(2, endpoint), bytes(4, "IPv4")].concat();
    let Object::ImportedSlice(slice) = present::<slice::ImportedSlice>(&message) else { panic!("another kind") };
    assert_eq!((slice.key, slice.service.as_str(), slice.cluster.as_str()), (Some(key("db-c1")), "db", "c1"));
    assert_eq!(slice.endpoints.len(), 1);
    let body = list("12", "", &[message]);
    let (_, states, _) = taken(Kind::ImportedSlice, &body);
    assert!(matches!(states[..], [State::Present(Object::ImportedSlice(_))]), "{states:?}");
}

#[test]
fn a_terminating_pod() {
    let metadata = [metadata("job", "3"), bytes(9, number(1, 1_700_000_000))].concat();
    let status = [bytes(1, "Running"), bytes(5, "192.0.2.7"), bytes(6, "10.1.0.9"), bytes(12, bytes(1, "10.1.0.9"))];
    let message = [bytes(1, metadata), bytes(2, bytes(99, "spec")), bytes(3, status.concat())].concat();
    let expected = cluster::Pod { key: key("job"), ip: "10.1.0.9".parse().unwrap(), terminating: true };
    assert_eq!(present::<Pod>(&message), Object::Pod(expected));
}

#[test]
fn a_list_has_a_version_a_token_and_items() {
    let namespace = bytes(1, [bytes(1, "shop"), bytes(6, "4")].concat());
    let body = list("12", "more", &[namespace]);
    let (end, states, _) = taken(Kind::Namespace, &body);
    assert_eq!((end.version.as_str(), end.next.as_str()), ("12", "more"));
    let expected = cluster::Key { namespace: String::new(), name: "shop".into() };
    assert_eq!(states, [State::Present(Object::Namespace(expected))]);
}

#[test]
fn one_malformed_item_does_not_spoil_the_list() {
    let cut = service("broken", "2", "10.0.0.2");
    let no_name = bytes(2, bytes(3, "10.0.0.4"));
    let items = [service("a", "1", "10.0.0.1"), cut[..cut.len() - 3].to_vec(), no_name, service("b", "3", "10.0.0.3")];
    let body = list("12", "", &items);
    let (_, states, undecodable) = taken(Kind::Service, &body);
    assert_eq!((states.len(), undecodable.len()), (2, 2));
    assert!(undecodable[0].contains("longer than its message"), "{undecodable:?}");
    assert_eq!(undecodable[1], "a Service without metadata.name");
}

#[test]
fn events_of_every_type() {
    let object = service("web", "8", "10.0.0.1");
    let read = |event_type: &str| event::<raw::Service>(Details::ALL, &watch_event(event_type, &object)).unwrap();
    assert!(matches!(read("ADDED").event, Event::Added(State::Present(Object::Service(_)))));
    assert!(matches!(read("MODIFIED").event, Event::Modified(State::Present(_))));
    assert_eq!(read("DELETED"), Watched { event: Event::Deleted(Kind::Service, key("web")), version: "8".into() });
    let bookmark = bytes(1, bytes(6, "9"));
    let bookmark = event::<raw::Service>(Details::ALL, &watch_event("BOOKMARK", bookmark)).unwrap();
    assert_eq!(bookmark, Watched { event: Event::Bookmark, version: "9".into() });
    let expired = [bytes(2, "Failure"), bytes(3, "too old"), bytes(4, "Expired"), number(6, 410)].concat();
    let expired = event::<raw::Service>(Details::ALL, &watch_event("ERROR", expired)).unwrap();
    let status = Status { code: 410, reason: "Expired".into(), message: "too old".into() };
    assert_eq!(expired.event, Event::Error(status));
    assert!(event::<raw::Service>(Details::ALL, &watch_event("RENAMED", &object)).unwrap_err().contains("RENAMED"));
}

#[test]
fn what_is_no_protobuf_says_so() {
    assert!(
        event::<raw::Service>(Details::ALL, &[bytes(1, "ADDED"), bytes(2, bytes(1, "{...}"))].concat())
            .unwrap_err()
            .contains("k8s")
    );
    let read = |bytes: &[u8]| raw::Service::read(bytes).unwrap_err();
    // Longer than the message, a number that does not end, a group, a number where a message is expected.
    for bytes in [&[0x0a, 5, 1][..], &[0x08, 0x80], &[0x08; 1], &[0x0b], &[0x08, 1]] {
        read(bytes);
    }
    assert!(raw::Service::read(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let unknown = [number(100, -1), vec![(15 << 3) | 1], vec![0; 8], vec![(15 << 3) | 5], vec![0; 4]].concat();
    let message = [unknown.clone(), service("web", "1", "10.0.0.1"), unknown].concat();
    assert!(matches!(present::<raw::Service>(&message), Object::Service(_)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = ListReader::new(Kind::EndpointSlice, Details::ALL, Format::Protobuf);
        let _ = reader.push(&wrapped(&bytes), &mut |_| {}).and_then(|()| reader.finish(&mut |_| {}));
        let _ = event::<slice::EndpointSlice>(Details::ALL, &bytes);
        let _ = raw::Pod::read(&bytes);
    }
}
