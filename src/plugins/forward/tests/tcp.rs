//! Over TCP: kept connections, many queries on each, and what their ends cost.

use super::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

fn connections(upstream: &Fake) -> usize {
    upstream.seen().iter().map(|seen| seen.from).collect::<HashSet<_>>().len()
}

#[tokio::test]
async fn the_client_s_transport_is_used() {
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |_| {});
    for _ in 0..5 {
        assert_eq!(relay.message(&over_tcp(question())).await.answers.len(), 1);
    }
    assert!(upstream.seen().iter().all(|seen| seen.transport == Transport::Tcp));
    assert_eq!(connections(&upstream), 1, "the connection is kept");
    let labels = format!("proto=\"tcp\",proxy_name=\"forward\",to=\"{}\"", upstream.address);
    assert!(relay.counted(&format!("coredns_proxy_conn_cache_hits_total{{{labels}}} 4")));
    assert!(relay.counted(&format!("coredns_proxy_conn_cache_misses_total{{{labels}}} 1")));
}

#[tokio::test]
async fn force_tcp_forces_and_large_replies_stay_whole_for_the_cache() {
    let upstream = Fake::start(|seen| vec![Act::Send(answer(&seen.packet, 200))]).await;
    let relay = Relay::new(&[upstream.address], |options| options.force_tcp = true);
    let message = relay.message(&question()).await;
    assert!(!message.metadata.truncation && message.answers.len() == 200);
    assert_eq!(relay.message(&over_tcp(question())).await.answers.len(), 200);
    assert!(upstream.seen().iter().all(|seen| seen.transport == Transport::Tcp));
}

#[tokio::test]
async fn queries_do_not_wait_for_each_other() {
    let upstream = Fake::start(|seen| {
        let records = seen.packet[HEADER + 1] - b'0';
        vec![Act::Wait(Duration::from_millis(u64::from(100 - 10 * records))), Act::Send(answer(&seen.packet, records))]
    })
    .await;
    let relay = Relay::new(&[upstream.address], |options| options.read_timeout = Duration::from_secs(2));
    let requests: Vec<_> = (0..27)
        .map(|index| over_tcp(request(query(&format!("{}x{index}.test", index % 9 + 1), RecordType::A))))
        .collect();
    let began = Instant::now();
    let messages = futures_util::future::join_all(requests.iter().map(|request| relay.message(request))).await;
    assert!(began.elapsed() < Duration::from_millis(1000));
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message.answers.len(), index % 9 + 1);
    }
    assert_eq!(connections(&upstream), 1, "one connection takes them all");
}

#[tokio::test]
async fn a_burst_opens_a_bounded_number_of_connections() {
    let upstream =
        Fake::start(|seen| vec![Act::Wait(Duration::from_millis(200)), Act::Send(answer(&seen.packet, 1))]).await;
    let relay = Relay::new(&[upstream.address], |options| options.read_timeout = Duration::from_secs(4));
    let request = over_tcp(question());
    let messages = futures_util::future::join_all((0..1000).map(|_| relay.message(&request))).await;
    assert_eq!(messages.len(), 1000);
    assert!((2..=16).contains(&connections(&upstream)), "{}", connections(&upstream));
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let upstream = Fake::start(|seen| vec![Act::Send(answer(&seen.packet, 1)), Act::Close]).await;
    let relay = Relay::new(&[upstream.address], |_| {});
    for _ in 0..5 {
        assert_eq!(relay.message(&over_tcp(question())).await.answers.len(), 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(connections(&upstream), 5);
    assert_eq!(upstream.seen().len(), 5, "nothing was sent twice");
}

#[tokio::test]
async fn a_connection_closed_under_a_query_costs_one_more_try() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Fake::start(move |seen| match count.fetch_add(1, Relaxed) {
        1 => vec![Act::Close],
        _ => vec![Act::Send(answer(&seen.packet, 1))],
    })
    .await;
    let relay = Relay::new(&[upstream.address], |options| options.max_connect_attempts = 1);
    for _ in 0..2 {
        assert_eq!(relay.message(&over_tcp(question())).await.answers.len(), 1);
    }
    assert_eq!((connections(&upstream), upstream.seen().len()), (2, 3));
}

#[tokio::test]
async fn a_stuck_connection_is_given_up() {
    let stuck = Arc::new(AtomicBool::new(true));
    let flag = stuck.clone();
    let upstream = Fake::start(move |seen| match flag.load(Relaxed) {
        true => Vec::new(),
        false => vec![Act::Send(answer(&seen.packet, 1))],
    })
    .await;
    let relay = Relay::new(&[upstream.address], |options| options.max_connect_attempts = 1);
    let outcome = relay.ask(&over_tcp(question())).await;
    assert!(failure(&outcome).reason.ends_with("i/o timeout"));
    stuck.store(false, Relaxed);
    assert_eq!(relay.message(&over_tcp(question())).await.answers.len(), 1);
    assert_eq!(connections(&upstream), 2);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |options| options.connections.expire = Duration::from_millis(50));
    relay.message(&over_tcp(question())).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    relay.message(&over_tcp(question())).await;
    assert_eq!(connections(&upstream), 2);
}

#[tokio::test]
async fn nobody_listens() {
    let closed = closed().await;
    let outcome = Relay::new(&[closed], |_| {}).ask(&over_tcp(question())).await;
    let reason = &failure(&outcome).reason;
    assert!(reason.starts_with("dial tcp 127.0.0.1:") && reason.ends_with(": connect: connection refused"), "{reason}");
}
