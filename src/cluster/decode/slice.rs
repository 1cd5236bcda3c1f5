//! EndpointSlices: of the endpoints only those that are ready, collected as they are read.
//!
//! Sources: the Kubernetes API reference for EndpointSlice (discovery.k8s.io/v1); for imported ones, KEP-1645.

use super::super::{self as cluster, Details, Endpoint, Endpoints, Kind, Object};
use super::State;
use super::raw::{IMPORT_NAME, Metadata, ObjectPort, Raw, SERVICE_NAME, SOURCE_CLUSTER, ports};
use super::text::{Text, Texts};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Deserialize, Default, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    pub(super) metadata: Metadata,
    /// Whether `addressType` is [`FQDN`].
    #[serde(rename = "addressType", deserialize_with = "is_fqdn")]
    pub(super) is_host_names: bool,
    pub(super) endpoints: Option<Ready>,
    pub(super) ports: Option<Vec<ObjectPort>>,
    /// What of endpoints is taken in, where they are read field by field.
    #[serde(skip)]
    pub(super) details: Details,
}

/// The `addressType` of endpoints that are host names.
pub(super) const FQDN: &str = "FQDN";

/// An EndpointSlice of a ServiceImport.
#[derive(Deserialize, Default, Debug, PartialEq)]
#[serde(transparent)]
pub(super) struct ImportedSlice(pub(super) EndpointSlice);

/// The most endpoints of a slice that Kubernetes' own controller makes, unless it is told otherwise.
const USUAL_MOST: usize = 100;

/// The endpoints of a slice that are ready, one entry an address. What is no address has none: whether it is a host name
/// or a mistake is known when the whole slice has been read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ready {
    all: Endpoints,
    has_others: bool,
}

/// What is read of an endpoint.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) details: Details,
    /// The first of its addresses: there is hardly ever another.
    pub(super) address: Option<&'a [u8]>,
    pub(super) others: Vec<&'a [u8]>,
    /// Unset means ready: `serving` and `terminating` are not looked at.
    pub(super) is_unready: bool,
    pub(super) hostname: &'a str,
    /// `targetRef.name`.
    pub(super) target: &'a str,
    pub(super) zone: &'a str,
}

impl<'a> Raw<'a> for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn wanting(details: Details) -> EndpointSlice {
        EndpointSlice { details, ..EndpointSlice::default() }
    }

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let service = self.metadata.take_label(SERVICE_NAME);
        Ok(State::Present(Object::EndpointSlice(self.slim(service, String::new())?)))
    }
}

impl<'a> Raw<'a> for ImportedSlice {
    const KIND: Kind = Kind::ImportedSlice;

    fn wanting(details: Details) -> ImportedSlice {
        ImportedSlice(EndpointSlice::wanting(details))
    }

    fn metadata(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }

    fn state(mut self) -> Result<State, String> {
        let (service, cluster) = (self.0.metadata.take_label(IMPORT_NAME), self.0.metadata.take_label(SOURCE_CLUSTER));
        Ok(State::Present(Object::ImportedSlice(self.0.slim(service, cluster)?)))
    }
}

impl EndpointSlice {
    /// Whether its endpoints are (also) those of a ServiceImport.
    pub(super) fn is_imported(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(IMPORT_NAME))
    }

    fn slim(mut self, service: String, cluster: String) -> Result<cluster::EndpointSlice, String> {
        Ok(cluster::EndpointSlice {
            key: Some(self.metadata.take_key(Kind::EndpointSlice)?),
            service,
            cluster,
            endpoints: self.endpoints.unwrap_or_default().of(self.is_host_names),
            ports: ports(self.ports),
            last_change: self.metadata.annotations.and_then(|annotations| annotations.last_change),
        })
    }
}

impl Default for Ready {
    fn default() -> Ready {
        Ready { all: Endpoints::with_capacity(USUAL_MOST), has_others: false }
    }
}

impl Ready {
    /// Adds an endpoint if it is ready.
    #[inline]
    pub(super) fn add(&mut self, seen: &Seen<'_>) -> Result<(), std::str::Utf8Error> {
        match (seen.is_unready, seen.address) {
            (false, Some(address)) => {
                self.add_address(seen, address)?;
                seen.others.iter().try_for_each(|other| self.add_address(seen, other))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn add_address(&mut self, seen: &Seen<'_>, written: &[u8]) -> Result<(), std::str::Utf8Error> {
        let (address, text) = match ipv4(written) {
            Some(address) => (Some(address.into()), ""),
            None => {
                let text = std::str::from_utf8(written)?;
                (text.parse::<IpAddr>().ok(), text)
            }
        };
        self.has_others |= address.is_none();
        let Seen { hostname, target, zone, .. } = *seen;
        self.all.push(Endpoint { address, text, hostname, target, zone });
        Ok(())
    }

    /// In a slice of addresses, what is none is left out: it could only make a wrong name.
    fn of(self, is_host_names: bool) -> Endpoints {
        match is_host_names {
            true => self.all.iter().map(|endpoint| Endpoint { address: None, ..endpoint }).collect(),
            false if self.has_others => self.all.iter().filter(|endpoint| endpoint.address.is_some()).collect(),
            false => self.all,
        }
    }
}

fn is_fqdn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let address_type = Option::<Text<'de>>::deserialize(deserializer)?;
    Ok(address_type.as_deref() == Some(FQDN))
}

/// The usual way to write an IPv4 address, in a third of the standard library's time: a slice may have a thousand.
#[inline]
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut rest, mut address) = (text, 0);
    for dots in 0..4 {
        let (part, behind) = part_of_ipv4(rest)?;
        address = address << 8 | part;
        rest = match (behind, dots) {
            ([b'.', behind @ ..], 0..3) => behind,
            ([], 3) => behind,
            _ => return None,
        };
    }
    Some(Ipv4Addr::from_bits(address))
}

/// A number that fits an octet, and what stands behind it: no part begins with a zero but zero itself.
#[inline(always)]
fn part_of_ipv4(text: &[u8]) -> Option<(u32, &[u8])> {
    let digit = |octet: &u8| Some(u32::from(octet.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let (first, mut rest) = text.split_first()?;
    let mut part = digit(first)?;
    if part != 0 {
        for _ in 0..2 {
            let [octet, behind @ ..] = rest else { break };
            let Some(next) = digit(octet) else { break };
            (part, rest) = (part * 10 + next, behind);
        }
    }
    (part < 256).then_some((part, rest))
}

impl<'de> Deserialize<'de> for Ready {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ready, D::Error> {
        deserializer.deserialize_seq(ReadReady)
    }
}

struct ReadReady;

impl<'de> Visitor<'de> for ReadReady {
    type Value = Ready;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of endpoints")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ready, A::Error> {
        let mut ready = Ready::default();
        while let Some(endpoint) = items.next_element::<Written<'de>>()? {
            ready.add(&endpoint.seen()).map_err(serde::de::Error::custom)?;
        }
        Ok(ready)
    }
}

/// An endpoint as JSON and YAML have it.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow)]
    addresses: Option<Texts<'a>>,
    conditions: Option<Conditions>,
    #[serde(borrow)]
    hostname: Option<Text<'a>>,
    #[serde(borrow)]
    target_ref: Option<TargetRef<'a>>,
    #[serde(borrow)]
    zone: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TargetRef<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

impl Written<'_> {
    fn seen(&self) -> Seen<'_> {
        let mut addresses = self.addresses.iter().flat_map(Texts::iter).map(str::as_bytes);
        Seen {
            details: Details::ALL,
            address: addresses.next(),
            others: addresses.collect(),
            is_unready: self.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(false)),
            hostname: self.hostname.as_deref().unwrap_or_default(),
            target: self.target_ref.as_ref().and_then(|target| target.name.as_deref()).unwrap_or_default(),
            zone: self.zone.as_deref().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_the_standard_library_does(text in "[0-9]{0,4}([.:][0-9]{0,4}){0,5}[a-f.]?") {
            prop_assert_eq!(ipv4(text.as_bytes()), text.parse::<Ipv4Addr>().ok());
        }

        #[test]
        fn every_ipv4_address_is_read_at_once(bits in any::<u32>()) {
            let written = Ipv4Addr::from_bits(bits).to_string();
            prop_assert_eq!(ipv4(written.as_bytes()), Some(Ipv4Addr::from_bits(bits)));
        }
    }

    #[test]
    fn what_is_no_ipv4_address_is_left_to_others() {
        for text in
            ["", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.256", "01.2.3.4", "1.2.3.00", "1..3.4", "::1", "1.2.3.4a"]
        {
            assert_eq!(ipv4(text.as_bytes()), None, "{text}");
        }
    }
}
