//! # Description
//! `tls` holds what proves the server to clients of the block's encrypted listeners: `tls://` (DNS over TLS, RFC 7858),
//! `https://` (DNS over HTTPS, RFC 8484) and `quic://` (DNS over QUIC, RFC 9250). TLS 1.2 and 1.3 are spoken, 1.3 alone
//! over QUIC. Without it the first two are not encrypted, for where something in front ends TLS; a warning says so.
//!
//! **CERT** and **KEY** are looked at every five seconds: new connections get a renewed certificate without a reload,
//! which CoreDNS does not do, and connections live on. Files that are wrong, or not of one pair yet, are said in the
//! log, and the certificate before them stays. **CA** is read when the configuration is loaded.
//!
//! # Syntax
//! ```text
//! tls CERT KEY [CA] {
//!     client_auth nocert|request|require|verify_if_given|require_and_verify
//!     keylog FILE
//! }
//! ```
//! * **CERT** and **KEY** are PEM files: the certificate, followed by those between it and its authority, and its key.
//! * **CA** is a PEM file of the authorities of clients.
//! * `client_auth`: `nocert` asks clients for no certificate, and is the default; `request` and `require` take any,
//!   `verify_if_given` and `require_and_verify` one of **CA**'s. `require` and `require_and_verify` insist on one.
//! * `keylog` appends every connection's secrets to a file, for tools like Wireshark. Whoever has it can read all.
//!
//! Where several blocks share a listener, a client gets the first certificate that was issued for the name it asks for
//! (SNI), and the first of all where it says none. `client_auth` and `keylog` are those of the first block: a warning
//! says so where blocks differ. Certificates by ACME (`acme`) are not supported.
//!
//! # Examples
//! ```corefile
//! tls://.:853 {
//!     tls /etc/dunlin/tls.crt /etc/dunlin/tls.key
//!     forward . 192.0.2.53
//! }
//! ```
//! Only clients with a certificate of ours, on both transports:
//! ```corefile
//! tls://example.org https://example.org {
//!     tls cert.pem key.pem ca.pem {
//!         client_auth require_and_verify
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! `dunlin_tls_renewals_total{file,result}`: certificates taken while running (`taken`), and looks at files that were
//! wrong (`failed`). `https://` listeners count `coredns_dns_https_responses_total{server,status}`, `quic://` listeners
//! `coredns_dns_quic_responses_total{server,status}`.
//!
//! # See also
//! `https` and `quic`, for what clients may have. `forward` for TLS towards upstreams. RFC 8310 (DNS over TLS in
//! practice).

mod key_log;

use crate::plugin::{
    CLIENT_AUTH_WORDS, Certificate, ClientAuth, Definition, Directive, Error, RENEWALS, Renewing, ServerKeys, Setup,
    certificates,
};
use key_log::KeyLogFile;
use rustls::ServerConfig;
use rustls::crypto::ring;
use std::sync::Arc;

/// `tls`.
pub const DEFINITION: Definition = Definition { directive: "tls", setup, metrics: &[&RENEWALS] };

const FORM: &str = "tls CERT KEY [CA]";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let (files, authority) = match directive.args.as_slice() {
        [] if directive.options().iter().any(|option| option.name.text == "acme") => ([].as_slice(), None),
        [_, _] => (directive.args.as_slice(), None),
        [_, _, authority] => (&directive.args[..2], Some(authority)),
        _ => return Err(setup.arguments(directive, FORM)),
    };
    let mut demand = ClientAuth::Nothing;
    let mut key_log = None;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("client_auth", [word]) => {
                demand = ClientAuth::from_word(&word.text).ok_or_else(|| {
                    setup.error(word, format!("unknown word '{}'; expected one of: {}", word.text, CLIENT_AUTH_WORDS))
                })?;
            }
            ("client_auth", _) => return Err(setup.arguments(option, &format!("client_auth {}", CLIENT_AUTH_WORDS))),
            ("keylog", [file]) => key_log = Some(file),
            ("keylog", _) => return Err(setup.arguments(option, "keylog FILE")),
            ("acme", _) => return Err(setup.not_supported(&option.name)),
            _ => return Err(setup.unknown(option, "client_auth, keylog")),
        }
    }
    let [certificate, key] = files else { return Err(setup.arguments(directive, FORM)) };
    let read = Certificate::read(setup.path(&certificate.text), setup.path(&key.text));
    let identity = Arc::new(read.map_err(|why| setup.error(certificate, why))?);
    let roots = authority
        .map(|file| certificates::authorities(&setup.path(&file.text)).map_err(|why| setup.error(file, why)))
        .transpose()?;
    if demand.verifies() && roots.is_none() {
        let message = "client_auth needs the file CA to verify by; expected: tls CERT KEY CA";
        return Err(setup.error(&directive.name, message));
    }
    let verifier = demand.verifier(roots).map_err(|why| setup.error(&directive.name, why))?;
    let builder = builder(setup, directive)?.with_client_cert_verifier(verifier);
    let mut config = builder.with_cert_resolver(identity.clone());
    if let Some(file) = key_log {
        let opened = KeyLogFile::open(&setup.path(&file.text)).map_err(|why| setup.error(file, why))?;
        config.key_log = Arc::new(opened);
        setup.warn(file, format!("the secrets of all connections are written to '{}'", file.text));
    }
    let clients = format!("{demand:?} {}", authority.map_or("", |file| &file.text));
    setup.process.lifecycles.push(Arc::new(Renewing::new("tls", identity.clone(), setup.metrics.counter(&RENEWALS))));
    setup.plan.tls = Some(ServerKeys { config: Arc::new(config), certificate: identity, clients });
    Ok(())
}

/// Names the provider: a test or a library that has not installed one gets ours.
fn builder(
    setup: &Setup<'_>,
    directive: &Directive,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions().map_err(|why| setup.error(&directive.name, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::fs;
    use std::path::PathBuf;

    /// A directory with `cert.pem`, `key.pem` and `odd.pem`, which holds neither.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Files {
            let path = std::env::temp_dir().join(format!("dunlin-tls-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
            fs::write(path.join("cert.pem"), cert.pem()).unwrap();
            fs::write(path.join("key.pem"), signing_key.serialize_pem()).unwrap();
            fs::write(path.join("odd.pem"), "nothing\n").unwrap();
            Files(path)
        }

        fn bench(&self) -> Bench {
            let bench = Bench::new();
            bench.done().block.root = self.0.clone();
            bench
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_read_from_the_root() {
        let files = Files::new("read");
        for lines in [
            "tls cert.pem key.pem",
            "tls cert.pem key.pem cert.pem",
            "tls cert.pem key.pem {\nclient_auth require\n}",
            "tls cert.pem key.pem cert.pem {\nclient_auth require_and_verify\nkeylog keys.log\n}",
        ] {
            let bench = files.bench();
            bench.set_up(&DEFINITION, lines).unwrap();
            assert!(bench.done().plan.tls.is_some(), "{lines}");
            assert_eq!(bench.done().process.warnings.len(), usize::from(lines.contains("keylog")));
        }
        assert!(files.0.join("keys.log").exists());
    }

    #[test]
    fn errors() {
        let files = Files::new("errors");
        for (lines, expected) in [
            ("tls", "expected: tls CERT KEY [CA]"),
            ("tls cert.pem", "expected: tls CERT KEY [CA]"),
            ("tls a b c d", "expected: tls CERT KEY [CA]"),
            ("tls none.pem key.pem", "none.pem: No such file"),
            ("tls odd.pem key.pem", "odd.pem: it holds no certificate"),
            ("tls cert.pem odd.pem", "odd.pem: no items found"),
            ("tls cert.pem key.pem odd.pem", "odd.pem: it holds no certificate"),
            ("tls cert.pem key.pem {\nclient_auth maybe\n}", "unknown word 'maybe'; expected one of: nocert"),
            ("tls cert.pem key.pem {\nclient_auth\n}", "expected: client_auth nocert"),
            ("tls cert.pem key.pem {\nclient_auth verify_if_given\n}", "needs the file CA"),
            ("tls cert.pem key.pem {\nkeylog\n}", "expected: keylog FILE"),
            ("tls cert.pem key.pem {\nx\n}", "unknown property 'x'"),
            ("tls {\nacme\n}", "'acme' is not supported by dunlin yet"),
            ("tls cert.pem key.pem\ntls cert.pem key.pem", "once"),
        ] {
            let error = files.bench().set_up(&DEFINITION, lines).expect_err(lines).to_string();
            assert!(error.contains(expected) && error.starts_with("Corefile:"), "{lines}: {error}");
        }
    }
}
