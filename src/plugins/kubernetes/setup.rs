//! The options of `kubernetes`.

use super::cluster::Cluster;
use super::{Kubernetes, Pods, Zone};
use crate::cluster::{Options, Source};
use crate::corefile::values;
use crate::plugin::{Directive, Error, Setup};
use crate::wire::Name;
use crate::zone::{Suffixes, reverse};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The word that stands for the sample cluster in the program, and its manifests.
const SAMPLE: (&str, &str) = ("@sample", include_str!("../../../corefile-examples/quickstart-cluster.yaml"));
const DEFAULT_TTL: u32 = 5;
const MAX_TTL: u32 = 3600;
const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(5);
const OPTIONS: &str = "endpoint, tls, kubeconfig, manifests, namespaces, namespace_labels, labels, pods, \
                       endpoint_pod_names, ttl, noendpoints, fallthrough, ignore, startup_timeout, apiserver_qps, \
                       apiserver_burst, apiserver_max_inflight";

/// The options as read, before they are a plugin.
struct Settings {
    ttl: u32,
    pods: Pods,
    pod_names: bool,
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
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ttl: DEFAULT_TTL,
            pods: Pods::Disabled,
            pod_names: false,
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
    let plugin = Arc::new(Kubernetes {
        zones: Suffixes::new(zones.into_iter().map(|name| (name.clone(), Zone::of(name)))),
        primary,
        ttl: settings.ttl,
        pods: settings.pods,
        cluster: cluster(setup, settings.source(), &settings),
        namespaces: settings.namespaces.into(),
        fallthrough: settings.fallthrough.into(),
        ignore_empty: settings.ignore_empty,
        startup_timeout: settings.startup_timeout,
        binds: setup.plan.binds.iter().copied().filter(|address| !address.is_unspecified()).collect(),
        own: OnceLock::new(),
    });
    setup.plan.stores.push(Arc::clone(&plugin) as _);
    setup.plan.chain.push(Arc::clone(&plugin) as _);
    setup.process.readiness.add(Arc::clone(&plugin) as _);
    setup.process.lifecycles.push(plugin);
    Ok(())
}

/// The objects that these options ask for: of another block of this plan, of the plan before, or new.
fn cluster(setup: &Setup<'_>, source: Source, settings: &Settings) -> Arc<Cluster> {
    let options = Options {
        source,
        labels: settings.labels.clone(),
        namespace_labels: settings.namespace_labels.clone(),
        endpoints: settings.endpoints,
        pods: settings.pods == Pods::Verified,
    };
    let key = Cluster::key(&options, settings.pod_names);
    let known = setup.keep.get(&key).or_else(|| setup.kept.get(&key));
    let cluster = known.unwrap_or_else(|| Arc::new(Cluster::new(options, settings.pod_names, setup.metrics)));
    setup.keep.put(key, Arc::clone(&cluster));
    cluster
}

impl Settings {
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
            "endpoint" | "tls" | "kubeconfig" | "manifests" => self.read_source(setup, option),
            "namespaces" | "namespace_labels" | "labels" | "noendpoints" | "endpoint_pod_names" | "pods" => {
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
            "multicluster" if option.args.is_empty() => Ok(()),
            "transfer" | "multicluster" | "zonal" => {
                Err(setup.error(&option.name, format!("'{}' is not supported yet", option.name.text)))
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
            ("labels", words) => self.labels = words.join(" "),
            ("namespace_labels", []) => return Err(setup.arguments(option, "namespace_labels SELECTOR")),
            ("namespace_labels", words) => self.namespace_labels = words.join(" "),
            ("noendpoints", []) => self.endpoints = false,
            ("endpoint_pod_names", []) => self.pod_names = true,
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

    fn read_answers(&mut self, setup: &Setup<'_>, option: &Directive) -> Result<(), Error> {
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
