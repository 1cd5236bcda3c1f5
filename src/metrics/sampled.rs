//! Samples of what is asked, for the status page: taken by every lane, merged when read.
//!
//! A lane samples each of its first [`EAGER`] queries of a second and one in [`STRIDE`] of the rest, which then weigh as
//! much as those they stand for. The gaps are random: lookups along a search list come in a rhythm.

use super::top::Top;
use crate::wire::{Name, Rcode};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Queries a lane samples each second before it takes one in so many.
const EAGER: u32 = 256;
/// How many queries one sample stands for from then on, on average.
const STRIDE: u64 = 256;
/// Octets of a name in wire form (RFC 1035 section 2.3.4).
const NAME: usize = 255;

/// One query that was answered.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The question's name in wire form, lowered.
    pub name: &'a [u8],
    /// Who asked.
    pub client: IpAddr,
    /// The answer's code.
    pub rcode: Rcode,
}

/// What one lane keeps: [`Sampled::OCTETS`] on the heap.
#[derive(Default)]
struct Sketches {
    names: Top<NAME, 256>,
    clients: Top<16, 512>,
    /// Names that do not exist.
    missing: Top<NAME, 256>,
    /// The weight of all samples.
    total: u64,
}

/// When the next sample is due, and how many queries it stands for.
struct Pace {
    until: u64,
    weight: u64,
    eager: u32,
    second: u64,
}

/// The samples of all lanes.
pub struct Sampled {
    /// Of whatever is no UDP worker: the slow lane, connections.
    shared: Mutex<(Pace, Arc<Mutex<Sketches>>)>,
    shards: Mutex<Vec<Arc<Mutex<Sketches>>>>,
    seed: foldhash::fast::RandomState,
}

/// The samples of one lane. Recording allocates nothing and waits for nobody.
pub struct SampledShard {
    pace: Pace,
    sketches: Arc<Mutex<Sketches>>,
    sampled: Arc<Sampled>,
}

/// What has been sampled: the greatest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tops {
    /// Names in wire form, each with its share of all queries, from 0 to 1.
    pub names: Vec<(Vec<u8>, f64)>,
    /// Clients.
    pub clients: Vec<(IpAddr, f64)>,
    /// Names that do not exist.
    pub missing: Vec<(Vec<u8>, f64)>,
}

impl Default for Sampled {
    fn default() -> Sampled {
        let shared = Mutex::new((Pace::default(), Arc::default()));
        Sampled { shared, shards: Mutex::default(), seed: foldhash::fast::RandomState::default() }
    }
}

impl Sampled {
    /// Octets that the samples of one lane take: a UDP worker each, and all others together.
    pub const OCTETS: usize = Top::<NAME, 256>::OCTETS * 2 + Top::<16, 512>::OCTETS;

    /// A shard for one UDP worker.
    pub fn shard(self: &Arc<Self>) -> SampledShard {
        let sketches = Arc::<Mutex<Sketches>>::default();
        locked(&self.shards).push(Arc::clone(&sketches));
        SampledShard { pace: Pace::default(), sketches, sampled: Arc::clone(self) }
    }

    /// Samples from a connection, into what all connections share.
    pub fn shard_of_connection(self: &Arc<Self>) -> SampledShard {
        let sketches = Arc::clone(&locked(&self.shared).1);
        SampledShard { pace: Pace::default(), sketches, sampled: Arc::clone(self) }
    }

    /// Samples from the slow lane; `seconds` and `random` as a lane has them.
    pub fn record_shared(&self, sample: Sample<'_>, seconds: u64, random: u64) {
        let (pace, sketches) = &mut *locked(&self.shared);
        pace.second_is(seconds);
        if pace.is_due() {
            let weight = pace.next(random);
            self.add(&mut locked(sketches), sample, weight);
        }
    }

    /// The `count` greatest of each kind.
    pub fn tops(&self, count: usize) -> Tops {
        let mut merged = Merged::default();
        self.each(|sketches| merged.add(sketches));
        let total = merged.total.max(1) as f64;
        let names = |counts| greatest(counts, count, total);
        Tops {
            names: names(merged.names),
            clients: greatest(merged.clients, count, total)
                .into_iter()
                .filter_map(|(octets, share)| Some((address(&octets)?, share)))
                .collect(),
            missing: names(merged.missing),
        }
    }

    /// Halves what has been counted, so that the past fades.
    pub fn halve(&self) {
        self.each(|sketches| {
            sketches.names.halve();
            sketches.clients.halve();
            sketches.missing.halve();
            sketches.total /= 2;
        });
    }

    /// How many lanes have sketches of their own, with the one that is shared.
    pub fn lanes(&self) -> usize {
        locked(&self.shards).len() + 1
    }

    fn each(&self, mut visit: impl FnMut(&mut Sketches)) {
        let mut all = locked(&self.shards).clone();
        all.push(Arc::clone(&locked(&self.shared).1));
        all.iter().for_each(|sketches| visit(&mut locked(sketches)));
    }

    fn add(&self, sketches: &mut Sketches, sample: Sample<'_>, weight: u64) {
        let name = self.seed.hash_one(sample.name);
        sketches.total += weight;
        sketches.names.add(sample.name, name, weight);
        match sample.client.to_canonical() {
            IpAddr::V4(ip) => sketches.clients.add(&ip.octets(), self.seed.hash_one(ip.octets()), weight),
            IpAddr::V6(ip) => sketches.clients.add(&ip.octets(), self.seed.hash_one(ip.octets()), weight),
        }
        if sample.rcode == Rcode::NXDOMAIN {
            sketches.missing.add(sample.name, name, weight);
        }
    }
}

impl SampledShard {
    /// A batch of this second begins.
    #[inline]
    pub fn batch_begins(&mut self, seconds: u64) {
        self.pace.second_is(seconds);
    }

    /// Whether this query is to be recorded.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.pace.is_due()
    }

    /// Records a query that is due. While somebody reads, the sample is let go.
    #[cold]
    pub fn record(&mut self, sample: Sample<'_>, random: u64) {
        let weight = self.pace.next(random);
        if let Ok(mut sketches) = self.sketches.try_lock() {
            self.sampled.add(&mut sketches, sample, weight);
        }
    }

    /// Whether it is a shard of these.
    pub fn is_of(&self, sampled: &Arc<Sampled>) -> bool {
        Arc::ptr_eq(&self.sampled, sampled)
    }
}

impl Drop for SampledShard {
    fn drop(&mut self) {
        locked(&self.sampled.shards).retain(|shard| !Arc::ptr_eq(shard, &self.sketches));
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { until: 1, weight: 1, eager: EAGER, second: 0 }
    }
}

impl Pace {
    #[inline]
    fn second_is(&mut self, second: u64) {
        if self.second != second {
            self.second = second;
            self.eager = EAGER;
        }
    }

    #[inline]
    fn is_due(&mut self) -> bool {
        self.until -= 1;
        self.until == 0
    }

    /// The weight of the sample that is due; the next is set.
    fn next(&mut self, random: u64) -> u64 {
        let weight = self.weight;
        if self.eager > 0 {
            self.eager -= 1;
            (self.until, self.weight) = (1, 1);
        } else {
            // From 1 to 2 × STRIDE - 1. The upper bits are xorshift's better ones.
            (self.until, self.weight) = (1 + (random >> 32) % (2 * STRIDE - 1), STRIDE);
        }
        weight
    }
}

#[derive(Default)]
struct Merged {
    names: HashMap<Vec<u8>, u64>,
    clients: HashMap<Vec<u8>, u64>,
    missing: HashMap<Vec<u8>, u64>,
    total: u64,
}

impl Merged {
    fn add(&mut self, sketches: &Sketches) {
        fn merge<const N: usize, const C: usize>(into: &mut HashMap<Vec<u8>, u64>, top: &Top<N, C>) {
            // Half of the possible error is likelier than all or nothing of it.
            top.entries()
                .for_each(|entry| *into.entry(entry.key.to_vec()).or_default() += entry.count - entry.error / 2);
        }
        merge(&mut self.names, &sketches.names);
        merge(&mut self.clients, &sketches.clients);
        merge(&mut self.missing, &sketches.missing);
        self.total += sketches.total;
    }
}

fn greatest(counts: HashMap<Vec<u8>, u64>, count: usize, total: f64) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = counts.into_iter().filter(|(_, weight)| *weight > 0).collect();
    all.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all.truncate(count);
    all.into_iter().map(|(key, weight)| (key, weight as f64 / total)).collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
        _ => Some(<[u8; 16]>::try_from(octets).ok()?.into()),
    }
}

impl Tops {
    /// The names that do not exist and were asked along a search list, by what was meant: `api.example.com` for
    /// `api.example.com.default.svc.cluster.local`. What stands behind a label `svc` is taken for a cluster's zone.
    pub fn search_waste(&self) -> Vec<(String, f64)> {
        sums(self.searched().into_iter().map(|searched| (searched.meant, searched.share)))
    }

    /// The namespaces whose search lists were walked so: `default` in the example.
    pub fn searching_namespaces(&self) -> Vec<(String, f64)> {
        sums(self.searched().into_iter().filter_map(|searched| Some((searched.namespace?, searched.share))))
    }

    fn searched(&self) -> Vec<Searched> {
        let names: Vec<(Vec<String>, f64)> =
            self.missing.iter().filter_map(|(wire, share)| Some((labels(wire)?, *share))).collect();
        let svc = |labels: &[String]| labels.iter().rposition(|label| label == "svc");
        let zones: Vec<&[String]> = names
            .iter()
            .filter_map(|(labels, _)| Some(&labels[svc(labels)? + 1..]))
            .filter(|zone| !zone.is_empty())
            .collect();
        let in_zone = |labels: &[String]| {
            zones.iter().map(|zone| zone.len()).find(|length| {
                labels.len() > *length && zones.iter().any(|zone| labels.ends_with(zone) && zone.len() == *length)
            })
        };
        // Directly below the zone it is plain what was meant, and a namespace before `svc` has what was meant before it.
        let known: HashSet<&[String]> = names
            .iter()
            .filter_map(|(labels, _)| match svc(labels) {
                None => Some(&labels[..labels.len() - in_zone(labels)?]),
                Some(at) => Some(&labels[..at.checked_sub(1)?]),
            })
            .collect();
        let searched = |(labels, share): &(Vec<String>, f64)| {
            let (meant, namespace) = match svc(labels) {
                None => (&labels[..labels.len() - in_zone(labels)?], None),
                Some(at) if known.contains(&labels[..at]) => (&labels[..at], None),
                Some(at) => labels[..at].split_last().map(|(last, rest)| (rest, Some(last.clone())))?,
            };
            // One label is a Service's name, and no waste of a search list.
            (meant.len() > 1).then(|| Searched { meant: meant.join("."), namespace, share: *share })
        };
        // An SRV record's name goes along no search list.
        names.iter().filter(|(labels, _)| !labels[0].starts_with('_')).filter_map(searched).collect()
    }
}

/// A name that was asked along a search list.
struct Searched {
    meant: String,
    /// Of the client, where the first name of its list was asked.
    namespace: Option<String>,
    share: f64,
}

/// The sums by name, the greatest first.
fn sums(shares: impl Iterator<Item = (String, f64)>) -> Vec<(String, f64)> {
    let mut sums: HashMap<String, f64> = HashMap::new();
    shares.for_each(|(name, share)| *sums.entry(name).or_default() += share);
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    sums
}

/// The labels of a name in wire form; `None` for the root.
fn labels(wire: &[u8]) -> Option<Vec<String>> {
    let name = Name::from_wire(wire)?;
    let labels: Vec<String> = name.labels().map(|label| label.escape_ascii().to_string()).collect();
    (!labels.is_empty()).then_some(labels)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        Name::from_text(name).unwrap().wire().to_vec()
    }

    fn ask(shard: &mut SampledShard, name: &[u8], rcode: Rcode, random: &mut u64) {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if shard.is_due() {
            shard.record(Sample { name, client: [10, 0, 0, 1].into(), rcode }, *random);
        }
    }

    #[test]
    fn a_quiet_server_samples_every_query() {
        let sampled = Arc::<Sampled>::default();
        let mut shard = sampled.shard();
        let (web, gone) = (wire("web.test"), wire("gone.test"));
        for (name, rcode) in [(&web, Rcode::NOERROR), (&gone, Rcode::NXDOMAIN), (&web, Rcode::NOERROR)] {
            ask(&mut shard, name, rcode, &mut 1);
        }
        sampled.record_shared(Sample { name: &web, client: [10, 0, 0, 2].into(), rcode: Rcode::NOERROR }, 1, 1);
        let tops = sampled.tops(10);
        assert_eq!(tops.names, [(web, 0.75), (gone.clone(), 0.25)]);
        assert_eq!(tops.missing, [(gone, 0.25)]);
        assert_eq!(tops.clients, [([10, 0, 0, 1].into(), 0.75), ([10, 0, 0, 2].into(), 0.25)]);
        assert_eq!(sampled.tops(1).names.len(), 1);
    }

    #[test]
    fn a_busy_one_samples_few_and_weighs_them() {
        let sampled = Arc::<Sampled>::default();
        let mut shard = sampled.shard();
        // A rhythm of eight, as a search list has it.
        let names: Vec<_> = (0..8).map(|n| wire(&format!("n{n}.test"))).collect();
        let mut random = 1;
        for query in 0..400_000 {
            ask(&mut shard, &names[query % 8], Rcode::NOERROR, &mut random);
        }
        let tops = sampled.tops(10);
        assert_eq!(tops.names.len(), 8);
        assert!(tops.names.iter().all(|(_, share)| (0.09..0.16).contains(share)), "{:?}", tops.names);
        let total = locked(&shard.sketches).total;
        assert!((370_000..430_000).contains(&total), "{total}");
    }

    #[test]
    fn what_is_past_fades_and_an_ended_lane_is_forgotten() {
        let sampled = Arc::<Sampled>::default();
        let mut shard = sampled.shard();
        ask(&mut shard, &wire("a.test"), Rcode::NOERROR, &mut 1);
        sampled.halve();
        assert_eq!((sampled.tops(10), sampled.lanes()), (Tops::default(), 2));
        drop(shard);
        assert_eq!(sampled.lanes(), 1);
    }

    #[test]
    fn search_lists_are_seen_through() {
        let missing = |names: &[&str]| Tops {
            missing: names.iter().map(|name| (wire(name), 0.125)).collect(),
            ..Tops::default()
        };
        let waste = missing(&[
            "api.example.com.default.svc.cluster.local",
            "api.example.com.svc.cluster.local",
            "api.example.com.cluster.local",
            "db.example.org.shop.svc.cluster.local",
            "gone.default.svc.cluster.local",
            "www.nowhere.test",
        ]);
        assert_eq!(waste.search_waste(), [("api.example.com".into(), 0.375), ("db.example.org".into(), 0.125)]);
        assert!(missing(&["www.nowhere.test", "."]).search_waste().is_empty());
    }

    #[test]
    fn search_lists_show_their_namespaces() {
        let missing = [
            "api.example.com.shop.svc.cluster.local",
            "api.example.com.svc.cluster.local",
            "web.prod.shop.svc.cluster.local",
            "web.prod.svc.cluster.local",
            "api.example.org.default.svc.cluster.local",
            "gone.prod.svc.cluster.local",
            "_http._tcp.web.prod.svc.cluster.local",
            "www.nowhere.test",
        ];
        let tops = Tops { missing: missing.iter().map(|name| (wire(name), 0.125)).collect(), ..Tops::default() };
        let expected = [("shop", 0.25), ("default", 0.125)];
        assert_eq!(tops.searching_namespaces(), expected.map(|(name, share)| (name.to_owned(), share)));
    }

    // As the manual states it.
    const _: () = assert!(Sampled::OCTETS <= 161 * 1024);
}
