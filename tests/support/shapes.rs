//! A cluster in a fast lane without sockets, and the shapes of questions that it is measured with.

use super::{Scratch, Upstream};
use dunlin::engine::{Fast, Lane};
use dunlin::server::bench::Bench;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What is asked: a name for the table, the questions, and what must come: response code and answer records.
pub struct Shape {
    pub name: &'static str,
    pub questions: Vec<Vec<u8>>,
    pub rcode: u8,
    pub answers: u16,
}

/// Services, of which every tenth is headless with ten endpoints.
const SERVICES: usize = 1000;
/// Questions of a shape, and of a batch.
const QUESTIONS: usize = 256;
const BATCH: usize = 64;
const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The stock configuration around that cluster, what it forwards to, and what it was made of.
pub struct Measured {
    pub bench: Bench,
    _upstream: Upstream,
    _scratch: Scratch,
}

impl Measured {
    pub fn start() -> Measured {
        Measured::start_with("")
    }

    /// With these lines in the server block as well.
    pub fn start_with(lines: &str) -> Measured {
        let (scratch, upstream) = (Scratch::new(), Upstream::start());
        let manifest = scratch.write("cluster.yaml", &manifest());
        let corefile = format!(
            "cluster.local:53 in-addr.arpa:53 .:53 {{\n errors\n prometheus 127.0.0.1:0\n {lines}\n \
             kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  manifests {}\n  pods insecure\n \
             fallthrough in-addr.arpa ip6.arpa\n ttl 30\n }}\n forward . {}\n cache 30\n loadbalance\n}}\n",
            manifest.display(),
            upstream.address
        );
        let bench = Bench::new(&corefile).unwrap_or_else(|error| panic!("{error}"));
        let measured = Measured { bench, _upstream: upstream, _scratch: scratch };
        let brought = measured.bench.slow(&packet("www.example.com", A)).expect("an answer to cache");
        assert_eq!(brought[3] & 0x0f, 0, "the upstream's answer");
        measured
    }
}

/// Every shape of question that the fast lane answers in a cluster.
pub fn shapes() -> Vec<Shape> {
    let shape = |name, rcode, answers, question: &dyn Fn(usize) -> Vec<u8>| Shape {
        name,
        questions: (0..QUESTIONS).map(question).collect(),
        rcode,
        answers,
    };
    // Steps that have no divisor in common with the number of services visit them in no order.
    let cluster = |n: usize| service(n * 37 % SERVICES / 10 * 10);
    let headless = |n: usize| service(n * 37 % SERVICES / 10 * 10 + 9);
    vec![
        shape("service-a", 0, 1, &|n| packet(&cluster(n), A)),
        shape("service-nodata", 0, 0, &|n| packet(&cluster(n), AAAA)),
        shape("search-nxdomain", 3, 0, &|n| packet(&format!("{}.ns-1.svc.cluster.local", cluster(n)), A)),
        shape("headless-10", 0, 10, &|n| packet(&headless(n), A)),
        shape("srv", 0, 1, &|n| packet(&format!("_http._tcp.{}", cluster(n)), SRV)),
        shape("pod-a", 0, 1, &|n| packet(&format!("10-1-2-{}.ns-1.pod.cluster.local", n % 256), A)),
        shape("alias-a", 0, 2, &|_| packet("outside.ns-1.svc.cluster.local", A)),
        shape("cache-hit", 0, 1, &|_| packet("www.example.com", A)),
    ]
}

/// Answers questions as a worker does, batch by batch. Returns how many of them were answered as `shape` says.
pub fn ask(lane: &mut dyn Lane, shape: &Shape, out: &mut [u8]) -> usize {
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut right = 0;
    for batch in shape.questions.chunks(BATCH) {
        lane.batch_begins();
        for question in batch {
            if let Fast::Reply(len) = lane.answer(question, client, out) {
                let answers = u16::from_be_bytes([out[6], out[7]]);
                right += usize::from(len > 12 && out[3] & 0x0f == shape.rcode && answers == shape.answers);
            }
        }
        lane.batch_ends(Duration::from_micros(50));
    }
    right
}

fn service(number: usize) -> String {
    format!("s-{number}.ns-{}.svc.cluster.local", number % 10)
}

fn packet(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(qtype.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

fn manifest() -> String {
    let mut text = String::new();
    for namespace in 0..10 {
        let _ = writeln!(text, "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: ns-{namespace}}}}}");
    }
    text += "---\n{apiVersion: v1, kind: Service, metadata: {name: outside, namespace: ns-1}, \
             spec: {type: ExternalName, externalName: www.example.com}}\n";
    for number in 0..SERVICES {
        let (high, low) = (number / 250, number % 250);
        let ip = if number % 10 == 9 { "None".to_owned() } else { format!("10.96.{high}.{low}") };
        let metadata = format!("namespace: ns-{}", number % 10);
        let _ = writeln!(
            text,
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: s-{number}, {metadata}}}, \
             spec: {{clusterIP: {ip}, ports: [{{name: http, port: 80, protocol: TCP}}]}}}}"
        );
        let endpoints: Vec<String> = (0..10)
            .map(|n| format!("{{addresses: [10.{}.{high}.{low}], conditions: {{ready: true}}}}", 100 + n))
            .collect();
        let _ = writeln!(
            text,
            "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: s-{number}-x, \
             {metadata}, labels: {{kubernetes.io/service-name: s-{number}}}}}, \
             ports: [{{name: http, port: 8080, protocol: TCP}}], endpoints: [{}]}}",
            endpoints.join(", ")
        );
    }
    text
}
