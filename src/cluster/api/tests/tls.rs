//! `endpoint` with `tls`: we are known by a certificate, and know the server by one.

use super::fake_api::FakeApi;
use super::{empty_list, options, syncs};
use crate::cluster::recorder::Recorder;
use crate::cluster::{First, Source, start};
use crate::metrics::Metrics;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A certificate authority that issues for one name.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, directory: &Path) -> [PathBuf; 3] {
        let (certificate, key) = self.issue("dunlin");
        let files = ["client.pem", "client.key", "ca.pem"].map(|name| directory.join(name));
        fs::write(&files[0], certificate).unwrap();
        fs::write(&files[1], key).unwrap();
        fs::write(&files[2], self.0.pem()).unwrap();
        files
    }

    /// A server that is `127.0.0.1` by this authority, and wants a certificate of the other one if there is one.
    fn server(&self, of_clients: Option<&Authority>) -> ServerConfig {
        let clients = of_clients.map_or_else(WebPkiClientVerifier::no_client_auth, |authority| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap()
        });
        let (certificate, key) = self.issue("127.0.0.1");
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap()
    }
}

#[tokio::test]
async fn certificates_prove_both_sides() {
    let directory = std::env::temp_dir().join(format!("dunlin-tls-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let files = ours.write(&directory);
    let lists = || (0..20).map(|_| empty_list("1")).collect();

    let api = FakeApi::start_tls(lists(), ours.server(Some(&ours))).await;
    let source = Source::Endpoint(api.url.clone(), Some(files.clone()));
    let feed = start(options(source), Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).unwrap();
    assert!(syncs(&feed, Duration::from_secs(10)).await);

    // A server of another authority is not spoken to.
    let stranger = FakeApi::start_tls(lists(), theirs.server(None)).await;
    let source = Source::Endpoint(stranger.url.clone(), Some(files));
    let feed = start(options(source), Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).unwrap();
    assert!(!syncs(&feed, Duration::from_millis(300)).await);
    assert!(stranger.requests().is_empty());

    // A file that holds something else is said at once.
    fs::write(directory.join("ca.pem"), "no certificate").unwrap();
    let files = ["client.pem", "client.key", "ca.pem"].map(|name| directory.join(name));
    let source = Source::Endpoint(api.url.clone(), Some(files));
    let said = start(options(source), Arc::new(Recorder::default()), First::AtOnce, &Metrics::new()).err().unwrap();
    assert!(said.ends_with("ca.pem: it holds no certificate"), "{said}");
    fs::remove_dir_all(directory).unwrap();
}
