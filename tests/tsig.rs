//! Signed transfers (RFC 8945) between dunlin and the servers that others run: dig, NSD and Knot.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Client, Dunlin, Question, Scratch, Start, free_port, read, skip, wait_until};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
const PATIENCE: Duration = Duration::from_secs(30);

/// A name server of somebody else's.
struct Other {
    child: Child,
    port: u16,
    files: Scratch,
}

impl Other {
    /// `None` where the program is not there.
    fn start(port: u16, files: Scratch, program: &str, arguments: &[&str]) -> Option<Other> {
        let mut command = Command::new(program);
        command.args(arguments).arg("-c").arg(files.path().join("conf"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Other { child, port, files })
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // NSD has children that it ends itself.
        self.signal("TERM");
        let _ = self.child.wait();
    }
}

/// Whether the server on a port has this record for a question.
fn has(port: u16, question: &str, record: &str) -> bool {
    let question = Question::parse(question).unwrap();
    let client = Client::new(([127, 0, 0, 1], port).into());
    matches!(client.ask_all(&[question]).pop(), Some(Ok(answer)) if answer.answer.iter().any(|r| r.contains(record)))
}

/// The cluster zone, for those who have the key.
fn cluster(secondary: u16) -> (Dunlin, Scratch) {
    let manifests = Scratch::new();
    manifests.write("shop.yaml", &read("tests/cases/manifests/shop.yaml"));
    let corefile = format!(
        "cluster.local:{{$PORT}} {{
    bind 127.0.0.1
    tsig {{
        secret k.test {SECRET}
        require AXFR IXFR
    }}
    kubernetes {{
        manifests {{$MANIFESTS}}
    }}
    transfer {{
        to 127.0.0.1:{secondary}
    }}
}}
"
    );
    (Start::corefile(&corefile).set("MANIFESTS", manifests.path().display()).run(), manifests)
}

fn add_service(manifests: &Scratch, name: &str, address: &str) {
    manifests.write(
        &format!("{name}.yaml"),
        &format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{clusterIP: {address}, ports: [{{name: http, port: 80}}]}}\n"
        ),
    );
}

#[test]
fn dig_transfers_with_the_key_alone() {
    let (dunlin, _manifests) = cluster(free_port());
    let dig = |arguments: &[&str]| {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &dunlin.port.to_string(), "+time=5", "+tries=1"]).args(arguments);
        command.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for algorithm in ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] {
        let key = format!("{algorithm}:k.test:{SECRET}");
        let Some(zone) = dig(&["-y", &key, "cluster.local", "AXFR"]) else {
            return skip("dig_transfers_with_the_key_alone", "there is no dig");
        };
        // dig says so where it cannot verify what comes.
        assert!(
            zone.contains("web.shop.svc.cluster.local.") && !zone.contains("TSIG could not"),
            "{algorithm}: {zone}"
        );
        assert!(zone.contains("NOERROR") && !zone.contains("WARNING"), "{algorithm}: {zone}");
    }
    let answer = dig(&["-y", &format!("hmac-sha256:k.test:{SECRET}"), "web.shop.svc.cluster.local", "A"]).unwrap();
    assert!(answer.contains("10.0.0.1") && answer.contains("TSIG PSEUDOSECTION"), "{answer}");
    assert!(!answer.contains("could not be validated"), "{answer}");
    for (key, code) in
        [("hmac-sha256:k.test:bm90IHRoZSBzZWNyZXQ=", "BADSIG"), ("hmac-sha256:other.test:bm90", "BADKEY")]
    {
        let answer = dig(&["-y", key, "web.shop.svc.cluster.local", "A"]).unwrap();
        assert!(answer.contains("status: NOTAUTH") && answer.contains(code), "{code}: {answer}");
    }
    let unsigned = dig(&["cluster.local", "AXFR"]).unwrap();
    assert!(unsigned.contains("Transfer failed"), "{unsigned}");
}

#[test]
fn nsd_stays_in_step_with_the_key() {
    let (port, files) = (free_port(), Scratch::new());
    let (dunlin, manifests) = cluster(port);
    let at = files.path().display();
    let primary = dunlin.port;
    files.write(
        "conf",
        &format!(
            "server:
    ip-address: 127.0.0.1@{port}
    username: \"\"
    zonesdir: \"{at}\"
    database: \"\"
    pidfile: \"{at}/nsd.pid\"
    xfrdfile: \"{at}/xfrd.state\"
    xfrdir: \"{at}\"
    zonelistfile: \"{at}/zone.list\"
    logfile: \"{at}/nsd.log\"
    server-count: 1
remote-control:
    control-enable: no
key:
    name: k.test
    algorithm: hmac-sha256
    secret: \"{SECRET}\"
zone:
    name: cluster.local
    zonefile: cluster.zone
    allow-notify: 127.0.0.1 NOKEY
    request-xfr: AXFR 127.0.0.1@{primary} k.test
"
        ),
    );
    let Some(nsd) = Other::start(port, files, "nsd", &["-d"]) else {
        return skip("nsd_stays_in_step_with_the_key", "there is no nsd");
    };
    let log = || std::fs::read_to_string(nsd.files.path().join("nsd.log")).unwrap_or_default();
    assert!(wait_until(PATIENCE, || has(nsd.port, "web.shop.svc.cluster.local. A", "10.0.0.1")), "{}", log());
    add_service(&manifests, "new-one", "10.0.77.1");
    let came = || has(nsd.port, "new-one.shop.svc.cluster.local. A", "10.0.77.1");
    assert!(wait_until(PATIENCE, came), "{}\n{}", dunlin.output(), log());
}

#[test]
fn dunlin_is_secondary_of_knot_with_the_key() {
    let (port, ours, files) = (free_port(), free_port(), Scratch::new());
    let at = files.path().display();
    let zone = |serial: u32, address: &str| {
        format!(
            "$ORIGIN held.test.\n@ 60 SOA ns host {serial} 3600 600 86400 30\n@ NS ns\nns A 192.0.2.1\nweb A {address}\n"
        )
    };
    files.write("held.zone", &zone(1, "192.0.2.10"));
    files.write(
        "conf",
        &format!(
            "server:
    listen: 127.0.0.1@{port}
    rundir: {at}
database:
    storage: {at}
key:
  - id: k.test
    algorithm: hmac-sha256
    secret: {SECRET}
remote:
  - id: dunlin
    address: 127.0.0.1@{ours}
acl:
  - id: transfer
    key: k.test
    action: transfer
zone:
  - domain: held.test
    storage: {at}
    file: held.zone
    zonefile-sync: -1
    notify: dunlin
    acl: transfer
"
        ),
    );
    let Some(knot) = Other::start(port, files, "knotd", &[]) else {
        return skip("dunlin_is_secondary_of_knot_with_the_key", "there is no knotd");
    };
    let keys = knot
        .files
        .write("tsig.keys", &format!("key \"k.test\" {{\n  algorithm hmac-sha256;\n  secret \"{SECRET}\";\n}};\n"));
    let corefile = format!(
        "held.test:{{$PORT}} {{
    bind 127.0.0.1
    tsig {{
        secrets {}
    }}
    secondary {{
        transfer from 127.0.0.1:{port}
        key k.test
    }}
    transfer {{
        to *
    }}
}}
without.test:{{$PORT}} {{
    bind 127.0.0.1
    secondary held.test {{
        transfer from 127.0.0.1:{port}
    }}
}}
",
        keys.display()
    );
    let dunlin = Start::corefile(&corefile).on_port(ours).run();
    // The first try may come before knot listens; the next is ten seconds later.
    assert!(wait_until(PATIENCE, || has(ours, "web.held.test. A", "192.0.2.10")), "{}", dunlin.output());
    // The SOA says an hour: only NOTIFY can bring this.
    knot.files.write("held.zone", &zone(2, "192.0.2.20"));
    knot.signal("HUP");
    assert!(wait_until(PATIENCE, || has(ours, "web.held.test. A", "192.0.2.20")), "{}", dunlin.output());
    assert_eq!(dunlin.ask("no.held.test. A").rcode, "NXDOMAIN");
    assert!(has(ours, "held.test. AXFR tcp", "192.0.2.20"), "handed on");
    // Without the key knot gives nothing.
    dunlin.wait_for_output("Failed to transfer held.test.");
}
