//! The configuration that last ran, in a file beside it, for a start that finds the Corefile broken.
//!
//! Only the Corefile itself is kept: files that it imports are read where they are.

use crate::cluster::snapshot::save;
use crate::corefile::{self, Corefile};
use crate::metrics::{Descriptor, MetricKind, Metrics};
use prometheus::Gauge;
use std::path::{Path, PathBuf};

const IN_USE: Descriptor = Descriptor {
    name: "dunlin_last_good_corefile_in_use",
    help: "Whether the configuration that last ran is used, because the Corefile could not be.",
    labels: &[],
    kind: MetricKind::Gauge,
};

/// The file of `-last-good`.
pub(super) struct LastGood {
    path: PathBuf,
    in_use: Gauge,
}

impl LastGood {
    pub(super) fn new(path: &Path, metrics: &Metrics) -> LastGood {
        LastGood { path: path.into(), in_use: metrics.gauge(&IN_USE).with_label_values::<&str>(&[]) }
    }

    /// The configuration that last ran, in the place of `source`, which cannot run for this reason.
    ///
    /// # Errors
    /// Both reasons, where there is none that can be read.
    pub(super) fn instead_of(&self, source: &Path, reason: &str) -> Result<Corefile, String> {
        let path = self.path.display();
        let text =
            corefile::read(&self.path).map_err(|why| format!("{reason}\nand no last good configuration: {why}"))?;
        let corefile = corefile::parse(source, &text, &|name| std::env::var(name).ok());
        let corefile = corefile.map_err(|why| format!("{reason}\nand the last good configuration {path}: {why}"))?;
        reason.lines().for_each(|line| tracing::error!(target: "dunlin", "{line}"));
        tracing::error!(
            target: "dunlin",
            "THE COREFILE IS BROKEN: running the last good configuration {path} until {} is mended",
            source.display()
        );
        self.in_use.set(1.0);
        Ok(corefile)
    }

    /// Keeps the text of a configuration that runs.
    pub(super) fn keep(&self, text: &str) {
        self.in_use.set(0.0);
        if std::fs::read_to_string(&self.path).is_ok_and(|kept| kept == text) {
            return;
        }
        if let Err(why) = save(&self.path, text.as_bytes()) {
            tracing::error!(target: "dunlin", "the last good configuration {} cannot be kept: {why}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_it_is_used_shows() {
        let folder = std::env::temp_dir().join(format!("dunlin-last-good-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let metrics = Metrics::new();
        let last_good = LastGood::new(&folder.join("kept"), &metrics);
        let shows = |line: &str| assert!(metrics.render().contains(line), "{line}\n{}", metrics.render());
        assert!(last_good.instead_of(Path::new("Corefile"), "broken").is_err());
        last_good.keep(". {\n    whoami\n}\n");
        shows("dunlin_last_good_corefile_in_use 0");
        assert_eq!(last_good.instead_of(Path::new("Corefile"), "broken").unwrap().blocks.len(), 1);
        shows("dunlin_last_good_corefile_in_use 1");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
