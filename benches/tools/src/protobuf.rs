//! Kubernetes objects as an API server writes them: protobuf, with all that a server has to skip.
//!
//! The field numbers are those of `generated.proto` in k8s.io/api and k8s.io/apimachinery.

/// Octets that stand for what is not read: `managedFields` of an object, the `spec` of a pod.
const MANAGED_FIELDS: usize = 500;
const POD_SPEC: usize = 1800;

/// How large the cluster is; it has the names and addresses of `fill.py`.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Namespaces.
    pub namespaces: usize,
    /// Services in each.
    pub services: usize,
    /// Endpoints of each Service.
    pub endpoints: usize,
    /// Pods in all.
    pub pods: usize,
}

/// What is listed and watched.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Namespace,
    Service,
    EndpointSlice,
    Pod,
}

impl Kind {
    /// The kind that a request's path asks for.
    pub fn of_path(path: &str) -> Option<Kind> {
        Some(match path {
            "/api/v1/namespaces" => Kind::Namespace,
            "/api/v1/services" => Kind::Service,
            "/apis/discovery.k8s.io/v1/endpointslices" => Kind::EndpointSlice,
            "/api/v1/pods" => Kind::Pod,
            _ => return None,
        })
    }
}

impl Shape {
    /// How many places there are for objects of a kind; at some of those for slices nothing stands.
    pub fn count(self, kind: Kind) -> usize {
        match kind {
            Kind::Namespace => self.namespaces,
            Kind::Service | Kind::EndpointSlice => self.namespaces * self.services,
            Kind::Pod => self.pods,
        }
    }

    /// The object of a kind at a place; `None` where an ExternalName has no slice. Of a slice's endpoints one may be not
    /// ready.
    pub fn object(self, kind: Kind, place: usize, version: u64, unready: Option<usize>) -> Option<Vec<u8>> {
        let number = place % self.services;
        let namespace = format!("ns-{}", place / self.services);
        Some(match kind {
            Kind::Namespace => field(1, &metadata(&format!("ns-{place}"), "", version, &[])),
            Kind::Service => service(place, &format!("s-{number}"), &namespace, version),
            Kind::EndpointSlice if place % 100 == 99 => return None,
            Kind::EndpointSlice => self.slice(place, number, &namespace, version, unready),
            Kind::Pod => pod(place, &format!("ns-{}", place % self.namespaces), version),
        })
    }

    fn slice(self, place: usize, number: usize, namespace: &str, version: u64, unready: Option<usize>) -> Vec<u8> {
        let labels = [
            ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"),
            ("kubernetes.io/service-name", &format!("s-{number}")),
        ];
        let mut message = field(1, &metadata(&format!("s-{number}-abcde"), namespace, version, &labels));
        for at in 0..self.endpoints {
            let endpoint = place * self.endpoints + at;
            let address = format!("10.{}.{}.{}", 128 + (endpoint >> 16), endpoint >> 8 & 255, endpoint & 255);
            let ready = u8::from(unready != Some(at));
            let pod = format!("s-{number}-7c9d8f6b5c-{endpoint:05}");
            let target =
                [text(1, "Pod"), text(2, namespace), text(3, &pod), text(4, &uid(endpoint)), text(6, ""), text(7, "")];
            let parts = [
                text(1, &address),
                field(2, &[1 << 3, ready, 2 << 3, ready, 3 << 3, 0]),
                field(4, &target.concat()),
                text(6, &format!("node-{}", endpoint % 50)),
                text(7, ["zone-a", "zone-b", "zone-c"][endpoint % 3]),
            ];
            message.extend(field(2, &parts.concat()));
        }
        message.extend(port(3, 8080));
        message.extend(text(4, "IPv4"));
        message
    }
}

fn service(place: usize, name: &str, namespace: &str, version: u64) -> Vec<u8> {
    let spec = if place % 100 == 99 {
        [text(4, "ExternalName"), text(10, "example.com")].concat()
    } else {
        let ip = match place % 10 {
            9 => "None".to_owned(),
            _ => format!("10.{}.{}.{}", 100 + (place >> 16), place >> 8 & 255, place & 255),
        };
        let selector = field(2, &[text(1, "app"), text(2, name)].concat());
        [port(1, 80), selector, text(3, &ip), text(4, "ClusterIP"), text(18, &ip), text(19, "IPv4")].concat()
    };
    [field(1, &metadata(name, namespace, version, &[])), field(2, &spec), field(3, &field(1, &[]))].concat()
}

fn pod(place: usize, namespace: &str, version: u64) -> Vec<u8> {
    let address = format!("10.{}.{}.{}", 128 + (place >> 16), place >> 8 & 255, place & 255);
    let name = format!("app-{}-7c9d8f6b5c-{place:05}", place / 10);
    let status = [
        text(1, "Running"),
        field(2, &[text(1, "Ready"), text(2, "True")].concat()),
        text(5, "192.0.2.7"),
        text(6, &address),
        field(12, &text(1, &address)),
    ];
    let spec = field(2, &text(1, &"x".repeat(POD_SPEC)));
    [field(1, &metadata(&name, namespace, version, &[("app", "web")])), spec, field(3, &status.concat())].concat()
}

fn metadata(name: &str, namespace: &str, version: u64, labels: &[(&str, &str)]) -> Vec<u8> {
    let mut message = [
        text(1, name),
        text(2, ""),
        text(3, namespace),
        text(4, ""),
        text(5, &uid(version as usize)),
        text(6, &version.to_string()),
        number(7, 1),
        field(8, &number(1, 1_790_000_000)),
    ]
    .concat();
    for (key, value) in labels {
        message.extend(field(11, &[text(1, key), text(2, value)].concat()));
    }
    message.extend(field(17, &text(7, &"m".repeat(MANAGED_FIELDS))));
    message
}

fn uid(number: usize) -> String {
    format!("{number:08x}-0d3c-4f4e-9a53-{number:012x}")
}

fn port(number_of_field: u8, of: u64) -> Vec<u8> {
    field(number_of_field, &[text(1, "http"), text(2, "TCP"), number(3, of)].concat())
}

/// A page of a list: its resourceVersion, the continue token, the objects.
pub fn page(version: u64, next: &str, objects: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut message = field(1, &[text(2, &version.to_string()), text(3, next)].concat());
    objects.for_each(|object| message.extend(field(2, &object)));
    wrapped(&message)
}

/// A watch event as it stands in a stream, its length before it.
pub fn event(event_type: &str, object: &[u8]) -> Vec<u8> {
    let event = [text(1, event_type), field(2, &field(1, &wrapped(object)))].concat();
    [&(event.len() as u32).to_be_bytes()[..], &event].concat()
}

/// An event that moves the place of a watch.
pub fn bookmark(version: u64) -> Vec<u8> {
    event("BOOKMARK", &field(1, &text(6, &version.to_string())))
}

/// An event that says that the place of a watch is too old (`meta/v1.Status`).
pub fn gone() -> Vec<u8> {
    event("ERROR", &[text(2, "Failure"), text(3, "too old"), text(4, "Expired"), number(6, 410)].concat())
}

fn wrapped(message: &[u8]) -> Vec<u8> {
    [b"k8s\0".to_vec(), field(2, message)].concat()
}

fn text(number: u8, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = varint(u64::from(number) << 3 | 2);
    octets.extend(varint(content.len() as u64));
    octets.extend(content);
    octets
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [varint(u64::from(field) << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    while value > 0x7f {
        octets.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    octets.push(value as u8);
    octets
}
