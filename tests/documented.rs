//! The commands that the pages give, run: `dunlin`, `dig`, and of `kubectl` what needs no node. What is run by another
//! test says by which.

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::controlplane::{self, ControlPlane};
use support::{Scratch, free_port, read, repository, say, wait_until};

const PAGES: [&str; 6] = [
    "docs/how-to-switch.md",
    "README.md",
    "docs/operations.md",
    "docs/troubleshooting.md",
    "docs/status.md",
    "deploy/README.md",
];
/// What may begin a command.
const PROGRAMS: [&str; 8] = ["dunlin", "kubectl", "dig", "helm", "docker", "skopeo", "cargo", "deploy/image"];
/// What stands for the reader's own.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("REGISTRY", "registry.example"),
    ("NAME", "kubernetes.default.svc.cluster.local"),
    ("TYPE", "A"),
    (" [--client IP]", " --client 10.244.0.7"),
];
/// Who runs the commands that begin so, and what of them stands there.
const ELSEWHERE: [(&str, &str, &str); 8] = [
    ("cargo run --release", "tests/readme/run", "Try it"),
    ("cargo test --release --test ", "tests/run", "cargo test --release"),
    ("deploy/image", "tests/image/run", "deploy/image"),
    ("helm ", "tests/deploy/chart", "release upgrade"),
    ("kubectl -n kube-system rollout ", "tests/node/run", "rollout"),
    ("kubectl -n kube-system logs ", "tests/node/run", "logs"),
    ("kubectl -n kube-system wait ", "tests/node/run", "wait"),
    ("kubectl -n kube-system exec ", "tests/node/run", "exec"),
];
/// What needs more than this machine: a registry, a running docker, somebody else's resolver, a pod to reach.
const NOWHERE: [&str; 7] = [
    "docker build ",
    "docker push ",
    "skopeo copy ",
    "dig @UPSTREAM ",
    "dig @POD-ADDRESS ",
    "kubectl port-forward ",
    "kubectl -n kube-system port-forward ",
];

/// A page's commands, in its order: those of its blocks, and those that stand in its lines.
fn commands(page: &str) -> Vec<String> {
    let is_command = |text: &str| {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        PROGRAMS.contains(&first) && (rest.contains(' ') || first == "deploy/image")
    };
    let (mut commands, mut is_block, mut open) = (Vec::new(), false, String::new());
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            open += line;
            // A quoted argument may go on.
            if open.matches('\'').count() % 2 == 1 {
                open += "\n";
                continue;
            }
            commands.extend(Some(std::mem::take(&mut open)).filter(|text| is_command(text)));
        } else {
            let code = line.split('`').skip(1).step_by(2);
            commands.extend(code.filter(|text| is_command(text)).map(str::to_owned));
        }
    }
    commands
}

/// An operator's desk: a folder with the repository's `deploy`, and a cluster that `deploy` has been applied to.
struct Desk {
    folder: Scratch,
    port: u16,
    kubeconfig: String,
}

impl Desk {
    fn new(control: &ControlPlane) -> Desk {
        let folder = Scratch::new();
        std::os::unix::fs::symlink(repository("deploy"), folder.path().join("deploy")).expect("a link");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dunlin"), folder.path().join("dunlin")).expect("a link");
        let kubeconfig = control.kubeconfig().display().to_string();
        Desk { folder, port: free_port(), kubeconfig }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        let tools = repository("tests/tools/environment");
        let line = format!(". {}; PATH=$PWD:$PATH; {line}", tools.display());
        command.args(["-c", &line]).current_dir(self.folder.path()).env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end: an error says what it printed.
    fn run(&self, line: &str) -> Result<String, String> {
        let output = self.command(line).output().expect("bash runs");
        let text = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
        if output.status.success() { Ok(text) } else { Err(format!("{line}: {}\n{text}", output.status)) }
    }

    /// What a reader makes of a command: their own names, a port that is free here.
    fn made_ours(&self, command: &str) -> String {
        let ours = PLACEHOLDERS.iter().fold(command.to_owned(), |line, (theirs, ours)| line.replace(theirs, ours));
        ours.replace("1053", &self.port.to_string())
    }

    /// Does to the copy of the Corefile what how-to-switch.md says, once it and the cluster have been taken.
    fn edit_corefile(&self) {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name));
        let (Ok(corefile), Ok(_)) = (read("Corefile"), read("cluster.yaml")) else { return };
        if corefile.contains("manifests") {
            return;
        }
        let edited = corefile.replace("pods insecure", "pods insecure\n        manifests cluster.yaml");
        let edited = edited.replace(".:53 ", &format!(".:{} ", self.port));
        // The one other port that a start cannot do without: another test may have it.
        let edited = edited.replace("health {", &format!("health 127.0.0.1:{} {{", free_port()));
        assert!(edited.contains("manifests cluster.yaml") && edited.contains(&self.port.to_string()), "{corefile}");
        self.folder.write("Corefile", &edited);
    }
}

/// A server that a page starts; it ends with the value.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_pages_is_run() {
    let Some(control) = controlplane::start("the commands of the pages") else { return };
    let desk = Desk::new(&control);
    // The cluster of the reader: CoreDNS's arrangement under the names that it has.
    desk.run("kubectl apply -k deploy").expect("the stock arrangement");
    let (mut server, mut wrong, mut counts) = (None, Vec::new(), BTreeMap::<&str, usize>::new());
    for page in PAGES {
        for command in commands(&read(page)) {
            let mut count = |what| *counts.entry(what).or_default() += 1;
            if let Some((_, file, word)) = ELSEWHERE.iter().find(|(prefix, ..)| command.starts_with(prefix)) {
                assert!(read(file).contains(word), "{page}: {command}: {file} runs no {word}");
                count("elsewhere");
                continue;
            }
            if NOWHERE.iter().any(|prefix| command.starts_with(prefix)) {
                count("nowhere");
                continue;
            }
            let ours = desk.made_ours(&command);
            if ours.starts_with("dunlin -conf ") {
                server = Some(Served(desk.command(&format!("exec {ours}")).spawn().expect("bash runs")));
                let question = format!(
                    "dig +short +time=1 +tries=1 @127.0.0.1 -p {} kubernetes.default.svc.cluster.local",
                    desk.port
                );
                let serves =
                    wait_until(Duration::from_secs(20), || desk.run(&question).is_ok_and(|text| text == "10.96.0.1\n"));
                wrong.extend((!serves).then(|| format!("{page}: {ours} does not serve")));
            } else if let Err(why) = desk.run(&ours) {
                wrong.push(format!("{page}: {why}"));
            }
            desk.edit_corefile();
            count("run");
        }
    }
    assert!(server.is_some(), "no page runs dunlin");
    say(format!("commands of the pages: {counts:?}"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counts["run"] > 15, "{counts:?}");
}

#[test]
fn commands_are_found_in_blocks_and_lines() {
    let page = "Say `dig @A b` or `x y`.\n```\nkubectl patch --patch '{\n  \"a\": 1}'\nsecurity: {}\n```\n`dunlin`, then `deploy/image`.\n";
    assert_eq!(commands(page), ["dig @A b", "kubectl patch --patch '{\n  \"a\": 1}'", "deploy/image"]);
}
