use super::*;
use std::os::fd::AsFd;
use std::time::Duration;

fn pair() -> (UdpSocket, UdpSocket) {
    let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    client.connect(server.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    (server, client)
}

#[test]
fn a_batch_comes_and_goes() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    for round in 0..3u8 {
        for n in 0..BATCH as u8 + 5 {
            client.send(&[round, n]).unwrap();
        }
        let mut answered = 0u8;
        while answered < BATCH as u8 + 5 {
            for index in 0..batch.receive(&server).unwrap() {
                let slot = batch.slot(index);
                assert_eq!((slot.packet, slot.client), (&[round, answered][..], client.local_addr().unwrap()));
                slot.out[0] = answered;
                batch.reply(index, 1);
                answered += 1;
            }
            assert_eq!(batch.send(&server), 0);
        }
        for expected in 0..answered {
            let mut reply = [0; 9];
            assert_eq!((client.recv(&mut reply).unwrap(), reply[0]), (1, expected));
        }
    }
}

#[test]
fn replies_of_full_size_take_several_calls() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    for _ in 0..BATCH {
        client.send(b"?").unwrap();
    }
    assert_eq!(batch.receive(&server).unwrap(), BATCH);
    let mut calls = 0;
    for index in 0..BATCH {
        batch.slot(index).out.fill(index as u8);
        batch.reply(index, REPLY_ROOM);
        if batch.has_room() {
            continue;
        }
        calls += 1;
        assert_eq!(batch.send(&server), 0);
        for earlier in index + 1 - REPLIES / REPLY_ROOM..=index {
            let mut reply = [0; REPLY_ROOM + 1];
            assert_eq!(client.recv(&mut reply).unwrap(), REPLY_ROOM);
            assert!(reply[..REPLY_ROOM].iter().all(|octet| *octet == earlier as u8));
        }
    }
    assert_eq!(calls, BATCH * REPLY_ROOM / REPLIES);
}

#[test]
fn a_refused_message_does_not_hold_the_others_back() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    for _ in 0..3 {
        client.send(b"?").unwrap();
    }
    let mut count = 0;
    while count < 3 {
        count += batch.receive(&server).unwrap();
        assert!(count == 3 || count == 0, "loopback delivers before send returns");
    }
    // Nobody can be answered at port 0.
    batch.memory_mut().clients[1].sin6_port = 0;
    (0..3).for_each(|index| batch.reply(index, 2));
    assert_eq!(batch.send(&server), 1);
    (0..2).for_each(|_| assert_eq!(client.recv(&mut [0; 9]).unwrap(), 2));
}

#[test]
fn an_empty_datagram_is_no_wake_up() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    client.send(b"").unwrap();
    assert_eq!((batch.receive(&server).unwrap(), batch.slot(0).packet.len()), (1, 0));
}

#[test]
fn a_woken_socket_gives_what_is_queued_then_nothing() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    client.send(b"before").unwrap();
    wake(&server);
    client.send(b"behind").unwrap();
    assert_eq!(batch.receive(&server).unwrap(), 2);
    assert_eq!(batch.slot(0).packet, b"before");
    assert_eq!(batch.slot(1).packet, b"behind");
    assert_eq!(batch.receive(&server).unwrap(), 0);
    client.send(b"later").unwrap();
    assert_eq!(batch.receive(&server).unwrap(), 1);
    assert_eq!(batch.receive(&server).unwrap(), 0);
}

#[test]
fn the_loopback_is_among_the_addresses() {
    assert!(addresses().unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn waking_ends_a_wait() {
    let (server, _client) = pair();
    let waiting = server.try_clone().unwrap();
    let thread = std::thread::spawn(move || Batch::new(waiting.local_addr().unwrap()).receive(&waiting));
    std::thread::sleep(Duration::from_millis(50));
    wake(&server);
    assert_eq!(thread.join().unwrap().unwrap(), 0);
}

#[test]
fn late_replies_go_together_and_one_that_is_refused_alone_is_lost() {
    let (server, client) = pair();
    let mut batch = Batch::new(server.local_addr().unwrap());
    client.send(b"?").unwrap();
    assert_eq!(batch.receive(&server).unwrap(), 1);
    let late = |octets: Vec<u8>| LateReply { route: batch.route(0), octets };
    let mut replies: Vec<_> = (0..70).map(|n| late(vec![n; 3])).collect();
    // More than any datagram holds.
    replies[33].octets = vec![0; 70_000];
    // Longer than a link of 1,500 octets takes whole, and than the loopback does.
    replies[34].octets = vec![34; 65_507];
    assert_eq!(send_late(&server, &mut replies), 1);
    let mut room = vec![0; 70_000];
    for n in (0..70).filter(|n| *n != 33) {
        let len = client.recv(&mut room).unwrap();
        assert_eq!((len, room[0]), (if n == 34 { 65_507 } else { 3 }, n));
    }
}

#[test]
fn a_connected_socket_sends_and_receives_many_with_a_call() {
    let (server, client) = pair();
    server.connect(client.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    let packets: Vec<Vec<u8>> = (0..CONNECTED as u8 + 3).map(|number| vec![number; 1 + usize::from(number)]).collect();
    let slices: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let mut left = &slices[..];
    for expected in [CONNECTED, 3] {
        assert_eq!(send_connected(client.as_fd(), left).unwrap(), expected);
        left = &left[expected..];
    }
    server.set_nonblocking(true).unwrap();
    // Room for six, of ten octets each.
    let (mut room, mut lengths) = ([0; 60], [0; 6]);
    let mut received = Vec::new();
    while received.len() < packets.len() {
        let count = receive_connected(server.as_fd(), &mut room, &mut lengths).unwrap();
        assert!((1..=6).contains(&count));
        received.extend(room.chunks(10).zip(lengths).take(count).map(|(part, length)| part[..length].to_vec()));
    }
    for (sent, came) in packets.iter().zip(&received) {
        assert_eq!(came, &sent[..sent.len().min(10)]);
    }
    let nothing = receive_connected(server.as_fd(), &mut room, &mut lengths).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(receive_connected(server.as_fd(), &mut [], &mut []).unwrap_or(0), 0);
}

#[test]
fn the_error_of_a_connected_socket_is_the_first_packet_s() {
    let (server, client) = pair();
    let long = vec![0; 70_000];
    let mut packets: [&[u8]; 3] = [b"one", &long, b"three"];
    assert_eq!(send_connected(client.as_fd(), &packets).unwrap(), 1);
    packets.rotate_left(1);
    let refused = send_connected(client.as_fd(), &packets).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EMSGSIZE));
    drop(server);
}
