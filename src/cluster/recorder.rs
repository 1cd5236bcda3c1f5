//! A sink that writes down what it is told, for the tests.

use super::{Key, Kind, Object, Sink};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What was told, one line a call: `begin Service`, `apply shop/web 10.0.0.1`, `delete shop/web`, `end Service`.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// What was told since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Waits until exactly these lines have been told, and forgets them.
    pub(super) async fn told(&self, expected: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.0.lock().unwrap().len() < expected.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.take(), expected);
    }

    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Sink for Recorder {
    fn list_begins(&self, kind: Kind) {
        self.note(format!("begin {}", kind.name()));
    }

    fn apply(&self, object: Object) {
        self.note(match object {
            Object::Namespace(key) => format!("apply {}", key.name),
            Object::Service(service) | Object::ServiceImport(service) => {
                let key = service.key.unwrap();
                let addresses: String = service.cluster_ips.iter().map(|ip| format!(" {ip}")).collect();
                format!("apply {}/{}{addresses}", key.namespace, key.name)
            }
            Object::EndpointSlice(slice) | Object::ImportedSlice(slice) => {
                let key = slice.key.unwrap();
                let addresses: String =
                    slice.endpoints.iter().filter_map(|it| it.address).map(|it| format!(" {it}")).collect();
                format!("apply {}/{} of {}:{addresses}", key.namespace, key.name, slice.service)
            }
            Object::Pod(pod) => format!("apply {}/{} {}", pod.key.namespace, pod.key.name, pod.ip),
        });
    }

    fn delete(&self, _kind: Kind, key: &Key) {
        self.note(format!("delete {}/{}", key.namespace, key.name));
    }

    fn list_breaks(&self, kind: Kind) {
        self.note(format!("break {}", kind.name()));
    }

    fn list_ends(&self, kind: Kind) {
        self.note(format!("end {}", kind.name()));
    }
}
