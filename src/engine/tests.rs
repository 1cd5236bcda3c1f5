//! The engine through real loopback sockets, with an answerer that turns packets into themselves.

mod connections;
mod overload;
mod wildcard;

use super::*;
use crate::metrics::PANICS;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::sync::Semaphore;

/// Says a query back with QR set. The first octet of the question decides what else happens.
struct Echo {
    /// Slow answers wait for one of these.
    gate: Arc<Semaphore>,
    slow_seen: AtomicUsize,
    arrivals: std::sync::Mutex<Vec<Arrival>>,
}

struct EchoLane;

const FAST: u8 = b'f';
const SILENT: u8 = b'-';
const SLOW: u8 = b's';
const PANIC: u8 = b'!';
const SLOW_PANIC: u8 = b'p';
const LARGE: u8 = b'L';

impl Lane for EchoLane {
    fn batch_begins(&mut self) {}

    fn answer(&mut self, packet: &[u8], _client: SocketAddr, out: &mut [u8]) -> Fast {
        match packet.get(12) {
            Some(&SILENT) | None => return Fast::Silence,
            Some(&SLOW | &SLOW_PANIC) => return Fast::Slow,
            Some(&PANIC) => panic!("asked to"),
            Some(&LARGE) => out[packet.len()..].fill(7),
            _ => {}
        }
        let len = if packet[12] == LARGE { out.len() } else { packet.len() };
        out[..packet.len()].copy_from_slice(packet);
        out[2] |= 0x80;
        Fast::Reply(len)
    }

    fn batch_ends(&mut self, _took: Duration) {}
}

impl Answerer for Echo {
    fn lane(&self, _transport: Transport) -> Box<dyn Lane> {
        Box::new(EchoLane)
    }

    fn slow(&self, mut packet: Vec<u8>, arrival: Arrival) -> BoxFuture<'static, Option<Sent>> {
        assert_ne!(packet[12], SLOW_PANIC, "asked to");
        self.slow_seen.fetch_add(1, Ordering::Relaxed);
        self.arrivals.lock().unwrap().push(arrival);
        let gate = self.gate.clone();
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            packet[2] |= 0x80;
            Some(packet.into())
        })
    }
}

fn packet(kind: u8, id: u8) -> Vec<u8> {
    let mut packet = vec![0; 30];
    (packet[1], packet[12]) = (id, kind);
    packet
}

fn reply(kind: u8, id: u8) -> Vec<u8> {
    let mut reply = packet(kind, id);
    reply[2] = 0x80;
    reply
}

struct Bench {
    listener: Listener,
    echo: Arc<Echo>,
    metrics: Metrics,
}

fn bench_with(address: &str, workers: usize, max_slow: usize) -> Bench {
    bench_limited(address, workers, max_slow, SharedLimits::default())
}

fn bench_limited(address: &str, workers: usize, max_slow: usize, limits: SharedLimits) -> Bench {
    bench_of(address, Protocol::Dns, workers, max_slow, limits)
}

fn bench_of(address: &str, protocol: Protocol, workers: usize, max_slow: usize, limits: SharedLimits) -> Bench {
    let metrics = Metrics::new();
    let slow = SlowQueries::at_most(max_slow);
    bench_run(address, protocol, ListenerOptions { workers, slow, limits, metrics })
}

fn bench_run(address: &str, protocol: Protocol, options: ListenerOptions) -> Bench {
    let echo = Arc::new(Echo {
        gate: Arc::new(Semaphore::new(0)),
        slow_seen: AtomicUsize::new(0),
        arrivals: Default::default(),
    });
    let listener = listen(address.parse().unwrap(), protocol, echo.clone(), &options).unwrap();
    Bench { listener, echo, metrics: options.metrics }
}

fn bench(address: &str) -> Bench {
    bench_with(address, 2, 100)
}

impl Bench {
    /// A UDP client of the listener at this address, with the listener's port.
    fn udp(&self, ip: &str) -> UdpSocket {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        let socket = UdpSocket::bind((if ip.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
        socket.connect((ip, self.listener.address().port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn tcp(&self, ip: &str) -> TcpStream {
        let stream = TcpStream::connect((ip, self.listener.address().port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn count(&self, reason: &str) -> u64 {
        self.metrics.counter(&DROPPED).with_label_values(&[reason]).get()
    }

    fn panics(&self) -> u64 {
        self.metrics.counter(&PANICS).with_label_values::<&str>(&[]).get()
    }

    async fn slow_queries_arrive(&self, count: usize) {
        until(|| self.echo.slow_seen.load(Ordering::Relaxed) == count).await;
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not come to that within 5 s");
}

/// Connected sockets take only what comes from the address they sent to.
fn ask(socket: &UdpSocket, packet: &[u8]) -> Vec<u8> {
    socket.send(packet).unwrap();
    take(socket)
}

fn take(socket: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 8192];
    let len = socket.recv(&mut reply).unwrap();
    reply.truncate(len);
    reply
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat()).collect()
}

fn take_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_is_answered_from_the_address_asked() {
    for (listen_at, asked) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::1]:0", "::1"),
        ("[::]:0", "::1"),
    ] {
        let bench = bench(listen_at);
        let socket = bench.udp(asked);
        bench.echo.gate.add_permits(1);
        assert_eq!(ask(&socket, &packet(FAST, 1)), reply(FAST, 1), "{listen_at} {asked}");
        assert_eq!(ask(&socket, &packet(SLOW, 2)), reply(SLOW, 2), "{listen_at} {asked}");
        let arrival = Arrival {
            client: socket.local_addr().unwrap(),
            local: socket.peer_addr().unwrap(),
            transport: Transport::Udp,
        };
        assert_eq!(bench.echo.arrivals.lock().unwrap()[..], [arrival]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_replies_may_be_long() {
    let bench = bench("127.0.0.1:0");
    let socket = bench.udp("127.0.0.1");
    let mut long = packet(FAST, 1);
    long.resize(1400, 3);
    assert_eq!(ask(&socket, &long).len(), 1400);
    for _ in 0..10 {
        for id in 0..20 {
            socket.send(&packet(LARGE, id)).unwrap();
        }
        for id in 0..20 {
            let reply = take(&socket);
            assert_eq!((reply[1], reply.len()), (id, system::REPLY_ROOM));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_answer_gets_none() {
    let bench = bench("127.0.0.1:0");
    let socket = bench.udp("127.0.0.1");
    socket.send(b"").unwrap();
    socket.send(&packet(SILENT, 1)).unwrap();
    assert_eq!(ask(&socket, &packet(FAST, 2)), reply(FAST, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_do_not_hold_up_fast_ones_and_are_bounded() {
    let bench = bench_with("127.0.0.1:0", 1, 3);
    let socket = bench.udp("127.0.0.1");
    for id in 0..5 {
        socket.send(&packet(SLOW, id)).unwrap();
    }
    assert_eq!(ask(&socket, &packet(FAST, 9)), reply(FAST, 9));
    bench.slow_queries_arrive(3).await;
    assert_eq!(bench.count("slow"), 2);
    bench.echo.gate.add_permits(100);
    let mut ids: Vec<_> = (0..3).map(|_| take(&socket)[1]).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(ask(&socket, &packet(SLOW, 7)), reply(SLOW, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_of_several_listeners_are_bounded_together() {
    let metrics = Metrics::new();
    let slow = SlowQueries::at_most(3);
    let options = ListenerOptions { workers: 1, slow, limits: SharedLimits::default(), metrics };
    let [one, other] = ["127.0.0.1:0", "[::1]:0"].map(|address| bench_run(address, Protocol::Dns, options.clone()));
    let (first, second) = (one.udp("127.0.0.1"), other.udp("::1"));
    for id in 0..2 {
        first.send(&packet(SLOW, id)).unwrap();
    }
    one.slow_queries_arrive(2).await;
    for id in 2..5 {
        second.send(&packet(SLOW, id)).unwrap();
    }
    assert_eq!(ask(&second, &packet(FAST, 9)), reply(FAST, 9));
    other.slow_queries_arrive(1).await;
    assert_eq!(other.count("slow"), 2);
    // Who closes waits for its own alone.
    one.echo.gate.add_permits(2);
    let replies = [(); 2].map(|()| take(&first));
    assert!(replies.contains(&reply(SLOW, 0)) && replies.contains(&reply(SLOW, 1)));
    timeout(Duration::from_secs(10), one.listener.close(Duration::from_secs(60))).await.unwrap();
    assert_eq!(ask(&second, &packet(FAST, 10)), reply(FAST, 10));
    other.echo.gate.add_permits(2);
    assert_eq!([take(&second), ask(&second, &packet(SLOW, 6))], [reply(SLOW, 2), reply(SLOW, 6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_query() {
    let bench = bench_with("127.0.0.1:0", 1, 3);
    let (socket, mut stream) = (bench.udp("127.0.0.1"), bench.tcp("127.0.0.1"));
    let failed = |id| vec![0, id, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    for (kind, id) in [(FAST, 1), (PANIC, 2), (FAST, 3), (PANIC, 4)] {
        socket.send(&packet(kind, id)).unwrap();
    }
    assert_eq!([(); 4].map(|()| take(&socket)), [reply(FAST, 1), failed(2), reply(FAST, 3), failed(4)]);
    assert_eq!(ask(&socket, &packet(SLOW_PANIC, 5)), failed(5));
    stream.write_all(&framed(&[packet(PANIC, 6), packet(FAST, 7), packet(SLOW_PANIC, 8)])).unwrap();
    assert_eq!([(); 3].map(|()| take_framed(&mut stream)), [failed(6), reply(FAST, 7), failed(8)]);
    assert_eq!(bench.panics(), 5);
    // What is no query gets no reply even then.
    socket.send(&reply(PANIC, 9)).unwrap();
    assert_eq!(ask(&socket, &packet(FAST, 10)), reply(FAST, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_is_pipelined_and_fast_answers_overtake_slow_ones() {
    for (listen_at, asked) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let bench = bench(listen_at);
        let mut stream = bench.tcp(asked);
        let queries: Vec<_> = (0..100).map(|id| packet(if id == 50 { SLOW } else { FAST }, id)).collect();
        let bytes = framed(&queries);
        // Cut in the middle of a message, and of a length.
        for part in [&bytes[..1], &bytes[1..70], &bytes[70..]] {
            stream.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        for id in (0..100).filter(|id| *id != 50) {
            assert_eq!(take_framed(&mut stream), reply(FAST, id));
        }
        bench.slow_queries_arrive(1).await;
        bench.echo.gate.add_permits(1);
        assert_eq!(take_framed(&mut stream), reply(SLOW, 50));
        let arrival = bench.echo.arrivals.lock().unwrap()[0];
        assert_eq!((arrival.local, arrival.transport), (stream.peer_addr().unwrap(), Transport::Tcp));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_queries_of_one_connection_are_all_answered() {
    let bench = bench_with("127.0.0.1:0", 1, 1000);
    let mut stream = bench.tcp("127.0.0.1");
    stream.write_all(&framed(&(0..200).map(|id| packet(SLOW, id)).collect::<Vec<_>>())).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    bench.slow_queries_arrive(32).await;
    bench.echo.gate.add_permits(200);
    let mut ids: Vec<_> = (0..200).map(|_| take_framed(&mut stream)[1]).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<u8>>());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_answers_may_have_every_size() {
    let bench = bench("127.0.0.1:0");
    let mut stream = bench.tcp("127.0.0.1");
    let mut long = packet(FAST, 1);
    long.resize(65_535, 3);
    // More than both sides' socket buffers take, so that reading and writing have to alternate.
    let queries = framed(&[long, packet(LARGE, 2), packet(LARGE, 3), packet(FAST, 4)]);
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || (0..50).for_each(|_| writer.write_all(&queries).unwrap()));
    for _ in 0..50 {
        assert_eq!([(); 4].map(|()| take_framed(&mut stream).len()), [65_535, 65_535, 65_535, 30]);
    }
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_what_is_queued_and_in_flight() {
    let bench = bench_with("127.0.0.1:0", 2, 100);
    let sockets: Vec<_> = (0..20).map(|_| bench.udp("127.0.0.1")).collect();
    let mut stream = bench.tcp("127.0.0.1");
    sockets[0].send(&packet(SLOW, 1)).unwrap();
    stream.write_all(&framed(&[packet(SLOW, 2)])).unwrap();
    bench.slow_queries_arrive(2).await;
    let (mut late, address) = (bench.tcp("127.0.0.1"), bench.listener.address());
    for socket in &sockets {
        for id in 0..50 {
            socket.send(&packet(FAST, id)).unwrap();
        }
    }
    stream.write_all(&framed(&[packet(FAST, 3)])).unwrap();
    late.write_all(&framed(&[packet(FAST, 4)])).unwrap();
    let gate = bench.echo.gate.clone();
    let closing = tokio::spawn(bench.listener.close(Duration::from_secs(5)));
    assert_eq!(take_framed(&mut late), reply(FAST, 4));
    assert_eq!(take_framed(&mut stream), reply(FAST, 3));
    // UDP goes on being answered while something is in flight.
    tokio::time::sleep(Duration::from_millis(50)).await;
    sockets[1].send(&packet(FAST, 50)).unwrap();
    (0..51).for_each(|id| assert_eq!(take(&sockets[1]), reply(FAST, id)));
    assert!(!closing.is_finished());
    gate.add_permits(2);
    closing.await.unwrap();
    for socket in &sockets[2..] {
        (0..50).for_each(|id| assert_eq!(take(socket), reply(FAST, id)));
    }
    (0..50).for_each(|id| assert_eq!(take(&sockets[0]), reply(FAST, id)));
    assert_eq!(take(&sockets[0]), reply(SLOW, 1));
    assert_eq!(take_framed(&mut stream), reply(SLOW, 2));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // Nobody listens any more.
    assert!(TcpStream::connect(address).is_err());
    assert!(UdpSocket::bind(address).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_with_its_grace() {
    let bench = bench("127.0.0.1:0");
    let (socket, mut stream) = (bench.udp("127.0.0.1"), bench.tcp("127.0.0.1"));
    socket.send(&packet(SLOW, 1)).unwrap();
    stream.write_all(&framed(&[packet(SLOW, 2)])).unwrap();
    bench.slow_queries_arrive(2).await;
    let (begun, address) = (Instant::now(), bench.listener.address());
    bench.listener.close(Duration::from_millis(300)).await;
    assert!((300..2000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    until(|| UdpSocket::bind(address).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_listener_is_closed() {
    let bench = bench("0.0.0.0:0");
    let address = bench.listener.address();
    drop(bench);
    until(|| UdpSocket::bind(address).is_ok() && std::net::TcpListener::bind(address).is_ok()).await;
}

/// A link-local address means nothing without its interface, so the reply has to leave by the one the query came by.
/// Machines without such an address have nothing to test.
#[tokio::test(flavor = "multi_thread")]
async fn link_local_queries_are_answered_from_their_interface() {
    let Some((address, scope)) = link_local() else { return };
    let bench = bench("[::]:0");
    let client = UdpSocket::bind(std::net::SocketAddrV6::new(address, 0, 0, scope)).unwrap();
    client.connect(std::net::SocketAddrV6::new(address, bench.listener.address().port(), 0, scope)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    bench.echo.gate.add_permits(1);
    assert_eq!(ask(&client, &packet(FAST, 1)), reply(FAST, 1));
    assert_eq!(ask(&client, &packet(SLOW, 2)), reply(SLOW, 2));
    assert_eq!(bench.echo.arrivals.lock().unwrap()[0].local, client.peer_addr().unwrap());
}

/// A link-local address of this machine and its interface: `fe80… index prefix scope flags name` in the kernel's list.
fn link_local() -> Option<(std::net::Ipv6Addr, u32)> {
    let list = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let fields = list.lines().find(|line| line.starts_with("fe80"))?.split_whitespace().collect::<Vec<_>>();
    let address = u128::from_str_radix(fields[0], 16).ok()?;
    Some((address.into(), u32::from_str_radix(fields[1], 16).ok()?))
}
