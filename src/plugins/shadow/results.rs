//! What comparing has shown: counters, the last differences, a line in the log now and then.

use super::{ANSWERS, DROPPED, PAUSED};
use crate::comparison::Verdict;
use crate::metrics::Metrics;
use crate::plugin::{Copy, Table};
use crate::wire::{Name, NameBuffer, Query};
use prometheus::{Gauge, IntCounter};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Differences that are kept.
const KEPT: usize = 64;
/// The least time between two lines about differences.
const QUIET: Duration = Duration::from_secs(60);

/// How one question went; no verdict where the target gave no answer.
pub(super) struct Outcome {
    pub copy: Copy,
    pub verdict: Option<Verdict>,
}

/// What is known of one target.
pub(super) struct Results {
    target: String,
    equal: IntCounter,
    deliberate: IntCounter,
    different: IntCounter,
    unanswered: IntCounter,
    dropped: IntCounter,
    paused: Gauge,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// The latest first.
    differences: VecDeque<Difference>,
    /// Since the last line in the log.
    unsaid: u64,
    said: Option<Instant>,
}

struct Difference {
    at: SystemTime,
    question: String,
    what: String,
}

impl Results {
    pub(super) fn new(target: &str, metrics: &Metrics) -> Results {
        let answers = metrics.counter(&ANSWERS);
        let result = |result: &str| answers.with_label_values(&[target, result]);
        Results {
            target: target.to_owned(),
            equal: result("equal"),
            deliberate: result("deliberate"),
            different: result("different"),
            unanswered: result("unanswered"),
            dropped: metrics.counter(&DROPPED).with_label_values(&[target]),
            paused: metrics.gauge(&PAUSED).with_label_values(&[target]),
            found: Mutex::default(),
        }
    }

    /// Counts an outcome, and keeps a difference. Whether the target gave no answer.
    pub(super) fn count(&self, outcome: Outcome) -> bool {
        match outcome.verdict {
            None => self.unanswered.inc(),
            Some(Verdict::Equal) => self.equal.inc(),
            Some(Verdict::Deliberate(_)) => self.deliberate.inc(),
            Some(Verdict::Different(what)) => {
                self.different.inc();
                let mut found = self.found();
                found.differences.truncate(KEPT - 1);
                let question = question(&outcome.copy.query);
                found.differences.push_front(Difference { at: SystemTime::now(), question, what });
                found.unsaid += 1;
                return false;
            }
        }
        outcome.verdict.is_none()
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// The target is left alone for a while, or is no more.
    pub(super) fn paused(&self, pause: Option<Duration>) {
        let was = self.paused.get() > 0.0;
        self.paused.set(f64::from(u8::from(pause.is_some())));
        match pause {
            Some(_) if was => {}
            Some(_) => {
                tracing::warn!(target: "plugin/shadow", "{}: gives no answers; it is left alone for a while", self.target)
            }
            None if was => tracing::info!(target: "plugin/shadow", "{}: answers again", self.target),
            None => {}
        }
    }

    /// Says in the log what has been found, where it is time.
    pub(super) fn say(&self) {
        let mut found = self.found();
        if found.unsaid == 0 || found.said.is_some_and(|said| said.elapsed() < QUIET) {
            return;
        }
        found.said = Some(Instant::now());
        let count = std::mem::take(&mut found.unsaid);
        if let Some(Difference { question, what, .. }) = found.differences.front() {
            tracing::warn!(target: "plugin/shadow", "{}: {count} answers differ, as {question}: {what}", self.target);
        }
    }

    /// The counts, for the status page.
    pub(super) fn counts(&self) -> Table {
        let paused = self.paused.get() > 0.0;
        let counts = [&self.equal, &self.deliberate, &self.different, &self.unanswered, &self.dropped];
        let mut row: Vec<String> = counts.iter().map(|counter| counter.get().to_string()).collect();
        row.push(if paused { "left alone" } else { "asked" }.to_owned());
        let mut trouble = Vec::new();
        if self.different.get() > 0 {
            trouble.push(format!("{} answers differ from those of {}", self.different.get(), self.target));
        }
        let columns = vec!["equal", "deliberate", "different", "unanswered", "not asked", "target"];
        Table { columns, rows: vec![row], trouble }
    }

    /// The last differences, for the status page.
    pub(super) fn table(&self) -> Table {
        let row = |difference: &Difference| {
            let ago = difference.at.elapsed().unwrap_or_default().as_secs();
            vec![format!("{ago} s ago"), difference.question.clone(), difference.what.clone()]
        };
        let rows = self.found().differences.iter().map(row).collect();
        Table { columns: vec!["when", "question", "theirs, ours"], rows, trouble: Vec::new() }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `NAME TYPE` of a query.
fn question(query: &[u8]) -> String {
    let mut names = NameBuffer::default();
    match Query::parse(query, &mut names) {
        Ok(query) => {
            let name = Name::from_wire(query.name.wire()).map(|name| name.to_string()).unwrap_or_default();
            format!("{name} {}", query.qtype)
        }
        Err(_) => "?".to_owned(),
    }
}
