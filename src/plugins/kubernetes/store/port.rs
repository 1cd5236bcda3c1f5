//! Ports, and which of them a name asks for.

use super::super::names::PortFilter;
use crate::wire::same;

/// A port of a service or slice; name and protocol in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Port {
    pub name: Box<str>,
    pub protocol: Box<str>,
    pub number: u16,
}

impl<'f> PortFilter<'f> {
    #[inline]
    pub fn matches(self, port: &Port) -> bool {
        (self.name.is_empty() || same(self.name, port.name.as_bytes()))
            && (self.protocol.is_empty() || same(self.protocol, port.protocol.as_bytes()))
    }

    /// How many entries an address makes with these ports: one a port, or one for all where there are no ports.
    #[inline]
    pub fn entries(self, ports: &[Port]) -> usize {
        match ports {
            [] => usize::from(self.is_any()),
            ports => ports.iter().filter(|port| self.matches(port)).count(),
        }
    }

    /// The numbers of the ports that match, each once.
    #[inline]
    pub fn numbers<'p>(self, ports: &'p [Port]) -> impl Iterator<Item = u16> + use<'p, 'f> {
        let is_new = move |at: usize, number: u16| {
            !ports[..at].iter().any(|before| before.number == number && self.matches(before))
        };
        let matching = ports.iter().enumerate().filter(move |(_, port)| self.matches(port));
        matching.filter(move |(at, port)| is_new(*at, port.number)).map(|(_, port)| port.number)
    }
}
