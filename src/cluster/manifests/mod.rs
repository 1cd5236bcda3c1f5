//! Manifest files and directories in place of an API server: for development, tests and clusters of one.
//!
//! A change is told to the sink as a whole list of each kind. A file that cannot be read keeps what it last held, so that
//! a slip of the pen takes no name away.

mod files;
mod watch;

use super::decode::manifest;
use super::selector::{Labels, Selector};
use super::{Key, Kind, Object, Sink};
use files::Files;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Which objects are told.
pub(super) struct Selection {
    pub(super) kinds: Vec<Kind>,
    pub(super) labels: Selector,
    pub(super) namespace_labels: Selector,
}

/// Tells the sink what the files hold and follows them.
///
/// # Errors
/// A file or directory that is missing or cannot be read, as `FILE:LINE: reason`.
pub(super) fn start(paths: &[PathBuf], selection: Selection, sink: Arc<dyn Sink>) -> Result<AbortHandle, String> {
    let mut files = Files::new(paths, selection);
    files.refresh();
    if let Some(fault) = files.faults().next() {
        return Err(fault.to_owned());
    }
    tell(&files.selection, files.objects(), &*sink);
    Ok(tokio::spawn(watch::follow(files, sink)).abort_handle())
}

/// Tells the sink what a text holds.
///
/// # Errors
/// `NAME:LINE: reason`.
pub(super) fn tell_text(name: &str, text: &str, selection: &Selection, sink: &dyn Sink) -> Result<(), String> {
    let objects = manifest::objects(name, text, &|kind, labels| selection.wants(kind, labels))?;
    tell(selection, objects.iter(), sink);
    Ok(())
}

impl Selection {
    fn wants(&self, kind: Kind, labels: &Labels) -> bool {
        let is_selected = match kind {
            Kind::Namespace => self.namespace_labels.matches(labels),
            Kind::ServiceImport => true,
            _ => self.labels.matches(labels),
        };
        self.kinds.contains(&kind) && is_selected
    }
}

/// Tells each kind as a complete list. Of an object that is written twice, the last one counts.
fn tell<'a>(selection: &Selection, objects: impl Iterator<Item = &'a Object>, sink: &dyn Sink) {
    let mut by_identity: BTreeMap<(Kind, Option<&Key>), &Object> = BTreeMap::new();
    for object in objects {
        by_identity.insert(object.identity(), object);
    }
    for kind in &selection.kinds {
        sink.list_begins(*kind);
        for ((_, _), object) in by_identity.iter().filter(|((object_kind, _), _)| object_kind == kind) {
            sink.apply((*object).clone());
        }
        sink.list_ends(*kind);
    }
}

#[cfg(test)]
mod tests;
