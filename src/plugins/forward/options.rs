//! The directive, read.

use super::policy::Policy;
use super::targets;
use super::upstream::Protocol;
use crate::corefile::values;
use crate::plugin::{Directive, Error, Setup, Token};
use crate::wire::{Name, Rcode};
use std::net::SocketAddr;
use std::time::Duration;

/// What the block of `forward` may hold.
const PROPERTIES: &str = "except, force_tcp, prefer_udp, expire, max_fails, health_check, policy, max_concurrent, \
                          read_timeout, max_connect_attempts, failfast_all_unhealthy_upstreams, next, next_on_nodata, \
                          failover";
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
    pub targets: Vec<SocketAddr>,
    pub except: Vec<Name>,
    pub force_tcp: bool,
    pub prefer_udp: bool,
    pub expire: Duration,
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
}

impl Options {
    /// The defaults for these upstreams.
    pub fn new(from: Name, targets: Vec<SocketAddr>) -> Options {
        Options {
            from,
            max_connect_attempts: 2 * targets.len(),
            targets,
            except: Vec::new(),
            force_tcp: false,
            prefer_udp: false,
            expire: Duration::from_secs(10),
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
        }
    }
}

/// Reads `forward FROM TO... { ... }`.
pub(super) fn read(setup: &Setup<'_>, directive: &Directive) -> Result<Options, Error> {
    let (from, to) = match &directive.args[..] {
        [from, to @ ..] if !to.is_empty() => (from, to),
        _ => return Err(setup.arguments(directive, &format!("{} FROM TO...", directive.name.text))),
    };
    if to.len() > MOST_TARGETS {
        return Err(setup.error(&directive.name, format!("more than {MOST_TARGETS} TOs configured: {}", to.len())));
    }
    let mut targets = Vec::new();
    for word in to {
        for address in targets::read(&word.text, &setup.path(&word.text)).map_err(|why| setup.error(word, why))? {
            if !targets.contains(&address) {
                targets.push(address);
            }
        }
    }
    let zone = setup.zones_or_block(std::slice::from_ref(from))?.into_iter().next();
    let from = zone.ok_or_else(|| setup.error(from, format!("unable to normalize '{}'", from.text)))?;
    let mut options = Options::new(from, targets);
    for option in directive.options() {
        read_option(setup, option, &mut options)?;
    }
    if options.force_tcp {
        options.check.protocol = Protocol::Tcp;
    }
    Ok(options)
}

fn read_option(setup: &Setup<'_>, option: &Directive, options: &mut Options) -> Result<(), Error> {
    match option.name.text.as_str() {
        "except" if option.args.is_empty() => return Err(setup.arguments(option, "except NAME...")),
        "except" => options.except.extend(setup.zones_or_block(&option.args)?),
        "force_tcp" => options.force_tcp = flag(setup, option)?,
        "prefer_udp" => options.prefer_udp = flag(setup, option)?,
        "failfast_all_unhealthy_upstreams" => options.failfast = flag(setup, option)?,
        "next_on_nodata" => options.next_on_nodata = flag(setup, option)?,
        "expire" => options.expire = duration(setup, option)?,
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
        "tls" | "tls_servername" | "max_age" | "max_idle_conns" | "doh_method" | "source_address" | "resolver" => {
            return Err(setup.not_supported(&option.name));
        }
        _ => return Err(setup.unknown(option, PROPERTIES)),
    }
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
    check.interval = positive_duration(setup, interval)?;
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
