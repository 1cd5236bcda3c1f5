//! A real kube-apiserver and etcd, started by tests/controlplane/start.

use super::{Scratch, read, repository, skip};
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A running control plane without nodes; it ends with the value.
pub struct ControlPlane {
    folder: Scratch,
}

/// Starts one; `None`, said loudly, where its programs are not here.
pub fn start(test: &str) -> Option<ControlPlane> {
    if !repository("tests/controlplane/start").exists() {
        skip(test, "tests/controlplane/start is not there");
        return None;
    }
    for program in ["etcd", "kube-apiserver", "kubectl"] {
        if !with_tools(&format!("command -v {program}")).output().is_ok_and(|output| output.status.success()) {
            skip(test, &format!("no {program}: run tests/tools/install"));
            return None;
        }
    }
    let folder = Scratch::new();
    let mut command = Command::new(repository("tests/controlplane/start"));
    command.arg(folder.path());
    // etcd takes the port behind its own too.
    command.env("ETCD_PORT", free_pair().to_string()).env("API_PORT", super::free_port().to_string());
    let control = ControlPlane { folder };
    let output = command.stdin(Stdio::null()).output().expect("tests/controlplane/start runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("ready"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some(control)
}

fn free_pair() -> u16 {
    loop {
        let (first, second) = (super::free_port(), super::free_port());
        if second == first + 1 {
            return first;
        }
    }
}

/// A shell command with the tests' tools on its PATH.
fn with_tools(line: &str) -> Command {
    let mut command = Command::new("bash");
    command.current_dir(repository(""));
    command.args(["-c", &format!("[ ! -f tests/tools/environment ] || . tests/tools/environment; {line}")]);
    command
}

impl ControlPlane {
    /// An administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub fn folder(&self) -> &Scratch {
        &self.folder
    }

    /// Runs kubectl with these arguments and this input: what it printed.
    ///
    /// # Panics
    /// Where kubectl says no.
    pub fn kubectl(&self, arguments: &str, input: &str) -> String {
        let output = self.try_kubectl(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn try_kubectl(&self, arguments: &str, input: &str) -> Output {
        let line = format!("exec kubectl --kubeconfig '{}' {arguments}", self.kubeconfig().display());
        let mut command = with_tools(&line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bash runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// Starts a kubectl that goes on; the caller ends it.
    pub fn spawn_kubectl(&self, arguments: &str) -> std::process::Child {
        let line = format!("exec kubectl --kubeconfig '{}' {arguments}", self.kubeconfig().display());
        let mut command = with_tools(&line);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("bash runs")
    }

    /// Creates every object of a file of the repository, and gives Pods the status it has there.
    pub fn load(&self, file: &str) {
        let objects: Vec<Value> = serde_yaml_ng::Deserializer::from_str(&read(file))
            .map(|document| Value::deserialize(document).expect("YAML"))
            .filter(|object| !object.is_null())
            .collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl("create -f -", &list.to_string());
        for pod in objects.iter().filter(|object| object["kind"] == "Pod" && object["status"].is_object()) {
            let (name, namespace) = (&pod["metadata"]["name"], &pod["metadata"]["namespace"]);
            let patch = serde_json::json!({"status": pod["status"]});
            self.kubectl(
                &format!("patch pod {name} -n {namespace} --subresource status --type merge -p '{patch}'"),
                "",
            );
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = Command::new(repository("tests/controlplane/stop")).arg(self.folder.path()).output();
    }
}
