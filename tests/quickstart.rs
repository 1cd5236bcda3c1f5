//! The first minute: `dunlin` without arguments, and the sample in corefile-examples.

mod support;

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};
use support::{Scratch, Start, http_get, read, repository, skip, wait_until};

const PORT: u16 = 1053;

fn port_is_free() -> bool {
    UdpSocket::bind(("127.0.0.1", PORT)).is_ok() && TcpListener::bind(("127.0.0.1", PORT)).is_ok()
}

/// The port is fixed, so what uses it is one test.
#[test]
fn the_first_minute() {
    if !port_is_free() {
        return skip("quickstart", "port 1053 of 127.0.0.1 is taken");
    }
    without_arguments();
    from_the_examples();
}

fn without_arguments() {
    let empty = Scratch::new();
    let dunlin = Start::bare().inside(empty.path()).on_port(PORT).run();
    let first = dunlin.output().lines().take(4).collect::<Vec<_>>().join("\n");
    assert!(first.contains("127.0.0.1:1053"), "the first lines say where it listens:\n{first}");
    assert!(first.contains("dig @127.0.0.1 -p 1053"), "and what to try:\n{first}");
    let answer = dunlin.ask("backend-service.default.svc.cluster.local. A");
    assert_eq!(answer.data(), ["10.100.0.1"]);
    let pointer = dunlin.ask("1.0.100.10.in-addr.arpa. PTR");
    assert_eq!(pointer.data(), ["backend-service.default.svc.cluster.local."]);
    assert_eq!(dunlin.ask("kube-dns.kube-system.svc.cluster.local. A").data(), ["10.96.0.10"]);
    assert_eq!(dunlin.ask("10-1-2-3.default.pod.cluster.local. A").data(), ["10.1.2.3"]);
    assert_eq!(dunlin.ask("nothing.default.svc.cluster.local. A").rcode, "NXDOMAIN");
    assert_eq!(dunlin.ask("example.org. A").rcode, "REFUSED");
    assert!(http_get(8080, "/health").is_none() || !dunlin.output().contains("8080"), "it opens no other port");
}

fn from_the_examples() {
    let folder = Scratch::new();
    folder.copy(&repository("corefile-examples"));
    let start = Start::bare().inside(folder.path()).argument("-conf").argument("quickstart.Corefile");
    let dunlin = start.on_port(PORT).run();
    let address = || dunlin.ask("backend-service.default.svc.cluster.local. A").answer;
    assert_eq!(address(), ["backend-service.default.svc.cluster.local. 30 A 10.100.0.1"]);
    let sample = read("corefile-examples/quickstart-cluster.yaml");
    let changed = sample.replace("10.100.0.1", "10.100.0.99");
    assert_ne!(sample, changed);
    // As an editor does: over the file that is there.
    std::fs::write(folder.path().join("quickstart-cluster.yaml"), changed).expect("the sample is written");
    let written = Instant::now();
    let seen = wait_until(Duration::from_secs(3), || {
        address() == ["backend-service.default.svc.cluster.local. 30 A 10.100.0.99"]
    });
    assert!(seen, "the change does not show: {:?}\n{}", address(), dunlin.output());
    support::say(format!("quickstart: an edited manifest is answered after {} ms", written.elapsed().as_millis()));
}
