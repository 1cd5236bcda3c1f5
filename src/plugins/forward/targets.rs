//! Where to forward to: addresses, and files that hold them.

use crate::corefile::values::{self, Host};
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

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

/// What a word stands for: one server, or the name servers of the resolv.conf-style file at `path`.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub(super) fn read(word: &str, path: &Path) -> Result<Vec<Target>, String> {
    let address = match word.split_once("://") {
        None => word,
        Some(("dns", address)) => address,
        Some(("tls" | "https", _)) => return Ok(vec![encrypted(word)?]),
        Some((scheme @ ("https3" | "quic" | "grpc"), _)) => {
            return Err(format!("upstreams over {scheme}:// are not supported by dunlin yet: '{word}'"));
        }
        Some((scheme, _)) => return Err(format!("unknown transport '{scheme}://' in '{word}'")),
    };
    if let Some(address) = address_with_port(address) {
        return Ok(vec![address.into()]);
    }
    if path.is_file() {
        return name_servers(path);
    }
    let is_host = address.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_'));
    match is_host && !address.is_empty() {
        true => Err(format!("not an IP address or file: '{word}' (host names are not supported by dunlin yet)")),
        false => Err(format!("not an IP address or file: '{word}'")),
    }
}

/// `tls://ADDRESS[%NAME][:PORT]`, and the same for `https://`.
fn encrypted(word: &str) -> Result<Target, String> {
    let upstream = values::upstream(word)?;
    match upstream.host {
        Host::Ip(ip) => {
            let address = (ip, upstream.port).into();
            Ok(Target { scheme: upstream.scheme, address, server_name: upstream.server_name })
        }
        Host::Name(_) => Err(format!("not an IP address: '{word}' (host names are not supported by dunlin yet)")),
    }
}

fn address_with_port(word: &str) -> Option<SocketAddr> {
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

fn name_servers(path: &Path) -> Result<Vec<Target>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // Options that we do not know are somebody else's.
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let addresses = config.nameservers.iter().filter_map(|server| address_with_port(&server.to_string()));
    let servers: Vec<Target> = addresses.map(Target::from).collect();
    match servers.is_empty() {
        true => Err(format!("no nameservers found in '{}'", path.display())),
        false => Ok(servers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_word(word: &str) -> Result<Vec<String>, String> {
        read(word, Path::new("/nonexistent")).map(|found| found.iter().map(ToString::to_string).collect())
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
        ] {
            assert_eq!(read_word(word), Ok(vec![expected.to_owned()]), "{word}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (word, part) in [
            ("quic://192.0.2.1", "quic:// are not supported by dunlin yet"),
            ("tls://dns.test", "host names are not supported by dunlin yet"),
            ("https://192.0.2.1/dns-query", "has a path"),
            ("dns.example.org", "host names are not supported by dunlin yet"),
            ("gopher://x", "unknown transport 'gopher://'"),
            ("/no/such/file", "not an IP address or file: '/no/such/file'"),
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
        let found = read("resolv.conf", &path);
        std::fs::write(&path, "search a.test\n").unwrap();
        let none = read("resolv.conf", &path);
        std::fs::remove_file(&path).unwrap();
        let found: Vec<_> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert!(none.is_err_and(|why| why.contains("no nameservers found")));
    }
}
