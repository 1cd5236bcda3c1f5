//! A running server: its plan, its listeners, and how both are exchanged while it answers.

use super::build::{self, Plan};
use super::explain::Plans;
use super::last_good::LastGood;
use super::listeners::Listeners;
use super::logging;
use super::source::Source;
use crate::cli::{self, Invocation};
use crate::corefile::{self, Corefile};
use crate::http;
use crate::metrics::Metrics;
use crate::plugin::{Control, Keep, Lifecycle};
use crate::plugins;
use std::sync::Arc;

/// A server that answers.
pub(super) struct Running {
    source: Source,
    control: Control,
    port: u16,
    metrics: Metrics,
    listeners: Listeners,
    endpoints: http::Listeners,
    lifecycles: Vec<Arc<dyn Lifecycle>>,
    kept: Keep,
    last_good: Option<LastGood>,
}

impl Running {
    /// Reads, builds, starts and opens; then says so in CoreDNS's lines.
    pub(super) async fn start(source: Source, control: Control, invocation: &Invocation) -> Result<Running, String> {
        let metrics = Metrics::new();
        logging::count_drops(&metrics);
        let last_good = invocation.last_good.as_ref().map(|path| LastGood::new(path, &metrics));
        let mut running = Running {
            source,
            port: invocation.port,
            metrics: metrics.clone(),
            endpoints: http::Listeners::new(&metrics),
            listeners: Listeners::new(metrics, control.arrivals.clone()),
            control,
            lifecycles: Vec::new(),
            kept: Keep::default(),
            last_good,
        };
        if running.source.is_quickstart() && !invocation.quiet {
            logging::print("No Corefile here: serving the built-in sample cluster on 127.0.0.1:1053. Try:");
            logging::print("  dig @127.0.0.1 -p 1053 backend-service.default.svc.cluster.local");
        }
        let banner = match running.exchange().await {
            Ok(banner) => {
                running.control.history.note("start", None);
                banner
            }
            Err(error) => {
                let banner = running.fall_back(error.clone()).await?;
                running.control.history.note("start", Some(error));
                banner
            }
        };
        if !invocation.quiet {
            banner.iter().for_each(|line| logging::print(line));
            logging::print(&cli::version());
        }
        Ok(running)
    }

    /// Runs the configuration as it is now. On any error the plan before goes on, unchanged.
    pub(super) async fn reload(&mut self) {
        tracing::info!(target: "dunlin", "Reloading");
        match self.exchange().await {
            Ok(_) => {
                tracing::info!(target: "dunlin", "Reloading complete");
                self.control.history.note("reload", None);
            }
            Err(error) => {
                plugins::reload::count_failure(&self.metrics);
                tracing::error!(target: "dunlin", "Restart failed: {error}");
                self.control.history.note("reload", Some(error));
            }
        }
    }

    /// Runs the configuration that last ran, where one is kept, since the present one cannot.
    async fn fall_back(&mut self, error: String) -> Result<Vec<String>, String> {
        let (Some(last_good), Some(path)) = (&self.last_good, self.source.path()) else { return Err(error) };
        let corefile = last_good.instead_of(path, &error)?;
        self.run(&corefile).await.map_err(|why| format!("{error}\nand the last good configuration: {why}"))
    }

    /// Reads the configuration as it is now and runs it.
    async fn exchange(&mut self) -> Result<Vec<String>, String> {
        let text = self.source.text().map_err(|error| error.to_string())?;
        let corefile = self.source.parse(&text).map_err(|error| error.to_string())?;
        let banner = self.run(&corefile).await?;
        if let (Some(last_good), Some(_)) = (&self.last_good, self.source.path()) {
            last_good.keep(&text);
        }
        Ok(banner)
    }

    /// Builds the next plan whole, opens what is new, swaps, and lets go of the last plan.
    async fn run(&mut self, corefile: &Corefile) -> Result<Vec<String>, String> {
        let Plan { places, process, keep, banner } =
            build::build(corefile, self.port, &self.metrics, &self.kept, &self.control)
                .map_err(|errors| lines(&errors))?;
        logging::set_debug(process.debug);
        process.warnings.iter().for_each(|warning| tracing::warn!(target: "dunlin", "{warning}"));
        for lifecycle in &process.lifecycles {
            process.readiness.add(Arc::clone(lifecycle));
        }
        // /health and /ready answer while start-up waits for the API server. A reload moves them only once the plan runs.
        let first = self.lifecycles.is_empty();
        if first {
            self.endpoints.apply(process.endpoints.clone()).await?;
        }
        start_all(&process.lifecycles).await?;
        if let Err(error) = self.listeners.apply(&places).await {
            stop_all(&process.lifecycles).await;
            return Err(error);
        }
        if !first && let Err(error) = self.endpoints.apply(process.endpoints).await {
            tracing::error!(target: "dunlin", "{error}");
        }
        process.explainer.fill(Arc::new(Plans::of(&places)));
        let addresses = self.listeners.addresses();
        process.lifecycles.iter().for_each(|lifecycle| lifecycle.serving(&addresses));
        let last = std::mem::replace(&mut self.lifecycles, process.lifecycles);
        self.kept = keep;
        stop_all(&last).await;
        Ok(banner)
    }

    /// Lets every plugin drain, all at once, while queries are answered.
    pub(super) async fn drain(&self) {
        futures_util::future::join_all(self.lifecycles.iter().map(|lifecycle| lifecycle.drain())).await;
    }

    /// Closes the listeners, answering what they have, and stops what runs beside them.
    pub(super) async fn close(&mut self) {
        self.listeners.close().await;
        stop_all(&self.lifecycles).await;
        self.endpoints.close().await;
    }
}

/// Starts everything at once: the waits of several clusters do not add up. On an error what has started is stopped.
pub(super) async fn start_all(lifecycles: &[Arc<dyn Lifecycle>]) -> Result<(), String> {
    let started = futures_util::future::join_all(lifecycles.iter().map(|lifecycle| lifecycle.start())).await;
    if let Some(error) = started.into_iter().find_map(Result::err) {
        stop_all(lifecycles).await;
        return Err(error);
    }
    Ok(())
}

async fn stop_all(lifecycles: &[Arc<dyn Lifecycle>]) {
    for lifecycle in lifecycles {
        lifecycle.stop().await;
    }
}

/// All that is wrong, a line each.
fn lines(errors: &[corefile::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
