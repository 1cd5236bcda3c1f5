//! An open-loop DNS load: a fixed rate, whatever the server does. Prints what went unanswered and how latency spreads, as
//! one JSON object; with `--every` a line a second besides, to see gaps.

use dunlin_bench_tools::arguments::Arguments;
use dunlin_bench_tools::questions;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const USAGE: &str = "dnspace ADDRESS:PORT QUESTIONS SECONDS RATE [--flows 64] [--every]
  QUESTIONS  a file of `name TYPE` lines
  RATE       queries a second, over all flows
  --flows    sockets, each with a port of its own
  --every    a line a second";

/// Latencies are told apart by microsecond up to this.
const LONGEST: usize = 2_000_000;
/// How long answers are waited for behind the last query.
const LINGER: Duration = Duration::from_secs(2);
/// Queries that are sent before answers are looked for again.
const BURST: u64 = 64;

/// One socket, and when each id was sent that has no answer yet.
struct Flow {
    socket: UdpSocket,
    next_id: u16,
    sent_at: Vec<Option<Instant>>,
}

struct Counts {
    sent: u64,
    answered: u64,
    /// SERVFAIL or REFUSED.
    failed: u64,
    /// Times the system said that nobody listens.
    unreachable: u64,
    latencies: Vec<u64>,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read(USAGE, &["every"]);
    let (address, file) = (arguments.word::<String>(0), arguments.word::<String>(1));
    let (seconds, rate) = (arguments.word::<f64>(2), arguments.word::<f64>(3));
    let packets = questions::read(&file, false)?;
    let flows = (0..arguments.option("flows").unwrap_or(64)).map(|_| Flow::to(&address));
    let mut flows = flows.collect::<std::io::Result<Vec<_>>>()?;

    let mut counts = Counts { sent: 0, answered: 0, failed: 0, unreachable: 0, latencies: vec![0; LONGEST + 1] };
    let (total, end) = ((rate * seconds) as u64, Duration::from_secs_f64(seconds) + LINGER);
    let (begun, mut second, mut told) = (Instant::now(), 1, (0, 0));
    while begun.elapsed() < end && (counts.sent < total || counts.answered < total) {
        let due = ((begun.elapsed().as_secs_f64() * rate) as u64).min(total);
        for _ in 0..due.saturating_sub(counts.sent).min(BURST) {
            let turn = counts.sent as usize;
            let flow = turn % flows.len();
            flows[flow].ask(&packets[turn % packets.len()], &mut counts);
        }
        flows.iter_mut().for_each(|flow| flow.take(&mut counts));
        if arguments.switch("every") && begun.elapsed().as_secs() >= second {
            println!("{second} s: sent {} answered {}", counts.sent - told.0, counts.answered - told.1);
            (second, told) = (second + 1, (counts.sent, counts.answered));
        }
        if counts.sent >= due {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    println!("{}", counts.report());
    Ok(())
}

impl Flow {
    fn to(address: &str) -> std::io::Result<Flow> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Flow { socket, next_id: 0, sent_at: vec![None; 1 << 16] })
    }

    fn ask(&mut self, question: &[u8], counts: &mut Counts) {
        self.next_id = self.next_id.wrapping_add(1);
        let mut query = question.to_vec();
        query[..2].copy_from_slice(&self.next_id.to_be_bytes());
        self.sent_at[usize::from(self.next_id)] = Some(Instant::now());
        if self.socket.send(&query).is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused) {
            counts.unreachable += 1;
        }
        counts.sent += 1;
    }

    fn take(&mut self, counts: &mut Counts) {
        let mut reply = [0; 4096];
        loop {
            match self.socket.recv(&mut reply) {
                Ok(len) if len >= questions::HEADER => {
                    let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                    if let Some(sent) = self.sent_at[id].take() {
                        counts.answered += 1;
                        counts.failed += u64::from(matches!(reply[3] & 0x0f, 2 | 5));
                        counts.latencies[(sent.elapsed().as_micros() as usize).min(LONGEST)] += 1;
                    }
                }
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::ConnectionRefused => counts.unreachable += 1,
                Err(_) => return,
            }
        }
    }
}

impl Counts {
    /// The latency in microseconds that this share of the answers keeps below.
    fn percentile(&self, share: f64) -> usize {
        let wanted = (self.answered as f64 * share) as u64;
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen > wanted
        };
        self.latencies.iter().position(reached).unwrap_or(0)
    }

    fn report(&self) -> String {
        format!(
            "{{\"sent\": {}, \"answered\": {}, \"unanswered\": {}, \"failed\": {}, \"unreachable\": {}, \"p50_us\": {}, \
             \"p90_us\": {}, \"p99_us\": {}, \"p99_9_us\": {}, \"max_us\": {}}}",
            self.sent,
            self.answered,
            self.sent - self.answered,
            self.failed,
            self.unreachable,
            self.percentile(0.5),
            self.percentile(0.9),
            self.percentile(0.99),
            self.percentile(0.999),
            self.latencies.iter().rposition(|count| *count > 0).unwrap_or(0),
        )
    }
}
