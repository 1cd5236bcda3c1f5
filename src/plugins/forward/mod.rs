//! # Description
//!
//! `forward` relays queries to upstream resolvers and their replies to the clients, octets as they are: only the id, the
//! question's case and OPT are between us and each side. It keeps several UDP sockets and connections per upstream,
//! takes a reply only from the upstream's address, with the id and the question that were sent, and ignores anything
//! else without ceasing to wait.
//!
//! A query goes by the transport its client used, or encrypted where the upstream is `tls://` or `https://`. Over UDP the
//! letters of the question change case at random, where the upstream was seen to repeat them: a reply in another case is
//! then asked for again over TCP.
//!
//! An attempt that fails (no reply within `read_timeout`, a closed port) is made again at the next upstream for up to
//! 5 seconds in all; then the client gets SERVFAIL. An upstream that failed, and has answered nothing since, comes after
//! all others whatever the policy, and is checked until it is well; one that more than `max_fails` checks in a row have
//! failed for is down and passed over. If all are down, one is asked anyway, for at most 20 queries a second each.
//!
//! # Syntax
//!
//! ```text
//! forward FROM TO... {
//!     except NAME...
//!     force_tcp
//!     prefer_udp
//!     expire DURATION
//!     max_fails NUMBER
//!     health_check DURATION [no_rec] [domain NAME]
//!     policy random|round_robin|sequential
//!     max_concurrent NUMBER
//!     read_timeout DURATION
//!     max_connect_attempts NUMBER
//!     failfast_all_unhealthy_upstreams
//!     next RCODE...
//!     next_on_nodata
//!     failover RCODE...
//!     tls [CERT KEY] [CA]
//!     tls_servername NAME
//!     doh_method POST|GET
//!     max_age DURATION
//!     max_idle_conns NUMBER
//!     source_address IP
//!     resolver IP[:PORT]...
//!     strict
//! }
//! ```
//!
//! * `FROM` is the zone whose names are forwarded; `.` for all. Of a network that is several zones, the first.
//! * `TO` are up to 15 addresses (`192.0.2.1`, `[2001:db8::1]:1053`, `dns://192.0.2.1`), those of servers over TLS or
//!   HTTPS (`tls://192.0.2.1`, `tls://192.0.2.1%dns.example.org`, `https://192.0.2.1%dns.example.org:8443`; the path is
//!   `/dns-query`), hosts by name (`dns.example.org`, `dns.example.org:1053`, `tls://dns.example.org`), whose addresses
//!   are looked up when the configuration is loaded, or files like `/etc/resolv.conf`, whose name servers are read then.
//!   A file that is missing, has no name server, or only this server itself, stops nothing: its last good name servers
//!   go on over a reload; without any, queries get SERVFAIL, and the configuration is loaded anew once the file is good.
//! * `except`: names at and below these are passed to the next plugin, but for `FROM` itself.
//! * `force_tcp` asks over TCP always; `prefer_udp` asks over UDP always, and again over TCP if the reply is truncated.
//! * `expire`: how long a TCP connection is kept without queries, and how long a UDP port is used at all (at most 30 s);
//!   10s without it. With 0 it is closed when it has nothing to do.
//! * `max_fails`: failed health checks in a row that are forgiven, 2 without it; 0 means never down.
//! * `health_check`: how often an upstream that failed is checked (500ms, also where it is 0), by a question for the name
//!   servers of `domain` (`.`). While it stays down, up to eight times as rarely. Any reply is health.
//! * `policy`: which upstream is asked first.
//! * `max_concurrent`: queries in flight; further ones are refused. No limit without it.
//! * `read_timeout`: how long one attempt waits, 2s without it.
//! * `max_connect_attempts`: failed attempts of one query, twice the number of upstreams without it; 0 for no limit.
//! * `failfast_all_unhealthy_upstreams`: SERVFAIL at once if all are down.
//! * `next`, `next_on_nodata`: replies of these codes, or without data, are left to the next `forward` of the block.
//! * `failover`: replies of these codes are looked for at the next upstream; the last one's stands.
//!
//! * `tls`: PEM files for encrypted upstreams: what we prove ourselves with, and the authorities that they prove
//!   themselves by; without **CA** those that the machine trusts. Files that are written anew count for new connections
//!   within five seconds, without a reload.
//! * `tls_servername`: the name in the certificates of encrypted upstreams, where `%NAME` does not say it. Without a name
//!   the certificate has to be the address's.
//! * `doh_method`: how `https://` upstreams are asked; `POST` without it.
//! * `max_age`: no query is sent on a connection older than this; not below `expire`. No bound without it, or with 0.
//! * `max_idle_conns`: how many connections are kept to an upstream, at most 16, which it is without it, or with 0.
//! * `source_address`: the address that upstreams are asked from.
//! * `resolver`: who is asked for the addresses of upstreams that are hosts by name, instead of the machine's resolver.
//! * `strict`: a file without name servers is an error when the configuration is loaded, as it is to CoreDNS.
//!
//! `forward` may stand in a block several times; the first whose `FROM` fits takes the query.
//!
//! The `proxy` of old Corefiles runs as the `forward` that comes nearest, with a warning that shows the line to write.
//!
//! # Examples
//!
//! ```corefile
//! .:53 {
//!     forward . 192.0.2.53 192.0.2.54 {
//!         except internal.example.org
//!         max_concurrent 1000
//!         policy sequential
//!     }
//! }
//! ```
//!
//! ```corefile
//! .:53 {
//!     forward . tls://192.0.2.53 tls://192.0.2.54 {
//!         tls_servername dns.example.org
//!     }
//! }
//! ```
//!
//! ```corefile
//! .:53 {
//!     forward example.org 192.0.2.53:1053 {
//!         force_tcp
//!         health_check 1s no_rec domain example.org
//!     }
//!     forward . 198.51.100.1
//! }
//! ```
//!
//! ```corefile
//! .:53 {
//!     forward . /etc/resolv.conf {
//!         strict
//!         resolver 192.0.2.1 192.0.2.2:1053
//!     }
//! }
//! ```
//!
//! # Metrics
//!
//! `coredns_proxy_request_duration_seconds{proxy_name,to,rcode}`,
//! `coredns_proxy_healthcheck_failures_total{proxy_name,to}`,
//! `coredns_proxy_conn_cache_hits_total{proxy_name,to,proto}`,
//! `coredns_proxy_conn_cache_misses_total{proxy_name,to,proto}`, `coredns_forward_max_concurrent_rejects_total`,
//! `coredns_forward_healthcheck_broken_total`, and `dunlin_forward_failed_checks{to}`: health checks that have failed
//! in a row; 0 for an upstream that is well, `dunlin_forward_ignored_replies_total{to}`: packets that answered no query
//! in flight, `dunlin_forward_concurrent_queries`: queries in flight, `dunlin_forward_unusable_files{file}`: 1 where a
//! file has no usable name server, `dunlin_tls_renewals_total{file,result}`, as of the plugin `tls`.
//!
//! # See also
//!
//! `cache`, `loop`. RFC 5452 (forged answers), RFC 7766 (DNS over TCP), RFC 7858 (DNS over TLS), RFC 8484 (DNS over
//! HTTPS), RFC 6891 (OPT).

mod case;
mod files;
mod https;
mod legacy;
mod message;
mod metrics;
mod options;
mod policy;
mod relay;
mod resolve;
mod secure;
mod targets;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod upstream;
mod waiting;

pub use legacy::DEFINITION as PROXY;

use crate::metrics::Metrics;
use crate::plugin::{
    BoxFuture, Datagrams, Definition, Directive, Error, Handler, Next, Outcome, RENEWALS, Renewing, Request, Setup,
};
use crate::wire::{Rcode, ReplyView, Section};
use metrics::Totals;
use options::Options;
use secure::{Keys, Trust};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use targets::{Scheme, Target};
use upstream::Upstream;

/// The directive `forward`.
pub static DEFINITION: Definition = Definition { directive: "forward", setup, metrics: metrics::ALL };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    for directive in setup.directives {
        install(options::read(setup, directive)?, directive, setup)?;
    }
    Ok(())
}

/// Adds a `forward` to the chain.
fn install(options: Options, directive: &Directive, setup: &mut Setup<'_>) -> Result<(), Error> {
    let (forward, warning) =
        Forward::new(options, setup.metrics, setup.datagrams).map_err(|why| setup.error(&directive.name, why))?;
    if let Some(warning) = warning {
        setup.warn(&directive.name, warning);
    }
    if let Some(keys) = forward.keys.clone().filter(|keys| keys.has_files()) {
        let renewing = Renewing::new("forward", keys, setup.metrics.counter(&RENEWALS));
        setup.process.lifecycles.push(Arc::new(renewing));
    }
    files::install(&forward.options.files, directive, setup);
    setup.plan.chain.push(Arc::new(forward));
    setup.plan.any_class = true;
    Ok(())
}

/// One `forward`.
struct Forward {
    options: Options,
    upstreams: Vec<Arc<Upstream>>,
    /// Queries that have begun, for `round_robin`.
    turn: AtomicUsize,
    in_flight: AtomicUsize,
    totals: Totals,
    /// Why there is nobody to ask, where that is so.
    without_upstreams: Option<String>,
    /// What encrypted upstreams are spoken to with.
    keys: Option<Arc<Keys>>,
}

impl Forward {
    /// With a warning for the operator, if there is one.
    ///
    /// # Errors
    /// What is wrong with the files of `tls`.
    fn new(options: Options, metrics: &Metrics, datagrams: Datagrams) -> Result<(Forward, Option<String>), String> {
        let encrypted = options.targets.iter().any(|target| target.scheme != Scheme::Dns);
        let mut trust = encrypted.then(|| Trust::read(&options.tls)).transpose()?;
        let upstream = |target: &Target| {
            let encrypted = trust.as_ref().filter(|_| target.scheme != Scheme::Dns);
            let secure = encrypted.map(|trust| trust.of(target)).transpose()?;
            Ok(Arc::new(Upstream::new(target, secure, &options, metrics, datagrams)))
        };
        let upstreams: Vec<_> = options.targets.iter().map(upstream).collect::<Result<_, String>>()?;
        let warning = trust.as_mut().and_then(|trust| trust.warning.take());
        let totals = Totals::new(metrics);
        let (turn, in_flight) = Default::default();
        let missing: Vec<_> = options.files.unusable().map(|(_, why)| why.to_owned()).collect();
        let without_upstreams = upstreams.is_empty().then(|| format!("no upstreams: {}", missing.join("; ")));
        let keys = trust.map(|trust| trust.keys);
        Ok((Forward { options, upstreams, turn, in_flight, totals, without_upstreams, keys }, warning))
    }
}

impl Handler for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        if !self.takes(request) {
            return next.run(request);
        }
        Box::pin(async move {
            let outcome = self.relay(request).await;
            if next.name() == "forward" && self.leaves_to_next(&outcome) { next.run(request).await } else { outcome }
        })
    }
}

impl Forward {
    fn takes(&self, request: &Request) -> bool {
        let (name, options) = (&request.name, &self.options);
        name.is_within(&options.from)
            && (*name == options.from || !options.except.iter().any(|except| name.is_within(except)))
    }

    fn leaves_to_next(&self, outcome: &Outcome) -> bool {
        let Outcome::Reply(reply) = outcome else { return false };
        let nodata = |packet: &[u8]| ReplyView::parse(packet).is_some_and(|view| view.count(Section::Answer) == 0);
        self.options.next.contains(&reply.rcode())
            || self.options.next_on_nodata && reply.rcode() == Rcode::NOERROR && nodata(&reply.packet)
    }
}

/// One query in flight.
struct Permit<'a>(&'a Forward);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
        self.0.totals.in_flight.dec();
    }
}
