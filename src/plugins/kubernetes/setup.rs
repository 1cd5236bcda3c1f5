//! The options of `kubernetes`.

use super::cluster::Cluster;
use super::{Kubernetes, Pods, Zone, told};
use crate::cluster::{self, Details, First, Options, Source};
use crate::corefile::values;
use crate::plugin::{Directive, Error, Setup};
use crate::wire::Name;
use crate::zone::{Suffixes, reverse};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The word that stands for the sample cluster in the program, and its manifests.
const SAMPLE: (&str, &str) = ("@sample", include_str!("../../../corefile-examples/quickstart-cluster.yaml"));
/// What is kept under this name tells that a plan before this one followed a cluster.
const STARTED: &str = "kubernetes has started";
const DEFAULT_TTL: u32 = 5;
const MAX_TTL: u32 = 3600;
const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(5);
const OPTIONS: &str = "endpoint, tls, kubeconfig, manifests, namespaces, namespace_labels, labels, pods, \
                       endpoint_pod_names, ttl, noendpoints, fallthrough, ignore, multicluster, zonal, startup_timeout, \
                       snapshot, apiserver_qps, apiserver_burst, apiserver_max_inflight";

/// The options as read, before they are a plugin.
struct Settings {
    ttl: u32,
    pods: Pods,
    details: Details,
    multicluster: Vec<Name>,
    namespaces: Vec<Box<[u8]>>,
    fallthrough: Vec<Name>,
    ignore_empty: bool,
    startup_timeout: Duration,
    endpoints: bool,
    labels: String,
    namespace_labels: String,
    endpoint: Option<String>,
    tls: Option<[PathBuf; 3]>,
    kubeconfig: Option<(PathBuf, Option<String>)>,
    manifests: Vec<PathBuf>,
    snapshot: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ttl: DEFAULT_TTL,
            pods: Pods::Disabled,
            details: Details::default(),
            multicluster: Vec::new(),
            namespaces: Vec::new(),
            fallthrough: Vec::new(),
            ignore_empty: false,
            startup_timeout: DEFAULT_STARTUP_TIMEOUT,
            endpoints: true,
            labels: String::new(),
            namespace_labels: String::new(),
            endpoint: None,
            tls: None,
            kubeconfig: None,
            manifests: Vec::new(),
            snapshot: None,
        }
    }
}

pub(super) fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?.clone();
    let zones = setup.zones_or_block(&directive.args)?;
    let Some(primary) = zones.iter().find(|zone| !reverse::is_reverse(zone)).cloned() else {
        return Err(
            setup.error(&directive.name, "non-reverse zone name must be used; expected a zone such as cluster.local")
        );
    };
    let mut settings = Settings::default();
    for option in directive.options() {
        settings.read(setup, option)?;
    }
    if !settings.namespaces.is_empty() && !settings.namespace_labels.is_empty() {
        return Err(setup.error(&directive.name, "namespaces and namespace_labels cannot both be set"));
    }
    if settings.snapshot.is_some() && !settings.manifests.is_empty() {
        return Err(setup.error(&directive.name, "snapshot is for an API server; manifests are files already"));
    }
    if let Some(zone) = settings.multicluster.iter().find(|zone| !zones.contains(zone)) {
        let held: Vec<String> = zones.iter().map(Name::to_string).collect();
        let message = format!("is not authoritative for the multicluster zone {zone} (authoritative zones: {held:?})");
        return Err(setup.error(&directive.name, message));
    }
    if settings.details.zones && !settings.endpoints {
        return Err(setup.error(&directive.name, "zonal requires the endpoint cache; remove noendpoints"));
    }
    let plugin = Arc::new(Kubernetes {
        zones: Suffixes::new(zones.into_iter().map(|name| (name.clone(), settings.zone(name)))),
        primary,
        ttl: settings.ttl,
        pods: settings.pods,
        cluster: cluster(setup, settings.source(), &settings)?,
        namespaces: settings.namespaces.into(),
        fallthrough: settings.fallthrough.into(),
        ignore_empty: settings.ignore_empty,
        startup_timeout: settings.startup_timeout,
        binds: setup.plan.binds.iter().copied().filter(|address| !address.is_unspecified()).collect(),
        own: OnceLock::new(),
    });
    setup.plan.stores.push(Arc::clone(&plugin) as _);
    setup.plan.chain.push(Arc::clone(&plugin) as _);
    setup.plan.holders.add(Arc::clone(&plugin) as _);
    setup.plan.providers.push(Arc::clone(&plugin) as _);
    // The directive stands once in a block, so nobody else has set it.
    let _ = setup.plan.services.set(Arc::clone(&plugin) as _);
    if settings.pods == Pods::Verified {
        let _ = setup.plan.clients.set(Arc::clone(&plugin) as _);
        setup.process.clients.add(Arc::clone(&plugin) as _);
    }
    setup.process.readiness.add(Arc::clone(&plugin) as _);
    let shown = Arc::clone(&plugin.cluster);
    setup.process.sections.add(format!("Objects held for {}", plugin.primary), move || told::held(&shown));
    setup.process.lifecycles.push(plugin);
    Ok(())
}

/// The label selector in the words of an option.
fn selector(setup: &Setup<'_>, option: &Directive, words: &[&str]) -> Result<String, Error> {
    let selector = words.join(" ");
    cluster::check_selector(&selector).map_err(|why| setup.error(&option.name, why))?;
    Ok(selector)
}

/// The objects that these options ask for: of another block of this plan, of the plan before, or new.
fn cluster(setup: &Setup<'_>, source: Source, settings: &Settings) -> Result<Arc<Cluster>, Error> {
    let options = Options {
        source,
        labels: settings.labels.clone(),
        namespace_labels: settings.namespace_labels.clone(),
        endpoints: settings.endpoints,
        pods: settings.pods == Pods::Verified,
        imports: !settings.multicluster.is_empty(),
        details: settings.details,
    };
    let mut key = Cluster::key(&options);
    if let Some(path) = &settings.snapshot {
        let file = format!("kubernetes snapshot {}", path.display());
        if setup.keep.get::<String>(&file).is_some_and(|user| *user != key) {
            let message = format!("the snapshot {} is another cluster's already", path.display());
            return Err(setup.error(&setup.directives[0].name, message));
        }
        setup.keep.put(file, Arc::new(key.clone()));
        key.push_str(&format!(" snapshot={}", path.display()));
    }
    // Behind a reload the others are no company: this instance has answered until now.
    let is_reload = setup.kept.get::<()>(STARTED).is_some();
    let first = if is_reload { First::AtOnce } else { First::AmongOthers(None) };
    let known = setup.keep.get(&key).or_else(|| setup.kept.get(&key));
    let new = || Arc::new(Cluster::new(options, settings.snapshot.clone(), first, setup.metrics));
    let cluster = known.unwrap_or_else(new);
    setup.keep.put(STARTED.to_owned(), Arc::new(()));
    setup.keep.put(key, Arc::clone(&cluster));
    Ok(cluster)
}

impl Settings {
    /// A zone, and what holds of the names in it. What is in a zone of several clusters is of several clusters.
    fn zone(&self, name: Name) -> Zone {
        let mut zone = Zone::of(name);
        zone.grammar.is_zonal = self.details.zones;
        zone.grammar.is_multicluster = self.multicluster.iter().any(|outer| zone.name.is_within(outer));
        zone
    }

    /// Where objects come from. Files of ours come first; then as CoreDNS has it.
    fn source(&mut self) -> Source {
        match (std::mem::take(&mut self.manifests), self.kubeconfig.take(), self.endpoint.take()) {
            (manifests, _, _) if matches!(&manifests[..], [only] if only.ends_with(SAMPLE.0)) => {
                Source::Text(SAMPLE.0, SAMPLE.1)
            }
            (manifests, _, _) if !manifests.is_empty() => Source::Manifests(manifests),
            (_, Some((file, context)), _) => Source::Kubeconfig(file, context),
            (_, None, Some(url)) => Source::Endpoint(url, self.tls.take()),
            (_, None, None) => Source::InCluster,
        }
    }

    fn read(&mut self, setup: &mut Setup<'_>, option: &Directive) -> Result<(), Error> {
        match option.name.text.as_str() {
            "endpoint" | "tls" | "kubeconfig" | "manifests" | "snapshot" => self.read_source(setup, option),
            "namespaces" | "namespace_labels" | "labels" | "noendpoints" | "endpoint_pod_names" | "pods" | "zonal" => {
                self.read_objects(setup, option)
            }
            "ttl" | "fallthrough" | "ignore" | "startup_timeout" => self.read_answers(setup, option),
            "apiserver_qps" => number::<f64>(setup, option, |value| *value >= 0.0),
            "apiserver_burst" | "apiserver_max_inflight" => number::<i64>(setup, option, |value| *value >= 0),
            "upstream" => {
                setup.warn(&option.name, "'upstream' is ignored: external names are resolved by this server itself");
                Ok(())
            }
            "resyncperiod" => {
                setup.warn(&option.name, "'resyncperiod' is ignored: watches need no resync");
                Ok(())
            }
            "multicluster" if option.args.is_empty() => {
                self.multicluster.clear();
                Ok(())
            }
            "multicluster" => {
                self.multicluster = setup.zones_or_block(&option.args)?;
                Ok(())
            }
            _ => Err(setup.unknown(option, OPTIONS)),
        }
    }

    fn read_source(&mut self, setup: &mut Setup<'_>, option: &Directive) -> Result<(), Error> {
        let args: Vec<&str> = option.args.iter().map(|arg| arg.text.as_str()).collect();
        match (option.name.text.as_str(), &args[..]) {
            ("endpoint", [url, more @ ..]) => {
                self.endpoint = Some((*url).to_owned());
                if !more.is_empty() {
                    setup.warn(&option.name, format!("only the first endpoint is used: {url}"));
                }
            }
            ("endpoint", []) => return Err(setup.arguments(option, "endpoint URL")),
            ("tls", [cert, key, ca]) => self.tls = Some([cert, key, ca].map(|file| setup.path(file))),
            ("tls", _) => return Err(setup.arguments(option, "tls CERT KEY CACERT")),
            ("kubeconfig", [file]) => self.kubeconfig = Some((setup.path(file), None)),
            ("kubeconfig", [file, context]) => self.kubeconfig = Some((setup.path(file), Some((*context).to_owned()))),
            ("kubeconfig", _) => return Err(setup.arguments(option, "kubeconfig FILE [CONTEXT]")),
            ("snapshot", [file]) => self.snapshot = Some(setup.path(file)),
            ("snapshot", _) => return Err(setup.arguments(option, "snapshot FILE")),
            (_, []) => return Err(setup.arguments(option, "manifests FILE|DIRECTORY...")),
            (_, files) => self.manifests.extend(files.iter().map(|file| setup.path(file))),
        }
        Ok(())
    }

    fn read_objects(&mut self, setup: &Setup<'_>, option: &Directive) -> Result<(), Error> {
        let args: Vec<&str> = option.args.iter().map(|arg| arg.text.as_str()).collect();
        match (option.name.text.as_str(), &args[..]) {
            ("namespaces", []) => return Err(setup.arguments(option, "namespaces NAMESPACE...")),
            ("namespaces", names) => {
                self.namespaces
                    .extend(names.iter().map(|name| name.to_ascii_lowercase().into_bytes().into_boxed_slice()));
            }
            ("labels", []) => return Err(setup.arguments(option, "labels SELECTOR")),
            ("labels", words) => self.labels = selector(setup, option, words)?,
            ("namespace_labels", []) => return Err(setup.arguments(option, "namespace_labels SELECTOR")),
            ("namespace_labels", words) => self.namespace_labels = selector(setup, option, words)?,
            ("noendpoints", []) => self.endpoints = false,
            ("endpoint_pod_names", []) => self.details.pod_names = true,
            ("zonal", []) => self.details.zones = true,
            ("pods", ["disabled"]) => self.pods = Pods::Disabled,
            ("pods", ["insecure"]) => self.pods = Pods::Insecure,
            ("pods", ["verified"]) => self.pods = Pods::Verified,
            ("pods", [word]) => {
                let message = format!("wrong value for pods: {word}, must be one of: disabled, verified, insecure");
                return Err(setup.error(&option.name, message));
            }
            ("pods", _) => return Err(setup.arguments(option, "pods disabled|insecure|verified")),
            (name, _) => return Err(setup.arguments(option, &format!("{name} without arguments"))),
        }
        Ok(())
    }

    fn read_answers(&mut self, setup: &mut Setup<'_>, option: &Directive) -> Result<(), Error> {
        let first = option.args.first();
        match (option.name.text.as_str(), first) {
            ("ttl", Some(value)) => {
                let seconds = value.text.parse::<i64>();
                let seconds = seconds
                    .map_err(|_| setup.error(value, format!("ttl must be a number of seconds, not {}", value.text)))?;
                let valid = u32::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_TTL);
                self.ttl = valid
                    .ok_or_else(|| setup.error(value, format!("ttl must be in range [0, {MAX_TTL}]: {seconds}")))?;
            }
            ("ttl", None) => return Err(setup.arguments(option, "ttl SECONDS")),
            ("startup_timeout", Some(value)) if option.args.len() == 1 => {
                let read = values::duration(&value.text);
                self.startup_timeout = read.map_err(|why| {
                    setup.error(value, format!("failed to parse startup_timeout: {}: {why}", value.text))
                })?;
            }
            ("startup_timeout", _) => return Err(setup.arguments(option, "startup_timeout DURATION")),
            ("fallthrough", None) => self.fallthrough = vec![Name::root()],
            ("fallthrough", Some(_)) => self.fallthrough = setup.zones_or_block(&option.args)?,
            (_, Some(word)) if word.text != "empty_service" => {
                return Err(
                    setup.error(word, format!("unable to parse ignore value: '{}'; expected empty_service", word.text))
                );
            }
            (_, word) => self.ignore_empty |= word.is_some(),
        }
        Ok(())
    }
}

/// Checks the one number of an option that has no effect here, as it has none in CoreDNS: the API client limits itself.
fn number<T: std::str::FromStr>(setup: &Setup<'_>, option: &Directive, valid: fn(&T) -> bool) -> Result<(), Error> {
    let [value] = &option.args[..] else {
        return Err(setup.arguments(option, &format!("{} NUMBER", option.name.text)));
    };
    match value.text.parse::<T>() {
        Ok(number) if valid(&number) => Ok(()),
        _ => Err(setup.error(value, format!("{} must be a number from 0: {}", option.name.text, value.text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::kubernetes::DEFINITION;
    use crate::plugins::testing::Bench;
    use std::path::Path;

    fn corefile_of(directive: &str) -> Vec<Directive> {
        let text = format!(". {{\n{directive}\n}}\n");
        crate::corefile::parse(Path::new("Corefile"), &text, &|_| None).unwrap().blocks.remove(0).directives
    }

    fn read(lines: &str) -> (Settings, Vec<String>) {
        let bench = Bench::new();
        let directives = corefile_of(&format!("kubernetes {{\n{lines}\n}}"));
        let mut settings = Settings::default();
        bench.with_setup(&directives, |setup| {
            directives[0].options().iter().for_each(|option| settings.read(setup, option).unwrap());
        });
        let warnings = bench.done().process.warnings.clone();
        (settings, warnings)
    }

    #[test]
    fn a_block_becomes_a_store_a_handler_and_a_say_in_readiness() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "kubernetes cluster.local in-addr.arpa {\nttl 30\n}").unwrap();
        let done = bench.done();
        assert_eq!((done.plan.stores.len(), done.plan.chain.len(), done.process.lifecycles.len()), (1, 1, 1));
        assert_eq!(done.process.readiness.waiting(), ["kubernetes"]);
        assert!(done.process.clients.all().is_empty(), "no pods are followed");
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "kubernetes cluster.local {\npods verified\n}").unwrap();
        assert_eq!(bench.done().process.clients.all().len(), 1);
    }

    #[test]
    fn options_are_read() {
        let (settings, warnings) = read(
            "ttl 30\nttl 60\npods verified\nnamespaces a B\nnamespaces c\nlabels app in (x, y)\nendpoint_pod_names\n\
             noendpoints\nignore empty_service\nfallthrough in-addr.arpa 10.0.0.0/24\nstartup_timeout 2s\n\
             apiserver_qps 1.5\napiserver_burst 3\napiserver_max_inflight 0\nmulticluster\nignore",
        );
        assert_eq!(
            (settings.ttl, settings.pods, settings.details.pod_names, settings.endpoints),
            (60, Pods::Verified, true, false)
        );
        assert_eq!((settings.ignore_empty, settings.startup_timeout), (true, Duration::from_secs(2)));
        assert_eq!(settings.namespaces, [&b"a"[..], b"b", b"c"].map(Box::from));
        assert_eq!(settings.labels, "app in (x, y)");
        let zones: Vec<String> = settings.fallthrough.iter().map(Name::to_string).collect();
        assert_eq!((zones, warnings.len()), (vec!["in-addr.arpa.".to_owned(), "0.0.10.in-addr.arpa.".to_owned()], 0));
        assert_eq!(read("fallthrough").0.fallthrough, [Name::root()]);
        // A variable that is not set leaves an empty word.
        for (option, zones) in [("fallthrough \"\" in-addr.arpa", 1), ("fallthrough \"\"", 0)] {
            let (settings, warnings) = read(option);
            assert_eq!((settings.fallthrough.len(), warnings.len()), (zones, 1), "{option} {warnings:?}");
            assert!(warnings[0].contains("an empty word is no zone"), "{warnings:?}");
        }
        assert_eq!((read("").0.ttl, read("").0.startup_timeout), (5, Duration::from_secs(5)));
    }

    #[test]
    fn where_objects_come_from() {
        for (lines, expected) in [
            ("", "InCluster"),
            ("endpoint http://a http://b\ntls /c /k /ca", r#"Endpoint("http://a", Some(["/c", "/k", "/ca"]))"#),
            ("endpoint http://a\nkubeconfig /f", r#"Kubeconfig("/f", None)"#),
            ("kubeconfig /f other", r#"Kubeconfig("/f", Some("other"))"#),
            ("kubeconfig /f\nmanifests /a /b\nmanifests /c", r#"Manifests(["/a", "/b", "/c"])"#),
        ] {
            assert_eq!(format!("{:?}", read(lines).0.source()), expected, "{lines}");
        }
    }

    #[test]
    fn old_words_are_warned_of() {
        let (_, warnings) = read("upstream 8.8.8.8\nresyncperiod 5m\nendpoint http://a http://b");
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].starts_with("Corefile:3 - plugin/kubernetes: 'upstream' is ignored"), "{}", warnings[0]);
    }

    #[test]
    fn mistakes_are_said_with_their_place() {
        let option = |line: &str| format!("kubernetes {{\n{line}\n}}");
        let cases = [
            ("ttl 3601", "ttl must be in range [0, 3600]: 3601"),
            ("ttl -1", "ttl must be in range [0, 3600]: -1"),
            ("ttl soon", "ttl must be a number of seconds"),
            ("ttl", "Wrong argument count"),
            ("pods maybe", "must be one of: disabled, verified, insecure"),
            ("pods", "Wrong argument count"),
            ("namespaces", "Wrong argument count"),
            ("noendpoints please", "Wrong argument count"),
            ("endpoint_pod_names x", "Wrong argument count"),
            ("tls cert key", "tls CERT KEY CACERT"),
            ("kubeconfig a b c", "kubeconfig FILE [CONTEXT]"),
            ("endpoint", "endpoint URL"),
            ("manifests", "manifests FILE|DIRECTORY..."),
            ("ignore everything", "unable to parse ignore value"),
            ("startup_timeout 5", "failed to parse startup_timeout"),
            ("apiserver_qps -1", "apiserver_qps must be a number from 0"),
            ("apiserver_burst 1.5", "apiserver_burst must be a number from 0"),
            ("multicluster clusterset.local", "is not authoritative for the multicluster zone clusterset.local."),
            ("zonal please", "expected: zonal without arguments"),
            ("zonal\nnoendpoints", "zonal requires the endpoint cache; remove noendpoints"),
            ("wildcards", "unknown property 'wildcards'; expected one of: endpoint, tls"),
            ("namespaces a\nnamespace_labels b=c", "cannot both be set"),
            ("labels app in x", "label selector \"app in x\": expected '('"),
            ("namespace_labels -1", "expected a label key"),
            ("snapshot", "snapshot FILE"),
            ("manifests /a\nsnapshot /b", "snapshot is for an API server"),
        ];
        let cases = cases.map(|(line, expected)| (option(line), expected));
        Bench::errors(&DEFINITION, &cases.each_ref().map(|(text, expected)| (text.as_str(), *expected)));
        Bench::errors(
            &DEFINITION,
            &[
                ("kubernetes in-addr.arpa 10.0.0.0/8", "non-reverse zone name must be used"),
                ("kubernetes a.org\nkubernetes b.org", "can only be used once per Server Block"),
            ],
        );
    }

    #[test]
    fn two_clusters_do_not_share_a_snapshot() {
        let bench = Bench::new();
        let set_up =
            |lines: &str| bench.set_up(&DEFINITION, &format!("kubernetes a.org {{\n{lines}\nsnapshot /state\n}}"));
        set_up("endpoint http://a\nttl 5").unwrap();
        set_up("endpoint http://a\nttl 30").unwrap();
        let error = set_up("endpoint http://b").unwrap_err().to_string();
        assert!(error.contains("the snapshot /state is another cluster's already"), "{error}");
    }

    #[test]
    fn the_same_objects_are_followed_once_and_kept_over_a_reload() {
        let cluster = |bench: &Bench, lines: &str| {
            let (mut settings, _) = read(lines);
            let text = corefile_of("kubernetes");
            let source = settings.source();
            bench.with_setup(&text, |setup| super::cluster(setup, source, &settings).unwrap())
        };
        let bench = Bench::new();
        let first = cluster(&bench, "endpoint http://a");
        assert!(Arc::ptr_eq(&first, &cluster(&bench, "endpoint http://a\nttl 30\npods insecure")));
        assert!(!Arc::ptr_eq(&first, &cluster(&bench, "endpoint http://a\npods verified")));
        for more in ["endpoint_pod_names", "zonal", "multicluster clusterset.local"] {
            assert!(!Arc::ptr_eq(&first, &cluster(&bench, &format!("endpoint http://a\n{more}"))), "{more}");
        }
        assert!(Arc::ptr_eq(&first, &cluster(&bench.reloaded(), "endpoint http://a\nttl 10")));
        assert_eq!(first.first, First::AmongOthers(None));
        assert_eq!(cluster(&bench.reloaded(), "endpoint http://b").first, First::AtOnce);
        let kept = cluster(&bench, "endpoint http://a\nsnapshot /state");
        assert!(Arc::ptr_eq(&kept, &cluster(&bench.reloaded(), "endpoint http://a\nsnapshot /state")));
        assert!(!Arc::ptr_eq(&first, &kept));
    }
}
