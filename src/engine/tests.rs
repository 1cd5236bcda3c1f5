//! The engine through real loopback sockets, with an answerer that turns packets into themselves.

mod overload;

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
    let echo = Arc::new(Echo {
        gate: Arc::new(Semaphore::new(0)),
        slow_seen: AtomicUsize::new(0),
        arrivals: Default::default(),
    });
    let metrics = Metrics::new();
    let options = ListenerOptions { workers, max_slow, limits, metrics: metrics.clone() };
    Bench { listener: listen(address.parse().unwrap(), protocol, echo.clone(), &options).unwrap(), echo, metrics }
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

/// Of the loopback's network only 127.0.0.1 is an interface's address; 127.0.0.9 stands for one that comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_wildcard_get_sockets_of_their_own_and_lose_nothing() {
    let bench = bench("0.0.0.0:0");
    let beside = bench.listener.beside.clone().unwrap();
    let (known, later) = ("127.0.0.1".parse().unwrap(), "127.0.0.9".parse().unwrap());
    assert!(beside.served().contains(&known) && !beside.served().contains(&later));
    let sockets: Vec<_> = (0..20).map(|_| bench.udp("127.0.0.9")).collect();
    bench.echo.gate.add_permits(100);
    let all_answered = |id: u8| {
        sockets.iter().for_each(|socket| assert_eq!(ask(socket, &packet(FAST, id)), reply(FAST, id)));
        assert_eq!(ask(&sockets[0], &packet(SLOW, id)), reply(SLOW, id));
        assert_eq!(bench.echo.arrivals.lock().unwrap().last().unwrap().local, sockets[0].peer_addr().unwrap());
    };
    all_answered(1);
    beside.serve(&[known, later]);
    assert_eq!(beside.served(), [known, later]);
    all_answered(2);
    // Queued before the sockets are given up, answered all the same: as many as a socket has room for, should its worker
    // not run meanwhile.
    for id in 0..10 {
        sockets.iter().for_each(|socket| assert_eq!(socket.send(&packet(FAST, id)).unwrap(), 30));
    }
    beside.serve(&[known]);
    for id in 0..10 {
        sockets.iter().for_each(|socket| assert_eq!(take(socket), reply(FAST, id)));
    }
    assert_eq!(beside.served(), [known]);
    all_answered(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_socket_stays_that_ones() {
    let bench = bench("0.0.0.0:0");
    let beside = bench.listener.beside.clone().unwrap();
    let address: std::net::IpAddr = "127.0.0.9".parse().unwrap();
    let other = || {
        let at = SocketAddr::new(address, bench.listener.address().port());
        let socket = sockets::udp_workers(at, 1).unwrap().remove(0);
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    };
    let gets_all = |other: &UdpSocket| {
        for id in 0..20 {
            bench.udp("127.0.0.9").send(&packet(FAST, id)).unwrap();
        }
        (0..20).for_each(|_| assert_eq!(take(other).len(), 30));
    };
    // First there:
    let first = other();
    beside.serve(&[address]);
    assert!(beside.served().is_empty());
    gets_all(&first);
    drop(first);
    beside.serve(&[address]);
    assert_eq!(beside.served(), [address]);
    // Later there:
    let later = other();
    beside.serve(&[address]);
    assert!(beside.served().is_empty());
    until(|| beside.is_at_rest()).await;
    gets_all(&later);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_wildcard_answers_what_its_addresses_have() {
    let bench = bench("0.0.0.0:0");
    let sockets: Vec<_> = ["127.0.0.1", "127.0.0.2"].map(|ip| bench.udp(ip)).into();
    for (id, socket) in sockets.iter().enumerate() {
        socket.send(&packet(SLOW, id as u8)).unwrap();
    }
    bench.slow_queries_arrive(2).await;
    for socket in &sockets {
        (0..50).for_each(|id| assert_eq!(socket.send(&packet(FAST, id)).unwrap(), 30));
    }
    let (gate, address) = (bench.echo.gate.clone(), bench.listener.address());
    let closing = tokio::spawn(bench.listener.close(Duration::from_secs(5)));
    for socket in &sockets {
        (0..50).for_each(|id| assert_eq!(take(socket), reply(FAST, id)));
    }
    assert!(!closing.is_finished());
    gate.add_permits(2);
    closing.await.unwrap();
    for (id, socket) in sockets.iter().enumerate() {
        assert_eq!(take(socket), reply(SLOW, id as u8));
    }
    assert!(UdpSocket::bind(address).is_ok());
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
async fn a_silent_connection_is_closed() {
    let bench = bench("127.0.0.1:0");
    let mut stream = bench.tcp("127.0.0.1");
    // Half a message is no message.
    stream.write_all(&[0, 30, 1, 2, 3]).unwrap();
    let begun = Instant::now();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert!((2..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
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

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_bound_are_closed_and_counted() {
    let Bench { listener, echo, metrics } = bench("127.0.0.1:0");
    let counters = Counters::new(&metrics);
    let acceptor = tcp::Acceptor {
        protocol: Protocol::Dns,
        slow: SlowLane::new(echo.clone(), 1, counters.clone()),
        answerer: echo,
        limits: SharedLimits::default(),
        counters: counters.clone(),
        metrics: metrics.clone(),
        closing: listener.closing.clone(),
        connections: Shares::new(counters.connections.clone()),
        descriptors: 4,
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let accepting = tokio::spawn(acceptor.run(socket));
    let connect = |id| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(&framed(&[packet(FAST, id)])).unwrap();
        stream
    };
    let (mut one, mut other, mut third) = (connect(1), connect(2), connect(3));
    assert_eq!((take_framed(&mut one), take_framed(&mut other)), (reply(FAST, 1), reply(FAST, 2)));
    assert_eq!((third.read(&mut [0]).unwrap_or(0), counters.connection.get()), (0, 1));
    drop(one);
    until(|| connect(4).read_exact(&mut [0; 32]).is_ok()).await;
    listener.close(Duration::from_secs(1)).await;
    accepting.await.unwrap();
}

/// Each from an address of its own, so that none has more than its part. In the clear: what is bounded is the same.
#[tokio::test(flavor = "multi_thread")]
async fn connections_over_tls_above_the_bound_are_closed_and_counted() {
    const MOST: usize = 2_000;
    const MORE: usize = 50;
    if system::raise_descriptor_limit() < 4 * (MOST + MORE) {
        return;
    }
    let long = Duration::from_secs(3600);
    let limits = SharedLimits::new(Arc::new(Limits { read: long, idle: long, ..Limits::default() }).into());
    let bench = bench_of("127.0.0.1:0", Protocol::Tls(Keys::default()), 1, 100, limits);
    let counters = Counters::new(&bench.metrics);
    let connect = |number: usize| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let address = std::net::Ipv4Addr::new(127, 1, (number >> 8) as u8, number as u8);
        socket.bind(&SocketAddr::new(address.into(), 0).into()).unwrap();
        socket.connect(&bench.listener.address().into()).unwrap();
        TcpStream::from(socket)
    };
    let mut held = Vec::new();
    for number in 0..MOST + MORE {
        held.push(connect(number));
        // No more wait to be accepted than the system lets.
        if number % 500 == 499 {
            until(|| counters.connections.get() as usize == held.len().min(MOST)).await;
        }
    }
    until(|| counters.connection.get() + counters.source.get() == MORE as u64).await;
    assert_eq!(counters.connections.get() as usize, MOST);
    assert!(counters.connection.get() > 0);
    held.truncate(MOST / 2);
    until(|| counters.connections.get() as usize <= MOST / 2).await;
    let mut one_more = connect(0);
    one_more.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    one_more.write_all(&framed(&[packet(FAST, 1)])).unwrap();
    assert_eq!(take_framed(&mut one_more), reply(FAST, 1));
}

/// One client takes all that it can: it is stopped while there is room, and another is let in.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_s_connections_leave_room_for_another() {
    const MOST: usize = 90;
    let limits = SharedLimits::new(Arc::new(Limits { connections: MOST, ..Limits::default() }).into());
    let protocol = Protocol::Https { keys: Keys::default(), server: "test".into() };
    let bench = bench_of("127.0.0.1:0", protocol, 1, 100, limits);
    let counters = Counters::new(&bench.metrics);
    let connect = |from: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&bench.listener.address().into()).unwrap();
        socket
    };
    let held: Vec<_> = (0..2 * MOST).map(|_| connect("127.0.0.1")).collect();
    until(|| counters.source.get() > 0 && counters.source.get() + counters.connections.get() as u64 == 2 * MOST as u64)
        .await;
    // Eight ninths; what comes above the bound itself would be counted otherwise.
    assert_eq!((counters.connections.get(), counters.connection.get()), (80.0, 0));
    let _other = connect("127.0.0.2");
    until(|| counters.connections.get() == 81.0).await;
    drop(held);
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

/// The system says how long a connection was open; only which limit ended it is of interest.
#[tokio::test(flavor = "multi_thread")]
async fn each_limit_of_a_connection_ends_it() {
    let long = Duration::from_secs(3600);
    let short = Duration::from_millis(50);
    let open = Limits { read: long, write: long, idle: long, ..Limits::default() };
    let limits = SharedLimits::new(Arc::new(open).into());
    let bench = bench_limited("127.0.0.1:0", 1, 100, limits.clone());
    let connect = |limited| {
        limits.store(Arc::new(limited));
        let stream = TcpStream::connect(bench.listener.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    };
    let is_closed = |stream: &mut TcpStream| matches!(stream.read(&mut [0]), Ok(0));

    let counted_as = |line: &str| bench.metrics.render().lines().any(|found| found == line);
    let kept = connect(open);
    until(|| counted_as("dunlin_engine_connections 1")).await;
    drop(kept);
    until(|| counted_as("dunlin_engine_connections 0")).await;

    assert!(is_closed(&mut connect(Limits { read: short, ..open })), "read, without a query");

    let mut idle = connect(Limits { idle: short, ..open });
    idle.write_all(&framed(&[packet(FAST, 1)])).unwrap();
    assert_eq!(take_framed(&mut idle), reply(FAST, 1));
    assert!(is_closed(&mut idle), "idle, after the answer");

    let mut counted = connect(Limits { queries: Some(2), ..open });
    counted.write_all(&framed(&[packet(FAST, 1), packet(SLOW, 2), packet(FAST, 3)])).unwrap();
    assert_eq!(take_framed(&mut counted), reply(FAST, 1));
    bench.echo.gate.add_permits(1);
    assert_eq!(take_framed(&mut counted), reply(SLOW, 2));
    // What was sent above the bound is not read: closing says so by a reset.
    assert!(matches!(counted.read(&mut [0]), Ok(0) | Err(_)) && bench.echo.slow_seen.load(Ordering::SeqCst) == 1);

    let mut deaf = connect(Limits { write: short, ..open });
    deaf.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let many = framed(&vec![packet(LARGE, 1); 64]);
    let sent = (0..4096).find_map(|_| deaf.write_all(&many).err());
    assert!(sent.is_some_and(|why| why.kind() != io::ErrorKind::WouldBlock), "write, of what nobody takes");
    for reason in ["first", "idle", "write", "queries"] {
        until(|| counted_as(&format!("dunlin_engine_connections_ended_total{{reason=\"{reason}\"}} 1"))).await;
    }
}
