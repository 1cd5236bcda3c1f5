//! A steady load: queries at a rate, each of which must be answered.

use super::{Dunlin, Question, say};
use std::collections::{BTreeMap, HashMap};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A query without an answer for so long is unanswered: what resolv.conf(5) has where nothing is said.
const PATIENCE: Duration = Duration::from_secs(5);
/// Queries sent at a time when more are due: after a pause of the machine their replies must fit the socket's queue.
const BURST: u64 = 32;

/// Threads that ask, one socket each.
pub struct Steady {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

/// What one thread saw.
#[derive(Default)]
struct Seen {
    sent: u64,
    /// Those without an answer: what was asked, and when.
    unanswered: Vec<(&'static str, Duration)>,
    /// Answers that came when they were not waited for any more.
    late: u64,
}

impl Steady {
    /// Asks for the A records of `names` in turn, `rate` queries a second from each of `sockets`.
    pub fn over(dunlin: &Dunlin, names: &'static [&'static str], rate: u32, sockets: usize) -> Steady {
        let over = Arc::<AtomicBool>::default();
        let run = |number| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(dunlin.address()).expect("connected");
            let over = over.clone();
            std::thread::spawn(move || ask(&socket, names, rate, number, &over))
        };
        let threads = (0..sockets).map(run).collect();
        Steady { over, threads }
    }

    /// Ends it: how many queries were sent, and how many had no answer.
    pub fn report(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("every answer is right in kind");
            all.sent += seen.sent;
            all.late += seen.late;
            all.unanswered.extend(seen.unanswered);
        }
        all.tell();
        (all.sent, all.unanswered.len() as u64)
    }
}

impl Seen {
    /// Says which were not answered, and when they were asked: together points at a moment, apart at single packets.
    fn tell(&self) {
        let mut by_name: BTreeMap<(&str, u64), u64> = BTreeMap::new();
        for (name, at) in &self.unanswered {
            *by_name.entry((name, at.as_secs())).or_default() += 1;
        }
        let lines: Vec<String> = by_name
            .iter()
            .take(100)
            .map(|((name, second), count)| format!("{count} x {name} in second {second}"))
            .collect();
        if !lines.is_empty() {
            say(format!("unanswered, of which {} came late: {}", self.late, lines.join(", ")));
        }
    }
}

fn ask(socket: &UdpSocket, names: &[&'static str], rate: u32, number: usize, over: &AtomicBool) -> Seen {
    socket.set_read_timeout(Some(Duration::from_micros(500))).expect("a timeout");
    let begun = Instant::now();
    let mut seen = Seen::default();
    let mut sent = 0_u64;
    let (mut waiting, mut buffer) = (HashMap::new(), [0; 4096]);
    loop {
        let is_over = over.load(Ordering::Relaxed);
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let due = due.min(sent + BURST);
        while !is_over && sent < due {
            let name = names[(sent as usize + number) % names.len()];
            let question = Question::new(name, "A");
            let id = sent as u16;
            // A port that is refused is a query that is lost: counted below.
            let _ = socket.send(&question.message(id));
            waiting.insert(id, (name, Instant::now()));
            sent += 1;
        }
        // All that came is taken before anything is called unanswered: it may be we who slept, not the server.
        let looked = Instant::now();
        while let Ok(length) = socket.recv(&mut buffer) {
            assert!(length >= 12 && matches!(buffer[3] & 15, 0 | 3), "rcode {}", buffer[3] & 15);
            let known = waiting.remove(&u16::from_be_bytes([buffer[0], buffer[1]]));
            seen.late += u64::from(known.is_none());
        }
        waiting.retain(|_, (name, at): &mut (&'static str, Instant)| {
            let waits = looked.duration_since(*at) < PATIENCE;
            if !waits {
                seen.unanswered.push((name, *at - begun));
            }
            waits
        });
        if is_over && waiting.is_empty() {
            return Seen { sent, ..seen };
        }
    }
}
