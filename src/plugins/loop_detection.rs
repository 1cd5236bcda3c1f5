//! # Description
//!
//! `loop` finds out at start whether queries that are forwarded come back. A loop means that every query goes round
//! until it times out, which brings the server and its upstreams down. So nothing is forwarded from this block any more,
//! what would be gets SERVFAIL, and an error in the log says why; names that are held here are answered as ever. Every
//! half minute it looks again, and forwarding begins when the loop is gone.
//!
//! It sends a question that nobody else asks (HINFO of a random name in the block's first zone) to its own first address,
//! again and again until it is answered, for at most 30 seconds. If one question comes by more than twice, there is a
//! loop. Once a question has been answered it does nothing more.
//!
//! The usual cause is `forward . /etc/resolv.conf` on a node whose resolv.conf names a local resolver (127.0.0.53), or
//! the cluster's DNS itself: forward to the upstreams by their addresses, or give the pod the node's real file by the
//! kubelet's `--resolv-conf`.
//!
//! # Syntax
//!
//! ```text
//! loop [halt]
//! ```
//!
//! * `halt`: a loop ends the process with code 1, as it does CoreDNS's.
//!
//! # Examples
//!
//! ```corefile
//! .:53 {
//!     loop
//!     forward . 192.0.2.53
//! }
//! ```
//!
//! # Metrics
//!
//! `dunlin_loop_detected{server,zone}`: 1 while queries of the block come back.
//!
//! # See also
//!
//! `forward`.

use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{
    BoxFuture, Command, Control, Definition, Error, Failure, Handler, Lifecycle, Next, Outcome, Request, Setup,
};
use crate::wire::{CLASS_IN, Name, RecordType};
use prometheus::Gauge;
use rand::RngExt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// The directive `loop`.
pub static DEFINITION: Definition = Definition { directive: "loop", setup, metrics: &[&DETECTED] };

static DETECTED: Descriptor = Descriptor {
    name: "dunlin_loop_detected",
    help: "Whether queries that are forwarded come back.",
    labels: &["server", "zone"],
    kind: MetricKind::Gauge,
};

/// How often the probe may come by: once is its own way, twice a client's retry.
const MOST: u32 = 2;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next try.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is tried in all.
const WHOLE: Duration = Duration::from_secs(30);
/// How long after a loop was found it is looked for again.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 30_000 });

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let words: Vec<&str> = directive.args.iter().map(|word| word.text.as_str()).collect();
    if !matches!(words[..], [] | ["halt"]) || directive.block.is_some() {
        return Err(setup.arguments(directive, "loop [halt]"));
    }
    let halt = !words.is_empty();
    let zone = setup.block.zones.first().cloned().unwrap_or_else(Name::root);
    let labels = [setup.plan.server.as_str(), &zone.to_string()];
    let detected = setup.metrics.gauge(&DETECTED).with_label_values(&labels);
    detected.set(0.0);
    let guard = Arc::new(Guard::new(zone, halt.then(|| setup.control.clone()), detected));
    setup.plan.chain.push(guard.clone());
    setup.process.lifecycles.push(Arc::new(Probing { guard, server: setup.plan.server.clone() }));
    Ok(())
}

/// Watches for the probe.
struct Guard {
    zone: Name,
    probe: Name,
    /// How often the probe came by in this try.
    seen: AtomicU32,
    /// The search is over.
    done: AtomicBool,
    /// There is a loop: nothing is forwarded.
    looping: AtomicBool,
    /// Whom to tell that the process has to end; `None` where it goes on.
    halt: Option<Control>,
    detected: Gauge,
}

impl Guard {
    fn new(zone: Name, halt: Option<Control>, detected: Gauge) -> Guard {
        let mut random = rand::rng();
        let text = format!("{}.{}.{zone}", random.random::<u64>(), random.random::<u64>());
        // In a zone whose name leaves no room for the labels there is nothing to probe.
        let probe = Name::from_text(text.trim_end_matches('.')).unwrap_or_else(|_| zone.clone());
        let (seen, done, looping) = Default::default();
        Guard { zone, probe, seen, done, looping, halt, detected }
    }
}

impl Handler for Guard {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let is_probe = request.qtype() == RecordType::HINFO && request.name == self.probe && self.probe != self.zone;
        if is_probe && !self.done.load(Relaxed) {
            let seen = self.seen.fetch_add(1, Relaxed) + 1;
            if seen == MOST + 1 {
                self.report(request);
            }
            if seen > MOST {
                return Box::pin(async { Outcome::Dropped });
            }
        } else if self.looping.load(Relaxed) {
            let why = format!("a loop was detected for zone \"{}\": nothing is forwarded", self.zone);
            return Box::pin(async { Outcome::Failed(Failure::servfail(why)) });
        }
        next.run(request)
    }
}

impl Guard {
    fn report(&self, request: &Request) {
        let message = format!(
            "plugin/loop: Loop ({} -> {}) detected for zone \"{}\": the query \"HINFO {}\" came back. The upstreams of \
             'forward' send queries to this server; name others, or look for this server in its resolv.conf",
            request.client, request.local, self.zone, self.probe
        );
        match &self.halt {
            // Nobody to tell means that the process is ending already.
            Some(control) => drop(control.commands.send(Command::Fatal(message))),
            None if self.looping.swap(true, Relaxed) => {}
            None => {
                self.detected.set(1.0);
                tracing::error!(target: "dunlin", "{message}. Until then queries for them get SERVFAIL");
            }
        }
    }

    /// A probe was answered without coming back too often.
    fn is_clear(&self) {
        self.done.store(true, Relaxed);
        if self.looping.swap(false, Relaxed) {
            self.detected.set(0.0);
            tracing::info!(target: "dunlin", "plugin/loop: No loop any more for zone \"{}\"", self.zone);
        }
    }
}

/// Sends the probe when the server is up.
struct Probing {
    guard: Arc<Guard>,
    /// The block's first listener, as metrics name it.
    server: String,
}

impl Lifecycle for Probing {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn serving(&self, addresses: &[SocketAddr]) {
        if let (Some(own), Ok(runtime)) = (self.own(addresses), tokio::runtime::Handle::try_current()) {
            runtime.spawn(probe(Arc::downgrade(&self.guard), reachable(own)));
        }
    }
}

impl Probing {
    /// Of the addresses that all blocks listen on, the first of this block.
    fn own(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let (host, port) = self.server.trim_start_matches("dns://").rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']);
        let is_own = |address: &&SocketAddr| {
            address.port().to_string() == port && (host.is_empty() || address.ip().to_string() == host)
        };
        addresses.iter().find(is_own).or(addresses.first()).copied()
    }
}

/// An address that stands for all is reached over loopback.
fn reachable(own: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match own {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if own.ip().is_unspecified() { (loopback, own.port()).into() } else { own }
}

async fn probe(guard: Weak<Guard>, own: SocketAddr) {
    let began = Instant::now();
    loop {
        let Some(query) = guard.upgrade().map(|guard| message(&guard.probe)) else { return };
        let answered = timeout(PATIENCE, exchange(&query, own)).await.is_ok_and(|answered| answered.is_ok());
        let Some(guard) = guard.upgrade() else { return };
        // A slow upstream at start is no loop: every try counts for itself.
        let came_back = guard.seen.swap(0, Relaxed) > MOST;
        if answered && !came_back {
            return guard.is_clear();
        }
        let looping = guard.looping.load(Relaxed);
        if !looping && began.elapsed() >= WHOLE {
            return guard.done.store(true, Relaxed);
        }
        drop(guard);
        tokio::time::sleep(if looping { AGAIN } else { PAUSE }).await;
    }
}

fn message(name: &Name) -> Vec<u8> {
    let mut packet = rand::rng().random::<u16>().to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    packet.extend(name.wire());
    packet.extend(RecordType::HINFO.0.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet
}

async fn exchange(query: &[u8], own: SocketAddr) -> std::io::Result<()> {
    let any: IpAddr = if own.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(own).await?;
    socket.send(query).await?;
    let mut reply = [0; 512];
    loop {
        let len = socket.recv(&mut reply).await?;
        if reply[..len.min(2)] == query[..2] {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{self, Bench};
    use tokio::sync::mpsc;

    /// One that halts.
    fn guard() -> (Arc<Guard>, mpsc::UnboundedReceiver<Command>) {
        let (commands, received) = mpsc::unbounded_channel();
        let control = Control { commands, corefile: None, arrivals: Default::default(), history: Default::default() };
        (Arc::new(Guard::new(Name::from_text("example.org").unwrap(), Some(control), gauge())), received)
    }

    fn gauge() -> Gauge {
        Gauge::new("detected", "detected").unwrap()
    }

    #[test]
    fn options_are_read() {
        for lines in ["loop", "loop halt"] {
            let bench = Bench::new();
            bench.done().plan.server = "dns://:53".into();
            bench.set_up(&DEFINITION, lines).unwrap();
            assert!(bench.metrics.render().contains("dunlin_loop_detected{server=\"dns://:53\",zone=\".\"} 0"));
        }
        let expected = "expected: loop [halt]";
        Bench::errors(
            &DEFINITION,
            &[("loop stop", expected), ("loop halt now", expected), ("loop {\nhalt\n}", expected)],
        );
    }

    #[tokio::test]
    async fn a_loop_stops_forwarding_until_it_is_gone() {
        struct Upstream;
        impl Handler for Upstream {
            fn name(&self) -> &'static str {
                "forward"
            }
            fn handle<'a>(&'a self, _: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
                Box::pin(async { Outcome::Failed(Failure::servfail("asked")) })
            }
        }
        let guard = Arc::new(Guard::new(Name::from_text("example.org").unwrap(), None, gauge()));
        let chain: [Arc<dyn Handler>; 2] = [guard.clone(), Arc::new(Upstream)];
        let asked = Outcome::Failed(Failure::servfail("asked"));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Probing { guard: guard.clone(), server: "dns://:53".into() }.serving(&[socket.local_addr().unwrap()]);
        let mut packet = [0; 512];
        let (probe, other) = (request(&guard.probe, RecordType::HINFO), request(&guard.zone, RecordType::A));
        for round in 0..4 {
            let (len, client) = socket.recv_from(&mut packet).await.unwrap();
            let comes_back = round < 3;
            for _ in 0..(if comes_back { 5 } else { 1 }) {
                Next::all(&chain).run(&probe).await;
            }
            assert_eq!(guard.detected.get(), 1.0);
            assert_ne!(Next::all(&chain).run(&other).await, asked, "round {round}: it is not forwarded");
            packet[2] |= 0x80;
            socket.send_to(&packet[..len], client).await.unwrap();
        }
        let began = std::time::Instant::now();
        while guard.looping.load(Relaxed) {
            assert!(began.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((guard.detected.get(), Next::all(&chain).run(&other).await), (0.0, asked));
    }

    fn request(name: &Name, qtype: RecordType) -> Request {
        let address = "127.0.0.1:5300".parse().unwrap();
        Request { client: address, local: address, ..testing::request(testing::query(&name.to_string(), qtype)) }
    }

    #[test]
    fn the_probe_is_in_the_zone_and_random() {
        let (one, other) = (guard().0, guard().0);
        assert!(one.probe.is_within(&one.zone) && one.probe.label_count() == 4);
        assert_ne!(one.probe, other.probe);
    }

    #[tokio::test]
    async fn a_probe_that_comes_back_is_fatal() {
        let (guard, mut commands) = guard();
        let probe = request(&guard.probe, RecordType::HINFO);
        for _ in 0..2 {
            guard.handle(&probe, Next::all(&[])).await;
        }
        assert!(commands.try_recv().is_err());
        for _ in 0..5 {
            assert_eq!(guard.handle(&probe, Next::all(&[])).await, Outcome::Dropped);
        }
        let Ok(Command::Fatal(message)) = commands.try_recv() else { panic!("no command") };
        assert!(
            message.contains("detected for zone \"example.org.\"") && message.contains("127.0.0.1:5300"),
            "{message}"
        );
        assert!(commands.try_recv().is_err(), "said once");
    }

    #[tokio::test]
    async fn other_questions_do_not_count() {
        let (guard, mut commands) = guard();
        for _ in 0..5 {
            guard.handle(&request(&guard.zone, RecordType::HINFO), Next::all(&[])).await;
            guard.handle(&request(&guard.probe, RecordType::A), Next::all(&[])).await;
        }
        assert!(commands.try_recv().is_err());
    }

    #[tokio::test]
    async fn it_ends_with_an_answer() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let own = socket.local_addr().unwrap();
        let (guard, _commands) = guard();
        Probing { guard: guard.clone(), server: "dns://:53".into() }.serving(&[own]);
        let mut packet = [0; 512];
        let (len, client) = socket.recv_from(&mut packet).await.unwrap();
        let mut buffer = crate::wire::NameBuffer::default();
        let query = crate::wire::Query::parse(&packet[..len], &mut buffer).unwrap();
        assert_eq!((query.name.to_name(), query.qtype), (guard.probe.clone(), RecordType::HINFO));
        packet[2] |= 0x80;
        socket.send_to(&packet[..len], client).await.unwrap();
        while !guard.done.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn every_block_probes_its_own_listener() {
        let all = ["[::]:53", "0.0.0.0:53", "0.0.0.0:1053", "10.0.0.1:1053", "[2001:db8::1]:1053"];
        let all = all.map(|text| text.parse::<SocketAddr>().unwrap());
        for (server, expected) in [
            ("dns://:53", 0),
            ("dns://:1053", 2),
            ("dns://10.0.0.1:1053", 3),
            ("dns://2001:db8::1:1053", 4),
            ("dns://[2001:db8::1]:1053", 4),
            ("dns://:5353", 0),
        ] {
            let probing = Probing { guard: guard().0, server: server.into() };
            assert_eq!(probing.own(&all), Some(all[expected]), "{server}");
        }
    }

    #[test]
    fn wildcards_are_reached_over_loopback() {
        for (own, expected) in
            [("0.0.0.0:53", "127.0.0.1:53"), ("[::]:53", "[::1]:53"), ("10.0.0.1:1053", "10.0.0.1:1053")]
        {
            assert_eq!(reachable(own.parse().unwrap()), expected.parse::<SocketAddr>().unwrap());
        }
    }
}
