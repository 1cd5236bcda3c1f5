//! Who is asked, who is passed over, who is asked again.

use super::super::upstream::Health;
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Upstreams asked for the client's question, health checks left out.
fn asked(upstream: &Fake) -> usize {
    upstream.seen().iter().filter(|seen| seen.packet.len() > 30).count()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_that_is_down_is_passed_over_until_it_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let flag = well.clone();
    let sick = Fake::start(move |seen| match flag.load(Relaxed) {
        true => vec![Act::Send(answer(&seen.packet, 2))],
        false => {
            // What answers with garbage is as sick as what says nothing, and faster for a test.
            vec![Act::Send(vec![0; 12])]
        }
    })
    .await;
    let good = good().await;
    let relay = Relay::new(&[sick.address, good.address], |options| {
        options.policy = Policy::Sequential;
        options.read_timeout = Duration::from_millis(50);
        options.check.max_fails = 1;
        options.check.interval = Duration::from_millis(10);
        options.check.domain = Name::from_text("health.test").unwrap();
        options.check.recursion_desired = false;
    });
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
    let upstream = &relay.forward.upstreams[0];
    until("it is down", || upstream.health() == Health::Down).await;
    let no_failed_check = format!("dunlin_forward_failed_checks{{to=\"{}\"}} 0", sick.address);
    until("its failed checks are shown", || !relay.counted(&no_failed_check)).await;
    let before = asked(&sick);
    for _ in 0..5 {
        assert_eq!(relay.message(&question()).await.answers.len(), 1);
    }
    assert_eq!(asked(&sick), before, "nobody waits for it");
    let probe = sick.seen().into_iter().find(|seen| seen.packet.len() <= 30).unwrap();
    let expected = b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06health\x04test\x00\x00\x02\x00\x01";
    assert!(probe.packet[2..].eq_ignore_ascii_case(expected));
    well.store(true, Relaxed);
    until("it is well", || upstream.health() == Health::Well).await;
    until("no failed check is shown", || relay.counted(&no_failed_check)).await;
    assert_eq!(relay.message(&question()).await.answers.len(), 2);
    let probes = sick.seen().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sick.seen().len(), probes, "no checks of one that is well");
    let labels = format!("proxy_name=\"forward\",to=\"{}\"", sick.address);
    assert!(relay.counted(&format!("coredns_proxy_healthcheck_failures_total{{{labels}}}")));
}

#[tokio::test]
async fn no_checks_with_max_fails_0() {
    let silent = silent().await;
    let relay = Relay::new(&[silent.address], |options| options.check.interval = Duration::from_millis(5));
    relay.ask(&question()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(silent.seen().len(), asked(&silent));
}

#[tokio::test]
async fn checks_end_with_their_plan() {
    let silent = silent().await;
    let relay = Relay::new(&[silent.address], |options| {
        options.check.max_fails = 1;
        options.read_timeout = Duration::from_millis(10);
    });
    relay.ask(&question()).await;
    let upstream = Arc::downgrade(&relay.forward.upstreams[0]);
    drop(relay);
    until("nothing holds it", || upstream.upgrade().is_none()).await;
}

#[tokio::test]
async fn when_all_are_down_one_is_asked_anyway_or_not() {
    for failfast in [false, true] {
        let closed = closed().await;
        let relay = Relay::new(&[closed], |options| {
            options.check.max_fails = 1;
            options.check.interval = Duration::from_millis(5);
            options.failfast = failfast;
        });
        relay.ask(&question()).await;
        until("it is down", || relay.forward.upstreams[0].health() == Health::Down).await;
        let outcome = relay.ask(&question()).await;
        let reason = &failure(&outcome).reason;
        assert_eq!(reason == "no healthy proxies", failfast, "{reason}");
        assert!(!relay.counted("coredns_forward_healthcheck_broken_total 0"));
    }
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let (one, two) = (good().await, good().await);
    let relay = Relay::new(&[one.address, two.address], |options| options.policy = Policy::RoundRobin);
    for _ in 0..10 {
        relay.message(&question()).await;
    }
    assert_eq!((one.seen().len(), two.seen().len()), (5, 5));
}

#[tokio::test]
async fn failover_looks_further_and_the_last_answer_stands() {
    let refusing = || {
        Fake::start(|seen| {
            let mut packet = answer(&seen.packet, 0);
            packet[3] |= 5;
            vec![Act::Send(packet)]
        })
    };
    let (one, two, good) = (refusing().await, refusing().await, good().await);
    let change = |options: &mut Options| {
        options.policy = Policy::Sequential;
        options.failover = vec![Rcode::REFUSED];
    };
    let relay = Relay::new(&[one.address, good.address], change);
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
    let relay = Relay::new(&[one.address, two.address], change);
    assert_eq!(u16::from(relay.message(&question()).await.metadata.response_code), 5);
    assert_eq!((one.seen().len(), two.seen().len()), (2, 1));
}

#[tokio::test]
async fn next_leaves_replies_to_the_next_forward() {
    let empty = Fake::start(|seen| vec![Act::Send(answer(&seen.packet, 0))]).await;
    let good = good().await;
    let forward = |address: SocketAddr, nodata, next: Vec<Rcode>| {
        let mut options = Options::new(Name::root(), vec![address.into()]);
        (options.next_on_nodata, options.next) = (nodata, next);
        Arc::new(Forward::new(options, &Metrics::new(), DATAGRAMS).unwrap().0) as Arc<dyn Handler>
    };
    for (nodata, next, expected) in
        [(true, vec![], 1), (false, vec![Rcode::NOERROR], 1), (false, vec![Rcode::NXDOMAIN], 0)]
    {
        let chain = [forward(empty.address, nodata, next), forward(good.address, false, vec![])];
        let outcome = Next::all(&chain).run(&question()).await;
        let Outcome::Reply(reply) = outcome else { panic!("{outcome:?}") };
        assert_eq!(Message::from_vec(&reply.packet).unwrap().answers.len(), expected);
    }
    // Behind the last forward there is nobody to leave it to.
    let chain = [forward(empty.address, true, vec![])];
    assert!(matches!(Next::all(&chain).run(&question()).await, Outcome::Reply(_)));
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let silent = silent().await;
    let relay = Relay::new(&[silent.address], |options| {
        options.max_concurrent = 2;
        options.max_connect_attempts = 1;
    });
    let request = question();
    let asking = futures_util::future::join_all((0..5).map(|_| relay.ask(&request)));
    let two_wait = until("two wait", || relay.counted("dunlin_forward_concurrent_queries 2"));
    let (outcomes, ()) = futures_util::future::join(asking, two_wait).await;
    let refused: Vec<_> = outcomes.iter().map(failure).filter(|failure| failure.rcode == Rcode::REFUSED).collect();
    assert_eq!(refused.len(), 3);
    assert_eq!(refused[0].reason, "concurrent queries exceeded maximum 2");
    assert!(relay.counted("coredns_forward_max_concurrent_rejects_total 3"));
    assert_eq!(failure(&relay.ask(&request).await).rcode, Rcode::SERVFAIL, "there is room again");
}

#[tokio::test]
async fn names_outside_from_and_in_except_pass() {
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |options| {
        options.from = Name::from_text("example.org").unwrap();
        options.except =
            vec![Name::from_text("internal.example.org").unwrap(), Name::from_text("example.org").unwrap()];
    });
    for (name, forwarded) in
        [("example.org", true), ("www.example.org", false), ("a.internal.example.org", false), ("example.com", false)]
    {
        let outcome = relay.ask(&request(query(name, RecordType::A))).await;
        assert_eq!(matches!(outcome, Outcome::Reply(_)), forwarded, "{name}");
    }
}

#[tokio::test]
async fn a_dead_upstream_costs_one_timeout() {
    // Checked, or tried by a query now and then.
    for max_fails in [0, 100] {
        let (silent, good) = (silent().await, good().await);
        let relay = Relay::new(&[silent.address, good.address], |options| {
            options.policy = Policy::Sequential;
            options.check.max_fails = max_fails;
        });
        for _ in 0..20 {
            assert_eq!(relay.message(&question()).await.answers.len(), 1);
        }
        assert_eq!((asked(&silent), asked(&good)), (1, 20), "max_fails {max_fails}");
        tokio::time::sleep(Duration::from_millis(2100)).await;
        for _ in 0..5 {
            relay.message(&question()).await;
        }
        assert_eq!(asked(&silent), if max_fails == 0 { 2 } else { 1 }, "max_fails {max_fails}");
    }
}

#[tokio::test]
async fn a_name_that_is_never_answered_is_not_the_upstream_s_fault() {
    let picky = Fake::start(|seen| match seen.packet.windows(4).any(|part| part.eq_ignore_ascii_case(b"dead")) {
        true => Vec::new(),
        false => vec![Act::Send(answer(&seen.packet, 2))],
    })
    .await;
    let other = good().await;
    let relay = Relay::new(&[picky.address, other.address], |options| options.policy = Policy::Sequential);
    let dead = request(query("dead.example.org", RecordType::A));
    let well = question();
    let asking_others = async {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            assert_eq!(relay.message(&well).await.answers.len(), 2, "the first one goes on");
        }
    };
    let (dead, ()) = tokio::join!(relay.message(&dead), asking_others);
    assert_eq!(dead.answers.len(), 1, "the second one knew");
}

#[tokio::test]
async fn down_upstreams_are_not_hammered() {
    let silent = [silent().await, silent().await];
    let relay = Relay::new(&[silent[0].address, silent[1].address], |options| {
        options.check.max_fails = 1;
        options.read_timeout = Duration::from_millis(100);
        options.max_connect_attempts = 1;
    });
    for upstream in &relay.forward.upstreams {
        upstream.make_down();
    }
    let began = Instant::now();
    let request = question();
    let mut failed = 0;
    while began.elapsed() < Duration::from_millis(1000) {
        let outcomes = futures_util::future::join_all((0..50).map(|_| relay.ask(&request))).await;
        assert!(outcomes.iter().all(|outcome| failure(outcome).rcode == Rcode::SERVFAIL));
        failed += outcomes.len();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked = asked(&silent[0]) + asked(&silent[1]);
    let most = 2 * (began.elapsed().as_millis() / 50 + 1);
    assert!(failed >= 250 && (2..=most as usize).contains(&asked), "{asked} of {failed}");
    assert!(!relay.counted("coredns_forward_healthcheck_broken_total 0"));
}
