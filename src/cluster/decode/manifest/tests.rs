use super::objects;
use crate::cluster::{Endpoint, EndpointSlice, Endpoints, Key, Object, Pod, Port, Service, objects_from_text};

fn key(name: &str) -> Key {
    Key { namespace: "shop".into(), name: name.into() }
}

fn one(text: &str) -> Object {
    let mut objects = objects_from_text("one.yaml", text).unwrap();
    assert_eq!(objects.len(), 1, "{objects:?}");
    objects.remove(0)
}

fn service(spec: &str) -> Service {
    let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n");
    match one(&text) {
        Object::Service(service) => service,
        other => panic!("{other:?}"),
    }
}

fn slice(rest: &str) -> EndpointSlice {
    let text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: db-1, namespace: shop, labels: \
         {{kubernetes.io/service-name: db}}}}\n{rest}\n"
    );
    match one(&text) {
        Object::EndpointSlice(slice) => slice,
        other => panic!("{other:?}"),
    }
}

fn port(name: &str, number: u16, protocol: &str) -> Port {
    Port { name: name.into(), number, protocol: protocol.into() }
}

#[test]
fn cluster_ips_win_over_cluster_ip() {
    let both = service("{clusterIP: 10.0.0.3, clusterIPs: [10.0.0.4, 'fd00::4']}");
    assert_eq!(both.cluster_ips, ["10.0.0.4".parse::<std::net::IpAddr>().unwrap(), "fd00::4".parse().unwrap()]);
    let empty = service("{clusterIP: 10.0.0.3, clusterIPs: []}");
    assert_eq!(empty.cluster_ips, ["10.0.0.3".parse::<std::net::IpAddr>().unwrap()]);
    assert!(!empty.headless);
}

#[test]
fn headless_is_a_first_cluster_ip_of_none() {
    assert!(service("{clusterIP: None}").headless);
    assert!(service("{clusterIPs: [None]}").headless);
    assert!(service("{clusterIPs: [None]}").cluster_ips.is_empty());
    assert!(!service("{clusterIP: ''}").headless);
    assert!(!service("{clusterIP: null}").headless);
    assert!(!service("{clusterIP: none}").headless);
    assert!(!service("{}").headless);
}

#[test]
fn an_external_name_counts_only_with_its_type() {
    let spec = "{type: ExternalName, externalName: Example.COM.}";
    assert_eq!(service(spec).external_name.as_deref(), Some("Example.COM."));
    assert_eq!(service("{externalName: example.com}").external_name, None);
}

#[test]
fn ports_default_to_tcp() {
    let ports =
        service("{ports: [{port: 80}, {name: dns, port: 53, protocol: UDP}, {name: odd}, {port: 65536}]}").ports;
    assert_eq!(ports, [port("", 80, "TCP"), port("dns", 53, "UDP")]);
    assert_eq!(service("{ports: null}").ports, []);
}

#[test]
fn external_addresses_come_before_load_balancers() {
    let text = "kind: Service\nmetadata: {name: web}\nspec: {externalIPs: [192.0.2.1]}\n\
                status: {loadBalancer: {ingress: [{ip: 192.0.2.2}, {hostname: lb.example}, {ip: '', hostname: b.example}]}}";
    let Object::Service(service) = one(text) else { panic!() };
    assert_eq!(service.external_ips, ["192.0.2.1", "192.0.2.2", "lb.example", "b.example"]);
    assert_eq!(service.key, Some(Key { namespace: "default".into(), name: "web".into() }));
}

#[test]
fn endpoints_that_are_ready_or_do_not_say() {
    let slice = slice(
        "addressType: IPv4\nports: [{name: pg, port: 5432}, {name: any}, {name: none, port: null}]\nendpoints:\n\
         - {addresses: [10.1.0.1, 10.1.0.2], hostname: db-0, conditions: {ready: true}, targetRef: {kind: Pod, name: p0}, zone: a}\n\
         - {addresses: [10.1.0.3], conditions: {ready: false, serving: true}}\n\
         - {addresses: [10.1.0.4], conditions: {serving: false, ready: null}}\n\
         - {addresses: [10.1.0.5]}\n- {addresses: [not-an-address]}\n- {addresses: null}",
    );
    let bare = |text: &'static str| Endpoint { address: text.parse().ok(), ..Endpoint::default() };
    let full = |text: &'static str| Endpoint { hostname: "db-0", target: "p0", zone: "a", ..bare(text) };
    let expected = [full("10.1.0.1"), full("10.1.0.2"), bare("10.1.0.4"), bare("10.1.0.5")];
    assert_eq!(slice.endpoints, Endpoints::from_iter(expected));
    assert_eq!(slice.ports, [port("pg", 5432, "TCP")]);
    assert_eq!(slice.service, "db");
}

#[test]
fn the_text_of_an_address_is_kept() {
    let endpoints = slice("addressType: IPv6\nendpoints: [{addresses: ['2001:DB8:0::1']}]").endpoints;
    let endpoint = endpoints.iter().next().unwrap();
    assert_eq!(endpoint.text, "2001:DB8:0::1");
    assert_eq!(endpoint.address, Some("2001:db8::1".parse().unwrap()));
}

#[test]
fn host_names_have_no_address() {
    let endpoints = slice("addressType: FQDN\nendpoints: [{addresses: [db.example.com]}]").endpoints;
    let expected = Endpoint { text: "db.example.com", ..Endpoint::default() };
    assert_eq!(endpoints, Endpoints::from_iter([expected]));
}

#[test]
fn the_time_of_the_last_change_is_kept() {
    let text = "kind: EndpointSlice\nmetadata:\n  name: a\n  annotations:\n    other: x\n    \
                endpoints.kubernetes.io/last-change-trigger-time: '2026-01-02T03:04:05.000000006Z'\n";
    let Object::EndpointSlice(slice) = one(text) else { panic!() };
    assert_eq!(slice.last_change.as_deref(), Some("2026-01-02T03:04:05.000000006Z"));
    assert_eq!(slice.service, "");
}

#[test]
fn pods_that_have_ended_or_have_no_address_are_left_out() {
    let pods = |status: &str| {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nstatus: {status}\n");
        objects_from_text("p.yaml", &text).unwrap()
    };
    let running = Object::Pod(Pod { key: key("p"), ip: "10.1.0.1".parse().unwrap(), terminating: false });
    assert_eq!(pods("{phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 'fd00::1'}]}"), [running]);
    for status in ["{phase: Running}", "{podIP: ''}", "{}", "null", "{podIP: 10.1.0.1, phase: Failed}"] {
        assert_eq!(pods(status), [], "{status}");
    }
    for phase in ["Succeeded", "Failed", "Unknown"] {
        assert_eq!(pods(&format!("{{phase: {phase}, podIP: 10.1.0.1}}")), []);
    }
}

#[test]
fn a_deletion_timestamp_means_terminating() {
    let text = "kind: Pod\nmetadata: {name: p, deletionTimestamp: '2026-01-02T03:04:05Z'}\nstatus: {podIP: 10.1.0.1}";
    assert!(matches!(one(text), Object::Pod(Pod { terminating: true, .. })));
    let text = "kind: Pod\nmetadata: {name: p, deletionTimestamp: null}\nstatus: {podIP: 10.1.0.1}";
    assert!(matches!(one(text), Object::Pod(Pod { terminating: false, .. })));
}

const LIST: &str = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: shop}\n\
    - apiVersion: apps/v1\n  kind: Deployment\n  metadata: 7\n  spec: {ports: everywhere}\n\
    - apiVersion: v1\n  kind: Service\n  metadata: {name: web, namespace: shop}\n  spec: {ports: []}\n\
    kind: List\nmetadata: {resourceVersion: ''}\n";

#[test]
fn lists_as_kubectl_prints_them() {
    let expected = [
        Object::Namespace(Key { namespace: String::new(), name: "shop".into() }),
        Object::Service(Service { key: Some(key("web")), ..Service::default() }),
    ];
    assert_eq!(objects_from_text("list.yaml", LIST).unwrap(), expected);
    let value: serde_json::Value = serde_yaml_ng::from_str(LIST).unwrap();
    let json = serde_json::to_string_pretty(&value).unwrap();
    assert_eq!(objects_from_text("list.json", &json).unwrap(), expected);
    // A pipe of two JSON documents.
    assert_eq!(objects_from_text("stdin", &format!("{json}\n{json}")).unwrap().len(), 4);
}

#[test]
fn items_of_a_typed_list_need_no_kind() {
    let text =
        "kind: ServiceList\napiVersion: v1\nitems: [{metadata: {name: a}}, {metadata: {name: b}, kind: Service}]";
    assert_eq!(objects_from_text("list.yaml", text).unwrap().len(), 2);
}

#[test]
fn other_kinds_and_empty_documents_are_passed_over() {
    let text = "---\n# nothing\n---\nkind: ConfigMap\ndata: {kind: Service}\nitems: none\n---\n\
                apiVersion: serving.knative.dev/v1\nkind: Service\nspec: {ports: 3}\n---\n\
                kind: [odd]\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n";
    assert_eq!(objects_from_text("many.yaml", text).unwrap().len(), 1);
    assert_eq!(objects_from_text("empty.yaml", "").unwrap(), []);
    assert_eq!(objects_from_text("empty.json", "").unwrap(), []);
}

#[test]
fn errors_have_a_file_a_line_and_a_reason() {
    let error = |name: &str, text: &str| objects_from_text(name, text).unwrap_err();
    let document =
        "kind: Namespace\nmetadata: {name: shop}\n---\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports: 80\n";
    let said = error("a.yaml", document);
    assert!(said.starts_with("a.yaml:8: spec.ports: invalid type: integer `80`, expected a sequence"), "{said}");
    let said = error("b.yaml", "kind: Service\nmetadata: {name: web\nspec:\n");
    assert!(said.starts_with("b.yaml:3: "), "{said}");
    let said = error("c.json", "{\n \"kind\": \"Service\",\n \"metadata\": {\"name\": 3}\n}");
    assert!(said.starts_with("c.json:3: invalid type: integer `3`, expected a string"), "{said}");
    let said = error("d.yaml", "kind: Namespace\nmetadata: {name: a}\n---\nkind: Service\nspec: {}\n");
    assert_eq!(said, "d.yaml: document 2: a Service without metadata.name");
    assert_eq!(error("d.json", "{\"kind\":\"Pod\"}"), "d.json: document 1: a Pod without metadata.name");
    let said = error("e.yaml", "just words\n");
    assert!(said.starts_with("e.yaml:1: "), "{said}");
    let said = error("f.yaml", "kind: List\nitems:\n- kind: Pod\n  metadata: {name: p}\n  status: {podIP: [1]}\n");
    assert!(said.starts_with("f.yaml:5: "), "{said}");
}

#[test]
fn only_what_is_wanted_is_returned() {
    let text = "kind: Service\nmetadata: {name: a, labels: {app: web}}\n---\nkind: Service\nmetadata: {name: b}\n";
    let wanted = objects("x.yaml", text, &|_, labels| labels.contains_key("app")).unwrap();
    assert_eq!(wanted.len(), 1);
}
