//! A cluster on the fake API server: services that stay and services that change, and what their names must be answered
//! as.

use super::fakeapi::FakeApi;
use super::{Dunlin, Start, free_port, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest that any fault may be felt after its end: the longest back-off of a watch (10 s), the spread of lists (3
/// s), and as much again for a machine that does other things.
const LONGEST: Duration = Duration::from_secs(26);
/// Services that stay as they are.
pub const STABLE: usize = 40;
/// Services, and headless ones, that each change touches.
const CHANGING: usize = 10;

/// What the API server holds, as answers: name to addresses, none for NXDOMAIN.
pub type Truth = BTreeMap<String, Vec<String>>;

/// A cluster on a fake API server: services, and headless ones with endpoints.
pub struct Cluster {
    pub api: FakeApi,
    pub truth: Truth,
    changes: u8,
}

impl Cluster {
    pub fn new() -> Cluster {
        let mut cluster = Cluster { api: FakeApi::start(), truth: Truth::new(), changes: 0 };
        cluster.api.put("Namespace", json!({"metadata": {"name": "shop"}}));
        for number in 0..STABLE {
            cluster.put_service(&format!("stable-{number}"), &format!("10.1.0.{number}"));
        }
        for number in 0..CHANGING {
            cluster.put_service(&format!("changing-{number}"), &format!("10.2.0.{number}"));
            cluster.put_headless(&format!("headless-{number}"), &[format!("10.3.0.{number}")]);
        }
        cluster
    }

    pub fn put_service(&mut self, name: &str, address: &str) {
        let spec = json!({"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]});
        self.api.put("Service", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
        self.truth.insert(name.to_owned(), vec![address.to_owned()]);
    }

    pub fn put_headless(&mut self, name: &str, addresses: &[String]) {
        let spec = json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80, "protocol": "TCP"}]});
        self.api.put("Service", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
        let endpoints: Vec<_> =
            addresses.iter().map(|one| json!({"addresses": [one], "conditions": {"ready": true}})).collect();
        let metadata =
            json!({"name": format!("{name}-x"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name}});
        let ports = json!([{"name": "", "port": 80, "protocol": "TCP"}]);
        self.api.put(
            "EndpointSlice",
            json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}),
        );
        self.truth.insert(name.to_owned(), addresses.to_vec());
    }

    /// Adds, changes and deletes, each time others.
    pub fn change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        let round = self.changes;
        for number in 0..CHANGING {
            let name = format!("changing-{number}");
            if (number + usize::from(round)) % 3 == 0 {
                self.api.delete("Service", "shop", &name);
                self.truth.insert(name, Vec::new());
            } else {
                self.put_service(&name, &format!("10.2.{round}.{number}"));
            }
            let addresses = [format!("10.3.{round}.{number}"), format!("10.4.{round}.{number}")];
            self.put_headless(&format!("headless-{number}"), &addresses[..1 + number % 2]);
        }
        self.put_service(&format!("new-{round}"), &format!("10.5.{round}.1"));
    }

    fn corefile(more: &str) -> String {
        format!(
            "cluster.local:{{$PORT}} {{\n    bind 127.0.0.1\n    ready 127.0.0.1:{{$READY}}\n    prometheus 127.0.0.1:{{$METRICS}}\n    \
             kubernetes {{\n        endpoint {{$API}}\n        {more}\n    }}\n}}\n"
        )
    }

    pub fn serve(&self, more: &str) -> (Dunlin, u16, u16) {
        let (ready, metrics) = (free_port(), free_port());
        let start = Start::corefile(&Cluster::corefile(more)).set("API", &self.api.url);
        (start.set("READY", ready).set("METRICS", metrics).run(), ready, metrics)
    }

    /// The first name that is answered otherwise than it is here.
    pub fn difference(&self, dunlin: &Dunlin) -> Option<String> {
        self.truth.iter().find_map(|(name, addresses)| {
            let answer = dunlin.ask(&format!("{name}.shop.svc.cluster.local. A"));
            let mut expected: Vec<&str> = addresses.iter().map(String::as_str).collect();
            expected.sort_unstable();
            let rcode = if addresses.is_empty() { "NXDOMAIN" } else { "NOERROR" };
            let mut found = answer.data();
            found.sort_unstable();
            (found != expected || answer.rcode != rcode)
                .then(|| format!("{name}: {} {found:?}, not {expected:?}", answer.rcode))
        })
    }

    /// How long until every name is answered as it is here.
    pub fn time_to_truth(&self, dunlin: &Dunlin, what: &str) -> Duration {
        let begun = Instant::now();
        let mut difference = None;
        let equal = wait_until(LONGEST, || {
            difference = self.difference(dunlin);
            difference.is_none()
        });
        assert!(equal, "{what}: after {LONGEST:?} {}", difference.unwrap_or_default());
        begun.elapsed()
    }
}
