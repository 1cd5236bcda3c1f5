//! CoreDNS's recorded answers: 948 questions with each of 12 configurations (tests/data/conformance).
//!
//! Every answer must equal the recorded one, or differ as deliberate.txt lists it; and what it lists must occur.

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use support::recorded::{Deliberate, Tally, Variant, variants};
use support::{Scratch, Start, Upstream, controlplane, repository, say};

#[test]
fn the_recorded_answers_from_manifests() {
    let upstream = Upstream::start();
    let deliberate = Deliberate::load();
    let manifests = Scratch::new();
    for file in ["cluster.yaml", "kubernetes-service.yaml", "kubernetes-endpoints.yaml"] {
        manifests.write(file, &support::read(&format!("tests/data/conformance/{file}")));
    }
    let names = Mutex::new(variants());
    let tallies = Mutex::new(Vec::new());
    // Two at a time: the machine is shared.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = names.lock().expect("no panic").pop() else { return };
                    let mut variant = Variant::load(&name);
                    variant.corefile = variant.corefile.replace("kubeconfig {$KUBECONFIG}", "manifests {$MANIFESTS}");
                    let start = Start::corefile(&variant.corefile)
                        .set("MANIFESTS", manifests.path().display())
                        .set("UPSTREAM", upstream.address);
                    let answers = match start.try_run() {
                        Ok(dunlin) => dunlin.client().ask_all(&variant.questions()),
                        Err(why) => vec![Err(why); variant.recorded.len()],
                    };
                    let tally = Tally::of(&variant, &deliberate, answers);
                    tallies.lock().expect("no panic").push((name, tally));
                }
            });
        }
    });
    let tallies = tallies.into_inner().expect("no panic");
    assert_eq!(tallies.len(), 12);
    report(&tallies);
    let met: BTreeSet<String> = tallies.iter().flat_map(|(_, tally)| tally.lines.iter().cloned()).collect();
    let unmet: Vec<_> = deliberate.lines().difference(&met).cloned().collect();
    assert!(unmet.is_empty(), "listed in deliberate.txt, but it does not occur: {unmet:#?}");
}

#[test]
fn the_recorded_answers_from_an_api_server() {
    let Some(control) = controlplane::start("conformance over an API server") else { return };
    control.load("tests/data/conformance/cluster.yaml");
    let upstream = Upstream::start();
    let deliberate = Deliberate::load();
    let mut tallies = Vec::new();
    for name in ["stock", "verified", "labels", "namespace-labels"] {
        let variant = Variant::load(name);
        let start = Start::corefile(&variant.corefile)
            .set("KUBECONFIG", control.kubeconfig().display())
            .set("UPSTREAM", upstream.address);
        let answers = start.run().client().ask_all(&variant.questions());
        tallies.push((format!("{name} (API server)"), Tally::of(&variant, &deliberate, answers)));
    }
    report(&tallies);
}

/// Prints the counts and fails if anything is wrong.
fn report(tallies: &[(String, Tally)]) {
    let (mut equal, mut listed, mut wrong) = (0, 0, 0);
    for (name, tally) in tallies {
        say(format!(
            "{name}: equal {}, deliberate {}, wrong {}",
            tally.equal,
            tally.deliberate_total(),
            tally.wrong.len()
        ));
        tally.wrong.iter().take(15).for_each(|line| say(format!("    wrong: {line}")));
        equal += tally.equal;
        listed += tally.deliberate_total();
        wrong += tally.wrong.len();
    }
    say(format!("conformance: equal {equal}, deliberate {listed}, wrong {wrong}"));
    assert_eq!(wrong, 0, "wrong answers");
}

#[test]
fn the_data_is_whole() {
    let names = variants();
    assert_eq!(names.len(), 12);
    let questions = support::read("tests/data/conformance/questions.txt").lines().count();
    assert_eq!(questions, 948);
    for name in names {
        assert_eq!(Variant::load(&name).questions().len(), questions, "{name}");
    }
    assert!(repository("tests/data/conformance/deliberate.txt").exists());
}

/// Every listed difference speaks of at least one recorded answer, whatever the server does.
#[test]
fn every_listed_difference_has_a_recorded_answer() {
    let deliberate = Deliberate::load();
    let mut met = BTreeSet::new();
    for name in variants() {
        let variant = Variant::load(&name);
        met.extend(
            variant.recorded.iter().filter_map(|recorded| deliberate.difference(&variant, recorded)).map(|d| d.line),
        );
    }
    let unmet: Vec<_> = deliberate.lines().difference(&met).cloned().collect();
    assert!(unmet.is_empty(), "{unmet:#?}");
}
