//! `check`, `migrate`, `explain` and `query` as an operator meets them: words in, text and exit code out. `compare` has
//! a file of its own.

mod support;

use std::net::UdpSocket;
use std::process::{Command, Output};
use support::tls::Authority;
use support::{Scratch, Start, repository, skip};

const CLUSTER: &str = "cluster.local.:1053 {
    kubernetes cluster.local {
        manifests @sample
    }
}
";

fn dunlin(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.args(words).env("MY_HOST_IP", "127.0.0.1");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn check_says_everything_and_ends_with_a_summary() {
    let scratch = Scratch::new();
    let good = scratch.write("good", "a.test:0 {\n    bind 127.0.0.1\n    whoami\n}\n");
    let good = good.to_str().unwrap();
    assert_eq!(dunlin(&["check", good]), (0, format!("{good}: 0 errors, 0 warnings\n"), String::new()));
    let bad = scratch.write("bad", ". {\n    federations\n    cache 0\n    nodata AAAA\n}\n");
    let bad = bad.to_str().unwrap();
    let (code, output, _) = dunlin(&["check", bad]);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((code, lines.len()), (1, 4), "{output}");
    assert!(
        output.contains(&format!("error: {bad}:2 - ")) && output.contains(&format!("error: {bad}:3 - ")),
        "{output}"
    );
    assert!(lines[2].starts_with(&format!("warning: {bad}:4 - 'nodata'")), "{output}");
    assert_eq!(lines[3], format!("{bad}: 2 errors, 1 warning"));
    let missing = scratch.path().join("missing");
    let (code, output, _) = dunlin(&["check", missing.to_str().unwrap()]);
    assert!(code == 1 && output.ends_with("missing: 1 error, 0 warnings\n"), "{output}");
}

/// Modern Corefiles come out as they went in; old ones come out without a warning about words.
#[test]
fn migrate_leaves_nothing_old() {
    let scratch = Scratch::new();
    let mut files: Vec<_> =
        std::fs::read_dir(repository("tests/data/corefiles")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "Corefile"));
    let old = ["proxy ", "upstream\n", "resyncperiod"];
    let mut changed = 0;
    files.push(repository("corefile-examples/seed.Corefile"));
    for file in &files {
        let (code, output, error) = dunlin(&["migrate", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{error}");
        let text = std::fs::read_to_string(file).unwrap();
        if error.lines().all(|line| line.contains("imported")) {
            assert_eq!(output, text, "{}", file.display());
            continue;
        }
        changed += 1;
        let new = scratch.write("Corefile", &output);
        let (_, checked, _) = dunlin(&["check", new.to_str().unwrap()]);
        for word in ["is no more", "is ignored", "does nothing"] {
            assert!(!checked.contains(word), "{}: {checked}", file.display());
        }
        assert!(old.iter().all(|word| !output.contains(word)), "{output}");
    }
    assert!(changed >= 1);
}

#[test]
fn migrate_shows_the_seed_in_modern_words() {
    let seed = repository("corefile-examples/seed.Corefile");
    let seed = seed.to_str().unwrap();
    let (code, output, error) = dunlin(&["migrate", seed]);
    let expected = std::fs::read_to_string(seed).unwrap().replace("        upstream\n", "").replace("proxy", "forward");
    assert_eq!((code, output), (0, expected));
    let changes =
        [":6: 'upstream' is left out: names are resolved by the server itself", ":10: 'proxy' is now 'forward'"];
    assert_eq!(error, changes.map(|change| format!("{seed}{change}\n")).concat());
}

#[test]
fn explain_tells_block_lane_plugin_and_answer() {
    let scratch = Scratch::new();
    let file = scratch.write("Corefile", CLUSTER);
    let file = file.to_str().unwrap();
    let (code, output, error) = dunlin(&["explain", file, "backend-service.default.svc.cluster.local", "A"]);
    assert_eq!(
        (code, output.as_str(), error.as_str()),
        (
            0,
            format!(
                "block: cluster.local. at {file}:1, on 0.0.0.0:1053 [::]:1053\nlane: fast\nanswered by: kubernetes\n\
                 object: Service default/backend-service, no EndpointSlices\n\
                 rcode: NOERROR\nflags: qr aa rd\n\
                 answer: backend-service.default.svc.cluster.local. 5 IN A 10.100.0.1\n"
            )
            .as_str(),
            ""
        )
    );
    let (_, output, _) = dunlin(&["explain", file, "www.example.org", "AAAA", "--client", "192.0.2.1"]);
    assert!(output.starts_with("block: none stands for this name") && output.contains("rcode: REFUSED\n"), "{output}");
    let bad = scratch.write("bad", ". {\n    cache 0\n}\n");
    let (code, _, error) = dunlin(&["explain", bad.to_str().unwrap(), "a.test", "A"]);
    assert!(code == 1 && error.contains("bad:2 - "), "{error}");
}

const SERVED: &str = ".:{$PORT} {
    bind 127.0.0.1
    kubernetes cluster.local {
        manifests @sample
    }
}
";

#[test]
fn query_asks_as_a_pod_would() {
    let server = Start::corefile(SERVED).run();
    let (at, port) = (format!("@127.0.0.1:{}", server.port), server.port.to_string());
    let scratch = Scratch::new();
    let search = "search default.svc.cluster.local svc.cluster.local cluster.local";
    let resolv = scratch.write("resolv.conf", &format!("{search}\nnameserver 127.0.0.1\noptions ndots:5\n"));
    let resolv = resolv.to_str().unwrap();
    for way in [&[][..], &["--tcp"]] {
        let name = "backend-service.default.svc.cluster.local";
        let (code, output, error) = dunlin(&[&["query", name, &at][..], way].concat());
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!((code, lines.len(), error.as_str()), (0, 3, ""), "{output}");
        assert_eq!(lines[0], format!("; {name}. A: NOERROR, aa"));
        assert_eq!(lines[1], format!("{name}. 5 IN A 10.100.0.1"));
        let over = if way.is_empty() { "udp" } else { "tcp" };
        assert!(lines[2].starts_with(&format!("; 127.0.0.1:{port} over {over}, ")), "{output}");
    }
    // The first server of resolv.conf; every name tried is shown.
    let (code, output, _) = dunlin(&["query", "backend-service.default", "--search", "--resolv", resolv, "-p", &port]);
    assert!(code == 0 && output.starts_with("; backend-service.default.default.svc.cluster.local. A: NXDOMAIN, aa\n"));
    assert!(output.contains("\nbackend-service.default.svc.cluster.local. 5 IN A 10.100.0.1\n"), "{output}");
    let (code, output, _) = dunlin(&["query", "gone.cluster.local", &at]);
    assert!(code == 1 && output.starts_with("; gone.cluster.local. A: NXDOMAIN, aa\n; cluster.local. "), "{output}");
    let (code, output, _) = dunlin(&["query", "backend-service.default.svc.cluster.local", "MX", &at]);
    assert!(code == 1 && output.contains(" MX: NOERROR, no record of this type, aa\n"), "{output}");
    let (code, output, _) = dunlin(&["query", "www.example.org", &at]);
    assert!(code == 3 && output.starts_with("; www.example.org. A: SERVFAIL\n"), "{output}");
}

#[test]
fn query_asks_over_tls_and_https() {
    let (authority, files) = (Authority::new(), Scratch::new());
    authority.write(&files, "dns.test");
    let ca = files.path().join("ca.pem");
    for scheme in ["tls", "https"] {
        let corefile = SERVED.replace("bind", "tls {$FILES}/cert.pem {$FILES}/key.pem\n    bind");
        let corefile = format!("{scheme}://{corefile}");
        let server = Start::corefile(&corefile).set("FILES", files.path().display()).run();
        let (at, way) = (format!("@127.0.0.1:{}", server.port), format!("--{scheme}"));
        let words = ["query", "backend-service.default.svc.cluster.local", &at, &way, "--ca", ca.to_str().unwrap()];
        let (code, output, error) = dunlin(&[&words[..], &["--server-name", "dns.test"]].concat());
        assert!(code == 0 && output.contains(" 5 IN A 10.100.0.1\n") && output.contains(&way[2..]), "{output}{error}");
        // Another name than the certificate has is no server of ours.
        let (code, _, error) = dunlin(&words);
        assert!(code == 3 && error.contains("ertificate"), "{error}");
    }
}

#[test]
fn query_says_that_nobody_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = format!("@{}", silent.local_addr().unwrap());
    let (code, output, error) = dunlin(&["query", "a.test", &at, "--timeout", "0.2"]);
    assert_eq!((code, output.as_str()), (4, ""));
    assert!(error.starts_with("a.test. A: no answer in time (127.0.0.1:"), "{error}");
}

/// One object a line, the start's lines among them; the other form is tests/signals.rs's.
#[test]
fn logs_are_json_where_asked_for() {
    let server = Start::corefile(".:{$PORT} {\n bind 127.0.0.1\n log\n whoami\n}").argument("--log-format=json").run();
    server.client().ask("a.test. A");
    server.wait_for_output("a.test.");
    for line in server.output().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        for member in ["time", "level", "target", "message"] {
            assert!(value[member].is_string(), "{line}");
        }
    }
}

#[test]
fn words_that_are_no_command_are_refused_as_ever() {
    assert_eq!(dunlin(&["serve", "x"]), (1, String::new(), "extra command line arguments: [serve x]\n".to_owned()));
    assert_eq!(dunlin(&["-quiet", "check"]).2, "extra command line arguments: [check]\n");
    let (code, _, error) = dunlin(&["check"]);
    assert_eq!((code, error.lines().last()), (2, Some("Usage: dunlin check FILE")));
    assert!(dunlin(&["-help"]).1.contains("\n  dunlin explain FILE NAME TYPE [--client IP]\n"));
}

/// Runs a program on a script that finds what `dunlin completions` printed in `$1`; nothing where the program is not
/// here.
fn in_shell(shell: &str, options: &[&str], script: &str) -> Option<String> {
    if Command::new(shell).arg("--version").output().is_err() {
        skip(&format!("completions of {shell}"), &format!("no {shell}: run tests/tools/install"));
        return None;
    }
    let scratch = Scratch::new();
    let (code, completions, _) = dunlin(&["completions", shell]);
    assert_eq!(code, 0);
    let completions = scratch.write("completions", &completions);
    let script = scratch.write("script", &script.replace("$1", completions.to_str().unwrap()));
    let output = Command::new(shell).args(options).arg(script).current_dir(repository("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash_completes_flags_commands_and_files() {
    let script = r#"
        source $1
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dunlin; echo "${COMPREPLY[@]}"; }
        try dunlin exp; try dunlin -last; try dunlin --plug; try dunlin check READ; try dunlin -conf Cargo.t
        try dunlin completions f; try dunlin explain --cl; try dunlin -p R
    "#;
    let Some(said) = in_shell("bash", &["--norc"], script) else { return };
    assert_eq!(said, "explain\n-last-good\n--plugins\nREADME.md\nCargo.toml\nfish\n--client\n\n");
}

#[test]
fn fish_completes_flags_commands_and_files() {
    let script = "source $1
        complete -C 'dunlin exp' | cut -f1; complete -C 'dunlin -last' | cut -f1; complete -C 'dunlin check READ'
        complete -C 'dunlin completions f'; complete -C 'dunlin explain --cl'";
    let Some(said) = in_shell("fish", &["--no-config"], script) else { return };
    assert_eq!(said, "explain\n-last-good\nREADME.md\nfish\n--client\n");
}

/// Without a terminal zsh has no completion: its builtins are stood in for, and what they are given is looked at.
#[test]
fn zsh_completes_commands_and_files() {
    let script = r#"
        autoload -Uz compinit; compinit -u -D
        source $1
        compadd() { shift; print -r -- "words: $*" }
        _files() { print files }
        _describe() { print -r -- ${${(P)2}%%:*} }
        _arguments() { print -r -- $# flags }
        echo ${_comps[dunlin]}
        words=(dunlin completions ''); CURRENT=3; _dunlin
        words=(dunlin check ''); CURRENT=3; _dunlin
        words=(dunlin ''); CURRENT=2; _dunlin
    "#;
    let Some(said) = in_shell("zsh", &["-f"], script) else { return };
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..4], ["_dunlin", "words: bash zsh fish", "files", "words: "], "{said}");
    assert!(lines[4].starts_with("check migrate explain"), "{said}");
    assert_eq!(lines[5], format!("{} flags", dunlin::cli::FLAGS.len()));
}

#[test]
fn the_manual_page_is_one() {
    let (code, page, _) = dunlin(&["man"]);
    assert_eq!(code, 0);
    if Command::new("mandoc").output().is_err() {
        return skip("the manual page", "no mandoc: run tests/tools/install");
    }
    let scratch = Scratch::new();
    let file = scratch.write("dunlin.8", &page);
    let Output { stdout, .. } =
        Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(file).output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    // A date would make each build's page another.
    let complaints: Vec<_> = said.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
