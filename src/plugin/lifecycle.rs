//! What runs beside the queries: start, readiness, drain, stop; what outlives a reload; commands to the server.

use super::BoxFuture;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Something of a plugin that runs beside the queries. Every step is called once, in the order of the methods.
pub trait Lifecycle: Send + Sync {
    /// The directive's name.
    fn name(&self) -> &'static str;

    /// Before the listeners open, in the order of the registry. An error refuses the start or the reload.
    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// All listeners of the plan are open, at these DNS addresses.
    fn serving(&self, _addresses: &[SocketAddr]) {}

    /// Whether it is ready; `None` if it has no say in `/ready`.
    fn ready(&self) -> Option<bool> {
        None
    }

    /// What an operator should know though it is ready.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// The process has been asked to end and goes on answering until every drain has returned.
    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// No query uses this plan any more.
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Who has a say in `/ready`. The server fills it when a plan's plugins are all set up.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Arc<dyn Lifecycle>>>>);

impl Readiness {
    /// Adds one that is asked.
    pub fn add(&self, member: Arc<dyn Lifecycle>) {
        if let Ok(mut members) = self.0.lock() {
            members.push(member);
        }
    }

    /// The names of those that say they are not ready, sorted, once each.
    pub fn waiting(&self) -> Vec<&'static str> {
        let waiting = self.members().into_iter().filter(|member| member.ready() == Some(false));
        sorted(waiting.map(|member| member.name()).collect())
    }

    /// What members say though they are ready, as `NAME: note`, sorted, once each.
    pub fn notes(&self) -> Vec<String> {
        let note = |member: Arc<dyn Lifecycle>| Some(format!("{}: {}", member.name(), member.note()?));
        sorted(self.members().into_iter().filter_map(note).collect())
    }

    fn members(&self) -> Vec<Arc<dyn Lifecycle>> {
        self.0.lock().map(|members| members.clone()).unwrap_or_default()
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// Things that outlive a reload, by plugin and by the text of the configuration they depend on: a cluster feed, a cache.
/// What the next plan does not take is dropped.
#[derive(Clone, Default)]
pub struct Keep(Arc<Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>>);

impl Keep {
    /// The thing kept under `key`, if it is of this type.
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.0.lock().ok()?.get(key)?.clone().downcast().ok()
    }

    /// Keeps a thing for the next plan.
    pub fn put<T: Any + Send + Sync>(&self, key: String, thing: Arc<T>) {
        if let Ok(mut kept) = self.0.lock() {
            kept.insert(key, thing);
        }
    }
}

/// What a plugin may ask of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the Corefile again and run it.
    Reload,
    /// Say this and end with exit code 1.
    Fatal(String),
}

/// The way to the server, and what it runs.
#[derive(Clone)]
pub struct Control {
    /// Commands are taken one after another.
    pub commands: mpsc::UnboundedSender<Command>,
    /// The Corefile; `None` for the built-in configuration.
    pub corefile: Option<PathBuf>,
    /// When queries last came.
    pub arrivals: Arrivals,
    /// Its starts and reloads.
    pub history: History,
}

/// The second in which a query last came, on any listener. Lanes note it once a batch, plugins ask how long ago it was.
#[derive(Clone, Default)]
pub struct Arrivals(Arc<AtomicU64>);

impl Arrivals {
    /// Notes that queries have come. Written once a second, so that workers share the line without fighting over it.
    #[inline]
    pub fn note(&self, unix_seconds: u64) {
        if self.0.load(Ordering::Relaxed) != unix_seconds {
            self.0.store(unix_seconds, Ordering::Relaxed);
        }
    }

    /// Whole seconds without a query up to the second `now`.
    pub fn quiet_for(&self, now: u64) -> u64 {
        now.saturating_sub(self.0.load(Ordering::Relaxed))
    }
}

/// One start or reload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Occasion {
    pub at: SystemTime,
    /// `start` or `reload`.
    pub what: &'static str,
    /// Why it failed, with file and line; `None` where it did not.
    pub failure: Option<String>,
}

/// The starts and reloads of the process; the last [`History::KEPT`] of them.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<VecDeque<Occasion>>>);

impl History {
    /// How many are kept.
    pub const KEPT: usize = 32;

    /// Notes one that has just happened.
    pub fn note(&self, what: &'static str, failure: Option<String>) {
        let mut occasions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        occasions.truncate(Self::KEPT - 1);
        occasions.push_front(Occasion { at: SystemTime::now(), what, failure });
    }

    /// The latest first.
    pub fn all(&self) -> Vec<Occasion> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
