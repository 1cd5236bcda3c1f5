//! A certificate's files are looked at again and again, as cert-manager and its like renew them.

use crate::plugin::{BoxFuture, Certificate, Lifecycle};
use prometheus::IntCounterVec;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often the files are looked at. They are two, of some kilobytes.
const PERIOD: Duration = Duration::from_secs(5);

/// Looks at the files while its plan runs.
pub(super) struct Renewing {
    certificate: Arc<Certificate>,
    renewals: IntCounterVec,
    task: Mutex<Option<AbortHandle>>,
}

impl Renewing {
    pub fn new(certificate: Arc<Certificate>, renewals: IntCounterVec) -> Renewing {
        Renewing { certificate, renewals, task: Mutex::default() }
    }

    fn replace(&self, task: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.into_iter().for_each(|task| task.abort());
    }
}

impl Lifecycle for Renewing {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        let task = tokio::spawn(follow(self.certificate.clone(), self.renewals.clone()));
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

async fn follow(certificate: Arc<Certificate>, renewals: IntCounterVec) {
    let (file, mut said) = (certificate.file(), String::new());
    loop {
        tokio::time::sleep(PERIOD).await;
        let certificate = certificate.clone();
        let Ok(outcome) = tokio::task::spawn_blocking(move || certificate.renew()).await else { return };
        match outcome {
            Ok(false) => said.clear(),
            Ok(true) => {
                said.clear();
                renewals.with_label_values(&[&*file, "taken"]).inc();
                tracing::info!(target: "plugin/tls", "new connections get the new certificate of {file}");
            }
            Err(why) => {
                renewals.with_label_values(&[&*file, "failed"]).inc();
                // The same again is counted, not said.
                if why != said {
                    tracing::error!(target: "plugin/tls", "the certificate is not renewed: {why}");
                    said = why;
                }
            }
        }
    }
}
