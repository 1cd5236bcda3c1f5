//! Corefile to plan: plugins set up block by block, blocks put on listeners.

use super::listener_settings::{keys, limits};
use super::routes::{Block, Route, Routes};
use crate::corefile::{self, Address, Corefile, Directive, Error, Scheme, ServerBlock};
use crate::engine::{self, Limits};
use crate::metrics::{Metrics, PLUGIN_ENABLED};
use crate::plugin::{BlockInfo, BlockPlan, Control, Datagrams, Keep, ProcessPlan, Setup};
use crate::plugins::{self, Found};
use crate::wire::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// What a Corefile without a server block means.
const EMPTY: &str = ". {\n    whoami\n    log\n}\n";

/// Where a listener stands, and what it speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub address: SocketAddr,
    pub scheme: Scheme,
}

/// What a listener serves.
pub(super) struct Served {
    pub routes: Arc<Routes>,
    /// What it proves itself with, where it is encrypted.
    pub keys: Option<Arc<rustls::ServerConfig>>,
    /// What its clients may have.
    pub limits: Limits,
    /// Its UDP sockets, where a block says how many.
    pub sockets: Option<usize>,
}

/// A configuration, ready to run.
pub(super) struct Plan {
    /// What each place answers for.
    pub places: BTreeMap<Place, Served>,
    pub process: ProcessPlan,
    /// What the next plan will find kept.
    pub keep: Keep,
    /// The lines that name what is served.
    pub banner: Vec<String>,
}

/// Sets up every plugin of every block.
///
/// # Errors
/// Everything that is wrong, with file, line and directive.
pub(super) fn build(
    corefile: &Corefile,
    port: u16,
    metrics: &Metrics,
    kept: &Keep,
    control: &Control,
) -> Result<Plan, Vec<Error>> {
    attempt(corefile, port, metrics, kept, control).map_err(|refused| refused.errors)
}

/// A configuration that cannot run.
#[derive(Default)]
pub(super) struct Refused {
    pub errors: Vec<Error>,
    /// What was warned of beside.
    pub warnings: Vec<String>,
}

/// As [`build`], but the warnings are kept also where something is wrong.
pub(super) fn attempt(
    corefile: &Corefile,
    port: u16,
    metrics: &Metrics,
    kept: &Keep,
    control: &Control,
) -> Result<Plan, Refused> {
    if corefile.blocks.is_empty() {
        let text = corefile::parse(&corefile.path, EMPTY, &|_| None)
            .map_err(|error| Refused { errors: vec![error], ..Refused::default() })?;
        return attempt(&text, port, metrics, kept, control);
    }
    let mut builder = Builder {
        port,
        metrics,
        kept,
        control,
        keep: Keep::default(),
        process: ProcessPlan::default(),
        places: BTreeMap::new(),
        enabled: BTreeSet::new(),
        banner: BTreeSet::new(),
        errors: Vec::new(),
    };
    builder.process.warnings.extend(corefile.warnings.iter().map(ToString::to_string));
    for (index, block) in corefile.blocks.iter().enumerate() {
        builder.block(index, block);
    }
    builder.finish()
}

struct Builder<'a> {
    port: u16,
    metrics: &'a Metrics,
    kept: &'a Keep,
    control: &'a Control,
    keep: Keep,
    process: ProcessPlan,
    places: BTreeMap<Place, Vec<Route>>,
    /// The label values of `coredns_plugin_enabled`.
    enabled: BTreeSet<[String; 4]>,
    banner: BTreeSet<String>,
    errors: Vec<Error>,
}

impl Builder<'_> {
    fn block(&mut self, index: usize, block: &ServerBlock) {
        let Some(zones) = self.zones(block) else { return };
        let Some(first) = block.addresses.first() else { return };
        let mut info = BlockInfo { zones: zones.clone(), span: first.span.clone(), root: PathBuf::new(), index };
        let (mut plan, mut stores) = (BlockPlan::new(zones), Vec::new());
        let (block_directives, warnings) = plugins::modernize(&block.directives);
        self.process.warnings.extend(warnings);
        self.refuse_unknown(&block_directives);
        for definition in plugins::ORDER {
            let directives: Vec<Directive> =
                block_directives.iter().filter(|found| found.name.text == definition.directive).cloned().collect();
            if directives.is_empty() {
                continue;
            }
            // `bind` stands before whatever needs the name.
            plan.server = server_name(first.scheme, plan.binds.first(), self.port_of(first));
            let mut setup = Setup {
                directives: &directives,
                siblings: &block_directives,
                block: &mut info,
                plan: &mut plan,
                process: &mut self.process,
                metrics: self.metrics,
                kept: self.kept,
                keep: &self.keep,
                control: self.control,
                datagrams: Datagrams {
                    watch: engine::watch_for_arrivals,
                    send: engine::send_connected,
                    receive: engine::receive_connected,
                },
            };
            if let Err(error) = definition.set_up(&mut setup) {
                self.errors.push(error);
            }
            stores.resize(plan.stores.len(), definition.directive);
        }
        self.place(block, Arc::new(Block { plan, span: first.span.clone(), stores }));
    }

    fn refuse_unknown(&mut self, directives: &[Directive]) {
        for directive in directives {
            let (name, span) = (&directive.name.text, &directive.name.span);
            match plugins::find(name) {
                Found::Known(_) => {}
                Found::NotYet => {
                    let message = format!("Error during parsing: plugin/{name}: not supported by dunlin yet");
                    self.errors.push(Error::at(span, message));
                }
                Found::External(instead) => {
                    let hint = if instead.is_empty() { String::new() } else { format!("; instead: {instead}") };
                    let message = format!(
                        "Error during parsing: plugin/{name}: not supported by dunlin yet: CoreDNS itself does not have it either{hint}"
                    );
                    self.errors.push(Error::at(span, message));
                }
                Found::Retired(why) => {
                    let message = format!("{span} - plugin/{name}: '{name}' is no more and is left out: {why}");
                    self.process.warnings.push(message);
                }
                Found::Unknown => {
                    let message = format!(
                        "Error during parsing: Unknown directive '{name}'; expected a plugin's name (dunlin -plugins lists them)"
                    );
                    self.errors.push(Error::at(span, message));
                }
            }
        }
    }

    fn zones(&mut self, block: &ServerBlock) -> Option<Vec<Name>> {
        let mut zones = Vec::new();
        for address in &block.addresses {
            if !matches!(address.scheme, Scheme::Dns | Scheme::Tls | Scheme::Https | Scheme::Quic) {
                let message = format!("Error during parsing: {}:// is not supported by dunlin yet", address.scheme);
                self.errors.push(Error::at(&address.span, message));
                return None;
            }
            for zone in &address.zones {
                match Name::from_text(zone) {
                    Ok(name) => zones.push(name),
                    Err(why) => {
                        self.errors
                            .push(Error::at(&address.span, format!("Error during parsing: zone '{zone}': {why}")));
                        return None;
                    }
                }
            }
        }
        Some(zones)
    }

    /// Puts a block on every address it listens on, under each of its zones.
    fn place(&mut self, block: &ServerBlock, compiled: Arc<Block>) {
        let writer = compiled.plan.chain.first().map_or("", |handler| handler.name());
        let view = compiled.plan.view_name();
        for address in &block.addresses {
            let (scheme, port) = (address.scheme, self.port_of(address));
            let sockets = sockets(&compiled.plan.binds, port);
            if scheme == Scheme::Quic && compiled.plan.tls.is_none() {
                let message = "Error during parsing: quic:// needs a certificate; expected: tls CERT KEY in its block";
                self.errors.push(Error::at(&address.span, message));
                return;
            }
            if scheme != Scheme::Dns && compiled.plan.tls.is_none() {
                let message = "without `tls` in its block it is not encrypted: something in front has to end TLS";
                self.process.warnings.push(format!("{} - {scheme}://: {message}", address.span));
            }
            for zone in address.zones.iter().filter_map(|zone| Name::from_text(zone).ok()) {
                for (socket, host) in &sockets {
                    let bind = compiled.plan.binds.iter().find(|ip| **ip == socket.ip());
                    let server = server_name(scheme, bind, port);
                    let place = Place { address: *socket, scheme };
                    if let Some(clash) = self.clash(place, &zone, compiled.plan.view.is_some()) {
                        let message = format!("cannot serve {scheme}://{zone}:{port} - {clash}");
                        self.errors.push(Error::at(&address.span, message));
                        return;
                    }
                    if let Some(first) = self.other_clients(place, &compiled.plan) {
                        let message = format!(
                            "what clients have to prove here is what the block at {first} says: they share a listener"
                        );
                        self.warn_once(format!("{} - plugin/tls: {message}", address.span));
                    }
                    if let Some(first) = self.shadow(place, &zone) {
                        let message =
                            format!("never asked for {zone}: the block at {first} has no view and comes first");
                        self.warn_once(format!("{} - {message}", address.span));
                    }
                    let traffic =
                        compiled.plan.counted.then(|| self.metrics.traffic(&server, &zone.to_string(), view, writer));
                    if compiled.plan.counted {
                        // These two stand beside the chain here, and in it in CoreDNS.
                        let beside =
                            [("metadata", !compiled.plan.labelled.is_empty()), ("view", compiled.plan.view.is_some())];
                        let beside = beside.into_iter().filter_map(|(name, is_there)| is_there.then_some(name));
                        let handlers = compiled.plan.chain.iter().map(|handler| handler.name());
                        let names = handlers.chain(beside).map(str::to_owned);
                        let labels = |name| [server.clone(), zone.to_string(), view.to_owned(), name];
                        self.enabled.extend(names.map(labels));
                    }
                    let route = Route { zone: zone.clone(), block: Arc::clone(&compiled), traffic };
                    self.places.entry(place).or_default().push(route);
                    let at = if host.is_empty() { String::new() } else { format!(" on {host}") };
                    let before = if scheme == Scheme::Dns { String::new() } else { format!("{scheme}://") };
                    self.banner.insert(format!("{before}{zone}:{port}{at}"));
                }
            }
        }
    }

    /// Why a zone cannot be put on a socket. Views tell blocks of one zone apart.
    fn clash(&self, place: Place, zone: &Name, has_view: bool) -> Option<&'static str> {
        let is_like = |route: &Route| route.zone == *zone && !has_view && route.block.plan.view.is_none();
        let has = |routes: &Vec<Route>| routes.iter().any(is_like);
        if self.places.get(&place).is_some_and(has) {
            return Some("it is already defined");
        }
        // The system would share the port among them, connection by connection. QUIC is UDP's alone, TLS and HTTPS are
        // TCP's.
        let is_apart = |one: Scheme, other: Scheme| one == Scheme::Quic && matches!(other, Scheme::Tls | Scheme::Https);
        let meets = |other: &Place| {
            other.address == place.address
                && other.scheme != place.scheme
                && !is_apart(other.scheme, place.scheme)
                && !is_apart(place.scheme, other.scheme)
        };
        if self.places.keys().any(meets) {
            return Some("another protocol is served on this port");
        }
        let socket = place.address;
        let overlaps = self.places.iter().any(|(Place { address: other, scheme }, routes)| {
            *scheme == place.scheme
                && other.port() == socket.port()
                && other.is_ipv4() == socket.is_ipv4()
                && other.ip().is_unspecified() != socket.ip().is_unspecified()
                && has(routes)
        });
        overlaps.then_some("the zone is served on every address of this port and on one address as well")
    }

    /// Where the block stands whose `client_auth` counts for this one, where they do not say the same.
    fn other_clients(&self, place: Place, plan: &BlockPlan) -> Option<corefile::Span> {
        let mine = plan.tls.as_ref().filter(|_| place.scheme != Scheme::Dns)?;
        let mut blocks = self.places.get(&place)?.iter().map(|route| &route.block);
        let first = blocks.find(|block| block.plan.tls.is_some())?;
        let is_other = first.plan.tls.as_ref().is_some_and(|keys| keys.clients != mine.clients);
        is_other.then(|| first.span.clone())
    }

    fn warn_once(&mut self, warning: String) {
        if !self.process.warnings.contains(&warning) {
            self.process.warnings.push(warning);
        }
    }

    /// Where the block stands that takes every query for a zone before those behind it are asked.
    fn shadow(&self, place: Place, zone: &Name) -> Option<&corefile::Span> {
        let routes = self.places.get(&place)?;
        let takes_all = |route: &&Route| route.zone == *zone && route.block.plan.view.is_none();
        routes.iter().find(takes_all).map(|route| &route.block.span)
    }

    /// The port of an address; that of `dns://` may be said by a flag.
    fn port_of(&self, address: &Address) -> u16 {
        let default = if address.scheme == Scheme::Dns { self.port } else { address.scheme.default_port() };
        address.port.unwrap_or(default)
    }

    fn finish(self) -> Result<Plan, Refused> {
        if !self.errors.is_empty() {
            return Err(Refused { errors: self.errors, warnings: self.process.warnings });
        }
        // Not before: a configuration that is refused changes nothing.
        let enabled = self.metrics.gauge(&PLUGIN_ENABLED);
        enabled.reset();
        self.enabled.iter().for_each(|labels| enabled.with_label_values(labels).set(1.0));
        let places = self
            .places
            .into_iter()
            .map(|(place, mut routes)| {
                let sampled = self.process.sampled.clone();
                if sampled.is_some() {
                    count_all(self.metrics, place, &mut routes);
                }
                let counted = routes.iter().any(|route| route.traffic.is_some());
                let bind = Some(place.address.ip()).filter(|ip| !ip.is_unspecified());
                let server = server_name(place.scheme, bind.as_ref(), place.address.port());
                let dropped = counted.then(|| self.metrics.traffic(&server, "dropped", "", ""));
                let (keys, limits) = (keys(place.scheme, &routes), limits(place.scheme, &routes));
                let sockets = routes.iter().find_map(|route| route.block.plan.sockets);
                (place, Served { routes: Arc::new(Routes::new(routes, dropped, sampled)), keys, limits, sockets })
            })
            .collect();
        Ok(Plan { places, process: self.process, keep: self.keep, banner: self.banner.into_iter().collect() })
    }
}

/// Counts the routes that are not counted yet.
fn count_all(metrics: &Metrics, place: Place, routes: &mut [Route]) {
    let bind = Some(place.address.ip()).filter(|ip| !ip.is_unspecified());
    let server = server_name(place.scheme, bind.as_ref(), place.address.port());
    for Route { zone, block, traffic } in routes {
        let writer = block.plan.chain.first().map_or("", |handler| handler.name());
        traffic.get_or_insert_with(|| metrics.traffic(&server, &zone.to_string(), block.plan.view_name(), writer));
    }
}

/// The sockets of a block and how labels and lines name their hosts: both wildcards where nothing is bound.
fn sockets(binds: &[IpAddr], port: u16) -> Vec<(SocketAddr, String)> {
    if binds.is_empty() {
        let wildcards: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        return wildcards.map(|ip| (SocketAddr::new(ip, port), String::new())).into();
    }
    binds.iter().map(|ip| (SocketAddr::new(*ip, port), ip.to_string())).collect()
}

/// A listener as metrics name it: `dns://:53`, `dns://127.0.0.1:1053`, `tls://[::1]:853`.
pub(super) fn server_name(scheme: Scheme, bind: Option<&IpAddr>, port: u16) -> String {
    match bind {
        Some(ip) => format!("{scheme}://{}", SocketAddr::new(*ip, port)),
        None => format!("{scheme}://:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn plan(text: &str) -> Result<Plan, Vec<String>> {
        let corefile = corefile::parse(Path::new("Corefile"), text, &|_| None).unwrap();
        let (commands, _) = tokio::sync::mpsc::unbounded_channel();
        let control = Control { commands, corefile: None, arrivals: Default::default(), history: Default::default() };
        build(&corefile, 53, &Metrics::new(), &Keep::default(), &control)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn error(text: &str) -> String {
        plan(text).err().map(|errors| errors.join("\n")).unwrap_or_default()
    }

    #[test]
    fn a_block_listens_on_both_wildcards_or_where_it_is_bound() {
        let addresses = |text| -> Vec<String> {
            plan(text).unwrap().places.keys().map(|place| place.address.to_string()).collect()
        };
        assert_eq!(addresses("example.org:5300 {\nwhoami\n}"), ["0.0.0.0:5300", "[::]:5300"]);
        assert_eq!(addresses(".:53 a.test:54 {\nbind 127.0.0.1\nwhoami\n}"), ["127.0.0.1:53", "127.0.0.1:54"]);
    }

    #[test]
    fn the_lines_at_the_start_are_core_dns_s() {
        let plan = plan("b.test a.test:1053 {\nwhoami\n}\n10.0.0.0/24 {\nbind 127.0.0.1\nwhoami\n}").unwrap();
        assert_eq!(plan.banner, ["0.0.10.in-addr.arpa.:53 on 127.0.0.1", "a.test.:1053", "b.test.:53"]);
    }

    #[test]
    fn an_empty_file_is_whoami_and_log() {
        let plan = plan("# nothing\n").unwrap();
        let served = plan.places.values().next().unwrap();
        let chain = &served.routes.all()[0].block.plan.chain;
        assert_eq!(chain.iter().map(|handler| handler.name()).collect::<Vec<_>>(), ["log", "whoami"]);
    }

    #[test]
    fn a_zone_is_served_once_on_an_address() {
        assert!(
            error("a.test {\nwhoami\n}\nA.test {\nwhoami\n}")
                .contains("cannot serve dns://a.test.:53 - it is already defined")
        );
        let overlap = "a.test {\nwhoami\n}\na.test {\nbind 127.0.0.1\nwhoami\n}";
        assert!(error(overlap).contains("on every address of this port and on one address as well"));
        assert!(plan("a.test {\nwhoami\n}\nb.test {\nbind 127.0.0.1\nwhoami\n}").is_ok());
    }

    #[test]
    fn views_tell_blocks_of_one_zone_apart() {
        let viewed = |name: &str| format!("a.test {{\nview {name} {{\nexpr type() == 'A'\n}}\nwhoami\n}}\n");
        let open = "a.test {\nwhoami\n}\n";
        let good = plan(&format!("{}{}{open}", viewed("x"), viewed("y"))).unwrap();
        assert!(good.process.warnings.is_empty(), "{:?}", good.process.warnings);
        assert!(error(&format!("{}{open}{open}", viewed("x"))).contains("it is already defined"));
        let shadowed = plan(&format!("{open}{}", viewed("x"))).unwrap();
        let expected = "Corefile:4 - never asked for a.test.: the block at Corefile:1 has no view and comes first";
        assert_eq!(shadowed.process.warnings, [expected]);
    }

    #[test]
    fn a_port_has_one_protocol() {
        let text = "tls://. {\nwhoami\n}\nhttps://. {\nwhoami\n}\na.test:443 {\nwhoami\n}";
        assert!(error(text).contains("cannot serve dns://a.test.:443 - another protocol is served on this port"));
        assert!(error("quic://. {\nwhoami\n}").contains("quic:// needs a certificate; expected: tls CERT KEY"));
        let plan = plan("tls://. https://.:853 {\nwhoami\n}");
        assert!(plan.is_err_and(|errors| errors[0].contains("cannot serve https://.:853")));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_with_its_line() {
        let text = ". {\n    federations\n    etcd\n    cache 0\n    fanout\n}\ngrpc://. {\n}\n";
        let errors = plan(text).err().unwrap();
        for (line, gist) in [
            (2, "Unknown directive 'federations'"),
            (3, "plugin/etcd: not supported by dunlin yet"),
            (4, "plugin/cache"),
            (
                5,
                "plugin/fanout: not supported by dunlin yet: CoreDNS itself does not have it either; instead: `forward`",
            ),
        ] {
            let place = format!("Corefile:{line} - Error during parsing: ");
            assert!(errors.iter().any(|error| error.starts_with(&place) && error.contains(gist)), "{errors:?}");
        }
        assert!(
            errors.iter().any(
                |error| error.starts_with("Corefile:7") && error.contains("grpc:// is not supported by dunlin yet")
            ),
            "{errors:?}"
        );
    }

    #[test]
    fn a_refused_configuration_leaves_the_metrics_of_the_running_one() {
        let metrics = Metrics::new();
        let try_out = |text: &str| {
            let corefile = corefile::parse(Path::new("Corefile"), text, &|_| None).unwrap();
            let (commands, _) = tokio::sync::mpsc::unbounded_channel();
            let control =
                Control { commands, corefile: None, arrivals: Default::default(), history: Default::default() };
            build(&corefile, 53, &metrics, &Keep::default(), &control).is_ok()
        };
        let enabled = || {
            let text = metrics.render();
            text.lines()
                .filter(|line| line.starts_with("coredns_plugin_enabled{"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(try_out("a.test {\nprometheus\nwhoami\n}"));
        let running = enabled();
        assert!(
            running.iter().any(|line| line.contains(r#"name="whoami""#) && line.contains(r#"zone="a.test.""#)),
            "{running:?}"
        );
        assert!(!try_out("b.test {\nprometheus\nwhoami\ncache 0\n}"));
        assert_eq!(enabled(), running);
        assert!(try_out("b.test {\nprometheus\nwhoami\n}"));
        assert!(enabled().iter().all(|line| line.contains(r#"zone="b.test.""#)));
    }

    #[test]
    fn listeners_have_core_dns_s_names() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(server_name(Scheme::Dns, None, 53), "dns://:53");
        assert_eq!(server_name(Scheme::Tls, Some(&ip("127.0.0.1")), 1053), "tls://127.0.0.1:1053");
        assert_eq!(server_name(Scheme::Dns, Some(&ip("::1")), 53), "dns://[::1]:53");
    }
}
