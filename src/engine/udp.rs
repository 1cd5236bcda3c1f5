//! UDP: worker threads that answer in batches of system calls, and a task beside each for its slow queries.

use super::counters::Counters;
use super::fairness::Fairness;
use super::shares::Share;
use super::slow::{SlowLane, servfail};
use super::system::{Batch, LateReply, Route, send_late};
use super::{Answerer, Arrival, Closing, Fast, Lane, Transport};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a worker rests when receiving fails for a reason that may go on (no memory).
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// How often a worker that has been told to stop looks for packets while slow queries are still in flight.
const DRAIN_PAUSE: Duration = Duration::from_millis(1);

/// How many replies of the slow lane are collected, at most, before they are sent.
const MANY: usize = 256;

/// One worker: a socket and the thread that answers what comes on it.
pub(super) struct Worker {
    pub socket: Arc<UdpSocket>,
    pub answerer: Arc<dyn Answerer>,
    pub slow: SlowLane,
    pub counters: Counters,
    pub closing: Arc<Closing>,
}

/// A query on its way to the slow lane.
struct SlowQuery {
    packet: Vec<u8>,
    arrival: Arrival,
    /// The way back, where there is one.
    route: Option<Route>,
    permit: Share,
}

type HandOff = mpsc::UnboundedSender<Vec<SlowQuery>>;

impl Worker {
    /// Starts the thread. The future answers its slow queries; it ends when the thread has and all are answered.
    ///
    /// # Errors
    /// What the system says to one more thread.
    pub fn start(self, number: usize) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        // Unbounded in type only: every query in it holds a permit of the slow lane.
        let (hand_off, queue) = mpsc::unbounded_channel();
        let beside = answer_slow_queries(queue, self.socket.clone(), self.slow.clone(), self.counters.clone());
        thread::Builder::new().name(format!("dns-udp-{number}")).spawn(move || self.run(&hand_off))?;
        Ok(beside)
    }

    /// Serves to the end; a panic that was not caught nearer costs the batch it came in.
    fn run(self, hand_off: &HandOff) {
        while catch_unwind(AssertUnwindSafe(|| self.serve(hand_off))).is_err() {
            self.counters.panics.inc();
            thread::sleep(ERROR_PAUSE);
        }
    }

    fn serve(&self, hand_off: &HandOff) {
        let Ok(bound) = self.socket.local_addr() else { return };
        let mut batch = Batch::new(bound);
        let mut lane = self.answerer.lane(Transport::Udp);
        let mut fairness = Fairness::new(&self.socket, self.counters.clone());
        loop {
            match batch.receive(&self.socket) {
                Ok(0) if self.closing.is_over() || self.slow.is_idle() => return,
                Ok(0) => thread::sleep(DRAIN_PAUSE),
                Ok(count) => {
                    fairness.received(&mut batch, count, &self.socket);
                    self.answer_batch(&mut batch, count, &mut lane, hand_off);
                    if self.closing.is_over() {
                        return;
                    }
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => thread::sleep(ERROR_PAUSE),
            }
        }
    }

    fn answer_batch(&self, batch: &mut Batch, count: usize, lane: &mut Box<dyn Lane>, hand_off: &HandOff) {
        let received = Instant::now();
        let mut slow = Vec::new();
        let mut next = 0;
        while next < count {
            let answers = || self.answer_packets(batch, &mut next, count, lane.as_mut(), &mut slow);
            if catch_unwind(AssertUnwindSafe(answers)).is_err() {
                // The lane may be in any state; the packet it was at gets the only answer left.
                *lane = self.survive(batch, next);
                next += 1;
            }
        }
        self.send(batch, lane.is_silent());
        let is_all = slow.len() == count;
        if !slow.is_empty() {
            let _ = hand_off.send(slow);
        }
        if catch_unwind(AssertUnwindSafe(|| lane.batch_ends(received.elapsed()))).is_err() {
            self.counters.panics.inc();
            *lane = self.answerer.lane(Transport::Udp);
        }
        if is_all {
            // Where both lanes have one processor the slow one goes on undisturbed, and what comes meanwhile is one batch:
            // each packet that wakes this thread would take the processor from it. Elsewhere nothing waits.
            thread::yield_now();
        }
    }

    /// Answers the packets from `next` to `count` that the fast lane can answer, and collects the others.
    fn answer_packets(
        &self,
        batch: &mut Batch,
        next: &mut usize,
        count: usize,
        lane: &mut dyn Lane,
        slow: &mut Vec<SlowQuery>,
    ) {
        lane.batch_begins();
        while *next < count {
            if !batch.has_room() {
                self.send(batch, lane.is_silent());
            }
            let slot = batch.slot(*next);
            match lane.answer(slot.packet, slot.client, slot.out) {
                Fast::Reply(len) => batch.reply(*next, len),
                Fast::Silence => {}
                Fast::Slow => slow.extend(self.slow_query(batch, *next, lane.is_silent())),
            }
            *next += 1;
        }
    }

    fn slow_query(&self, batch: &mut Batch, index: usize, silent: bool) -> Option<SlowQuery> {
        let (local, route) = (batch.local(index), (!silent).then(|| batch.route(index)));
        let slot = batch.slot(index);
        let permit = self.slow.admit(slot.client.ip())?;
        let arrival = Arrival { client: slot.client, local, transport: Transport::Udp };
        Some(SlowQuery { packet: slot.packet.to_vec(), arrival, route, permit })
    }

    fn survive(&self, batch: &mut Batch, index: usize) -> Box<dyn Lane> {
        self.counters.panics.inc();
        let slot = batch.slot(index);
        if let Some(len) = servfail(slot.packet, slot.out) {
            batch.reply(index, len);
        }
        self.answerer.lane(Transport::Udp)
    }

    fn send(&self, batch: &mut Batch, silent: bool) {
        if silent {
            return batch.forget();
        }
        let lost = batch.send(&self.socket);
        if lost > 0 {
            self.counters.send.inc_by(lost as u64);
        }
    }
}

/// Answers what one worker hands off, all at a time. One task: a wake-up serves a whole batch, of queries as of the
/// upstream's replies to them.
async fn answer_slow_queries(
    mut queue: mpsc::UnboundedReceiver<Vec<SlowQuery>>,
    socket: Arc<UdpSocket>,
    lane: SlowLane,
    counters: Counters,
) {
    let answer = |query: SlowQuery| {
        let lane = &lane;
        async move {
            let sent = lane.answer(query.packet, query.arrival, query.permit).await?;
            Some(LateReply { route: query.route?, octets: sent.message })
        }
    };
    let mut running = FuturesUnordered::new();
    let mut replies = Vec::new();
    let mut is_open = true;
    while is_open || !running.is_empty() {
        tokio::select! {
            biased;
            Some(reply) = running.next(), if !running.is_empty() => replies.extend(reply),
            queries = queue.recv(), if is_open => match queries {
                Some(queries) => running.extend(queries.into_iter().map(&answer)),
                None => is_open = false,
            },
        }
        while replies.len() < MANY
            && let Some(Some(reply)) = running.next().now_or_never()
        {
            replies.extend(reply);
        }
        if !replies.is_empty() {
            counters.send.inc_by(send_late(&socket, &mut replies) as u64);
            replies.clear();
        }
    }
}
