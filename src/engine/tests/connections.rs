//! What bounds connections: how many there are, each client's part of them, and what ends one.

use super::*;

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
async fn connections_above_the_bound_are_closed_and_counted() {
    let Bench { listener, echo, metrics } = bench("127.0.0.1:0");
    let counters = Counters::new(&metrics);
    let acceptor = tcp::Acceptor {
        protocol: Protocol::Dns,
        slow: SlowLane::new(echo.clone(), SlowQueries::at_most(1), counters.clone()),
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
    let refused = || (counters.connection.get() + counters.source.get()) as usize;
    let mut held = Vec::new();
    for number in 0..MOST + MORE {
        held.push(connect(number));
        // No more wait to be accepted than the system lets. The last that finds room may share its part with too many.
        if number % 500 == 499 {
            until(|| counters.connections.get() as usize + refused() == held.len()).await;
        }
    }
    until(|| refused() == MORE).await;
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
