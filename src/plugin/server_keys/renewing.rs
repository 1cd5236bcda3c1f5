//! Files of certificates are looked at again and again, as cert-manager and its like renew them.

use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{BoxFuture, Lifecycle};
use prometheus::IntCounterVec;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often the files are looked at. They are two, of some kilobytes.
const PERIOD: Duration = Duration::from_secs(5);

/// What the looks are counted in.
pub const RENEWALS: Descriptor = Descriptor {
    name: "dunlin_tls_renewals_total",
    help: "Counter of looks at a certificate's files that found another one (taken) or something wrong (failed).",
    labels: &["file", "result"],
    kind: MetricKind::Counter,
};

/// What is made of files that others write anew.
pub trait Renewable: Send + Sync {
    /// Reads the files again; whether there was something else in them, which connections get from now on.
    ///
    /// # Errors
    /// The file, and what is wrong with it: what was read last stays.
    fn renew(&self) -> Result<bool, String>;

    /// The files, as messages name them.
    fn file(&self) -> String;
}

/// Looks at the files while its plan runs.
pub struct Renewing {
    plugin: &'static str,
    renewable: Arc<dyn Renewable>,
    renewals: IntCounterVec,
    task: Mutex<Option<AbortHandle>>,
}

impl Renewing {
    /// For what a plugin has read.
    pub fn new(plugin: &'static str, renewable: Arc<dyn Renewable>, renewals: IntCounterVec) -> Renewing {
        Renewing { plugin, renewable, renewals, task: Mutex::default() }
    }

    fn replace(&self, task: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.into_iter().for_each(|task| task.abort());
    }
}

impl Lifecycle for Renewing {
    fn name(&self) -> &'static str {
        self.plugin
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        let task = tokio::spawn(follow(self.plugin, self.renewable.clone(), self.renewals.clone()));
        self.replace(Some(task.abort_handle()));
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.replace(None);
        Box::pin(async {})
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.replace(None);
    }
}

async fn follow(plugin: &'static str, renewable: Arc<dyn Renewable>, renewals: IntCounterVec) {
    let (file, mut said) = (renewable.file(), String::new());
    loop {
        tokio::time::sleep(PERIOD).await;
        let renewable = renewable.clone();
        let Ok(outcome) = tokio::task::spawn_blocking(move || renewable.renew()).await else { return };
        match outcome {
            Ok(false) => said.clear(),
            Ok(true) => {
                said.clear();
                renewals.with_label_values(&[&*file, "taken"]).inc();
                tracing::info!(target: "dunlin", "plugin/{plugin}: new connections get the new certificate of {file}");
            }
            Err(why) => {
                renewals.with_label_values(&[&*file, "failed"]).inc();
                // The same again is counted, not said.
                if why != said {
                    tracing::error!(target: "dunlin", "plugin/{plugin}: the certificate is not renewed: {why}");
                    said = why;
                }
            }
        }
    }
}
