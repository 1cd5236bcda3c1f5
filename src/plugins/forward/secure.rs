//! What `tls` and `tls_servername` say: how encrypted upstreams prove themselves to us, and we to them.

use super::targets::{Scheme, Target};
use crate::plugin::Renewable;
use crate::plugin::certificates::Pem;
use arc_swap::ArcSwap;
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
    keys: Arc<Keys>,
    is_https: bool,
    pub name: ServerName<'static>,
}

impl Secure {
    /// The configuration for a connection that is opened now.
    pub fn config(&self) -> Arc<ClientConfig> {
        let current = self.keys.current.load();
        if self.is_https { current.https.clone() } else { current.tls.clone() }
    }
}

/// The configuration for all upstreams of one `forward`, as its files were when they were read last.
pub(super) struct Keys {
    files: Files,
    current: ArcSwap<Current>,
}

struct Current {
    held: Held,
    tls: Arc<ClientConfig>,
    https: Arc<ClientConfig>,
}

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
struct Held {
    identity: Option<(Pem, Pem)>,
    authority: Option<Pem>,
}

/// The configuration for all upstreams of one `forward`.
pub(super) struct Trust {
    pub keys: Arc<Keys>,
    /// What the operator should know.
    pub warning: Option<String>,
}

impl Trust {
    /// Reads the files; the machine's authorities where none is given.
    ///
    /// # Errors
    /// What is wrong, as a sentence without its place.
    pub fn read(files: &Files) -> Result<Trust, String> {
        let held = files.read()?;
        let roots = held.roots()?;
        let warning = roots.is_empty().then(|| {
            "this machine has no certificates of authorities: upstreams cannot prove themselves; expected: tls CA"
                .into()
        });
        let current = ArcSwap::from_pointee(Current::new(held, roots)?);
        Ok(Trust { keys: Arc::new(Keys { files: files.clone(), current }), warning })
    }

    /// How `target` is spoken to. It has to be the server that `%NAME` or `tls_servername` says, else its address.
    ///
    /// # Errors
    /// A name that no certificate could have.
    pub fn of(&self, target: &Target) -> Result<Secure, String> {
        let name = match target.server_name.as_ref().or(self.keys.files.server_name.as_ref()) {
            Some(name) => ServerName::try_from(name.clone()).map_err(|_| format!("'{name}' is no server name"))?,
            None => ServerName::from(target.address.ip()),
        };
        Ok(Secure { keys: self.keys.clone(), is_https: target.scheme == Scheme::Https, name })
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.identity.iter().flat_map(|(certificate, key)| [certificate, key]).chain(&self.authority)
    }

    fn read(&self) -> Result<Held, String> {
        let identity = match &self.identity {
            Some((certificate, key)) => Some((Pem::read(certificate)?, Pem::read(key)?)),
            None => None,
        };
        Ok(Held { identity, authority: self.authority.as_deref().map(Pem::read).transpose()? })
    }
}

impl Held {
    fn roots(&self) -> Result<RootCertStore, String> {
        self.authority.as_ref().map_or_else(|| Ok(machine_authorities()), Pem::authorities)
    }
}

impl Current {
    fn new(held: Held, roots: RootCertStore) -> Result<Current, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|why| why.to_string())?;
        let builder = match roots.is_empty() {
            true => builder.with_root_certificates(roots),
            false => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_webpki_verifier(verifier.map_err(|why| why.to_string())?)
            }
        };
        let config = match &held.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = certificate.identity(key)?;
                builder.with_client_auth_cert(chain, key).map_err(|why| certificate.wrong(why))?
            }
        };
        let mut https = config.clone();
        https.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Current { held, tls: Arc::new(config), https: Arc::new(https) })
    }
}

impl Keys {
    /// Whether there are files that may be written anew.
    pub fn has_files(&self) -> bool {
        self.files.all().next().is_some()
    }
}

/// Connections that are open stay as they are: what they were opened with was right then.
impl Renewable for Keys {
    fn renew(&self) -> Result<bool, String> {
        let held = self.files.read()?;
        if held == self.current.load().held {
            return Ok(false);
        }
        let roots = held.roots()?;
        self.current.store(Arc::new(Current::new(held, roots)?));
        Ok(true)
    }

    fn file(&self) -> String {
        let names: Vec<_> = self.files.all().map(|file| file.display().to_string()).collect();
        names.join(" ")
    }
}

/// What the machine trusts (SSL_CERT_FILE, SSL_CERT_DIR, or the usual places); what of it cannot be read is left out.
fn machine_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
