//! The registry: every directive, in the order of the chain.
//!
//! A plugin is one file here and two lines below: its `mod`, and its place in [`ORDER`], which is behaviour: plugins are
//! set up, and asked, in this order whatever the Corefile's.

pub mod acl;
pub mod any;
pub mod auto;
pub mod autopath;
pub mod bind;
pub mod bufsize;
mod cache;
pub mod cancel;
pub mod chaos;
pub mod debug;
pub mod dns64;
pub mod erratic;
pub mod errors;
pub mod file;
mod forward;
pub mod header;
pub mod health;
pub mod hosts;
pub mod https;
mod k8s_external;
mod kubernetes;
mod legacy;
pub mod loadbalance;
pub mod local;
pub mod log;
mod loop_detection;
pub mod metadata;
pub mod minimal;
pub mod multisocket;
pub mod nodata;
mod not_yet;
pub mod nsid;
pub mod pprof;
pub mod prometheus;
pub mod quic;
pub mod ready;
pub mod reload;
pub mod rewrite;
pub mod root;
mod secondary;
pub mod shadow;
pub mod shed;
pub mod status;
pub mod template;
pub mod timeouts;
mod tls;
mod transfer;
mod tsig;
pub mod view;
pub mod whoami;

#[cfg(test)]
mod manual;
#[cfg(test)]
pub mod testing;

use crate::plugin::Definition;

pub use legacy::modernize;

#[doc(hidden)]
pub use kubernetes::sink_for_measurements;

/// Every plugin, in the order of the chain.
///
/// It is CoreDNS's order but for two rules. What holds answers in memory (`template`, `hosts`, `k8s_external`,
/// `kubernetes`, `file`, `auto`, `secondary`) stands before `cache`, so that nothing we own is ever answered from a
/// copy; and so do `header` and `minimal`, which change answers of both. And `tsig` stands before all that change an
/// answer: it signs what is sent.
pub const ORDER: &[&Definition] = &[
    &root::DEFINITION,
    &metadata::DEFINITION,
    &view::DEFINITION,
    &cancel::DEFINITION,
    &quic::DEFINITION,
    &https::DEFINITION,
    &timeouts::DEFINITION,
    &multisocket::DEFINITION,
    &reload::DEFINITION,
    &nsid::DEFINITION,
    &bufsize::DEFINITION,
    &bind::DEFINITION,
    &debug::DEFINITION,
    &ready::DEFINITION,
    &health::DEFINITION,
    &pprof::DEFINITION,
    &shadow::DEFINITION,
    &shed::DEFINITION,
    &prometheus::DEFINITION,
    &status::DEFINITION,
    &errors::DEFINITION,
    &log::DEFINITION,
    &tsig::DEFINITION,
    &local::DEFINITION,
    &dns64::DEFINITION,
    &any::DEFINITION,
    &chaos::DEFINITION,
    &loadbalance::DEFINITION,
    &rewrite::DEFINITION,
    &autopath::DEFINITION,
    &acl::DEFINITION,
    &header::DEFINITION,
    &tls::DEFINITION,
    &minimal::DEFINITION,
    &template::DEFINITION,
    &transfer::DEFINITION,
    &hosts::DEFINITION,
    &k8s_external::DEFINITION,
    &kubernetes::DEFINITION,
    &file::DEFINITION,
    &auto::DEFINITION,
    &secondary::DEFINITION,
    &nodata::DEFINITION,
    &cache::DEFINITION,
    &loop_detection::DEFINITION,
    &forward::DEFINITION,
    &forward::PROXY,
    &erratic::DEFINITION,
    &whoami::DEFINITION,
];

/// The words that the Corefile knows, sorted, for `-plugins`.
pub fn directives() -> Vec<&'static str> {
    let mut words: Vec<_> = ORDER.iter().map(|definition| definition.directive).collect();
    words.sort_unstable();
    words
}

/// What a directive's word stands for.
#[derive(Clone, Copy)]
pub enum Found {
    /// A plugin.
    Known(&'static Definition),
    /// A plugin of CoreDNS's that is not here yet: `plugin/NAME: not supported by dunlin yet`.
    NotYet,
    /// A plugin of others, and what may stand here instead of it, if anything.
    External(&'static str),
    /// A plugin that CoreDNS has no more, and why: it is left out with a warning.
    Retired(&'static str),
    /// Nothing: `Unknown directive 'NAME'`.
    Unknown,
}

/// Looks a directive's word up.
pub fn find(name: &str) -> Found {
    match ORDER.iter().find(|definition| definition.directive == name) {
        Some(definition) => Found::Known(definition),
        None if not_yet::NOT_YET.contains(&name) => Found::NotYet,
        None => {
            let of = |list: &[(&str, &'static str)]| list.iter().find(|(word, _)| *word == name).map(|(_, why)| *why);
            let retired = of(not_yet::RETIRED).map(Found::Retired);
            retired.or_else(|| of(not_yet::EXTERNAL).map(Found::External)).unwrap_or(Found::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_told_apart() {
        assert!(matches!(find("errors"), Found::Known(definition) if definition.directive == "errors"));
        assert!(matches!(find("geoip"), Found::NotYet));
        assert!(matches!(find("federation"), Found::Retired(_)));
        assert!(matches!(find("kubernetai"), Found::External(instead) if instead.contains("`kubernetes`")));
        assert!(matches!(find("federations"), Found::Unknown));
        assert!(matches!(find("Errors"), Found::Unknown));
    }

    /// Where CoreDNS takes a directive twice in a block, one counts and the operator is told which.
    #[test]
    fn of_two_in_a_block_one_counts() {
        let warned = |definition: &Definition, lines: &str| {
            let bench = testing::Bench::new();
            bench.set_up(definition, lines).unwrap_or_else(|error| panic!("{lines}: {error}"));
            bench.done().process.warnings.join(" ")
        };
        for (definition, lines, which) in [
            (&any::DEFINITION, "any\nany", "last"),
            (&bufsize::DEFINITION, "bufsize 1000\nbufsize 2000", "first"),
            (&cancel::DEFINITION, "cancel 1s\ncancel 2s", "last"),
            (&chaos::DEFINITION, "chaos a\nchaos b", "first"),
            (&debug::DEFINITION, "debug\ndebug", "last"),
            (&dns64::DEFINITION, "dns64\ndns64 64:1337::/96", "last"),
            (&erratic::DEFINITION, "erratic\nerratic", "last"),
            (&health::DEFINITION, "health\nhealth :8081", "last"),
            (&https::DEFINITION, "https\nhttps", "first"),
            (&loadbalance::DEFINITION, "loadbalance\nloadbalance round_robin", "last"),
            (&local::DEFINITION, "local\nlocal", "last"),
            (&minimal::DEFINITION, "minimal\nminimal", "last"),
            (&quic::DEFINITION, "quic\nquic", "first"),
            (&reload::DEFINITION, "reload 5s\nreload 6s", "first"),
            (&root::DEFINITION, "root /\nroot /tmp", "last"),
            (&timeouts::DEFINITION, "timeouts {\nread 3s\n}\ntimeouts {\nwrite 3s\n}", "last"),
            (&whoami::DEFINITION, "whoami\nwhoami", "last"),
        ] {
            let told = warned(definition, lines);
            assert!(told.contains(&format!("only the {which} one counts")), "{lines}: {told}");
        }
        let bench = testing::Bench::new();
        bench.set_up(&bufsize::DEFINITION, "bufsize 1000\nbufsize 2000").unwrap();
        assert_eq!(bench.done().plan.shape.udp_payload, 1000);
    }

    #[test]
    fn no_directive_stands_twice() {
        let names = ORDER.iter().map(|definition| definition.directive).chain(not_yet::NOT_YET.iter().copied());
        let explained = not_yet::RETIRED.iter().chain(not_yet::EXTERNAL).map(|(name, _)| *name);
        let names: Vec<_> = names.chain(explained).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
    }
}
