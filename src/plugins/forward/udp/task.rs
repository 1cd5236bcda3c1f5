//! The task of a pool: sends what the queries have left, and listens on all ports.

use super::super::upstream::words;
use super::{Line, Sending, Shared};
use crate::plugin::Datagrams;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long a port without room is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Sends and receives for a pool.
pub(super) struct Task {
    shared: Arc<Shared>,
    opened: Vec<Arc<Line>>,
    outgoing: Vec<Sending>,
    octets: Vec<u8>,
    /// When to try again what a port had no room for.
    again: Option<Pin<Box<Sleep>>>,
}

impl Task {
    pub fn new(shared: Arc<Shared>) -> Task {
        Task { shared, opened: Vec::new(), outgoing: Vec::new(), octets: Vec::new(), again: None }
    }

    /// Serves until the pool is gone.
    pub async fn run(mut self) {
        // A wake-up looks only at the ports where something came.
        let mut listening = FuturesUnordered::new();
        poll_fn(|context| {
            self.shared.waker.register(context.waker());
            if self.empty_tray() {
                return Poll::Ready(());
            }
            listening.extend(self.opened.drain(..).map(|line| line.listen(self.shared.clone())));
            self.send();
            self.wait_for_room(context);
            while let Poll::Ready(Some(())) = listening.poll_next_unpin(context) {}
            Poll::Pending
        })
        .await;
    }

    /// Takes what lies in the tray. Whether the pool is gone.
    fn empty_tray(&mut self) -> bool {
        let mut tray = self.shared.tray();
        self.shared.round.fetch_add(1, Relaxed);
        self.opened.append(&mut tray.opened);
        if self.outgoing.is_empty() {
            mem::swap(&mut self.outgoing, &mut tray.outgoing);
        } else {
            self.outgoing.append(&mut tray.outgoing);
        }
        tray.is_closed
    }

    /// Sends what there is room for; what there is none for stays as long as somebody waits for it.
    fn send(&mut self) {
        self.outgoing.sort_by_key(|sending| Arc::as_ptr(&sending.line));
        let of_one_line = self.outgoing.chunk_by(|one, other| Arc::ptr_eq(&one.line, &other.line));
        for some in of_one_line.flat_map(|sendings| sendings.chunks(Datagrams::MOST)) {
            send_some(some, &mut self.octets, self.shared.datagrams);
        }
        self.outgoing.retain(|sending| !sending.is_done.get() && sending.line.waiting.has(sending.id));
    }

    /// Sees to it that what there was no room for is tried again. The system does not tell when there is: that would
    /// cost a wake-up with each packet, for what hardly ever happens.
    fn wait_for_room(&mut self, context: &mut Context<'_>) {
        while !self.outgoing.is_empty() {
            let again = self.again.get_or_insert_with(|| Box::pin(sleep(FULL_PAUSE)));
            if again.as_mut().poll(context).is_pending() {
                return;
            }
            self.again = None;
            self.send();
        }
    }
}

/// Sends some queries of one line, with one call if there is room for them. `octets` is where they are written.
fn send_some(some: &[Sending], octets: &mut Vec<u8>, datagrams: Datagrams) {
    let Some(Sending { line, .. }) = some.first() else { return };
    let mut ends = [0; Datagrams::MOST];
    octets.clear();
    for (sending, end) in some.iter().zip(&mut ends) {
        sending.query.write_in_case(sending.id, sending.pattern, octets);
        *end = octets.len();
    }
    let mut packets: [&[u8]; Datagrams::MOST] = [&[]; Datagrams::MOST];
    let mut start = 0;
    for (packet, end) in packets.iter_mut().zip(ends).take(some.len()) {
        *packet = &octets[start..end];
        start = end;
    }
    let (mut packets, mut left) = (&packets[..some.len()], some);
    while !left.is_empty() {
        let done = match (datagrams.send)(line.socket.get_ref().as_fd(), packets) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                let reason = format!("write {}: {}", line.ends, words("write", &error));
                line.waiting.fail_one(left[0].id, &reason);
                1
            }
            Ok(sent) => sent.min(left.len()),
        };
        left[..done].iter().for_each(|sending| sending.is_done.set(true));
        (packets, left) = (&packets[done..], &left[done..]);
    }
}

impl Drop for Task {
    /// Where it ends although the pool goes on (a panic), the next port to be opened gets another.
    fn drop(&mut self) {
        let mut tray = self.shared.tray();
        tray.is_served = false;
        self.opened.append(&mut tray.opened);
        self.opened.iter().for_each(|line| line.close());
    }
}
