//! Kubernetes' protobuf encoding: a reader that picks the fields of [`raw`](super::raw) and skips all others.
//!
//! An object or list is `k8s\0` and a `runtime.Unknown` whose field 2 holds the message; a watch is a sequence of
//! `meta/v1.WatchEvent` (framed by the transport) whose `object.raw` is such an object.

#[cfg(test)]
pub(in crate::cluster) mod encode;
mod fields;
#[cfg(test)]
mod golden;
mod messages;
#[cfg(test)]
mod tests;

use super::raw::Raw;
use super::{Details, Event, Kind, PageEnd, Status, Take, Watched, changed, protobuf_object};
use fields::Fields;

pub(super) use fields::{CUT_OFF, Malformed, Message, extent};

/// Reads one field of a list, of which all is there.
pub(super) fn list_field(
    kind: Kind,
    details: Details,
    field: &[u8],
    end: &mut PageEnd,
    take: Take<'_>,
) -> Result<(), Malformed> {
    for field in Fields(field) {
        match field? {
            (1, value) => {
                for field in Fields(value.bytes()?) {
                    match field? {
                        (2, value) => end.version = value.owned()?,
                        (3, value) => end.next = value.owned()?,
                        _ => {}
                    }
                }
            }
            // Each object is read by itself: one that is malformed does not spoil the others.
            (2, value) => take(protobuf_object(kind, details, value.bytes()?)),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn event<'a, T: Raw<'a>>(details: Details, frame: &'a [u8]) -> Result<Watched, String> {
    let (event_type, object) = envelope(frame).map_err(|reason| reason.to_string())?;
    if event_type == "ERROR" {
        let status = status(object).map_err(|reason| reason.to_string())?;
        return Ok(Watched { event: Event::Error(status), version: String::new() });
    }
    let object = unwrap(object).and_then(|message| read::<T>(details, message)).map_err(|reason| reason.to_string())?;
    changed(event_type, object)
}

/// An object's message; of endpoints only the details that are wanted.
pub(super) fn read<'a, T: Raw<'a>>(details: Details, message: &'a [u8]) -> Result<T, Malformed> {
    let mut object = T::wanting(details);
    object.fill(message)?;
    Ok(object)
}

pub(super) fn status(bytes: &[u8]) -> Result<Status, Malformed> {
    Status::read(unwrap(bytes)?)
}

/// `WatchEvent{type = 1, object = 2: RawExtension{raw = 1}}`.
fn envelope(frame: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut event_type, mut object) = ("", &[][..]);
    for field in Fields(frame) {
        match field? {
            (1, value) => event_type = value.text()?,
            (2, value) => {
                for field in Fields(value.bytes()?) {
                    if let (1, value) = field? {
                        object = value.bytes()?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((event_type, object))
}

/// The message inside `k8s\0` and `Unknown{typeMeta = 1, raw = 2}`.
fn unwrap(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (magic, unknown) = bytes.split_first_chunk().ok_or(CUT_OFF)?;
    check_magic(*magic)?;
    let mut message = &[][..];
    for field in Fields(unknown) {
        if let (2, value) = field? {
            message = value.bytes()?;
        }
    }
    Ok(message)
}

/// What every object begins with.
pub(super) fn check_magic(octets: [u8; 4]) -> Result<(), Malformed> {
    if octets == *b"k8s\0" { Ok(()) } else { Err(Malformed("it does not begin with k8s\\0")) }
}
