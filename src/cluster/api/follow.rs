//! One kind's life: a complete list, a watch from there, a new watch where that one ends, a new list where the server no
//! longer knows the place.

use super::super::Sink;
use super::super::counters::WatchCounters;
use super::super::decode::{self, Event, Format, ListReader, State};
use super::backoff::{Backoff, random_between};
use super::connection::{Connection, Failure};
use super::frames::{Frames, format_of, next_part};
use super::request::{Extent, Target};
use futures_util::future::{Either, select};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// HTTP and Status code of a resourceVersion or continue token that is too old.
const GONE: u16 = 410;
/// HTTP code of a server that has more to do than it can.
const TOO_MANY: u16 = 429;
/// What an API server says to a resourceVersion that its store has not come to: the store was set back, or another
/// instance with older data answers (client-go knows it by this text, too).
const TOO_LARGE: &str = "Too large resource version";
/// HTTP code where there is no such kind.
const NOT_FOUND: u16 = 404;
/// What the operator is told then.
const NO_SUCH_KIND: &str =
    ": the custom resource definition is not installed; it is asked for again, and nobody waits for it";
/// So many refusals of a watch in a row, and it is the place that is at fault: some servers say so in words of their own.
/// Few, since each may be followed by the longest back-off.
const REFUSALS_BEFORE_LIST: u32 = 3;
/// So many watches in a row that brought not even a bookmark, from a server that has sent some: it may not know the place
/// yet, having been set back to an older state, and would be silent until it gets there.
const DEAF_WATCHES_BEFORE_LIST: u32 = 2;
/// The same failure is logged again after this long.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// The durations of a follower.
#[derive(Clone)]
pub(super) struct Pace {
    /// Back-off: the first limit, the longest, and the time without failures that resets it. The longest is also how much
    /// longer than the fault itself a fault may be felt.
    pub(super) backoff: (Duration, Duration, Duration),
    /// The life of a watch that is asked of the server, drawn at random so that replicas do not come in step.
    pub(super) lifetime: RangeInclusive<Duration>,
    /// A watch that ends sooner than this is followed by a pause, however cleanly it ended.
    pub(super) shortest_life: Duration,
    /// How long past its lifetime a watch may still go on.
    pub(super) slack: Duration,
    /// How long a watch may be silent on a server that sends bookmarks (about one a minute).
    pub(super) silence: Duration,
    /// How long a response may take to begin, and to go on.
    pub(super) answer: Duration,
    /// After this long a list is taken even though no watch has failed: what no watch has told is found so.
    pub(super) relist: RangeInclusive<Duration>,
    /// How far apart the lists of instances are that lose their watches, or start from a snapshot, at the same moment.
    pub(super) spread: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let seconds = Duration::from_secs;
        Pace {
            backoff: (Duration::from_millis(800), seconds(10), seconds(30)),
            lifetime: seconds(300)..=seconds(600),
            shortest_life: seconds(5),
            slack: seconds(30),
            silence: seconds(180),
            answer: seconds(65),
            relist: seconds(30 * 60)..=seconds(60 * 60),
            spread: seconds(3),
        }
    }
}

/// What follows one kind of object.
pub(super) struct Follower {
    pub(super) connection: Connection,
    pub(super) target: Target,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) counters: WatchCounters,
    pub(super) pace: Pace,
    /// The kinds whose first list is not complete yet.
    pub(super) unsynced: Arc<AtomicUsize>,
}

/// How a watch ended, other than by a failure.
#[derive(PartialEq)]
enum End {
    /// Cleanly: the next one resumes.
    Clean,
    /// By saying nothing for too long: the same.
    Silent,
    /// The server no longer knows the place, or does not know it yet.
    Gone,
    /// An event came behind a later one: what this watch tells cannot be relied on.
    Disordered,
}

impl Follower {
    /// Follows for ever, once it is its turn.
    pub(super) async fn run(self, turn: impl Future<Output = ()> + Send) {
        let (first, longest, calm) = self.pace.backoff;
        // Of their own: a list that is due after many failed watches need not wait as long as they did.
        let [mut lists, mut watches] = [(); 2].map(|()| Backoff::new(first, longest, calm));
        let mut log = Log::default();
        let mut waiting = true;
        turn.await;
        let mut place = self.list_until_complete(&mut lists, &mut log, &mut waiting).await;
        self.synced(&mut waiting);
        loop {
            self.watch_until_gone(&mut place, &mut watches, &mut log).await;
            // A server that forgets every place at once is not listed again and again.
            lists.wait(None).await;
            spread(self.pace.spread).await;
            place = self.list_until_complete(&mut lists, &mut log, &mut waiting).await;
            self.counters.relists.inc();
        }
    }

    /// Takes this kind from those that are waited for, once.
    fn synced(&self, waiting: &mut bool) {
        if std::mem::take(waiting) {
            self.unsynced.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Returns the resourceVersion of a list that the sink has received to its end.
    async fn list_until_complete(&self, backoff: &mut Backoff, log: &mut Log, waiting: &mut bool) -> Place {
        // Custom resources are seldom many, and not every server keeps them in memory.
        let mut extent = if *waiting && !self.target.is_custom() { Extent::Cached } else { Extent::Pages };
        loop {
            match self.list(extent, log).await {
                Ok(version) => {
                    log.mended(&self.target);
                    return Place { version, has_bookmarks: false, heard: 0 };
                }
                Err(failure) => {
                    self.sink.list_breaks(self.target.kind);
                    self.counters.failures.inc();
                    // Nobody waits for a kind that the cluster does not know: its names do not exist until it does.
                    let is_unknown = failure.code == Some(NOT_FOUND) && self.target.is_custom();
                    let why = if is_unknown { NO_SUCH_KIND } else { "" };
                    log.failed(&format!("failed to list {}: {}{why}", self.target.type_name(), failure.reason));
                    if is_unknown {
                        self.synced(waiting);
                    }
                    extent = match failure.code {
                        // The continue token did not live as long as the list took.
                        Some(GONE) => Extent::Whole,
                        // What is the least work for the server stays so.
                        Some(TOO_MANY) => extent,
                        _ if extent == Extent::Cached => Extent::Pages,
                        _ => extent,
                    };
                    backoff.wait(failure.retry_after).await;
                    if failure.code == Some(TOO_MANY) {
                        // Others were refused with us, and come again after the same while.
                        spread(self.pace.spread).await;
                    }
                }
            }
        }
    }

    /// One attempt at a list, told object by object as it arrives.
    async fn list(&self, extent: Extent, log: &mut Log) -> Result<String, Failure> {
        let Target { kind, details, .. } = self.target;
        let (mut extent, mut next) = (extent, String::new());
        loop {
            let answer = self.connection.get(self.target.list(extent, &next), self.pace.answer).await?;
            let format = format_of(answer.headers());
            if extent == Extent::Cached && next.is_empty() && format == Format::Json {
                // Of JSON all of an answer is held until it is read. It is not taken, and comes page by page instead.
                extent = Extent::Pages;
                continue;
            }
            let mut reader = ListReader::new(kind, details, format);
            let mut body = answer.into_body();
            if next.is_empty() {
                self.sink.list_begins(kind);
            }
            let mut take = |object: Result<State, String>| match object {
                Ok(State::Present(object)) => self.sink.apply(object),
                // What is without is gone when the list ends.
                Ok(State::Absent(..)) => {}
                Err(reason) => self.skipped(&reason, log),
            };
            while let Some(part) = next_part(&mut body, self.pace.answer).await? {
                reader.push(&part, &mut take)?;
            }
            let page = reader.finish(&mut take)?;
            self.counters.heard();
            if page.next.is_empty() {
                self.sink.list_ends(kind);
                return Ok(page.version);
            }
            next = page.next;
        }
    }

    /// Watches, again and again from where the last watch ended.
    async fn watch_until_gone(&self, place: &mut Place, backoff: &mut Backoff, log: &mut Log) {
        let (mut refusals, mut deaf) = (0, 0);
        let relist_at = Instant::now() + random_between(self.pace.relist.clone());
        loop {
            let began = Instant::now();
            let heard_before = place.heard;
            let ended = self.watch(place, log).await;
            let is_deaf = place.has_bookmarks && place.heard == heard_before && matches!(ended, Ok(End::Silent));
            deaf = if is_deaf { deaf + 1 } else { 0 };
            let mut retry_after = None;
            if let Err(failure) = &ended {
                self.counters.failures.inc();
                log.failed(&format!("failed to watch {}: {}", self.target.type_name(), failure.reason));
                retry_after = failure.retry_after;
            }
            refusals = match &ended {
                // Too many requests, or no access yet: neither says anything of the place.
                Err(Failure { code: Some(401 | 403 | TOO_MANY), .. }) => refusals,
                Err(Failure { code: Some(_), .. }) => refusals + 1,
                _ => 0,
            };
            if matches!(ended, Ok(End::Gone | End::Disordered)) {
                return;
            }
            if ended.is_err() || began.elapsed() < self.pace.shortest_life {
                backoff.wait(retry_after).await;
            }
            if refusals >= REFUSALS_BEFORE_LIST || deaf >= DEAF_WATCHES_BEFORE_LIST || Instant::now() >= relist_at {
                return;
            }
        }
    }

    /// One watch, from its place to its end; the place moves along.
    async fn watch(&self, place: &mut Place, log: &mut Log) -> Result<End, Failure> {
        let lifetime = random_between(self.pace.lifetime.clone());
        let request = self.target.watch(&place.version, lifetime);
        let response = match self.connection.watch(request, self.pace.answer).await {
            Err(Failure { code: Some(GONE), .. }) => return Ok(End::Gone),
            Err(failure) if failure.reason.contains(TOO_LARGE) => return Ok(End::Gone),
            response => response?,
        };
        log.mended(&self.target);
        let ends = Instant::now() + lifetime + self.pace.slack;
        let mut frames = Frames::new(response);
        // One for all events, put off by each: that costs a fraction of a timer for each.
        let mut patience = pin!(sleep_until(ends));
        loop {
            if place.has_bookmarks {
                patience.as_mut().reset(ends.min(Instant::now() + self.pace.silence));
            }
            let frame = match select(pin!(frames.next()), patience.as_mut()).await {
                Either::Left((frame, _)) => frame,
                // A server that has gone silent without closing: nothing is lost by asking again from the same place.
                Either::Right(_) => return Ok(End::Silent),
            };
            let Some(frame) = frame? else { return Ok(End::Clean) };
            self.counters.heard();
            place.heard += 1;
            match decode::event(self.target.kind, self.target.details, frames.format, &frame) {
                Ok(watched) => {
                    // What is known is of a later state of the cluster than this, and stays until a list has come.
                    if is_before(&watched.version, &place.version) {
                        self.counters.failures.inc();
                        log.failed(&format!(
                            "failed to watch {}: an event of resourceVersion {} came behind {}",
                            self.target.type_name(),
                            watched.version,
                            place.version
                        ));
                        return Ok(End::Disordered);
                    }
                    if let Some(end) = self.take(watched.event, place)? {
                        return Ok(end);
                    }
                    if !watched.version.is_empty() {
                        place.version = watched.version;
                    }
                }
                Err(reason) => self.skipped(&reason, log),
            }
        }
    }

    /// Tells the sink of an event.
    fn take(&self, event: Event, place: &mut Place) -> Result<Option<End>, Failure> {
        let (label, state) = match event {
            Event::Added(state) => ("ADDED", state),
            Event::Modified(state) => ("MODIFIED", state),
            Event::Deleted(kind, key) => ("DELETED", State::Absent(kind, key)),
            Event::Bookmark => {
                place.has_bookmarks = true;
                self.counters.event("BOOKMARK");
                return Ok(None);
            }
            Event::Error(status) => {
                self.counters.event("ERROR");
                if status.code == i64::from(GONE) {
                    return Ok(Some(End::Gone));
                }
                let reason = format!("{} {}: {}", status.code, status.reason, status.message);
                return Err(Failure { reason, code: u16::try_from(status.code).ok(), retry_after: None });
            }
        };
        self.counters.event(label);
        match state {
            State::Present(object) => self.sink.apply(object),
            State::Absent(kind, key) => self.sink.delete(kind, &key),
        }
        Ok(None)
    }

    /// Counts an object that could not be read, and says so, but not for each of many.
    fn skipped(&self, reason: &str, log: &mut Log) {
        self.counters.undecodable.inc();
        if log.last_skipped.is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            log.last_skipped = Some(Instant::now());
            let type_name = self.target.type_name();
            tracing::warn!(target: "plugin/kubernetes", "Skipped a {type_name} that cannot be read: {reason}");
        }
    }
}

/// Waits, so that instances which list for the same reason do not list at the same moment.
pub(super) async fn spread(longest: Duration) {
    sleep(random_between(Duration::ZERO..=longest)).await;
}

/// Whether a resourceVersion is of an earlier state than another. They are compared as numbers, which they are where
/// Kubernetes's own servers give them; of any other nothing can be told.
fn is_before(version: &str, other: &str) -> bool {
    matches!((version.parse::<u64>(), other.parse::<u64>()), (Ok(version), Ok(other)) if version < other)
}

/// Where a watch resumes.
struct Place {
    version: String,
    /// Whether this server has sent bookmarks since the list.
    has_bookmarks: bool,
    /// How many events and bookmarks have come since then.
    heard: u64,
}

/// Says what fails once, and again while it goes on, but not with every attempt.
#[derive(Default)]
struct Log {
    last_failure: Option<(String, Instant)>,
    last_skipped: Option<Instant>,
}

impl Log {
    fn failed(&mut self, reason: &str) {
        let is_said = self.last_failure.as_ref().is_some_and(|(said, at)| said == reason && at.elapsed() < LOG_AGAIN);
        if !is_said {
            tracing::error!(target: "plugin/kubernetes", "Failed to watch: {reason}");
            self.last_failure = Some((reason.to_owned(), Instant::now()));
        }
    }

    fn mended(&mut self, target: &Target) {
        if self.last_failure.take().is_some() {
            tracing::info!(target: "plugin/kubernetes", "Watching {} again", target.type_name());
        }
    }
}
