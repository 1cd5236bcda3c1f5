//! The endpoints of a slice, whose texts are kept one behind the other: a slice of a hundred takes two allocations, not
//! hundreds.

use std::fmt;
use std::net::IpAddr;

/// One ready address of a slice, as it stands in [`Endpoints`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Endpoint<'a> {
    /// The address; `None` for an address that is a host name (`addressType: FQDN`).
    pub address: Option<IpAddr>,
    /// The address as written: labels are made from this text, not from a re-normalised one. Empty for an IPv4 address,
    /// for which there is one way to write it.
    pub text: &'a str,
    /// `hostname`, empty where unset.
    pub hostname: &'a str,
    /// `targetRef.name`, empty where unset.
    pub target: &'a str,
    /// `zone` (topology), empty where unset.
    pub zone: &'a str,
}

/// Endpoints in their order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// Of each endpoint text, hostname, target and zone.
    texts: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    address: Option<IpAddr>,
    /// Octets of each of the four texts, which follow those of the entry before.
    lengths: [u32; 4],
}

impl Endpoints {
    /// None yet, with room for so many; most have no texts.
    pub(super) fn with_capacity(count: usize) -> Endpoints {
        Endpoints { texts: String::new(), entries: Vec::with_capacity(count) }
    }

    /// Adds one behind the others. With texts of 4 GiB it is left out: nothing that is read is that long.
    #[inline]
    pub fn push(&mut self, endpoint: Endpoint<'_>) {
        let Endpoint { address, text, hostname, target, zone } = endpoint;
        let texts = [text, hostname, target, zone];
        let octets: usize = texts.iter().map(|text| text.len()).sum();
        if u32::try_from(octets).is_err() {
            return;
        }
        self.entries.push(Entry { address, lengths: texts.map(|text| text.len() as u32) });
        if octets > 0 {
            texts.iter().for_each(|text| self.texts += text);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Endpoint<'_>> {
        let mut rest = &self.texts[..];
        self.entries.iter().map(move |Entry { address, lengths: [text, hostname, target, zone] }| Endpoint {
            address: *address,
            text: split(&mut rest, *text),
            hostname: split(&mut rest, *hostname),
            target: split(&mut rest, *target),
            zone: split(&mut rest, *zone),
        })
    }
}

/// Takes the first octets off.
fn split<'a>(rest: &mut &'a str, length: u32) -> &'a str {
    let (first, others) = rest.split_at_checked(length as usize).unwrap_or_default();
    *rest = others;
    first
}

impl<'a> FromIterator<Endpoint<'a>> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint<'a>>>(items: I) -> Endpoints {
        let mut endpoints = Endpoints::default();
        items.into_iter().for_each(|endpoint| endpoints.push(endpoint));
        endpoints
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_out_as_they_went_in() {
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        let all = [
            Endpoint { address, text: "10.0.0.1", hostname: "db-0", target: "", zone: "a" },
            Endpoint::default(),
            Endpoint { address: None, text: "db.example.com", target: "p", ..Endpoint::default() },
        ];
        let endpoints: Endpoints = all.into_iter().collect();
        assert_eq!(endpoints.iter().collect::<Vec<_>>(), all);
        assert_eq!((endpoints.len(), endpoints.is_empty(), Endpoints::default().is_empty()), (3, false, true));
        assert_eq!(endpoints, all.into_iter().collect());
        assert_ne!(endpoints, all[..2].iter().copied().collect());
        // The same octets, cut elsewhere.
        let moved = Endpoint { hostname: "db-", target: "0", ..all[0] };
        assert_ne!(endpoints, [moved, all[1], all[2]].into_iter().collect());
    }
}
