//! `prefetch` and `serve_stale`.

use super::*;
use crate::plugin::Failure;
use std::time::{Duration, Instant};

const NEWER: [&[Line<'static>]; 3] = [&[("", RecordType::A, 60, b"\x0a\x00\x00\x02")], &[], &[]];

fn answers(sections: [&'static [Line<'static>]; 3]) -> impl Fn(&Request) -> Outcome + Send + Sync + Clone {
    move |request| Outcome::Reply(Reply::new(reply(&request.packet, NOERROR, sections)))
}

fn fails(_: &Request) -> Outcome {
    Outcome::Failed(Failure::servfail("i/o timeout"))
}

/// The TTL and the last octet of the address.
fn first(packet: &[u8]) -> (u32, u8) {
    let message = Message::from_vec(packet).unwrap();
    (message.answers[0].ttl, *packet.last().unwrap())
}

fn first_of(outcome: &Outcome) -> (u32, u8) {
    match outcome {
        Outcome::Reply(reply) => first(&reply.packet),
        other => panic!("{other:?}"),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn stocked(lines: &str) -> Stand {
    let stand = Stand::new(lines);
    stand.ask(&question("www.example.org", 0), answers(ONE)).await;
    stand
}

#[tokio::test]
async fn a_popular_answer_is_fetched_before_its_end() {
    let stand = stocked("cache {\nprefetch 3 10s 50%\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    // Popular, but not near its end.
    assert!((0..5).all(|_| stand.hit(&at(20)).is_some()));
    // Near its end, but long after the last hit: popularity starts anew.
    assert!(stand.hit(&at(31)).is_some() && stand.hit(&at(32)).is_some());
    assert!(stand.hit(&at(33)).is_none(), "the third hit goes to the slow lane");
    let outcome = stand.ask(&at(33), answers(NEWER)).await;
    assert_eq!(first_of(&outcome), (27, 1), "nobody waits");
    until("the newer one is there", || stand.hit(&at(34)).is_some_and(|hit| first(&hit).1 == 2)).await;
    assert_eq!(first(&stand.hit(&at(34)).unwrap()), (59, 2));
    assert_eq!(stand.asked(), 2);
    assert_eq!(stand.counted("coredns_cache_prefetch_total{server=\"dns://:53\"").await, 1.0);
}

#[tokio::test]
async fn an_unpopular_answer_is_left_to_expire() {
    let stand = stocked("cache {\nprefetch 3 10s 50%\n}").await;
    for seconds in [0, 11, 22, 33, 44, 55] {
        assert!(stand.hit(&question("www.example.org", seconds)).is_some(), "{seconds}");
    }
}

#[tokio::test]
async fn a_stale_answer_is_given_at_once_and_fetched() {
    let stand = stocked("cache {\nserve_stale 1h immediate\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    assert!(stand.hit(&at(100)).is_none());
    let outcome = stand.ask(&at(100), answers(NEWER)).await;
    assert_eq!(first_of(&outcome), (0, 1));
    until("the newer one is there", || stand.hit(&at(101)).is_some_and(|hit| first(&hit).1 == 2)).await;
    assert_eq!(stand.asked(), 2);
    // The looks for the newer one may have met the stale one too.
    assert!(stand.counted("coredns_cache_served_stale_total{server=\"dns://:53\"").await >= 1.0);
}

#[tokio::test]
async fn it_is_given_while_the_upstream_is_down_and_no_longer_than_said() {
    let stand = stocked("cache {\nserve_stale 1h immediate 7s 30s\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    let outcome = stand.ask(&at(100), fails).await;
    assert_eq!(first_of(&outcome), (7, 1));
    // The upstream has failed, so the fast lane goes on by itself for half a minute.
    until("the upstream has failed", || stand.asked() == 2).await;
    until("it rests", || stand.hit(&at(101)).is_some()).await;
    assert_eq!(first(&stand.hit(&at(129)).unwrap()), (7, 1));
    until("it is tried again", || stand.hit(&at(140)).is_none()).await;
    assert_eq!(first_of(&stand.ask(&at(3659), fails).await), (7, 1));
    assert_eq!(stand.ask(&at(3660), fails).await, fails(&at(0)));
}

#[tokio::test]
async fn verify_asks_first() {
    let stand = stocked("cache {\nserve_stale 1h verify\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    assert_eq!(first_of(&stand.ask(&at(100), fails).await), (0, 1));
    assert_eq!(first_of(&stand.ask(&at(101), answers(NEWER)).await), (60, 2));
    assert_eq!(first(&stand.hit(&at(102)).unwrap()), (59, 2));
}

#[tokio::test]
async fn verify_waits_no_longer_than_said() {
    struct Never;
    impl Handler for Never {
        fn name(&self) -> &'static str {
            "never"
        }
        fn handle<'a>(&'a self, _: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
            Box::pin(std::future::pending())
        }
    }
    let stand = stocked("cache {\nserve_stale 1h verify 50ms\n}").await;
    let mut chain = stand.bench.done().plan.chain.clone();
    chain.push(Arc::new(Never));
    let request = question("www.example.org", 100);
    let began = Instant::now();
    let all = futures_util::future::join_all((0..5).map(|_| Next::all(&chain).run(&request))).await;
    assert!(all.iter().all(|outcome| first_of(outcome) == (0, 1)));
    assert!((45..2000).contains(&began.elapsed().as_millis()));
}

#[tokio::test]
async fn an_error_never_takes_the_place_of_a_stale_answer() {
    for mode in ["immediate", "verify"] {
        let stand = stocked(&format!("cache {{\nserve_stale 1h {mode}\n}}")).await;
        let servfail = |request: &Request| Outcome::Reply(Reply::new(reply(&request.packet, 0x0082, [&[], &[], &[]])));
        for second in 0..3 {
            let outcome = stand.ask(&question("www.example.org", 100 + second), servfail).await;
            assert_eq!(first_of(&outcome), (0, 1), "{mode}");
            until("the refresh is over", || stand.asked() == 2 + second as usize).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn errors_do_not_become_stale() {
    let stand = Stand::new("cache {\nserve_stale 1h\n}");
    stand.message(&question("www.example.org", 0), 0x0082, [&[], &[], &[]]).await;
    assert_eq!(stand.ask(&question("www.example.org", 10), fails).await, fails(&question("www.example.org", 0)));
}

const DENIED: [&[Line<'static>]; 3] = [&[], &[("example.org", RecordType::SOA, 300, SOA)], &[]];

fn denies(request: &Request) -> Outcome {
    Outcome::Reply(Reply::new(reply(&request.packet, 0x0083, DENIED)))
}

#[tokio::test]
async fn rfc8767_is_verify_with_its_numbers() {
    let options = &inside("cache {\nserve_stale 24h rfc8767\n}").options;
    let stale = options.stale.unwrap();
    assert_eq!((stale.verify, stale.ttl, stale.recheck), (Some(Some(Duration::from_millis(1800))), 30, 30));
    let stand = stocked("cache {\nserve_stale 24h rfc8767 50ms\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    // The upstream is asked first, and what it says in time is given.
    assert_eq!(first_of(&stand.ask(&at(100), answers(NEWER)).await), (60, 2));
    // When it fails, the stale answer, and then nobody asks for half a minute.
    assert_eq!(first_of(&stand.ask(&at(200), fails).await), (30, 2));
    until("it rests", || stand.hit(&at(201)).is_some()).await;
    assert_eq!(first(&stand.hit(&at(229)).unwrap()), (30, 2));
    assert!(stand.hit(&at(231)).is_none(), "it is tried again");
    // An answer that says no is an answer.
    let denied = stand.ask(&at(300), denies).await;
    assert!(matches!(denied, Outcome::Reply(reply) if reply.rcode() == crate::wire::Rcode::NXDOMAIN));
}

#[tokio::test]
async fn prefer_positive_keeps_the_answer_beside_a_denial() {
    for mode in ["immediate", "verify", "rfc8767"] {
        let policy = "serve_stale_policy prefer_positive";
        let stand = stocked(&format!("cache {{\nserve_stale 1h {mode}\n{policy}\n}}")).await;
        let at = |seconds| question("www.example.org", seconds);
        let outcome = stand.ask(&at(100), denies).await;
        assert_eq!(first_of(&outcome).1, 1, "{mode}: the stale answer, not the denial");
        // While the denial holds it is not asked for again, in either lane.
        until("the denial is there", || stand.asked() == 2 && stand.hit(&at(399)).is_some()).await;
        assert_eq!(first(&stand.hit(&at(399)).unwrap()).1, 1);
        assert_eq!(stand.asked(), 2, "{mode}");
        // Then the upstream has an answer again.
        assert!(stand.hit(&at(500)).is_none());
        stand.ask(&at(500), answers(NEWER)).await;
        until("the newer one is there", || stand.hit(&at(501)).is_some_and(|hit| first(&hit).1 == 2)).await;
        // An answer that nobody may give any more hides nothing.
        let denied = stand.ask(&at(500 + 3700), denies).await;
        assert!(matches!(denied, Outcome::Reply(reply) if reply.rcode() == crate::wire::Rcode::NXDOMAIN));
    }
    // Without the policy the denial stands.
    let stand = stocked("cache {\nserve_stale 1h verify\n}").await;
    let denied = stand.ask(&question("www.example.org", 100), denies).await;
    assert!(matches!(denied, Outcome::Reply(reply) if reply.rcode() == crate::wire::Rcode::NXDOMAIN));
}

#[tokio::test]
async fn prefer_positive_is_not_fooled_by_an_empty_answer() {
    let stand = stocked("cache {\nserve_stale 1h\nserve_stale_policy prefer_positive\n}").await;
    let at = |seconds| question("www.example.org", seconds);
    for second in 0..3 {
        assert_eq!(first_of(&stand.ask(&at(100 + second), answers([&[], &[], &[]])).await), (0, 1));
        until("the refresh is over", || stand.asked() == 2 + second as usize).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_failed_prefetch_leaves_the_answer_alone() {
    let stand = stocked("cache {\nprefetch 1 1m 90%\n}").await;
    let servfail = |request: &Request| Outcome::Reply(Reply::new(reply(&request.packet, 0x0082, [&[], &[], &[]])));
    assert_eq!(first_of(&stand.ask(&question("www.example.org", 40), servfail).await), (20, 1));
    until("it has failed", || stand.asked() == 2).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(first_of(&stand.ask(&question("www.example.org", 41), servfail).await), (19, 1));
}
