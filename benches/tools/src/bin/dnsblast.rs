//! A closed-loop DNS load with batched system calls, for servers that outrun dnsperf: so many sockets, so many queries in
//! flight on each, the next sent when answers come. Prints one JSON object.

use dunlin_bench_tools::arguments::Arguments;
use dunlin_bench_tools::batch::{Batch, Readiness};
use dunlin_bench_tools::process::Cpu;
use dunlin_bench_tools::questions::{self, make_unique};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const USAGE: &str =
    "dnsblast ADDRESS:PORT QUESTIONS SECONDS [--flows 8] [--window 16] [--pid SERVER] [--edns] [--unique]
  QUESTIONS  a file of `name TYPE` lines
  --flows    sockets, each with a port of its own
  --window   queries in flight on each
  --pid      the process whose CPU time a query is printed
  --edns     queries have an OPT
  --unique   first labels of eight octets become a counter, so that no name is asked twice";

/// After this long without any answer, what a socket waits for counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// One socket and what it waits for.
struct Flow {
    socket: UdpSocket,
    outstanding: usize,
    last_answer: Instant,
}

/// The questions in turn, each with a new id.
struct Questions {
    packets: Vec<Vec<u8>>,
    unique: bool,
    asked: u32,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    received: u64,
    lost: u64,
    records: u64,
    octets: u64,
    rcodes: BTreeMap<u8, u64>,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read(USAGE, &["edns", "unique"]);
    let (address, file, seconds) = (arguments.word::<String>(0), arguments.word::<String>(1), arguments.word(2));
    let window = arguments.option("window").unwrap_or(16);
    let pid = arguments.option("pid");
    let mut questions = Questions {
        packets: questions::read(&file, arguments.switch("edns"))?,
        unique: arguments.switch("unique"),
        // A run after another asks for other names.
        asked: if arguments.switch("unique") { seed() } else { 0 },
    };
    let flows = (0..arguments.option("flows").unwrap_or(8)).map(|_| Flow::to(&address));
    let mut flows = flows.collect::<std::io::Result<Vec<_>>>()?;

    let before = pid.map(Cpu::of).unwrap_or_default();
    let begun = Instant::now();
    let counts = load(&mut flows, &mut questions, window, Duration::from_secs_f64(seconds));
    let (took, after) = (begun.elapsed(), pid.map(Cpu::of).unwrap_or_default());
    println!("{}", counts.report(took, pid.map(|_| after.since(before))));
    Ok(())
}

fn load(flows: &mut [Flow], questions: &mut Questions, window: usize, time: Duration) -> Counts {
    let mut counts = Counts::default();
    let mut batch = Batch::new(window);
    let sockets: Vec<_> = flows.iter().map(|flow| flow.socket.try_clone().expect("a socket can be cloned")).collect();
    let mut readiness = Readiness::of(sockets.iter());
    let begun = Instant::now();
    while begun.elapsed() < time {
        for flow in flows.iter_mut() {
            flow.ask(questions, window, &mut batch, &mut counts);
        }
        let ready: Vec<_> = readiness.wait(20).collect();
        let now = Instant::now();
        for index in ready {
            flows[index].take(now, &mut batch, &mut counts);
        }
        for flow in flows.iter_mut() {
            flow.give_up(now, &mut counts);
        }
    }
    counts
}

impl Flow {
    fn to(address: &str) -> std::io::Result<Flow> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Flow { socket, outstanding: 0, last_answer: Instant::now() })
    }

    /// Fills the window once half of it is free: fewer, larger batches.
    fn ask(&mut self, questions: &mut Questions, window: usize, batch: &mut Batch, counts: &mut Counts) {
        let free = window - self.outstanding;
        if free < window.div_ceil(2) {
            return;
        }
        for index in 0..free {
            let len = questions.next(batch.room(index));
            batch.set_len(index, len);
        }
        let sent = batch.send(&self.socket, free, false);
        self.outstanding += sent;
        counts.sent += sent as u64;
    }

    fn take(&mut self, now: Instant, batch: &mut Batch, counts: &mut Counts) {
        let received = batch.receive(&self.socket);
        (0..received).for_each(|index| counts.count(batch.packet(index)));
        self.outstanding = self.outstanding.saturating_sub(received);
        self.last_answer = now;
    }

    fn give_up(&mut self, now: Instant, counts: &mut Counts) {
        if self.outstanding > 0 && now.duration_since(self.last_answer) > LOST_AFTER {
            counts.lost += self.outstanding as u64;
            self.outstanding = 0;
            self.last_answer = now;
        }
    }
}

impl Questions {
    /// Writes the next query and returns its length.
    fn next(&mut self, room: &mut [u8]) -> usize {
        let packet = &self.packets[self.asked as usize % self.packets.len()];
        room[..packet.len()].copy_from_slice(packet);
        room[..2].copy_from_slice(&(self.asked as u16).to_be_bytes());
        if self.unique {
            make_unique(&mut room[..packet.len()], self.asked);
        }
        self.asked = self.asked.wrapping_add(1);
        packet.len()
    }
}

impl Counts {
    fn count(&mut self, reply: &[u8]) {
        self.received += 1;
        self.octets += reply.len() as u64;
        if let [_, _, _, flags, _, _, answers @ ..] = reply {
            *self.rcodes.entry(flags & 0x0f).or_default() += 1;
            self.records += answers.first_chunk().map_or(0, |count| u64::from(u16::from_be_bytes(*count)));
        }
    }

    /// CPU times are microseconds of the server a query answered.
    fn report(&self, took: Duration, cpu: Option<Cpu>) -> String {
        let each = |total: f64| total / self.received.max(1) as f64;
        let rcodes: Vec<_> = self.rcodes.iter().map(|(rcode, count)| format!("\"{rcode}\": {count}")).collect();
        let cpu = cpu.map_or(String::new(), |cpu| {
            format!(
                ", \"cpu_us\": {:.3}, \"user_us\": {:.3}, \"system_us\": {:.3}, \"cores\": {:.2}",
                each(cpu.total()),
                each(cpu.user),
                each(cpu.system),
                cpu.total() / took.as_micros() as f64
            )
        });
        format!(
            "{{\"per_second\": {:.0}, \"sent\": {}, \"received\": {}, \"lost\": {}, \"answer_records\": {:.2}, \
             \"octets\": {:.0}, \"rcodes\": {{{}}}{cpu}}}",
            self.received as f64 / took.as_secs_f64(),
            self.sent,
            self.received,
            self.lost,
            each(self.records as f64),
            each(self.octets as f64),
            rcodes.join(", "),
        )
    }
}

/// A start of the counter that is another in each run.
fn seed() -> u32 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u32).wrapping_mul(0x9e37_79b9)
}
