//! DNS under TLS, as clients meet it.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use support::tls::{Authority, Encrypted};
use support::{Answer, Dunlin, Question, Scratch, Start, free_port, http_get, skip, wait_until};

const NAME: &str = "backend-service.default.svc.cluster.local.";

/// A server for `SCHEME://.:PORT` with these lines in `tls`'s block, and its authority.
struct Running {
    dunlin: Dunlin,
    authority: Authority,
    files: Scratch,
    metrics: u16,
}

fn run(scheme: &str, more: &str) -> Running {
    let (authority, files, metrics) = (Authority::new(), Scratch::new(), free_port());
    authority.write(&files, "127.0.0.1");
    let corefile = format!(
        "{scheme}://.:{{$PORT}} {{
    bind 127.0.0.1
    root {{$FILES}}
    tls cert.pem key.pem ca.pem {{
        {more}
    }}
    prometheus 127.0.0.1:{{$METRICS}}
    kubernetes cluster.local {{
        manifests @sample
    }}
}}
"
    );
    let dunlin = Start::corefile(&corefile).set("FILES", files.path().display()).set("METRICS", metrics).run();
    Running { dunlin, authority, files, metrics }
}

impl Running {
    fn connect(&self) -> std::io::Result<Encrypted> {
        Encrypted::connect(self.dunlin.address(), "127.0.0.1", self.authority.client(None, &[b"dot"]))
    }
}

fn query(id: u16) -> Vec<u8> {
    Question::new(NAME, "A").message(id)
}

#[test]
fn queries_are_pipelined_under_tls() {
    let server = run("tls", "client_auth nocert");
    let mut connection = server.connect().unwrap();
    assert_eq!(connection.0.conn.alpn_protocol(), Some(&b"dot"[..]));
    connection.send(&(0..500).map(query).collect::<Vec<_>>()).unwrap();
    let mut ids: Vec<u16> = (0..500)
        .map(|_| {
            let answer = Answer::decode(&connection.take().unwrap()).unwrap();
            assert_eq!((answer.rcode.as_str(), answer.answer.len()), ("NOERROR", 1));
            answer.id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
    let address = server.dunlin.address();
    let line = format!(r#"proto="tcp",server="tls://{address}",type="A",view="",zone="."}} 500"#);
    let (_, text) = http_get(server.metrics, "/metrics").unwrap();
    assert!(text.contains(&line), "{line}\n{text}");
    server.dunlin.wait_for_output(&format!("tls://.:{} on 127.0.0.1", address.port()));
}

#[test]
fn what_is_no_tls_is_closed() {
    let server = run("tls", "client_auth nocert");
    let mut plain = TcpStream::connect(server.dunlin.address()).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    plain.write_all(&[&[0, 60][..], &[7; 60]].concat()).unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(rest.len() < 60, "an alert at most: {rest:?}");
    // Nobody else's client is served, and ours still is.
    let other = Authority::new().client(None, &[]);
    assert!(Encrypted::connect(server.dunlin.address(), "127.0.0.1", other).is_err());
    let mut connection = server.connect().unwrap();
    connection.send(&[query(1)]).unwrap();
    assert_eq!(Answer::decode(&connection.take().unwrap()).unwrap().answer.len(), 1);
}

#[test]
fn clients_prove_themselves() {
    for (demand, strangers) in [("require_and_verify", false), ("require", true), ("verify_if_given", false)] {
        let server = run("tls", &format!("client_auth {demand}"));
        let (ours, strange) = (server.authority.issue("client"), Authority::new().issue("client"));
        let is_served = |shows| {
            let config = server.authority.client(shows, &[]);
            let mut connection = Encrypted::connect(server.dunlin.address(), "127.0.0.1", config).ok()?;
            connection.send(&[query(1)]).ok()?;
            connection.take().ok()
        };
        assert_eq!(is_served(None).is_some(), demand == "verify_if_given", "{demand}: none");
        assert_eq!(is_served(Some(&strange)).is_some(), strangers, "{demand}: a stranger's");
        assert!(is_served(Some(&ours)).is_some(), "{demand}: ours");
    }
}

#[test]
fn a_reload_takes_the_new_certificate() {
    let server = run("tls", "client_auth nocert");
    let mut old = server.connect().unwrap();
    let next = Authority::new();
    next.write(&server.files, "127.0.0.1");
    server.dunlin.signal("USR1");
    let trusts_next = || Encrypted::connect(server.dunlin.address(), "127.0.0.1", next.client(None, &[])).is_ok();
    assert!(wait_until(Duration::from_secs(10), trusts_next), "{}", server.dunlin.output());
    assert!(server.connect().is_err());
    old.send(&[query(1)]).unwrap();
    assert_eq!(Answer::decode(&old.take().unwrap()).unwrap().answer.len(), 1);
}

#[test]
fn one_port_has_one_protocol() {
    let (code, output) = Start::corefile("tls://.:{$PORT} {\n whoami\n}\n.:{$PORT} {\n whoami\n}\n").run_to_end();
    assert_eq!(code, 1);
    assert!(output.contains("another protocol is served on this port"), "{output}");
}

#[test]
fn without_certificates_something_in_front_ends_tls() {
    let dunlin = Dunlin::start("tls://.:{$PORT} {\n bind 127.0.0.1\n whoami\n}\n");
    dunlin.wait_for_output("it is not encrypted");
    assert_eq!(dunlin.ask("a.test. A tcp").rcode, "NOERROR");
}

#[test]
fn kdig_asks_over_tls() {
    let server = run("tls", "client_auth nocert");
    let Some(output) = kdig(
        server.dunlin.address(),
        &[&format!("+tls-ca={}/ca.pem", server.files.path().display()), "+tls-hostname=127.0.0.1"],
    ) else {
        return skip("kdig_asks_over_tls", "there is no kdig");
    };
    assert!(output.contains("status: NOERROR") && output.contains("TLS session"), "{output}");
}

/// What kdig prints; `None` where there is none.
fn kdig(server: SocketAddr, options: &[&str]) -> Option<String> {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string(), "-d"]).args(options);
    let output = command.args([NAME, "A"]).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
