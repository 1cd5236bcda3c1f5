//! # Description
//! `hosts` answers from a file in the form of `/etc/hosts`, and from lines of the Corefile in the same form. It knows
//! A, AAAA and PTR. The file is read again when it changes.
//!
//! # Syntax
//! ```text
//! hosts [FILE [ZONE...]] {
//!     ADDRESS NAME...
//!     ttl SECONDS
//!     no_reverse
//!     reload DURATION
//!     fallthrough [ZONE...]
//!     fallthrough_unsupported
//! }
//! ```
//! - **FILE** (`/etc/hosts`): where it is not there, there is a warning, and it is read once it is. A relative name
//!   starts at `root`.
//! - **ZONE...** (the server block's): the zones answered for; names of the file outside them are left out. A PTR
//!   query for an address of the file is answered wherever its zone is.
//! - **ADDRESS NAME...**: lines added to the file's. They stand before `fallthrough`.
//! - `ttl` (3600): 1 to 65535 seconds.
//! - `no_reverse`: no PTR from these lines.
//! - `reload` (5s): how often to look whether the file has changed; 0 for never.
//! - `fallthrough`: names without an address go to the next plugin, those below **ZONE...** or all. Without it they are
//!   SERVFAIL: the file has no SOA that NXDOMAIN would need.
//! - `fallthrough_unsupported`: other types than A, AAAA and PTR go to the next plugin, for names of the file too.
//!
//! A name with an address but none of the type asked is NOERROR without records. A `*` as the leftmost label of a name
//! in the file stands for any one label. Answers have AA.
//!
//! # Examples
//! As minikube has it:
//! ```corefile
//! . {
//!     hosts {
//!         192.168.49.1 host.minikube.internal
//!         fallthrough
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//! A file of its own, for one zone, looked at every 15 seconds:
//! ```corefile
//! . {
//!     hosts /etc/coredns/NodeHosts example.org {
//!         ttl 60
//!         reload 15s
//!         fallthrough
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_hosts_entries{hostsfile}`: how many addresses and names are held, inline lines included.
//! - `coredns_hosts_reload_timestamp_seconds`: when the file that is held was changed.
//!
//! # See also
//! `root`. The form of the file is that of hosts(5). `file`, for zones with a SOA.

mod table;
#[cfg(test)]
mod tests;

use crate::corefile::values;
use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{
    BoxFuture, Context, Definition, Directive, Error, Fallthrough, Handler, Lifecycle, Next, Outcome, Request, Setup,
    Source, Verdict,
};
use crate::wire::{Answer, LowerName, Name, Owner, Query, Rcode, RecordType, Section};
use crate::zone::{Shuffle, reverse};
use arc_swap::ArcSwap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use table::{Table, is_entry};

/// `hosts`.
pub const DEFINITION: Definition = Definition { directive: "hosts", setup, metrics: &[&ENTRIES, &RELOADED] };

const ENTRIES: Descriptor = Descriptor {
    name: "coredns_hosts_entries",
    help: "The combined number of entries in hosts and Corefile.",
    labels: &["hostsfile"],
    kind: MetricKind::Gauge,
};

const RELOADED: Descriptor = Descriptor {
    name: "coredns_hosts_reload_timestamp_seconds",
    help: "The timestamp of the last reload of hosts file.",
    labels: &[],
    kind: MetricKind::Gauge,
};

const OPTIONS: &str = "ADDRESS NAME..., ttl, no_reverse, reload, fallthrough, fallthrough_unsupported";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let (file, zones) = match directive.args.as_slice() {
        [] => (PathBuf::from("/etc/hosts"), setup.block.zones.clone()),
        [file, zones @ ..] => (setup.path(&file.text), setup.zones_or_block(zones)?),
    };
    let options = read_options(setup, directive)?;
    let entries = setup.metrics.gauge(&ENTRIES).with_label_values(&[&*file.to_string_lossy()]);
    let reloaded = setup.metrics.gauge(&RELOADED).with_label_values::<&str>(&[]);
    let hosts = Arc::new(Hosts { file, zones, options, table: ArcSwap::default(), entries, reloaded });
    let version = version(&hosts.file);
    match version {
        _ if hosts.file.is_dir() => setup.warn(&directive.name, format!("{} is a directory", hosts.file.display())),
        None => setup.warn(&directive.name, format!("the file {} does not exist", hosts.file.display())),
        Some(_) => {}
    }
    hosts.load(version);
    setup.plan.stores.push(hosts.clone());
    setup.plan.chain.push(hosts.clone());
    if !hosts.options.reload.is_zero() {
        setup.process.lifecycles.push(Arc::new(Reloading { hosts: Arc::downgrade(&hosts), loaded: version }));
    }
    Ok(())
}

struct Options {
    /// Lines in the file's form, each with its end.
    inline: String,
    ttl: u32,
    reverse: bool,
    reload: Duration,
    fallthrough: Fallthrough,
    fallthrough_unsupported: bool,
}

fn read_options(setup: &mut Setup<'_>, directive: &Directive) -> Result<Options, Error> {
    let mut options = Options {
        inline: String::new(),
        ttl: 3600,
        reverse: true,
        reload: Duration::from_secs(5),
        fallthrough: Fallthrough::default(),
        fallthrough_unsupported: false,
    };
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("ttl", [ttl]) => {
                let seconds = values::integer(&ttl.text, 1..=65535).map_err(|why| setup.error(ttl, why))?;
                options.ttl = seconds as u32;
            }
            ("ttl", _) => return Err(setup.arguments(option, "ttl SECONDS")),
            ("no_reverse", []) => options.reverse = false,
            ("no_reverse", _) => return Err(setup.arguments(option, "no_reverse")),
            ("reload", [duration]) => {
                options.reload = values::duration(&duration.text).map_err(|why| setup.error(duration, why))?;
            }
            ("reload", _) => return Err(setup.arguments(option, "reload DURATION")),
            ("fallthrough", _) => options.fallthrough = Fallthrough::read(setup, option)?,
            ("fallthrough_unsupported", []) => options.fallthrough_unsupported = true,
            ("fallthrough_unsupported", _) => return Err(setup.arguments(option, "fallthrough_unsupported")),
            _ if options.fallthrough.is_on() => return Err(setup.unknown(option, OPTIONS)),
            (first, names) => {
                if !is_entry(first, names.len()) {
                    let message = format!("'{first}' starts no line of the form ADDRESS NAME...; it is left out");
                    setup.warn(&option.name, message);
                }
                options.inline.push_str(first);
                names.iter().for_each(|name| options.inline.extend([" ", &name.text]));
                options.inline.push('\n');
            }
        }
    }
    Ok(options)
}

/// The names and addresses of one directive.
struct Hosts {
    file: PathBuf,
    zones: Vec<Name>,
    options: Options,
    table: ArcSwap<Table>,
    entries: prometheus::Gauge,
    reloaded: prometheus::Gauge,
}

impl Source for Hosts {
    fn answer(&self, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Verdict {
        let table = self.table.load();
        let is_ours = self.zones.iter().any(|zone| query.name.is_within(zone));
        match query.qtype {
            RecordType::PTR => match reverse::network(&query.name)
                .and_then(reverse::Network::address)
                .and_then(|address| table.owners(&address))
            {
                Some(owners) => Verdict::Answered(self.pointers(query, context, owners, out)),
                None => Verdict::Pass,
            },
            _ if !is_ours => Verdict::Pass,
            RecordType::A | RecordType::AAAA => match table.addresses(&query.name) {
                Some(addresses) => Verdict::Answered(self.addresses(query, context, addresses, out)),
                None => self.unknown(&query.name, query, out),
            },
            _ if self.options.fallthrough_unsupported => Verdict::Pass,
            _ => match table.addresses(&query.name) {
                Some(_) => Verdict::Answered(Answer::begin(query, out, context.limit).finish(Rcode::NOERROR, true)),
                None => self.unknown(&query.name, query, out),
            },
        }
    }
}

impl Hosts {
    /// The addresses of the type asked; none where the name has only others.
    fn addresses(&self, query: &Query<'_>, context: &Context, addresses: &[IpAddr], out: &mut [u8]) -> usize {
        let mut answer = Answer::begin(query, out, context.limit);
        let mut put = |address: &IpAddr| match (query.qtype, address) {
            (RecordType::A, IpAddr::V4(ip)) => answer.a(Section::Answer, Owner::Question, self.ttl(context), *ip),
            (RecordType::AAAA, IpAddr::V6(ip)) => answer.aaaa(Section::Answer, Owner::Question, self.ttl(context), *ip),
            _ => true,
        };
        if context.shape.shuffle {
            Shuffle::new(addresses.len(), context.moment.random).all(|place| put(&addresses[place]));
        } else {
            addresses.iter().all(put);
        }
        answer.finish(Rcode::NOERROR, true)
    }

    fn pointers(&self, query: &Query<'_>, context: &Context, owners: &[Name], out: &mut [u8]) -> usize {
        let (mut answer, ttl) = (Answer::begin(query, out, context.limit), self.ttl(context));
        let mut owners = owners.iter();
        owners.all(|owner| answer.record(Section::Answer, Owner::Question, RecordType::PTR, ttl, &[owner.wire()]));
        answer.finish(Rcode::NOERROR, true)
    }

    fn unknown(&self, name: &LowerName<'_>, query: &Query<'_>, out: &mut [u8]) -> Verdict {
        if self.options.fallthrough.lets(name) {
            return Verdict::Pass;
        }
        let limit = out.len();
        Verdict::Answered(Answer::begin(query, out, limit).finish(Rcode::SERVFAIL, false))
    }

    fn ttl(&self, context: &Context) -> u32 {
        context.shape.ttl.map_or(self.options.ttl, |rule| rule.positive.hold(self.options.ttl))
    }

    /// Reads the file as it is now. A file that cannot be read leaves the inline lines.
    fn load(&self, version: Option<Version>) {
        let text = std::fs::read(&self.file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let table = Table::read(&[&text, &self.options.inline], &self.zones, self.options.reverse);
        self.entries.set(table.entries() as f64);
        if let Some((changed, _)) = version {
            self.reloaded.set(changed.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        }
        self.table.store(Arc::new(table));
    }
}

impl Handler for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        request.ask_or(self, next)
    }
}

/// When a file was changed, and its size: another one is another file.
type Version = (SystemTime, u64);

fn version(file: &Path) -> Option<Version> {
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Looks after the file for as long as the plan is in use.
struct Reloading {
    hosts: Weak<Hosts>,
    loaded: Option<Version>,
}

impl Lifecycle for Reloading {
    fn name(&self) -> &'static str {
        "hosts"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        tokio::spawn(reload(self.hosts.clone(), self.loaded));
        Box::pin(async { Ok(()) })
    }
}

async fn reload(hosts: Weak<Hosts>, mut loaded: Option<Version>) {
    while let Some(period) = hosts.upgrade().map(|hosts| hosts.options.reload) {
        tokio::time::sleep(period).await;
        let Some(hosts) = hosts.upgrade() else { return };
        let look = move || {
            let version = version(&hosts.file);
            // A file that is gone for a moment, as while it is being replaced, takes nothing away.
            if version.is_some() && version != loaded {
                hosts.load(version);
                return version;
            }
            loaded
        };
        loaded = tokio::task::spawn_blocking(look).await.unwrap_or(loaded);
    }
}
