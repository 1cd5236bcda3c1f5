//! Many queries with a system call, and what becomes of those that it does not take.

use super::*;
use crate::engine::send_connected;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What many questions at once are answered with, in their order; they have names of one length, and of another.
async fn ask_many(relay: &Relay, names: impl Iterator<Item = String>) -> Vec<Outcome> {
    let requests: Vec<_> = names.map(|name| request(query(&name, RecordType::A))).collect();
    futures_util::future::join_all(requests.iter().map(|request| relay.ask(request))).await
}

fn is_answered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Reply(reply) if reply.packet[7] == 1)
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn counted(socket: BorrowedFd<'_>, packets: &[&[u8]]) -> io::Result<usize> {
    CALLS.fetch_add(1, Relaxed);
    send_connected(socket, packets)
}

#[tokio::test]
async fn queries_of_one_moment_go_together() {
    let upstream = good().await;
    let relay = Relay::with(Datagrams { send: counted, ..DATAGRAMS }, &[upstream.address], |_| {});
    let outcomes = ask_many(&relay, (0..200).map(|number| format!("h{number}.example.org"))).await;
    assert!(outcomes.iter().all(is_answered));
    // Two draws in a row may fall on one port, and share no call for that.
    assert_eq!(CALLS.load(Relaxed), 200_usize.div_ceil(Datagrams::MOST));
}

/// One a call, and none that is longer than the others.
fn narrow(socket: BorrowedFd<'_>, packets: &[&[u8]]) -> io::Result<usize> {
    match packets[0].len() {
        40.. => Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
        _ => send_connected(socket, &packets[..1]),
    }
}

#[tokio::test]
async fn one_that_is_not_taken_fails_alone() {
    let upstream = good().await;
    let relay = Relay::with(Datagrams { send: narrow, ..DATAGRAMS }, &[upstream.address], |options| {
        options.max_connect_attempts = 1;
    });
    let name =
        |number| if number % 3 == 0 { format!("too-long-{number:03}.example.org") } else { "h.example.org".into() };
    let outcomes = ask_many(&relay, (0..100).map(name)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        if number % 3 == 0 {
            let reason = &failure(outcome).reason;
            let ends = format!("->{}: write: message too long", upstream.address);
            assert!(reason.starts_with("write udp 127.0.0.1:") && reason.ends_with(&ends), "{reason}");
        } else {
            assert!(is_answered(outcome), "{outcome:?}");
        }
    }
}

static REFUSALS: AtomicUsize = AtomicUsize::new(0);

/// Has no room at first.
fn full(socket: BorrowedFd<'_>, packets: &[&[u8]]) -> io::Result<usize> {
    match REFUSALS.fetch_add(1, Relaxed) {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => send_connected(socket, packets),
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_is_sent_when_there_is() {
    let upstream = good().await;
    let relay = Relay::with(Datagrams { send: full, ..DATAGRAMS }, &[upstream.address], |options| {
        options.max_connect_attempts = 1;
    });
    let outcomes = ask_many(&relay, (0..100).map(|number| format!("h{number}.example.org"))).await;
    assert!(outcomes.iter().all(is_answered));
    assert_eq!(REFUSALS.load(Relaxed), 1 + 100_usize.div_ceil(Datagrams::MOST));
}

#[tokio::test]
async fn who_waits_for_room_gives_up_in_time() {
    let upstream = good().await;
    let never = |_: BorrowedFd<'_>, _: &[&[u8]]| Err(io::ErrorKind::WouldBlock.into());
    let relay = Relay::with(Datagrams { send: never, ..DATAGRAMS }, &[upstream.address], |options| {
        options.max_connect_attempts = 1;
        options.read_timeout = Duration::from_millis(50);
    });
    let outcomes = ask_many(&relay, (0..100).map(|number| format!("h{number}.example.org"))).await;
    for outcome in &outcomes {
        assert!(failure(outcome).reason.ends_with("i/o timeout"), "{outcome:?}");
    }
    assert_eq!((relay.forward.upstreams[0].waiting(), upstream.seen().len()), (0, 0));
}

#[test]
fn sockets_whose_runtime_is_gone_are_replaced() {
    let relay = Relay::new(&["127.0.0.1:9".parse().unwrap()], |_| {});
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcomes = runtime.block_on(ask_many(&relay, (0..20).map(|number| format!("h{number}.example.org"))));
        for outcome in outcomes {
            // Nobody listens there: that is heard where somebody sends, and listens.
            assert!(failure(&outcome).reason.ends_with("connection refused"), "{outcome:?}");
        }
    }
}
