//! Labels that plugins know of a query and others read (`metadata`).

use crate::wire::Name;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A plugin that knows labels of queries. It is asked only when somebody reads one.
pub trait Provider: Send + Sync {
    /// The value of a label such as `kubernetes/namespace`; `None` where it is not this plugin's or has no value.
    fn label(&self, label: &str, subject: &Subject) -> Option<String>;
}

/// What a label is about: the query as the client sent it, whatever became of it since.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The name asked for.
    pub name: Name,
    /// The client.
    pub client: SocketAddr,
}

/// The labels of one query. Without `metadata` in the block there are none, and this is empty.
#[derive(Clone, Default)]
pub struct Metadata(Option<Arc<Labels>>);

struct Labels {
    providers: Vec<Arc<dyn Provider>>,
    subject: Subject,
    /// What became known on the way.
    noted: Mutex<BTreeMap<&'static str, String>>,
}

impl Metadata {
    /// The labels of a query that these plugins are asked for.
    pub fn new(providers: Vec<Arc<dyn Provider>>, subject: Subject) -> Metadata {
        Metadata(Some(Arc::new(Labels { providers, subject, noted: Mutex::default() })))
    }

    /// The value of a label.
    pub fn value(&self, label: &str) -> Option<String> {
        let labels = self.0.as_ref()?;
        let noted = labels.noted.lock().ok().and_then(|noted| noted.get(label).cloned());
        noted.or_else(|| labels.providers.iter().find_map(|provider| provider.label(label, &labels.subject)))
    }

    /// Makes a label known that came out while the query was answered.
    pub fn note(&self, label: &'static str, value: impl FnOnce() -> String) {
        if let Some(labels) = &self.0
            && let Ok(mut noted) = labels.noted.lock()
        {
            noted.insert(label, value());
        }
    }
}
