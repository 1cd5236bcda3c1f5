//! DNS under TLS, as clients meet it.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use support::tls::{Authority, Encrypted};
use support::{Answer, Dunlin, Question, Scratch, Start, framed, free_port, http_get, skip, wait_until};

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

/// Hundreds begin a handshake and stop: others are served meanwhile, and these are let go when their time has come.
#[test]
fn slow_handshakes_hold_up_nobody_and_end() {
    const SLOW: usize = 300;
    let server = run("tls", "client_auth nocert");
    let counted = |line: &str| -> f64 {
        let text = http_get(server.metrics, "/metrics").map(|(_, text)| text).unwrap_or_default();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or_default()
    };
    let held: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(server.dunlin.address()).unwrap();
            // A record of a handshake (RFC 8446 section 5.1) of 512 octets, of which eight come.
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();
            stream
        })
        .collect();
    assert!(wait_until(Duration::from_secs(10), || counted("dunlin_engine_connections ") >= SLOW as f64));
    let mut connection = server.connect().unwrap();
    connection.send(&[query(1)]).unwrap();
    assert_eq!(Answer::decode(&connection.take().unwrap()).unwrap().answer.len(), 1);
    assert!(counted("dunlin_engine_connections ") > SLOW as f64, "they were still there");
    let ended = || counted("dunlin_engine_connections_ended_total{reason=\"first\"} ");
    assert!(wait_until(Duration::from_secs(20), || ended() >= SLOW as f64), "{} of {SLOW} ended", ended());
    drop(held);
}

#[test]
fn clients_prove_themselves() {
    for (demand, strangers) in
        [("require_and_verify", false), ("require", true), ("verify_if_given", false), ("request", true)]
    {
        let server = run("tls", &format!("client_auth {demand}"));
        let (ours, strange) = (server.authority.issue("client"), Authority::new().issue("client"));
        let is_served = |shows| {
            let config = server.authority.client(shows, &[]);
            let mut connection = Encrypted::connect(server.dunlin.address(), "127.0.0.1", config).ok()?;
            connection.send(&[query(1)]).ok()?;
            connection.take().ok()
        };
        assert_eq!(is_served(None).is_some(), ["verify_if_given", "request"].contains(&demand), "{demand}: none");
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

/// As cert-manager and the kubelet renew them: the files change, and nobody says so.
#[test]
fn a_renewed_certificate_is_taken_without_a_reload() {
    let server = run("tls", "client_auth nocert\n}\ntimeouts {\nread 1m\nidle 1m");
    let mut old = server.connect().unwrap();
    let next = Authority::new();
    let counted = |result: &str| {
        let (_, text) = http_get(server.metrics, "/metrics")?;
        let of = |line: &&str| line.starts_with("dunlin_tls_renewals_total{") && line.contains(result);
        text.lines().find(of)?.rsplit(' ').next()?.parse::<u64>().ok()
    };
    // One file of the two first, as it may be for a moment: the last pair stays.
    let issued = next.issue("127.0.0.1");
    server.files.write("cert.pem", &issued.certificate);
    assert!(wait_until(Duration::from_secs(15), || counted("failed") >= Some(1)), "{}", server.dunlin.output());
    assert!(server.connect().is_ok());
    server.dunlin.wait_for_output("[ERROR] plugin/tls: the certificate is not renewed: ");
    server.files.write("key.pem", &issued.key);
    let trusts_next = || Encrypted::connect(server.dunlin.address(), "127.0.0.1", next.client(None, &[])).is_ok();
    assert!(wait_until(Duration::from_secs(15), trusts_next), "{}", server.dunlin.output());
    assert!(server.connect().is_err());
    assert_eq!(counted("taken"), Some(1));
    // Who was there is still served, and nothing was loaded anew.
    old.send(&[query(1)]).unwrap();
    assert_eq!(Answer::decode(&old.take().unwrap()).unwrap().answer.len(), 1);
    assert!(!server.dunlin.output().contains("Reloading"));
}

/// Blocks that share a port have each its certificate, told apart by the name that the client asks for.
#[test]
fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let (first, second, files) = (Authority::new(), Authority::new(), Scratch::new());
    for (folder, authority, name) in [("a", &first, "dns.a.test"), ("b", &second, "*.b.test")] {
        let issued = authority.issue(name);
        files.write(&format!("{folder}/cert.pem"), &issued.certificate);
        files.write(&format!("{folder}/key.pem"), &issued.key);
        files.write(&format!("{folder}/ca.pem"), &authority.pem());
    }
    let corefile = "\
tls://a.test:{$PORT} {
    bind 127.0.0.1
    root {$FILES}
    tls a/cert.pem a/key.pem
    whoami
}
tls://b.test:{$PORT} tls://c.test:{$PORT} {
    bind 127.0.0.1
    root {$FILES}
    tls b/cert.pem b/key.pem b/ca.pem {
        client_auth require_and_verify
    }
    whoami
}
";
    let dunlin = Start::corefile(corefile).set("FILES", files.path().display()).run();
    let connects = |authority: &Authority, name: &str| {
        let mut connection = Encrypted::connect(dunlin.address(), name, authority.client(None, &[])).ok()?;
        connection.send(&[Question::new("x.b.test.", "A").message(1)]).ok()?;
        connection.take().ok()
    };
    assert!(connects(&first, "dns.a.test").is_some());
    assert!(connects(&second, "dns.b.test").is_some());
    assert!(connects(&second, "dns.a.test").is_none() && connects(&first, "dns.b.test").is_none());
    // No certificate is for this name: the first one is shown, which a client may or may not take.
    let wrong = Encrypted::connect(dunlin.address(), "dns.c.test", first.client(None, &[])).err().unwrap();
    assert!(wrong.to_string().contains("not valid for name"), "{wrong}");
    // What the second block wants of clients does not count, and is said once for both of its zones.
    let text = dunlin.output();
    let line = "plugin/tls: what clients have to prove here is what the block at ";
    assert_eq!(text.matches(line).count(), 1, "{text}");
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

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const DNS: &str = "Content-Type: application/dns-message\r\n";

#[test]
fn https_1_1_answers_with_statuses() {
    let server = run("https", "client_auth nocert");
    let config = server.authority.client(None, &[b"http/1.1"]);
    let mut connection = Encrypted::connect(server.dunlin.address(), "127.0.0.1", config).unwrap();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    // The query for example.test in RFC 8484's form, base64url without padding.
    let encoded = "AAABAAABAAAAAAAAB2V4YW1wbGUEdGVzdAAAAQAB";
    let other = "Content-Type: text/plain\r\n";
    for (request, status) in [
        (post("/dns-query", DNS, &query(0)), 200),
        (post("/dns-query", "", &query(0)), 200),
        (get(&format!("/dns-query?dns={encoded}")), 200),
        (get("/dns-query"), 400),
        (get("/dns-query?dns=!"), 400),
        (get("/dns-query?dns=AAAA"), 400),
        (get("/"), 404),
        (post("/dns-query", other, &query(0)), 415),
        (post("/dns-query", DNS, b"short"), 400),
        (b"DELETE /dns-query HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 405),
    ] {
        let shown = String::from_utf8_lossy(&request).into_owned();
        let (found, head, body) = connection.http(&request).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(found, status, "{shown}");
        if status == 200 {
            assert!(head.contains("content-type: application/dns-message\r\n"), "{head}");
            assert!(head.contains("cache-control: max-age="), "{head}");
            assert!(Answer::decode(&body).unwrap().has("QR"));
        }
    }
    let (_, head, body) = connection.http(&post("/dns-query", DNS, &query(7))).unwrap();
    let answer = Answer::decode(&body).unwrap();
    assert_eq!((answer.id, answer.answer.len()), (7, 1));
    let ttl = answer.answer[0].split_whitespace().nth(1).unwrap().to_owned();
    assert!(head.contains(&format!("cache-control: max-age={ttl}\r\n")), "{head} {:?}", answer.answer);
    let (_, text) = http_get(server.metrics, "/metrics").unwrap();
    let address = server.dunlin.address();
    for (status, count) in [(200, 4), (400, 4), (404, 1), (405, 1), (415, 1)] {
        let line =
            format!("coredns_dns_https_responses_total{{server=\"https://{address}\",status=\"{status}\"}} {count}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let line = format!("proto=\"tcp\",server=\"https://{address}\",type=\"A\"");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn https_refuses_what_is_too_long() {
    let server = run("https", "client_auth nocert");
    let connect = || {
        let config = server.authority.client(None, &[b"http/1.1"]);
        Encrypted::connect(server.dunlin.address(), "127.0.0.1", config).unwrap()
    };
    let (status, ..) = connect().http(&post("/dns-query", DNS, &[0; 70_000])).unwrap();
    assert_eq!(status, 413);
    let long = format!("GET /dns-query?dns={} HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(40_000));
    assert!(connect().http(long.as_bytes()).map_or(true, |(status, ..)| status >= 400));
    // A body that does not come is not waited for.
    let begun = std::time::Instant::now();
    let half = post("/dns-query", DNS, &query(0));
    let (status, ..) = connect().http(&half[..half.len() - 5]).unwrap();
    assert_eq!(status, 408);
    assert!(begun.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn http_2_has_many_requests_in_flight() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let server = run("https", "client_auth nocert");
    let config = server.authority.client(None, &[b"h2"]);
    let tcp = tokio::net::TcpStream::connect(server.dunlin.address()).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, tcp).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    let driving = tokio::spawn(connection);
    let ask = |id: u16| {
        let mut sender = sender.clone();
        async move {
            let request = hyper::Request::post("https://127.0.0.1/dns-query")
                .header("content-type", "application/dns-message")
                .body(Full::new(bytes::Bytes::from(query(id))))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let answer = Answer::decode(&body).unwrap();
            assert_eq!((answer.id, answer.answer.len()), (id, 1));
        }
    };
    futures_util::future::join_all((0..1000).map(ask)).await;
    // SIGTERM closes the connection in order.
    server.dunlin.signal("TERM");
    assert!(driving.await.unwrap().is_ok());
}

#[test]
fn https_without_certificates_is_http() {
    let dunlin = Dunlin::start("https://.:{$PORT} {\n bind 127.0.0.1\n whoami\n}\n");
    let (status, _) = support::http_request(dunlin.port, "GET", "/dns-query", "text/plain", "").unwrap();
    assert_eq!(status, 400);
}

#[test]
fn kdig_and_curl_ask_over_https() {
    let server = run("https", "client_auth nocert");
    let authority = format!("{}/ca.pem", server.files.path().display());
    for method in ["+https", "+https-get"] {
        let options = ["+https", method, &format!("+tls-ca={authority}"), "+tls-hostname=127.0.0.1"];
        let Some(output) = kdig(server.dunlin.address(), &options) else {
            return skip("kdig_and_curl_ask_over_https", "there is no kdig");
        };
        assert!(output.contains("status: NOERROR") && output.contains("HTTP session (HTTP/2"), "{output}");
    }
    let url = format!("https://{}/dns-query?dns=AAABAAABAAAAAAAAB2V4YW1wbGUEdGVzdAAAAQAB", server.dunlin.address());
    for version in ["--http1.1", "--http2"] {
        let arguments =
            [version, "--cacert", &authority, "-s", "-w", "%{http_code} %{content_type}", "-o", "/dev/null"];
        let Ok(output) = Command::new("curl").args(arguments).arg(&url).output() else {
            return skip("kdig_and_curl_ask_over_https", "there is no curl");
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), "200 application/dns-message", "{version}");
    }
    let body = server.files.path().join("query");
    std::fs::write(&body, query(0)).unwrap();
    let posted = Command::new("curl")
        .args(["--cacert", &authority, "-s", "-H", "Content-Type: application/dns-message", "--data-binary"])
        .arg(format!("@{}", body.display()))
        .arg(format!("https://{}/dns-query", server.dunlin.address()))
        .output()
        .unwrap();
    assert_eq!(Answer::decode(&posted.stdout).unwrap().answer.len(), 1);
}

#[test]
fn kdig_asks_over_quic() {
    let server = run("quic", "client_auth nocert");
    let options = [&format!("+tls-ca={}/ca.pem", server.files.path().display()), "+tls-hostname=127.0.0.1", "+quic"];
    let Some(output) = kdig(server.dunlin.address(), &options) else {
        return skip("kdig_asks_over_quic", "there is no kdig");
    };
    assert!(output.contains("status: NOERROR") && output.contains("QUIC session"), "{output}");
    let address = server.dunlin.address();
    let line = format!("coredns_dns_quic_responses_total{{server=\"quic://{address}\",status=\"0x0\"}} 1");
    // The answer may be here before it is counted.
    let counted = || http_get(server.metrics, "/metrics").is_some_and(|(_, text)| text.contains(&line));
    assert!(wait_until(Duration::from_secs(10), counted), "{line}");
}

/// A connection of quinn's, which trusts the server's authority.
async fn quic(server: &Running) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = quic_client(server, [127, 0, 0, 1]);
    let connection = endpoint.connect(server.dunlin.address(), "127.0.0.1").unwrap().await.unwrap();
    (endpoint, connection)
}

fn quic_client(server: &Running, from: [u8; 4]) -> quinn::Endpoint {
    let crypto = server.authority.client(None, &[b"doq"]);
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(crypto).unwrap();
    let mut endpoint = quinn::Endpoint::client((from, 0).into()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    endpoint
}

async fn ask_quic(connection: &quinn::Connection, message: &[u8]) -> Option<Answer> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(&framed(message)).await.ok()?;
    send.finish().ok()?;
    let octets = receive.read_to_end(70_000).await.ok()?;
    Answer::decode(octets.get(2..)?).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_has_a_stream_a_query_within_bounds() {
    let server = run("quic", "client_auth nocert\n}\nquic {\nmax_streams 8\nworker_pool_size 4");
    let (_endpoint, connection) = quic(&server).await;
    // More than there may be at a time: they wait their turn.
    let queries: Vec<_> = (0..200).map(|_| query(0)).collect();
    let answers = futures_util::future::join_all(queries.iter().map(|message| ask_quic(&connection, message))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|answer| answer.answer.len() == 1)));
}

/// From many addresses, so that none of them has more than its part.
#[tokio::test(flavor = "multi_thread")]
async fn quic_connections_above_the_bound_are_refused_and_counted() {
    const MOST: usize = 200;
    const EACH: usize = 4;
    const CLIENTS: u8 = 52;
    let server = run("quic", "client_auth nocert\n}\ntimeouts {\nidle 1m");
    let (mut open, mut refused) = (Vec::new(), 0);
    for client in 1..=CLIENTS {
        let endpoint = quic_client(&server, [127, 0, 1, client]);
        for _ in 0..EACH {
            match endpoint.connect(server.dunlin.address(), "127.0.0.1").unwrap().await {
                Ok(connection) => open.push((endpoint.clone(), connection)),
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!((open.len(), refused), (MOST, usize::from(CLIENTS) * EACH - MOST));
    let text = http_get(server.metrics, "/metrics").map(|(_, text)| text).unwrap_or_default();
    let counted = |series: &str| text.lines().find_map(|line| line.strip_prefix(series)?.parse::<usize>().ok());
    assert_eq!(counted("dunlin_engine_connections "), Some(MOST));
    let dropped = |reason| counted(&format!("dunlin_engine_dropped_total{{reason=\"{reason}\"}} ")).unwrap_or_default();
    assert!(dropped("connection") > 0 && dropped("connection") + dropped("source") == refused, "{text}");
    // Those that are open are served, and one that goes makes room.
    assert!(ask_quic(&open[0].1, &query(0)).await.is_some());
    open.truncate(MOST - 1);
    let endpoint = quic_client(&server, [127, 0, 2, 1]);
    let mut tries = 0;
    while endpoint.connect(server.dunlin.address(), "127.0.0.1").unwrap().await.is_err() {
        tries += 1;
        assert!(tries < 100, "no room");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_ends_a_quic_connection() {
    let server = run("quic", "client_auth nocert");
    for message in [query(1), vec![0; 3]] {
        let (_endpoint, connection) = quic(&server).await;
        assert!(ask_quic(&connection, &message).await.is_none());
        // DOQ_PROTOCOL_ERROR (RFC 9250 section 4.3).
        let quinn::ConnectionError::ApplicationClosed(closed) = connection.closed().await else {
            panic!("closed by us")
        };
        assert_eq!(closed.error_code, 2u32.into());
    }
    // Others are served.
    let (_endpoint, connection) = quic(&server).await;
    assert!(ask_quic(&connection, &query(0)).await.is_some());
    let counted = || http_get(server.metrics, "/metrics").is_some_and(|(_, text)| text.contains("status=\"0x2\"} 2"));
    assert!(wait_until(Duration::from_secs(10), counted));
}

/// `timeouts` holds for QUIC: what is short ends, while what is long stays.
#[tokio::test(flavor = "multi_thread")]
async fn quic_connections_and_streams_end_in_their_time() {
    let with = |times: &str| run("quic", &format!("client_auth nocert\n}}\ntimeouts {{\n{times}"));
    let patience = Duration::from_secs(30);

    let (short, long) = (with("idle 1s"), with("idle 1m"));
    // The long one begins first: were both alike, it would end first.
    let ((_one, stays), (_other, ended)) = (quic(&long).await, quic(&short).await);
    assert!(ask_quic(&stays, &query(0)).await.is_some());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ask_quic(&ended, &query(0)).await.is_some());
    tokio::select! {
        _ = ended.closed() => {}
        _ = stays.closed() => panic!("the long one was closed first"),
        () = tokio::time::sleep(patience) => panic!("idle 1s: open after {patience:?}"),
    }

    let (short, long) = (with("read 1s"), with("read 1m"));
    let ((_one, stays), (_other, ended)) = (quic(&long).await, quic(&short).await);
    let begun = |connection: quinn::Connection| async move {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&[0, 40, 0]).await.unwrap();
        receive.read_to_end(1).await.map_err(|why| why.to_string())
    };
    let stays = tokio::spawn(begun(stays));
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::select! {
        end = begun(ended) => assert!(end.is_err(), "half a query: {end:?}"),
        end = stays => panic!("the long one ended first: {end:?}"),
        () = tokio::time::sleep(patience) => panic!("read 1s: open after {patience:?}"),
    }
}

/// One dunlin behind another: what the first one serves encrypted, the second one asks for.
#[test]
fn forward_asks_encrypted_servers() {
    for (scheme, more) in [("tls", ""), ("https", ""), ("https", "doh_method GET")] {
        let behind = run(scheme, "client_auth nocert");
        let ask = |authority: &Authority| {
            let files = Scratch::new();
            authority.write(&files, "unused");
            let corefile = format!(
                ".:{{$PORT}} {{
    bind 127.0.0.1
    prometheus 127.0.0.1:{{$METRICS}}
    errors
    forward . {scheme}://{} {{
        tls {}/ca.pem
        {more}
    }}
}}
",
                behind.dunlin.address(),
                files.path().display()
            );
            let metrics = free_port();
            let dunlin = Start::corefile(&corefile).set("METRICS", metrics).run();
            let questions: Vec<_> = (0..200).map(|_| Question::new(NAME, "A")).collect();
            let answers = dunlin.client().ask_all(&questions);
            let text = http_get(metrics, "/metrics").unwrap().1;
            (answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), text, dunlin.output())
        };
        let (answers, text, output) = ask(&behind.authority);
        assert!(answers.iter().all(|answer| answer.answer.len() == 1), "{scheme} {more}: {output}");
        let proto = if scheme == "tls" { "tcp-tls" } else { "https" };
        let to = behind.dunlin.address();
        let opened =
            format!("coredns_proxy_conn_cache_misses_total{{proto=\"{proto}\",proxy_name=\"forward\",to=\"{to}\"}} ");
        let opened = text.lines().find_map(|line| line.strip_prefix(&opened)).unwrap_or_else(|| panic!("{text}"));
        assert!((1..=8).contains(&opened.parse::<u32>().unwrap()), "{opened}");
        let (answers, _, output) = ask(&Authority::new());
        assert!(answers.iter().all(|answer| answer.rcode == "SERVFAIL"), "{scheme} {more}: {output}");
        assert!(output.contains("tls: invalid peer certificate"), "{output}");
    }
}

/// `tls FILE` of `prometheus`: metrics for scrapers that have a certificate.
#[test]
fn metrics_are_served_by_https() {
    let (authority, files, metrics) = (Authority::new(), Scratch::new(), free_port());
    authority.write(&files, "127.0.0.1");
    let web = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_ca_file: ca.pem\n  \
               client_auth_type: RequireAndVerifyClientCert\n";
    files.write("web.yaml", web);
    let corefile = "\
.:{$PORT} {
    bind 127.0.0.1
    root {$FILES}
    prometheus 127.0.0.1:{$METRICS} {
        tls web.yaml
    }
    whoami
}
";
    let dunlin = Start::corefile(corefile).set("FILES", files.path().display()).set("METRICS", metrics).run();
    let ours = authority.issue("scraper");
    let get = |authority: &Authority, shows| {
        let config = authority.client(shows, &[]);
        let mut connection = Encrypted::connect(([127, 0, 0, 1], metrics).into(), "127.0.0.1", config).ok()?;
        connection.http(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()
    };
    let served = |authority: &Authority, shows| {
        let (status, _, body) = get(authority, shows)?;
        (status == 200).then(|| String::from_utf8_lossy(&body).into_owned())
    };
    assert!(
        served(&authority, Some(&ours)).is_some_and(|text| text.contains("coredns_build_info")),
        "{}",
        dunlin.output()
    );
    assert!(served(&authority, None).is_none(), "without a certificate");
    assert!(served(&authority, Some(&Authority::new().issue("scraper"))).is_none(), "with a stranger's");
    assert!(http_get(metrics, "/metrics").is_none(), "in the clear");
    // Renewed as the listeners' are.
    let next = Authority::new();
    next.write(&files, "127.0.0.1");
    let renewed =
        || Encrypted::connect(([127, 0, 0, 1], metrics).into(), "127.0.0.1", next.client(Some(&ours), &[])).is_ok();
    assert!(wait_until(Duration::from_secs(15), renewed), "{}", dunlin.output());
}

/// `tls_server_config` and `basic_auth_users` in one file: both are asked for, the password below TLS. CoreDNS was seen
/// to answer with the same statuses; to a probe in the clear it says 400, which is no metrics either.
#[test]
fn metrics_by_https_are_for_those_with_a_password() {
    let (authority, files) = (Authority::new(), Scratch::new());
    authority.write(&files, "127.0.0.1");
    let users = format!("basic_auth_users:\n  ada: {}\n", bcrypt::hash("engine", 4).unwrap());
    let pair = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";
    let clients = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n";
    files.write("users.yaml", &format!("{pair}{users}"));
    files.write("both.yaml", &format!("{pair}{clients}{users}"));
    let (password, certificate) = (free_port(), free_port());
    let corefile = "\
.:{$PORT} {
    bind 127.0.0.1
    root {$FILES}
    prometheus 127.0.0.1:{$PASSWORD} {
        tls users.yaml
    }
    whoami
}
other.test:{$PORT} {
    bind 127.0.0.1
    root {$FILES}
    prometheus 127.0.0.1:{$CERTIFICATE} {
        tls both.yaml
    }
    whoami
}
";
    let dunlin = Start::corefile(corefile)
        .set("FILES", files.path().display())
        .set("PASSWORD", password)
        .set("CERTIFICATE", certificate)
        .run();
    let ours = authority.issue("scraper");
    let get = |port: u16, shows, path: &str, header: &str| {
        let config = authority.client(shows, &[]);
        let mut connection = Encrypted::connect(([127, 0, 0, 1], port).into(), "127.0.0.1", config).ok()?;
        connection.http(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n").as_bytes()).ok()
    };
    let status = |port, shows, path: &str, header: &str| get(port, shows, path, header).map(|(status, ..)| status);
    // ada:engine, ada:wrong, bob:engine.
    let right = "Authorization: Basic YWRhOmVuZ2luZQ==\r\n";
    let wrong = ["Authorization: Basic YWRhOndyb25n\r\n", "Authorization: Basic Ym9iOmVuZ2luZQ==\r\n", ""];
    let (code, _, body) = get(password, None, "/metrics", right).unwrap_or_else(|| panic!("{}", dunlin.output()));
    assert!(code == 200 && String::from_utf8_lossy(&body).contains("coredns_build_info"), "{code}");
    for header in wrong {
        let (code, head, body) = get(password, None, "/metrics", header).unwrap();
        assert!(code == 401 && head.contains("www-authenticate: basic\r\n"), "{header}: {code} {head}");
        assert_eq!(body, b"Unauthorized\n", "{header}");
        assert_eq!(status(password, None, "/other", header), Some(401), "{header}");
        assert_eq!(status(certificate, Some(&ours), "/metrics", header), Some(401), "{header}");
    }
    assert_eq!(status(certificate, Some(&ours), "/metrics", right), Some(200));
    // A password is no certificate, and no stranger's certificate is ours.
    assert_eq!(status(certificate, None, "/metrics", right), None);
    assert_eq!(status(certificate, Some(&Authority::new().issue("scraper")), "/metrics", right), None);
    // A probe with neither.
    for port in [password, certificate] {
        assert!(http_get(port, "/metrics").is_none(), "in the clear");
    }
}

/// `tls CERT KEY CA` of `forward`: who has to prove itself to its upstream does.
#[test]
fn forward_shows_its_certificate() {
    let behind = run("tls", "client_auth require_and_verify");
    let files = Scratch::new();
    behind.authority.write(&files, "client");
    for (tls, rcode) in [("tls cert.pem key.pem ca.pem", "NOERROR"), ("tls ca.pem", "SERVFAIL")] {
        let corefile = format!(
            ".:{{$PORT}} {{
    bind 127.0.0.1
    root {}
    forward . tls://{} {{
        {tls}
    }}
}}
",
            files.path().display(),
            behind.dunlin.address(),
        );
        assert_eq!(Dunlin::start(&corefile).ask(&format!("{NAME} A")).rcode, rcode, "{tls}");
    }
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
