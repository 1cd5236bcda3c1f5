//! Over TLS: a front that ends TLS before the scripted upstream.

use super::super::targets::{Scheme, Target};
use super::*;
use crate::plugin::Renewable;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, crypto::ring};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The front; its certificate, which is its own authority, is in a file.
struct Front {
    address: SocketAddr,
    authority: PathBuf,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Front {
    async fn start(name: &str, behind: SocketAddr) -> Front {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = std::env::temp_dir().join(format!("dunlin-front-{}-{}", std::process::id(), address.port()));
        std::fs::write(&authority, cert.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
            .unwrap();
        let (acceptor, connections) = (TlsAcceptor::from(Arc::new(config)), Arc::<AtomicUsize>::default());
        let (mut task, count) = (JoinSet::new(), connections.clone());
        task.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), count.clone());
                serving.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    count.fetch_add(1, Relaxed);
                    let mut behind = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                });
            }
        });
        Front { address, authority, connections, _task: task }
    }

    fn relay(&self, change: impl FnOnce(&mut Options)) -> Relay {
        Relay::new(&[self.address], |options| {
            options.targets = vec![Target { scheme: Scheme::Tls, address: self.address, server_name: None }];
            options.tls.authority = Some(self.authority.clone());
            options.read_timeout = Duration::from_secs(2);
            options.max_connect_attempts = 1;
            change(options);
        })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.authority);
    }
}

#[tokio::test]
async fn queries_share_a_connection_under_tls() {
    let upstream = good().await;
    let front = Front::start("dns.test", upstream.address).await;
    let relay = front.relay(|options| options.tls.server_name = Some("dns.test".into()));
    for _ in 0..3 {
        assert_eq!(relay.message(&question()).await.answers.len(), 1);
    }
    let request = question();
    futures_util::future::join_all((0..100).map(|_| relay.message(&request))).await;
    assert!((1..=5).contains(&front.connections.load(Relaxed)), "few connections");
    assert!(upstream.seen().iter().all(|seen| seen.transport == Transport::Tcp));
    let labels = format!("proto=\"tcp-tls\",proxy_name=\"forward\",to=\"{}\"", front.address);
    assert!(relay.counted(&format!("coredns_proxy_conn_cache_hits_total{{{labels}}} ")));
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_gets_no_query() {
    let upstream = good().await;
    let front = Front::start("dns.test", upstream.address).await;
    // By another name; by its address, which the certificate does not have; by nobody's word.
    for change in [
        (|options: &mut Options| options.tls.server_name = Some("other.test".into())) as fn(&mut Options),
        |_| {},
        |options| {
            options.tls.server_name = Some("dns.test".into());
            let stranger = generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap().cert.pem();
            std::fs::write(options.tls.authority.as_ref().unwrap(), stranger).unwrap();
        },
    ] {
        let outcome = front.relay(change).ask(&question()).await;
        let reason = &failure(&outcome).reason;
        assert!(
            reason.starts_with("dial tcp 127.0.0.1:") && reason.contains(": tls: invalid peer certificate"),
            "{reason}"
        );
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn authorities_that_are_written_anew_count_for_new_connections() {
    let upstream = good().await;
    let front = Front::start("dns.test", upstream.address).await;
    let right = std::fs::read(&front.authority).unwrap();
    let stranger = generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap().cert.pem();
    std::fs::write(&front.authority, stranger).unwrap();
    let relay = front.relay(|options| options.tls.server_name = Some("dns.test".into()));
    assert!(failure(&relay.ask(&question()).await).reason.contains("invalid peer certificate"));
    let keys = relay.forward.keys.as_ref().unwrap();
    assert_eq!((keys.renew(), keys.file()), (Ok(false), front.authority.display().to_string()));
    // What is half written is said, and changes nothing.
    std::fs::write(&front.authority, "-----BEGIN").unwrap();
    assert!(keys.renew().unwrap_err().contains("it holds no certificate"));
    std::fs::write(&front.authority, right).unwrap();
    assert_eq!((keys.renew(), keys.renew()), (Ok(true), Ok(false)));
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
}

#[tokio::test]
async fn a_name_at_the_address_counts_and_health_is_checked_under_tls() {
    let upstream = good().await;
    let front = Front::start("dns.test", upstream.address).await;
    let relay = front.relay(|options| {
        options.targets[0].server_name = Some("dns.test".into());
        options.check.max_fails = 1;
    });
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
    let suspect = &relay.forward.upstreams[0];
    suspect.has_failed(Instant::now());
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if upstream.seen().len() >= 2 {
            break;
        }
    }
    assert_eq!(upstream.seen()[1].packet[HEADER..], [0, 0, 2, 0, 1], "the name servers of the root");
    assert!(upstream.seen().iter().all(|seen| seen.transport == Transport::Tcp));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_timeout_or_an_error() {
    let upstream = silent().await;
    let relay = Relay::new(&[upstream.address], |options| {
        options.targets = vec![Target { scheme: Scheme::Tls, address: upstream.address, server_name: None }];
        options.max_connect_attempts = 1;
    });
    let outcome = relay.ask(&question()).await;
    assert!(failure(&outcome).reason.contains("i/o timeout"), "{outcome:?}");
}

#[tokio::test]
async fn connections_grow_old() {
    let upstream = good().await;
    let front = Front::start("dns.test", upstream.address).await;
    let relay = front.relay(|options| {
        options.tls.server_name = Some("dns.test".into());
        options.connections.max_age = Some(Duration::from_millis(100));
    });
    relay.message(&question()).await;
    relay.message(&question()).await;
    assert_eq!(front.connections.load(Relaxed), 1);
    tokio::time::sleep(Duration::from_millis(150)).await;
    relay.message(&question()).await;
    assert_eq!(front.connections.load(Relaxed), 2);
}

#[tokio::test]
async fn queries_leave_from_the_source_address() {
    let upstream = good().await;
    let source = "127.0.0.9".parse().unwrap();
    let relay = Relay::new(&[upstream.address], |options| options.connections.source = Some(source));
    relay.message(&question()).await;
    relay.message(&over_tcp(question())).await;
    assert!(upstream.seen().iter().all(|seen| seen.from.ip() == source) && upstream.seen().len() == 2);
}
