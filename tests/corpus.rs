//! The fuzzers' corpus, replayed: what they once found must stay right. fuzz/README.md says how it is made.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let files = fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for file in files.map(|file| file.expect("a file").path()) {
            let octets = fs::read(&file).expect("octets");
            let held = std::panic::catch_unwind(|| target(&octets));
            assert!(held.is_ok(), "{} breaks {name}", file.display());
            count += 1;
        }
        println!("{name}: {count} inputs");
        assert!(count >= 20, "{name}: a corpus of {count} inputs is none");
    }
}

/// A replay that could not fail would prove nothing: a target sees what is wrong.
#[test]
fn a_target_complains() {
    let held = std::panic::catch_unwind(|| targets::manifests(b"kind: [Service"));
    assert!(held.is_ok(), "bad YAML is an error of the right form, not a panic");
    assert_eq!(
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets")).expect("targets").count(),
        targets::ALL.len()
    );
}
