//! The directive, read.

use super::files as upstream_files;
use super::https::Method;
use super::policy::Policy;
use super::resolve;
use super::secure::Files;
use super::targets::{self, Scheme, Target, To};
use super::upstream::Protocol;
use crate::corefile::values;
use crate::plugin::{Directive, Error, Setup, Token};
use crate::wire::{Name, Rcode};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What the block of `forward` may hold.
const PROPERTIES: &str = "except, force_tcp, prefer_udp, expire, max_fails, health_check, policy, max_concurrent, \
                          read_timeout, max_connect_attempts, failfast_all_unhealthy_upstreams, next, next_on_nodata, \
                          failover, tls, tls_servername, doh_method, max_age, max_idle_conns, source_address, resolver, strict";
/// Upstreams of one directive at most; a file counts once.
const MOST_TARGETS: usize = 15;

/// How upstreams are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HealthCheck {
    pub interval: Duration,
    pub recursion_desired: bool,
    pub domain: Name,
    pub protocol: Protocol,
    /// Failed checks in a row that are forgiven; 0 for no checks.
    pub max_fails: u32,
}

/// All of `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub from: Name,
    pub targets: Vec<Target>,
    /// The files that some of the targets are from.
    pub files: upstream_files::Files,
    pub except: Vec<Name>,
    pub force_tcp: bool,
    pub prefer_udp: bool,
    pub check: HealthCheck,
    pub policy: Policy,
    /// Queries in flight; 0 for no limit.
    pub max_concurrent: usize,
    pub read_timeout: Duration,
    /// Failed attempts of one query; 0 for no limit but time.
    pub max_connect_attempts: usize,
    pub failfast: bool,
    pub next: Vec<Rcode>,
    pub next_on_nodata: bool,
    pub failover: Vec<Rcode>,
    pub tls: Files,
    pub doh_method: Method,
    pub connections: Connections,
}

/// How connections are opened and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    /// Without queries they are closed after this.
    pub expire: Duration,
    /// No query is sent on an older one.
    pub max_age: Option<Duration>,
    /// So many at most; `None` for our own bound.
    pub most: Option<usize>,
    /// The address they are opened from.
    pub source: Option<IpAddr>,
}

impl Options {
    /// The defaults for these upstreams.
    pub fn new(from: Name, targets: Vec<Target>) -> Options {
        Options {
            from,
            max_connect_attempts: 2 * targets.len(),
            targets,
            files: Default::default(),
            except: Vec::new(),
            force_tcp: false,
            prefer_udp: false,
            check: HealthCheck {
                interval: Duration::from_millis(500),
                recursion_desired: true,
                domain: Name::root(),
                protocol: Protocol::Udp,
                max_fails: 2,
            },
            policy: Policy::default(),
            max_concurrent: 0,
            read_timeout: Duration::from_secs(2),
            failfast: false,
            next: Vec::new(),
            next_on_nodata: false,
            failover: Vec::new(),
            tls: Files::default(),
            doh_method: Method::default(),
            connections: Connections { expire: Duration::from_secs(10), max_age: None, most: None, source: None },
        }
    }
}

/// Reads `forward FROM TO... { ... }`.
pub(super) fn read(setup: &mut Setup<'_>, directive: &Directive) -> Result<Options, Error> {
    let (from, to) = match &directive.args[..] {
        [from, to @ ..] if !to.is_empty() => (from, to),
        _ => return Err(setup.arguments(directive, &format!("{} FROM TO...", directive.name.text))),
    };
    if to.len() > MOST_TARGETS {
        return Err(setup.error(&directive.name, format!("more than {MOST_TARGETS} TOs configured: {}", to.len())));
    }
    // How the words are read stands in options behind them.
    let (resolvers, strict) = read_first(setup, directive)?;
    let (mut targets, mut files) = (Vec::new(), upstream_files::Files::default());
    for word in to {
        let to = targets::read(&word.text, &setup.path(&word.text)).map_err(|why| setup.error(word, why))?;
        let found = match to {
            To::Server(target) => Ok(vec![target]),
            To::File(path) => files.read(&path, strict, setup),
            To::Host { scheme, host, port, server_name } => {
                let server_name = server_name.or_else(|| (scheme != Scheme::Dns).then(|| host.clone()));
                let target = |ip| Target { scheme, address: (ip, port).into(), server_name: server_name.clone() };
                let found = resolve::addresses(&host, &resolvers);
                let found = found.map(|found| found.into_iter().map(target).collect());
                found.map_err(|why| format!("not an IP address or file: '{}': {why}", word.text))
            }
        };
        for target in found.map_err(|why| setup.error(word, why))? {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    let zone = setup.zones_or_block(std::slice::from_ref(from))?.into_iter().next();
    let from = zone.ok_or_else(|| setup.error(from, format!("unable to normalize '{}'", from.text)))?;
    let mut options = Options { files, ..Options::new(from, targets) };
    for option in directive.options() {
        read_option(setup, option, &mut options)?;
    }
    if options.force_tcp {
        options.check.protocol = Protocol::Tcp;
    }
    check_together(&options).map_err(|why| setup.error(&directive.name, why))?;
    Ok(options)
}

/// The resolvers of `resolver`, and whether `strict` stands there.
fn read_first(setup: &Setup<'_>, directive: &Directive) -> Result<(Vec<SocketAddr>, bool), Error> {
    let (mut resolvers, mut strict) = (Vec::new(), false);
    for option in directive.options() {
        match option.name.text.as_str() {
            "resolver" if option.args.is_empty() => return Err(setup.arguments(option, "resolver IP[:PORT]...")),
            "resolver" => {
                for word in &option.args {
                    let wrong = || setup.error(word, format!("'{}' is no IP[:PORT]", word.text));
                    resolvers.push(targets::address_with_port(&word.text).ok_or_else(wrong)?);
                }
            }
            "strict" => strict = flag(setup, option)?,
            _ => {}
        }
    }
    Ok((resolvers, strict))
}

/// What each option alone cannot know.
fn check_together(options: &Options) -> Result<(), String> {
    let Connections { expire, max_age, source, .. } = options.connections;
    if max_age.is_some_and(|max_age| max_age < expire) {
        return Err("max_age must not be below expire".into());
    }
    if let Some(source) = source
        && let Some(target) = options.targets.iter().find(|target| target.address.is_ipv4() != source.is_ipv4())
    {
        return Err(format!("source_address {source} cannot reach {target}: one is IPv4, the other IPv6"));
    }
    if let Some(name) = &options.tls.server_name
        && let Some(other) = options.targets.iter().filter_map(|target| target.server_name.as_ref()).next()
    {
        return Err(format!("both '%{other}' and 'tls_servername {name}' name the servers; expected one of them"));
    }
    Ok(())
}

fn read_option(setup: &mut Setup<'_>, option: &Directive, options: &mut Options) -> Result<(), Error> {
    match option.name.text.as_str() {
        "except" if option.args.is_empty() => return Err(setup.arguments(option, "except NAME...")),
        "except" => options.except.extend(setup.zones_or_block(&option.args)?),
        "force_tcp" => options.force_tcp = flag(setup, option)?,
        "prefer_udp" => options.prefer_udp = flag(setup, option)?,
        "failfast_all_unhealthy_upstreams" => options.failfast = flag(setup, option)?,
        "next_on_nodata" => options.next_on_nodata = flag(setup, option)?,
        // With 0 a connection that has nothing to do is closed at once.
        "expire" => {
            let word = only(setup, option, "DURATION")?;
            let expire = values::duration(&word.text).map_err(|why| setup.error(word, why))?;
            options.connections.expire = expire.max(Duration::from_millis(1));
        }
        "read_timeout" => options.read_timeout = duration(setup, option)?,
        "max_fails" => options.check.max_fails = number(setup, option)?,
        "max_concurrent" => options.max_concurrent = number(setup, option)? as usize,
        "max_connect_attempts" => options.max_connect_attempts = number(setup, option)? as usize,
        "policy" => options.policy = policy(setup, option)?,
        "health_check" => health_check(setup, option, &mut options.check)?,
        "next" => options.next = rcodes(setup, option)?,
        "failover" => {
            options.failover = rcodes(setup, option)?;
            if options.failover.contains(&Rcode::NOERROR) {
                return Err(setup.error(&option.name, "failover does not take NOERROR"));
            }
        }
        "tls" => read_tls(setup, option, &mut options.tls)?,
        "tls_servername" => options.tls.server_name = Some(only(setup, option, "NAME")?.text.clone()),
        "doh_method" => {
            let word = only(setup, option, "POST|GET")?;
            let wrong = || setup.error(word, format!("unknown method '{}'; expected POST or GET", word.text));
            options.doh_method = Method::from_word(&word.text).ok_or_else(wrong)?;
        }
        "max_age" => {
            let word = only(setup, option, "DURATION")?;
            let age = values::duration(&word.text).map_err(|why| setup.error(word, why))?;
            options.connections.max_age = Some(age).filter(|age| !age.is_zero());
        }
        "max_idle_conns" => options.connections.most = Some(number(setup, option)? as usize).filter(|most| *most > 0),
        "source_address" => {
            let word = only(setup, option, "IP")?;
            let wrong = |_| setup.error(word, format!("'{}' is no IP address", word.text));
            options.connections.source = Some(word.text.parse().map_err(wrong)?);
        }
        // Read before the words they are about.
        "resolver" | "strict" => {}
        _ => return Err(setup.unknown(option, PROPERTIES)),
    }
    Ok(())
}

fn read_tls(setup: &Setup<'_>, option: &Directive, files: &mut Files) -> Result<(), Error> {
    let path = |word: &Token| setup.path(&word.text);
    (files.identity, files.authority) = match &option.args[..] {
        [] => (None, None),
        [authority] => (None, Some(path(authority))),
        [certificate, key] => (Some((path(certificate), path(key))), None),
        [certificate, key, authority] => (Some((path(certificate), path(key))), Some(path(authority))),
        _ => return Err(setup.arguments(option, "tls [CERT KEY] [CA]")),
    };
    Ok(())
}

fn flag(setup: &Setup<'_>, option: &Directive) -> Result<bool, Error> {
    match option.args.is_empty() {
        true => Ok(true),
        false => Err(setup.arguments(option, &option.name.text)),
    }
}

fn only<'a>(setup: &Setup<'_>, option: &'a Directive, form: &str) -> Result<&'a Token, Error> {
    match &option.args[..] {
        [only] => Ok(only),
        _ => Err(setup.arguments(option, &format!("{} {form}", option.name.text))),
    }
}

fn duration(setup: &Setup<'_>, option: &Directive) -> Result<Duration, Error> {
    positive_duration(setup, only(setup, option, "DURATION")?)
}

fn positive_duration(setup: &Setup<'_>, word: &Token) -> Result<Duration, Error> {
    let duration = values::duration(&word.text).map_err(|why| setup.error(word, why))?;
    match duration.is_zero() {
        true => Err(setup.error(word, format!("the duration must be above zero: '{}'", word.text))),
        false => Ok(duration),
    }
}

fn number(setup: &Setup<'_>, option: &Directive) -> Result<u32, Error> {
    let word = only(setup, option, "NUMBER")?;
    let wrong = || format!("{} is not a number from 0 to 4294967295: '{}'", option.name.text, word.text);
    word.text.parse().map_err(|_| setup.error(word, wrong()))
}

fn policy(setup: &Setup<'_>, option: &Directive) -> Result<Policy, Error> {
    let word = only(setup, option, "random|round_robin|sequential")?;
    Policy::from_word(&word.text).ok_or_else(|| {
        setup.error(word, format!("unknown policy '{}'; expected one of: random, round_robin, sequential", word.text))
    })
}

fn health_check(setup: &Setup<'_>, option: &Directive, check: &mut HealthCheck) -> Result<(), Error> {
    let form = "health_check DURATION [no_rec] [domain NAME]";
    let Some((interval, mut words)) = option.args.split_first() else { return Err(setup.arguments(option, form)) };
    let interval = values::duration(&interval.text).map_err(|why| setup.error(interval, why))?;
    if !interval.is_zero() {
        check.interval = interval;
    }
    while let Some((word, rest)) = words.split_first() {
        words = match (word.text.as_str(), rest) {
            ("no_rec", rest) => {
                check.recursion_desired = false;
                rest
            }
            ("domain", [domain, rest @ ..]) => {
                let name = Name::from_text(&domain.text);
                check.domain = name.map_err(|why| setup.error(domain, format!("'{}': {why}", domain.text)))?;
                rest
            }
            ("domain", []) => return Err(setup.arguments(option, form)),
            (other, _) => return Err(setup.error(word, format!("unknown option '{other}'; expected: {form}"))),
        };
    }
    Ok(())
}

fn rcodes(setup: &Setup<'_>, option: &Directive) -> Result<Vec<Rcode>, Error> {
    if option.args.is_empty() {
        return Err(setup.arguments(option, &format!("{} RCODE...", option.name.text)));
    }
    let read = |word: &Token| {
        Rcode::from_mnemonic(&word.text).ok_or_else(|| setup.error(word, format!("unknown rcode '{}'", word.text)))
    };
    option.args.iter().map(read).collect()
}
