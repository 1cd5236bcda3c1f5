//! The directives `forward` and `proxy`, read.

use super::super::https::Method;
use super::super::upstream::Protocol;
use super::super::{PROXY, options};
use super::*;
use crate::corefile;
use std::path::Path;

#[test]
fn options_are_read() {
    for lines in [
        "forward . 192.0.2.1",
        "forward example.org 192.0.2.1:1053 [2001:db8::1]:53 dns://192.0.2.2",
        "forward 10.0.0.0/8 192.0.2.1",
        "forward . 192.0.2.1 {\nexcept a.test b.test 10.0.0.0/8\nforce_tcp\nprefer_udp\nexpire 20s\nmax_fails 0\n\
         policy sequential\nhealth_check 1s no_rec domain example.org\nmax_concurrent 1000\nread_timeout 500ms\n\
         max_connect_attempts 0\nfailfast_all_unhealthy_upstreams\nnext NXDOMAIN REFUSED\nnext_on_nodata\n\
         failover SERVFAIL\n}",
        "forward a.test 192.0.2.1\nforward . 192.0.2.2",
        "forward . tls://192.0.2.1 192.0.2.2 https://[2001:db8::1]:8443 {\ntls\ntls_servername dns.test\n\
         doh_method GET\nmax_age 20s\nmax_idle_conns 3\n}",
        "forward . tls://192.0.2.1%a.test tls://192.0.2.2%b.test {\nsource_address 192.0.2.9\nmax_age 0s\n}",
    ] {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        let parts = bench.done();
        assert_eq!(parts.plan.chain.len(), lines.matches("forward ").count());
        assert!(parts.plan.any_class);
    }
}

/// What a `forward` to 192.0.2.1 with this option comes to.
fn with(option: &str) -> Options {
    let text = format!(". {{\nforward . 192.0.2.1 {{\n{option}\n}}\n}}\n");
    let corefile = corefile::parse(Path::new("Corefile"), &text, &|_| None).unwrap();
    let directives = &corefile.blocks[0].directives;
    Bench::new().with_setup(directives, |setup| options::read(setup, &directives[0])).unwrap()
}

/// What a word of the directive makes of the options.
type Change<'c> = &'c dyn Fn(&mut Options);

/// The other tests change [`Options`] by hand: here each word is seen to change what it names, and nothing else.
#[test]
fn each_option_is_what_it_says() {
    let name = |text: &str| Name::from_text(text).unwrap();
    let cases: &[(&str, Change<'_>)] = &[
        ("except a.test b.test", &|options| options.except = vec![name("a.test"), name("b.test")]),
        ("force_tcp", &|options| {
            options.force_tcp = true;
            options.check.protocol = Protocol::Tcp;
        }),
        ("prefer_udp", &|options| options.prefer_udp = true),
        ("expire 20s", &|options| options.connections.expire = Duration::from_secs(20)),
        ("max_age 1m", &|options| options.connections.max_age = Some(Duration::from_secs(60))),
        ("max_age 0s", &|_| {}),
        ("max_idle_conns 7", &|options| options.connections.most = Some(7)),
        ("max_idle_conns 0", &|_| {}),
        ("source_address 192.0.2.9", &|options| options.connections.source = "192.0.2.9".parse().ok()),
        ("read_timeout 700ms", &|options| options.read_timeout = Duration::from_millis(700)),
        ("max_fails 5", &|options| options.check.max_fails = 5),
        ("max_connect_attempts 4", &|options| options.max_connect_attempts = 4),
        ("max_concurrent 9", &|options| options.max_concurrent = 9),
        ("health_check 3s no_rec domain h.test", &|options| {
            options.check.interval = Duration::from_secs(3);
            options.check.recursion_desired = false;
            options.check.domain = name("h.test");
        }),
        ("health_check 0s", &|_| {}),
        ("policy round_robin", &|options| options.policy = Policy::RoundRobin),
        ("policy sequential", &|options| options.policy = Policy::Sequential),
        ("policy random", &|_| {}),
        ("next NXDOMAIN SERVFAIL", &|options| options.next = vec![Rcode::NXDOMAIN, Rcode::SERVFAIL]),
        ("next_on_nodata", &|options| options.next_on_nodata = true),
        ("failover REFUSED", &|options| options.failover = vec![Rcode::REFUSED]),
        ("failfast_all_unhealthy_upstreams", &|options| options.failfast = true),
        ("doh_method GET", &|options| options.doh_method = Method::Get),
        ("tls", &|_| {}),
        ("tls ca.pem", &|options| options.tls.authority = Some("ca.pem".into())),
        ("tls cert.pem key.pem", &|options| options.tls.identity = Some(("cert.pem".into(), "key.pem".into()))),
        ("tls cert.pem key.pem ca.pem", &|options| {
            options.tls.identity = Some(("cert.pem".into(), "key.pem".into()));
            options.tls.authority = Some("ca.pem".into());
        }),
        ("tls_servername dns.test", &|options| options.tls.server_name = Some("dns.test".into())),
    ];
    for (words, change) in cases {
        let mut expected = Options::new(Name::root(), vec![SocketAddr::from(([192, 0, 2, 1], 53)).into()]);
        change(&mut expected);
        assert_eq!(with(words), expected, "{words}");
    }
}

#[test]
fn mistakes_are_named() {
    Bench::errors(
        &DEFINITION,
        &[
            ("forward", "expected: forward FROM TO..."),
            ("forward .", "expected: forward FROM TO..."),
            (
                "forward . dns.example.org {\nresolver 127.0.0.1:1\n}",
                "the host name 'dns.example.org' cannot be resolved: 127.0",
            ),
            ("forward . 192.0.2.1 {\nresolver\n}", "expected: resolver IP[:PORT]..."),
            ("forward . 192.0.2.1 {\nresolver dns.example.org\n}", "'dns.example.org' is no IP[:PORT]"),
            ("forward . 192.0.2.1 {\nstrict yes\n}", "expected: strict"),
            ("forward . quic://192.0.2.1", "quic:// are not supported by dunlin yet"),
            ("forward . tls://192.0.2.1 {\ntls /no/such/ca.pem\n}", "open /no/such/ca.pem: No such file"),
            ("forward . tls://192.0.2.1 {\ntls a b c d\n}", "expected: tls [CERT KEY] [CA]"),
            ("forward . tls://192.0.2.1%a.test {\ntls_servername b.test\n}", "expected one of them"),
            ("forward . tls://192.0.2.1 {\ntls_servername -\n}", "is no server name"),
            ("forward . 192.0.2.1 {\ndoh_method PUT\n}", "expected POST or GET"),
            ("forward . 192.0.2.1 {\nmax_age 5s\n}", "max_age must not be below expire"),
            ("forward . 192.0.2.1 {\nsource_address ::1\n}", "one is IPv4, the other IPv6"),
            ("forward . 192.0.2.1 {\nsource_address x\n}", "'x' is no IP address"),
            ("forward . /no/such/resolv.conf {\nstrict\n}", "not an IP address or file: '/no/such/resolv.conf'"),
            (
                "forward . 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9 1.1.1.10 1.1.1.11 \
                 1.1.1.12 1.1.1.13 1.1.1.14 1.1.1.15 1.1.1.16",
                "more than 15 TOs configured: 16",
            ),
            ("forward . 192.0.2.1 {\nexcept\n}", "expected: except NAME..."),
            ("forward . 192.0.2.1 {\nforce_tcp yes\n}", "expected: force_tcp"),
            ("forward . 192.0.2.1 {\nexpire\n}", "expected: expire DURATION"),
            ("forward . 192.0.2.1 {\nexpire 10\n}", "10"),
            ("forward . 192.0.2.1 {\nread_timeout 0s\n}", "must be above zero"),
            ("forward . 192.0.2.1 {\nmax_fails -1\n}", "max_fails is not a number"),
            ("forward . 192.0.2.1 {\npolicy fastest\n}", "unknown policy 'fastest'"),
            ("forward . 192.0.2.1 {\nhealth_check\n}", "expected: health_check DURATION"),
            ("forward . 192.0.2.1 {\nhealth_check 1s tcp\n}", "unknown option 'tcp'"),
            ("forward . 192.0.2.1 {\nhealth_check 1s domain\n}", "expected: health_check DURATION"),
            ("forward . 192.0.2.1 {\nfailover NOERROR\n}", "failover does not take NOERROR"),
            ("forward . 192.0.2.1 {\nnext NOSUCH\n}", "unknown rcode 'NOSUCH'"),
            ("forward . 192.0.2.1 {\nspray\n}", "unknown property 'spray'"),
        ],
    );
}

#[test]
fn proxy_runs_as_forward_and_says_so() {
    for (lines, line) in [
        ("proxy . 192.0.2.1", "runs as: forward . 192.0.2.1"),
        (
            "proxy . 192.0.2.1 192.0.2.2 {\npolicy first\nfail_timeout 10s\nmax_fails 1\nhealth_check /health:8080 10s\n\
             except a.test\nspray\nprotocol dns force_tcp\n}",
            "runs as: forward . 192.0.2.1 192.0.2.2 { policy sequential; except a.test; force_tcp }",
        ),
        ("proxy . 192.0.2.1 {\npolicy least_conn\nprotocol https_google\n}", "runs as: forward . 192.0.2.1"),
        ("proxy . 192.0.2.1 {\npolicy round_robin\n}", "runs as: forward . 192.0.2.1 { policy round_robin }"),
    ] {
        let bench = Bench::new();
        bench.set_up(&PROXY, lines).unwrap();
        let parts = bench.done();
        assert_eq!((parts.plan.chain.len(), parts.process.warnings.len()), (1, 1));
        let warning = &parts.process.warnings[0];
        assert!(warning.starts_with("Corefile:2 - plugin/proxy: ") && warning.ends_with(line), "{warning}");
    }
    Bench::errors(
        &PROXY,
        &[
            ("proxy .", "expected: forward FROM TO..."),
            ("proxy . 192.0.2.1 {\nprotocol grpc insecure\n}", "'protocol grpc' is not supported by dunlin yet"),
            ("proxy . 192.0.2.1 {\nupstream\n}", "unknown property 'upstream'"),
        ],
    );
}
