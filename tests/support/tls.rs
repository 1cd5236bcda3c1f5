//! An authority of the tests, what it issues, and connections that trust it.

use super::{Scratch, framed, take_framed};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Issues for one name or address.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2100)
    }

    /// Issues what is good until a year begins.
    pub fn issue_until(&self, name: &str, year: i32) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        // A subject that is the issuer's would make it self-signed in OpenSSL's eyes.
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// Writes `cert.pem` and `key.pem` for a name, and `ca.pem`.
    pub fn write(&self, scratch: &Scratch, name: &str) {
        let issued = self.issue(name);
        scratch.write("cert.pem", &issued.certificate);
        scratch.write("key.pem", &issued.key);
        scratch.write("ca.pem", &self.0.pem());
    }

    /// The authority's own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub fn client(&self, shows: Option<&Issued>, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let (chain, key) = issued.pair();
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

/// TLS in front of a server of a test: what comes is decrypted and passed on.
pub struct Front {
    pub address: SocketAddr,
    keys: tokio::sync::watch::Sender<Arc<ServerConfig>>,
    _runtime: tokio::runtime::Runtime,
}

impl Front {
    /// Before `behind`, with this certificate.
    pub fn start(behind: SocketAddr, shows: &Issued) -> Front {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (keys, current) = tokio::sync::watch::channel(shows.server());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut current = current.clone();
                tokio::spawn(async move {
                    let acceptor = tokio_rustls::TlsAcceptor::from(current.borrow_and_update().clone());
                    let (Ok(mut inner), Ok(mut outer)) =
                        (tokio::net::TcpStream::connect(behind).await, acceptor.accept(stream).await)
                    else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Front { address, keys, _runtime: runtime }
    }

    /// Shows another certificate; connections with the last one end.
    pub fn show(&self, issued: &Issued) {
        self.keys.send_replace(issued.server());
    }
}

impl Issued {
    fn pair(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")];
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key"))
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let (chain, key) = self.pair();
        Arc::new(builder.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair"))
    }
}

/// An encrypted connection.
pub struct Encrypted(pub StreamOwned<ClientConnection, TcpStream>);

impl Encrypted {
    /// Connects to a server that shall be `name`.
    pub fn connect(to: SocketAddr, name: &str, config: ClientConfig) -> io::Result<Encrypted> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(to)?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream = StreamOwned::new(connection, tcp);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Encrypted(stream))
    }

    /// Sends messages, each with its length in front.
    pub fn send(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        self.0.write_all(&messages.iter().flat_map(|message| framed(message)).collect::<Vec<u8>>())
    }

    /// The next message.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        take_framed(&mut self.0)
    }
}

impl Encrypted {
    /// Sends octets of HTTP/1.1 and takes one response: status, head, body.
    pub fn http(&mut self, request: &[u8]) -> io::Result<(u16, String, Vec<u8>)> {
        self.0.write_all(request)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            self.0.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Ok((status, head, body))
    }
}

/// What a server shows that has `cert.pem` and `key.pem` in this directory.
pub fn server_config(directory: &std::path::Path) -> Option<Arc<rustls::ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(directory.join("cert.pem")).ok()?];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    builder.with_no_client_auth().with_single_cert(chain, key).ok().map(Arc::new)
}
