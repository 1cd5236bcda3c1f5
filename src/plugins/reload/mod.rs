//! # Description
//! `reload` runs a changed Corefile without a restart. The file and its imports are read again every so often, and at
//! once when something changes in the Corefile's directory; if directives or their lines differ from those last seen,
//! the server builds the new configuration beside the old one and changes over. Listeners that stay are not closed,
//! and no query is lost. Blanks and trailing comments are no change.
//!
//! A Corefile that cannot be read, parsed or run changes nothing: the server says why and goes on with the old one, and
//! does not try that content again.
//!
//! # Syntax
//! ```text
//! reload [INTERVAL [JITTER]]
//! ```
//! * **INTERVAL** is how often to look, at least `2s`; `30s` where it is not given.
//! * **JITTER** spreads the replicas: the time between two looks is INTERVAL and a random part of at most half of JITTER
//!   more or less. At least `1s`, or 0 for none; `15s` where it is not given. It is held to half of INTERVAL.
//!
//! It is the process's, not the block's: the first directive of a Corefile counts. SIGUSR1 reloads without it.
//!
//! # Examples
//! ```corefile
//! . {
//!     reload
//!     whoami
//! }
//! ```
//! ```corefile
//! . {
//!     reload 10s 5s
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! * `coredns_reload_failed_total`: reloads that changed nothing because the new configuration could not be run.
//! * `coredns_reload_version_info{hash, value}`: 1 for the configuration that runs; `hash` is `sha512`.
//!
//! # See also
//! The log line `plugin/reload: Running configuration SHA512 = …` at the start and after each reload.

mod watch;

use crate::corefile::{self, Corefile, values};
use crate::metrics::{Descriptor, MetricKind, Metrics};
use crate::plugin::{BoxFuture, Command, Control, Definition, Error, Lifecycle, Setup, Token};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use watch::Watch;

/// `reload`.
pub const DEFINITION: Definition = Definition { directive: "reload", setup, metrics: &[&FAILED, &VERSION] };

const FAILED: Descriptor = Descriptor {
    name: "coredns_reload_failed_total",
    help: "Reloads that changed nothing because the new configuration could not be run.",
    labels: &[],
    kind: MetricKind::Counter,
};
const VERSION: Descriptor = Descriptor {
    name: "coredns_reload_version_info",
    help: "1 for the configuration that runs.",
    labels: &["hash", "value"],
    kind: MetricKind::Gauge,
};

const INTERVAL: Duration = Duration::from_secs(30);
const JITTER: Duration = Duration::from_secs(15);
const LEAST_INTERVAL: Duration = Duration::from_secs(2);
const LEAST_JITTER: Duration = Duration::from_secs(1);

/// Counts a reload that the server could not run.
pub fn count_failure(metrics: &Metrics) {
    metrics.counter(&FAILED).with_label_values::<&str>(&[]).inc();
}

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.first()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let (interval, jitter) = match directive.args.as_slice() {
        [] => (INTERVAL, JITTER),
        [interval] => (least(setup, interval, "interval", LEAST_INTERVAL)?, JITTER),
        [interval, jitter] => {
            let interval = least(setup, interval, "interval", LEAST_INTERVAL)?;
            let none = jitter.text == "0" || values::duration(&jitter.text).is_ok_and(|jitter| jitter.is_zero());
            (interval, if none { Duration::ZERO } else { least(setup, jitter, "jitter", LEAST_JITTER)? })
        }
        _ => return Err(setup.arguments(directive, "reload [INTERVAL [JITTER]]")),
    };
    if setup.process.lifecycles.iter().any(|other| other.name() == "reload") {
        return Ok(());
    }
    // Without a file there is nothing to look at.
    let Some(path) = setup.control.corefile.clone() else { return Ok(()) };
    let running = corefile::load(&path).ok();
    // If the file has changed since the server read it, what runs is unlike anything that will be read from now on.
    let unchanged = |file: &Corefile| file.blocks.iter().any(|block| block.directives == setup.siblings);
    let running = running.filter(unchanged).map(|file| file.digest).unwrap_or_default();
    setup.metrics.counter(&FAILED).with_label_values::<&str>(&[]);
    setup.process.lifecycles.push(Arc::new(Reload {
        period: period(interval, jitter),
        running,
        path: path.into(),
        control: setup.control.clone(),
        metrics: setup.metrics.clone(),
        task: Mutex::new(None),
    }));
    Ok(())
}

fn least(setup: &Setup<'_>, word: &Token, what: &str, least: Duration) -> Result<Duration, Error> {
    let value = values::duration(&word.text).map_err(|why| setup.error(word, why))?;
    if value < least {
        return Err(setup.error(word, format!("{what} value must be greater or equal to {least:?}")));
    }
    Ok(value)
}

/// The time between two looks: the same for the life of a plan, another in each replica.
fn period(interval: Duration, jitter: Duration) -> Duration {
    let jitter = jitter.min(interval / 2);
    let random = std::hash::RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    interval - jitter / 2 + jitter.mul_f64(random)
}

/// The watch over one Corefile.
struct Reload {
    period: Duration,
    /// The digest of the configuration that runs; empty if the file has changed already.
    running: String,
    path: Arc<Path>,
    control: Control,
    metrics: Metrics,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lifecycle for Reload {
    fn name(&self) -> &'static str {
        "reload"
    }

    fn serving(&self, _addresses: &[SocketAddr]) {
        if !self.running.is_empty() {
            tracing::info!(target: "plugin/reload", "Running configuration SHA512 = {}", self.running);
            let version = self.metrics.gauge(&VERSION);
            version.reset();
            version.with_label_values(&["sha512", &self.running]).set(1.0);
        }
        let look = Look {
            path: self.path.clone(),
            running: self.running.clone(),
            seen: self.running.clone(),
            said: String::new(),
        };
        let task = tokio::spawn(look.run(self.period, self.control.clone()));
        if let Ok(mut running) = self.task.lock()
            && let Some(before) = running.replace(task)
        {
            before.abort();
        }
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        // A process that is asked to end does not begin anew.
        self.end();
        Box::pin(async {})
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end();
        Box::pin(async {})
    }
}

impl Reload {
    fn end(&self) {
        if let Ok(mut task) = self.task.lock()
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.end();
    }
}

/// What has been seen of a Corefile so far.
struct Look {
    path: Arc<Path>,
    running: String,
    /// The digest last seen, which is not asked for again.
    seen: String,
    /// What was last said about a file that cannot be read.
    said: String,
}

impl Look {
    async fn run(mut self, period: Duration, control: Control) {
        let mut watch = Watch::on_directory_of(&self.path);
        loop {
            watch.changed_within(period).await;
            let path = self.path.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || corefile::load(&path)).await else { continue };
            if self.is_new(read) && control.commands.send(Command::Reload).is_err() {
                return;
            }
        }
    }

    /// Whether the file has a content to run that has not been tried.
    fn is_new(&mut self, read: Result<Corefile, Error>) -> bool {
        match read {
            Ok(file) => {
                self.said.clear();
                let new = file.digest != self.seen && file.digest != self.running;
                self.seen = file.digest;
                new
            }
            Err(error) => {
                let said = error.to_string();
                if said != self.said {
                    tracing::warn!(target: "plugin/reload", "Corefile is not valid, the running configuration stays: {said}");
                    self.said = said;
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
