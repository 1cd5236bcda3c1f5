//! What manifest files hold, read again where they have changed.

use super::super::Object;
use super::super::decode::manifest;
use super::super::selector::Labels;
use super::Selection;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The configured paths and the last good state of each file found there.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    pub(super) selection: Selection,
    known: BTreeMap<PathBuf, File>,
    /// Configured paths that could not be looked at.
    missing: BTreeMap<PathBuf, String>,
}

/// A file as it was last read.
#[derive(Default)]
struct File {
    mark: Mark,
    objects: Vec<Object>,
    fault: Option<String>,
}

/// What changes when a file does: device, inode, size, modification and change time (seconds, nanoseconds).
type Mark = (u64, u64, u64, (i64, i64), (i64, i64));

/// Manifests and their marks; an error for a link that leads nowhere.
type Found = BTreeMap<PathBuf, io::Result<Mark>>;

impl Files {
    pub(super) fn new(paths: &[PathBuf], selection: Selection) -> Files {
        Files { paths: paths.to_vec(), selection, known: BTreeMap::new(), missing: BTreeMap::new() }
    }

    /// The configured paths.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The objects, file by file in order of their paths.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.known.values().flat_map(|file| &file.objects)
    }

    /// What is wrong at present.
    pub(super) fn faults(&self) -> impl Iterator<Item = &str> {
        let of_files = self.known.values().filter_map(|file| file.fault.as_deref());
        self.missing.values().map(String::as_str).chain(of_files)
    }

    /// Reads what is new or changed and forgets what is gone. Returns whether any object is different.
    pub(super) fn refresh(&mut self) -> bool {
        let found = self.look();
        let held: usize = self.known.values().map(|file| file.objects.len()).sum();
        self.known.retain(|path, _| found.contains_key(path));
        let kept: usize = self.known.values().map(|file| file.objects.len()).sum();
        let mut is_different = kept != held;
        for (path, mark) in found {
            is_different |= self.read(path, mark);
        }
        is_different
    }

    /// The manifests at the configured paths. Where one cannot be looked at, those known there: a directory that is being
    /// replaced is no order to forget what it held.
    fn look(&mut self) -> Found {
        let mut found = Found::new();
        self.missing.clear();
        for root in &self.paths {
            match manifests_at(root) {
                Ok(files) => found.extend(files),
                Err(error) => {
                    self.missing.insert(root.clone(), format!("{}: {error}", root.display()));
                    let is_there = |path: &Path| path == root || path.parent() == Some(root);
                    let known = self.known.iter().filter(|(path, _)| is_there(path));
                    found.extend(known.map(|(path, file)| (path.clone(), Ok(file.mark))));
                }
            }
        }
        found
    }

    /// Reads a file unless it is as it was. Returns whether its objects are different.
    fn read(&mut self, path: PathBuf, mark: io::Result<Mark>) -> bool {
        let name = path.display().to_string();
        let text = match (&mark, self.known.get(&path)) {
            (Ok(mark), Some(file)) if *mark == file.mark => return false,
            (Ok(_), _) => fs::read_to_string(&path).map_err(|error| format!("{name}: {error}")),
            (Err(error), _) => Err(format!("{name}: {error}")),
        };
        let wanted = |kind, labels: &Labels| self.selection.wants(kind, labels);
        let objects = text.and_then(|text| manifest::objects(&name, &text, &wanted));
        let file = self.known.entry(path).or_default();
        file.mark = mark.unwrap_or_default();
        file.fault = objects.as_ref().err().cloned();
        // What cannot be read leaves what the file last held.
        objects.is_ok_and(|objects| std::mem::replace(&mut file.objects, objects) != file.objects)
    }
}

/// The manifests at a path: the file itself, or a directory's `*.yaml`, `*.yml` and `*.json`, through symbolic links.
fn manifests_at(root: &Path) -> io::Result<Found> {
    let metadata = fs::metadata(root)?;
    if !metadata.is_dir() {
        return Ok(Found::from([(root.to_owned(), Ok(mark(&metadata)))]));
    }
    let mut files = Found::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if !path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|one| extension == *one)) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) => drop(files.insert(path, Ok(mark(&metadata)))),
            // Gone since the directory was read, unless it is a link.
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() => {}
            Err(error) => drop(files.insert(path, Err(error))),
        }
    }
    Ok(files)
}

fn mark(metadata: &Metadata) -> Mark {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}
