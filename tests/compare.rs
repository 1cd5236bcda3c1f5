//! `dunlin compare A B`: a server against itself, and against a copy of its cluster in which one Service is another;
//! the names from manifests and from a real API server.

mod support;

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output};
use support::{Dunlin, Scratch, Start, controlplane, say, wait_until};

/// The Service that is another in the copy, its address, and what the pointer of that is asked for.
const CHANGED: &str = "api.staging.svc.cluster.local.";
const ADDRESS: &str = "10.100.1.1";
const POINTER: &str = "1.1.100.10.in-addr.arpa.";

/// What a comparison said.
struct Compared {
    code: i32,
    output: String,
    error: String,
}

fn compare(a: SocketAddr, b: SocketAddr, names: &[&str]) -> Compared {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.arg("compare").args([a.to_string(), b.to_string()]).args(names).args(["--rate", "5000"]);
    let Output { status, stdout, stderr } = command.output().expect("the dunlin binary starts");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    Compared { code: status.code().unwrap_or(-1), output: text(stdout), error: text(stderr) }
}

impl Compared {
    /// Nothing differs; how many questions were asked.
    fn is_equal(&self) -> usize {
        assert_eq!((self.code, self.output.lines().count(), self.error.as_str()), (0, 1, ""), "{}", self.output);
        assert!(self.output.ends_with(", deliberate 0, different 0, unanswered 0\n"), "{}", self.output);
        let equal = self.output.split([' ', ',']).nth(1).and_then(|count| count.parse().ok()).expect("a count");
        assert!(equal > 300, "{}", self.output);
        equal
    }

    /// What differs is the changed Service's, and everything that it must be; how many lines say so.
    fn is_one_service(&self) -> usize {
        assert_eq!(self.code, 1, "{}", self.output);
        assert!(self.output.contains(", deliberate 0, different ") && self.output.ends_with(", unanswered 0\n"));
        let lines: Vec<&str> = self.output.lines().filter_map(|line| line.strip_prefix("different: ")).collect();
        let names: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        let stray: Vec<_> = names.iter().filter(|name| !name.ends_with(CHANGED) && **name != POINTER).collect();
        assert!(stray.is_empty(), "{stray:?} in\n{}", self.output);
        assert!(names.contains(CHANGED) && names.contains(POINTER), "{}", self.output);
        lines.len()
    }
}

/// A server of the cluster that a line of the Corefile names.
fn serving(source: &str) -> Dunlin {
    let corefile = format!(
        ".:{{$PORT}} {{
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods verified
        {source}
    }}
}}
"
    );
    Start::corefile(&corefile).run()
}

fn serving_manifests(folder: &Scratch) -> Dunlin {
    serving(&format!("manifests {}", folder.path().display()))
}

/// A folder with this cluster, and one with its copy, in which one Service has another address.
fn two(cluster: &str) -> [Scratch; 2] {
    let documents = serde_yaml_ng::Deserializer::from_str(cluster);
    let documents = documents.map(|document| Value::deserialize(document).expect("YAML"));
    let items = documents.flat_map(|document| document["items"].as_array().cloned().unwrap_or_else(|| vec![document]));
    let items: Vec<Value> = items.filter(|item| !item.is_null()).collect();
    let mut copy = items.clone();
    let is_changed = |item: &&mut Value| {
        item["kind"] == "Service" && item["metadata"]["name"] == "api" && item["metadata"]["namespace"] == "staging"
    };
    let service = copy.iter_mut().find(is_changed).expect("the Service");
    assert_eq!(service["spec"]["clusterIP"], ADDRESS);
    service["spec"]["clusterIP"] = "10.100.1.99".into();
    service["spec"]["clusterIPs"] = json!(["10.100.1.99"]);
    [items, copy].map(|items| {
        let folder = Scratch::new();
        folder.write("cluster.yaml", &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        folder
    })
}

#[test]
fn of_manifests_exactly_the_changed_service_differs() {
    let [same, changed] = two(&support::read("tests/data/conformance/cluster.yaml"));
    let (a, b) = (serving_manifests(&same), serving_manifests(&changed));
    let names = ["--manifests", same.path().to_str().expect("UTF-8")];
    let equal = compare(a.address(), a.address(), &names).is_equal();
    let different = compare(a.address(), b.address(), &names).is_one_service();
    say(format!(
        "compare, manifests: with itself equal {equal}, different 0, with one Service changed different {different}, all its own"
    ));
}

#[test]
fn of_an_api_server_exactly_the_changed_service_differs() {
    let Some(control) = controlplane::start("compare over an API server") else { return };
    control.load("tests/data/conformance/cluster.yaml");
    let kubeconfig = control.kubeconfig();
    let a = serving(&format!("kubeconfig {}", kubeconfig.display()));
    let names = ["--cluster", "--kubeconfig", kubeconfig.to_str().expect("UTF-8")];
    let equal = compare(a.address(), a.address(), &names).is_equal();
    // The copy is what an operator has: what kubectl prints.
    let [same, changed] = two(&control.kubectl("get namespaces,services,endpointslices,pods -A -o yaml", ""));
    let (copy, b) = (serving_manifests(&same), serving_manifests(&changed));
    assert_eq!(compare(a.address(), copy.address(), &names).is_equal(), equal);
    let different = compare(a.address(), b.address(), &names).is_one_service();
    say(format!(
        "compare, API server: with itself equal {equal}, different 0, with one Service changed different {different}, all its own"
    ));
    // A change on the server itself is found as well.
    let patch = r#"{"spec":{"ports":[{"name":"http","port":81,"protocol":"TCP"}]}}"#;
    control.kubectl(&format!("patch service api -n staging --type merge -p '{patch}'"), "");
    let question = format!("{CHANGED} SRV");
    assert!(wait_until(std::time::Duration::from_secs(20), || a
        .ask(&question)
        .data()
        .iter()
        .any(|data| data.contains(" 81 "))));
    let Compared { code, output, .. } = compare(a.address(), copy.address(), &names);
    let lines: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("different: ")).collect();
    assert!(code == 1 && !lines.is_empty() && lines.iter().all(|line| line.contains(CHANGED)), "{output}");
}

#[test]
fn names_come_from_a_file_and_silence_is_told() {
    let [same, _] = two(&support::read("tests/data/conformance/cluster.yaml"));
    let a = serving_manifests(&same);
    let names = same.write("names", "gone.test\nweb.prod.svc.cluster.local AAAA\n");
    let names = ["--names", names.to_str().expect("UTF-8")];
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let Compared { code, output, .. } = compare(a.address(), silent.local_addr().expect("its address"), &names);
    assert!(code == 1 && output.ends_with("equal 0, deliberate 0, different 0, unanswered 2\n"), "{output}");
    let Compared { code, error, .. } = compare(a.address(), a.address(), &["--names", "missing.txt"]);
    assert!(code == 3 && error.starts_with("missing.txt: "), "{error}");
}
