//! Manifests: YAML documents or JSON as people write them and `kubectl get -o yaml` prints them.
//!
//! A text is read twice: once for the kinds, and once with each document read as what it is, so that an error has the
//! line that it is on. Kinds that are not followed are passed over in silence.

use super::super::selector::Labels;
use super::super::{Kind, Object};
use super::State;
use super::raw::{self, Raw};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// Whether an object of this kind with these labels is wanted.
pub(in crate::cluster) type Wanted<'a> = &'a dyn Fn(Kind, &Labels) -> bool;

/// The wanted objects of a manifest.
///
/// # Errors
/// `NAME:LINE: what is wrong`.
pub(in crate::cluster) fn objects(name: &str, text: &str, wanted: Wanted<'_>) -> Result<Vec<Object>, String> {
    let is_json = name.ends_with(".json") || text.trim_start().starts_with('{');
    if is_json { json(text, wanted) } else { yaml(text, wanted) }.map_err(|(line, reason)| match line {
        Some(line) => format!("{name}:{line}: {reason}"),
        None => format!("{name}: {reason}"),
    })
}

/// A line, where it is known, and what is wrong there.
type Fault = (Option<usize>, String);

fn yaml(text: &str, wanted: Wanted<'_>) -> Result<Vec<Object>, Fault> {
    let fault = |error: serde_yaml_ng::Error| {
        let line = error.location().map(|location| location.line());
        let reason = error.to_string();
        // The location stands in front of the sentence.
        let reason = reason.split(" at line ").next().unwrap_or_default();
        (line, reason.to_owned())
    };
    let documents = || serde_yaml_ng::Deserializer::from_str(text);
    let headers: Vec<_> = documents().map(Option::<Header>::deserialize).collect::<Result<_, _>>().map_err(fault)?;
    let mut objects = Vec::new();
    for (document, header) in documents().zip(headers) {
        let header = header.unwrap_or_default();
        Document { content: header.content(None), objects: &mut objects, wanted }
            .deserialize(document)
            .map_err(fault)?;
    }
    Ok(objects)
}

fn json(text: &str, wanted: Wanted<'_>) -> Result<Vec<Object>, Fault> {
    let fault = |error: serde_json::Error| {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        (Some(error.line()), reason.to_owned())
    };
    let headers = serde_json::Deserializer::from_str(text).into_iter::<Header>();
    let headers: Vec<_> = headers.collect::<Result<_, _>>().map_err(fault)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut objects = Vec::new();
    for header in headers {
        Document { content: header.content(None), objects: &mut objects, wanted }
            .deserialize(&mut reader)
            .map_err(fault)?;
    }
    Ok(objects)
}

/// What says of which kind a document is, and for a list its items.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Header {
    api_version: Option<Loose<String>>,
    kind: Option<Loose<String>>,
    items: Option<Loose<Vec<Header>>>,
}

/// A field that other kinds may use for something else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose<T> {
    Expected(T),
    Other(IgnoredAny),
}

/// What a document holds.
enum Content {
    Object(Kind),
    List(Vec<Content>),
    Other,
}

impl Header {
    /// `item_kind` is what an item of a typed list is where it does not say so itself.
    fn content(self, item_kind: Option<&str>) -> Content {
        let api_version = match self.api_version {
            Some(Loose::Expected(api_version)) => Some(api_version),
            _ => None,
        };
        let group = api_version.as_deref().map(|version| version.split_once('/').map_or("", |(group, _)| group));
        let kind = match &self.kind {
            Some(Loose::Expected(kind)) => Some(kind.as_str()),
            _ => item_kind,
        };
        // Other groups have kinds of these names, too (Knative's Service).
        let is_core = group.is_none_or(str::is_empty);
        let is_discovery = group.is_none_or(|group| group == "discovery.k8s.io");
        match (kind, self.items) {
            (Some("Namespace"), _) if is_core => Content::Object(Kind::Namespace),
            (Some("Service"), _) if is_core => Content::Object(Kind::Service),
            (Some("Pod"), _) if is_core => Content::Object(Kind::Pod),
            (Some("EndpointSlice"), _) if is_discovery => Content::Object(Kind::EndpointSlice),
            (Some(list), Some(Loose::Expected(items))) if list.ends_with("List") && (is_core || is_discovery) => {
                let item_kind = list.strip_suffix("List").filter(|kind| !kind.is_empty());
                Content::List(items.into_iter().map(|item| item.content(item_kind)).collect())
            }
            _ => Content::Other,
        }
    }
}

/// Reads one document, of which the content is known, into objects.
struct Document<'a> {
    content: Content,
    objects: &'a mut Vec<Object>,
    wanted: Wanted<'a>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.content {
            Content::Object(Kind::Namespace) => self.take(raw::Namespace::deserialize(deserializer)?),
            Content::Object(Kind::Service) => self.take(raw::Service::deserialize(deserializer)?),
            Content::Object(Kind::EndpointSlice) => self.take(raw::EndpointSlice::deserialize(deserializer)?),
            Content::Object(Kind::Pod) => self.take(raw::Pod::deserialize(deserializer)?),
            Content::List(_) => deserializer.deserialize_map(self),
            Content::Other => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

impl Document<'_> {
    fn take<T: Raw, E: de::Error>(self, object: T) -> Result<(), E> {
        let is_wanted = match &object.metadata().labels {
            Some(labels) => (self.wanted)(T::KIND, labels),
            None => (self.wanted)(T::KIND, &Labels::new()),
        };
        match object.state().map_err(E::custom)? {
            State::Present(object) if is_wanted => self.objects.push(object),
            State::Present(_) | State::Absent(..) => {}
        }
        Ok(())
    }
}

/// A list: its `items` by their contents, everything else skipped.
impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut contents = match self.content {
            Content::List(contents) => Some(contents),
            Content::Object(_) | Content::Other => None,
        };
        while let Some(field) = map.next_key::<String>()? {
            match contents.take_if(|_| field == "items") {
                Some(contents) => {
                    map.next_value_seed(Items { contents, objects: self.objects, wanted: self.wanted })?
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The items of a list, of which the contents are known.
struct Items<'a> {
    contents: Vec<Content>,
    objects: &'a mut Vec<Object>,
    wanted: Wanted<'a>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for content in self.contents {
            items.next_element_seed(Document { content, objects: self.objects, wanted: self.wanted })?;
        }
        // None is left, but the reader wants to see the end.
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests;
