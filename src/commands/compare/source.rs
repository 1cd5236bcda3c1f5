//! Where the names come from: a file, manifests, an API server.

use super::{Question, names};
use crate::cluster::{self, Details, First, Key, Kind, Object, Options, Sink};
use crate::metrics::Metrics;
use crate::wire::{Name, RecordType};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an API server has for its lists.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often we look whether they are there.
const POLL: Duration = Duration::from_millis(50);

pub(super) enum Source {
    /// A file of `NAME [TYPE]`, a line each; A where no type stands.
    Names(PathBuf),
    /// A manifest file or a directory of them.
    Manifests(PathBuf),
    /// The cluster around us, or that of a kubeconfig file.
    Cluster(Option<PathBuf>),
}

impl Source {
    /// The questions, in no order.
    ///
    /// # Errors
    /// What cannot be read, with its file and line; or an API server that has nothing to say.
    pub(super) async fn questions(&self, zone: &Name) -> Result<Vec<Question>, String> {
        let source = match self {
            Source::Names(path) => {
                let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
                return lines(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()));
            }
            Source::Manifests(path) => cluster::Source::Manifests(vec![path.clone()]),
            Source::Cluster(None) => cluster::Source::InCluster,
            Source::Cluster(Some(path)) => cluster::Source::Kubeconfig(path.clone(), None),
        };
        Ok(names::implied(&objects(source).await?, zone))
    }
}

fn lines(text: &str) -> Result<Vec<Question>, (usize, String)> {
    let mut questions = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let (name, qtype) = match words[..] {
            [] => continue,
            [name] => (name, "A"),
            [name, qtype] => (name, qtype),
            _ => return Err((index + 1, "a name and at most one type are expected".into())),
        };
        let name = Name::from_text(name).map_err(|why| (index + 1, format!("'{name}': {why}")))?;
        let known = RecordType::from_mnemonic(qtype);
        questions.push((name, known.ok_or_else(|| (index + 1, format!("'{qtype}' is no record type")))?));
    }
    Ok(questions)
}

/// All objects, once.
async fn objects(source: cluster::Source) -> Result<Vec<Object>, String> {
    let options = Options {
        source,
        labels: String::new(),
        namespace_labels: String::new(),
        endpoints: true,
        pods: true,
        imports: false,
        details: Details::ALL,
    };
    let collected = Arc::new(Collected::default());
    let feed = cluster::start(options, Arc::clone(&collected) as Arc<dyn Sink>, First::AtOnce, &Metrics::new())?;
    let began = Instant::now();
    while !feed.is_synced() {
        if began.elapsed() > PATIENCE {
            return Err(format!("the API server has not listed everything within {} s", PATIENCE.as_secs()));
        }
        sleep(POLL).await;
    }
    drop(feed);
    Ok(std::mem::take(&mut *collected.0.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// What was listed. What is deleted meanwhile is asked for as well: both servers should know.
#[derive(Default)]
struct Collected(Mutex<Vec<Object>>);

impl Sink for Collected {
    fn list_begins(&self, _: Kind) {}
    fn apply(&self, object: Object) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    }
    fn delete(&self, _: Kind, _: &Key) {}
    fn list_breaks(&self, _: Kind) {}
    fn list_ends(&self, _: Kind) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_names_is_read() {
        let read = lines("# all\nweb.test\n\nWEB.test AAAA # six\n").unwrap();
        let read: Vec<_> = read.iter().map(|(name, qtype)| format!("{name} {qtype}")).collect();
        assert_eq!(read, ["web.test. A", "web.test. AAAA"]);
        assert_eq!(lines("a\nb NOTYPE").unwrap_err(), (2, "'NOTYPE' is no record type".into()));
        assert_eq!(lines("a A B").unwrap_err().0, 1);
        assert_eq!(lines("a..b").unwrap_err(), (1, "'a..b': a label is empty".into()));
    }
}
