//! An API server that answers each request with the next line of a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// How a response goes on behind its parts.
#[derive(Clone, Copy)]
enum End {
    Clean,
    /// The connection is closed in the middle of the body.
    Cut,
    /// Nothing more is sent.
    Silent,
}

/// One answer of the script.
pub(super) struct Reply {
    head: String,
    parts: Vec<Vec<u8>>,
    end: End,
}

impl Reply {
    fn new(status: &str, content_type: &str) -> Reply {
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n");
        Reply { head, parts: Vec::new(), end: End::Clean }
    }

    /// A success in JSON.
    pub(super) fn json(text: impl AsRef<[u8]>) -> Reply {
        Reply::new("200 OK", "application/json").then(text)
    }

    /// A success in protobuf.
    pub(super) fn protobuf(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::new("200 OK", "application/vnd.kubernetes.protobuf;stream=watch").then(bytes)
    }

    /// A refusal.
    pub(super) fn error(status: &str, message: &str) -> Reply {
        let body = format!(r#"{{"kind":"Status","code":{},"message":"{message}"}}"#, &status[..3]);
        Reply::new(status, "application/json").then(body)
    }

    fn is_json(&self) -> bool {
        self.head.contains(" 200 ") && self.head.contains("application/json")
    }

    pub(super) fn with_header(mut self, line: &str) -> Reply {
        self.head += &format!("{line}\r\n");
        self
    }

    /// Sends more, in a chunk of its own. An empty chunk would be the end.
    pub(super) fn then(mut self, part: impl AsRef<[u8]>) -> Reply {
        self.parts.extend(Some(part.as_ref().to_vec()).filter(|part| !part.is_empty()));
        self
    }

    pub(super) fn cut(self) -> Reply {
        Reply { end: End::Cut, ..self }
    }

    pub(super) fn silent(self) -> Reply {
        Reply { end: End::Silent, ..self }
    }
}

/// The server. Requests past the end of the script get no answer.
pub(super) struct FakeApi {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeApi {
    pub(super) async fn start(script: Vec<Reply>) -> FakeApi {
        FakeApi::start_over(script, None).await
    }

    /// The same over TLS.
    pub(super) async fn start_tls(script: Vec<Reply>, config: ServerConfig) -> FakeApi {
        FakeApi::start_over(script, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_over(script: Vec<Reply>, tls: Option<TlsAcceptor>) -> FakeApi {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, script, log))),
                    Some(tls) => drop(tokio::spawn(async move {
                        // A client that is refused tries again.
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, script, log).await;
                        }
                    })),
                }
            }
        });
        FakeApi { url, requests }
    }

    /// The requested paths and queries, but for the random `timeoutSeconds`.
    pub(super) fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|one| one.split("&timeoutSeconds").next().unwrap().to_owned()).collect()
    }

    /// Waits for as many requests.
    pub(super) async fn requested(&self, count: usize) -> Vec<String> {
        for _ in 0..2000 {
            if self.requests.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.requests()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: Arc<Mutex<VecDeque<Reply>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(octet) => buffer.push(octet),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let accepted = if target.contains("/namespaces/") { "" } else { "application/vnd.kubernetes.protobuf, " };
        assert!(head.contains(&format!("accept: {accepted}application/json\r\n")), "{head}");
        if target.ends_with("resourceVersion=0") && script.lock().unwrap().front().is_some_and(Reply::is_json) {
            // All at once and in JSON it is not taken: what the script has is for who asks page by page.
            let whole = "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
            let _ = stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{whole}").as_bytes())
                .await;
            continue;
        }
        log.lock().unwrap().push(target);
        let reply = script.lock().unwrap().pop_front();
        let Some(reply) = reply else { return std::future::pending().await };
        let _ = stream.write_all(format!("{}\r\n", reply.head).as_bytes()).await;
        for part in reply.parts {
            let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat();
            let _ = stream.write_all(&chunk).await;
            let _ = stream.flush().await;
            // Let the parts arrive apart.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        match reply.end {
            End::Clean => {
                let _ = stream.write_all(b"0\r\n\r\n").await;
                let _ = stream.flush().await;
            }
            End::Cut => return,
            End::Silent => std::future::pending().await,
        }
    }
}
