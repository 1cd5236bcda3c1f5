//! Every Corefile on a node of its own, and the table of what its probes said.

use super::node;
use super::probes::{FOLDER, List};
use super::support::{repository, say, skip, wait_until};
use dunlin::corefile;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// The name of the test below, by which it calls itself inside of namespaces.
const TEST: &str = "run::every_corefile_answers_its_probes";
const ROLE: &str = "DUNLIN_ROLE";
const SUBJECT: &str = "DUNLIN_SUBJECT";

/// How many nodes at a time: most of a node's life is waiting.
const NODES: usize = 4;

/// What became of a Corefile.
struct Row {
    name: String,
    directives: String,
    right: usize,
    wrong: Vec<String>,
    waits: Option<String>,
}

#[test]
fn every_corefile_answers_its_probes() {
    match std::env::var(ROLE).as_deref() {
        Ok("node") => return node::run(&subject(), role),
        Ok("upstream") => return serve(),
        _ => {}
    }
    if let Err(why) = namespaces() {
        return skip("Corefiles on nodes of their own", &why);
    }
    let names = Mutex::new(names());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..NODES {
            scope.spawn(|| {
                loop {
                    let Some(name) = names.lock().expect("no panic").pop() else { return };
                    let row = row(&name);
                    rows.lock().expect("no panic").push(row);
                }
            });
        }
    });
    report(rows.into_inner().expect("no panic"));
}

/// The Corefiles that have probes, and all must.
fn names() -> Vec<String> {
    let only = std::env::var("DUNLIN_COREFILES").unwrap_or_default();
    let mut names = Vec::new();
    for folder in ["", "more/"] {
        let entries = std::fs::read_dir(repository(FOLDER).join(folder)).expect("the Corefiles");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if path.extension().is_some_and(|extension| extension == "Corefile") {
                names.push(format!("{folder}{stem}"));
            }
        }
    }
    names.retain(|name| name.contains(&only));
    names.sort_by(|one, other| other.cmp(one));
    names
}

fn row(name: &str) -> Row {
    let list = List::load(name);
    let text = node::corefile(name, &list);
    let environment =
        |wanted: &str| list.environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let parsed = corefile::parse(Path::new("Corefile"), &text, &environment).unwrap_or_else(|why| panic!("{why}"));
    let directives: BTreeSet<&str> =
        parsed.blocks.iter().flat_map(|block| &block.directives).map(|found| found.name.text.as_str()).collect();
    let mut row = Row {
        name: name.into(),
        directives: directives.iter().copied().collect::<Vec<_>>().join(" "),
        right: 0,
        wrong: Vec::new(),
        waits: None,
    };
    let shown = list.shown();
    let unshown = directives.iter().filter(|word| !shown.contains(**word) && !list.waits.iter().any(|w| w == *word));
    row.wrong.extend(unshown.map(|word| format!("{name}: no probe shows {word}")));
    let output = inside("node", name).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("a node");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("ok", _)) => row.right += 1,
            Some(("wrong", why)) => row.wrong.push(why.into()),
            _ => {}
        }
    }
    if row.right + row.wrong.len() < list.probes.len() && row.wrong.is_empty() {
        row.wrong.push(format!("{name}: {}\n{said}", String::from_utf8_lossy(&output.stderr)));
    }
    if !list.waits.is_empty() {
        waits(&list, &mut row);
    } else if !row.wrong.is_empty() {
        let printed: Vec<_> = said.lines().filter(|line| line.starts_with("printed ")).collect();
        row.wrong.push(printed[printed.len().saturating_sub(12)..].join("\n"));
    }
    row
}

/// A Corefile that names plugins which are not there yet must be refused for their sake, and for nothing else.
fn waits(list: &List, row: &mut Row) {
    let not_yet =
        |plugin: &String| row.wrong.iter().any(|why| why.contains(&format!("{plugin}: not supported by dunlin yet")));
    row.waits = Some(list.waits.join(" "));
    row.wrong = match list.waits.iter().find(|plugin| !not_yet(plugin)) {
        None => Vec::new(),
        Some(plugin) => {
            let why = format!("{}: {plugin} is there now: take its `waits` line out", row.name);
            std::iter::once(why).chain(row.wrong.drain(..)).collect()
        }
    };
}

fn report(mut rows: Vec<Row>) {
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let right: usize = rows.iter().map(|row| row.right).sum();
    for row in &rows {
        let result = match &row.waits {
            Some(plugins) => format!("waits for {plugins}"),
            None if row.wrong.is_empty() => format!("{} probes right", row.right),
            None => format!("{} probes right, WRONG", row.right),
        };
        say(format!("{:32} {:20} {}", row.name, result, row.directives));
    }
    let waiting = rows.iter().filter(|row| row.waits.is_some()).count();
    say(format!("{} Corefiles on nodes of their own: {right} probes right, {waiting} wait for a plugin", rows.len()));
    let wrong: Vec<String> = rows.into_iter().flat_map(|row| row.wrong).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// This test again, in a network and mount namespace of its own, for at most a minute.
fn inside(role: &str, subject: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "unshare", "--net", "--mount"]);
    command.arg(std::env::current_exe().expect("our own path")).args(["--exact", TEST, "--nocapture", "--quiet"]);
    command.env(ROLE, role).env(SUBJECT, subject).stdin(Stdio::null());
    command
}

/// The same without a bound, so that its process number is that of the program: its parent ends it.
fn role(role: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net").arg(std::env::current_exe().expect("our own path"));
    command.args(["--exact", TEST, "--nocapture", "--quiet"]).env(ROLE, role);
    command
}

fn subject() -> String {
    std::env::var(SUBJECT).expect("a subject")
}

fn serve() {
    let addresses: Vec<IpAddr> = subject().split(' ').map(|ip| ip.parse().expect("an address")).collect();
    let work = PathBuf::from(std::env::var_os("DUNLIN_WORK").expect("a directory"));
    // A socket that is bound before its address has a route would answer from another.
    assert!(wait_until(Duration::from_secs(10), || work.join("go").exists()), "the network is there");
    super::upstream::serve(&addresses, &work).expect("the upstream's addresses are there");
}

fn namespaces() -> Result<(), String> {
    let runs = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    if !runs("unshare", &["--net", "--mount", "true"]) {
        return Err("this takes root, and a kernel that allows network and mount namespaces".into());
    }
    if !runs("ip", &["-V"]) { Err("no ip: run tests/tools/install".into()) } else { Ok(()) }
}
