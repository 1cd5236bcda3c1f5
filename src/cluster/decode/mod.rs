//! What arrives as JSON, YAML or protobuf, into objects.
//!
//! Every format fills the same shapes ([`raw`], [`slice`](mod@slice)), and the rules that make slim objects of them are
//! written once.

mod json;
mod list;
pub(super) mod manifest;
pub(super) mod protobuf;
mod raw;
mod slice;
mod text;

use super::{Details, Key, Kind, Object};
use raw::Raw;

pub(super) use list::ListReader;
pub(super) use raw::IMPORT_NAME;

/// How a response is encoded, by its `Content-Type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Json,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// An object as it now is: with what DNS needs, or without (a pod that has no address yet).
#[derive(Clone, PartialEq, Debug)]
pub(super) enum State {
    Present(Object),
    Absent(Kind, Key),
}

/// Receives the objects of a page one by one, or why one of them cannot be read.
pub(super) type Take<'t> = &'t mut (dyn FnMut(Result<State, String>) + Send);

/// What stands around the objects of a list or of one page of it.
#[derive(PartialEq, Debug, Default)]
pub(super) struct PageEnd {
    /// The list's resourceVersion.
    pub(super) version: String,
    /// The continue token; empty on the last page.
    pub(super) next: String,
}

/// One watch event, and the resourceVersion to resume behind it, empty where it has none.
#[derive(PartialEq, Debug)]
pub(super) struct Watched {
    pub(super) event: Event,
    pub(super) version: String,
}

#[derive(PartialEq, Debug)]
pub(super) enum Event {
    Added(State),
    Modified(State),
    Deleted(Kind, Key),
    Bookmark,
    /// The API server ends the watch with this status.
    Error(Status),
}

/// `meta/v1.Status`.
#[derive(Clone, PartialEq, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: i64,
    pub(super) reason: String,
    pub(super) message: String,
}

/// Reads a list in JSON.
fn json_page(kind: Kind, body: &[u8], take: Take<'_>) -> Result<PageEnd, String> {
    match kind {
        Kind::Namespace => json::page::<raw::Namespace>(body, take),
        Kind::Service => json::page::<raw::Service>(body, take),
        Kind::EndpointSlice => json::page::<slice::EndpointSlice>(body, take),
        Kind::Pod => json::page::<raw::Pod>(body, take),
        Kind::ServiceImport => json::page::<raw::ServiceImport>(body, take),
        Kind::ImportedSlice => json::page::<slice::ImportedSlice>(body, take),
    }
}

/// Reads an object in protobuf.
fn protobuf_object(kind: Kind, details: Details, message: &[u8]) -> Result<State, String> {
    fn read<'a, T: Raw<'a>>(details: Details, message: &'a [u8]) -> Result<State, String> {
        protobuf::read::<T>(details, message).map_err(|reason| reason.to_string()).and_then(T::state)
    }
    match kind {
        Kind::Namespace => read::<raw::Namespace>(details, message),
        Kind::Service => read::<raw::Service>(details, message),
        Kind::EndpointSlice => read::<slice::EndpointSlice>(details, message),
        Kind::Pod => read::<raw::Pod>(details, message),
        Kind::ServiceImport => read::<raw::ServiceImport>(details, message),
        Kind::ImportedSlice => read::<slice::ImportedSlice>(details, message),
    }
}

/// Reads one frame of a watch.
///
/// # Errors
/// Why the event cannot be read; the events behind it can.
pub(super) fn event(kind: Kind, details: Details, format: Format, frame: &[u8]) -> Result<Watched, String> {
    fn read<'a, T: Raw<'a>>(details: Details, format: Format, frame: &'a [u8]) -> Result<Watched, String> {
        match format {
            Format::Json => json::event::<T>(frame),
            Format::Protobuf => protobuf::event::<T>(details, frame),
        }
    }
    match kind {
        Kind::Namespace => read::<raw::Namespace>(details, format, frame),
        Kind::Service => read::<raw::Service>(details, format, frame),
        Kind::EndpointSlice => read::<slice::EndpointSlice>(details, format, frame),
        Kind::Pod => read::<raw::Pod>(details, format, frame),
        Kind::ServiceImport => read::<raw::ServiceImport>(details, format, frame),
        Kind::ImportedSlice => read::<slice::ImportedSlice>(details, format, frame),
    }
}

/// Reads the body of an HTTP error, as far as it is a Status.
pub(super) fn status(format: Format, body: &[u8]) -> Option<Status> {
    match format {
        Format::Json => serde_json::from_slice(body).ok(),
        Format::Protobuf => protobuf::status(body).ok(),
    }
}

/// Makes an event of a type and its object.
fn changed<'a, T: Raw<'a>>(event_type: &str, mut object: T) -> Result<Watched, String> {
    let version = object.metadata().resource_version.take().unwrap_or_default();
    let event = match event_type {
        "ADDED" => Event::Added(object.state()?),
        "MODIFIED" => Event::Modified(object.state()?),
        "DELETED" => Event::Deleted(T::KIND, object.metadata().take_key(T::KIND)?),
        "BOOKMARK" => Event::Bookmark,
        other => return Err(format!("unknown watch event {other:?}")),
    };
    Ok(Watched { event, version })
}
