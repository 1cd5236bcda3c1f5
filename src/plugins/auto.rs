//! # Description
//! `auto` answers, as `file` does, for every zone whose master file lies in a folder or the folders in it. Files that
//! come, change and go are noticed.
//!
//! # Syntax
//! ```text
//! auto [ZONE...] {
//!     directory DIR [REGEXP ORIGIN_TEMPLATE]
//!     reload DURATION
//! }
//! ```
//! - **ZONE...** (the server block's): files of other zones than these, and those below them, are left alone.
//! - `directory`: the folder; a relative name starts at `root`. **REGEXP** (`db\.(.*)`) matches the whole name of a
//!   zone's file, and **ORIGIN_TEMPLATE** (`{1}`) makes the zone's name of what it has captured. A folder that is not
//!   there is warned about and waited for.
//! - `reload` (1m): how often to look; 0 for never. A changed file is taken where the SOA's serial has changed.
//!
//! A file that is wrong is said in the log once for each of its versions, and leaves its zone as it was. Names outside
//! all zones go to the next plugin, and are REFUSED where there is none.
//!
//! # Examples
//! Every `db.ZONE` of a folder, below one zone:
//! ```corefile
//! org {
//!     auto {
//!         directory /etc/coredns/zones
//!     }
//! }
//! ```
//! Files named `example.org.zone`:
//! ```corefile
//! . {
//!     auto example.org {
//!         directory /etc/coredns/zones (.*)\.zone {1}
//!         reload 30s
//!     }
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `file`, for what is answered and what a master file may have. `transfer`, to hand the zones out. `root`.

use crate::corefile::values;
use crate::plugin::{
    BoxFuture, Definition, Directive, Error, Fallthrough, Handler, Lifecycle, Next, Outcome, Request, Setup, ZoneFile,
    ZoneHolder, answer_from, not_ours,
};
use crate::wire::{Name, ResourceRecord};
use crate::zone::master::MasterZone;
use arc_swap::ArcSwap;
use regex::Regex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// `auto`.
pub const DEFINITION: Definition = Definition { directive: "auto", setup, metrics: &[] };

/// Folders in folders: more is a loop of links.
const MAX_DEPTH: usize = 16;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    for directive in setup.directives {
        let Some(auto) = read(setup, directive)?.map(Arc::new) else {
            setup.warn(&directive.name, "answers for nothing; expected: directory DIR");
            continue;
        };
        if !auto.directory.is_dir() {
            setup.warn(&directive.name, format!("there is no folder {} yet", auto.directory.display()));
        }
        auto.scan();
        if !auto.reload.is_zero() {
            setup.process.lifecycles.push(Arc::new(Scanning(Arc::downgrade(&auto))));
        }
        let held = auto.clone();
        // Only the slow lane answers from these zones; what stands behind in the chain is not asked before it.
        setup.plan.leave_fast_lane_for(move |query| held.zones.iter().any(|zone| query.name.is_within(zone)));
        setup.plan.holders.add(auto.clone());
        setup.plan.chain.push(auto);
    }
    Ok(())
}

fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<Option<Auto>, Error> {
    let zones = setup.zones_or_block(&directive.args)?;
    let (mut directory, mut reload) = (None, Duration::from_secs(60));
    let (mut pattern, mut template) = (r"db\.(.*)", "{1}");
    let mut pattern_at = &directive.name;
    for option in directive.options() {
        match (option.name.text.as_str(), option.args.as_slice()) {
            ("directory", [path]) => directory = Some(setup.path(&path.text)),
            ("directory", [path, regexp, origin]) => {
                directory = Some(setup.path(&path.text));
                (pattern, template, pattern_at) = (&regexp.text, &origin.text, regexp);
            }
            ("directory", _) => return Err(setup.arguments(option, "directory DIR [REGEXP ORIGIN_TEMPLATE]")),
            ("reload", [duration]) => {
                reload = values::duration(&duration.text).map_err(|why| setup.error(duration, why))?;
            }
            ("reload", _) => return Err(setup.arguments(option, "reload DURATION")),
            ("upstream", _) => setup.warn(&option.name, "'upstream' does nothing any more; remove the line"),
            _ => return Err(setup.unknown(option, "directory, reload")),
        }
    }
    let pattern = Regex::new(&format!("^(?:{pattern})$")).map_err(|why| setup.error(pattern_at, why))?;
    let Some(directory) = directory else { return Ok(None) };
    // `{1}` of the Corefile is `${1}` of the pattern's expansion.
    let template = template.replace("${", "{").replace('{', "${");
    Ok(Some(Auto { zones, directory, pattern, template, reload, held: ArcSwap::default() }))
}

/// One folder of zones.
struct Auto {
    zones: Vec<Name>,
    directory: PathBuf,
    pattern: Regex,
    template: String,
    reload: Duration,
    held: ArcSwap<HashMap<Name, Held>>,
}

/// A zone's file and what it had.
#[derive(Clone)]
struct Held {
    path: PathBuf,
    file: ZoneFile,
}

impl Auto {
    /// Looks at the whole folder once. A folder that cannot be read takes nothing away.
    fn scan(&self) {
        let mut files = Vec::new();
        if let Err(why) = collect(&self.directory, 0, &mut files) {
            return tracing::warn!(target: "plugin/auto", "{}: {why}", self.directory.display());
        }
        files.sort();
        let before = self.held.load();
        let mut after: HashMap<Name, Held> = HashMap::new();
        for path in files {
            // The first file of a zone is the zone's.
            let Some(origin) = self.origin(&path).filter(|origin| !after.contains_key(origin)) else { continue };
            let known = before.get(&origin).filter(|held| held.path == path);
            let mut file = known.map(|held| held.file.clone()).unwrap_or_default();
            let shown = path.display();
            match file.look(&path, &origin, false) {
                Ok(true) => tracing::info!(target: "plugin/auto", "Read zone \"{origin}\" from \"{shown}\""),
                Ok(false) => {}
                Err(why) => tracing::error!(target: "plugin/auto", "Failed to read zone \"{origin}\": {why}"),
            }
            after.insert(origin, Held { path, file });
        }
        for gone in before.keys().filter(|origin| !after.contains_key(*origin)) {
            tracing::info!(target: "plugin/auto", "Removed zone \"{gone}\"");
        }
        self.held.store(Arc::new(after));
    }

    /// The zone of a file, by its name.
    fn origin(&self, path: &Path) -> Option<Name> {
        let captures = self.pattern.captures(path.file_name()?.to_str()?)?;
        let mut text = String::new();
        captures.expand(&self.template, &mut text);
        let origin = Name::from_text(&text).ok().filter(|_| !text.is_empty())?;
        self.zones.iter().any(|zone| origin.is_within(zone)).then_some(origin)
    }
}

/// The files of a folder and of those in it.
fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A ConfigMap's folder has its files behind links, and each of them once more in a folder with two dots.
        if entry.file_name().to_string_lossy().starts_with("..") {
            continue;
        }
        let path = entry.path();
        if path.is_file() {
            files.push(path);
        } else if path.is_dir() && depth < MAX_DEPTH {
            // A folder that goes while it is read is none.
            collect(&path, depth + 1, files).ok();
        }
    }
    Ok(())
}

impl Handler for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let zone = {
                let held = self.held.load();
                let zones = held.values().filter_map(|held| held.file.zone.clone());
                let holding = zones.filter(|zone| request.name.is_within(zone.origin()));
                holding.max_by_key(|zone| zone.origin().label_count())
            };
            match zone {
                Some(zone) => answer_from(&zone, &Fallthrough::default(), request, next).await,
                None => not_ours(request, next).await,
            }
        })
    }
}

impl Auto {
    fn zone(&self, name: &Name) -> Option<Arc<MasterZone>> {
        self.held.load().get(name)?.file.zone.clone()
    }
}

impl ZoneHolder for Auto {
    fn zones(&self) -> Vec<Name> {
        self.held.load().keys().cloned().collect()
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

/// Looks after the folder for as long as the plan is in use.
struct Scanning(Weak<Auto>);

impl Lifecycle for Scanning {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        tokio::spawn(scan(self.0.clone()));
        Box::pin(async { Ok(()) })
    }
}

async fn scan(auto: Weak<Auto>) {
    while let Some(period) = auto.upgrade().map(|auto| auto.reload) {
        tokio::time::sleep(period).await;
        let Some(auto) = auto.upgrade() else { return };
        if tokio::task::spawn_blocking(move || auto.scan()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Failure;
    use crate::plugins::testing::{Bench, query, request};
    use crate::wire::{Rcode, RecordType};

    fn zone(serial: u32, host: &str) -> String {
        format!("@ 60 SOA ns host {serial} 2 3 4 30\n@ NS ns\n{host} A 192.0.2.2\n")
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dunlin-auto-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(folder.join("deeper")).unwrap();
        folder
    }

    /// The code for an address query, SERVFAIL where the next plugin is asked.
    async fn code(bench: &Bench, name: &str) -> Rcode {
        match bench.ask(&request(query(name, RecordType::A)), Outcome::Failed(Failure::servfail("next"))).await {
            Outcome::Reply(reply) => reply.rcode(),
            Outcome::Failed(failure) => failure.rcode,
            Outcome::Dropped => panic!("dropped"),
        }
    }

    async fn wait(bench: &Bench, name: &str, expected: Rcode) {
        for _ in 0..500 {
            if code(bench, name).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} does not become {expected}");
    }

    #[tokio::test]
    async fn files_come_change_and_go() {
        let folder = folder("life");
        let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        write("db.example.org", zone(1, "web"));
        write("deeper/db.a.example.org", zone(1, "deep"));
        write("db.example.net", zone(1, "web"));
        write("notes", "no zone".to_owned());
        write("db.broken.example.org", "@ SOA".to_owned());
        let bench = Bench::new();
        let lines = format!("auto example.org {{\ndirectory {}\nreload 10ms\n}}", folder.display());
        bench.set_up(&DEFINITION, &lines).unwrap();
        for (name, expected) in [
            ("web.example.org", Rcode::NOERROR),
            ("no.example.org", Rcode::NXDOMAIN),
            ("deep.a.example.org", Rcode::NOERROR),
            ("web.example.net", Rcode::SERVFAIL),
        ] {
            assert_eq!(code(&bench, name).await, expected, "{name}");
        }
        let lifecycles = bench.done().process.lifecycles.clone();
        lifecycles[0].start().await.unwrap();
        write("db.example.org", zone(2, "newer"));
        wait(&bench, "newer.example.org", Rcode::NOERROR).await;
        let (holders, origin) = (bench.done().plan.holders.all(), Name::from_text("example.org").unwrap());
        assert_eq!((holders[0].zones().len(), holders[0].serial(&origin)), (3, Some(2)));
        assert_eq!(holders[0].records(&origin).unwrap().len(), 3);
        write("db.b.example.org", zone(1, "web"));
        wait(&bench, "web.b.example.org", Rcode::NOERROR).await;
        std::fs::remove_file(folder.join("db.b.example.org")).unwrap();
        wait(&bench, "web.b.example.org", Rcode::NXDOMAIN).await;
        std::fs::remove_file(folder.join("db.example.org")).unwrap();
        wait(&bench, "newer.example.org", Rcode::SERVFAIL).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn names_of_files_are_matched_whole_and_rewritten() {
        let folder = folder("names");
        std::fs::write(folder.join("org_example.zone"), zone(1, "web")).unwrap();
        std::fs::write(folder.join("org_other.zone.bak"), zone(1, "web")).unwrap();
        let bench = Bench::new();
        let lines = format!("auto {{\ndirectory {} (.*)_(.*)\\.zone {{2}}.{{1}}\n}}", folder.display());
        bench.set_up(&DEFINITION, &lines).unwrap();
        assert_eq!(code(&bench, "web.example.org").await, Rcode::NOERROR);
        assert_eq!(code(&bench, "web.other.org").await, Rcode::SERVFAIL);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("auto {\ndirectory a b\n}", "expected: directory DIR [REGEXP ORIGIN_TEMPLATE]"),
                ("auto {\ndirectory a ( b\n}", "regex parse error"),
                ("auto {\nreload\n}", "expected: reload DURATION"),
                ("auto {\nwatch\n}", "unknown property 'watch'"),
            ],
        );
    }
}
