//! What a listener proves itself with: certificates that may be read again while it runs, chosen by the name that the
//! client asks for.

mod client_auth;
mod renewing;

pub use client_auth::{ClientAuth, WORDS as CLIENT_AUTH_WORDS};
pub use renewing::{RENEWALS, Renewable, Renewing};

use super::certificates::identity;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::Arc;

/// What a server block has said of TLS.
#[derive(Clone)]
pub struct ServerKeys {
    /// How its connections are made, with this block's certificate.
    pub config: Arc<ServerConfig>,
    /// The certificate and its files.
    pub certificate: Arc<Certificate>,
    /// What its clients have to prove, as the Corefile has it. Blocks of one listener should agree.
    pub clients: String,
}

/// A certificate and its key, as the files were when they were read last.
#[derive(Debug)]
pub struct Certificate {
    files: [PathBuf; 2],
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files of a certificate (with those between it and its authority) and of its key, both in PEM.
    ///
    /// # Errors
    /// The file, and what is wrong with it; that they are not of one pair.
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Certificate, String> {
        let files = [certificate, key];
        let current = ArcSwap::from_pointee(pair(&files)?);
        Ok(Certificate { files, current })
    }

    /// Whether it was issued for this name.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let current = self.current.load();
        let parsed = current.end_entity_cert().and_then(ParsedCertificate::try_from);
        parsed.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

impl Renewable for Certificate {
    fn renew(&self) -> Result<bool, String> {
        let now = pair(&self.files)?;
        let is_new = now.cert != self.current.load().cert;
        if is_new {
            self.current.store(Arc::new(now));
        }
        Ok(is_new)
    }

    fn file(&self) -> String {
        self.files[0].display().to_string()
    }
}

fn pair(files: &[PathBuf; 2]) -> Result<CertifiedKey, String> {
    let [certificate, key] = files;
    let (chain, secret) = identity(certificate, key)?;
    CertifiedKey::from_der(chain, secret, &ring::default_provider())
        .map_err(|why| format!("{} and {}: {why}", certificate.display(), key.display()))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The certificates of all blocks of a listener. A client gets the first that was issued for the name it asks for (RFC
/// 6066 section 3), and the first of all where none was, or where it says no name.
#[derive(Debug)]
pub struct ByServerName(pub Vec<Arc<Certificate>>);

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|certificate| certificate.is_for(&name)));
        named.or(self.0.first()).map(|certificate| certificate.current.load_full())
    }
}
