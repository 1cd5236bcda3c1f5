//! The web configuration file of Prometheus' exporters: how metrics are served by HTTPS, and to whom.

use super::users::Users;
use crate::plugin::{Certificate, ClientAuth, certificates};
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use serde_yaml_ng::{Mapping, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file comes to.
pub(super) struct Web {
    /// The keys of HTTPS, and the certificate among them that may be renewed.
    pub tls: Option<(Arc<ServerConfig>, Arc<Certificate>)>,
    /// Who is answered, where that is not everyone.
    pub users: Option<Users>,
    /// The words that are understood and change nothing.
    pub unused: Vec<String>,
}

/// Words about Go's choices among what we have no choice of.
const UNUSED: [&str; 3] = ["cipher_suites", "prefer_server_cipher_suites", "curve_preferences"];

/// Reads a file.
///
/// # Errors
/// The file, and what is wrong with it or the files it names.
pub(super) fn read(file: &Path) -> Result<Web, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("open {}: {why}", file.display()))?;
    parse(&text, file).map_err(|why| format!("{}: {why}", file.display()))
}

/// The passwords' hashes by the users' names, as the text of a file has them (`basic_auth_users`).
///
/// # Errors
/// What is wrong, as [`read`] says it.
pub(super) fn hashes(text: &str) -> Result<BTreeMap<String, String>, String> {
    let whole: Mapping = serde_yaml_ng::from_str(text).map_err(|why| why.to_string())?;
    match whole.get("basic_auth_users") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Mapping(users)) => users.iter().map(|(user, hash)| user_of(word(user)?, word(hash)?)).collect(),
        Some(_) => Err("'basic_auth_users' is no map; expected: users and the bcrypt hashes of their passwords".into()),
    }
}

fn user_of(user: &str, hash: &str) -> Result<(String, String), String> {
    match hash.parse::<bcrypt::HashParts>() {
        Ok(_) => Ok((user.to_owned(), hash.to_owned())),
        Err(why) => Err(format!("basic_auth_users: what '{user}' has is no bcrypt hash: {why}")),
    }
}

fn parse(text: &str, file: &Path) -> Result<Web, String> {
    let whole: Mapping = serde_yaml_ng::from_str(text).map_err(|why| why.to_string())?;
    let mut tls = None;
    let mut unused = Vec::new();
    for (key, value) in &whole {
        match (word(key)?, value) {
            ("tls_server_config", Value::Mapping(inner)) => tls = Some(inner),
            ("http_server_config", Value::Mapping(_)) => unused.push("http_server_config".to_owned()),
            ("basic_auth_users", _) => {}
            (other, _) => {
                return Err(format!("unknown property '{other}'; expected: tls_server_config, basic_auth_users"));
            }
        }
    }
    let hashes = hashes(text)?;
    if tls.is_none() && hashes.is_empty() {
        return Err("there is neither a tls_server_config nor anyone in basic_auth_users".into());
    }
    let users = (!hashes.is_empty()).then(|| Users::new(file, text, hashes));
    let folder = file.parent().unwrap_or(Path::new(""));
    let tls = tls.map(|tls| tls_server(tls, folder, &mut unused)).transpose()?;
    Ok(Web { tls, users, unused })
}

fn tls_server(
    tls: &Mapping,
    folder: &Path,
    unused: &mut Vec<String>,
) -> Result<(Arc<ServerConfig>, Arc<Certificate>), String> {
    let (mut certificate, mut key_file, mut authorities) = (None, None, None);
    let (mut clients, mut least, mut most) = (ClientAuth::Nothing, 12, 13);
    for (key, value) in tls {
        let path = || -> Result<Option<PathBuf>, String> { Ok(Some(folder.join(word(value)?))) };
        match word(key)? {
            "cert_file" => certificate = path()?,
            "key_file" => key_file = path()?,
            "client_ca_file" => authorities = path()?,
            "client_auth_type" => clients = client_auth(word(value)?)?,
            "min_version" => least = version(word(value)?)?,
            "max_version" => most = version(word(value)?)?,
            name if UNUSED.contains(&name) => unused.push(name.to_owned()),
            name => return Err(format!("unknown property '{name}'; expected one of: {PROPERTIES}")),
        }
    }
    let (Some(certificate), Some(key_file)) = (certificate, key_file) else {
        return Err("expected: cert_file and key_file in tls_server_config".into());
    };
    let roots = authorities.map(|file| certificates::authorities(&file)).transpose()?;
    if clients.verifies() && roots.is_none() {
        return Err("client_auth_type needs client_ca_file to verify by".into());
    }
    let versions: Vec<&SupportedProtocolVersion> = [(12, &TLS12), (13, &TLS13)]
        .into_iter()
        .filter(|(it, _)| (least..=most).contains(it))
        .map(|(_, it)| it)
        .collect();
    let certificate = Arc::new(Certificate::read(certificate, key_file)?);
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder =
        builder.with_protocol_versions(&versions).map_err(|why| format!("min_version, max_version: {why}"))?;
    let config = builder.with_client_cert_verifier(clients.verifier(roots)?).with_cert_resolver(certificate.clone());
    Ok((Arc::new(config), certificate))
}

const PROPERTIES: &str = "cert_file, key_file, client_auth_type, client_ca_file, min_version, max_version";

fn word(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("a text is expected in the place of {value:?}"))
}

/// Go's names of `crypto/tls.ClientAuthType`.
fn client_auth(word: &str) -> Result<ClientAuth, String> {
    Ok(match word {
        "NoClientCert" | "" => ClientAuth::Nothing,
        "RequestClientCert" => ClientAuth::Any { mandatory: false },
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::Any { mandatory: true },
        "VerifyClientCertIfGiven" => ClientAuth::Verified { mandatory: false },
        "RequireAndVerifyClientCert" => ClientAuth::Verified { mandatory: true },
        other => return Err(format!("unknown client_auth_type '{other}'")),
    })
}

/// TLS 1.0 and 1.1 are not spoken: who wants them at least gets 1.2.
fn version(word: &str) -> Result<u8, String> {
    match word {
        "TLS10" | "TLS11" | "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        other => Err(format!("unknown version '{other}'; expected TLS12 or TLS13")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dunlin-web-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["dns.test".to_owned()]).unwrap();
        std::fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), signing_key.serialize_pem()).unwrap();
        folder
    }

    #[test]
    fn each_word_is_read_or_named() {
        let folder = folder();
        let pair = "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n";
        for (text, unused) in [
            (String::new(), 0),
            ("  client_auth_type: RequestClientCert\n  min_version: TLS12\n  max_version: TLS13\n".into(), 0),
            ("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: tls.crt\n".into(), 0),
            ("  cipher_suites: [A]\n  curve_preferences: []\nhttp_server_config:\n  http2: false\n".into(), 3),
            ("basic_auth_users: {}\n".to_owned(), 0),
            (format!("basic_auth_users: {{a: {}}}\n", bcrypt::hash("a", 4).unwrap()), 0),
        ] {
            let web =
                parse(&format!("{pair}{text}"), &folder.join("web.yaml")).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(web.unused.len(), unused, "{text}");
        }
        for (text, expected) in [
            ("{}", "there is neither a tls_server_config nor anyone in basic_auth_users"),
            ("basic_auth_users:\n", "there is neither"),
            ("tls_server_config: {cert_file: tls.crt}", "expected: cert_file and key_file"),
            ("tls_server_config: {cert_file: none.crt, key_file: tls.key}", "none.crt: No such file"),
            (&format!("{pair}  client_auth_type: Sometimes"), "unknown client_auth_type 'Sometimes'"),
            (&format!("{pair}  client_auth_type: VerifyClientCertIfGiven"), "needs client_ca_file"),
            (&format!("{pair}  min_version: SSL3"), "unknown version 'SSL3'"),
            (&format!("{pair}  min_version: TLS13\n  max_version: TLS12"), "min_version, max_version"),
            (&format!("{pair}  x: y"), "unknown property 'x'; expected one of: cert_file"),
            (&format!("{pair}x: y"), "unknown property 'x'; expected: tls_server_config"),
            (&format!("{pair}x: y"), "tls_server_config, basic_auth_users"),
            (&format!("{pair}basic_auth_users: {{a: b}}"), "what 'a' has is no bcrypt hash"),
            (&format!("{pair}basic_auth_users: {{a: 1}}"), "a text is expected"),
            (&format!("{pair}basic_auth_users: [a]"), "is no map"),
            ("[", "mapping"),
        ] {
            let why = parse(text, &folder.join("web.yaml")).err().unwrap_or_default();
            assert!(why.contains(expected), "{text}: {why}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
