//! The endpoints of a slice, whose texts are kept one behind the other: a slice of a hundred takes two allocations, not
//! hundreds.

use std::fmt;
use std::net::IpAddr;

/// One ready address of a slice, as it stands in [`Endpoints`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Endpoint<'a> {
    /// The address; `None` for an address that is a host name (`addressType: FQDN`).
    pub address: Option<IpAddr>,
    /// The address as written: labels are made from this text, not from a re-normalised one.
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

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    address: Option<IpAddr>,
    /// Where each of the four texts ends; the first begins where the last of the entry before ends.
    ends: [u32; 4],
}

impl Endpoints {
    /// None yet, with room for so many, whose texts have so many octets.
    pub(super) fn with_capacity(count: usize, octets: usize) -> Endpoints {
        Endpoints { texts: String::with_capacity(octets), entries: Vec::with_capacity(count) }
    }

    /// Adds one behind the others. Beyond 4 GiB of texts it is left out: nothing that is read is that long.
    pub fn push(&mut self, endpoint: Endpoint<'_>) {
        let begin = self.texts.len();
        let mut ends = [0; 4];
        for (end, text) in ends.iter_mut().zip([endpoint.text, endpoint.hostname, endpoint.target, endpoint.zone]) {
            self.texts.push_str(text);
            let Ok(len) = u32::try_from(self.texts.len()) else { return self.texts.truncate(begin) };
            *end = len;
        }
        self.entries.push(Entry { address: endpoint.address, ends });
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
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let mut next = |end: u32| {
                let text = self.texts.get(begin..end as usize).unwrap_or_default();
                begin = end as usize;
                text
            };
            let [text, hostname, target, zone] = entry.ends.map(&mut next);
            Endpoint { address: entry.address, text, hostname, target, zone }
        })
    }
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
