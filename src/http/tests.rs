use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn endpoint(address: &str, path: &'static str, body: &'static str) -> Endpoint {
    let respond = move |request: &Request| Response {
        status: 200,
        content_type: "text/plain",
        body: format!("{body}{}", request.query).into(),
    };
    Endpoint { address: address.into(), path, respond: Arc::new(respond), required: true, keys: None, admits: None }
}

async fn open(endpoints: &[(&str, &'static str, &'static str)]) -> Listeners {
    let listeners = Listeners::new(&Metrics::new());
    apply(&listeners, endpoints).await.unwrap();
    listeners
}

async fn apply(listeners: &Listeners, endpoints: &[(&str, &'static str, &'static str)]) -> Result<(), String> {
    listeners.apply(endpoints.iter().map(|(address, path, body)| endpoint(address, path, body)).collect()).await
}

async fn bound(listeners: &Listeners, address: &str) -> SocketAddr {
    listeners.open.lock().await[address].socket.local_addr().unwrap()
}

/// The status line and the body.
async fn request(to: SocketAddr, method: &str, target: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

async fn get(to: SocketAddr, target: &str) -> String {
    request(to, "GET", target).await.map_or_else(|| "-".into(), |(_, body)| body)
}

#[tokio::test]
async fn endpoints_are_served_by_path_and_method() {
    let listeners = open(&[("127.0.0.1:0", "/health", "OK"), ("127.0.0.1:0", "/ready", "READY")]).await;
    let to = bound(&listeners, "127.0.0.1:0").await;
    assert_eq!((get(to, "/health").await, get(to, "/ready?x=1").await), ("OK".into(), "READYx=1".into()));
    let unknown = request(to, "GET", "/health/").await.unwrap();
    assert_eq!(unknown, ("HTTP/1.1 404 Not Found".into(), "404 page not found\n".into()));
    assert_eq!(request(to, "HEAD", "/health").await.unwrap(), ("HTTP/1.1 200 OK".into(), String::new()));
    assert_eq!(request(to, "POST", "/health").await.unwrap().0, "HTTP/1.1 405 Method Not Allowed");
}

#[tokio::test]
async fn who_is_not_admitted_is_asked_for_a_password_whatever_the_path() {
    let listeners = Listeners::new(&Metrics::new());
    let admits: Admits = Arc::new(|header| Box::pin(async move { header == "Basic eA==" }));
    let guarded = Endpoint { admits: Some(admits), ..endpoint("127.0.0.1:0", "/metrics", "numbers") };
    listeners.apply(vec![guarded]).await.unwrap();
    let to = bound(&listeners, "127.0.0.1:0").await;
    let ask = async |path: &str, header: &str| {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    for (path, header) in [("/metrics", ""), ("/other", ""), ("/metrics", "Authorization: Basic eQ==\r\n")] {
        let refused = ask(path, header).await;
        assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains("www-authenticate: Basic\r\n"), "{refused}");
        assert!(!refused.contains("numbers"));
    }
    let answered = ask("/metrics", "Authorization: Basic eA==\r\n").await;
    assert!(answered.starts_with("HTTP/1.1 200 ") && answered.ends_with("numbers"), "{answered}");
    // A reload without users lets everyone in.
    apply(&listeners, &[("127.0.0.1:0", "/metrics", "numbers")]).await.unwrap();
    assert!(ask("/metrics", "").await.ends_with("numbers"));
}

#[tokio::test]
async fn a_page_may_use_nothing_inline_and_nothing_from_elsewhere() {
    let listeners = Listeners::new(&Metrics::new());
    let mut page = endpoint("127.0.0.1:0", "/", "<!doctype html>");
    let respond = |_: &Request| Response { status: 200, content_type: "text/html; charset=utf-8", body: Vec::new() };
    page.respond = Arc::new(respond);
    listeners.apply(vec![page, endpoint("127.0.0.1:0", "/text", "")]).await.unwrap();
    let to = bound(&listeners, "127.0.0.1:0").await;
    for (path, policy) in [("/", true), ("/text", false)] {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.contains("content-security-policy: default-src 'none'; script-src 'self';"), policy, "{text}");
        assert!(text.contains("x-content-type-options: nosniff") && !text.contains("unsafe"), "{text}");
    }
}

#[tokio::test]
async fn long_texts_are_compressed_for_those_who_take_it() {
    let listeners = Listeners::new(&Metrics::new());
    let long = Endpoint {
        respond: Arc::new(|_| Response { status: 200, content_type: "text/plain", body: b"metric 1\n".repeat(1000) }),
        ..endpoint("127.0.0.1:0", "/metrics", "")
    };
    listeners.apply(vec![long, endpoint("127.0.0.1:0", "/health", "OK")]).await.unwrap();
    let to = bound(&listeners, "127.0.0.1:0").await;
    for (path, accepted, is_zipped) in [
        ("/metrics", "deflate, gzip;q=0.5", true),
        ("/metrics", "*", true),
        ("/metrics", "identity, gzip;q=0", false),
        ("/metrics", "br", false),
        ("/health", "gzip", false),
    ] {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: {accepted}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).await.unwrap();
        let end = octets.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
        assert_eq!(head.contains("content-encoding: gzip"), is_zipped, "{path} {accepted}: {head}");
        if is_zipped {
            let mut body = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&octets[end..]), &mut body).unwrap();
            assert_eq!(body, b"metric 1\n".repeat(1000));
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_error_page() {
    let listeners = Listeners::new(&Metrics::new());
    let mut broken = endpoint("127.0.0.1:0", "/metrics", "");
    broken.respond = Arc::new(|_| panic!("asked to"));
    listeners.apply(vec![broken]).await.unwrap();
    let to = bound(&listeners, "127.0.0.1:0").await;
    for _ in 0..2 {
        assert_eq!(request(to, "GET", "/metrics").await.unwrap().0, "HTTP/1.1 500 Internal Server Error");
    }
}

#[tokio::test]
async fn a_listener_stays_over_a_reload_and_its_routes_change() {
    let listeners = open(&[("127.0.0.1:0", "/health", "old"), ("localhost:0", "/ready", "gone")]).await;
    let (to, gone) = (bound(&listeners, "127.0.0.1:0").await, bound(&listeners, "localhost:0").await);
    let mut kept = TcpStream::connect(to).await.unwrap();
    apply(&listeners, &[("127.0.0.1:0", "/health", "new")]).await.unwrap();
    assert_eq!((bound(&listeners, "127.0.0.1:0").await, get(to, "/health").await), (to, "new".into()));
    assert_eq!(get(gone, "/ready").await, "-");
    // A connection from before the reload is of use behind it.
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut text = vec![0; 512];
    let len = kept.read(&mut text).await.unwrap();
    assert!(text[..len].ends_with(b"new"));
    listeners.close().await;
    assert_eq!(get(to, "/health").await, "-");
}

#[tokio::test]
async fn an_error_changes_nothing() {
    let listeners = open(&[("127.0.0.1:0", "/health", "old")]).await;
    let to = bound(&listeners, "127.0.0.1:0").await;
    let blocker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = blocker.local_addr().unwrap().to_string();
    let why = apply(&listeners, &[("127.0.0.1:0", "/health", "new"), (&taken, "/ready", "")]).await.unwrap_err();
    assert!(why.starts_with(&format!("listen tcp {taken}: Address already in use")), "{why}");
    assert_eq!(get(to, "/health").await, "old");
    // What is not required is left out instead.
    let optional = Endpoint { required: false, ..endpoint(&taken, "/ready", "") };
    listeners.apply(vec![endpoint("127.0.0.1:0", "/health", "new"), optional]).await.unwrap();
    assert_eq!(get(to, "/health").await, "new");
}

#[tokio::test]
async fn an_empty_host_is_every_address() {
    let listeners = open(&[(":0", "/health", "OK")]).await;
    let port = bound(&listeners, ":0").await.port();
    assert_eq!(get(SocketAddr::from(([127, 0, 0, 1], port)), "/health").await, "OK");
    assert_eq!(get(SocketAddr::new("::1".parse().unwrap(), port), "/health").await, "OK");
}

#[tokio::test]
async fn another_address_takes_over_the_port() {
    let port = std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let listeners = Listeners::new(&Metrics::new());
    for host in ["", "0.0.0.0", "127.0.0.1", "[::]", "localhost", ""] {
        apply(&listeners, &[(&format!("{host}:{port}"), "/health", host)]).await.unwrap();
        assert_eq!(get(SocketAddr::from(([127, 0, 0, 1], port)), "/health").await, host);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let listeners = open(&[("127.0.0.1:0", "/health", "OK")]).await;
    let mut stream = TcpStream::connect(bound(&listeners, "127.0.0.1:0").await).await.unwrap();
    stream.write_all(b"GET /health HT").await.unwrap();
    let begun = std::time::Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(listeners.counters.ended_first.get(), 1);
}

#[tokio::test]
async fn who_asks_now_is_served_whoever_holds_connections() {
    let metrics = Metrics::new();
    let listeners = Listeners::new(&metrics);
    apply(&listeners, &[("127.0.0.1:0", "/health", "OK")]).await.unwrap();
    let to = bound(&listeners, "127.0.0.1:0").await;
    let mut held = Vec::new();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: t").await;
        held.push(stream);
        if held.len() % 100 == 0 {
            assert_eq!(get(to, "/health").await, "OK", "beside {} that say nothing", held.len());
        }
    }
    let counted = |series: &str| {
        let text = metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
    };
    let open = counted("dunlin_http_connections ");
    assert!((200.0..=257.0).contains(&open), "{open} open");
    let ended = counted("dunlin_http_connections_ended_total{reason=\"connection\"} ");
    assert!(ended >= 600.0 - open, "{ended} ended, {open} open");
    // The oldest had to go, not the newest.
    assert_eq!(held[0].read(&mut [0]).await.ok().filter(|octets| *octets > 0), None);
    let newest = held.last_mut().unwrap();
    newest.write_all(b"\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    newest.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}
