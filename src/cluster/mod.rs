//! Kubernetes objects by watch or from files; the only room that imports `kube`.
//!
//! Objects arrive slim: only what names and addresses are made of. A relist is told as a beginning, the objects, and an
//! end, so that the receiver applies it as a difference; losing the API server removes nothing.
//!
//! ```text
//! api/        list and watch, one task a kind: requests, back-off, frames of a stream; who starts with us
//! manifests/  files and directories, followed by inotify
//! snapshot.rs a file of the last known state
//! decode/     JSON, YAML and protobuf into `raw` shapes, and from those into objects: the rules live once
//! ```

mod api;
mod counters;
mod decode;
mod endpoints;
mod manifests;
mod object;
#[cfg(test)]
mod recorder;
mod selector;
pub mod snapshot;

use crate::metrics::Metrics;
use counters::Counters;
use selector::Selector;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::AbortHandle;

pub use endpoints::{Endpoint, Endpoints};
pub use object::{EndpointSlice, Key, Kind, Object, Pod, Port, Service};

/// Who receives objects. Calls for one kind come in order from one task; kinds may interleave.
///
/// A list that breaks off half-way is begun again: `list_begins` may follow `list_begins`. An object may be deleted that
/// was never applied.
pub trait Sink: Send + Sync + 'static {
    /// A complete list of this kind begins; what is known stays until it ends.
    fn list_begins(&self, kind: Kind);
    /// An object exists in this state: listed, added or changed.
    fn apply(&self, object: Object);
    /// An object is gone.
    fn delete(&self, kind: Kind, key: &Key);
    /// The list has broken off and is begun again sooner or later: what came of it is known from now on, if it was not.
    fn list_breaks(&self, kind: Kind);
    /// The list has ended: of this kind, what was not applied since it began is gone.
    fn list_ends(&self, kind: Kind);
}

/// Where objects come from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The service account and environment of a pod.
    InCluster,
    /// A kubeconfig file, and a context other than its current one.
    Kubeconfig(PathBuf, Option<String>),
    /// An API server by URL, with client certificate, key and CA files.
    Endpoint(String, Option<[PathBuf; 3]>),
    /// Manifest files and directories.
    Manifests(Vec<PathBuf>),
    /// A name for error messages and a manifest's text, read once.
    Text(&'static str, &'static str),
}

/// What to follow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Options {
    /// Where objects come from.
    pub source: Source,
    /// The label selector on Services, EndpointSlices and Pods; empty for all.
    pub labels: String,
    /// The label selector on Namespaces; empty for all.
    pub namespace_labels: String,
    /// Whether EndpointSlices are followed.
    pub endpoints: bool,
    /// Whether Pods are followed.
    pub pods: bool,
    /// Whether ServiceImports and their EndpointSlices are followed (the Multi-Cluster Services API).
    pub imports: bool,
    /// What is told of endpoints.
    pub details: Details,
}

/// What is told of endpoints beside their addresses and host names. Not wanted is not the same as not there: manifests and
/// JSON may tell it all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Details {
    /// The names of their pods.
    pub pod_names: bool,
    /// Their zones of topology.
    pub zones: bool,
}

impl Details {
    /// Everything.
    pub const ALL: Details = Details { pod_names: true, zones: true };
}

impl Options {
    /// The kinds that are followed.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Namespace, Kind::Service];
        kinds.extend(self.endpoints.then_some(Kind::EndpointSlice));
        kinds.extend(self.pods.then_some(Kind::Pod));
        kinds.extend(self.imports.then_some(Kind::ServiceImport));
        kinds.extend((self.imports && self.endpoints).then_some(Kind::ImportedSlice));
        kinds
    }

    /// The label selector on a kind, as an API server reads it. ServiceImports have none: the labels of Services and of
    /// Namespaces are not theirs.
    fn selector_text(&self, kind: Kind) -> String {
        match kind {
            Kind::Namespace => self.namespace_labels.clone(),
            Kind::Service | Kind::EndpointSlice | Kind::Pod => self.labels.clone(),
            Kind::ServiceImport => String::new(),
            Kind::ImportedSlice if self.labels.trim().is_empty() => decode::IMPORT_NAME.to_owned(),
            Kind::ImportedSlice => format!("{},{}", self.labels.trim(), decode::IMPORT_NAME),
        }
    }
}

/// A running feed of objects. Dropping it ends its tasks; nothing is removed from the sink.
pub struct Feed {
    tasks: Vec<AbortHandle>,
    unsynced: Arc<AtomicUsize>,
}

/// Checks a label selector, as [`start`] does, without a cluster.
///
/// # Errors
/// What was expected, as a sentence.
pub fn check_selector(text: &str) -> Result<(), String> {
    Selector::parse(text).map(drop)
}

/// When the first lists are taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum First {
    /// At once: somebody waits for them.
    AtOnce,
    /// At once as well, unless many instances are starting: the DNS Service of this namespace is asked, where it is
    /// `None` that of the pod's own, and more than five that are not ready begin one after another, ten a second,
    /// within ten seconds. `None` outside of a pod asks nobody.
    AmongOthers(Option<String>),
    /// Spread over some seconds: for a sink that knows a state of the cluster already, as many instances may have been
    /// restarted together, and nobody waits for theirs.
    Spread,
}

/// Checks the options (files readable, selectors well-formed, in-cluster variables present) and starts following.
/// Must be called inside a tokio runtime. Manifests and text are in the sink when this returns.
///
/// # Errors
/// What the operator has to mend, as a sentence. An API server that cannot be reached is not an error.
pub fn start(options: Options, sink: Arc<dyn Sink>, first: First, metrics: &Metrics) -> Result<Feed, String> {
    let selection = manifests::Selection {
        kinds: options.kinds(),
        labels: Selector::parse(&options.labels)?,
        namespace_labels: Selector::parse(&options.namespace_labels)?,
    };
    let mut feed = Feed { tasks: Vec::new(), unsynced: Arc::default() };
    match &options.source {
        Source::Text(name, text) => manifests::tell_text(name, text, &selection, &*sink)?,
        Source::Manifests(paths) => feed.tasks.push(manifests::start(paths, selection, sink)?),
        Source::InCluster | Source::Kubeconfig(..) | Source::Endpoint(..) => {
            feed.unsynced.store(selection.kinds.len(), Ordering::Release);
            let counters = Counters::new(metrics, &selection.kinds);
            feed.tasks = api::start(&options, sink, first, counters, &feed.unsynced)?;
        }
    }
    Ok(feed)
}

/// The objects in a manifest's text (YAML documents or JSON), every kind that is followed; `name` is for error messages.
///
/// # Errors
/// `NAME:LINE: what is wrong`.
pub fn objects_from_text(name: &str, text: &str) -> Result<Vec<Object>, String> {
    decode::manifest::objects(name, text, &|_, _| true)
}

/// Tells a sink what one frame of a protobuf watch says, for measurements of what an update costs.
///
/// # Errors
/// Why the frame cannot be read.
#[doc(hidden)]
pub fn tell_frame(kind: Kind, details: Details, frame: &[u8], sink: &dyn Sink) -> Result<(), String> {
    use decode::{Event, Format, State};
    match decode::event(kind, details, Format::Protobuf, frame)?.event {
        Event::Added(State::Present(object)) | Event::Modified(State::Present(object)) => sink.apply(object),
        _ => {}
    }
    Ok(())
}

impl Feed {
    /// Whether every kind that is followed has completed its first list. Never turns back to false.
    pub fn is_synced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire) == 0
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
