//! # Description
//!
//! `loop` finds out at start whether queries that are forwarded come back. A loop means that every query goes round
//! until it times out, which brings the server and its upstreams down; so the process ends with code 1, and says why.
//!
//! It sends a question that nobody else asks (HINFO of a random name in the block's first zone) to its own first address,
//! again and again until it is answered, for at most 30 seconds. If one question comes by more than twice, there is a
//! loop. After that it does nothing.
//!
//! The usual cause is `forward . /etc/resolv.conf` on a node whose resolv.conf names a local resolver (127.0.0.53), or
//! the cluster's DNS itself: forward to the upstreams by their addresses, or give the pod the node's real file by the
//! kubelet's `--resolv-conf`.
//!
//! # Syntax
//!
//! ```text
//! loop
//! ```
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
//! None.
//!
//! # See also
//!
//! `forward`.

use crate::plugin::{
    BoxFuture, Command, Control, Definition, Error, Handler, Lifecycle, Next, Outcome, Request, Setup,
};
use crate::wire::{CLASS_IN, Name, RecordType};
use rand::RngExt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// The directive `loop`.
pub static DEFINITION: Definition = Definition { directive: "loop", setup, metrics: &[] };

/// How often the probe may come by: once is its own way, twice a client's retry.
const MOST: u32 = 2;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next try.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is tried in all.
const WHOLE: Duration = Duration::from_secs(30);

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if !directive.args.is_empty() || directive.block.is_some() {
        return Err(setup.arguments(directive, "loop"));
    }
    let zone = setup.block.zones.first().cloned().unwrap_or_else(Name::root);
    let guard = Arc::new(Guard::new(zone, setup.control.clone()));
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
    control: Control,
}

impl Guard {
    fn new(zone: Name, control: Control) -> Guard {
        let mut random = rand::rng();
        let text = format!("{}.{}.{zone}", random.random::<u64>(), random.random::<u64>());
        // In a zone whose name leaves no room for the labels there is nothing to probe.
        let probe = Name::from_text(text.trim_end_matches('.')).unwrap_or_else(|_| zone.clone());
        Guard { zone, probe, seen: AtomicU32::new(0), done: AtomicBool::new(false), control }
    }
}

impl Handler for Guard {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        let is_probe = request.qtype == RecordType::HINFO && request.name == self.probe && self.probe != self.zone;
        if is_probe && !self.done.load(Relaxed) {
            let seen = self.seen.fetch_add(1, Relaxed) + 1;
            if seen == MOST + 1 {
                self.report(request);
            }
            if seen > MOST {
                return Box::pin(async { Outcome::Dropped });
            }
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
        // Nobody to tell means that the process is ending already.
        let _ = self.control.commands.send(Command::Fatal(message));
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
    while began.elapsed() < WHOLE {
        let Some(query) = guard.upgrade().map(|guard| message(&guard.probe)) else { return };
        if timeout(PATIENCE, exchange(&query, own)).await.is_ok_and(|answered| answered.is_ok()) {
            break;
        }
        // A slow upstream at start is no loop: every try counts for itself.
        match guard.upgrade() {
            Some(guard) => guard.seen.store(0, Relaxed),
            None => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
    if let Some(guard) = guard.upgrade() {
        guard.done.store(true, Relaxed);
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
    use crate::plugin::{Failure, Lookup, Moment, Shape, Transport};
    use tokio::sync::mpsc;

    struct Nobody;

    impl Lookup for Nobody {
        fn lookup<'a>(&'a self, _: Vec<u8>, _: &'a Request) -> BoxFuture<'a, Outcome> {
            Box::pin(async { Outcome::Failed(Failure::servfail("nobody")) })
        }
    }

    fn guard() -> (Arc<Guard>, mpsc::UnboundedReceiver<Command>) {
        let (commands, received) = mpsc::unbounded_channel();
        let control = Control { commands, corefile: None, arrivals: Default::default() };
        (Arc::new(Guard::new(Name::from_text("example.org").unwrap(), control)), received)
    }

    fn request(name: &Name, qtype: RecordType) -> Request {
        let address = "127.0.0.1:5300".parse().unwrap();
        Request {
            packet: message(name),
            name: name.clone(),
            qtype,
            qclass: CLASS_IN,
            edns: None,
            client: address,
            local: address,
            transport: Transport::Udp,
            shape: Shape::default(),
            moment: Moment::default(),
            metadata: Default::default(),
            depth: 0,
            server: Arc::new(Nobody),
        }
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
