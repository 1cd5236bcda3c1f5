//! Counting instead of logging: the operator's patterns, and floods of one message.
//!
//! Each pattern, and each kind of message, has a window that opens with its first error and is told when it closes. So
//! the lines a window can make are bounded, and so is the memory: a fixed number of patterns and of kinds.

use regex::Regex;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kinds of messages told apart; what comes after them is one kind more.
const KINDS: usize = 16;
/// How long a window of a kind stays open.
const WINDOW: Duration = Duration::from_secs(10);
/// The kind of all messages for which no kind is left.
const OTHERS: &str = "";

/// How loud a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Warning,
    Error,
    Info,
    Debug,
}

/// A `consolidate`.
pub(super) struct Pattern {
    pub regex: Regex,
    pub period: Duration,
    pub level: Level,
    pub show_first: bool,
}

/// What is counted at the moment.
pub(super) struct Folds {
    patterns: Vec<(Pattern, Mutex<u64>)>,
    kinds: Mutex<HashMap<String, Kind>>,
}

/// The errors of a kind in its window: the first has been logged, the others are counted.
#[derive(Default)]
struct Kind {
    seen: u64,
    last: String,
}

/// What an error leads to.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The line to log now.
    say: Option<(Level, String)>,
    /// The window that has opened with this error, and for how long.
    opened: Option<(Window, Duration)>,
}

/// Which window: of a pattern, or of a kind of message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Window {
    Pattern(usize),
    Kind(String),
}

impl Folds {
    pub fn new(patterns: Vec<Pattern>) -> Folds {
        Folds {
            patterns: patterns.into_iter().map(|pattern| (pattern, Mutex::new(0))).collect(),
            kinds: Mutex::default(),
        }
    }

    /// Logs or counts an error; `line` makes what would be logged. Inside a tokio runtime.
    pub fn report(self: &Arc<Self>, message: &str, line: impl FnOnce() -> String) {
        let step = self.step(message, line);
        if let Some((level, line)) = step.say {
            say(level, &line);
        }
        if let Some((window, period)) = step.opened {
            let folds = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(period).await;
                if let Some((level, line)) = folds.upgrade().and_then(|folds| folds.close(&window)) {
                    say(level, &line);
                }
            });
        }
    }

    /// Closes every window and says what they have counted.
    pub fn say_all(&self) {
        let kinds: Vec<_> = self.kinds.lock().map(|kinds| kinds.keys().cloned().collect()).unwrap_or_default();
        let windows = (0..self.patterns.len()).map(Window::Pattern).chain(kinds.into_iter().map(Window::Kind));
        for (level, line) in windows.filter_map(|window| self.close(&window)) {
            say(level, &line);
        }
    }

    fn step(&self, message: &str, line: impl FnOnce() -> String) -> Step {
        match self.patterns.iter().position(|(pattern, _)| pattern.regex.is_match(message)) {
            Some(index) => self.count_pattern(index, line),
            None => self.count_kind(message, line),
        }
    }

    fn count_pattern(&self, index: usize, line: impl FnOnce() -> String) -> Step {
        let (pattern, count) = &self.patterns[index];
        let first = count.lock().is_ok_and(|mut count| {
            *count += 1;
            *count == 1
        });
        Step {
            say: (first && pattern.show_first).then(|| (pattern.level, line())),
            opened: first.then_some((Window::Pattern(index), pattern.period)),
        }
    }

    fn count_kind(&self, message: &str, line: impl FnOnce() -> String) -> Step {
        let Ok(mut kinds) = self.kinds.lock() else { return Step { say: None, opened: None } };
        let name = if kinds.contains_key(message) || kinds.len() < KINDS { message } else { OTHERS };
        let kind = match kinds.get_mut(name) {
            Some(kind) => kind,
            None => kinds.entry(name.to_owned()).or_default(),
        };
        kind.seen += 1;
        if kind.seen > 1 {
            kind.last = line();
            return Step { say: None, opened: None };
        }
        Step { say: Some((Level::Error, line())), opened: Some((Window::Kind(name.to_owned()), WINDOW)) }
    }

    /// Closes a window: the next such error opens it again. The line that tells what it counted, if it counted.
    fn close(&self, window: &Window) -> Option<(Level, String)> {
        match window {
            Window::Pattern(index) => {
                let (pattern, count) = self.patterns.get(*index)?;
                let count = std::mem::take(&mut *count.lock().ok()?);
                let told = u64::from(pattern.show_first);
                (count > told).then(|| {
                    let period = go_duration(pattern.period);
                    (pattern.level, format!("{count} errors like '{}' occurred in last {period}", pattern.regex))
                })
            }
            Window::Kind(name) => {
                let kind = self.kinds.lock().ok()?.remove(name)?;
                let (folded, period, last) = (kind.seen.saturating_sub(1), go_duration(WINDOW), kind.last);
                let like = if name.is_empty() { "other errors".into() } else { format!("more errors like '{name}'") };
                (folded > 0).then(|| (Level::Error, format!("{folded} {like} occurred in last {period}, last: {last}")))
            }
        }
    }
}

fn say(level: Level, line: &str) {
    match level {
        Level::Warning => tracing::warn!(target: "plugin/errors", "{line}"),
        Level::Error => tracing::error!(target: "plugin/errors", "{line}"),
        Level::Info => tracing::info!(target: "plugin/errors", "{line}"),
        Level::Debug => tracing::debug!(target: "plugin/errors", "{line}"),
    }
}

/// A duration as Go prints it, which is what CoreDNS's lines have: `5m0s`, `1h30m0s`, `10s`, `500ms`.
fn go_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 {
        return format!("{duration:?}");
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = seconds % 60;
    let fraction = if nanos > 0 { format!(".{nanos:09}").trim_end_matches('0').to_owned() } else { String::new() };
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str, level: Level, show_first: bool) -> Pattern {
        Pattern { regex: Regex::new(regex).unwrap(), period: Duration::from_secs(300), level, show_first }
    }

    fn step(folds: &Folds, message: &str) -> Step {
        folds.step(message, || format!("2 a.test. A: {message}"))
    }

    #[test]
    fn a_pattern_counts_and_tells_at_the_end() {
        let folds = Folds::new(vec![pattern("timeout$", Level::Warning, false), pattern(".", Level::Info, false)]);
        let opened = Some((Window::Pattern(0), Duration::from_secs(300)));
        assert_eq!(step(&folds, "i/o timeout"), Step { say: None, opened });
        assert_eq!(step(&folds, "i/o timeout"), Step { say: None, opened: None });
        let told = "2 errors like 'timeout$' occurred in last 5m0s".to_owned();
        assert_eq!(folds.close(&Window::Pattern(0)), Some((Level::Warning, told)));
        assert_eq!(folds.close(&Window::Pattern(0)), None);
        assert!(step(&folds, "i/o timeout").opened.is_some(), "the next error opens the window again");
        assert_eq!(step(&folds, "other").opened.unwrap().0, Window::Pattern(1), "the first that matches counts");
    }

    #[test]
    fn show_first_says_the_first_at_once_and_counts_only_more() {
        let folds = Folds::new(vec![pattern("x", Level::Info, true)]);
        assert_eq!(step(&folds, "x").say, Some((Level::Info, "2 a.test. A: x".into())));
        assert_eq!(folds.close(&Window::Pattern(0)), None);
        step(&folds, "x");
        assert_eq!(step(&folds, "x").say, None);
        assert!(folds.close(&Window::Pattern(0)).unwrap().1.starts_with("2 errors like 'x'"));
    }

    #[test]
    fn floods_of_one_message_are_folded_and_others_heard() {
        let folds = Folds::new(Vec::new());
        assert!(step(&folds, "refused").say.is_some(), "the first is logged at once");
        assert!((1..1000).all(|_| step(&folds, "refused").say.is_none()));
        assert!(step(&folds, "another").say.is_some());
        let told = folds.close(&Window::Kind("refused".into())).unwrap();
        let line = "999 more errors like 'refused' occurred in last 10s, last: 2 a.test. A: refused";
        assert_eq!(told, (Level::Error, line.into()));
        assert_eq!(folds.close(&Window::Kind("another".into())), None);
        assert!(folds.kinds.lock().unwrap().is_empty());
    }

    #[test]
    fn messages_that_never_repeat_are_bounded_too() {
        let folds = Folds::new(Vec::new());
        let said = (0..10_000).filter(|index| step(&folds, &format!("port {index}")).say.is_some()).count();
        assert_eq!(said, KINDS + 1);
        assert_eq!(folds.kinds.lock().unwrap().len(), KINDS + 1);
        let told = folds.close(&Window::Kind(OTHERS.into())).unwrap().1;
        assert_eq!(told, "9983 other errors occurred in last 10s, last: 2 a.test. A: port 9999");
    }

    #[tokio::test]
    async fn the_window_closes_by_itself() {
        let pattern = Pattern { period: Duration::from_millis(20), ..pattern("x", Level::Debug, false) };
        let folds = Arc::new(Folds::new(vec![pattern]));
        folds.report("x", String::new);
        assert_eq!(*folds.patterns[0].1.lock().unwrap(), 1);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(*folds.patterns[0].1.lock().unwrap(), 0);
    }

    #[test]
    fn durations_read_as_in_go() {
        for (millis, text) in
            [(500, "500ms"), (10_000, "10s"), (1_500, "1.5s"), (300_000, "5m0s"), (5_400_000, "1h30m0s")]
        {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
