//! A panic is a line in the log, at most one a second: a packet that could make a lane panic shall not fill a disk.

use super::logging;
use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How far lines are apart.
const EVERY: Duration = Duration::from_secs(1);

static LIMIT: Mutex<Limit> = Mutex::new(Limit { last: None, untold: 0 });

/// Writes panics into the log from now on. They are counted where they are survived (`coredns_panics_total`).
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        // A thread that panics while another is told does not wait for it.
        let told = LIMIT.try_lock().ok().and_then(|mut limit| limit.admit(Instant::now()));
        if let Some(untold) = told {
            tracing::error!(target: "dunlin", "{}", line(info, untold));
        }
        // Nothing survives the end of the main thread, not even the queue of lines.
        if std::thread::current().name() == Some("main") {
            logging::flush();
        }
    }));
}

fn line(info: &PanicHookInfo<'_>, untold: u64) -> String {
    let payload = info.payload_as_str().unwrap_or("a value that is no text");
    let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let more = if untold == 0 { String::new() } else { format!(" ({untold} more since the last such line)") };
    format!("thread '{name}' panicked{place}: {payload}{more}")
}

/// Lets one through per [`EVERY`] and counts the others.
struct Limit {
    last: Option<Instant>,
    untold: u64,
}

impl Limit {
    /// Whether this one is told: then with how many were not since the last.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_a_second_with_a_count() {
        let mut limit = Limit { last: None, untold: 0 };
        let begun = Instant::now();
        let told: Vec<_> = (0..=3000).filter_map(|at| limit.admit(begun + Duration::from_millis(at))).collect();
        assert_eq!(told, [0, 999, 999, 999]);
    }

    #[test]
    fn a_line_names_thread_place_and_reason() {
        static SAID: Mutex<String> = Mutex::new(String::new());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|info| {
            if std::thread::current().name() == Some("dns-test") {
                *SAID.lock().unwrap() = line(info, 7);
            }
        }));
        let thread = std::thread::Builder::new().name("dns-test".into()).spawn(|| panic!("{}", 6 * 7)).unwrap();
        assert!(thread.join().is_err());
        std::panic::set_hook(before);
        let said = SAID.lock().unwrap().clone();
        assert!(said.starts_with("thread 'dns-test' panicked at src/server/panics.rs:"), "{said}");
        assert!(said.ends_with(": 42 (7 more since the last such line)"), "{said}");
    }
}
