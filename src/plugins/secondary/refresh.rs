//! When a zone's primaries are looked at (RFC 1035 section 3.3.13, RFC 1996), and until when the zone is answered from.

use super::fetch::{Fetched, fetch};
use crate::plugin::{BoxFuture, Lifecycle};
use crate::wire::Name;
use crate::wire::tsig::Key;
use crate::zone::master::MasterZone;
use arc_swap::ArcSwapOption;
use prometheus::IntCounterVec;
use rand::RngExt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// How long after a first transfer that failed it is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// Looks come no closer than this, whatever the SOA says and however often a primary tells of changes.
const CLOSEST: Duration = Duration::from_secs(1);
/// At most so much later than the timers say, and a quarter at most, so that many zones of one primary do not all come
/// at once.
const REFRESH_JITTER: Duration = Duration::from_secs(5);
const RETRY_JITTER: Duration = Duration::from_secs(2);

/// A zone of other servers, as it is now. It outlives reloads.
pub(super) struct Followed {
    pub origin: Name,
    pub primaries: Vec<SocketAddr>,
    /// Told when a primary has said that there is a change.
    pub wake: Notify,
    /// Told when another zone has come.
    pub transferred: Notify,
    held: ArcSwapOption<Held>,
    /// The turns of those that share primaries with many; everyone else talks when it wants.
    turns: Option<Arc<Semaphore>>,
}

struct Held {
    zone: Arc<MasterZone>,
    expires: Instant,
}

impl Followed {
    pub fn new(origin: Name, primaries: Vec<SocketAddr>) -> Followed {
        let (wake, transferred) = (Notify::new(), Notify::new());
        Followed { origin, primaries, wake, transferred, held: ArcSwapOption::empty(), turns: None }
    }

    /// Talking to its primaries in turns with others.
    pub fn in_turns(self, turns: Arc<Semaphore>) -> Followed {
        Followed { turns: Some(turns), ..self }
    }

    /// Answered from what another one holds, until its own primaries have been asked.
    pub fn holding_what(self, other: &Followed) -> Followed {
        self.held.store(other.held.load_full());
        self
    }

    /// The zone; `None` before it has come and when it has expired.
    pub fn zone(&self) -> Option<Arc<MasterZone>> {
        let held = self.held.load();
        held.as_ref().filter(|held| Instant::now() < held.expires).map(|held| held.zone.clone())
    }

    /// Holds a zone that a primary has just given or confirmed.
    fn hold(&self, zone: Arc<MasterZone>) {
        let [_, _, expire] = zone.timers();
        let expires = Instant::now() + Duration::from_secs(expire.into()).max(CLOSEST);
        self.held.store(Some(Arc::new(Held { zone, expires })));
    }

    /// Looks at the primaries one after another, and takes the zone of the first that answers.
    async fn refresh(&self, key: Option<&Arc<Key>>) -> Result<&'static str, String> {
        let known = self.held.load().as_ref().map(|held| held.zone.clone());
        let _turn = match &self.turns {
            Some(turns) => Some(turns.acquire().await.map_err(|why| why.to_string())?),
            None => None,
        };
        let mut failures = Vec::new();
        for primary in &self.primaries {
            let serial = known.as_ref().map(|zone| zone.serial());
            match (fetch(*primary, &self.origin, serial, key).await, &known) {
                (Ok(Fetched::Zone(zone)), _) => {
                    let (origin, serial) = (&self.origin, zone.serial());
                    self.hold(Arc::new(*zone));
                    self.transferred.notify_one();
                    tracing::info!(
                        target: "plugin/secondary",
                        "Transferred: {origin} from {primary} with {serial} SOA serial"
                    );
                    return Ok("transferred");
                }
                (Ok(Fetched::Current), Some(zone)) => {
                    self.hold(zone.clone());
                    return Ok("current");
                }
                (Ok(Fetched::Current), None) => failures.push(format!("{primary}: it sent no zone")),
                (Err(why), _) => failures.push(format!("{primary}: {why}")),
            }
        }
        Err(failures.join("; "))
    }

    /// How long to wait after a look that succeeded or did not.
    fn pause(&self, has_succeeded: bool) -> Duration {
        let jittered = |pause: Duration, most: Duration| pause + most.min(pause / 4).mul_f64(rand::rng().random());
        let Some(zone) = self.held.load().as_ref().map(|held| held.zone.clone()) else {
            return FIRST_RETRY;
        };
        let [refresh, retry, _] = zone.timers().map(|seconds| Duration::from_secs(seconds.into()).max(CLOSEST));
        if has_succeeded { jittered(refresh, REFRESH_JITTER) } else { jittered(retry, RETRY_JITTER) }
    }

    /// Looks at the primaries when it is time to, for ever.
    pub async fn follow(&self, key: Option<Arc<Key>>, refreshes: IntCounterVec) {
        let origin = self.origin.to_string();
        let mut said = String::new();
        loop {
            let begun = Instant::now();
            let outcome = self.refresh(key.as_ref()).await;
            refreshes.with_label_values(&[&*origin, *outcome.as_ref().unwrap_or(&"failed")]).inc();
            // The same failure again is counted, not said.
            match &outcome {
                Ok(_) => said.clear(),
                Err(why) if *why == said => {}
                Err(why) => {
                    tracing::warn!(target: "plugin/secondary", "Failed to transfer {origin}: {why}");
                    said.clone_from(why);
                }
            }
            tokio::select! {
                () = sleep(self.pause(outcome.is_ok())) => {}
                () = self.wake.notified() => sleep_until(begun + CLOSEST).await,
            }
        }
    }
}

/// Follows a zone while its plan runs.
pub(super) struct Following {
    follow: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    task: Mutex<Option<AbortHandle>>,
}

impl Following {
    /// What is to be done while it runs.
    pub fn new(follow: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Following {
        Following { follow: Box::new(follow), task: Mutex::default() }
    }

    fn replace(&self, task: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.into_iter().for_each(|task| task.abort());
    }
}

impl Lifecycle for Following {
    fn name(&self) -> &'static str {
        "secondary"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        let task = tokio::spawn((self.follow)());
        self.replace(Some(task.abort_handle()));
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.replace(None);
        Box::pin(async {})
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.replace(None);
    }
}
