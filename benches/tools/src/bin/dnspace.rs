//! An open-loop DNS load: a fixed rate, whatever the server does. Prints what went unanswered and how latency spreads, as
//! one JSON object; with `--every` a line for each second before it, to see gaps and when they were.

use dunlin_bench_tools::arguments::Arguments;
use dunlin_bench_tools::ports::{Heard, Ports};
use dunlin_bench_tools::questions;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const USAGE: &str =
    "dnspace ADDRESS:PORT QUESTIONS SECONDS RATE [--flows 64 | --new-ports] [--pause 20] [--until FILE] [--every]
  QUESTIONS    a file of `name TYPE` lines
  RATE         queries a second, over all flows
  --flows      sockets, each with a port of its own
  --new-ports  a new port for each query instead, as resolvers have
  --pause      microseconds between looks for answers; more is cheaper, and latency coarser
  --until      ends before its time once there is such a file
  --every      a line for each second: its Unix time, sent, unanswered";

/// Latencies are told apart by microsecond up to this.
const LONGEST: usize = 2_000_000;
/// How long answers are waited for behind the last query.
const LINGER: Duration = Duration::from_secs(2);
/// Queries that are sent before answers are looked for again.
const BURST: u64 = 64;

struct Counts {
    begun: Instant,
    /// Sent and answered, by the second they were sent in.
    seconds: Vec<(u64, u64)>,
    sent: u64,
    answered: u64,
    /// SERVFAIL or REFUSED.
    failed: u64,
    /// Times the system said that nobody listens.
    unreachable: u64,
    latencies: Vec<u64>,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read(USAGE, &["every", "new-ports"]);
    let (address, file) = (arguments.word::<String>(0), arguments.word::<String>(1));
    let (seconds, rate) = (arguments.word::<f64>(2), arguments.word::<f64>(3));
    let pause = Duration::from_micros(arguments.option("pause").unwrap_or(20));
    let until = arguments.option::<PathBuf>("until");
    let packets = questions::read(&file, false)?;
    let mut ports = match arguments.switch("new-ports") {
        true => Ports::new(&address, rate),
        false => Ports::kept(&address, arguments.option("flows").unwrap_or(64))?,
    };

    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut counts = Counts::new();
    let (mut total, mut end) = ((rate * seconds) as u64, Duration::from_secs_f64(seconds) + LINGER);
    while counts.begun.elapsed() < end && (counts.sent < total || counts.answered < total) {
        let due = ((counts.begun.elapsed().as_secs_f64() * rate) as u64).min(total);
        for _ in 0..due.saturating_sub(counts.sent).min(BURST) {
            let (question, now) = (&packets[counts.sent as usize % packets.len()], Instant::now());
            counts.send(now);
            ports.ask(question, now, |heard| counts.hear(heard))?;
        }
        ports.listen(|heard| counts.hear(heard));
        if counts.sent >= due {
            std::thread::sleep(pause);
            if counts.sent < total && until.as_ref().is_some_and(|file| file.exists()) {
                (total, end) = (counts.sent, counts.begun.elapsed() + LINGER);
            }
        }
    }
    if arguments.switch("every") {
        for (second, (sent, answered)) in counts.seconds.iter().enumerate() {
            println!("{} sent {sent} unanswered {}", since + second as u64, sent - answered);
        }
    }
    println!("{}", counts.report());
    Ok(())
}

impl Counts {
    fn new() -> Counts {
        let latencies = vec![0; LONGEST + 1];
        Counts {
            begun: Instant::now(),
            seconds: Vec::new(),
            sent: 0,
            answered: 0,
            failed: 0,
            unreachable: 0,
            latencies,
        }
    }

    fn send(&mut self, now: Instant) {
        self.sent += 1;
        let second = (now - self.begun).as_secs() as usize;
        self.seconds.resize(self.seconds.len().max(second + 1), (0, 0));
        self.seconds[second].0 += 1;
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Answer(sent, rcode) => {
                self.answered += 1;
                self.seconds[(sent - self.begun).as_secs() as usize].1 += 1;
                self.failed += u64::from(matches!(rcode, 2 | 5));
                self.latencies[(sent.elapsed().as_micros() as usize).min(LONGEST)] += 1;
            }
            Heard::Unreachable => self.unreachable += 1,
        }
    }

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
