//! The longest of several zones that contains a name.

use crate::wire::{LowerName, Name, same};
use std::ops::Range;

/// So many zones of one length are compared one after another.
const TRIED: usize = 4;

/// Values by zone. A network in a Corefile becomes up to 128 zones, so those of one length are searched, not tried in a
/// row.
pub struct Suffixes<T> {
    /// By descending number of labels, then by wire form.
    zones: Box<[(Name, T)]>,
    /// The number of labels of a run of zones.
    runs: Box<[(usize, Range<usize>)]>,
}

impl<T> Suffixes<T> {
    /// The zones with their values; of a zone named twice the first counts.
    pub fn new(zones: impl IntoIterator<Item = (Name, T)>) -> Suffixes<T> {
        let mut zones: Vec<_> = zones.into_iter().collect();
        let order = |name: &Name| (std::cmp::Reverse(name.label_count()), name.clone());
        zones.sort_by_cached_key(|(name, _)| order(name));
        zones.dedup_by(|later, first| later.0 == first.0);
        let mut runs: Vec<(usize, Range<usize>)> = Vec::new();
        for (at, (name, _)) in zones.iter().enumerate() {
            match runs.last_mut() {
                Some((labels, run)) if *labels == name.label_count() => run.end = at + 1,
                _ => runs.push((name.label_count(), at..at + 1)),
            }
        }
        Suffixes { zones: zones.into(), runs: runs.into() }
    }

    /// The longest zone that is `name` or above it: its number of labels, and its value.
    #[inline]
    pub fn find(&self, name: &LowerName<'_>) -> Option<(usize, &T)> {
        self.runs.iter().filter(|(labels, _)| *labels <= name.label_count()).find_map(|(labels, run)| {
            let zones = &self.zones[run.clone()];
            if *labels == 0 {
                return zones.first().map(|(_, root)| (0, root));
            }
            let suffix = name.suffix(*labels);
            let (_, value) = match zones.len() {
                // Few zones are told apart by their lengths.
                ..=TRIED => zones.iter().find(|(zone, _)| same(zone.wire(), suffix))?,
                _ => &zones[zones.binary_search_by(|(zone, _)| zone.wire().cmp(suffix)).ok()?],
            };
            Some((*labels, value))
        })
    }

    /// The zones with their values, the longest first.
    pub fn iter(&self) -> impl Iterator<Item = &(Name, T)> {
        self.zones.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NameBuffer;

    fn find(suffixes: &Suffixes<usize>, name: &str) -> Option<(usize, usize)> {
        let mut buffer = NameBuffer::default();
        let name = Name::from_text(name).unwrap();
        suffixes.find(&buffer.lower(name.wire()).unwrap()).map(|(labels, value)| (labels, *value))
    }

    fn zones(names: &[&str]) -> Suffixes<usize> {
        Suffixes::new(names.iter().enumerate().map(|(at, name)| (Name::from_text(name).unwrap(), at)))
    }

    #[test]
    fn the_longest_zone_wins_at_label_borders() {
        let suffixes = zones(&["org", "example.org", "cluster.local", "a.example.org", "example.org"]);
        for (name, expected) in [
            ("b.a.example.org", Some((3, 3))),
            ("a.example.org", Some((3, 3))),
            ("ba.example.org", Some((2, 1))),
            ("notexample.org", Some((1, 0))),
            ("x.cluster.local", Some((2, 2))),
            ("local", None),
            (".", None),
        ] {
            assert_eq!(find(&suffixes, name), expected, "{name}");
        }
        assert_eq!(find(&zones(&["."]), "any.name"), Some((0, 0)));
        assert_eq!(find(&zones(&[]), "any.name"), None);
    }

    #[test]
    fn many_zones_of_one_length_are_told_apart() {
        let names: Vec<String> = (0..128).map(|octet| format!("{octet}.244.10.in-addr.arpa")).collect();
        let suffixes = zones(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(find(&suffixes, "9.127.244.10.in-addr.arpa"), Some((5, 127)));
        assert_eq!(find(&suffixes, "9.128.244.10.in-addr.arpa"), None);
    }
}
