//! What `tls` and `tls_servername` say: how encrypted upstreams prove themselves to us, and we to them.

use super::targets::{Scheme, Target};
use crate::plugin::certificates;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;

/// The files of `tls [CERT KEY] [CA]`, and the name of `tls_servername`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub identity: Option<(PathBuf, PathBuf)>,
    pub authority: Option<PathBuf>,
    pub server_name: Option<String>,
}

/// How one upstream is spoken to.
#[derive(Clone)]
pub(super) struct Secure {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

/// The configuration for all upstreams of one `forward`.
pub(super) struct Trust {
    config: ClientConfig,
    server_name: Option<String>,
    /// What the operator should know.
    pub warning: Option<String>,
}

impl Trust {
    /// Reads the files; the machine's authorities where none is given.
    ///
    /// # Errors
    /// What is wrong, as a sentence without its place.
    pub fn read(files: &Files) -> Result<Trust, String> {
        let provider = Arc::new(ring::default_provider());
        let roots = match &files.authority {
            Some(file) => certificates::authorities(file)?,
            None => machine_authorities(),
        };
        let warning = roots.is_empty().then(|| {
            "this machine has no certificates of authorities: upstreams cannot prove themselves; expected: tls CA"
                .into()
        });
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|why| why.to_string())?;
        let builder = match roots.is_empty() {
            true => builder.with_root_certificates(roots),
            false => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_webpki_verifier(verifier.map_err(|why| why.to_string())?)
            }
        };
        let config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = certificates::identity(certificate, key)?;
                let built = builder.with_client_auth_cert(chain, key);
                built.map_err(|why| format!("{}: {why}", certificate.display()))?
            }
        };
        Ok(Trust { config, server_name: files.server_name.clone(), warning })
    }

    /// How `target` is spoken to. It has to be the server that `%NAME` or `tls_servername` says, else its address.
    ///
    /// # Errors
    /// A name that no certificate could have.
    pub fn of(&self, target: &Target) -> Result<Secure, String> {
        let name = match target.server_name.as_ref().or(self.server_name.as_ref()) {
            Some(name) => ServerName::try_from(name.clone()).map_err(|_| format!("'{name}' is no server name"))?,
            None => ServerName::from(target.address.ip()),
        };
        let mut config = self.config.clone();
        if target.scheme == Scheme::Https {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(Secure { config: Arc::new(config), name })
    }
}

/// What the machine trusts (SSL_CERT_FILE, SSL_CERT_DIR, or the usual places); what of it cannot be read is left out.
fn machine_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
