//! Against a real API server: changes show in answers, and the ClusterRole in deploy/ is enough for it.

mod support;

use std::time::{Duration, Instant};
use support::controlplane::{self, ControlPlane};
use support::{Dunlin, Start, Upstream, free_port, http_get, say, wait_until};

const ROUNDS: usize = 100;

const COREFILE: &str = "\
.:{$PORT} {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig {$KUBECONFIG_FILE}
        pods verified
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    forward . {$UPSTREAM}
    cache 30
    loadbalance
}
";

/// One control plane for all of it: starting one takes seconds.
#[test]
fn changes_show_in_the_next_answer() {
    let Some(control) = controlplane::start("control plane") else { return };
    let upstream = Upstream::start();
    deployed(&control);
    let ready = free_port();
    let mut dunlin = Start::corefile(COREFILE)
        .set("KUBECONFIG_FILE", service_account_kubeconfig(&control).display())
        .set("UPSTREAM", upstream.address)
        .set("READY", ready)
        .run();
    assert!(
        wait_until(Duration::from_secs(10), || http_get(ready, "/ready") == Some((200, "OK".into()))),
        "the rights of deploy/ are not enough:\n{}",
        dunlin.output()
    );
    assert_eq!(dunlin.ask("kubernetes.default.svc.cluster.local. A").data(), ["10.96.0.1"]);
    assert_eq!(dunlin.ask("kube-dns.kube-system.svc.cluster.local. A").data(), ["10.96.0.10"]);
    let api = Api::of(&control);
    services_come_and_go(&api, &dunlin);
    endpoints_come_and_go(&api, &dunlin);
    pods_come_and_go(&api, &dunlin);
    namespaces_come_and_go(&api, &dunlin);
    services_are_imported_once_their_kind_is_installed(&control, &upstream);
    assert!(!dunlin.output().contains("[ERROR]"), "{}", dunlin.output());
    assert!(dunlin.ended().is_none());
}

/// The manifests of deploy/ are accepted by the API server.
fn deployed(control: &ControlPlane) {
    let said = control.kubectl("apply --server-side -k deploy", "");
    for object in ["deployment.apps/coredns", "service/kube-dns", "configmap/coredns", "serviceaccount/coredns"] {
        assert!(said.contains(object), "{object}:\n{said}");
    }
    let again = control.kubectl("apply --server-side -k deploy", "");
    assert!(again.contains("deployment.apps/coredns"), "{again}");
}

/// A kubeconfig with the token of the ServiceAccount in deploy/, and nothing else.
fn service_account_kubeconfig(control: &ControlPlane) -> std::path::PathBuf {
    let token = control.kubectl("create token coredns -n kube-system", "");
    let admin = std::fs::read_to_string(control.kubeconfig()).expect("the administrator's kubeconfig");
    let mut config: serde_json::Value = serde_yaml_ng::from_str(&admin).expect("YAML");
    for user in config["users"].as_array_mut().expect("users") {
        user["user"] = serde_json::json!({"token": token.trim()});
    }
    control.folder().write("service-account.kubeconfig", &config.to_string())
}

/// 100 rounds: a name that was asked just before, and is in nobody's cache all the same.
fn services_come_and_go(api: &Api, dunlin: &Dunlin) {
    let (mut created, mut deleted) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("probe-{round}");
        let question = format!("{name}.default.svc.cluster.local. A");
        assert_eq!(dunlin.ask(&question).rcode, "NXDOMAIN");
        let service = serde_json::json!({
            "metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}
        });
        let reply = api.request("POST", "/api/v1/namespaces/default/services", &service);
        let address = reply["spec"]["clusterIP"].as_str().expect("a cluster IP").to_owned();
        created.push(delay(dunlin, &question, |answer| answer.data() == [address.as_str()]));
        api.request("DELETE", &format!("/api/v1/namespaces/default/services/{name}"), &serde_json::Value::Null);
        deleted.push(delay(dunlin, &question, |answer| answer.rcode == "NXDOMAIN"));
    }
    judge("Service created, name asked just before, cache 30", created);
    judge("Service deleted, name asked just before, cache 30", deleted);
}

fn endpoints_come_and_go(api: &Api, dunlin: &Dunlin) {
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let service = serde_json::json!({
        "metadata": {"name": "crew"}, "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}
    });
    api.request("POST", "/api/v1/namespaces/default/services", &service);
    let slice = |addresses: &[&str]| {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|address| serde_json::json!({"addresses": [address], "conditions": {"ready": true}}))
            .collect();
        serde_json::json!({
            "metadata": {"name": "crew-1", "labels": {"kubernetes.io/service-name": "crew"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": endpoints,
        })
    };
    let question = "crew.default.svc.cluster.local. A";
    assert_eq!(dunlin.ask(question).rcode, "NXDOMAIN");
    api.request("POST", slices, &slice(&["10.7.0.1"]));
    let mut delays = vec![delay(dunlin, question, |answer| answer.data() == ["10.7.0.1"])];
    for round in 0..30 {
        let addresses: &[&str] = if round % 2 == 0 { &["10.7.0.2", "10.7.0.3"] } else { &["10.7.0.1"] };
        api.request("PUT", &format!("{slices}/crew-1"), &slice(addresses));
        delays.push(delay(dunlin, question, |answer| answer.data() == addresses));
    }
    judge("EndpointSlice changed", delays);
    assert_eq!(dunlin.ask("10-7-0-1.crew.default.svc.cluster.local. A").data(), ["10.7.0.1"]);
    assert_eq!(dunlin.ask("1.0.7.10.in-addr.arpa. PTR").data(), ["10-7-0-1.crew.default.svc.cluster.local."]);
    api.request("DELETE", &format!("{slices}/crew-1"), &serde_json::Value::Null);
    delay(dunlin, question, |answer| answer.rcode == "NXDOMAIN");
}

fn pods_come_and_go(api: &Api, dunlin: &Dunlin) {
    let pods = "/api/v1/namespaces/default/pods";
    let pod = serde_json::json!({
        "metadata": {"name": "sailor"}, "spec": {"containers": [{"name": "c", "image": "sailor"}]}
    });
    let question = "10-7-1-1.default.pod.cluster.local. A";
    api.request("POST", pods, &pod);
    assert_eq!(dunlin.ask(question).rcode, "NXDOMAIN");
    let status =
        serde_json::json!({"status": {"phase": "Running", "podIP": "10.7.1.1", "podIPs": [{"ip": "10.7.1.1"}]}});
    api.request("PATCH", &format!("{pods}/sailor/status"), &status);
    delay(dunlin, question, |answer| answer.data() == ["10.7.1.1"]);
    api.request("DELETE", &format!("{pods}/sailor?gracePeriodSeconds=0"), &serde_json::Value::Null);
    delay(dunlin, question, |answer| answer.rcode == "NXDOMAIN");
}

fn namespaces_come_and_go(api: &Api, dunlin: &Dunlin) {
    let question = "harbour.svc.cluster.local. A";
    assert_eq!(dunlin.ask(question).rcode, "NXDOMAIN");
    api.request("POST", "/api/v1/namespaces", &serde_json::json!({"metadata": {"name": "harbour"}}));
    delay(dunlin, question, |answer| answer.is_nodata());
}

/// The Multi-Cluster Services API: a cluster without it starts and answers, and has the names when it comes.
fn services_are_imported_once_their_kind_is_installed(control: &ControlPlane, upstream: &Upstream) {
    // The rights of deploy/ do not include this kind unless its operator takes the comment away.
    let ready = free_port();
    let corefile = COREFILE
        .replace("cluster.local in-addr.arpa", "cluster.local clusterset.local in-addr.arpa")
        .replace("pods verified", "multicluster clusterset.local");
    let dunlin = Start::corefile(&corefile)
        .set("KUBECONFIG_FILE", control.kubeconfig().display())
        .set("UPSTREAM", upstream.address)
        .set("READY", ready)
        .run();
    assert!(wait_until(Duration::from_secs(10), || http_get(ready, "/ready") == Some((200, "OK".into()))));
    let question = "far.default.svc.clusterset.local. A";
    assert_eq!(dunlin.ask(question).rcode, "NXDOMAIN");
    assert_eq!(dunlin.ask("kubernetes.default.svc.cluster.local. A").data(), ["10.96.0.1"]);
    control.kubectl("apply -f -", SERVICE_IMPORTS);
    control.kubectl("wait --for=condition=Established crd/serviceimports.multicluster.x-k8s.io", "");
    control.kubectl("apply -f -", FAR);
    // It is asked for after a back-off.
    let seen = wait_until(Duration::from_secs(60), || dunlin.ask(question).data() == ["10.9.0.1"]);
    assert!(seen, "{:?}\n{}", dunlin.ask(question), dunlin.output());
    control.kubectl("delete serviceimport far -n default", "");
    delay(&dunlin, question, |answer| answer.rcode == "NXDOMAIN");
}

/// The kind, as far as this test needs it.
const SERVICE_IMPORTS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceimports.multicluster.x-k8s.io}
spec:
  group: multicluster.x-k8s.io
  scope: Namespaced
  names: {plural: serviceimports, singular: serviceimport, kind: ServiceImport}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const FAR: &str = "\
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: far, namespace: default}
spec: {type: ClusterSetIP, ips: [10.9.0.1], ports: [{name: http, port: 80, protocol: TCP}]}
";

/// How long until the answer is right, from now.
fn delay(dunlin: &Dunlin, question: &str, right: impl Fn(&support::Answer) -> bool) -> Duration {
    let begun = Instant::now();
    let mut last = None;
    let seen = wait_until(Duration::from_secs(5), || {
        let answer = dunlin.ask(question);
        let done = right(&answer);
        last = Some(answer);
        done
    });
    assert!(seen, "{question} is not right after 5 s: {last:?}\n{}", dunlin.output());
    begun.elapsed()
}

/// Prints median and worst, and holds them to generous bounds: the machine is shared.
fn judge(what: &str, mut delays: Vec<Duration>) {
    delays.sort();
    let (median, worst) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    let millis = |delay: Duration| delay.as_secs_f64() * 1000.0;
    say(format!("{what}: {} rounds, median {:.1} ms, worst {:.1} ms", delays.len(), millis(median), millis(worst)));
    assert!(median < Duration::from_millis(100) && worst < Duration::from_secs(3), "{what}: {delays:?}");
}

/// The API by HTTP: `kubectl proxy` does TLS and authentication, and one request is a millisecond, not a process.
struct Api {
    port: u16,
    proxy: std::process::Child,
}

impl Api {
    fn of(control: &ControlPlane) -> Api {
        let port = free_port();
        let proxy = control.spawn_kubectl(&format!("proxy --port {port}"));
        let api = Api { port, proxy };
        let up =
            wait_until(Duration::from_secs(10), || http_get(port, "/version").is_some_and(|(code, _)| code == 200));
        assert!(up, "kubectl proxy does not answer");
        api
    }

    fn request(&self, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let (status, reply) = support::http_request(self.port, method, path, kind, &body).expect("the API answers");
        assert!((200..300).contains(&status), "{method} {path}: {status} {reply}");
        serde_json::from_str(&reply).expect("JSON")
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
