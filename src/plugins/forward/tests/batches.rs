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
    // The first from a new socket waits until the system says that it can be written to.
    ask_many(&relay, (0..200).map(|number| format!("h{number}.example.org"))).await;
    CALLS.store(0, Relaxed);
    let outcomes = ask_many(&relay, (0..200).map(|number| format!("h{number}.example.org"))).await;
    assert!(outcomes.iter().all(is_answered));
    // Of each of eight ports as many as are full, and one more.
    let calls = CALLS.load(Relaxed);
    assert!((200 / Datagrams::MOST..=8 + 200 / Datagrams::MOST).contains(&calls), "{calls} calls for 200 queries");
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
        // The system tells that there is room again when something was sent.
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => send_connected(socket, packets),
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_waits() {
    let upstream = good().await;
    let relay = Relay::with(Datagrams { send: full, ..DATAGRAMS }, &[upstream.address], |options| {
        options.max_connect_attempts = 8;
        options.read_timeout = Duration::from_millis(200);
    });
    // The other sockets are not held up by the one that is full, and what waits there gives up when its time is over.
    let outcomes = ask_many(&relay, (0..100).map(|number| format!("h{number}.example.org"))).await;
    assert!(outcomes.iter().all(is_answered));
    assert!(REFUSALS.load(Relaxed) > 8);
    assert_eq!(relay.forward.upstreams[0].waiting(), 0);
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
