//! Composition: Corefile to plan to engine; reload, signals, lameduck.
//!
//! The story of a process: [`run`] reads the configuration ([`source`]), builds a plan from it ([`build`]), starts what
//! runs beside the queries, opens the listeners ([`running`]), and then takes signals and commands until one of them
//! ends it. A plan answers through [`routes`] and [`lanes`].

#[doc(hidden)]
pub mod bench;
mod build;
pub mod explain;
mod lanes;
mod last_good;
mod listener_settings;
mod listeners;
pub mod logging;
mod panics;
mod routes;
mod running;
mod source;
mod targets;

use crate::cli::{self, Invocation};
use crate::corefile::{self, Corefile};
use crate::metrics::Metrics;
use crate::plugin::{Arrivals, Command, Control, History, Keep};
use running::Running;
use source::Source;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Runs a server until a signal or a fatal error ends it.
pub fn run(invocation: &Invocation) -> ExitCode {
    if let Err(error) = logging::start(invocation.log_format) {
        return fail(&format!("cannot start the log: {error}"));
    }
    panics::log_panics();
    // A second provider could only come from a dependency's feature; then the first one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(threads()).enable_all().thread_name("dns-slow").build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    let code = runtime.block_on(serve(invocation));
    // Whatever is still in flight has had its grace.
    runtime.shutdown_background();
    logging::flush();
    code
}

/// Workers of an address, and threads of the slow lane: one a CPU that the process may use, up to the number of them
/// that answers two million queries a second. On a machine with many CPUs more would cost more than it brings: memory
/// for each, a look at each whenever a store changes, and smaller batches.
fn threads() -> usize {
    const MOST: usize = 8;
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST)
}

/// Reads a Corefile and sets up its plugins without serving. Returns the warnings, a line each.
///
/// # Errors
/// Everything that is wrong, with file, line and directive.
pub fn check(path: &Path) -> Result<Vec<String>, Vec<corefile::Error>> {
    let corefile = corefile::load(path).map_err(|error| vec![error])?;
    let SetUp { errors, warnings, .. } = set_up(&corefile);
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

/// What setting a configuration's plugins up has shown.
#[derive(Debug, Default)]
pub struct SetUp {
    /// Everything that is wrong.
    pub errors: Vec<corefile::Error>,
    /// The plugins' warnings, each a whole line with its place; those of an import are among them.
    pub warnings: Vec<String>,
    /// The addresses it would answer DNS on; none where something is wrong.
    pub listens: Vec<SocketAddr>,
    /// The addresses of its HTTP endpoints (`:8080`), once each; none where something is wrong.
    pub endpoints: Vec<String>,
}

/// Sets a configuration's plugins up without starting or opening anything.
pub fn set_up(corefile: &Corefile) -> SetUp {
    let (commands, _) = mpsc::unbounded_channel();
    let control = Control {
        commands,
        corefile: Some(corefile.path.clone()),
        arrivals: Arrivals::default(),
        history: History::default(),
    };
    match build::attempt(corefile, cli::DNS_PORT, &Metrics::new(), &Keep::default(), &control) {
        Ok(plan) => {
            let endpoints: BTreeSet<_> = plan.process.endpoints.into_iter().map(|endpoint| endpoint.address).collect();
            SetUp {
                errors: Vec::new(),
                warnings: plan.process.warnings,
                listens: plan.places.into_keys().map(|place| place.address).collect(),
                endpoints: endpoints.into_iter().collect(),
            }
        }
        Err(refused) => SetUp { errors: refused.errors, warnings: refused.warnings, ..SetUp::default() },
    }
}

async fn serve(invocation: &Invocation) -> ExitCode {
    let source = match Source::of(invocation) {
        Ok(source) => source,
        Err(error) => return fail(&error),
    };
    let (commands, inbox) = mpsc::unbounded_channel();
    let arrivals = Arrivals::default();
    let control = Control { commands, corefile: source.path().map(Into::into), arrivals, history: History::default() };
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot take signals: {error}")),
    };
    let mut running = match Running::start(source, control, invocation).await {
        Ok(running) => running,
        Err(error) => return fail(&error),
    };
    if let Some(path) = &invocation.pidfile
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        return fail(&format!("{}: {error}", path.display()));
    }
    let code = attend(&mut running, &mut signals, inbox).await;
    if let Some(path) = &invocation.pidfile {
        let _ = std::fs::remove_file(path);
    }
    code
}

/// Takes signals and commands until one of them ends the process.
async fn attend(running: &mut Running, signals: &mut Signals, mut inbox: mpsc::UnboundedReceiver<Command>) -> ExitCode {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => {
                tracing::info!(target: "dunlin", "SIGTERM: Shutting down servers then terminating");
                running.drain().await;
                running.close().await;
                return ExitCode::SUCCESS;
            }
            _ = signals.interrupt.recv() => {
                tracing::info!(target: "dunlin", "SIGINT: Shutting down");
                tokio::select! {
                    () = running.drain() => return ExitCode::SUCCESS,
                    _ = signals.interrupt.recv() => {
                        tracing::info!(target: "dunlin", "SIGINT: Force quit");
                        return ExitCode::from(2);
                    }
                }
            }
            _ = signals.quit.recv() => return ExitCode::SUCCESS,
            _ = signals.reload.recv() => {
                tracing::info!(target: "dunlin", "SIGUSR1: Reloading");
                running.reload().await;
            }
            _ = signals.upgrade.recv() => {
                tracing::warn!(target: "dunlin", "SIGUSR2: not supported; replace the process instead");
            }
            _ = signals.hangup.recv() => {}
            Some(command) = inbox.recv() => match command {
                Command::Reload => running.reload().await,
                Command::Fatal(reason) => {
                    logging::fatal(&reason);
                    return ExitCode::FAILURE;
                }
            },
        }
    }
}

/// The signals a server takes (CoreDNS's set).
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    reload: Signal,
    upgrade: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reload: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Start-up failures go to standard error, a line each; exit code 1.
fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
