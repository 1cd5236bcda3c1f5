//! # Description
//! `loadbalance` sends the addresses of a name in random order, a new one for each answer: A, AAAA and MX records in all
//! sections of NOERROR answers, with CNAMEs in front of them. Clients that take the first address are so spread over all
//! of them. Zone transfers and signed messages are left as they are.
//!
//! # Syntax
//! ```text
//! loadbalance [round_robin | weighted FILE] {
//!     reload DURATION
//!     prefer NETWORK...
//! }
//! ```
//! - `round_robin`: the policy where none is given.
//! - `weighted`: the first address of a name is chosen by the weights of **FILE**; the others come in random order. A
//!   line of the file is a name, or an address and its weight (1 to 255) for the name above it; `#` starts a comment.
//!   What the file does not name has weight 1. A relative file name starts at `root`.
//! - `reload` (30s; only with `weighted`): how often the file is read; 0 for never. A file that is wrong is said in the
//!   log, and the weights before it stay.
//! - `prefer`: addresses in these networks (`10.0.0.0/8`, `fd00::/8`) come before the others.
//!
//! `weighted` and `prefer` look into each answer to A and AAAA, which so leave the fast lane in this server block.
//!
//! # Examples
//! ```corefile
//! . {
//!     loadbalance
//!     whoami
//! }
//! ```
//! Addresses of this zone's own network before those of others:
//! ```corefile
//! . {
//!     loadbalance {
//!         prefer 10.1.0.0/16
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `cache`, whose answers are shuffled anew each time.

mod shuffle;
mod weights;

use crate::corefile::values;
use crate::plugin::{BoxFuture, Definition, Directive, Error, Handler, Lifecycle, Next, Outcome, Request, Setup};
use crate::wire::{Rcode, RecordType};
use arc_swap::ArcSwap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use weights::Weights;

/// `loadbalance`.
pub const DEFINITION: Definition = Definition { directive: "loadbalance", setup, metrics: &[] };

const SYNTAX: &str = "loadbalance [round_robin | weighted FILE]";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    let words: Vec<_> = directive.args.iter().map(|word| word.text.as_str()).collect();
    let mut weighted = match words.as_slice() {
        [] | ["round_robin"] => None,
        ["weighted", file] => {
            let file = setup.path(file);
            let weights = read(&file).map_err(|why| setup.error(&directive.args[1], why))?;
            Some(Weighted { file, reload: Duration::from_secs(30), weights: ArcSwap::from_pointee(weights) })
        }
        ["weighted" | "round_robin", ..] => return Err(setup.arguments(directive, SYNTAX)),
        [other, ..] => {
            let message = format!("'{other}' is no policy; expected round_robin or weighted FILE");
            return Err(setup.error(&directive.args[0], message));
        }
    };
    let mut preferred = Vec::new();
    for option in directive.options() {
        match (option.name.text.as_str(), &mut weighted) {
            ("prefer", _) => preferred.extend(read_networks(setup, option)?),
            ("reload", Some(weighted)) => {
                let [duration] = option.args.as_slice() else {
                    return Err(setup.arguments(option, "reload DURATION"));
                };
                weighted.reload = values::duration(&duration.text).map_err(|why| setup.error(duration, why))?;
            }
            ("reload", None) => return Err(setup.error(&option.name, "'reload' is for the policy weighted")),
            _ => return Err(setup.unknown(option, "prefer, reload")),
        }
    }
    let weighted = weighted.map(Arc::new);
    if let Some(weighted) = weighted.as_ref().filter(|weighted| !weighted.reload.is_zero()) {
        setup.process.lifecycles.push(Arc::new(Reloading(Arc::downgrade(weighted))));
    }
    if weighted.is_some() || !preferred.is_empty() {
        setup.plan.leave_fast_lane_for(|query| is_for_addresses(query.qtype));
    }
    setup.plan.shape.shuffle = true;
    setup.plan.chain.push(Arc::new(Loadbalance { weighted, preferred }));
    Ok(())
}

fn read_networks(setup: &Setup<'_>, option: &Directive) -> Result<Vec<(IpAddr, u8)>, Error> {
    if option.args.is_empty() {
        return Err(setup.arguments(option, "prefer NETWORK..."));
    }
    option.args.iter().map(|word| values::network(&word.text).map_err(|why| setup.error(word, why))).collect()
}

/// Reads the file of weights, which is a few lines: a start may wait for it.
fn read(file: &Path) -> Result<Weights, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    Weights::read(&text).map_err(|why| format!("{}: {why}", file.display()))
}

/// Shuffles what the slow lane's handlers answer; sources shuffle by the shape.
struct Loadbalance {
    weighted: Option<Arc<Weighted>>,
    preferred: Vec<(IpAddr, u8)>,
}

/// The policy `weighted`.
struct Weighted {
    file: PathBuf,
    reload: Duration,
    weights: ArcSwap<Weights>,
}

impl Handler for Loadbalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut outcome = next.run(request).await;
            if let Outcome::Reply(reply) = &mut outcome
                && reply.rcode() == Rcode::NOERROR
                && !matches!(request.qtype(), RecordType::AXFR | RecordType::IXFR)
            {
                self.order(&mut reply.packet, request);
            }
            outcome
        })
    }
}

impl Loadbalance {
    fn order(&self, packet: &mut Vec<u8>, request: &Request) {
        shuffle::shuffle(packet, request.moment.random, request.limit());
        if !is_for_addresses(request.qtype()) {
            return;
        }
        if let Some(weighted) = &self.weighted {
            let weights = weighted.weights.load();
            // Other bits than the shuffle's: the same ones would tie the choice to the order it is made from.
            let random = request.moment.random.rotate_left(32) ^ 0x5bd1_e995;
            shuffle::put_weighted_first(packet, random, |owner, address| weights.of(owner, address));
        }
        if !self.preferred.is_empty() {
            let prefers = |ip| self.preferred.iter().any(|network| contains(*network, ip));
            shuffle::put_first(packet, prefers);
        }
    }
}

fn is_for_addresses(qtype: RecordType) -> bool {
    matches!(qtype, RecordType::A | RecordType::AAAA)
}

/// Whether an address has a network's first bits.
fn contains((network, length): (IpAddr, u8), ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            (network.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(length)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            (network.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(length)
        }
        _ => false,
    }
}

/// Reads the weights again for as long as the plan is in use.
struct Reloading(Weak<Weighted>);

impl Lifecycle for Reloading {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        tokio::spawn(reload(self.0.clone()));
        Box::pin(async { Ok(()) })
    }
}

async fn reload(weighted: Weak<Weighted>) {
    while let Some(period) = weighted.upgrade().map(|weighted| weighted.reload) {
        tokio::time::sleep(period).await;
        let Some(weighted) = weighted.upgrade() else { return };
        let look = move || match read(&weighted.file) {
            Ok(weights) if weights != **weighted.weights.load() => weighted.weights.store(Arc::new(weights)),
            Ok(_) => {}
            Err(why) => tracing::error!(target: "plugin/loadbalance", "the weights are not read: {why}"),
        };
        if tokio::task::spawn_blocking(look).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Reply, Verdict};
    use crate::plugins::testing::{Bench, query, request};

    /// NOERROR for `a.`/`qtype` with the addresses 10.0.0.1 and 10.0.0.2.
    fn two_addresses(qtype: RecordType) -> Vec<u8> {
        let mut packet = query("a", qtype);
        packet[2] |= 0x80;
        packet[7] = 2;
        for last in [1, 2] {
            packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, last]);
        }
        packet
    }

    /// Whether some of a hundred answers come in another order.
    async fn is_shuffled(lines: &str, qtype: RecordType, packet: Vec<u8>) -> bool {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        assert!(bench.done().plan.shape.shuffle);
        let mut request = request(query("a", qtype));
        for random in 0..100 {
            request.moment.random = random;
            let sent = Outcome::Reply(Reply::new(packet.clone()));
            if bench.ask(&request, sent.clone()).await != sent {
                return true;
            }
        }
        false
    }

    #[tokio::test]
    async fn answers_are_shuffled_but_for_transfers_and_errors() {
        let mut error = two_addresses(RecordType::A);
        error[3] |= 2;
        assert!(is_shuffled("loadbalance", RecordType::A, two_addresses(RecordType::A)).await);
        assert!(is_shuffled("loadbalance round_robin", RecordType::A, two_addresses(RecordType::A)).await);
        assert!(!is_shuffled("loadbalance", RecordType::AXFR, two_addresses(RecordType::AXFR)).await);
        assert!(!is_shuffled("loadbalance", RecordType::A, error).await);
    }

    /// How many of two hundred answers have 10.0.0.2 first.
    async fn second_first(bench: &Bench) -> usize {
        let mut request = request(query("a", RecordType::A));
        let mut count = 0;
        for random in 0..200 {
            request.moment.random = random;
            let Outcome::Reply(reply) =
                bench.ask(&request, Outcome::Reply(Reply::new(two_addresses(RecordType::A)))).await
            else {
                panic!("no reply")
            };
            // The first record's last octet: behind header, question (7) and the record (16).
            count += usize::from(reply.packet[34] == 2);
        }
        count
    }

    fn weights_file(name: &str, text: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("dunlin-weights-{}-{name}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        file
    }

    #[tokio::test]
    async fn weighted_chooses_the_first_address_and_reads_its_file_again() {
        let file = weights_file("reload", "a\n10.0.0.2 255\n");
        let bench = Bench::new();
        bench.set_up(&DEFINITION, &format!("loadbalance weighted {} {{\nreload 10ms\n}}", file.display())).unwrap();
        assert!(second_first(&bench).await > 180);
        let lifecycles = bench.done().process.lifecycles.clone();
        lifecycles[0].start().await.unwrap();
        std::fs::write(&file, "a\n10.0.0.2 wrong\n").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(second_first(&bench).await > 180, "a wrong file changes nothing");
        std::fs::write(&file, "a\n10.0.0.1 255\n").unwrap();
        for _ in 0..500 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if second_first(&bench).await < 20 {
                return std::fs::remove_file(&file).unwrap();
            }
        }
        panic!("the new weights are not used");
    }

    #[tokio::test]
    async fn preferred_networks_come_first_and_take_addresses_out_of_the_fast_lane() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "loadbalance {\nprefer fd00::/8 10.0.0.2/32\n}").unwrap();
        assert_eq!(second_first(&bench).await, 200);
        let gate = bench.done().plan.stores[0].clone();
        assert_eq!(request(query("a", RecordType::A)).ask(&*gate), None);
        let verdict = |qtype| {
            let request = request(query("a", qtype));
            gate.answer(&request.query(), &request.context(), &mut [0; 512])
        };
        assert_eq!((verdict(RecordType::AAAA), verdict(RecordType::SRV)), (Verdict::Slow, Verdict::Pass));
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network = |text| values::network(text).unwrap();
        let ip = |text: &str| text.parse().unwrap();
        assert!(contains(network("10.0.0.0/8"), ip("10.255.0.1")) && !contains(network("10.0.0.0/8"), ip("11.0.0.1")));
        assert!(contains(network("0.0.0.0/0"), ip("192.0.2.1")) && !contains(network("0.0.0.0/0"), ip("::1")));
        assert!(contains(network("fd00::/8"), ip("fdff::1")) && !contains(network("fd00::/128"), ip("fd00::1")));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("loadbalance weighted", "expected: loadbalance [round_robin | weighted FILE]"),
                ("loadbalance weighted no-such-file", "no-such-file: "),
                ("loadbalance fair", "'fair' is no policy; expected round_robin or weighted FILE"),
                ("loadbalance round_robin x", "expected: loadbalance [round_robin"),
                ("loadbalance {\nprefer 10.0.0.0/33\n}", "'33' in '10.0.0.0/33' is no prefix length"),
                ("loadbalance {\nprefer\n}", "expected: prefer NETWORK..."),
                ("loadbalance {\nreload 1s\n}", "'reload' is for the policy weighted"),
                ("loadbalance {\nnope\n}", "unknown property 'nope'"),
            ],
        );
    }
}
