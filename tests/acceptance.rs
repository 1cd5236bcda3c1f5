//! Which Corefiles start: CoreDNS's recorded verdicts (tests/data/acceptance) on right and wrong uses of every option,
//! and dunlin's, which is another only where the list says why.

mod support;

use dunlin::{corefile, server};
use std::collections::{BTreeMap, BTreeSet};
use support::{Scratch, read, say};

const VERDICTS: &str = "tests/data/acceptance/verdicts.txt";

#[tokio::test]
async fn what_coredns_accepts_is_accepted() {
    let scratch = Scratch::new();
    scratch.write("zone", "$ORIGIN example.org.\n$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
    scratch.write("hosts", "192.0.2.1 a.example.org\n");
    scratch.write("resolv.conf", "search a.example\nnameserver 192.0.2.53\n");
    std::fs::create_dir(scratch.path().join("zones")).expect("a folder");
    // Relative names in the Corefiles are of this folder.
    std::env::set_current_dir(scratch.path()).expect("the folder");
    let (mut counted, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let verdicts = read(VERDICTS);
    for row in verdicts.lines().filter(|line| !line.starts_with('#')) {
        let (verdict, lines) = row.split_once('\t').expect("a verdict and lines");
        let (theirs, on_purpose) = verdict.split_once(' ').map_or((verdict, false), |(theirs, _)| (theirs, true));
        let text = format!(".:5301 {{\n{}\n}}\n", lines.replace('\t', "\n"));
        let errors = match corefile::parse("Corefile".as_ref(), &text, &|_| None) {
            Ok(corefile) => server::set_up(&corefile).errors,
            Err(error) => vec![error],
        };
        // An operator is told the place of each.
        let placed = errors.iter().all(|error| error.span.as_ref().is_some_and(|span| span.line >= 1));
        if (theirs == "accepted") != (errors.is_empty() != on_purpose) || !placed {
            wrong.push(format!("{verdict}: {}\n  ours: {errors:?}", lines.replace('\t', " | ")));
        }
        *counted.entry(verdict).or_default() += 1;
    }
    say(format!("acceptance: {counted:?}, wrong {}", wrong.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every plugin that CoreDNS has too is among them, but those whose verdict hangs on files of the machine.
#[test]
fn every_plugin_has_verdicts() {
    let verdicts = read(VERDICTS);
    let seen: BTreeSet<&str> = verdicts
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').nth(1)?.split(' ').next())
        .collect();
    let missing: Vec<_> = dunlin::plugins::directives().into_iter().filter(|name| !seen.contains(name)).collect();
    assert_eq!(missing, ["autopath", "nodata", "proxy", "shadow", "status", "tls"]);
}
