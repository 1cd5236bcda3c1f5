//! The cluster zone at a secondary: knot transfers it and stays in step. And a zone of NSD's that goes through dunlin
//! to knot.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Client, Dunlin, Question, Scratch, Start, free_port, http_get, read, skip, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

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
        Secondary::of("cluster.local", port, primary)
    }

    fn of(zone: &str, port: u16, primary: u16) -> Option<Secondary> {
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
  - domain: {zone}
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
        has(self.port, question, record)
    }
}

/// Whether the server on a port has this record. It answers REFUSED or SERVFAIL, or not at all, before it has the zone.
fn has(port: u16, question: &str, record: &str) -> bool {
    let question = Question::parse(question).unwrap();
    let client = Client::new(([127, 0, 0, 1], port).into());
    matches!(client.ask_all(&[question]).pop(), Some(Ok(answer)) if answer.answer.iter().any(|r| r.contains(record)))
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
    assert!(wait_until(PATIENCE, || secondary.has("web.shop.svc.cluster.local. A", "10.0.0.1")), "{}", dunlin.output());
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
        assert!(wait_until(PATIENCE, || secondary.has(&question, address)), "{name}: {}", dunlin.output());
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
    // Over UDP it is the SOA record alone: whoever has another serial asks over TCP.
    for known in [serial, "1"] {
        let alone = dunlin.dig(&["+notcp", "+noall", "+answer", "cluster.local", &format!("IXFR={known}")]).unwrap();
        let records: Vec<_> = alone.lines().filter(|line| line.contains("\tIN\t")).collect();
        assert!(records.len() == 1 && records[0].contains(serial), "{alone}");
    }
    // Over UDP (dig would go over to TCP by itself), of other zones, and by others.
    assert_eq!(dunlin.ask("cluster.local. AXFR").rcode, "REFUSED");
    assert_eq!(dunlin.ask("in-addr.arpa. AXFR tcp").rcode, "REFUSED");
    let stranger = dunlin.dig(&["-b", "127.0.0.2", "cluster.local", "AXFR"]).unwrap();
    assert!(stranger.contains("Transfer failed"), "{stranger}");
}

/// NSD, primary of `held.test`; it ends with the value.
struct Primary {
    nsd: Child,
    files: Scratch,
}

impl Drop for Primary {
    fn drop(&mut self) {
        // It has children that it ends itself.
        self.signal("TERM");
        let _ = self.nsd.wait();
    }
}

impl Primary {
    /// `None` where there is no nsd.
    fn start(port: u16, secondary: u16) -> Option<Primary> {
        let files = Scratch::new();
        let at = files.path().display();
        let configuration = files.write(
            "nsd.conf",
            &format!(
                "server:
    ip-address: 127.0.0.1
    port: {port}
    username: \"\"
    chroot: \"\"
    zonesdir: \"{at}\"
    pidfile: \"{at}/nsd.pid\"
    zonelistfile: \"{at}/zone.list\"
    xfrdfile: \"{at}/xfrd.state\"
    xfrdir: \"{at}\"
    logfile: \"{at}/nsd.log\"
remote-control:
    control-enable: no
zone:
    name: held.test
    zonefile: held.zone
    notify: 127.0.0.1@{secondary} NOKEY
    provide-xfr: 127.0.0.1 NOKEY
"
            ),
        );
        files.write("held.zone", &Primary::zone(1));
        let mut command = Command::new("nsd");
        command.arg("-d").arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Primary { nsd: command.spawn().ok()?, files })
    }

    /// The zone's timers are of hours: only a NOTIFY tells of a change before.
    fn zone(serial: u32) -> String {
        let records: String = (0..serial).map(|number| format!("www-{number} A 192.0.2.{number}\n")).collect();
        format!(
            "$ORIGIN held.test.\n$TTL 60\n@ SOA ns ops {serial} 14400 14400 86400 60\n@ NS ns\nns A 192.0.2.53\n{records}"
        )
    }

    fn change_to(&self, serial: u32) {
        self.files.write("held.zone", &Primary::zone(serial));
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([format!("-{name}"), self.nsd.id().to_string()]).status();
    }
}

/// A zone comes from one server and goes on to another: each change is told by NOTIFY, from NSD to us and from us to
/// knot.
#[test]
fn a_zone_goes_through_in_step() {
    let (above, below) = (free_port(), free_port());
    let corefile = format!(
        "held.test:{{$PORT}} {{
    bind 127.0.0.1
    prometheus 127.0.0.1:{{$METRICS}}
    secondary {{
        transfer from 127.0.0.1:{above}
    }}
    transfer {{
        to 127.0.0.1:{below}
    }}
}}
"
    );
    let (metrics, port) = (free_port(), free_port());
    let Some(primary) = Primary::start(above, port) else {
        return skip("a_zone_goes_through_in_step", "there is no nsd");
    };
    let begun = wait_until(PATIENCE, || has(above, "www-0.held.test. A", "192.0.2.0"));
    assert!(begun, "{}", std::fs::read_to_string(primary.files.path().join("nsd.log")).unwrap_or_default());
    let dunlin = Start::corefile(&corefile).set("METRICS", metrics).on_port(port).run();
    let Some(secondary) = Secondary::of("held.test", below, port) else {
        return skip("a_zone_goes_through_in_step", "there is no knotd");
    };
    assert!(wait_until(PATIENCE, || secondary.has("www-0.held.test. A", "192.0.2.0")), "{}", dunlin.output());
    for serial in [2, 3, 7] {
        let began = std::time::Instant::now();
        primary.change_to(serial);
        let (question, address) = (format!("www-{}.held.test. A", serial - 1), format!("192.0.2.{}", serial - 1));
        assert!(wait_until(PATIENCE, || has(port, &question, &address)), "{serial}: {}", dunlin.output());
        let here = began.elapsed();
        assert!(wait_until(PATIENCE, || secondary.has(&question, &address)), "{serial}: {}", dunlin.output());
        support::say(format!("serial {serial}: here after {here:?}, at the secondary's after {:?}", began.elapsed()));
    }
    // What the secondary has is what the primary has: nothing was lost on the way.
    for number in 0..7 {
        assert!(secondary.has(&format!("www-{number}.held.test. A"), &format!("192.0.2.{number}")));
    }
    let (_, text) = http_get(metrics, "/metrics").unwrap();
    let count = |result: &str| {
        let line = format!("dunlin_secondary_notifies_total{{result=\"{result}\",zone=\"held.test.\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or_default()
    };
    assert!(count("taken") >= 3 && count("dropped") == 0, "{text}");
}
