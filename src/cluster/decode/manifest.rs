//! Manifests: YAML documents or JSON as people write them and `kubectl get -o yaml` prints them.
//!
//! A text is read twice: once for the kinds, and once with each document read as what it is, so that an error has the
//! line that it is on. Kinds that are not followed are passed over in silence.

use super::super::selector::Labels;
use super::super::{Kind, Object};
use super::State;
use super::raw::{self, Raw};
use super::slice;
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
    let objects = if is_json { json(text, wanted) } else { yaml(text, wanted) };
    objects.map_err(|Fault { line, document, reason }| match line {
        Some(line) => format!("{name}:{line}: {reason}"),
        None => format!("{name}: document {document}: {reason}"),
    })
}

/// What is wrong with a manifest.
struct Fault {
    /// Counted from 1; none where something is missing altogether.
    line: Option<usize>,
    /// Counted from 1.
    document: usize,
    reason: String,
}

impl Fault {
    fn in_yaml(document: usize, error: &serde_yaml_ng::Error) -> Fault {
        Fault::new(document, error.location().map(|location| location.line()), &error.to_string())
    }

    fn in_json(document: usize, error: &serde_json::Error) -> Fault {
        Fault::new(document, Some(error.line()).filter(|line| *line != 0), &error.to_string())
    }

    fn new(document: usize, line: Option<usize>, reason: &str) -> Fault {
        // The readers put the place behind the sentence; here it stands in front.
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        Fault { line, document: document + 1, reason }
    }
}

fn yaml(text: &str, wanted: Wanted<'_>) -> Result<Vec<Object>, Fault> {
    let documents = || serde_yaml_ng::Deserializer::from_str(text).enumerate();
    let mut headers = Vec::new();
    for (number, document) in documents() {
        let header = Option::<Header>::deserialize(document).map_err(|error| Fault::in_yaml(number, &error))?;
        headers.push(header.unwrap_or_default());
    }
    let mut objects = Vec::new();
    for ((number, document), header) in documents().zip(headers) {
        let reader = Document { content: header.content(None), objects: &mut objects, wanted };
        reader.deserialize(document).map_err(|error| Fault::in_yaml(number, &error))?;
    }
    Ok(objects)
}

fn json(text: &str, wanted: Wanted<'_>) -> Result<Vec<Object>, Fault> {
    let mut headers: Vec<Header> = Vec::new();
    for (number, header) in serde_json::Deserializer::from_str(text).into_iter().enumerate() {
        headers.push(header.map_err(|error| Fault::in_json(number, &error))?);
    }
    let mut documents = serde_json::Deserializer::from_str(text);
    let mut objects = Vec::new();
    for (number, header) in headers.into_iter().enumerate() {
        let reader = Document { content: header.content(None), objects: &mut objects, wanted };
        reader.deserialize(&mut documents).map_err(|error| Fault::in_json(number, &error))?;
    }
    Ok(objects)
}

/// What says of which kind a document is, and for a list its items.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Header {
    api_version: Loose,
    kind: Loose,
    items: Loose,
}

/// A field that other kinds may use for something else. Read as it comes: what serde calls untagged would first hold the
/// whole text of a list in memory, several times its size.
#[derive(Default)]
enum Loose {
    Word(String),
    Items(Vec<Header>),
    Object(Box<Header>),
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Loose, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, word: &str) -> Result<Loose, E> {
        Ok(Loose::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
        let mut headers = Vec::new();
        while let Some(item) = items.next_element()? {
            headers.push(if let Loose::Object(header) = item { *header } else { Header::default() });
        }
        Ok(Loose::Items(headers))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loose, A::Error> {
        Header::deserialize(de::value::MapAccessDeserializer::new(map)).map(|header| Loose::Object(header.into()))
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, tagged: A) -> Result<Loose, A::Error> {
        IgnoredAny.visit_enum(tagged).map(|_| Loose::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
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
            Loose::Word(api_version) => Some(api_version),
            _ => None,
        };
        let group = api_version.as_deref().map(|version| version.split_once('/').map_or("", |(group, _)| group));
        let kind = match &self.kind {
            Loose::Word(kind) => Some(kind.as_str()),
            _ => item_kind,
        };
        // Other groups have kinds of these names, too (Knative's Service).
        let is_core = group.is_none_or(str::is_empty);
        let is_discovery = group.is_none_or(|group| group == "discovery.k8s.io");
        let is_multicluster = group.is_none_or(|group| group == "multicluster.x-k8s.io");
        match (kind, self.items) {
            (Some("Namespace"), _) if is_core => Content::Object(Kind::Namespace),
            (Some("Service"), _) if is_core => Content::Object(Kind::Service),
            (Some("Pod"), _) if is_core => Content::Object(Kind::Pod),
            (Some("EndpointSlice"), _) if is_discovery => Content::Object(Kind::EndpointSlice),
            (Some("ServiceImport"), _) if is_multicluster => Content::Object(Kind::ServiceImport),
            (Some(list), Loose::Items(items))
                if list.ends_with("List") && (is_core || is_discovery || is_multicluster) =>
            {
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

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        match self.content {
            Content::Object(Kind::Namespace) => self.take(raw::Namespace::deserialize(deserializer)?),
            Content::Object(Kind::Service) => self.take(raw::Service::deserialize(deserializer)?),
            Content::Object(Kind::EndpointSlice | Kind::ImportedSlice) => {
                let read = slice::EndpointSlice::deserialize(deserializer)?;
                if read.is_imported() {
                    self.take(slice::ImportedSlice(read.clone()))?;
                }
                self.take(read)
            }
            Content::Object(Kind::Pod) => self.take(raw::Pod::deserialize(deserializer)?),
            Content::Object(Kind::ServiceImport) => self.take(raw::ServiceImport::deserialize(deserializer)?),
            Content::List(_) => deserializer.deserialize_map(self),
            Content::Other => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

impl Document<'_> {
    fn take<'a, T: Raw<'a>, E: de::Error>(&mut self, mut object: T) -> Result<(), E> {
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
