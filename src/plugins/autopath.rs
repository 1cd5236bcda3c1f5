//! # Description
//! `autopath` walks a client's search list in the client's place: the first query of the list gets the answer that the
//! last one would have got. That saves a pod with `ndots:5` four queries for each name of the outside world.
//!
//! # Syntax
//! ```text
//! autopath [ZONE...] @search|@kubernetes|RESOLV-CONF
//! ```
//! - **ZONE...** (the server block's): the names that this is for.
//! - `@search`: the search list that the client's own question shows. A pod's first query for `example.org` is
//!   `example.org.NAMESPACE.svc.ZONE`, of which `svc.ZONE`, `ZONE` and the outside follow, with the domains of this
//!   machine's `/etc/resolv.conf` between them as kubelet puts them there. No pod is watched, and an address that another
//!   pod had before means nothing. It is for A and AAAA of names with a dot of their own, below the zones of `kubernetes`
//!   in the same server block.
//! - `@kubernetes`: the search list of the client's pod, which is found by its address; the domains of this machine's
//!   `/etc/resolv.conf` follow. It is for all types, below the zones of `kubernetes` in the same server block, which
//!   needs `pods verified`. Of several pods that have an address, the one that got it last counts: a pod with the
//!   address of one that has ended gets its own search list. Clients that are no pods get no walk. Without
//!   `pods verified` this runs as `@search`, with a warning (CoreDNS does nothing there).
//! - **RESOLV-CONF**: a file whose `search` line is the list, for all clients.
//!
//! Only if the client's question is NXDOMAIN is there a walk. The first of the other names that is not NXDOMAIN answers:
//! with a CNAME from the name asked in front. If there is none, the client gets the NXDOMAIN and walks itself.
//!
//! Only what is NXDOMAIN leaves the fast lane.
//!
//! # Examples
//! ```corefile
//! . {
//!     kubernetes cluster.local in-addr.arpa ip6.arpa
//!     autopath @search
//!     forward . /etc/resolv.conf
//!     cache 30
//! }
//! ```
//!
//! By the addresses of pods:
//!
//! ```corefile
//! . {
//!     kubernetes cluster.local in-addr.arpa ip6.arpa {
//!         pods verified
//!     }
//!     autopath @kubernetes
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! - `coredns_autopath_success_total{server}`: walks that found something.
//!
//! # See also
//! resolv.conf(5), for search lists and `ndots`.

use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{BoxFuture, Clients, Definition, Error, Handler, Next, Outcome, Request, Setup, Token};
use crate::wire::{CLASS_IN, LowerName, MAX_NAME, Message, Name, NameBuffer, Rcode, RecordType, ResourceRecord};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// `autopath`.
pub const DEFINITION: Definition = Definition { directive: "autopath", setup, metrics: &[&SUCCESS] };

const SUCCESS: Descriptor = Descriptor {
    name: "coredns_autopath_success_total",
    help: "Counter of requests that did autopath.",
    labels: &["server"],
    kind: MetricKind::Counter,
};

/// Domains of a search list that are walked; more would be more work than a question is worth.
const MAX_SEARCH: usize = 32;

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let Some((from, zones)) = directive.args.split_last() else {
        return Err(setup.arguments(directive, "autopath [ZONE...] @search|@kubernetes|RESOLV-CONF"));
    };
    let zones = setup.zones_or_block(zones)?;
    let search = match from.text.strip_prefix('@') {
        Some("search") => shown(setup, from)?,
        Some("kubernetes") => of_pods(setup, from)?,
        Some(other) => {
            let message = format!("'@{other}' is not supported by dunlin yet; expected @search or @kubernetes");
            return Err(setup.error(from, message));
        }
        None => Search::Fixed(fixed(setup, from)?),
    };
    let success = setup.metrics.counter(&SUCCESS).with_label_values(&[&*setup.plan.server]);
    setup.plan.leave_fast_lane_when(search.places(), is_name_error);
    setup.plan.chain.push(Arc::new(Autopath { zones, search, success }));
    Ok(())
}

/// The search lists of pods, where `kubernetes` knows them; otherwise what questions show.
fn of_pods(setup: &mut Setup<'_>, from: &Token) -> Result<Search, Error> {
    let shown = shown(setup, from)?;
    let siblings = setup.siblings.iter().filter(|sibling| sibling.name.text == "kubernetes");
    let pods = siblings.flat_map(|sibling| sibling.options()).rfind(|option| option.name.text == "pods");
    let is_verified = pods.is_some_and(|pods| pods.args.iter().any(|arg| arg.text == "verified"));
    match shown {
        Search::Shown { zones, node } if is_verified => {
            Ok(Search::Pods { zones, node, clients: Arc::clone(&setup.plan.clients) })
        }
        shown => {
            let message = "'@kubernetes' runs as '@search': kubernetes does not follow pods without 'pods verified'";
            setup.warn(from, message);
            Ok(shown)
        }
    }
}

/// The zones of `kubernetes` in this server block, below which questions show their search lists.
fn shown(setup: &mut Setup<'_>, from: &Token) -> Result<Search, Error> {
    let mut zones = Vec::new();
    for sibling in setup.siblings.iter().filter(|sibling| sibling.name.text == "kubernetes") {
        let named = setup.zones_or_block(&sibling.args)?;
        zones.extend(named.into_iter().filter(|zone| !zone.is_root() && !crate::zone::reverse::is_reverse(zone)));
    }
    if zones.is_empty() {
        let message = format!("'{}' needs kubernetes with a zone in the same server block", from.text);
        return Err(setup.error(from, message));
    }
    // kubelet gives pods the domains of the node, which are this pod's with the dnsPolicy Default.
    let mut node = read_search(Path::new("/etc/resolv.conf")).unwrap_or_default();
    node.retain(|domain| !zones.iter().any(|zone| domain.is_within(zone)));
    Ok(Search::Shown { zones, node })
}

fn fixed(setup: &Setup<'_>, from: &Token) -> Result<Vec<Name>, Error> {
    let search = read_search(&setup.path(&from.text))
        .map_err(|why| setup.error(from, format!("failed to parse '{}': {why}", from.text)))?;
    if search.is_empty() {
        return Err(setup.error(from, format!("'{}' has no search list", from.text)));
    }
    Ok(search)
}

fn read_search(path: &Path) -> Result<Vec<Name>, String> {
    let text = std::fs::read(path).map_err(|why| why.to_string())?;
    // Options that we do not know are somebody else's.
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let domains = config.get_last_search_or_domain().filter_map(|domain| Name::from_text(domain).ok());
    Ok(domains.filter(|domain| !domain.is_root()).take(MAX_SEARCH).collect())
}

fn is_name_error(answer: &[u8]) -> bool {
    answer.get(3).is_some_and(|octet| Rcode(u16::from(octet & 0x0f)) == Rcode::NXDOMAIN)
}

/// Where search lists come from.
enum Search {
    /// From a file.
    Fixed(Vec<Name>),
    /// From the question: what stands before `svc` and one of the zones, and behind it the node's own.
    Shown { zones: Vec<Name>, node: Vec<Name> },
    /// From the client's pod, and behind it the node's own. `clients` is set when `kubernetes` is, which stands behind.
    Pods { zones: Vec<Name>, node: Vec<Name>, clients: Arc<OnceLock<Arc<dyn Clients>>> },
}

impl Search {
    /// The zones in which names may be the first of a search list.
    fn places(&self) -> Vec<Name> {
        match self {
            Search::Fixed(domains) => domains.first().cloned().into_iter().collect(),
            Search::Shown { zones, .. } | Search::Pods { zones, .. } => zones.clone(),
        }
    }

    /// How many labels of a question are the client's own, and the domains to try behind them; the outside comes last.
    /// `None` for a question that is not the first of a search list.
    fn walk(&self, name: &LowerName<'_>, request: &Request) -> Option<(usize, Vec<Vec<u8>>)> {
        let outside = std::iter::once(vec![0]);
        match self {
            Search::Fixed(domains) => {
                let (first, rest) = domains.split_first()?;
                let own = name.label_count().checked_sub(first.label_count()).filter(|own| *own > 0)?;
                let rest = rest.iter().map(|domain| domain.wire().to_vec());
                name.is_within(first).then(|| (own, rest.chain(outside).collect()))
            }
            Search::Shown { zones, node } => {
                let zone = zones.iter().filter(|zone| name.is_within(zone)).max_by_key(|zone| zone.label_count())?;
                // Own labels, the namespace, `svc`, the zone.
                let service = name.label_count().checked_sub(zone.label_count() + 1)?;
                let own = service.checked_sub(1)?;
                let is_address = matches!(request.qtype(), RecordType::A | RecordType::AAAA);
                if own < 2 || !is_address || name.label(service) != b"svc" {
                    return None;
                }
                let services = [b"\x03svc", zone.wire()].concat();
                let node = node.iter().map(|domain| domain.wire().to_vec());
                let domains = [services, zone.wire().to_vec()].into_iter().chain(node).chain(outside);
                Some((own, domains.collect()))
            }
            Search::Pods { node, clients, .. } => {
                let list = clients.get()?.search_list(name, request.client.ip())?;
                let (first, rest) = list.split_first()?;
                let own = below(name, first)?;
                let node = node.iter().map(|domain| domain.wire().to_vec());
                Some((own, rest.iter().cloned().chain(node).chain(outside).collect()))
            }
        }
    }
}

/// How many labels a name has below a domain in wire form; `None` if it is not below it.
fn below(name: &LowerName<'_>, domain: &[u8]) -> Option<usize> {
    let octets = name.wire().len().checked_sub(domain.len())?;
    (1..name.label_count()).find(|label| name.start(*label) == octets && &name.wire()[octets..] == domain)
}

struct Autopath {
    zones: Vec<Name>,
    search: Search,
    success: prometheus::IntCounter,
}

impl Autopath {
    /// The names to try behind the one asked, in wire form; empty for a question that is no search.
    fn names(&self, request: &Request) -> Vec<Vec<u8>> {
        let mut buffer = NameBuffer::default();
        let Some(name) = buffer.lower(request.name.wire()) else { return Vec::new() };
        let is_ours = request.qclass() == CLASS_IN && self.zones.iter().any(|zone| name.is_within(zone));
        let Some((own, domains)) = self.search.walk(&name, request).filter(|_| is_ours) else {
            return Vec::new();
        };
        let own = &request.name_as_asked()[..name.start(own)];
        domains.iter().map(|domain| [own, domain].concat()).filter(|name| name.len() <= MAX_NAME).collect()
    }

    /// The first answer of these names that is not NXDOMAIN, as the answer to the client's question.
    async fn walk(&self, request: &Request, names: &[Vec<u8>], next: Next<'_>) -> Option<Outcome> {
        let mut query = Message::parse(&request.packet)?;
        for name in names {
            query.question.name.clone_from(name);
            let inner = request.with_packet(query.to_octets(usize::from(u16::MAX)))?;
            let Outcome::Reply(reply) = next.run(&inner).await else { continue };
            if is_name_error(&reply.packet) {
                continue;
            }
            let mut message = Message::parse(&reply.packet)?;
            message.question.name = request.name_as_asked().to_vec();
            if let Some(first) = message.answers.first() {
                let alias = ResourceRecord {
                    owner: request.name_as_asked().to_vec(),
                    rtype: RecordType::CNAME,
                    class: first.class,
                    ttl: first.ttl,
                    rdata: first.owner.clone(),
                };
                message.answers.insert(0, alias);
            }
            self.success.inc();
            return Some(request.reply(&message));
        }
        None
    }
}

impl Handler for Autopath {
    fn name(&self) -> &'static str {
        "autopath"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let names = self.names(request);
        if names.is_empty() {
            return next.run(request);
        }
        Box::pin(async move {
            let first = next.run(request).await;
            match &first {
                Outcome::Reply(reply) if is_name_error(&reply.packet) => {
                    self.walk(request, &names, next).await.unwrap_or(first)
                }
                _ => first,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Failure, Reply};
    use crate::plugins::testing::{Bench, query_with_edns, request};
    use hickory_proto::op::Message as Independent;
    use std::net::IpAddr;
    use std::sync::Mutex;

    /// Has an address for one name, no data for another, fails for a third, and NXDOMAIN for the rest.
    #[derive(Default)]
    struct World {
        asked: Mutex<Vec<String>>,
    }

    impl Handler for World {
        fn name(&self) -> &'static str {
            "world"
        }

        fn handle<'a>(&'a self, request: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
            let name = request.name.to_string();
            let mut message = request.answer();
            let owner = request.name_as_asked().to_vec();
            match name.as_str() {
                "example.org." | "web.prod.svc.cluster.local." => message.answers.push(ResourceRecord {
                    owner,
                    rtype: RecordType::A,
                    class: 1,
                    ttl: 30,
                    rdata: vec![10, 0, 0, 1],
                }),
                "empty.test." => {}
                "down.test.svc.cluster.local." => {
                    return Box::pin(async { Outcome::Failed(Failure::servfail("down")) });
                }
                _ => message.set_rcode(Rcode::NXDOMAIN),
            }
            self.asked.lock().unwrap().push(name);
            let reply = message.to_octets(1232);
            Box::pin(async { Outcome::Reply(Reply::new(reply)) })
        }
    }

    /// The answer's code and records, and the names that the rest of the chain was asked for.
    async fn walk(lines: &str, name: &str, qtype: RecordType) -> (String, Vec<String>, Vec<String>) {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        walk_on(&bench, name, qtype).await
    }

    async fn walk_on(bench: &Bench, name: &str, qtype: RecordType) -> (String, Vec<String>, Vec<String>) {
        let world = Arc::new(World::default());
        let mut chain = bench.done().plan.chain.clone();
        chain.push(world.clone());
        let request = request(query_with_edns(name, qtype, 1232, false));
        let Outcome::Reply(reply) = Next::all(&chain).run(&request).await else { panic!("no reply") };
        let message = Independent::from_vec(&reply.packet).unwrap();
        assert_eq!(message.queries[0].name().to_string(), format!("{name}."));
        let records = message.answers.iter().map(ToString::to_string).collect();
        let asked = world.asked.lock().unwrap().clone();
        (Rcode(message.metadata.response_code.into()).to_string(), records, asked)
    }

    const SEARCH: &str = "kubernetes cluster.local in-addr.arpa\nautopath @search";

    #[tokio::test]
    async fn the_question_shows_the_search_list() {
        let (code, records, asked) = walk(SEARCH, "Example.org.dev.svc.cluster.local", RecordType::A).await;
        assert_eq!(code, "NOERROR");
        let expected = ["Example.org.dev.svc.cluster.local. 30 IN CNAME Example.org.", "Example.org. 30 IN A 10.0.0.1"];
        assert_eq!(records, expected);
        assert_eq!(asked.first().map(String::as_str), Some("example.org.dev.svc.cluster.local."));
        assert_eq!(asked[1..3], ["example.org.svc.cluster.local.", "example.org.cluster.local."]);
        assert_eq!(asked.last().map(String::as_str), Some("example.org."));

        let (_, records, asked) = walk(SEARCH, "web.prod.dev.svc.cluster.local", RecordType::A).await;
        assert_eq!(records[1], "web.prod.svc.cluster.local. 30 IN A 10.0.0.1");
        assert_eq!(asked.len(), 2);
    }

    #[tokio::test]
    async fn a_walk_that_finds_something_is_counted() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, SEARCH).unwrap();
        for name in ["example.org.dev.svc.cluster.local", "nothing.test.dev.svc.cluster.local"] {
            walk_on(&bench, name, RecordType::A).await;
        }
        let text = bench.metrics.render();
        assert!(text.contains("coredns_autopath_success_total{server=\"\"} 1"), "{text}");
    }

    /// Knows one pod, in `dev`, at this address.
    struct Dev(&'static str);

    impl Clients for Dev {
        fn search_list(&self, name: &LowerName<'_>, client: IpAddr) -> Option<Vec<Vec<u8>>> {
            let domain = |text: &str| Name::from_text(text).unwrap();
            let is_known = client.to_string() == self.0 && name.is_within(&domain("cluster.local"));
            let list = ["dev.svc.cluster.local", "svc.cluster.local", "cluster.local"];
            is_known.then(|| list.map(|text| domain(text).wire().to_vec()).to_vec())
        }
        fn namespace(&self, _: IpAddr) -> Option<String> {
            None
        }
    }

    const PODS: &str = "kubernetes cluster.local {\npods insecure\npods verified\n}\nautopath @kubernetes";

    #[tokio::test]
    async fn a_pod_has_the_search_list_of_its_namespace() {
        // The request is from 10.1.2.3.
        for (address, name, asked) in [
            ("10.1.2.3", "web.prod.dev.svc.cluster.local", 2),
            ("10.1.2.3", "prod.dev.svc.cluster.local", 4),
            ("10.1.2.3", "nothing.prod.other.svc.cluster.local", 1),
            ("10.1.2.3", "dev.svc.cluster.local", 1),
            ("10.1.2.3", "xdev.svc.cluster.local", 1),
            ("10.1.2.4", "web.prod.dev.svc.cluster.local", 1),
        ] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, PODS).unwrap();
            assert!(bench.done().process.warnings.is_empty());
            assert!(bench.done().plan.clients.set(Arc::new(Dev(address))).is_ok());
            let (_, _, names) = walk_on(&bench, name, RecordType::SRV).await;
            let expected = names.len() == asked || asked == 4 && names.len() > 4;
            assert!(expected, "{address} {name}: {names:?}");
        }
    }

    #[tokio::test]
    async fn without_verified_pods_the_question_shows_the_search_list() {
        for options in ["", " {\npods verified\npods insecure\n}"] {
            let bench = Bench::new();
            let lines = format!("kubernetes cluster.local{options}\nautopath @kubernetes");
            bench.set_up(&DEFINITION, &lines).unwrap();
            let warnings = bench.done().process.warnings.clone();
            assert!(warnings[0].contains("runs as '@search'"), "{warnings:?}");
            assert_eq!(walk_on(&bench, "web.prod.dev.svc.cluster.local", RecordType::A).await.2.len(), 2);
        }
    }

    #[tokio::test]
    async fn other_questions_are_asked_once() {
        let table = [
            ("web.prod.svc.cluster.local", RecordType::A),
            ("nothing.prod.svc.cluster.local", RecordType::A),
            ("a.b.c.pod.cluster.local", RecordType::A),
            ("example.org.dev.svc.cluster.local", RecordType::SRV),
            ("example.org", RecordType::A),
            ("a.b.c.svc.example.org", RecordType::A),
        ];
        for (name, qtype) in table {
            assert_eq!(walk(SEARCH, name, qtype).await.2.len(), 1, "{name}");
        }
        let lines = "kubernetes cluster.local\nautopath example.org @search";
        assert_eq!(walk(lines, "example.org.dev.svc.cluster.local", RecordType::A).await.2.len(), 1);
    }

    #[tokio::test]
    async fn what_is_nowhere_is_the_first_answer_and_nodata_is_an_answer() {
        let (code, records, asked) = walk(SEARCH, "a.nowhere.dev.svc.cluster.local", RecordType::A).await;
        assert_eq!((code.as_str(), records.len()), ("NXDOMAIN", 0));
        assert!(asked.len() >= 4);
        let (code, records, _) = walk(SEARCH, "empty.test.dev.svc.cluster.local", RecordType::AAAA).await;
        assert_eq!((code.as_str(), records.len()), ("NOERROR", 0));
        // A name that fails is passed over.
        let (code, _, _) = walk(SEARCH, "down.test.dev.svc.cluster.local", RecordType::A).await;
        assert_eq!(code, "NXDOMAIN");
    }

    #[tokio::test]
    async fn a_file_has_the_search_list_for_all() {
        let file = std::env::temp_dir().join(format!("dunlin-autopath-{}.conf", std::process::id()));
        std::fs::write(&file, "nameserver 10.0.0.1\nsearch first.test second.test\noptions odd\n").unwrap();
        let lines = format!("autopath {}", file.display());
        let (_, records, asked) = walk(&lines, "example.org.first.test", RecordType::A).await;
        assert_eq!(records[0], "example.org.first.test. 30 IN CNAME example.org.");
        assert_eq!(asked, ["example.org.first.test.", "example.org.second.test.", "example.org."]);
        assert_eq!(walk(&lines, "example.org.second.test", RecordType::A).await.2.len(), 1);
        assert_eq!(walk(&lines, "first.test", RecordType::A).await.2.len(), 1);
        std::fs::write(&file, "nameserver 10.0.0.1\n").unwrap();
        Bench::errors(&DEFINITION, &[(&lines, "has no search list")]);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_name_errors_leave_the_fast_lane() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, SEARCH).unwrap();
        let request = request(query_with_edns("a.b.svc.cluster.local", RecordType::A, 1232, false));
        let mut message = request.answer();
        let mut buffer = NameBuffer::default();
        let name = buffer.lower(request.name.wire()).unwrap();
        assert!(bench.done().plan.may_send(&name, &message.to_octets(512)));
        message.set_rcode(Rcode::NXDOMAIN);
        assert!(!bench.done().plan.may_send(&name, &message.to_octets(512)));
        let (mut buffer, outside) = (NameBuffer::default(), Name::from_text("example.org").unwrap());
        assert!(bench.done().plan.may_send(&buffer.lower(outside.wire()).unwrap(), &message.to_octets(512)));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("autopath", "expected: autopath [ZONE...]"),
                ("autopath a..b @search", "a label is empty"),
                ("autopath @search", "needs kubernetes"),
                ("kubernetes in-addr.arpa\nautopath @search", "needs kubernetes"),
                ("autopath @erratic", "'@erratic' is not supported by dunlin yet"),
                ("autopath /no/such/file", "failed to parse '/no/such/file'"),
                ("autopath @search {\nx\n}", "unknown property"),
            ],
        );
    }
}
