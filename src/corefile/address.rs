//! The addresses in front of a server block: `[scheme://]zone[:port]`.

use super::values::{host_zones, is_network};
use super::{Error, Span};
use std::fmt;
use std::net::Ipv6Addr;

/// The transport a server block is served over (Corefile manual, "Server Blocks").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Scheme {
    Dns,
    Tls,
    Quic,
    Grpc,
    Https,
    Https3,
}

impl Scheme {
    const ALL: [Scheme; 6] = [Scheme::Dns, Scheme::Tls, Scheme::Quic, Scheme::Grpc, Scheme::Https, Scheme::Https3];

    /// The word in front of `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Dns => "dns",
            Scheme::Tls => "tls",
            Scheme::Quic => "quic",
            Scheme::Grpc => "grpc",
            Scheme::Https => "https",
            Scheme::Https3 => "https3",
        }
    }

    /// The port where none is given (RFC 1035, 7858, 9250, 8484). For `dns` a flag may say another.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Dns => 53,
            Scheme::Tls | Scheme::Quic => 853,
            Scheme::Grpc | Scheme::Https | Scheme::Https3 => 443,
        }
    }

    fn from_word(word: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One address of a server block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The transport, `dns://` where none is given.
    pub scheme: Scheme,
    /// The zones it stands for in lower case with a last dot: one, or the reverse zones of a CIDR.
    pub zones: Vec<String>,
    /// The port, where one is given.
    pub port: Option<u16>,
    /// Where it stands.
    pub span: Span,
}

impl Address {
    pub(super) fn read(word: &str, span: &Span) -> Result<Address, Error> {
        let parts = || {
            let (scheme, host, port) = split(word)?;
            Ok(Address { scheme, zones: host_zones(host)?, port, span: span.clone() })
        };
        parts().map_err(|why: String| Error::at(span, format!("Error during parsing: {why}")))
    }
}

/// Splits an address into its scheme, what stands for its zones, and its port.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub(super) fn split(word: &str) -> Result<(Scheme, &str, Option<u16>), String> {
    let (scheme, rest) = scheme(word)?;
    if is_network(rest) {
        return Ok((scheme, rest, None));
    }
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("'{rest}' is an address and no zone; expecting a network, as {rest}/64"));
    }
    let Some((host, port)) = rest.rsplit_once(':') else { return Ok((scheme, rest, None)) };
    match port.parse() {
        // Mostly an argument of a directive behind the last brace, as `prometheus :9153`.
        Ok(_) if host.is_empty() => {
            let before = word.strip_suffix(rest).unwrap_or_default();
            Err(format!("'{word}' has a port without a zone; expecting one, as '{before}.{rest}'"))
        }
        Ok(port) => Ok((scheme, host, Some(port))),
        Err(_) if port.is_empty() => Err(format!("'{word}' ends with ':'; expecting a port, as '{word}53'")),
        Err(_) => Err(format!("'{port}' in '{word}' is no port; expecting a number from 0 to 65535")),
    }
}

/// Takes `scheme://` off.
pub(super) fn scheme(word: &str) -> Result<(Scheme, &str), String> {
    let Some((scheme, rest)) = word.split_once("://") else { return Ok((Scheme::Dns, word)) };
    let known = Scheme::from_word(scheme).ok_or_else(|| {
        let all: Vec<_> = Scheme::ALL.iter().map(|scheme| format!("{scheme}://")).collect();
        format!("'{scheme}://' is unknown; expecting one of: {}", all.join(" "))
    })?;
    Ok((known, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<Address, Error> {
        Address::read(word, &Span { file: "Corefile".into(), line: 7 })
    }

    #[test]
    fn scheme_zone_and_port() {
        let table = [
            (".", Scheme::Dns, ".", None),
            (".:53", Scheme::Dns, ".", Some(53)),
            ("dns://.:0", Scheme::Dns, ".", Some(0)),
            ("Example.ORG", Scheme::Dns, "example.org.", None),
            ("example.org.:5353", Scheme::Dns, "example.org.", Some(5353)),
            ("tls://example.org", Scheme::Tls, "example.org.", None),
            ("quic://.:853", Scheme::Quic, ".", Some(853)),
            ("grpc://example.org:443", Scheme::Grpc, "example.org.", Some(443)),
            ("https://.", Scheme::Https, ".", None),
            ("https3://.", Scheme::Https3, ".", None),
            ("10.0.0.0/8", Scheme::Dns, "10.in-addr.arpa.", None),
            ("10.0.0.0/8:54", Scheme::Dns, "10.in-addr.arpa.", Some(54)),
            ("2001:db8::/32", Scheme::Dns, "8.b.d.0.1.0.0.2.ip6.arpa.", None),
            ("2001:db8::/32:54", Scheme::Dns, "8.b.d.0.1.0.0.2.ip6.arpa.", Some(54)),
            ("10.0.0.1", Scheme::Dns, "10.0.0.1.", None),
            ("__PILLAR__DNS__DOMAIN__:53", Scheme::Dns, "__pillar__dns__domain__.", Some(53)),
        ];
        for (word, scheme, zone, port) in table {
            let address = read(word).unwrap_or_else(|error| panic!("{word}: {error}"));
            assert_eq!((address.scheme, address.zones, address.port), (scheme, vec![zone.to_owned()], port), "{word}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_expected() {
        let table = [
            ("example.org:", "'example.org:' ends with ':'; expecting a port, as 'example.org:53'"),
            (".:65536", "'65536' in '.:65536' is no port; expecting a number from 0 to 65535"),
            ("example.org:dns", "'dns' in 'example.org:dns' is no port; expecting a number from 0 to 65535"),
            (":1053", "':1053' has a port without a zone; expecting one, as '.:1053'"),
            ("tls://:853", "'tls://:853' has a port without a zone; expecting one, as 'tls://.:853'"),
            ("doh://.", "'doh://' is unknown; expecting one of: dns:// tls:// quic:// grpc:// https:// https3://"),
            ("fd00::1", "'fd00::1' is an address and no zone; expecting a network, as fd00::1/64"),
            ("a..b", "'a..b' is no name: a label is empty"),
        ];
        for (word, why) in table {
            let error = read(word).expect_err(word).to_string();
            assert_eq!(error, format!("Corefile:7 - Error during parsing: {why}"), "{word}");
        }
    }
}
