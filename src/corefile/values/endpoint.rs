//! Where to listen, and whom to ask.

use super::super::address::{Scheme, scheme};
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::{char, u16};
use nom::combinator::{all_consuming, map, map_opt, map_res, opt, recognize};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, or a name that has one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name in lower case, without its last dot.
    Name(String),
}

impl fmt::Display for Host {
    /// As it stands before a port: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// A server that queries are sent to: `[dns://|tls://|https://]HOST[%SERVERNAME][:PORT]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UpstreamAddress {
    /// `Dns`, `Tls` or `Https`; `Dns` where none is given.
    pub scheme: Scheme,
    /// The address, or a name to look up.
    pub host: Host,
    /// The name its certificate shall have, where one is given; only with TLS.
    pub server_name: Option<String>,
    /// The port, the scheme's where none is given.
    pub port: u16,
}

impl fmt::Display for UpstreamAddress {
    /// `HOST:PORT`, the form of the label `to` in CoreDNS's metrics.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads an upstream. An IPv6 address may stand bare where no port follows. File names are the caller's to see first.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn upstream(word: &str) -> Result<UpstreamAddress, String> {
    let (scheme, rest) = scheme(word)?;
    if !matches!(scheme, Scheme::Dns | Scheme::Tls | Scheme::Https) {
        return Err(format!("'{scheme}://' cannot be forwarded to; expecting dns://, tls:// or https://"));
    }
    if rest.contains('/') {
        return Err(format!("'{word}' has a path, which an upstream cannot have; expecting HOST[:PORT]"));
    }
    let Ok((_, (host, server_name, port))) = all_consuming(upstream_parts).parse(rest) else {
        return Err(format!("'{word}' is no upstream; expecting [dns://|tls://|https://]HOST[%SERVERNAME][:PORT]"));
    };
    if server_name.is_some() && scheme == Scheme::Dns {
        return Err(format!("'{word}' has a server name, which needs TLS; expecting tls:// before it"));
    }
    Ok(UpstreamAddress { scheme, host, server_name, port: port.unwrap_or(scheme.default_port()) })
}

/// An address to listen on: `HOST:PORT`, the host empty for every address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListenAddress {
    /// The host; `None` for every address.
    pub host: Option<Host>,
    /// The port, 0 for any.
    pub port: u16,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

/// Reads an address to listen on: `:8080`, `localhost:9153`, `0.0.0.0:80`, `[::1]:80`.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn listen_address(word: &str) -> Result<ListenAddress, String> {
    let address = map((opt(alt((bracketed, host))), port), |(host, port)| ListenAddress { host, port });
    all_consuming(address).parse(word).map(|(_, address)| address).map_err(|_| {
        let hint = match word.parse::<Ipv6Addr>() {
            Ok(_) => format!("; an IPv6 address stands in brackets, as [{word}]:8080"),
            Err(_) => String::new(),
        };
        format!("'{word}' is no address to listen on; expecting [HOST]:PORT, as :8080 or 127.0.0.1:8080{hint}")
    })
}

type UpstreamParts = (Host, Option<String>, Option<u16>);

fn upstream_parts(input: &str) -> IResult<&str, UpstreamParts> {
    // The bare IPv6 address comes first as it must be the whole word: its end could be read as a port.
    let bare = map(all_consuming((ipv6, opt(server_name))), |(host, server_name)| (host, server_name, None));
    let inside = delimited(char('['), (ipv6, opt(server_name)), char(']'));
    let bracketed =
        map((inside, opt(server_name), opt(port)), |((host, inner), outer, port)| (host, inner.or(outer), port));
    alt((bare, bracketed, (host, opt(server_name), opt(port)))).parse(input)
}

fn bracketed(input: &str) -> IResult<&str, Host> {
    delimited(char('['), ipv6, char(']')).parse(input)
}

fn ipv6(input: &str) -> IResult<&str, Host> {
    let digits = take_while1(|character: char| character.is_ascii_hexdigit() || matches!(character, ':' | '.'));
    map_res(digits, |text: &str| text.parse::<Ipv6Addr>().map(|address| Host::Ip(address.into()))).parse(input)
}

fn host(input: &str) -> IResult<&str, Host> {
    alt((map(ipv4, |address| Host::Ip(address.into())), map(host_name, Host::Name))).parse(input)
}

fn ipv4(input: &str) -> IResult<&str, Ipv4Addr> {
    map_res(take_while1(is_name_character), str::parse).parse(input)
}

/// A host's name. All digits and dots is a mistyped address and no name.
fn host_name(input: &str) -> IResult<&str, String> {
    map_opt(recognize(take_while1(is_name_character)), |text: &str| {
        let name = text.strip_suffix('.').unwrap_or(text);
        let labels_fit = name.split('.').all(|label| (1..=63).contains(&label.len()));
        let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (labels_fit && !numeric && name.len() <= 253).then(|| name.to_ascii_lowercase())
    })
    .parse(input)
}

fn server_name(input: &str) -> IResult<&str, String> {
    preceded(char('%'), host_name).parse(input)
}

fn port(input: &str) -> IResult<&str, u16> {
    preceded(char(':'), u16).parse(input)
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_upstreams() {
        let table = [
            ("10.0.0.10", Scheme::Dns, "10.0.0.10", None, 53),
            ("10.0.0.10:5353", Scheme::Dns, "10.0.0.10", None, 5353),
            ("dns://10.0.0.10", Scheme::Dns, "10.0.0.10", None, 53),
            ("tls://9.9.9.9", Scheme::Tls, "9.9.9.9", None, 853),
            ("tls://9.9.9.9%dns.quad9.net", Scheme::Tls, "9.9.9.9", Some("dns.quad9.net"), 853),
            ("tls://9.9.9.9%dns.quad9.net:8853", Scheme::Tls, "9.9.9.9", Some("dns.quad9.net"), 8853),
            ("https://1.1.1.1", Scheme::Https, "1.1.1.1", None, 443),
            ("::1", Scheme::Dns, "[::1]", None, 53),
            ("::1:53", Scheme::Dns, "[::1:53]", None, 53),
            ("[::1]", Scheme::Dns, "[::1]", None, 53),
            ("[::1]:5353", Scheme::Dns, "[::1]", None, 5353),
            ("::ffff:192.0.2.1", Scheme::Dns, "[::ffff:192.0.2.1]", None, 53),
            ("tls://2620:fe::fe%dns.quad9.net", Scheme::Tls, "[2620:fe::fe]", Some("dns.quad9.net"), 853),
            ("tls://[2620:fe::fe]%dns.quad9.net:853", Scheme::Tls, "[2620:fe::fe]", Some("dns.quad9.net"), 853),
            ("tls://[2620:fe::fe%dns.quad9.net]:853", Scheme::Tls, "[2620:fe::fe]", Some("dns.quad9.net"), 853),
            ("dns.Example.org.", Scheme::Dns, "dns.example.org", None, 53),
            ("kube-dns.kube-system:1053", Scheme::Dns, "kube-dns.kube-system", None, 1053),
            ("__PILLAR__CLUSTER__DNS__", Scheme::Dns, "__pillar__cluster__dns__", None, 53),
        ];
        for (word, scheme, host, server_name, port) in table {
            let address = upstream(word).unwrap_or_else(|why| panic!("{word}: {why}"));
            let found = (address.scheme, address.host.to_string(), address.server_name.as_deref(), address.port);
            assert_eq!(found, (scheme, host.to_owned(), server_name, port), "{word}");
        }
        assert_eq!(upstream("10.0.0.10").unwrap().host, Host::Ip(Ipv4Addr::new(10, 0, 0, 10).into()));
        assert_eq!(upstream("::1").unwrap().to_string(), "[::1]:53");
        assert_eq!(upstream("tls://9.9.9.9%a").unwrap().to_string(), "9.9.9.9:853");
    }

    #[test]
    fn bad_upstreams() {
        let table = [
            ("", "is no upstream"),
            ("/etc/resolv.conf", "has a path"),
            ("https://1.1.1.1/dns-query", "has a path"),
            ("quic://1.1.1.1", "cannot be forwarded to; expecting dns://, tls:// or https://"),
            ("grpc://1.1.1.1", "cannot be forwarded to"),
            ("sdns://1.1.1.1", "is unknown"),
            ("1.1.1.1:65536", "is no upstream"),
            ("1.1.1.1:", "is no upstream"),
            ("1.1.1", "is no upstream"),
            ("1.1.1.256", "is no upstream"),
            ("[1.1.1.1]:53", "is no upstream"),
            ("[::1", "is no upstream"),
            ("::1]", "is no upstream"),
            ("a..b", "is no upstream"),
            ("a b", "is no upstream"),
            ("1.1.1.1%dns.example", "has a server name, which needs TLS"),
            ("tls://1.1.1.1%", "is no upstream"),
        ];
        for (word, why) in table {
            let error = upstream(word).expect_err(word);
            assert!(error.contains(why), "{word}: {error}");
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        let table = [
            (":8080", ":8080"),
            (":0", ":0"),
            ("localhost:9153", "localhost:9153"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::]:80", "[::]:80"),
            ("169.254.20.10:8080", "169.254.20.10:8080"),
            ("__PILLAR__LOCAL__DNS__:8080", "__pillar__local__dns__:8080"),
        ];
        for (word, text) in table {
            assert_eq!(listen_address(word).unwrap_or_else(|why| panic!("{word}: {why}")).to_string(), text);
        }
        assert_eq!(listen_address(":8080"), Ok(ListenAddress { host: None, port: 8080 }));
        for word in ["", ":", "8080", "localhost", ":65536", ":x", "1.2.3:80", "::1:80", "[::1]", "a b:80", ":80 "] {
            assert!(listen_address(word).is_err_and(|why| why.contains("expecting [HOST]:PORT")), "{word}");
        }
        assert!(listen_address("::1").unwrap_err().ends_with("an IPv6 address stands in brackets, as [::1]:8080"));
    }
}
