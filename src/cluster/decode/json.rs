//! Lists and watch events in JSON: what an API server sends that does not speak protobuf.

use super::raw::Raw;
use super::{Event, PageEnd, Status, Take, Watched, changed};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

#[derive(Deserialize)]
struct List<T> {
    #[serde(default)]
    metadata: ListMetadata,
    items: Option<Vec<T>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    r#type: String,
    object: T,
}

pub(super) fn page<'a, T: Raw<'a>>(body: &'a [u8], take: Take<'_>) -> Result<PageEnd, String> {
    let metadata = match serde_json::from_slice::<List<T>>(body) {
        Ok(list) => {
            list.items.into_iter().flatten().for_each(|object| take(object.state()));
            list.metadata
        }
        // One object among good ones that is not as expected: read them one by one.
        Err(_) => {
            let list: List<Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            for value in list.items.unwrap_or_default() {
                let name = value["metadata"]["name"].to_string();
                let object = T::deserialize(value).map_err(|error| format!("{} {name}: {error}", T::KIND.name()));
                take(object.and_then(T::state));
            }
            list.metadata
        }
    };
    let (version, next) = (metadata.resource_version.unwrap_or_default(), metadata.r#continue.unwrap_or_default());
    Ok(PageEnd { version, next })
}

pub(super) fn event<'a, T: Raw<'a>>(line: &'a [u8]) -> Result<Watched, String> {
    // The type decides what the object is, and may stand behind it.
    let event_type = read::<Envelope<IgnoredAny>>(line)?.r#type;
    if event_type == "ERROR" {
        let status = read::<Envelope<Status>>(line)?.object;
        return Ok(Watched { event: Event::Error(status), version: String::new() });
    }
    changed(&event_type, read::<Envelope<T>>(line)?.object)
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}
