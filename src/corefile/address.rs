//! The addresses in front of a server block: `[scheme://]zone[:port]`.

use super::Span;

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
