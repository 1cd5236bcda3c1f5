//! The feed of objects from a real API server: after every change it holds what kubectl prints.

mod support;

use dunlin::cluster::{Details, Feed, First, Key, Kind, Object, Options, Sink, Source, objects_from_text, start};
use dunlin::metrics::Metrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::controlplane::{self, ControlPlane};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a receiver knows.
#[derive(Default)]
struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    objects: BTreeMap<(Kind, Key), Object>,
    /// What has not been applied since a list of its kind began.
    stale: Vec<(Kind, Key)>,
    lists: usize,
}

fn identity(object: &Object) -> (Kind, Key) {
    match object {
        Object::Namespace(key) => (Kind::Namespace, key.clone()),
        Object::Service(service) => (Kind::Service, service.key.clone().unwrap()),
        Object::EndpointSlice(slice) => (Kind::EndpointSlice, slice.key.clone().unwrap()),
        Object::Pod(pod) => (Kind::Pod, pod.key.clone()),
        Object::ServiceImport(import) => (Kind::ServiceImport, import.key.clone().unwrap()),
        Object::ImportedSlice(slice) => (Kind::ImportedSlice, slice.key.clone().unwrap()),
    }
}

impl Sink for Known {
    fn list_begins(&self, kind: Kind) {
        let mut state = self.0.lock().unwrap();
        let held: Vec<_> = state.objects.keys().filter(|(one, _)| *one == kind).cloned().collect();
        state.stale.retain(|(one, _)| *one != kind);
        state.stale.extend(held);
    }

    fn apply(&self, object: Object) {
        let mut state = self.0.lock().unwrap();
        let identity = identity(&object);
        state.stale.retain(|one| *one != identity);
        state.objects.insert(identity, object);
    }

    fn delete(&self, kind: Kind, key: &Key) {
        self.0.lock().unwrap().objects.remove(&(kind, key.clone()));
    }

    fn list_breaks(&self, _: Kind) {}
    fn list_ends(&self, kind: Kind) {
        let mut state = self.0.lock().unwrap();
        let (gone, stale) = std::mem::take(&mut state.stale).into_iter().partition(|(one, _)| *one == kind);
        state.stale = stale;
        let gone: Vec<_> = gone;
        gone.iter().for_each(|identity| drop(state.objects.remove(identity)));
        state.lists += 1;
    }
}

fn printed(control: &ControlPlane) -> BTreeMap<(Kind, Key), Object> {
    let yaml = control.kubectl("get namespaces,services,endpointslices,pods -A -o yaml", "");
    let objects = objects_from_text("kubectl", &yaml).unwrap();
    objects.into_iter().map(|object| (identity(&object), object)).collect()
}

/// Waits until what is known is what kubectl prints.
async fn agrees(known: &Known, control: &ControlPlane) {
    let expected = printed(control);
    assert!(!expected.is_empty());
    let deadline = Instant::now() + Duration::from_secs(45);
    while known.0.lock().unwrap().objects != expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(known.0.lock().unwrap().objects, expected);
}

async fn synced(feed: &Feed) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !feed.is_synced() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(feed.is_synced());
}

/// Passes connections on to a port.
async fn relay(listener: TcpListener, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

const MORE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {ports: [{name: http, port: 80}], selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: www.example.com}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints: [{addresses: ['2001:db8::7'], hostname: web-0, zone: a}, {addresses: ['2001:db8::8'], conditions: {ready: false}}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
spec: {containers: [{name: main, image: web}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_holds_what_kubectl_prints() {
    let Some(control) = controlplane::start("the feed of a real API server") else { return };
    let port = port_of(&control);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let through_relay = std::fs::read_to_string(control.kubeconfig())
        .unwrap()
        .replace(&format!("https://127.0.0.1:{port}"), &format!("https://{address}"));
    let config = control.folder().write("relayed", &through_relay);
    let relaying = tokio::spawn(relay(listener, port));

    let known = Arc::new(Known::default());
    let options = Options {
        source: Source::Kubeconfig(config, None),
        labels: String::new(),
        namespace_labels: String::new(),
        endpoints: true,
        pods: true,
        imports: false,
        details: Details::ALL,
    };
    let metrics = Metrics::new();
    let feed = start(options, known.clone(), First::AtOnce, &metrics).unwrap();
    synced(&feed).await;
    agrees(&known, &control).await;

    control.kubectl("create -f -", MORE);
    control.kubectl(
        "patch pod web-0 -n shop --subresource status --type merge -p '{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.0.7\"}}'",
        "",
    );
    agrees(&known, &control).await;
    assert_eq!(known.0.lock().unwrap().lists, 4, "changes come by the watch");
    control.kubectl(
        "patch service web -n shop --type merge -p '{\"spec\":{\"ports\":[{\"name\":\"http\",\"port\":81}]}}'",
        "",
    );
    control.kubectl("delete service alias -n shop", "");
    agrees(&known, &control).await;

    // The API server is away; what is known stays, and what changed meanwhile comes when it is back.
    relaying.abort();
    let before = known.0.lock().unwrap().objects.len();
    control.kubectl("delete endpointslice web-1 -n shop", "");
    control.kubectl(
        "patch pod web-0 -n shop --subresource status --type merge -p '{\"status\":{\"phase\":\"Succeeded\"}}'",
        "",
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(known.0.lock().unwrap().objects.len(), before);
    let back = tokio::net::TcpSocket::new_v4().unwrap();
    back.set_reuseaddr(true).unwrap();
    back.bind(address).unwrap();
    tokio::spawn(relay(back.listen(64).unwrap(), port));
    agrees(&known, &control).await;
    assert_eq!(known.0.lock().unwrap().lists, 4, "watches resume");
    assert_eq!(known.0.lock().unwrap().objects.keys().filter(|(kind, _)| *kind == Kind::Pod).count(), 0);
    let exposition = metrics.render();
    for line in [
        "coredns_kubernetes_rest_client_requests_total{code=\"200\"",
        "dunlin_watch_events_total{kind=\"Service\",type=\"DELETED\"} 1",
        "dunlin_watch_undecodable_objects_total{kind=\"Pod\"} 0",
    ] {
        assert!(exposition.contains(line), "{line} in\n{exposition}");
    }
}

/// The port of the API server, from its kubeconfig.
fn port_of(control: &ControlPlane) -> u16 {
    let text = std::fs::read_to_string(control.kubeconfig()).unwrap();
    let (_, rest) = text.split_once("https://127.0.0.1:").expect("a server");
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}
