//! A wildcard and the addresses of the machine that have sockets of their own beside it.

use super::*;

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
