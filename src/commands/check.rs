//! `check FILE`: all that is wrong with a Corefile, without serving.
//!
//! Errors are what would stop a start anywhere. Warnings are the plugins' own, what CoreDNS would take differently, and
//! what only this machine lacks: a Corefile is checked on a desk and runs in a pod.

use super::{Said, usage};
use crate::corefile::{self, Corefile, Directive, Error, ServerBlock, Span};
use crate::server;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// The token of a pod's service account (Kubernetes: "Accessing the API from within a Pod").
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) fn run(words: &[String]) -> Said {
    let [file] = words else { return usage("check", "one Corefile is checked") };
    let Findings { errors, warnings } = look(Path::new(file));
    let mut output = String::new();
    errors.iter().for_each(|error| output += &format!("error: {error}\n"));
    warnings.iter().for_each(|warning| output += &format!("warning: {warning}\n"));
    output += &format!("{file}: {}, {}\n", count(errors.len(), "error"), count(warnings.len(), "warning"));
    Said { output, error: String::new(), code: u8::from(!errors.is_empty()) }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn warn(&mut self, span: &Span, message: &str) {
        self.warnings.push(format!("{span} - {message}"));
    }

    fn lacks(&mut self, span: &Span, message: &str) {
        self.warn(span, &format!("this machine: {message}"));
    }
}

fn look(path: &Path) -> Findings {
    match corefile::load(path) {
        Ok(corefile) => examine(&corefile),
        Err(error) => Findings { errors: vec![error.to_string()], ..Findings::default() },
    }
}

fn examine(corefile: &Corefile) -> Findings {
    let mut findings = Findings::default();
    let found = server::set_up(corefile);
    for error in &found.errors {
        match &error.span {
            Some(span) if is_of_this_machine(error) => findings.lacks(span, &error.message),
            _ => findings.errors.push(error.to_string()),
        }
    }
    findings.warnings.extend(found.warnings);
    read_blocks(corefile, &mut findings);
    cannot_bind(&found.listens, &found.endpoints, &mut findings);
    // A snippet that is imported twice is one place.
    let mut seen = HashSet::new();
    findings.warnings.retain(|warning| seen.insert(warning.clone()));
    findings
}

/// Whether an error of a plugin is about a file or an interface that may well be where the Corefile will run.
fn is_of_this_machine(error: &Error) -> bool {
    const NO_INTERFACE: &str = "' is neither an IP address nor a network interface of this machine";
    let interface = error.message.split_once(NO_INTERFACE).and_then(|(before, _)| before.rsplit('\'').next());
    // `forward . /run/systemd/resolve/resolv.conf`: an absolute path is meant as a file.
    error.message.contains("not an IP address or file: '/")
        || error.message.contains("No such file or directory")
        || error.message.contains("' cannot be resolved: ")
        || interface.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':'))
}

/// What stands in the Corefile's words.
fn read_blocks(corefile: &Corefile, findings: &mut Findings) {
    for block in &corefile.blocks {
        let root = root(block);
        if let (Some(address), Some(first)) = (block.addresses.first(), block.directives.first()) {
            one_line(&address.span, &first.name.span, findings);
        }
        for directive in &block.directives {
            not_core_dns_s(directive, findings);
            if directive.name.text == "kubernetes" {
                cluster_is_elsewhere(directive, &root, findings);
            }
        }
    }
}

fn root(block: &ServerBlock) -> PathBuf {
    let root = block.directives.iter().find(|directive| directive.name.text == "root");
    root.and_then(|root| root.args.first()).map(|path| PathBuf::from(&path.text)).unwrap_or_default()
}

/// What CoreDNS would refuse or take for something else.
fn not_core_dns_s(directive: &Directive, findings: &mut Findings) {
    let own = "is dunlin's own; CoreDNS refuses it";
    let first = |directive: &Directive| directive.args.first().map(|word| word.text.clone()).unwrap_or_default();
    if directive.name.text == "nodata" {
        findings.warn(&directive.name.span, &format!("'nodata' {own}"));
    }
    if directive.name.text == "loop" && !directive.args.is_empty() {
        findings.warn(&directive.name.span, &format!("'loop halt' {own}"));
    }
    if let Some(last) = directive.args.last().filter(|last| directive.name.text == "autopath" && last.text == "@search")
    {
        findings.warn(&last.span, &format!("'autopath @search' {own}"));
    }
    for option in directive.options() {
        match (directive.name.text.as_str(), option.name.text.as_str()) {
            ("kubernetes", "manifests") => findings.warn(&option.name.span, &format!("'manifests' {own}")),
            ("forward", "strict") => findings.warn(&option.name.span, &format!("'strict' {own}")),
            ("cache", "serve_stale") if option.args.iter().any(|word| word.text == "rfc8767") => {
                findings.warn(&option.name.span, &format!("'serve_stale ... rfc8767' {own}"));
            }
            ("health", "lameduck") if first(option) == "auto" => {
                findings.warn(&option.name.span, &format!("'lameduck auto' {own}"));
            }
            _ => {}
        }
    }
    if let Some(option) = directive.options().first() {
        one_line(&directive.name.span, &option.name.span, findings);
    }
}

fn one_line(head: &Span, inside: &Span, findings: &mut Findings) {
    if head == inside {
        findings.warn(head, "a block on one line: CoreDNS wants a new line behind '{' and before '}'");
    }
}

/// Files and variables by which the API server would be found.
fn cluster_is_elsewhere(kubernetes: &Directive, root: &Path, findings: &mut Findings) {
    let mut in_cluster = true;
    for option in kubernetes.options() {
        let files = match option.name.text.as_str() {
            "manifests" | "tls" => &option.args[..],
            "kubeconfig" => option.args.get(..1).unwrap_or_default(),
            _ => &[],
        };
        in_cluster &= !matches!(option.name.text.as_str(), "manifests" | "kubeconfig" | "endpoint");
        for file in files.iter().filter(|file| file.text != "@sample") {
            let path = root.join(&file.text);
            if !path.exists() {
                findings.lacks(&file.span, &format!("there is no {} ({})", path.display(), option.name.text));
            }
        }
    }
    if !in_cluster {
        return;
    }
    if let Some(variable) =
        ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"].iter().find(|name| std::env::var_os(name).is_none())
    {
        let message = format!("{variable} is not set; in a pod it leads to the API server");
        findings.lacks(&kubernetes.name.span, &message);
    }
    if !Path::new(TOKEN).exists() {
        findings.lacks(&kubernetes.name.span, &format!("there is no {TOKEN}, which a pod's service account has"));
    }
}

/// Tries the addresses, one after another, and lets go of each at once.
fn cannot_bind(listens: &[SocketAddr], endpoints: &[String], findings: &mut Findings) {
    let mut failed = |address: &str, transport: &str, error: std::io::Error| {
        findings.warnings.push(format!("this machine: {address} ({transport}) cannot be bound: {error}"));
    };
    // A machine without IPv6 serves its wildcard all the same.
    for address in listens.iter().filter(|address| address.is_ipv4() || !address.ip().is_unspecified()) {
        if let Err(error) = UdpSocket::bind(address) {
            failed(&address.to_string(), "UDP", error);
        }
        if let Err(error) = TcpListener::bind(address) {
            failed(&address.to_string(), "TCP", error);
        }
    }
    for endpoint in endpoints {
        let address = if endpoint.starts_with(':') { format!("0.0.0.0{endpoint}") } else { endpoint.clone() };
        if let Err(error) = TcpListener::bind(&address) {
            failed(&address, "HTTP", error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Findings {
        examine(&corefile::parse(Path::new("Corefile"), text, &|_| None).unwrap())
    }

    fn warnings(text: &str) -> Vec<String> {
        let Findings { errors, warnings } = findings(text);
        assert!(errors.is_empty(), "{errors:?}");
        warnings
    }

    #[track_caller]
    fn has(warnings: &[String], start: &str, gist: &str) {
        let found = warnings.iter().any(|warning| warning.starts_with(start) && warning.contains(gist));
        assert!(found, "{start} … {gist}: {warnings:#?}");
    }

    #[test]
    fn what_is_plain_is_not_warned_of() {
        assert_eq!(warnings(".:0 {\n    bind 127.0.0.1\n    whoami\n}\n"), Vec::<String>::new());
    }

    #[test]
    fn what_core_dns_would_take_differently() {
        let text = ".:0 {\nbind 127.0.0.1\nkubernetes a.test {\nmanifests @sample\n}\nnodata AAAA\nautopath @search\n\
                    health 127.0.0.1:0 { lameduck auto }\nproxy . 192.0.2.1\n}\n";
        let warnings = warnings(text);
        has(&warnings, "Corefile:4 - ", "'manifests' is dunlin's own");
        has(&warnings, "Corefile:6 - ", "'nodata' is dunlin's own");
        has(&warnings, "Corefile:7 - ", "'autopath @search' is dunlin's own");
        has(&warnings, "Corefile:8 - ", "'lameduck auto' is dunlin's own");
        has(&warnings, "Corefile:8 - ", "a block on one line");
        has(&warnings, "Corefile:9 - ", "'proxy' is no more and runs as: forward . 192.0.2.1");
        assert_eq!(warnings.len(), 6, "{warnings:#?}");
    }

    #[test]
    fn what_this_machine_lacks() {
        let text = ".:0 {\nbind 192.0.2.1\nkubernetes a.test {\ntls /no/cert /no/key /no/ca\nkubeconfig /no/config\n}\n\
                    forward . /no/resolv.conf\n}\n";
        let lines = warnings(text);
        for (line, gist) in [(4, "/no/cert (tls)"), (4, "/no/ca (tls)"), (5, "/no/config (kubeconfig)")] {
            has(&lines, &format!("Corefile:{line} - this machine: "), gist);
        }
        has(&lines, "Corefile:7 - plugin/forward: ", "'/no/resolv.conf': No such file or directory");
        let lines = warnings(".:0 {\nbind 192.0.2.1\nwhoami\n}\n");
        has(&lines, "this machine: 192.0.2.1:0 (UDP) cannot be bound: ", "");
        has(&lines, "this machine: 192.0.2.1:0 (TCP) cannot be bound: ", "");
        has(&warnings("a.test:0 {\nbind eth99\nwhoami\n}\n"), "Corefile:2 - this machine: ", "'eth99'");
    }

    #[test]
    fn errors_come_all_at_once_beside_the_warnings() {
        let found =
            findings(". {\n    federations\n    kubernetes a.test {\n        upstream\n    }\n    cache 0\n}\n");
        assert_eq!(found.errors.len(), 2, "{:?}", found.errors);
        has(&found.warnings, "Corefile:4 - plugin/kubernetes: 'upstream'", "");
        assert_eq!(findings(". {\nbind 10.0.0.256\n}\n").errors.len(), 1);
    }
}
