//! # Description
//! `file` answers for zones from master files (RFC 1035), as an authoritative server does: wildcards, empty
//! non-terminals, delegations with glue, CNAME and DNAME. An alias that leads out of the zone is followed through this
//! server, at most eight times.
//!
//! # Syntax
//! ```text
//! file DBFILE [ZONE...] {
//!     reload DURATION
//!     reload_by_mtime
//!     fallthrough [ZONE...]
//! }
//! ```
//! - **DBFILE**: the master file. A relative name starts at `root`. One that is wrong refuses the start; one that is not
//!   there is waited for, its zone SERVFAIL until then, unless `reload` is 0. `$ORIGIN`, `$TTL` and `$INCLUDE` are read;
//!   `$GENERATE` is not. Types without a known form, those of DNSSEC but DS among them, are read as RFC 3597 has them.
//! - **ZONE...** (the server block's): the zones that the file is read for, each with names relative to itself.
//! - `reload` (1m): how often to look whether the file has changed; 0 for never. It is taken where the SOA's serial has
//!   changed.
//! - `reload_by_mtime`: a changed file is taken whatever its serial.
//! - `fallthrough`: names that the zone does not have go to the next plugin, those below **ZONE...** or all.
//!
//! The directive may stand more than once in a server block; the longest zone answers. Names outside all zones go to the
//! next plugin, and are REFUSED where there is none. Zone transfers are REFUSED unless `transfer` stands beside it. There
//! is no online signing.
//!
//! # Examples
//! ```corefile
//! example.org {
//!     file /etc/coredns/db.example.org
//! }
//! ```
//! A zone with names of its own over those of an upstream:
//! ```corefile
//! . {
//!     file /etc/coredns/db.example.org example.org {
//!         reload 30s
//!         fallthrough
//!     }
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `auto`, for a folder of zones. `secondary`, for zones of other servers. `transfer`. `hosts`, for a few addresses.
//! `root`.

use crate::corefile::values;
use crate::plugin::{
    BoxFuture, Definition, Directive, Error, Failure, Fallthrough, Handler, Lifecycle, Next, Outcome, Request, Setup,
    ZoneFile, ZoneHolder, answer_from, not_ours,
};
use crate::wire::{Name, ResourceRecord};
use crate::zone::master::MasterZone;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// `file`.
pub const DEFINITION: Definition = Definition { directive: "file", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let mut held = Vec::new();
    for directive in setup.directives {
        held.extend(read(setup, directive)?);
    }
    // The longest zone is found first.
    held.sort_by_key(|held| std::cmp::Reverse(held.origin.label_count()));
    let zones: Vec<_> = held.iter().map(|held| held.origin.clone()).collect();
    let zones_are_reloaded = held.iter().any(|held| !held.reload.is_zero());
    let files = Arc::new(Files(held));
    if zones_are_reloaded {
        setup.process.lifecycles.push(Arc::new(Reloading(Arc::downgrade(&files))));
    }
    // Only the slow lane answers from these zones; what stands behind in the chain is not asked before it.
    setup.plan.leave_fast_lane_for(move |query| zones.iter().any(|zone| query.name.is_within(zone)));
    setup.plan.holders.add(files.clone());
    setup.plan.chain.push(files);
    Ok(())
}

fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<Vec<Held>, Error> {
    let Some((file, zones)) = directive.args.split_first() else {
        return Err(setup.arguments(directive, "file DBFILE [ZONE...]"));
    };
    let (path, zones) = (setup.path(&file.text), setup.zones_or_block(zones)?);
    let (mut reload, mut by_time, mut fallthrough) = (Duration::from_secs(60), false, Fallthrough::default());
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("reload", [duration]) => {
                reload = values::duration(&duration.text).map_err(|why| setup.error(duration, why))?;
            }
            ("reload", _) => return Err(setup.arguments(option, "reload DURATION")),
            ("reload_by_mtime", []) => by_time = true,
            ("reload_by_mtime", _) => return Err(setup.arguments(option, "reload_by_mtime")),
            ("upstream", _) => setup.warn(&option.name, "'upstream' does nothing any more; remove the line"),
            ("fallthrough", _) => fallthrough = Fallthrough::read(setup, option)?,
            _ => return Err(setup.unknown(option, "reload, reload_by_mtime, fallthrough")),
        }
    }
    let mut held = Vec::new();
    for origin in zones {
        let mut first = ZoneFile::default();
        first.look(&path, &origin, by_time).map_err(|why| setup.error(file, why))?;
        match &first.zone {
            None if reload.is_zero() => {
                return Err(setup.error(file, format!("there is no file {}, and reload is 0", path.display())));
            }
            None => setup.warn(file, format!("there is no file {} yet; its zone is SERVFAIL", path.display())),
            Some(zone) if zone.outside() > 0 => {
                let message = format!("{} records are not within {origin} and are left out", zone.outside());
                setup.warn(file, message);
            }
            Some(_) => {}
        }
        let (file, fallthrough) = (path.clone(), fallthrough.clone());
        held.push(Held { origin, file, reload, by_time, fallthrough, now: ArcSwap::from_pointee(first) });
    }
    Ok(held)
}

/// A zone and its file.
struct Held {
    origin: Name,
    file: PathBuf,
    reload: Duration,
    by_time: bool,
    fallthrough: Fallthrough,
    now: ArcSwap<ZoneFile>,
}

impl Held {
    /// Looks at the file once.
    fn look(&self) {
        let mut next = ZoneFile::clone(&self.now.load());
        let (zone, file) = (&self.origin, self.file.display());
        match next.look(&self.file, zone, self.by_time) {
            Ok(true) => {
                let serial = next.zone.as_ref().map_or(0, |zone| zone.serial());
                tracing::info!(target: "plugin/file", "Successfully reloaded zone \"{zone}\" in \"{file}\" with {serial} SOA serial");
            }
            Ok(false) => {}
            Err(why) => tracing::error!(target: "plugin/file", "Failed to reload zone \"{zone}\" in \"{file}\": {why}"),
        }
        self.now.store(Arc::new(next));
    }
}

/// The zones of a server block, the longest first.
struct Files(Vec<Held>);

impl Handler for Files {
    fn name(&self) -> &'static str {
        "file"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(held) = self.0.iter().find(|held| request.name.is_within(&held.origin)) else {
                return not_ours(request, next).await;
            };
            match held.now.load().zone.clone() {
                Some(zone) => answer_from(&zone, &held.fallthrough, request, next).await,
                None => Outcome::Failed(Failure::servfail(format!("the zone {} is not loaded", held.origin))),
            }
        })
    }
}

impl Files {
    fn zone(&self, name: &Name) -> Option<Arc<MasterZone>> {
        self.0.iter().find(|held| held.origin == *name)?.now.load().zone.clone()
    }
}

impl ZoneHolder for Files {
    fn zones(&self) -> Vec<Name> {
        self.0.iter().map(|held| held.origin.clone()).collect()
    }

    fn serial(&self, zone: &Name) -> Option<u32> {
        self.zone(zone).map(|zone| zone.serial())
    }

    fn records(&self, zone: &Name) -> Option<Vec<ResourceRecord>> {
        self.zone(zone).map(|zone| zone.records())
    }

    fn soa(&self, zone: &Name) -> Option<ResourceRecord> {
        self.zone(zone)?.soa()
    }
}

/// Looks after the files for as long as the plan is in use.
struct Reloading(Weak<Files>);

impl Lifecycle for Reloading {
    fn name(&self) -> &'static str {
        "file"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        let count = self.0.upgrade().map_or(0, |files| files.0.len());
        (0..count).for_each(|index| drop(tokio::spawn(reload(self.0.clone(), index))));
        Box::pin(async { Ok(()) })
    }
}

async fn reload(files: Weak<Files>, index: usize) {
    while let Some(period) = files.upgrade().map(|files| files.0[index].reload).filter(|period| !period.is_zero()) {
        tokio::time::sleep(period).await;
        let Some(files) = files.upgrade() else { return };
        if tokio::task::spawn_blocking(move || files.0[index].look()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Lookup, Reply};
    use crate::plugins::testing::{Bench, query, request};
    use crate::wire::{Message, Rcode, RecordType, flags};

    const ZONE: &str = "@ 60 SOA ns host 1 2 3 4 30\n@ NS ns\nns A 192.0.2.1\nweb A 192.0.2.2\nout CNAME far.test.\n";

    fn file(name: &str, text: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("dunlin-file-{}-{name}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        file
    }

    fn bench(file: &std::path::Path, options: &str) -> Bench {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, &format!("file {} example.org {{\n{options}\n}}", file.display())).unwrap();
        bench
    }

    fn next() -> Outcome {
        Outcome::Failed(Failure::servfail("the next plugin"))
    }

    async fn ask(bench: &Bench, name: &str) -> Outcome {
        bench.ask(&request(query(name, RecordType::A)), next()).await
    }

    fn message(outcome: Outcome) -> Message {
        match outcome {
            Outcome::Reply(reply) => Message::parse(&reply.packet).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_zone_is_answered_and_others_go_on() {
        let path = file("answers", ZONE);
        let plain = bench(&path, "");
        let web = message(ask(&plain, "web.example.org").await);
        assert_eq!((web.answers.len(), web.authorities.len(), web.flags & flags::AA), (1, 1, flags::AA));
        assert_eq!(message(ask(&plain, "no.example.org").await).rcode(), Rcode::NXDOMAIN);
        assert_eq!(ask(&plain, "example.net").await, next());
        let falling = bench(&path, "fallthrough a.example.org");
        assert_eq!(ask(&falling, "no.a.example.org").await, next());
        assert_eq!(message(ask(&falling, "no.example.org").await).rcode(), Rcode::NXDOMAIN);
        let alone: Vec<_> = plain.done().plan.chain.clone();
        for (name, qtype) in [("example.net", RecordType::A), ("example.org", RecordType::AXFR)] {
            let outcome = Next::all(&alone).run(&request(query(name, qtype))).await;
            assert!(matches!(outcome, Outcome::Failed(failure) if failure.rcode == Rcode::REFUSED), "{name}");
        }
        std::fs::remove_file(path).unwrap();
    }

    /// Answers every lookup with one address, or with this code.
    struct Server(Rcode);

    impl Lookup for Server {
        fn lookup<'a>(&'a self, packet: Vec<u8>, _: &'a Request) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                if self.0 != Rcode::NOERROR {
                    return Outcome::Failed(Failure { rcode: self.0, reason: String::new() });
                }
                let mut packet = packet;
                packet[2] |= 0x80;
                packet[7] = 1;
                packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, 1]);
                Outcome::Reply(Reply::new(packet))
            })
        }
    }

    #[tokio::test]
    async fn aliases_are_followed_through_the_server() {
        let path = file("alias", ZONE);
        let bench = bench(&path, "");
        for (server, answers, rcode) in [
            (Rcode::NOERROR, 2, Rcode::NOERROR),
            (Rcode::REFUSED, 1, Rcode::NOERROR),
            (Rcode::SERVFAIL, 1, Rcode::SERVFAIL),
        ] {
            let request =
                Request { server: Arc::new(Server(server)), ..request(query("out.example.org", RecordType::A)) };
            let message = message(bench.ask(&request, next()).await);
            assert_eq!((message.answers.len(), message.rcode()), (answers, rcode));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_taken_when_its_serial_changes_or_by_time() {
        let path = file("reload", ZONE);
        let (serial, time) = (bench(&path, "reload 10ms"), bench(&path, "reload 10ms\nreload_by_mtime"));
        let start = |bench: &Bench| bench.done().process.lifecycles.clone();
        for lifecycle in start(&serial).iter().chain(&start(&time)) {
            lifecycle.start().await.unwrap();
        }
        std::fs::write(&path, "@ SOA broken").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(message(ask(&time, "web.example.org").await).answers.len(), 1, "a broken file takes nothing away");
        std::fs::write(&path, ZONE.replace("web A", "new A")).unwrap();
        wait(&time, "new.example.org").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(message(ask(&serial, "new.example.org").await).rcode(), Rcode::NXDOMAIN, "the serial is the same");
        std::fs::write(&path, ZONE.replace("web A", "newer A").replace("host 1", "host 2")).unwrap();
        wait(&serial, "newer.example.org").await;
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(message(ask(&serial, "newer.example.org").await).answers.len(), 1, "a file gone takes nothing away");
    }

    #[test]
    fn the_zone_can_be_handed_out() {
        let path = file("holder", ZONE);
        let bench = bench(&path, "");
        let holders = bench.done().plan.holders.all();
        let origin = Name::from_text("example.org").unwrap();
        assert_eq!((holders[0].zones(), holders[0].serial(&origin)), (vec![origin.clone()], Some(1)));
        let records = holders[0].records(&origin).unwrap();
        assert_eq!((records.len(), records[0].rtype), (5, RecordType::SOA));
        assert!(holders[0].records(&Name::from_text("a.example.org").unwrap()).is_none());
        std::fs::remove_file(path).unwrap();
    }

    /// Waits until the name has an address.
    async fn wait(bench: &Bench, name: &str) {
        for _ in 0..500 {
            if matches!(ask(bench, name).await, Outcome::Reply(reply) if reply.rcode() == Rcode::NOERROR) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} does not come");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_waited_for() {
        let path = file("later", "");
        std::fs::remove_file(&path).unwrap();
        let bench = bench(&path, "reload 10ms");
        assert_eq!(bench.done().process.warnings.len(), 1);
        assert!(
            matches!(ask(&bench, "web.example.org").await, Outcome::Failed(failure) if failure.rcode == Rcode::SERVFAIL)
        );
        let lifecycles = bench.done().process.lifecycles.clone();
        lifecycles[0].start().await.unwrap();
        std::fs::write(&path, ZONE).unwrap();
        wait(&bench, "web.example.org").await;
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn the_longest_zone_answers() {
        let (long, short) = (file("long", ZONE), file("short", &ZONE.replace("web A", "web.a A")));
        let bench = Bench::new();
        let lines = format!("file {} example.org\nfile {} a.example.org", short.display(), long.display());
        bench.set_up(&DEFINITION, &lines).unwrap();
        let web = message(ask(&bench, "web.a.example.org").await);
        assert_eq!(web.answers[0].rdata, [192, 0, 2, 2]);
        assert_eq!(
            message(ask(&bench, "no.a.example.org").await).authorities[0].owner,
            Name::from_text("a.example.org").unwrap().wire()
        );
        [long, short].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }

    #[test]
    fn errors() {
        let path = file("wrong", "@ SOA ns host 1 2 3 4 5\nweb A 1.2.3\n");
        let path = path.display();
        Bench::errors(
            &DEFINITION,
            &[
                ("file", "expected: file DBFILE [ZONE...]"),
                (&format!("file {path}"), ":2: '1.2.3' is not an IPv4 address"),
                ("file no-such-file {\nreload 0\n}", "there is no file no-such-file, and reload is 0"),
                ("file no-such-file {\nreload\n}", "expected: reload DURATION"),
                ("file no-such-file {\nreload_by_mtime 1\n}", "expected: reload_by_mtime"),
                ("file no-such-file {\ntransfer to *\n}", "unknown property 'transfer'"),
            ],
        );
    }
}
