//! The Corefiles of Kubernetes distributions and installers, as they ship: each is read without a change.
//!
//! Each file's head says where it comes from. What they import exists on their nodes only: patterns, which may match
//! nothing. What they take from the environment is `MY_HOST_IP`.

use dunlin::corefile::{self, Corefile, Directive};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/data/corefiles")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "Corefile"));
    paths.sort();
    paths
}

fn read(path: &Path) -> Corefile {
    let text = std::fs::read_to_string(path).unwrap();
    let environment = |name: &str| (name == "MY_HOST_IP").then(|| "192.0.2.7".to_owned());
    corefile::parse(path, &text, &environment).unwrap_or_else(|error| panic!("{error}"))
}

fn named(file: &str) -> Corefile {
    read(&root().join("tests/data/corefiles").join(file))
}

fn names(directives: &[Directive]) -> Vec<&str> {
    directives.iter().map(|directive| directive.name.text.as_str()).collect()
}

#[test]
fn every_shipped_corefile_is_read() {
    let paths = shipped();
    assert_eq!(paths.len(), 28);
    for path in paths {
        let corefile = read(&path);
        assert!(!corefile.blocks.is_empty(), "{}", path.display());
        for block in &corefile.blocks {
            assert!(!block.addresses.is_empty() && !block.directives.is_empty(), "{}", path.display());
        }
    }
}

/// No brace, comma or rest of an import is taken for a directive: what comes out is what these files use.
#[test]
fn their_directives_are_those_that_users_know() {
    let known = "bind bufsize cache chaos dns64 errors forward health hosts k8s_external kubernetes loadbalance local \
                 log loop nsid prometheus ready reload rewrite template whoami";
    let mut found = BTreeSet::new();
    for path in shipped() {
        let corefile = read(&path);
        found.extend(corefile.blocks.iter().flat_map(|block| names(&block.directives)).map(str::to_owned));
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>().join(" "), known);
}

#[test]
fn imports_that_match_nothing_are_warnings() {
    for (file, patterns) in [
        ("aks.Corefile", ["custom/*.override", "custom/*.server"].as_slice()),
        ("gardener.Corefile", &["custom/*.override", "custom/*.server"]),
        ("k3s.Corefile", &["/etc/coredns/custom/*.override", "/etc/coredns/custom/*.server"]),
        ("scaleway-kapsule.Corefile", &["custom/*.override"]),
        ("kubeadm.Corefile", &[]),
    ] {
        let warnings: Vec<_> = named(file).warnings.into_iter().map(|warning| warning.message).collect();
        let expected: Vec<_> = patterns.iter().map(|p| format!("No files matching import glob pattern: {p}")).collect();
        assert_eq!(warnings, expected, "{file}");
    }
}

#[test]
fn kubeadm_in_full() {
    let corefile = named("kubeadm.Corefile");
    let [block] = corefile.blocks.as_slice() else { panic!("one block") };
    let [address] = block.addresses.as_slice() else { panic!("one address") };
    assert_eq!((address.zones.as_slice(), address.port), ([".".to_owned()].as_slice(), Some(53)));
    assert_eq!(
        names(&block.directives),
        ["errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload", "loadbalance"]
    );
    let kubernetes = &block.directives[3];
    let zones: Vec<_> = kubernetes.args.iter().map(|arg| arg.text.as_str()).collect();
    assert_eq!(zones, ["cluster.local", "in-addr.arpa", "ip6.arpa"]);
    assert_eq!(names(kubernetes.options()), ["pods", "fallthrough", "ttl"]);
    assert_eq!((kubernetes.name.span.line, kubernetes.options()[2].args[0].text.as_str()), (9, "30"));
}

#[test]
fn words_that_are_easily_broken_are_whole() {
    let option = |file: &str, block: usize, directive: &str, option: usize| -> Vec<String> {
        let corefile = named(file);
        let directives = &corefile.blocks[block].directives;
        let found = directives.iter().find(|found| found.name.text == directive).unwrap();
        found.options()[option].args.iter().map(|arg| arg.text.clone()).collect()
    };
    assert_eq!(option("aks.Corefile", 0, "template", 0), [r"^(?:[^.]+\.){4,}internal\.cloudapp\.net\.$"]);
    assert_eq!(option("kubespray.Corefile", 0, "errors", 0), ["5m", ".* i/o timeout$", "warning"]);
    assert_eq!(option("kubespray.Corefile", 1, "rewrite", 0), ["regex", r"(.*)\.my\.domain", "{1}.svc.cluster.local"]);
    assert_eq!(option("minikube.Corefile", 0, "hosts", 0), ["host.minikube.internal"]);
    let prometheus = &named("kubespray-nodelocaldns.Corefile").blocks[1].directives[6];
    assert_eq!(prometheus.args[0].text, "192.0.2.7:9253");
    let zones: Vec<_> =
        named("kubespray-nodelocaldns.Corefile").blocks[1].addresses.iter().flat_map(|a| a.zones.clone()).collect();
    assert_eq!(zones, ["cluster.local.", "old.local."]);
}

/// `proxy` and `upstream` are for the plugins to refuse or to ignore: here they are words.
#[test]
fn the_seed_is_read() {
    let corefile = read(&root().join("corefile-examples/seed.Corefile"));
    assert_eq!(
        names(&corefile.blocks[0].directives),
        ["errors", "health", "kubernetes", "prometheus", "proxy", "cache", "reload"]
    );
    assert_eq!(names(corefile.blocks[0].directives[2].options()), ["pods", "upstream", "fallthrough"]);
}

/// A copy of a shipped file with what its installer puts in the place of these words.
fn filled_in(path: &Path) -> PathBuf {
    let mut text = std::fs::read_to_string(path).unwrap();
    for (word, value) in [
        ("__PILLAR__LOCAL__DNS__", "169.254.20.10"),
        ("__PILLAR__DNS__SERVER__", "10.96.0.10"),
        ("__PILLAR__CLUSTER__DNS__", "10.96.0.11"),
        ("__PILLAR__DNS__DOMAIN__", "cluster.local"),
        ("__PILLAR__UPSTREAM__SERVERS__", "192.0.2.53"),
    ] {
        text = text.replace(word, value);
    }
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path.file_name().unwrap());
    std::fs::write(&copy, text).unwrap();
    copy
}

/// A plugin that is not there yet is the one reason for which a shipped Corefile may be refused, and the message names
/// it.
#[test]
fn every_shipped_corefile_is_set_up_or_names_what_is_not_there_yet() {
    let (mut runs, mut waits) = (Vec::new(), Vec::new());
    for path in shipped() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Err(errors) = dunlin::server::check(&filled_in(&path)) else {
            runs.push(name);
            continue;
        };
        for error in &errors {
            let text = error.to_string();
            let not_there = text.contains("not supported by dunlin yet") || text.contains("not supported yet");
            // Files that only those nodes have (certificates, a cloud's resolv.conf).
            let on_the_node = text.contains("No such file");
            assert!(not_there || on_the_node, "{text}");
        }
        waits.push(format!("{name}: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
    }
    println!("{} shipped Corefiles are set up, {} name what is not there yet", runs.len(), waits.len());
    waits.iter().for_each(|line| println!("  {line}"));
    for stock in ["kubeadm.Corefile", "coredns-deployment.Corefile", "eks.Corefile", "talos.Corefile"] {
        assert!(runs.iter().any(|name| name == stock), "{stock}: {waits:?}");
    }
}
