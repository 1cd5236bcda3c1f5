//! What clients have to prove: `client_auth` of `tls`, `client_auth_type` of a web configuration file.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The words of `client_auth`.
pub const WORDS: &str = "nocert, request, require, verify_if_given, require_and_verify";

/// What is asked of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    /// No certificate is asked for.
    Nothing,
    /// Any certificate, of whatever authority.
    Any {
        /// Whether there is no connection without one.
        mandatory: bool,
    },
    /// One of our authorities'.
    Verified {
        /// Whether there is no connection without one.
        mandatory: bool,
    },
}

impl ClientAuth {
    /// The demand of a word.
    pub fn from_word(word: &str) -> Option<ClientAuth> {
        Some(match word {
            "nocert" => ClientAuth::Nothing,
            "request" => ClientAuth::Any { mandatory: false },
            "require" => ClientAuth::Any { mandatory: true },
            "verify_if_given" => ClientAuth::Verified { mandatory: false },
            "require_and_verify" => ClientAuth::Verified { mandatory: true },
            _ => return None,
        })
    }

    /// Whether it takes authorities to verify by.
    pub fn verifies(self) -> bool {
        matches!(self, ClientAuth::Verified { .. })
    }

    /// Who checks the clients' certificates.
    ///
    /// # Errors
    /// Certificates are to be verified and there is nothing to verify them by.
    pub fn verifier(self, authorities: Option<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let provider = Arc::new(ring::default_provider());
        let mandatory = match self {
            ClientAuth::Nothing => return Ok(WebPkiClientVerifier::no_client_auth()),
            ClientAuth::Any { mandatory } => {
                let algorithms = provider.signature_verification_algorithms;
                return Ok(Arc::new(AnyCertificate { mandatory, algorithms }));
            }
            ClientAuth::Verified { mandatory } => mandatory,
        };
        let authorities = authorities.ok_or("there are no authorities to verify clients by")?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
        let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
        builder.build().map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|why| why.to_string())
    }
}

/// Takes every certificate whose key the client has.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
