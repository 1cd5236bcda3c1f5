//! One TCP connection: length-prefixed messages (RFC 1035 section 4.2.2), pipelined and answered as they can be, out of
//! order where the slow lane takes its time (RFC 7766 section 6.2.1.1).

use super::stream::Stream;
use super::{Acceptor, https};
use crate::engine::slow::servfail;
use crate::engine::{Arrival, Fast, Lane, Limits, Protocol, Sent, Transport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// Octets of replies after which they are written before more queries are answered.
const WRITE_AT: usize = 64 << 10;
/// Queries of one connection that may be in the slow lane; behind them the connection is not read.
const MAX_SLOW: usize = 32;
/// Octets of the longest message.
const MAX_MESSAGE: usize = u16::MAX as usize;

thread_local! {
    /// Room for one answer. Of the thread and not of the connection: thousands of idle ones cost nothing.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_MESSAGE]);
}

type Following = Arc<dyn AsRef<[Vec<u8>]> + Send + Sync>;

struct Connection {
    stream: Stream,
    arrival: Arrival,
    lane: Box<dyn Lane>,
    acceptor: Acceptor,
    limits: Limits,
    /// Queries taken so far.
    taken: u32,
    /// Octets read and not answered yet: less than a message, unless the slow lane holds back.
    pending: Vec<u8>,
    slow: FuturesUnordered<BoxFuture<'static, Option<Sent>>>,
    /// Messages that follow one that has been sent, and how many of them have been sent too.
    following: VecDeque<(Following, usize)>,
    /// Whether a whole message has come.
    asked: bool,
    /// When the connection is given up, if nothing is in flight.
    deadline: Instant,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, acceptor: Acceptor) {
    let (Ok(client), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let limits = **acceptor.limits.load();
    // Small replies must not wait for the client's acknowledgement of those before.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(limits.read, Stream::open(stream, &acceptor.protocol)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return,
        Err(_) => return acceptor.counters.ended_first.inc(),
    };
    let arrival = Arrival { client, local, transport: Transport::Tcp };
    if matches!(acceptor.protocol, Protocol::Https { .. }) {
        return https::serve(stream, acceptor, arrival).await;
    }
    let connection = Connection {
        stream,
        arrival,
        lane: acceptor.answerer.lane(Transport::Tcp),
        acceptor,
        limits,
        taken: 0,
        pending: Vec::new(),
        slow: FuturesUnordered::new(),
        following: VecDeque::new(),
        asked: false,
        deadline: Instant::now() + limits.read,
    };
    // A connection that fails is the client's affair.
    let _ = connection.run().await;
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        let closing = self.acceptor.closing.clone();
        let mut reading = true;
        while reading || !self.slow.is_empty() {
            let mut output = Vec::new();
            tokio::select! {
                biased;
                Some(reply) = self.slow.next(), if !self.slow.is_empty() => self.collect(reply, &mut output),
                read = self.stream.read(&mut self.pending), if reading && self.slow.len() < MAX_SLOW => {
                    reading = read? > 0;
                }
                () = sleep_until(self.deadline), if self.slow.is_empty() => {
                    let counters = &self.acceptor.counters;
                    if self.asked { counters.ended_idle.inc() } else { counters.ended_first.inc() }
                    return Ok(());
                }
                () = closing.wait(), if reading => {
                    self.stream.read_rest(&mut self.pending, MAX_MESSAGE).await;
                    reading = false;
                }
            }
            self.answer_pending(output).await?;
            reading &= !self.has_taken_all();
        }
        if self.has_taken_all() {
            self.acceptor.counters.ended_queries.inc();
        }
        timeout(self.limits.write, self.stream.shutdown()).await?
    }

    /// Takes a reply of the slow lane, and those that came with it.
    fn collect(&mut self, first: Option<Sent>, output: &mut Vec<u8>) {
        let mut next = Some(first);
        while let Some(reply) = next {
            if let Some(Sent { message, more }) = reply {
                append(&message, output);
                self.following.extend(more.map(|more| (more, 0)));
            }
            self.deadline = Instant::now() + self.limits.idle;
            // Nothing comes between the messages of a transfer: some clients would not understand (RFC 5936 section 2.2).
            let room = output.len() < WRITE_AT && self.following.is_empty();
            next = if room { self.slow.next().now_or_never().flatten() } else { None };
        }
    }

    /// Answers every whole message that is pending, and writes `output` and the answers.
    async fn answer_pending(&mut self, mut output: Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        loop {
            self.append_following(&mut output);
            if self.following.is_empty() {
                done += self.answer_some(done, &mut output);
            }
            if output.is_empty() {
                break;
            }
            let Ok(written) = timeout(self.limits.write, self.stream.write(&output)).await else {
                self.acceptor.counters.ended_write.inc();
                return Err(io::ErrorKind::TimedOut.into());
            };
            written?;
            output.clear();
        }
        if done == self.pending.len() {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..done);
        }
        Ok(())
    }

    /// Adds messages that follow others until the output is long enough.
    fn append_following(&mut self, output: &mut Vec<u8>) {
        while output.len() < WRITE_AT
            && let Some((messages, sent)) = self.following.front_mut()
        {
            match (**messages).as_ref().get(*sent) {
                Some(message) => {
                    append(message, output);
                    *sent += 1;
                }
                None => drop(self.following.pop_front()),
            }
        }
    }

    /// Answers messages from `start` of the pending octets until none is whole, the output is long enough or the slow
    /// lane is full. Returns how many octets they had.
    fn answer_some(&mut self, start: usize, output: &mut Vec<u8>) -> usize {
        if whole_message(&self.pending[start..]).is_none() {
            return 0;
        }
        let pending = std::mem::take(&mut self.pending);
        let begun = std::time::Instant::now();
        let mut at = start;
        self.guarded(|lane| lane.batch_begins());
        while self.slow.len() < MAX_SLOW && output.len() < WRITE_AT && !self.has_taken_all() {
            let Some(message) = whole_message(&pending[at..]) else { break };
            self.answer(message, output);
            self.taken = self.taken.saturating_add(1);
            at += 2 + message.len();
        }
        self.guarded(|lane| lane.batch_ends(begun.elapsed()));
        self.deadline = Instant::now() + self.limits.idle;
        self.asked = true;
        self.pending = pending;
        at - start
    }

    /// Whether the connection has asked as much as it may.
    fn has_taken_all(&self) -> bool {
        self.limits.queries.is_some_and(|most| self.taken >= most)
    }

    fn answer(&mut self, message: &[u8], output: &mut Vec<u8>) {
        let client = self.arrival.client;
        ROOM.with_borrow_mut(|room| match self.guarded(|lane| lane.answer(message, client, room)) {
            Some(Fast::Reply(len)) => append(room.get(..len).unwrap_or_default(), output),
            Some(Fast::Silence) => {}
            Some(Fast::Slow) => {
                if let Some(permit) = self.acceptor.slow.admit(client.ip()) {
                    let (lane, packet, arrival) = (self.acceptor.slow.clone(), message.to_vec(), self.arrival);
                    self.slow.push(Box::pin(async move { lane.answer(packet, arrival, permit).await }));
                }
            }
            None => {
                self.guarded(|lane| lane.batch_begins());
                if let Some(len) = servfail(message, room) {
                    append(&room[..len], output);
                }
            }
        });
    }

    /// Runs a step of the lane. `None` after a panic: it is counted, and a new lane takes the place of the old.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut dyn Lane) -> T) -> Option<T> {
        let outcome = catch_unwind(AssertUnwindSafe(|| step(self.lane.as_mut()))).ok();
        if outcome.is_none() {
            self.acceptor.counters.panics.inc();
            self.lane = self.acceptor.answerer.lane(Transport::Tcp);
        }
        outcome
    }
}

/// The message at the start of `octets`, if it is there whole.
fn whole_message(octets: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = octets.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*prefix)))
}

/// Appends a message with its length in front; nothing for an empty one or one that no length can be given for.
fn append(message: &[u8], output: &mut Vec<u8>) {
    if let Ok(len @ 1..) = u16::try_from(message.len()) {
        output.extend(len.to_be_bytes());
        output.extend(message);
    }
}
