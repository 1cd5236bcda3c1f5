//! Where the configuration comes from: a file, standard input, or the built-in quickstart.

use crate::cli::{Config, Invocation};
use crate::corefile::{self, Corefile};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What runs when there is neither `-conf` nor `./Corefile`: `cluster.local` from a sample cluster, on loopback.
const QUICKSTART: &str = include_str!("../../corefile-examples/quickstart.Corefile");
/// The sample's manifest file as the quickstart names it, and the built-in copy's name in its place.
const SAMPLE: (&str, &str) = ("quickstart-cluster.yaml", "@sample");

/// The configuration's origin.
pub(super) enum Source {
    /// A file, read again at each reload.
    File(PathBuf),
    /// Text that never changes: standard input.
    Text(PathBuf, String),
    /// The built-in sample.
    Quickstart,
}

impl Source {
    /// The source that the flags ask for.
    pub(super) fn of(invocation: &Invocation) -> Result<Source, String> {
        match &invocation.config {
            Config::File(path) if !path.is_file() => {
                Err(format!("loading Corefile via flag: open {}: no such file", path.display()))
            }
            Config::File(path) => Ok(Source::File(path.clone())),
            Config::Stdin => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|error| format!("stdin: {error}"))?;
                Ok(Source::Text("stdin".into(), text))
            }
            Config::Default => {
                let here = PathBuf::from("Corefile");
                Ok(if here.is_file() { Source::File(here) } else { Source::Quickstart })
            }
        }
    }

    /// The file, where there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Text(..) | Source::Quickstart => None,
        }
    }

    /// Whether this is the built-in sample.
    pub(super) fn is_quickstart(&self) -> bool {
        matches!(self, Source::Quickstart)
    }

    /// The configuration's text as it is now.
    pub(super) fn text(&self) -> Result<String, corefile::Error> {
        match self {
            Source::File(path) => corefile::read(path),
            Source::Text(_, text) => Ok(text.clone()),
            Source::Quickstart => Ok(QUICKSTART.replace(SAMPLE.0, SAMPLE.1)),
        }
    }

    /// Reads such a text, imports and environment included.
    pub(super) fn parse(&self, text: &str) -> Result<Corefile, corefile::Error> {
        let path = match self {
            Source::File(path) | Source::Text(path, _) => path,
            Source::Quickstart => Path::new("quickstart"),
        };
        corefile::parse(path, text, &|name| std::env::var(name).ok())
    }
}
