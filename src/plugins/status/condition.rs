//! Whether all is well, and if not, why: what stands at the top of the page.

use super::snapshot::{Snapshot, is_failure};
use crate::plugin::{Occasion, Readiness, Table};

/// Watches hear a bookmark every minute or so; this many seconds without one are too many.
const SILENT: f64 = 180.0;
/// The part of answers that are failures from which on it is said, and the queries that make a part worth saying.
const FAILING: f64 = 0.05;
const WORTH: f64 = 10.0;

/// How the server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Healthy,
    Starting,
    Degraded,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Starting => "starting",
            State::Degraded => "degraded",
        }
    }
}

/// What a condition is judged by.
pub(super) struct Seen<'a> {
    pub readiness: &'a Readiness,
    pub history: &'a [Occasion],
    pub sections: &'a [(String, Table)],
    /// Now, and ten seconds ago.
    pub window: Option<(&'a Snapshot, &'a Snapshot)>,
    /// Unix seconds.
    pub now: f64,
}

impl Seen<'_> {
    /// The state with its reasons, the gravest first.
    pub fn condition(&self) -> (State, Vec<String>) {
        let waiting = self.readiness.waiting();
        if !waiting.is_empty() {
            let reason = format!("not ready: {}; /ready says 503", waiting.join(", "));
            return (State::Starting, [vec![reason], self.troubles()].concat());
        }
        let troubles = self.troubles();
        (if troubles.is_empty() { State::Healthy } else { State::Degraded }, troubles)
    }

    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Some((now, then)) = self.window {
            troubles.extend(answers(now, then));
            troubles.extend(upstreams(now));
            troubles.extend(watches(now, then, self.now));
        }
        troubles.extend(self.readiness.notes());
        if let Some(Occasion { what, failure: Some(_), .. }) = self.history.first() {
            troubles.push(match *what {
                "start" => "the Corefile could not be run; the last good one is (see the history)".to_owned(),
                _ => "the last reload failed; the configuration before it still runs (see the history)".to_owned(),
            });
        }
        for (title, table) in self.sections {
            troubles.extend(table.trouble.iter().map(|trouble| format!("{title}: {trouble}")));
        }
        troubles
    }
}

fn answers(now: &Snapshot, then: &Snapshot) -> Vec<String> {
    let mut troubles = Vec::new();
    let counts = now.all().since(&then.all());
    let failed: f64 = counts.rcodes.iter().filter(|(name, _)| is_failure(name)).map(|(_, count)| count).sum();
    if failed >= WORTH && failed > FAILING * counts.total() {
        let part = 100.0 * failed / counts.total();
        troubles.push(format!("{part:.0} % of answers are failures (SERVFAIL and its kin)"));
    }
    if now.dropped > then.dropped {
        troubles.push(format!(
            "{:.0} queries were let go in ten seconds: more than fits was waiting",
            now.dropped - then.dropped
        ));
    }
    if now.panics > then.panics {
        troubles.push("a panic was survived; the log has it".to_owned());
    }
    troubles
}

fn upstreams(now: &Snapshot) -> Vec<String> {
    let failing = now.upstreams.iter().filter(|(_, upstream)| upstream.failing > 0.0);
    failing
        .map(|(name, upstream)| format!("upstream {name} fails its health checks ({:.0} in a row)", upstream.failing))
        .collect()
}

fn watches(now: &Snapshot, then: &Snapshot, seconds: f64) -> Vec<String> {
    let mut troubles = Vec::new();
    for (kind, watch) in &now.watches {
        let before = then.watches.get(kind).map_or(0.0, |watch| watch.failures);
        let age = seconds - watch.last_event;
        if watch.failures > before {
            troubles.push(format!("the watch of {kind}s fails: answers are as of {}", ago(watch.last_event, seconds)));
        } else if watch.last_event > 0.0 && age > SILENT {
            troubles.push(format!(
                "no word about {kind}s from the API server: answers are as of {}",
                ago(watch.last_event, seconds)
            ));
        }
    }
    troubles
}

fn ago(then: f64, now: f64) -> String {
    let seconds = (now - then).max(0.0);
    match (then, seconds) {
        (0.0, _) => "never".to_owned(),
        (_, 0.0..120.0) => format!("{seconds:.0} s ago"),
        (_, 120.0..7200.0) => format!("{:.0} min ago", seconds / 60.0),
        _ => format!("{:.0} h ago", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Block, Counts, Upstream, Watch};
    use super::*;
    use std::time::SystemTime;

    /// What is said of these two moments.
    fn said(then: &Snapshot, now: &Snapshot) -> (State, Vec<String>) {
        let readiness = Readiness::default();
        Seen { readiness: &readiness, history: &[], sections: &[], window: Some((now, then)), now: 1000.0 }.condition()
    }

    fn with_rcodes(codes: &[(&str, f64)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let rcodes = codes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let block = Block { server: "dns://:53".into(), zone: ".".into() };
        snapshot.blocks.insert(block, Counts { rcodes, ..Counts::default() });
        snapshot
    }

    #[test]
    fn without_trouble_it_is_healthy() {
        let quiet = Snapshot::default();
        assert_eq!(said(&quiet, &with_rcodes(&[("NOERROR", 100.0), ("NXDOMAIN", 900.0)])), (State::Healthy, vec![]));
    }

    #[test]
    fn failures_count_once_they_are_many() {
        let quiet = Snapshot::default();
        assert_eq!(said(&quiet, &with_rcodes(&[("SERVFAIL", 9.0)])).0, State::Healthy);
        assert_eq!(said(&quiet, &with_rcodes(&[("SERVFAIL", 20.0), ("NOERROR", 980.0)])).0, State::Healthy);
        let (state, why) = said(&quiet, &with_rcodes(&[("SERVFAIL", 500.0), ("NOERROR", 500.0)]));
        assert_eq!((state, why[0].as_str()), (State::Degraded, "50 % of answers are failures (SERVFAIL and its kin)"));
    }

    #[test]
    fn silence_and_failure_of_a_watch_are_told_apart() {
        let watch = |last_event, failures| {
            let mut snapshot = Snapshot::default();
            snapshot.watches.insert("Service".into(), Watch { last_event, failures, ..Watch::default() });
            snapshot
        };
        assert_eq!(said(&watch(990.0, 1.0), &watch(990.0, 1.0)).0, State::Healthy);
        let silent = said(&watch(400.0, 1.0), &watch(400.0, 1.0)).1;
        assert_eq!(silent, ["no word about Services from the API server: answers are as of 10 min ago"]);
        let failing = said(&watch(990.0, 1.0), &watch(990.0, 2.0)).1;
        assert_eq!(failing, ["the watch of Services fails: answers are as of 10 s ago"]);
    }

    #[test]
    fn upstreams_drops_and_panics_are_told() {
        let mut now = Snapshot { dropped: 3.0, panics: 1.0, ..Snapshot::default() };
        now.upstreams.insert("10.0.0.2:53".into(), Upstream { failing: 4.0, ..Upstream::default() });
        let why = said(&Snapshot::default(), &now).1;
        assert_eq!(why.len(), 3);
        assert_eq!(why[2], "upstream 10.0.0.2:53 fails its health checks (4 in a row)");
    }

    #[test]
    fn a_failed_reload_and_a_plugin_s_trouble_are_told() {
        let failure = Some("Corefile:3 - Unknown directive".to_owned());
        let history = [Occasion { at: SystemTime::now(), what: "reload", failure }];
        let table = Table { trouble: vec!["3 wrong answers".into()], ..Table::default() };
        let sections = [("Shadow".to_owned(), table)];
        let readiness = Readiness::default();
        let seen = Seen { readiness: &readiness, history: &history, sections: &sections, window: None, now: 0.0 };
        let (state, why) = seen.condition();
        assert_eq!((state, why.len(), why[1].as_str()), (State::Degraded, 2, "Shadow: 3 wrong answers"));
    }
}
