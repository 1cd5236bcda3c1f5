//! The directive, read.

use crate::corefile::values;
use crate::plugin::{Directive, Error, Setup, Token, TtlRange};
use crate::wire::Name;
use std::time::Duration;

/// What the block of `cache` may hold.
const PROPERTIES: &str = "success, denial, disable, servfail, keepttl, prefetch, serve_stale, \
                          serve_stale_policy";
/// Seconds for which a SERVFAIL may be stored at most (RFC 2308 section 7.1).
const LONGEST_SERVFAIL: u64 = 300;

/// Seconds between two attempts to refresh an expired answer at most.
const LONGEST_RECHECK: u64 = 300;
/// How long a client is kept waiting for a fresh answer before it gets a stale one (RFC 8767 section 5).
const CLIENT_PATIENCE: Duration = Duration::from_millis(1800);
/// The TTL of a stale answer, in seconds (RFC 8767 section 4).
const STALE_TTL: u32 = 30;
/// Seconds before an upstream that failed is asked again for the same answer (RFC 8767 section 5).
const STALE_RECHECK: u64 = 30;
/// Entries of either table where nothing is said: CoreDNS's.
const CAPACITY: usize = 9984;
/// Entries of the smallest table, whatever is asked for: CoreDNS's 256 shards of four.
const SMALLEST: usize = 1024;
/// Entries of the largest table, whose empty sets alone are 64 MiB.
const LARGEST: usize = 4 << 20;

/// How much of one class is stored, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Entries.
    pub capacity: usize,
    pub ttl: TtlRange,
}

/// All of `cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub zones: Vec<Name>,
    pub success: Class,
    pub denial: Class,
    /// Zones whose answers are not stored.
    pub no_success: Vec<Name>,
    /// Zones whose denials are not stored.
    pub no_denial: Vec<Name>,
    /// Seconds; 0 stores none.
    pub servfail: u32,
    /// Hits show the TTL of the beginning.
    pub keep_ttl: bool,
    pub prefetch: Option<Prefetch>,
    pub stale: Option<Stale>,
    /// An answer that may still be given is kept and given although a denial came after it.
    pub prefer_positive: bool,
}

/// Which answers are fetched again before they expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefetch {
    /// Hits that make an answer popular, none of them later than `within` seconds after the one before.
    pub amount: u32,
    pub within: u32,
    /// The share of its time, in percent, that a popular answer has left when it is fetched again.
    pub percent: u32,
}

/// Which expired answers are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    /// Seconds beyond their time.
    pub window: u64,
    /// Whether the upstream is asked first, and how long at most.
    pub verify: Option<Option<Duration>>,
    /// The TTL they show, in seconds.
    pub ttl: u32,
    /// Seconds to wait before the upstream is asked again after it failed.
    pub recheck: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            zones: Vec::new(),
            success: Class { capacity: CAPACITY, ttl: TtlRange { min: 5, max: 3600 } },
            denial: Class { capacity: CAPACITY, ttl: TtlRange { min: 5, max: 1800 } },
            no_success: Vec::new(),
            no_denial: Vec::new(),
            servfail: 5,
            keep_ttl: false,
            prefetch: None,
            stale: None,
            prefer_positive: false,
        }
    }
}

/// Reads `cache [TTL] [ZONES...] { ... }`.
pub(super) fn read(setup: &mut Setup<'_>) -> Result<Options, Error> {
    let directive = setup.once()?;
    let (mut options, mut policy) = (Options::default(), None);
    let mut zones = &directive.args[..];
    if let Some((first, rest)) = zones.split_first().filter(|(first, _)| first.text.parse::<i64>().is_ok()) {
        let ttl = ttl(setup, first, "cache TTL")?;
        (options.success.ttl.max, options.denial.ttl.max, zones) = (ttl, ttl, rest);
    }
    options.zones = setup.zones_or_block(zones)?;
    for option in directive.options() {
        match option.name.text.as_str() {
            "success" => class(setup, option, &mut options.success)?,
            "denial" => class(setup, option, &mut options.denial)?,
            "disable" => disable(setup, option, &mut options)?,
            "servfail" => options.servfail = servfail(setup, option)?,
            "keepttl" if option.args.is_empty() => options.keep_ttl = true,
            "keepttl" => return Err(setup.arguments(option, "keepttl")),
            "prefetch" => options.prefetch = prefetch(setup, option)?,
            "serve_stale" => options.stale = stale(setup, option)?,
            "serve_stale_policy" => policy = Some(stale_policy(setup, option)?),
            _ => return Err(setup.unknown(option, PROPERTIES)),
        }
    }
    if let Some(word) = policy {
        options.prefer_positive = true;
        if options.stale.is_none() {
            return Err(setup.error(word, "serve_stale_policy needs serve_stale beside it"));
        }
    }
    Ok(options)
}

fn class(setup: &Setup<'_>, option: &Directive, class: &mut Class) -> Result<(), Error> {
    let (capacity, times) = match &option.args[..] {
        [capacity, times @ ..] if times.len() <= 2 => (capacity, times),
        _ => return Err(setup.arguments(option, &format!("{} CAPACITY [TTL [MINTTL]]", option.name.text))),
    };
    class.capacity = (number(setup, capacity, "capacity")? as usize).clamp(SMALLEST, LARGEST);
    if let Some(max) = times.first() {
        class.ttl.max = ttl(setup, max, "cache TTL")?;
    }
    if let Some(min) = times.get(1) {
        class.ttl.min = number(setup, min, "cache min TTL")?;
    }
    Ok(())
}

fn disable(setup: &mut Setup<'_>, option: &Directive, options: &mut Options) -> Result<(), Error> {
    let Some((class, zones)) = option.args.split_first() else {
        return Err(setup.arguments(option, "disable success|denial [ZONES...]"));
    };
    let zones = if zones.is_empty() { vec![Name::root()] } else { setup.zones_or_block(zones)? };
    match class.text.as_str() {
        "success" => options.no_success = zones,
        "denial" => options.no_denial = zones,
        other => {
            return Err(setup.error(class, format!("cannot disable '{other}'; expected 'success' or 'denial'")));
        }
    }
    Ok(())
}

fn servfail(setup: &Setup<'_>, option: &Directive) -> Result<u32, Error> {
    let [word] = &option.args[..] else { return Err(setup.arguments(option, "servfail DURATION")) };
    let seconds = seconds(setup, word)?;
    if seconds > LONGEST_SERVFAIL {
        return Err(setup.error(word, "caching SERVFAIL responses over 5 minutes is not permitted"));
    }
    Ok(seconds as u32)
}

fn prefetch(setup: &Setup<'_>, option: &Directive) -> Result<Option<Prefetch>, Error> {
    let form = "prefetch AMOUNT [DURATION [PERCENT%]]";
    let (amount, rest) = match &option.args[..] {
        [amount, rest @ ..] if rest.len() <= 2 => (number(setup, amount, "prefetch amount")?, rest),
        _ => return Err(setup.arguments(option, form)),
    };
    let mut prefetch = Prefetch { amount, within: 60, percent: 10 };
    if let Some(word) = rest.first() {
        prefetch.within = seconds(setup, word)?.min(u64::from(u32::MAX)) as u32;
    }
    if let Some(word) = rest.get(1) {
        let percent = word.text.strip_suffix('%').and_then(|number| number.parse().ok());
        prefetch.percent = percent
            .filter(|percent| (10..=90).contains(percent))
            .ok_or_else(|| setup.error(word, format!("'{}' is no percentage from 10% to 90%", word.text)))?;
    }
    Ok((amount > 0).then_some(prefetch))
}

fn stale_policy<'a>(setup: &Setup<'_>, option: &'a Directive) -> Result<&'a Token, Error> {
    match &option.args[..] {
        [only] if only.text == "prefer_positive" => Ok(only),
        [only] => Err(setup.error(only, format!("unknown policy '{}'; expected prefer_positive", only.text))),
        _ => Err(setup.arguments(option, "serve_stale_policy prefer_positive")),
    }
}

fn stale(setup: &Setup<'_>, option: &Directive) -> Result<Option<Stale>, Error> {
    let form = "serve_stale [DURATION [immediate [TTL [RECHECK]]|verify|rfc8767 [TIMEOUT [TTL [RECHECK]]]]]";
    let mut stale = Stale { window: 3600, verify: None, ttl: 0, recheck: 0 };
    let mut words = option.args.iter();
    if let Some(window) = words.next() {
        stale.window = seconds(setup, window)?;
    }
    match words.next() {
        None => {}
        Some(mode) if mode.text == "immediate" => {}
        Some(mode) if mode.text == "verify" => {
            let timeout = words.next().map(|word| duration(setup, word)).transpose()?;
            stale.verify = Some(timeout.filter(|timeout| !timeout.is_zero()));
        }
        Some(mode) if mode.text == "rfc8767" => {
            let timeout = words.next().map(|word| duration(setup, word)).transpose()?;
            (stale.ttl, stale.recheck) = (STALE_TTL, STALE_RECHECK);
            stale.verify = Some(Some(timeout.unwrap_or(CLIENT_PATIENCE)).filter(|timeout| !timeout.is_zero()));
        }
        Some(mode) => {
            let wrong = format!("unknown mode '{}'; expected immediate, verify or rfc8767", mode.text);
            return Err(setup.error(mode, wrong));
        }
    }
    if let Some(word) = words.next() {
        stale.ttl = seconds(setup, word)?.min(u64::from(u32::MAX)) as u32;
    }
    if let Some(word) = words.next() {
        stale.recheck = seconds(setup, word)?;
        if stale.recheck > LONGEST_RECHECK {
            return Err(setup.error(word, "the recheck interval must not be over 5 minutes"));
        }
    }
    match words.next() {
        Some(_) => Err(setup.arguments(option, form)),
        None => Ok((stale.window > 0).then_some(stale)),
    }
}

/// A duration, where `0` needs no unit.
fn duration(setup: &Setup<'_>, word: &Token) -> Result<Duration, Error> {
    match word.text.as_str() {
        "0" => Ok(Duration::ZERO),
        text => values::duration(text).map_err(|why| setup.error(word, why)),
    }
}

/// A duration in seconds, rounded up.
fn seconds(setup: &Setup<'_>, word: &Token) -> Result<u64, Error> {
    let duration = duration(setup, word)?;
    Ok(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

fn ttl(setup: &Setup<'_>, word: &Token, what: &str) -> Result<u32, Error> {
    match word.text.parse::<i64>() {
        Ok(..=0) => Err(setup.error(word, format!("{what} can not be zero or negative: {}", word.text))),
        _ => number(setup, word, what),
    }
}

fn number(setup: &Setup<'_>, word: &Token, what: &str) -> Result<u32, Error> {
    let number = word.text.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
    number.ok_or_else(|| setup.error(word, format!("{what} is not a number from 0 to 2147483647: '{}'", word.text)))
}
