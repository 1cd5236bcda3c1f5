//! Where to forward to: addresses, and files that hold them.

use crate::corefile::values::{self, Host};
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};

/// The port of DNS.
const PORT: u16 = 53;

pub(super) use crate::corefile::Scheme;

/// A server to forward to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `Dns`, `Tls` or `Https`.
    pub scheme: Scheme,
    pub address: SocketAddr,
    /// The name its certificate shall have, where the word says one.
    pub server_name: Option<String>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target { scheme: Scheme::Dns, address, server_name: None }
    }
}

impl fmt::Display for Target {
    /// The address, as metrics name the upstream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// What a word stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    Server(Target),
    /// The servers at the addresses of this host.
    Host {
        scheme: Scheme,
        host: String,
        port: u16,
        server_name: Option<String>,
    },
    /// The name servers in this file.
    File(PathBuf),
}

/// Reads a word; `path` is where the file of that name would be.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub(super) fn read(word: &str, path: &Path) -> Result<To, String> {
    let address = match word.split_once("://") {
        None => word,
        Some(("dns", address)) => address,
        Some(("tls" | "https", _)) => return encrypted(word),
        Some((scheme @ ("https3" | "quic" | "grpc"), _)) => {
            return Err(format!("upstreams over {scheme}:// are not supported by dunlin yet: '{word}'"));
        }
        Some((scheme, _)) => return Err(format!("unknown transport '{scheme}://' in '{word}'")),
    };
    if let Some(address) = address_with_port(address) {
        return Ok(To::Server(address.into()));
    }
    // An absolute path is meant as a file, whether it is there or not.
    if path.is_file() || word.starts_with('/') {
        return Ok(To::File(path.into()));
    }
    match values::upstream(address).map(|upstream| (upstream.host, upstream.port)) {
        Ok((Host::Name(host), port)) => Ok(To::Host { scheme: Scheme::Dns, host, port, server_name: None }),
        _ => Err(format!("not an IP address or file: '{word}'")),
    }
}

/// `tls://ADDRESS[%NAME][:PORT]`, and the same for `https://`.
fn encrypted(word: &str) -> Result<To, String> {
    let values::UpstreamAddress { scheme, host, server_name, port } = values::upstream(word)?;
    Ok(match host {
        Host::Ip(ip) => To::Server(Target { scheme, address: (ip, port).into(), server_name }),
        Host::Name(host) => To::Host { scheme, host, port, server_name },
    })
}

pub(super) fn address_with_port(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse() {
        return Some(address);
    }
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    match bare.split_once('%') {
        Some((address, interface)) => scoped(address.parse().ok()?, interface),
        None => bare.parse::<IpAddr>().ok().map(|address| (address, PORT).into()),
    }
}

/// A link-local address on an interface, given by name or number.
fn scoped(address: std::net::Ipv6Addr, interface: &str) -> Option<SocketAddr> {
    let number = interface.parse().ok().or_else(|| {
        let is_name = !interface.is_empty() && !interface.contains('/') && interface != "..";
        let file = Path::new("/sys/class/net").join(interface).join("ifindex");
        std::fs::read_to_string(file).ok().filter(|_| is_name)?.trim().parse().ok()
    })?;
    Some(SocketAddrV6::new(address, PORT, 0, number).into())
}

/// The name servers of a file like resolv.conf.
///
/// # Errors
/// There is no such file, or no name server in it.
pub(super) fn name_servers(path: &Path) -> Result<Vec<Target>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("not an IP address or file: '{shown}': {error}"))?;
    // Options that we do not know are somebody else's.
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let addresses = config.nameservers.iter().filter_map(|server| address_with_port(&server.to_string()));
    let servers: Vec<Target> = addresses.map(Target::from).collect();
    match servers.is_empty() {
        true => Err(format!("no nameservers found in '{shown}'")),
        false => Ok(servers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_word(word: &str) -> Result<String, String> {
        Ok(match read(word, Path::new("/nonexistent"))? {
            To::Server(target) => target.to_string(),
            To::Host { scheme, host, port, .. } => format!("{scheme} {host} {port}"),
            To::File(path) => path.display().to_string(),
        })
    }

    #[test]
    fn addresses() {
        for (word, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:1053", "192.0.2.1:1053"),
            ("dns://192.0.2.1", "192.0.2.1:53"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:1053", "[2001:db8::1]:1053"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("tls://192.0.2.1", "192.0.2.1:853"),
            ("tls://192.0.2.1%dns.test:8853", "192.0.2.1:8853"),
            ("https://2001:db8::1%dns.test", "[2001:db8::1]:443"),
            ("dns.example.org", "dns dns.example.org 53"),
            ("dns://dns:1053", "dns dns 1053"),
            ("tls://dns.test", "tls dns.test 853"),
            ("/no/such/file", "/nonexistent"),
        ] {
            assert_eq!(read_word(word), Ok(expected.to_owned()), "{word}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (word, part) in [
            ("quic://192.0.2.1", "quic:// are not supported by dunlin yet"),
            ("https://192.0.2.1/dns-query", "has a path"),
            ("gopher://x", "unknown transport 'gopher://'"),
            ("192.0.2", "not an IP address or file: '192.0.2'"),
            ("a b", "not an IP address or file: 'a b'"),
            ("", "not an IP address or file"),
        ] {
            assert!(read_word(word).is_err_and(|why| why.contains(part)), "{word}");
        }
    }

    #[test]
    fn files_hold_name_servers() {
        let path = std::env::temp_dir().join(format!("dunlin-resolv-{}.conf", std::process::id()));
        std::fs::write(&path, "search a.test\nnameserver 192.0.2.1\noptions unheard-of\nnameserver 2001:db8::1\n")
            .unwrap();
        assert_eq!(read("resolv.conf", &path), Ok(To::File(path.clone())));
        let found = name_servers(&path);
        std::fs::write(&path, "search a.test\n").unwrap();
        let none = name_servers(&path);
        std::fs::remove_file(&path).unwrap();
        let found: Vec<_> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert!(none.is_err_and(|why| why.contains("no nameservers found")));
    }
}
