//! The log: events as lines of CoreDNS's form, or as JSON, written beside the threads that say them.
//!
//! A line is `[LEVEL] plugin/NAME: text`, or `[LEVEL] text` for the core, without a time, on stdout. Lines go through a
//! queue to one writing thread, so that a slow reader of stdout (a log collector that hangs) never stops an answer. The
//! queue is bounded: what does not fit is dropped and counted. Its last quarter is kept for warnings and errors.

mod json;

use crate::cli::LogFormat;
use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::IntCounter;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, span};

const DROPPED: Descriptor = Descriptor {
    name: "dunlin_log_lines_dropped_total",
    help: "Log lines that could not be written in time.",
    labels: &[],
    kind: MetricKind::Counter,
};

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines above which only warnings and errors are taken.
const QUEUE_FOR_ALL: usize = QUEUE / 4 * 3;
/// Octets of the longest line; the rest is cut.
const MAX_LINE: usize = 4096;
/// Octets written with one system call, about.
const BATCH: usize = 64 * 1024;
/// How long the last lines may take when the process ends.
const FLUSH: Duration = Duration::from_secs(1);

static QUEUE_IN: OnceLock<Queue> = OnceLock::new();
static DEBUG: AtomicBool = AtomicBool::new(false);
static JSON: AtomicBool = AtomicBool::new(false);
static DROPS: OnceLock<IntCounter> = OnceLock::new();

/// Starts the log of the process. Once, before the first event.
///
/// # Errors
/// What the system says to a new thread; or that there is a log already.
pub fn start(format: LogFormat) -> io::Result<()> {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    let (sender, receiver) = sync_channel(QUEUE);
    std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&receiver, io::stdout()))?;
    let queue = Queue { sender, waiting: AtomicUsize::new(0) };
    if QUEUE_IN.set(queue).is_err() {
        return Err(io::Error::other("the log has been started already"));
    }
    tracing::subscriber::set_global_default(Log).map_err(io::Error::other)
}

/// Counts dropped lines in these metrics from now on.
pub fn count_drops(metrics: &Metrics) {
    let _ = DROPS.set(metrics.counter(&DROPPED).with_label_values::<&str>(&[]));
}

/// Turns `[DEBUG]` lines on or off.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Writes a line as it is, in the row of the others: what is printed at the start.
pub fn print(line: &str) {
    write(if is_json() { json::of_text("info", line, SystemTime::now()) } else { format!("{line}\n") });
}

/// Says a last line and writes all that waits; for a little while.
pub fn fatal(line: &str) {
    write(match is_json() {
        true => json::of_text("fatal", line, SystemTime::now()),
        false => format!("[FATAL] {}\n", Escaped(line)),
    });
    flush();
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

fn write(line: String) {
    match QUEUE_IN.get() {
        Some(queue) => queue.push(line, true),
        None => print!("{line}"),
    }
}

/// Writes all that waits, for a little while. Before the process ends.
pub fn flush() {
    let Some(queue) = QUEUE_IN.get() else { return };
    let (done, wait) = sync_channel(1);
    // A full queue whose reader hangs has no room for this either: nothing can be done for its lines.
    if queue.sender.try_send(Entry::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH);
    }
}

/// The way to the writing thread.
struct Queue {
    sender: SyncSender<Entry>,
    waiting: AtomicUsize,
}

enum Entry {
    Line(String),
    Flush(SyncSender<()>),
}

impl Queue {
    fn push(&self, line: String, important: bool) {
        let room = if important { QUEUE } else { QUEUE_FOR_ALL };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= room || self.sender.try_send(Entry::Line(line)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Some(drops) = DROPS.get() {
                drops.inc();
            }
        }
    }
}

/// Writes lines until no sender is left; those that wait together with one call.
fn write_lines(entries: &Receiver<Entry>, mut out: impl io::Write) {
    let mut batch = String::new();
    while let Ok(first) = entries.recv() {
        let (mut next, mut lines, mut flushes) = (Ok(first), 0, Vec::new());
        loop {
            match next {
                Ok(Entry::Line(line)) => {
                    lines += 1;
                    batch.push_str(&line);
                }
                Ok(Entry::Flush(done)) => flushes.push(done),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            if batch.len() >= BATCH {
                break;
            }
            next = entries.try_recv();
        }
        // There is nowhere to say that stdout is closed.
        let _ = out.write_all(batch.as_bytes()).and_then(|()| out.flush());
        batch.clear();
        if let Some(queue) = QUEUE_IN.get() {
            queue.waiting.fetch_sub(lines, Ordering::Relaxed);
        }
        for done in flushes {
            let _ = done.try_send(());
        }
    }
}

/// The receiver of the process's events. Spans are not kept: nothing here makes them.
struct Log;

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if enabled(metadata, DEBUG.load(Ordering::Relaxed)) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        enabled(metadata, DEBUG.load(Ordering::Relaxed))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if DEBUG.load(Ordering::Relaxed) { LevelFilter::DEBUG } else { LevelFilter::INFO })
    }

    fn event(&self, event: &Event<'_>) {
        if let Some(queue) = QUEUE_IN.get() {
            let line = if is_json() { json::line(event, SystemTime::now()) } else { line(event) };
            queue.push(line, *event.metadata().level() <= Level::WARN);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Our own events from INFO on (DEBUG where asked for), other crates' from WARN on.
fn enabled(metadata: &Metadata<'_>, debug: bool) -> bool {
    let most = match (is_ours(metadata.target()), debug) {
        (true, true) => Level::DEBUG,
        (true, false) => Level::INFO,
        (false, _) => Level::WARN,
    };
    metadata.is_event() && *metadata.level() <= most
}

fn is_core(target: &str) -> bool {
    target == "dunlin" || target.starts_with("dunlin::")
}

fn is_ours(target: &str) -> bool {
    is_core(target) || target.starts_with("plugin/")
}

/// An event as a line.
fn line(event: &Event<'_>) -> String {
    let target = event.metadata().target();
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut line = format!("[{}] ", level(*event.metadata().level()));
    if !is_core(target) {
        line.push_str(target);
        line.push_str(": ");
    }
    let _ = write!(line, "{}{}", Escaped(&fields.message), Escaped(&fields.others));
    if line.len() > MAX_LINE {
        line.truncate(line.floor_char_boundary(MAX_LINE));
        line.push('…');
    }
    line.push('\n');
    line
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// The message, and what other crates add to it as fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }
}

/// A text without control characters: nobody outside writes lines of their own into the log.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if character.is_control() { write!(f, "{}", character.escape_default()) } else { f.write_char(character) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Keeps the lines of the events it is given.
    #[derive(Clone, Default)]
    struct Collect(Arc<Mutex<Vec<String>>>, bool);

    impl Subscriber for Collect {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            enabled(metadata, self.1)
        }
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(line(event));
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn lines(debug: bool, say: impl FnOnce()) -> Vec<String> {
        let collect = Collect(Arc::default(), debug);
        tracing::subscriber::with_default(collect.clone(), say);
        collect.0.lock().unwrap().clone()
    }

    #[test]
    fn lines_have_coredns_s_form() {
        let said = lines(true, || {
            tracing::error!(target: "plugin/errors", "2 {} A: gone", "a.test.");
            tracing::warn!(target: "dunlin", "careful");
            tracing::info!(target: "plugin/ready", "text");
            tracing::info!(target: "dunlin::server", "core");
            tracing::debug!(target: "plugin/cache", "detail");
        });
        assert_eq!(
            said,
            [
                "[ERROR] plugin/errors: 2 a.test. A: gone\n",
                "[WARNING] careful\n",
                "[INFO] plugin/ready: text\n",
                "[INFO] core\n",
                "[DEBUG] plugin/cache: detail\n",
            ]
        );
    }

    #[test]
    fn debug_and_other_crates_are_heard_only_where_they_matter() {
        let said = lines(false, || {
            tracing::debug!(target: "plugin/cache", "detail");
            tracing::info!(target: "hyper::proto", "chat");
            tracing::warn!(target: "hyper::proto", code = 7, "odd");
        });
        assert_eq!(said, ["[WARNING] hyper::proto: odd code=7\n"]);
        assert!(lines(true, || tracing::debug!(target: "rustls", "chat")).is_empty());
    }

    #[test]
    fn nobody_adds_lines_and_none_is_endless() {
        let said = lines(false, || tracing::info!(target: "dunlin", "{}", "a\n[ERROR] b\r\t\u{1b}[31m\u{7f}é"));
        assert_eq!(said, ["[INFO] a\\n[ERROR] b\\r\\t\\u{1b}[31m\\u{7f}é\n"]);
        let said = lines(false, || tracing::info!(target: "dunlin", "{}", "é".repeat(5000)));
        assert!(said[0].len() <= MAX_LINE + 4 && said[0].ends_with("…\n"));
    }

    #[test]
    fn lines_that_wait_are_written_together_and_in_order() {
        let (sender, receiver) = sync_channel(8);
        let (done, wait) = sync_channel(1);
        for entry in [Entry::Line("a\n".into()), Entry::Line("b\n".into()), Entry::Flush(done)] {
            sender.try_send(entry).unwrap();
        }
        drop(sender);
        let mut out = Vec::new();
        write_lines(&receiver, &mut out);
        assert_eq!(out, b"a\nb\n");
        assert!(wait.try_recv().is_ok());
    }

    #[test]
    fn a_full_queue_keeps_room_for_what_matters() {
        let metrics = Metrics::new();
        count_drops(&metrics);
        let (sender, receiver) = sync_channel(QUEUE);
        let queue = Queue { sender, waiting: AtomicUsize::new(0) };
        (0..QUEUE * 2).for_each(|_| queue.push("chat\n".into(), false));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), QUEUE_FOR_ALL);
        (0..QUEUE).for_each(|_| queue.push("warning\n".into(), true));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), QUEUE);
        assert_eq!(receiver.try_iter().count(), QUEUE);
        let line = format!("dunlin_log_lines_dropped_total {}\n", 2 * QUEUE);
        assert!(metrics.render().contains(&line), "{line}");
    }
}
