//! Bytes that Kubernetes' own serializer wrote (`tests/data/protobuf/make.go`) against the same objects read as YAML.

use crate::cluster::decode::{self, Event, Format, State, Status};
use crate::cluster::{Details, Kind, Object, objects_from_text};

const OBJECTS: &str = include_str!("../../../../tests/data/protobuf/objects.yaml");

/// A kind with its list and its watch.
macro_rules! golden {
    ($kind:expr, $name:literal) => {
        (
            $kind,
            include_bytes!(concat!("../../../../tests/data/protobuf/", $name, "-list.pb")).as_slice(),
            include_bytes!(concat!("../../../../tests/data/protobuf/", $name, "-watch.pb")).as_slice(),
        )
    };
}

const KINDS: [(Kind, &[u8], &[u8]); 4] = [
    golden!(Kind::Namespace, "namespace"),
    golden!(Kind::Service, "service"),
    golden!(Kind::EndpointSlice, "slice"),
    golden!(Kind::Pod, "pod"),
];

fn expected(kind: Kind) -> Vec<Object> {
    let objects = objects_from_text("objects.yaml", OBJECTS).unwrap();
    objects.into_iter().filter(|object| object.identity().0 == kind).collect()
}

fn present(states: Vec<State>) -> Vec<Object> {
    let present = |state| match state {
        State::Present(object) => Some(object),
        State::Absent(..) => None,
    };
    states.into_iter().filter_map(present).collect()
}

#[test]
fn lists_hold_what_the_manifest_does() {
    for (kind, list, _) in KINDS {
        let mut states = Vec::new();
        let mut take = |object: Result<State, String>| states.push(object.unwrap());
        let mut reader = decode::ListReader::new(kind, Details::ALL, Format::Protobuf);
        reader.push(list, &mut take).unwrap();
        let end = reader.finish(&mut take).unwrap();
        assert_eq!((end.version.as_str(), end.next.as_str()), ("200", "more"));
        assert!(!expected(kind).is_empty());
        assert_eq!(present(states), expected(kind));
    }
}

#[test]
fn watches_tell_what_the_manifest_holds() {
    for (kind, _, mut watch) in KINDS {
        let (mut added, mut deleted, mut versions, mut others) = (Vec::new(), 0, Vec::new(), Vec::new());
        while let Some((length, rest)) = watch.split_first_chunk() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            watch = rest;
            let watched = decode::event(kind, Details::ALL, Format::Protobuf, frame).unwrap();
            versions.push(watched.version);
            match watched.event {
                Event::Added(state) => added.push(state),
                Event::Deleted(..) => deleted += 1,
                other => others.push(other),
            }
        }
        assert_eq!(added.len(), deleted);
        assert_eq!(present(added), expected(kind));
        let message = "too old resource version: 1 (2)".to_owned();
        let expired = Event::Error(Status { code: 410, reason: "Expired".into(), message });
        assert_eq!(others, [Event::Bookmark, expired]);
        assert!(versions[0].starts_with("10"), "{versions:?}");
        assert_eq!(versions[versions.len() - 2], "300");
    }
}
