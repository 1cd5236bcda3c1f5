//! Which UDP queries are let go when more come than can be answered: those of the clients that send the most.
//!
//! What is too much is lost in the socket's queue, where a client that asks once loses as large a part as one that
//! floods. So a worker whose queue has overflowed counts by source what it receives, and has the system drop a random
//! part of the largest sources' packets before they reach the queue (a socket filter, [`Program`]), so much that each of
//! them gets the same and the small ones get all (max-min fairness). As long as the queue does not overflow this costs
//! one comparison a batch; it allocates nothing at any time.

use super::counters::Counters;
use super::system::{self, BATCH, Batch};
use socket2::{SockFilter, SockRef};
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

/// After so many full batches in a row a worker looks whether its queue has overflowed.
const LOOK: u32 = 8;
/// How long sources are counted before something is done.
const WINDOW: Duration = Duration::from_millis(50);
/// Sources that are told apart; one that sends more than a seventeenth of all is always among them (Misra and Gries,
/// Science of Computer Programming 2, 1982).
const SOURCES: usize = 16;
/// The part of what a worker could answer that is let through: less, and the queue stays full.
const TARGET: f64 = 0.95;
/// How much more is let through after a window in which the queue was not full.
const GROWTH: f64 = 1.1;
/// Below this part of what it can answer, a worker stops.
const CALM: f64 = 0.5;
/// No source is held below this part of what is let through.
const SMALLEST: f64 = 1.0 / 64.0;

/// What one worker knows of its overload.
pub(super) struct Fairness {
    counters: Counters,
    /// Full batches in a row.
    full: u32,
    /// What the system had dropped at the last look.
    lost: u32,
    window: Option<Window>,
    sources: Sources,
    /// Packets a second, when there were more than could be answered.
    capacity: f64,
}

/// A while under overload.
struct Window {
    began: Instant,
    packets: u32,
    batches: u32,
    full: u32,
}

impl Window {
    fn new() -> Window {
        Window { began: Instant::now(), packets: 0, batches: 0, full: 0 }
    }
}

impl Fairness {
    /// For a worker of this socket, which is rid of what an earlier one may have put there.
    pub fn new(socket: &UdpSocket, counters: Counters) -> Fairness {
        let _ = SockRef::from(socket).detach_filter();
        let lost = system::dropped(socket).unwrap_or(0);
        Fairness { counters, full: 0, lost, window: None, sources: Sources::default(), capacity: 0.0 }
    }

    /// A batch of `count` packets has been received.
    #[inline]
    pub fn received(&mut self, batch: &mut Batch, count: usize, socket: &UdpSocket) {
        if self.window.is_some() {
            self.count(batch, count, socket);
        } else if count < BATCH {
            self.full = 0;
        } else {
            self.full += 1;
            if self.full.is_multiple_of(LOOK) {
                self.look(socket);
            }
        }
    }

    /// Begins to count where the queue has overflowed since the last look.
    #[cold]
    fn look(&mut self, socket: &UdpSocket) {
        let lost = self.newly_lost(socket);
        if lost > 0 {
            self.counters.queue.inc_by(lost.into());
            self.window = Some(Window::new());
        }
    }

    #[cold]
    fn count(&mut self, batch: &mut Batch, count: usize, socket: &UdpSocket) {
        (0..count).for_each(|index| self.sources.note(batch.slot(index).client.ip()));
        let Some(window) = &mut self.window else { return };
        window.packets += count as u32;
        window.batches += 1;
        window.full += u32::from(count == BATCH);
        let took = window.began.elapsed();
        if took < WINDOW {
            return;
        }
        let (packets, is_full) = (f64::from(window.packets), window.full * 2 > window.batches);
        let lost = f64::from(self.newly_lost(socket));
        let by_source = self.sources.thinned(packets, lost).min(lost);
        self.counters.source.inc_by(by_source as u64);
        self.counters.queue.inc_by((lost - by_source) as u64);
        let rate = packets / took.as_secs_f64();
        if is_full {
            self.capacity = rate;
            self.sources.level(packets, lost);
        } else if rate < self.capacity * CALM || !self.sources.grow() {
            self.sources = Sources::default();
            (self.window, self.full) = (None, 0);
            let _ = SockRef::from(socket).detach_filter();
            return;
        }
        let program = self.sources.program();
        let _ = SockRef::from(socket).attach_filter(program.as_slice());
        self.sources.begin();
        self.window = Some(Window::new());
    }

    fn newly_lost(&mut self, socket: &UdpSocket) -> u32 {
        let now = system::dropped(socket).unwrap_or(self.lost);
        now.wrapping_sub(std::mem::replace(&mut self.lost, now))
    }
}

/// A client's address under overload.
#[derive(Clone, Copy)]
struct Source {
    address: IpAddr,
    /// Packets received in this window.
    packets: u32,
    /// The part of its packets that is let through.
    admitted: f64,
}

/// The largest sources.
#[derive(Default)]
struct Sources {
    known: [Option<Source>; SOURCES],
}

impl Sources {
    /// Counts a packet. Those that are thinned stay; of the others the small ones make room.
    fn note(&mut self, address: IpAddr) {
        if let Some(source) = self.known.iter_mut().flatten().find(|source| source.address == address) {
            source.packets += 1;
        } else if let Some(room) = self.known.iter_mut().find(|place| place.is_none()) {
            *room = Some(Source { address, packets: 1, admitted: 1.0 });
        } else {
            for place in &mut self.known {
                if let Some(source) = place
                    && source.admitted == 1.0
                {
                    source.packets -= 1;
                    if source.packets == 0 {
                        *place = None;
                    }
                }
            }
        }
    }

    /// A new window begins.
    fn begin(&mut self) {
        for place in &mut self.known {
            *place = place.filter(|source| source.admitted < 1.0).map(|source| Source { packets: 0, ..source });
        }
    }

    /// The part of the packets that passed the filter for which the queue had room: what is known are those received
    /// and all that were lost, to the filter or behind it.
    fn queued(&self, packets: f64, lost: f64) -> f64 {
        let filtered: f64 = self.each().map(|source| f64::from(source.packets) * (1.0 / source.admitted - 1.0)).sum();
        ((filtered + packets) / (lost + packets)).clamp(0.001, 1.0)
    }

    /// How many packets the filter has dropped, by what it let through.
    fn thinned(&self, packets: f64, lost: f64) -> f64 {
        let filtered: f64 = self.each().map(|source| f64::from(source.packets) * (1.0 / source.admitted - 1.0)).sum();
        filtered / self.queued(packets, lost)
    }

    /// Finds the level to which the largest sources are held, so that all together are what can be answered.
    fn level(&mut self, packets: f64, lost: f64) {
        let queued = self.queued(packets, lost);
        let sent = |source: &Source| f64::from(source.packets) / (source.admitted * queued);
        let known: f64 = self.each().map(|source| f64::from(source.packets)).sum();
        let target = packets * TARGET;
        // Those that are too small to be told apart get all they ask for.
        let mut left = target - (packets - known).max(0.0) / queued;
        let mut above = self.each().count();
        let mut level = f64::INFINITY;
        // Who asks for less than the level leaves the rest to the others, which raises it.
        loop {
            let next = (left / above as f64).max(target * SMALLEST);
            let (small, sum) = self
                .each()
                .map(sent)
                .filter(|&sent| sent <= next && (level.is_infinite() || sent > level))
                .fold((0, 0.0), |(count, sum), sent| (count + 1, sum + sent));
            level = next;
            if small == 0 || small >= above {
                break;
            }
            (left, above) = (left - sum, above - small);
        }
        for source in self.known.iter_mut().flatten() {
            let sent = f64::from(source.packets) / (source.admitted * queued);
            source.admitted = if sent > level { level / sent } else { 1.0 };
        }
    }

    /// Lets more through; false where nothing is held back any more.
    fn grow(&mut self) -> bool {
        let mut held = false;
        for source in self.known.iter_mut().flatten() {
            source.admitted = (source.admitted * GROWTH).min(1.0);
            held |= source.admitted < 1.0;
        }
        held
    }

    fn each(&self) -> impl Iterator<Item = &Source> {
        self.known.iter().flatten()
    }

    /// The socket filter that lets so much through.
    fn program(&self) -> Program {
        let mut program = Program::default();
        self.each().filter(|source| source.admitted < 1.0).for_each(|source| program.thin(source));
        program.push(RETURN, 0, 0, u32::MAX);
        program
    }
}

/// Load a word of the packet, or of what the system knows beside it.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
/// End: this many octets of the packet are kept.
const RETURN: u16 = 0x06;
/// Where the network header is, and a random word (linux/filter.h: `SKF_NET_OFF`, `SKF_AD_OFF + SKF_AD_RANDOM`).
const NETWORK_HEADER: u32 = -0x10_0000_i32 as u32;
const RANDOM: u32 = (-0x1000_i32 + 56) as u32;
/// Where the source address is in the header (RFC 791 section 3.1, RFC 8200 section 3).
const SOURCE_V4: u32 = 12;
const SOURCE_V6: u32 = 8;
/// Instructions of one source, at most, and of all.
const LONGEST: usize = SOURCES * 12 + 1;

/// A program of the classic BSD packet filter.
struct Program {
    instructions: [SockFilter; LONGEST],
    len: usize,
}

impl Default for Program {
    fn default() -> Program {
        Program { instructions: std::array::from_fn(|_| SockFilter::new(RETURN, 0, 0, u32::MAX)), len: 0 }
    }
}

impl Program {
    fn as_slice(&self) -> &[SockFilter] {
        &self.instructions[..self.len]
    }

    fn push(&mut self, code: u16, if_true: u8, if_false: u8, value: u32) {
        if let Some(place) = self.instructions.get_mut(self.len) {
            *place = SockFilter::new(code, if_true, if_false, value);
            self.len += 1;
        }
    }

    /// If the source is this one: drop unless a random word is below its part of all words.
    fn thin(&mut self, source: &Source) {
        let (at, octets): (u32, [u8; 16]) = match source.address {
            IpAddr::V4(address) => (SOURCE_V4, address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => (SOURCE_V6, address.octets()),
        };
        let from = if source.address.is_ipv4() { 12 } else { 0 };
        let words = octets[from..].chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        let count = words.len() as u32;
        for (index, word) in (0..).zip(words) {
            let rest = 2 * (count - 1 - index) + 4;
            self.push(LOAD, 0, 0, NETWORK_HEADER.wrapping_add(at + 4 * index));
            self.push(JUMP_IF_EQUAL, 0, rest as u8, word);
        }
        self.push(LOAD, 0, 0, RANDOM);
        self.push(JUMP_IF_AT_LEAST, 0, 1, (source.admitted * f64::from(u32::MAX)) as u32);
        self.push(RETURN, 0, 0, 0);
        self.push(RETURN, 0, 0, u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(sources: &Sources, address: &str) -> f64 {
        let address: IpAddr = address.parse().unwrap();
        sources.each().find(|source| source.address == address).map_or(1.0, |source| source.admitted)
    }

    fn noted(counts: &[(&str, u32)]) -> Sources {
        let mut sources = Sources::default();
        for (address, count) in counts {
            (0..*count).for_each(|_| sources.note(address.parse().unwrap()));
        }
        sources
    }

    #[test]
    fn the_flood_is_held_and_the_small_get_all() {
        // 1000 of 10,000 found room: 990 of the flood, 10 of somebody who sent 100.
        let mut sources = noted(&[("10.0.0.1", 990), ("10.0.0.2", 10)]);
        sources.level(1000.0, 9000.0);
        assert_eq!(admitted(&sources, "10.0.0.2"), 1.0);
        let part = admitted(&sources, "10.0.0.1");
        assert!((part * 9900.0 - 850.0).abs() < 1.0, "{part}");
        // The filter's drops are told from the queue's.
        sources.begin();
        (0..850).for_each(|_| sources.note("10.0.0.1".parse().unwrap()));
        assert!((sources.thinned(950.0, 9050.0) - 9050.0).abs() < 1.0);
    }

    #[test]
    fn floods_get_the_same_each() {
        let mut sources = noted(&[("10.0.0.1", 600), ("fd00::1", 300), ("10.0.0.3", 100)]);
        sources.level(1000.0, 1000.0);
        // They sent 1200, 600 and 200; 950 is 375 for the first two, 200 for the third.
        assert!((admitted(&sources, "10.0.0.1") - 375.0 / 1200.0).abs() < 1e-9);
        assert!((admitted(&sources, "fd00::1") - 375.0 / 600.0).abs() < 1e-9);
        assert_eq!(admitted(&sources, "10.0.0.3"), 1.0);
        assert_eq!(sources.program().len, 6 + 12 + 1);
    }

    #[test]
    fn the_largest_are_found_among_many_and_let_go_again() {
        let mut sources = Sources::default();
        for round in 0..20_000_u32 {
            let address = if round % 4 == 0 { [10, 0, 0, 1] } else { (0x0b00_0000 + round).to_be_bytes() };
            sources.note(address.into());
        }
        assert!(sources.each().any(|source| source.address == IpAddr::from([10, 0, 0, 1])));
        sources.level(20_000.0, 20_000.0);
        assert!(admitted(&sources, "10.0.0.1") < 0.5);
        let windows = (0..100).take_while(|_| sources.grow()).count();
        assert!((1..60).contains(&windows), "{windows}");
    }

    #[test]
    fn the_system_takes_the_filter_and_drops_by_it() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.7:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut sources = noted(&[("127.0.0.7", 1)]);
        sources.known.iter_mut().flatten().for_each(|source| source.admitted = 0.5);
        SockRef::from(&server).attach_filter(sources.program().as_slice()).unwrap();
        let before = system::dropped(&server).unwrap();
        for _ in 0..200 {
            client.send(b"x").unwrap();
        }
        server.set_nonblocking(true).unwrap();
        let received = std::iter::from_fn(|| server.recv(&mut [0; 8]).ok()).count() as u32;
        assert!((50..150).contains(&received), "{received}");
        assert_eq!(system::dropped(&server).unwrap() - before, 200 - received);
        let other = UdpSocket::bind("127.0.0.8:0").unwrap();
        other.connect(server.local_addr().unwrap()).unwrap();
        for _ in 0..100 {
            other.send(b"x").unwrap();
        }
        assert_eq!(std::iter::from_fn(|| server.recv(&mut [0; 8]).ok()).count(), 100);
    }
}
