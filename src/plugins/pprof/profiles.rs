//! The profiles themselves, each as pprof's gzipped protocol buffer.

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::ProfilerGuardBuilder;
use pprof::protos::{Function, Line, Location, Message, Profile, Sample, ValueType};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Samples a second of CPU time; no divisor of what timers tick by.
const FREQUENCY: i32 = 99;
/// What must not be interrupted while it holds a lock that unwinding needs.
const BLOCKED: &[&str] = &["libc.so", "libgcc", "libpthread", "vdso"];

/// Where CPU time is spent for so long. Waits for as long.
///
/// # Errors
/// What the system or the unwinder says.
pub(super) fn cpu(duration: Duration) -> Result<Vec<u8>, String> {
    let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(BLOCKED).build();
    let guard = guard.map_err(|why| why.to_string())?;
    std::thread::sleep(duration);
    let profile = guard.report().build().and_then(|report| report.pprof());
    zip(&profile.map_err(|why| why.to_string())?)
}

/// Resident memory by what is mapped there.
///
/// # Errors
/// What the system says.
pub(super) fn memory() -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string("/proc/self/smaps").map_err(|why| format!("/proc/self/smaps: {why}"))?;
    zip(&counted(&resident(&text), "inuse_space", "bytes"))
}

/// Octets of each kind of mapping, from the text of smaps: a line for the mapping, then lines of its numbers.
fn resident(text: &str) -> BTreeMap<String, i64> {
    let mut sizes = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["Rss:", kilobytes, "kB"] => {
                let octets = kilobytes.parse::<i64>().unwrap_or(0) * 1024;
                *sizes.entry(name.clone()).or_default() += octets;
            }
            [range, _, _, _, _, rest @ ..] if range.contains('-') => {
                name = match rest.first() {
                    None => "anonymous memory (the allocator's, and stacks of threads)".to_owned(),
                    Some(&"[heap]") => "[heap] (the C library's)".to_owned(),
                    Some(&"[stack]") => "[stack] (the first thread's)".to_owned(),
                    Some(name) => (*name).to_owned(),
                };
            }
            _ => {}
        }
    }
    sizes.retain(|_, octets| *octets > 0);
    sizes
}

/// Threads by their names, numbers at their ends left out.
///
/// # Errors
/// What the system says.
pub(super) fn threads() -> Result<Vec<u8>, String> {
    let mut counts = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").map_err(|why| format!("/proc/self/task: {why}"))? {
        // A thread that has ended meanwhile has no name.
        let Some(name) = thread.ok().and_then(|thread| std::fs::read_to_string(thread.path().join("comm")).ok()) else {
            continue;
        };
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
        *counts.entry(name).or_default() += 1;
    }
    zip(&counted(&counts, "threadcreate", "count"))
}

/// A profile of one sample a name.
fn counted(values: &BTreeMap<String, i64>, kind: &str, unit: &str) -> Profile {
    let mut profile =
        Profile { string_table: vec![String::new(), kind.to_owned(), unit.to_owned()], ..Profile::default() };
    profile.sample_type = vec![ValueType { ty: 1, unit: 2 }];
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    profile.time_nanos = now.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    for (id, (name, value)) in (1..).zip(values) {
        let string = profile.string_table.len() as i64;
        profile.string_table.push(name.clone());
        profile.function.push(Function { id, name: string, system_name: string, ..Function::default() });
        let line = vec![Line { function_id: id, ..Line::default() }];
        profile.location.push(Location { id, line, ..Location::default() });
        profile.sample.push(Sample { location_id: vec![id], value: vec![*value], ..Sample::default() });
    }
    profile
}

fn zip(profile: &Profile) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    profile.encode(&mut octets).map_err(|why| why.to_string())?;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(&octets).and_then(|()| zipped.finish()).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_a_name_are_added_up() {
        let text = "5500-5600 r-xp 00001000 fd:01 42   /usr/bin/dunlin\nSize:  8 kB\nRss:   4 kB\n\
                    5600-5700 r--p 00002000 fd:01 42   /usr/bin/dunlin\nRss:   8 kB\n\
                    7000-7100 rw-p 00000000 00:00 0 \nRss:  100 kB\nVmFlags: rd wr\n7200-7300 rw-p 00000000 00:00 0 [heap]\nRss: 0 kB\n";
        let sizes: Vec<_> = resident(text).into_iter().collect();
        assert_eq!(sizes[0], ("/usr/bin/dunlin".to_owned(), 12 << 10));
        assert_eq!((sizes.len(), sizes[1].1), (2, 100 << 10));
        assert!(sizes[1].0.starts_with("anonymous memory"));
    }
}
