//! Over UDP: what is sent, what is believed, what happens when nothing comes.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use tokio::net::UdpSocket;

#[tokio::test]
async fn a_query_is_relayed() {
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |_| {});
    let mut ids = HashSet::new();
    for _ in 0..20 {
        let message = relay.message(&question()).await;
        assert_eq!((message.answers.len(), message.answers[0].ttl), (1, 300));
        assert!(message.metadata.recursion_available && !message.metadata.authoritative);
    }
    for seen in upstream.seen() {
        ids.insert([seen.packet[0], seen.packet[1]]);
        assert!(seen.packet[2..].eq_ignore_ascii_case(&question().packet[2..]));
    }
    assert!(ids.len() >= 19, "ids are drawn anew for every query: {ids:?}");
    let ports: HashSet<_> = upstream.seen().iter().map(|seen| seen.from.port()).collect();
    assert!((2..=8).contains(&ports.len()), "several ports, kept: {ports:?}");
    let to = format!("proxy_name=\"forward\",rcode=\"NOERROR\",to=\"{}\"", upstream.address);
    assert!(relay.counted(&format!("coredns_proxy_request_duration_seconds_count{{{to}}} 20")));
}

#[tokio::test]
async fn the_opt_is_between_neighbours() {
    let upstream = Fake::start(|seen| {
        let mut packet = answer(&seen.packet, 1);
        packet[11] = 1;
        // An OPT with an option of the upstream's.
        packet.extend(b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x06\x00\x03\x00\x02hi");
        vec![Act::Send(packet)]
    })
    .await;
    let relay = Relay::new(&[upstream.address], |_| {});
    assert!(relay.message(&question()).await.edns.is_none());
    // A client with a cookie and a large buffer.
    let mut packet = query_with_edns("www.example.org", RecordType::A, 4096, true);
    let length = packet.len();
    packet[length - 1] = 12;
    packet.extend(b"\x00\x0a\x00\x08cookieXX");
    let message = relay.message(&request(packet)).await;
    let edns = message.edns.unwrap();
    assert!(edns.flags().dnssec_ok && edns.options().as_ref().is_empty());
    let sent = &upstream.seen()[1].packet;
    let expected = query_with_edns("www.example.org", RecordType::A, 1232, true);
    assert!(sent[2..].eq_ignore_ascii_case(&expected[2..]));
}

/// What `rewrite edns0` has set is for upstreams, whatever of it the client sent.
#[tokio::test]
async fn options_of_the_configuration_reach_the_upstream() {
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |_| {});
    let options = vec![(0xffee, b"ab".to_vec()), (3, Vec::new()), (0xffef, vec![0; 60_000]), (8, vec![1])];
    let packet = query_with_edns("www.example.org", RecordType::A, 1232, true);
    relay.message(&Request { options, ..request(packet.clone()) }).await;
    let sent = &upstream.seen()[0].packet;
    // What would make a query too large is left out, with what is behind it.
    let set = b"\xff\xee\x00\x02ab\x00\x03\x00\x00";
    assert!(sent[2..packet.len() - 2].eq_ignore_ascii_case(&packet[2..packet.len() - 2]));
    assert_eq!(sent[packet.len() - 2..], [&[0, set.len() as u8][..], set].concat());
}

#[tokio::test]
async fn what_does_not_match_is_ignored_and_waiting_goes_on() {
    let upstream = Fake::start(|seen| {
        let right = answer(&seen.packet, 1);
        let mut other_id = answer(&seen.packet, 2);
        other_id[0] ^= 1;
        let mut other_name = answer(&seen.packet, 3);
        other_name[14] ^= 1;
        let mut other_type = answer(&seen.packet, 4);
        let end = HEADER + 17 + 4;
        other_type[end - 3] = 28;
        let echo = seen.packet.clone();
        let wrong = [other_id, other_name, other_type, echo, vec![1], Vec::new()];
        wrong.into_iter().chain([right]).map(Act::Send).collect()
    })
    .await;
    let relay = Relay::new(&[upstream.address], |_| {});
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
    let line = format!("dunlin_forward_ignored_replies_total{{to=\"{}\"}} 6", upstream.address);
    assert!(relay.counted(&line), "{}", relay.metrics.render());
}

#[tokio::test]
async fn another_sender_is_not_heard() {
    let upstream =
        Fake::start(|seen| vec![Act::Wait(Duration::from_millis(50)), Act::Send(answer(&seen.packet, 1))]).await;
    let relay = Relay::new(&[upstream.address], |_| {});
    let forger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = question();
    let forge = async {
        while upstream.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let seen = &upstream.seen()[0];
        // Even the right id and question do not help from another address.
        forger.send_to(&answer(&seen.packet, 9), seen.from).await.unwrap();
    };
    let (message, ()) = tokio::join!(relay.message(&request), forge);
    assert_eq!(message.answers.len(), 1);
}

/// The reply of a server that lowers names, with one record, two over TCP.
fn lowered(seen: &Seen) -> Vec<Act> {
    let mut packet = answer(&seen.packet, if seen.transport == Transport::Tcp { 2 } else { 1 });
    packet[HEADER..HEADER + 17].make_ascii_lowercase();
    vec![Act::Send(packet)]
}

#[tokio::test]
async fn an_upstream_that_lowers_names_is_left_alone() {
    let upstream = Fake::start(lowered).await;
    let relay = Relay::new(&[upstream.address], |_| {});
    for _ in 0..5 {
        assert_eq!(relay.message(&question()).await.answers.len(), 1);
    }
    let seen = upstream.seen();
    assert!(seen.len() == 5 && seen.iter().all(|seen| seen.transport == Transport::Udp));
    assert!(seen[1..].iter().all(|seen| seen.packet[2..] == question().packet[2..]), "the client's case");
}

#[tokio::test]
async fn one_that_repeated_the_case_is_asked_over_tcp_when_it_does_not() {
    let changed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = changed.clone();
    let upstream = Fake::start(move |seen| match flag.load(std::sync::atomic::Ordering::Relaxed) {
        false => vec![Act::Send(answer(&seen.packet, 1))],
        true => lowered(seen),
    })
    .await;
    let relay = Relay::new(&[upstream.address], |_| {});
    let mut cases = HashSet::new();
    for _ in 0..64 {
        assert_eq!(relay.message(&question()).await.answers.len(), 1);
    }
    for seen in upstream.seen() {
        cases.insert(seen.packet[HEADER..HEADER + 17].to_vec());
    }
    assert!(cases.len() > 55, "of 16384 for fourteen letters: {}", cases.len());
    changed.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(relay.message(&question()).await.answers.len(), 2, "over TCP");
    // For good, it is believed in the end.
    for _ in 0..20 {
        relay.message(&question()).await;
    }
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
}

#[tokio::test]
async fn owners_in_full_have_the_client_s_case() {
    let upstream = Fake::start(|seen| {
        let mut packet = answer(&seen.packet, 0);
        packet[7] = 1;
        packet.extend(&seen.packet[HEADER..HEADER + 17]);
        packet.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, 0, 1]);
        vec![Act::Send(packet)]
    })
    .await;
    let relay = Relay::new(&[upstream.address], |_| {});
    for _ in 0..5 {
        let Outcome::Reply(reply) = relay.ask(&question()).await else { panic!() };
        assert_eq!(reply.packet[HEADER + 21..HEADER + 38], question().packet[HEADER..HEADER + 17]);
    }
}

/// RFC 5452 section 4: what a forger has to guess. Chi-squared tests that fair dice fail once in ten million times.
#[tokio::test]
async fn ids_and_ports_are_unpredictable() {
    const QUERIES: usize = 4096;
    let upstream = good().await;
    let relay = Relay::new(&[upstream.address], |_| {});
    let request = question();
    for _ in 0..QUERIES / 64 {
        let outcomes = futures_util::future::join_all((0..64).map(|_| relay.ask(&request))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Reply(_))));
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), QUERIES);
    let ids: Vec<u16> = seen.iter().map(|seen| u16::from_be_bytes([seen.packet[0], seen.packet[1]])).collect();
    let ports: Vec<u16> = seen.iter().map(|seen| seen.from.port()).collect();
    let chi_squared = |counts: &[usize]| {
        let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum::<f64>()
    };
    // 63 degrees of freedom: mean 63, deviation 11.
    let (mut high, mut low, mut steps) = ([0; 64], [0; 64], [0; 64]);
    for pair in ids.windows(2) {
        high[usize::from(pair[0] >> 10)] += 1;
        low[usize::from(pair[0] & 63)] += 1;
        steps[usize::from(pair[1].wrapping_sub(pair[0]) >> 10)] += 1;
    }
    for (what, counts) in [("high bits", high), ("low bits", low), ("steps", steps)] {
        let value = chi_squared(&counts);
        assert!((15.0..140.0).contains(&value), "{what} of ids: {value}");
    }
    // Eight sockets at once, each as likely as another. One is drawn for what goes with one system call.
    let distinct: Vec<u16> = ports.iter().copied().collect::<HashSet<_>>().into_iter().collect();
    assert_eq!(distinct.len(), 8);
    let counts: Vec<usize> = distinct.iter().map(|port| ports.iter().filter(|other| *other == port).count()).collect();
    let draws: Vec<usize> = counts.iter().map(|count| count / Datagrams::MOST).collect();
    assert!(draws.iter().sum::<usize>() == QUERIES / Datagrams::MOST && chi_squared(&draws) < 47.0, "{counts:?}");
    // The kernel's, and not in a row.
    let mut sorted = distinct.clone();
    sorted.sort_unstable();
    assert!(sorted[7] - sorted[0] > 64, "{sorted:?}");
}

#[tokio::test]
async fn a_damaged_or_oversize_reply_is_truncated() {
    for size in [60, 9000] {
        let upstream = Fake::start(move |seen| {
            let mut packet = answer(&seen.packet, 1);
            packet[7] = 200;
            packet.resize(size, 7);
            vec![Act::Send(packet)]
        })
        .await;
        let relay = Relay::new(&[upstream.address], |_| {});
        let message = relay.message(&question()).await;
        assert!(message.metadata.truncation && message.answers.is_empty());
    }
}

#[tokio::test]
async fn an_error_without_question_is_passed_on() {
    let upstream = Fake::start(|seen| {
        let [id0, id1] = [seen.packet[0], seen.packet[1]];
        vec![Act::Send(vec![id0, id1, 0x81, 0x84, 0, 0, 0, 0, 0, 0, 0, 0])]
    })
    .await;
    let relay = Relay::new(&[upstream.address], |_| {});
    assert_eq!(u16::from(relay.message(&question()).await.metadata.response_code), Rcode::NOTIMP.0);
}

#[tokio::test]
async fn truncation_is_passed_on_or_followed() {
    let script = |seen: &Seen| {
        let mut packet = answer(&seen.packet, 20);
        if seen.transport == Transport::Udp {
            packet = answer(&seen.packet, 0);
            packet[2] |= 0x02;
        }
        vec![Act::Send(packet)]
    };
    let upstream = Fake::start(script).await;
    let message = Relay::new(&[upstream.address], |_| {}).message(&question()).await;
    assert!(message.metadata.truncation && message.answers.is_empty());
    let preferring = Relay::new(&[upstream.address], |options| options.prefer_udp = true);
    let message = preferring.message(&question()).await;
    assert!(!message.metadata.truncation && message.answers.len() == 20);
    preferring.message(&over_tcp(question())).await;
    let transports: Vec<_> = upstream.seen().iter().map(|seen| seen.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Udp, Transport::Tcp, Transport::Udp, Transport::Tcp]);
}

#[tokio::test]
async fn silence_is_followed_by_the_next_upstream() {
    let (silent, good) = (silent().await, good().await);
    let relay = Relay::new(&[silent.address, good.address], |options| options.policy = Policy::Sequential);
    let began = Instant::now();
    assert_eq!(relay.message(&question()).await.answers.len(), 1);
    assert!((300..2000).contains(&began.elapsed().as_millis()));
    assert_eq!((silent.seen().len(), good.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_closed_port_costs_no_time() {
    let (closed, good) = (closed().await, good().await);
    let relay = Relay::new(&[closed, good.address], |options| {
        options.policy = Policy::Sequential;
        options.read_timeout = Duration::from_secs(2);
    });
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(relay.message(&question()).await.answers.len(), 1);
    }
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn when_all_fail_the_reason_is_told() {
    let silent = silent().await;
    let relay = Relay::new(&[silent.address], |_| {});
    let outcome = relay.ask(&question()).await;
    let failure = failure(&outcome);
    assert_eq!(failure.rcode, Rcode::SERVFAIL);
    // What people fold with `errors { consolidate 5m ".* i/o timeout$" }`.
    assert!(failure.reason.starts_with("read udp 127.0.0.1:") && failure.reason.ends_with(": i/o timeout"));
    assert_eq!(silent.seen().len(), 2, "twice as many attempts as upstreams");
    let closed = closed().await;
    let outcome = Relay::new(&[closed], |_| {}).ask(&question()).await;
    assert!(self::failure(&outcome).reason.ends_with(": connection refused"), "{outcome:?}");
}

#[tokio::test]
async fn time_is_bounded_however_many_attempts() {
    let silent = silent().await;
    let relay = Relay::new(&[silent.address], |options| {
        options.max_connect_attempts = 0;
        options.read_timeout = Duration::from_secs(3);
    });
    let began = Instant::now();
    relay.ask(&question()).await;
    assert!((4900..5500).contains(&began.elapsed().as_millis()));
    assert_eq!(silent.seen().len(), 2);
}

#[tokio::test]
async fn who_stops_waiting_leaves_nothing_behind() {
    let upstream = silent().await;
    let relay = Relay::new(&[upstream.address], |options| options.read_timeout = Duration::from_secs(5));
    for _ in 0..20 {
        let waited = tokio::time::timeout(Duration::from_millis(5), relay.ask(&question())).await;
        assert!(waited.is_err());
    }
    assert_eq!(relay.forward.upstreams[0].waiting(), 0);
    assert_eq!(relay.forward.in_flight.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn many_at_once_get_their_own() {
    let upstream = Fake::start(|seen| {
        // The last label of the first name says how many records: 1 to 9. Replies come in another order.
        let records = seen.packet[HEADER + 1] - b'0';
        vec![Act::Wait(Duration::from_millis(u64::from(10 - records))), Act::Send(answer(&seen.packet, records))]
    })
    .await;
    let relay = Relay::new(&[upstream.address], |options| options.read_timeout = Duration::from_secs(2));
    let requests: Vec<_> =
        (0..500).map(|index| request(query(&format!("{}x{index}.test", index % 9 + 1), RecordType::A))).collect();
    let messages = futures_util::future::join_all(requests.iter().map(|request| relay.message(request))).await;
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message.answers.len(), index % 9 + 1);
    }
}

#[tokio::test]
async fn what_is_more_than_a_question_goes_as_it_came() {
    let upstream = Fake::start(|seen| {
        let mut packet = seen.packet.clone();
        packet[2] |= 0x80;
        vec![Act::Send(packet)]
    })
    .await;
    // A NOTIFY with the new SOA in its answer section.
    let mut packet = query("example.org", RecordType::SOA);
    packet[2] = 0x20;
    packet[7] = 1;
    packet.extend([0xc0, 0x0c, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
    let relay = Relay::new(&[upstream.address], |_| {});
    let Outcome::Reply(reply) = relay.ask(&request(packet.clone())).await else { panic!() };
    assert_eq!(upstream.seen()[0].packet[2..], packet[2..]);
    packet[2] |= 0x80;
    assert_eq!(reply.packet, packet);
}

proptest! {
    /// Whatever an upstream sends in the place of a reply, there is an outcome with the client's id and question.
    #[test]
    fn any_reply_is_survived(at in 0usize..60, octet: u8, records in 0u8..4, cut in 0usize..60) {
        let client = question();
        let outgoing = super::super::message::Outgoing::of(&client);
        let mut packet = answer(&client.packet, records);
        let at = at % packet.len();
        packet[at] = octet;
        packet.truncate(packet.len().saturating_sub(cut).max(HEADER));
        if let Outcome::Reply(reply) = outgoing.outcome(&client, packet) {
            prop_assert_eq!(&reply.packet[..2], &client.packet[..2]);
            prop_assert_eq!(&reply.packet[HEADER..HEADER + 21], &client.packet[HEADER..HEADER + 21]);
        }
    }
}
