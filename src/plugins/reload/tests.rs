//! Which changes are told, how often, and the limits of the options.

use super::*;
use crate::plugins::testing::Bench;
use std::fs;
use std::path::PathBuf;

const FIRST: &str = ". {\n    reload 2s\n}\n";
const SECOND: &str = ". {\n    reload 2s\n    whoami\n}\n";

/// A directory of the test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("dunlin-reload-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn corefile(&self, text: &str) -> PathBuf {
        let path = self.0.join("Corefile");
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn parse(text: &str) -> Result<Corefile, Error> {
    corefile::parse(Path::new("Corefile"), text, &|_| None)
}

fn look(running: &str) -> Look {
    Look { path: Path::new("Corefile").into(), running: running.into(), seen: running.into(), said: String::new() }
}

#[test]
fn each_new_content_is_told_once() {
    let mut look = look(&parse(FIRST).unwrap().digest);
    assert!(!look.is_new(parse(FIRST)), "what runs");
    assert!(look.is_new(parse(SECOND)), "new");
    assert!(!look.is_new(parse(SECOND)), "told already; if it failed it is not tried again");
    assert!(!look.is_new(parse(". {\n    reload 2s  # blank\n    whoami\n}\n")), "blanks and comments");
    assert!(!look.is_new(parse(FIRST)), "back to what runs");
    assert!(look.is_new(parse(SECOND)), "and changed again");
    assert!(look.is_new(parse(". {\n\n    reload 2s\n    whoami\n}\n")), "lines count");
}

#[test]
fn a_broken_file_is_said_once_and_not_run() {
    let mut look = look(&parse(FIRST).unwrap().digest);
    for _ in 0..2 {
        assert!(!look.is_new(parse(". {\n    reload\n")));
        assert!(look.said.contains("Corefile:"), "{}", look.said);
    }
    assert!(look.is_new(parse(SECOND)));
    assert!(look.said.is_empty());
}

#[tokio::test]
async fn a_swapped_file_is_told_before_the_interval_is_over() {
    let place = Place::new("swap");
    let path = place.corefile(FIRST);
    let bench = Bench::running(&path);
    let file = corefile::load(&path).unwrap();
    bench.with_setup(&file.blocks[0].directives, setup).unwrap();
    bench.serving();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fs::write(place.0.join("next"), SECOND).unwrap();
    fs::rename(place.0.join("next"), &path).unwrap();
    let mut commands = bench.commands();
    let told = tokio::time::timeout(Duration::from_secs(10), commands.recv()).await;
    assert_eq!(told.unwrap(), Some(Command::Reload));
    let again = tokio::time::timeout(Duration::from_secs(4), commands.recv()).await;
    assert!(again.is_err(), "told once");
    assert!(
        bench
            .metrics
            .render()
            .contains(&format!("coredns_reload_version_info{{hash=\"sha512\",value=\"{}\"}} 1", file.digest))
    );
}

#[tokio::test]
async fn a_file_changed_between_reading_and_set_up_is_told() {
    let place = Place::new("race");
    let path = place.corefile(SECOND);
    let bench = Bench::running(&path);
    let read_before = parse(FIRST).unwrap();
    bench.with_setup(&read_before.blocks[0].directives, setup).unwrap();
    bench.serving();
    let mut commands = bench.commands();
    let told = tokio::time::timeout(Duration::from_secs(10), commands.recv()).await;
    assert_eq!(told.unwrap(), Some(Command::Reload));
}

#[test]
fn one_watch_a_process_and_none_without_a_file() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "reload").unwrap();
    assert!(bench.done().process.lifecycles.is_empty());
    let place = Place::new("once");
    let bench = Bench::running(&place.corefile(FIRST));
    bench.set_up(&DEFINITION, "reload").unwrap();
    bench.set_up(&DEFINITION, "reload 10s").unwrap();
    assert_eq!(bench.done().process.lifecycles.len(), 1);
}

#[test]
fn failures_are_counted() {
    let metrics = Metrics::new();
    count_failure(&metrics);
    assert!(metrics.render().contains("coredns_reload_failed_total 1"));
}

#[test]
fn the_period_stays_within_the_jitter() {
    let seconds = Duration::from_secs;
    for (interval, jitter, least, most) in [
        (seconds(30), seconds(15), 22.5, 37.5),
        (seconds(10), seconds(100), 7.5, 12.5),
        (seconds(2), seconds(0), 2.0, 2.0),
    ] {
        for _ in 0..200 {
            let period = period(interval, jitter).as_secs_f64();
            assert!((least..=most).contains(&period), "{interval:?} {jitter:?}: {period}");
        }
    }
    let periods: std::collections::HashSet<_> = (0..10).map(|_| period(INTERVAL, JITTER)).collect();
    assert!(periods.len() > 1, "replicas differ");
}

#[test]
fn options() {
    for lines in ["reload", "reload 2s", "reload 10s 0", "reload 10s 0s", "reload 1m 1s", "reload 2s 1h"] {
        Bench::new().set_up(&DEFINITION, lines).unwrap();
    }
    Bench::errors(
        &DEFINITION,
        &[
            ("reload 1s", "interval value must be greater or equal to 2s"),
            ("reload 10s 500ms", "jitter value must be greater or equal to 1s"),
            ("reload 10", "10"),
            ("reload soon", "soon"),
            ("reload 10s 5s 1s", "expected: reload [INTERVAL [JITTER]]"),
            ("reload {\nx\n}", "unknown property 'x'"),
        ],
    );
}
