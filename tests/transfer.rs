//! The cluster zone at a secondary: knot transfers it and stays in step.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Client, Dunlin, Scratch, Start, free_port, read, skip, wait_until};

struct Secondary {
    knotd: Child,
    port: u16,
    _files: Scratch,
}

impl Drop for Secondary {
    fn drop(&mut self) {
        let _ = self.knotd.kill();
        let _ = self.knotd.wait();
    }
}

impl Secondary {
    /// `None` where there is no knotd.
    fn start(port: u16, primary: u16) -> Option<Secondary> {
        let files = Scratch::new();
        let at = files.path().display();
        let configuration = files.write(
            "knot.conf",
            &format!(
                "server:
    listen: 127.0.0.1@{port}
    rundir: {at}
database:
    storage: {at}
remote:
  - id: primary
    address: 127.0.0.1@{primary}
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
template:
  - id: default
    storage: {at}
zone:
  - domain: cluster.local
    master: primary
    acl: notify
"
            ),
        );
        let mut command = Command::new("knotd");
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Secondary { knotd: command.spawn().ok()?, port, _files: files })
    }

    fn has(&self, question: &str, record: &str) -> bool {
        // knot answers REFUSED or SERVFAIL, or not at all, before it has the zone.
        let question = support::Question::parse(question).unwrap();
        let client = Client::new(([127, 0, 0, 1], self.port).into());
        matches!(client.ask_all(&[question]).pop(), Some(Ok(answer)) if answer.answer.iter().any(|r| r.contains(record)))
    }
}

fn run(secondary: u16) -> (Dunlin, Scratch) {
    let manifests = Scratch::new();
    manifests.write("shop.yaml", &read("tests/cases/manifests/shop.yaml"));
    let corefile = format!(
        ".:{{$PORT}} {{
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa {{
        manifests {{$MANIFESTS}}
    }}
    transfer cluster.local {{
        to 127.0.0.1:{secondary}
    }}
    cache
}}
"
    );
    (Start::corefile(&corefile).set("MANIFESTS", manifests.path().display()).run(), manifests)
}

#[test]
fn a_secondary_stays_in_step() {
    let port = free_port();
    let (dunlin, manifests) = run(port);
    let Some(secondary) = Secondary::start(port, dunlin.port) else {
        return skip("a_secondary_stays_in_step", "there is no knotd");
    };
    let patience = Duration::from_secs(20);
    assert!(wait_until(patience, || secondary.has("web.shop.svc.cluster.local. A", "10.0.0.1")), "{}", dunlin.output());
    assert!(secondary.has("_http._tcp.db.shop.svc.cluster.local. SRV", "172-0-0-2.db.shop.svc.cluster.local."));
    for (name, address) in [("new-one", "10.0.77.1"), ("new-two", "10.0.77.2")] {
        manifests.write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
                 spec: {{clusterIP: {address}, ports: [{{name: http, port: 80}}]}}\n"
            ),
        );
        let question = format!("{name}.shop.svc.cluster.local. A");
        assert!(wait_until(patience, || secondary.has(&question, address)), "{name}: {}", dunlin.output());
    }
}

#[test]
fn dig_transfers_the_zone() {
    let (dunlin, _manifests) = run(free_port());
    let Some(zone) = dunlin.dig(&["+noall", "+answer", "cluster.local", "AXFR"]) else {
        return skip("dig_transfers_the_zone", "there is no dig");
    };
    let lines: Vec<&str> = zone.lines().filter(|line| !line.starts_with(';') && !line.is_empty()).collect();
    assert!(lines.len() > 20, "{zone}");
    assert!(lines[0].contains("SOA") && lines.last() == lines.first(), "{zone}");
    assert_eq!(zone.matches("SOA").count(), 2, "{zone}");
    let serial = lines[0].split_whitespace().nth(6).unwrap();
    let known = dunlin.dig(&["+noall", "+answer", "cluster.local", &format!("IXFR={serial}")]).unwrap();
    assert_eq!(known.lines().filter(|line| line.contains("IN\tSOA")).count(), 1, "{known}");
    let older = dunlin.dig(&["+noall", "+answer", "cluster.local", "IXFR=1"]).unwrap();
    assert_eq!(older.lines().filter(|line| line.contains("IN\tSOA")).count(), 2, "{older}");
    // Over UDP (dig would go over to TCP by itself), of other zones, and by others.
    assert_eq!(dunlin.ask("cluster.local. AXFR").rcode, "REFUSED");
    assert_eq!(dunlin.ask("in-addr.arpa. AXFR tcp").rcode, "REFUSED");
    let stranger = dunlin.dig(&["-b", "127.0.0.2", "cluster.local", "AXFR"]).unwrap();
    assert!(stranger.contains("Transfer failed"), "{stranger}");
}
