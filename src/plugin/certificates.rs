//! Certificates and keys in PEM files, as `tls` and `forward` read them.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// A certificate with those between it and its authority, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A PEM file as it was when it was read. Two are equal if they hold the same.
#[derive(PartialEq, Eq)]
pub struct Pem {
    file: PathBuf,
    octets: Vec<u8>,
}

impl Pem {
    /// Reads a file whole.
    ///
    /// # Errors
    /// The file, and why it cannot be read.
    pub fn read(file: &Path) -> Result<Pem, String> {
        let octets = std::fs::read(file).map_err(|why| format!("open {}: {why}", file.display()))?;
        Ok(Pem { file: file.to_owned(), octets })
    }

    /// What one side proves itself with: this file's certificates and the other's key.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn identity(&self, key: &Pem) -> Result<Identity, String> {
        let chain = self.certificates()?;
        let secret = PrivateKeyDer::from_pem_slice(&key.octets).map_err(|why| key.wrong(why))?;
        Ok((chain, secret))
    }

    /// The authorities in it.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn authorities(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|why| self.wrong(why))?;
        }
        Ok(roots)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.octets).collect();
        let found = found.map_err(|why| self.wrong(why))?;
        if found.is_empty() {
            return Err(self.wrong("it holds no certificate"));
        }
        Ok(found)
    }

    /// That the file is wrong, and in what.
    pub fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.file.display())
    }
}

/// Reads what one side proves itself with.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    Pem::read(certificate)?.identity(&Pem::read(key)?)
}

/// Reads the authorities in a file.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    Pem::read(file)?.authorities()
}
