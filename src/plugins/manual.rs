//! The manual is the heads of the plugins' files: this holds them to their form and their examples to the syntax.

use super::ORDER;
use crate::corefile;
use crate::plugin::Definition;
use std::fs;
use std::path::{Path, PathBuf};

const SECTIONS: &[&str] = &["# Description", "# Syntax", "# Examples", "# Metrics", "# See also"];

/// The file of a plugin: `NAME.rs` or `NAME/mod.rs`.
fn file(directive: &str) -> PathBuf {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plugins");
    // `loop` is a word of Rust.
    let name = if directive == "loop" { "loop_detection" } else { directive };
    let single = room.join(format!("{name}.rs"));
    if single.exists() { single } else { room.join(name).join("mod.rs") }
}

/// The directives with a manual: all but `proxy`, which only says what became of it.
fn with_manual() -> impl Iterator<Item = &'static Definition> {
    ORDER.iter().copied().filter(|definition| definition.directive != "proxy")
}

/// The head of a plugin's file, its comment marks removed.
fn head(directive: &str) -> String {
    let text = fs::read_to_string(file(directive)).unwrap_or_else(|error| panic!("{directive}: {error}"));
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The examples of a head: what stands between the marks of Corefile blocks.
fn examples(head: &str) -> Vec<&str> {
    let behind_marks = head.split("```corefile\n").skip(1);
    behind_marks.map(|rest| rest.split("\n```").next().unwrap_or_default()).collect()
}

#[test]
fn every_manual_has_its_sections_in_order() {
    for definition in with_manual() {
        let head = head(definition.directive);
        let titles: Vec<_> = head.lines().filter(|line| line.starts_with("# ")).collect();
        let titles: Vec<_> = titles.into_iter().filter(|title| SECTIONS.contains(title)).collect();
        assert_eq!(titles, SECTIONS, "{}", definition.directive);
    }
}

#[test]
fn every_metric_is_in_its_manual() {
    for definition in with_manual() {
        let head = head(definition.directive);
        for metric in definition.metrics {
            assert!(head.contains(metric.name), "{}: {}", definition.directive, metric.name);
        }
    }
}

#[test]
fn every_example_parses_and_shows_its_directive() {
    for definition in with_manual() {
        let name = definition.directive;
        let head = head(name);
        let examples = examples(&head);
        assert!(!examples.is_empty(), "{name}: no example");
        for example in examples {
            let file = corefile::parse(Path::new(name), &format!("{example}\n"), &|_| None)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{example}"));
            let mut directives = file.blocks.iter().flat_map(|block| &block.directives);
            assert!(directives.any(|directive| directive.name.text == name), "{name} is not in\n{example}");
        }
    }
}
