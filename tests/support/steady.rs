//! A steady load: queries at a rate, each of which must be answered.

use super::{Dunlin, Question};
use std::collections::HashMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A query without an answer for so long is unanswered.
const PATIENCE: Duration = Duration::from_secs(3);
/// Queries sent at a time when more are due: after a pause of the machine their replies must fit the socket's queue.
const BURST: u64 = 32;

/// Threads that ask, one socket each.
pub struct Steady {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, u64)>>,
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
        let sums = self.threads.into_iter().map(|thread| thread.join().expect("every answer is right in kind"));
        sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

fn ask(socket: &UdpSocket, names: &[&str], rate: u32, number: usize, over: &AtomicBool) -> (u64, u64) {
    socket.set_read_timeout(Some(Duration::from_micros(500))).expect("a timeout");
    let begun = Instant::now();
    let (mut sent, mut unanswered) = (0_u64, 0_u64);
    let (mut waiting, mut buffer) = (HashMap::new(), [0; 4096]);
    loop {
        let is_over = over.load(Ordering::Relaxed);
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let due = due.min(sent + BURST);
        while !is_over && sent < due {
            let question = Question::new(names[(sent as usize + number) % names.len()], "A");
            let id = sent as u16;
            // A port that is refused is a query that is lost: counted below.
            let _ = socket.send(&question.message(id));
            waiting.insert(id, Instant::now());
            sent += 1;
        }
        // All that came is taken before anything is called unanswered: it may be we who slept, not the server.
        let looked = Instant::now();
        while let Ok(length) = socket.recv(&mut buffer) {
            assert!(length >= 12 && matches!(buffer[3] & 15, 0 | 3), "rcode {}", buffer[3] & 15);
            waiting.remove(&u16::from_be_bytes([buffer[0], buffer[1]]));
        }
        let before = waiting.len();
        waiting.retain(|_, at: &mut Instant| looked.duration_since(*at) < PATIENCE);
        unanswered += (before - waiting.len()) as u64;
        if is_over && waiting.is_empty() {
            return (sent, unanswered);
        }
    }
}
