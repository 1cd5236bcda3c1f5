//! # Description
//! `shadow` asks another server, the CoreDNS that is to be replaced, a sample of the queries that dunlin has answered,
//! and compares the answers: equal, different on purpose (see `docs/differences.md`), or different. It looks at copies,
//! so it never delays or changes an answer; it stops by itself while the other server is slow. CoreDNS has no such
//! plugin.
//!
//! # Syntax
//! ```text
//! shadow TARGET {
//!     sample PERCENT%
//!     limit QUERIES
//!     timeout DURATION
//!     mirror
//! }
//! ```
//! * **TARGET** is the other server's `IP[:PORT]`, over UDP with TCP where an answer is cut. Not the Service's address
//!   once dunlin is behind it: it would ask itself.
//! * `sample` is the share of this block's queries, from 0.001 to 100, 1 % where it is not given; from both lanes.
//! * `limit` is the most copies a second, from 1 to 1000, 100 where it is not given. What is past it is counted as
//!   dropped.
//! * `timeout` is how long TARGET has for an answer, from 10ms to 10s, 1s where it is not given. After five failures in a
//!   row nothing is asked for a second, then for twice as long each time, up to a minute; one query then tries again.
//! * `mirror` turns it round: TARGET answers the clients, and what comes here are copies of their queries, made in the
//!   network (`dup` of nftables, `mirred` of tc). dunlin works out its own answers, asks TARGET the sample of them,
//!   compares, and answers nobody over UDP: no block on any listener of this one does, not even with an error. What
//!   comes over TCP, which cannot be copied so, is answered. `/ready` says 503 and `shadow mirror`, so that no Service
//!   sends clients here. Metrics and `log` have the answers as if they were sent; `loop`, which asks its own server,
//!   finds nothing out here.
//!
//! What differs is asked once more a second later, as TARGET may hear of a change after us. Order, compression and
//! serials are no differences, nor is a lower TTL at TARGET (what is left in its cache), nor what records other zones
//! had at that moment. The last 64 differences are on the `status` page; the log has a line a minute at most, with one
//! of them.
//!
//! The copies wait in 640 KiB. Queries above 768 octets and answers above 4,096 are not copied, nor are signed queries.
//!
//! # Examples
//! One query in twenty of the cluster's zone, also asked of the CoreDNS pod at 10.244.0.5:
//! ```corefile
//! cluster.local {
//!     shadow 10.244.0.5 {
//!         sample 5%
//!     }
//!     kubernetes cluster.local {
//!         manifests @sample
//!     }
//! }
//! ```
//! On a mirror: CoreDNS at 10.244.0.5 answers, dunlin at 10.244.0.9 on the same node hears what it is asked, and asks
//! it one query in a hundred of that again.
//! ```corefile
//! cluster.local {
//!     shadow 10.244.0.5 {
//!         mirror
//!     }
//!     kubernetes cluster.local {
//!         manifests @sample
//!     }
//! }
//! ```
//! On the node, with `nft -f`; without the first condition dunlin's own questions would come back to it:
//! ```text
//! table ip dunlin-mirror {
//!     chain forward {
//!         type filter hook forward priority filter
//!         ip saddr != 10.244.0.9 ip daddr 10.244.0.5 udp dport 53 dup to 10.244.0.9
//!     }
//! }
//! ```
//! The copies are still addressed to CoreDNS; in the network namespace of dunlin's pod:
//! ```text
//! table ip dunlin-mirror {
//!     chain prerouting {
//!         type nat hook prerouting priority dstnat
//!         udp dport 53 redirect
//!     }
//! }
//! ```
//!
//! # Metrics
//! * `dunlin_shadow_answers_total{target, result}`: answers compared: `equal`, `deliberate`, `different`, and
//!   `unanswered` where TARGET gave none.
//! * `dunlin_shadow_dropped_total{target}`: queries of the sample that were not asked, for want of room or time.
//! * `dunlin_shadow_paused{target}`: 1 while TARGET is left alone.
//!
//! # See also
//! `dunlin compare`, which asks two servers everything at once; `status`.

mod asking;
mod results;

#[cfg(test)]
mod tests;

use crate::client::Server;
use crate::corefile::Scheme;
use crate::corefile::values::{self, Host};
use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{BoxFuture, Copies, Definition, Directive, Error, Lifecycle, Setup};
use asking::Asking;
use results::Results;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// `shadow`.
pub const DEFINITION: Definition = Definition { directive: "shadow", setup, metrics: &[&ANSWERS, &DROPPED, &PAUSED] };

static ANSWERS: Descriptor = Descriptor {
    name: "dunlin_shadow_answers_total",
    help: "Answers compared with those of the target: equal, deliberate, different, unanswered.",
    labels: &["target", "result"],
    kind: MetricKind::Counter,
};
static DROPPED: Descriptor = Descriptor {
    name: "dunlin_shadow_dropped_total",
    help: "Queries of the sample that the target was not asked.",
    labels: &["target"],
    kind: MetricKind::Counter,
};
static PAUSED: Descriptor = Descriptor {
    name: "dunlin_shadow_paused",
    help: "Whether the target is left alone because it is slow.",
    labels: &["target"],
    kind: MetricKind::Gauge,
};

/// What a directive says.
struct Options {
    target: SocketAddr,
    /// From 0 to 1.
    share: f64,
    limit: u32,
    timeout: Duration,
    is_mirror: bool,
}

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let options = read(setup, directive)?;
    let target = options.target.to_string();
    // What has been found lives on across reloads.
    let key = format!("shadow {target}");
    let kept = setup.keep.get::<Results>(&key).or_else(|| setup.kept.get::<Results>(&key));
    let results = kept.unwrap_or_else(|| Arc::new(Results::new(&target, setup.metrics)));
    setup.keep.put(key, Arc::clone(&results));
    for (title, table) in [("Shadow", Results::counts as fn(&Results) -> _), ("Shadow: differences", Results::table)] {
        let results = Arc::clone(&results);
        setup.process.sections.add(format!("{title} ({target})"), move || table(&results));
    }
    let copies = Arc::new(Copies::new(options.share, options.limit));
    setup.plan.copies = Some(Arc::clone(&copies));
    setup.plan.is_mirror = options.is_mirror;
    if options.is_mirror {
        setup.warn(&directive.name, "mirror: nobody is answered over UDP on this block's listeners");
    }
    let asking = Asking { server: Server::plain(options.target), timeout: options.timeout, copies, results };
    let (asking, task) = (Arc::new(asking), Mutex::new(None));
    setup.process.lifecycles.push(Arc::new(Shadow { asking, is_mirror: options.is_mirror, task }));
    Ok(())
}

fn read(setup: &Setup<'_>, directive: &Directive) -> Result<Options, Error> {
    let [word] = &directive.args[..] else { return Err(setup.arguments(directive, "shadow IP[:PORT]")) };
    let upstream = values::upstream(&word.text).map_err(|why| setup.error(word, why))?;
    let Host::Ip(ip) = upstream.host else {
        return Err(setup.error(word, format!("'{}' is no address; expected: IP[:PORT]", word.text)));
    };
    if upstream.scheme != Scheme::Dns {
        return Err(setup.error(word, format!("'{}' is encrypted; expected: IP[:PORT]", word.text)));
    }
    let target = SocketAddr::new(ip, upstream.port);
    let mut options = Options { target, share: 0.01, limit: 100, timeout: Duration::from_secs(1), is_mirror: false };
    for option in directive.options() {
        match (option.name.text.as_str(), &option.args[..]) {
            ("sample", [value]) => {
                let percent = value.text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.001..=100.0).contains(percent));
                let wrong = || format!("'{}' is no share; expected: a number from 0.001 to 100, then %", value.text);
                options.share = percent.ok_or_else(|| setup.error(value, wrong()))? / 100.0;
            }
            ("limit", [value]) => {
                let limit = values::integer(&value.text, 1..=1000).map_err(|why| setup.error(value, why))?;
                options.limit = limit as u32;
            }
            ("timeout", [value]) => {
                let timeout = values::duration(&value.text).map_err(|why| setup.error(value, why))?;
                if !(Duration::from_millis(10)..=Duration::from_secs(10)).contains(&timeout) {
                    return Err(setup.error(value, format!("'{}' is not from 10ms to 10s", value.text)));
                }
                options.timeout = timeout;
            }
            ("mirror", []) => options.is_mirror = true,
            ("mirror", _) => return Err(setup.arguments(option, "mirror")),
            (name @ ("sample" | "limit" | "timeout"), _) => {
                return Err(setup.arguments(option, &format!("{name} VALUE")));
            }
            _ => return Err(setup.unknown(option, "sample, limit, timeout, mirror")),
        }
    }
    Ok(options)
}

/// The task that asks.
struct Shadow {
    asking: Arc<Asking>,
    is_mirror: bool,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lifecycle for Shadow {
    fn name(&self) -> &'static str {
        if self.is_mirror { "shadow mirror" } else { "shadow" }
    }

    /// Clients are answered by another: none may be sent here.
    fn ready(&self) -> Option<bool> {
        self.is_mirror.then_some(false)
    }

    fn serving(&self, _addresses: &[SocketAddr]) {
        let task = tokio::spawn(Arc::clone(&self.asking).run());
        if let Ok(mut running) = self.task.lock() {
            *running = Some(task);
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end();
        Box::pin(async {})
    }
}

impl Shadow {
    fn end(&self) {
        if let Some(task) = self.task.lock().ok().and_then(|mut task| task.take()) {
            task.abort();
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.end();
    }
}
