//! Certificates and keys in PEM files, as `tls` and `forward` read them.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// A certificate with those between it and its authority, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads what one side proves itself with.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|why| format!("{}: {why}", key.display()))?;
    Ok((chain, key))
}

/// Reads the authorities in a file.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.map_err(|why| format!("{}: {why}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{}: it holds no certificate", file.display()));
    }
    Ok(found)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|why| format!("open {}: {why}", file.display()))
}
