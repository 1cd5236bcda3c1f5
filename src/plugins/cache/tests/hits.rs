//! What a hit looks like.

use super::*;
use crate::plugin::Transport;
use crate::plugins::testing::query_with_edns;
use std::collections::HashSet;

#[tokio::test]
async fn a_hit_is_addressed_to_its_client() {
    let stand = Stand::new("cache");
    let first = stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    assert!(!first.metadata.authoritative);
    let mut again = question("WwW.eXample.org", 7);
    (again.packet[0], again.packet[1], again.packet[2]) = (0xbe, 0xef, 0);
    let hit = stand.hit(&again).unwrap();
    let message = Message::from_vec(&hit).unwrap();
    assert_eq!((message.metadata.id, message.answers[0].ttl), (0xbeef, 53));
    assert_eq!(message.queries[0].name().to_string(), "WwW.eXample.org.");
    let flags = message.metadata;
    assert_eq!((flags.authoritative, flags.recursion_desired, flags.recursion_available), (true, false, true));
    assert!(message.edns.is_none());
    assert_eq!(stand.asked(), 1);
}

#[tokio::test]
async fn both_lanes_give_the_same_octets() {
    let stand = Stand::new("cache");
    stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    stand
        .message(&question("no.example.org", 0), 0x0083, [&[], &[("example.org", RecordType::SOA, 9, SOA)], &[]])
        .await;
    for text in ["www.example.org", "WWW.example.org", "no.example.org"] {
        let request = question(text, 3);
        let slow = stand.ask(&request, |_| panic!("a miss")).await;
        assert_eq!(slow, Outcome::Reply(Reply::new(stand.hit(&request).unwrap())));
    }
}

#[tokio::test]
async fn the_opt_is_each_client_s_own() {
    let stand = Stand::new("cache");
    let with_opt = query_with_edns("www.example.org", RecordType::A, 4096, false);
    let answer = |request: &Request| {
        let mut packet = reply(&request.packet, NOERROR, ONE);
        packet[11] = 1;
        packet.extend(crate::wire::opt(4096, false));
        Outcome::Reply(Reply::new(packet))
    };
    stand.ask(&request(with_opt.clone()), answer).await;
    let plain = Message::from_vec(&stand.hit(&question("www.example.org", 0)).unwrap()).unwrap();
    assert!(plain.edns.is_none());
    let edns = Message::from_vec(&stand.hit(&request(with_opt)).unwrap()).unwrap();
    assert_eq!(edns.edns.unwrap().max_payload(), 1232);
}

#[tokio::test]
async fn time_passes() {
    let (counting, keeping) = (Stand::new("cache"), Stand::new("cache {\nkeepttl\n}"));
    for stand in [&counting, &keeping] {
        stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
        assert!(stand.hit(&question("www.example.org", 60)).is_none());
    }
    let ttl = |stand: &Stand, seconds| {
        Message::from_vec(&stand.hit(&question("www.example.org", seconds)).unwrap()).unwrap().answers[0].ttl
    };
    assert_eq!((ttl(&counting, 59), ttl(&keeping, 59)), (1, 60));
    // Another worker's clock may be a little behind; a clock that was set back by an hour is another thing.
    let mut behind = question("www.example.org", 0);
    behind.moment.seconds -= 1;
    assert!(stand_hit_ttl(&counting, &behind) == Some(60));
    behind.moment.seconds -= 3600;
    assert!(stand_hit_ttl(&counting, &behind).is_none());
}

fn stand_hit_ttl(stand: &Stand, request: &Request) -> Option<u32> {
    Some(Message::from_vec(&stand.hit(request)?).unwrap().answers[0].ttl)
}

#[tokio::test]
async fn do_cd_type_and_class_tell_answers_apart() {
    let stand = Stand::new("cache");
    stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    let mut cd = question("www.example.org", 0);
    cd.packet[3] |= 0x10;
    let dnssec_ok = request(query_with_edns("www.example.org", RecordType::A, 1232, true));
    let aaaa = request(query("www.example.org", RecordType::AAAA));
    let mut chaos = query("www.example.org", RecordType::A);
    *chaos.last_mut().unwrap() = 3;
    for other in [cd, dnssec_ok, aaaa, request(chaos)] {
        assert!(stand.hit(&other).is_none());
    }
    let edns = request(query_with_edns("www.example.org", RecordType::A, 1232, false));
    assert!(stand.hit(&edns).is_some());
}

#[tokio::test]
async fn authenticity_is_told_to_those_who_asked() {
    let stand = Stand::new("cache");
    let first = stand.message(&question("www.example.org", 0), NOERROR | 0x0020, ONE).await;
    assert!(!first.metadata.authentic_data);
    let mut asking = question("www.example.org", 0);
    assert_eq!(stand.hit(&asking).unwrap()[3] & 0x20, 0);
    asking.packet[3] |= 0x20;
    assert_eq!(stand.hit(&asking).unwrap()[3] & 0x20, 0x20);
}

fn many(count: u8) -> &'static [Line<'static>] {
    (0..count).map(|last| ("", RecordType::A, 60, &*vec![10, 0, 0, last].leak())).collect::<Vec<_>>().leak()
}

#[tokio::test]
async fn a_large_answer_is_cut_for_a_small_client() {
    let stand = Stand::new("cache");
    let mut tcp = question("www.example.org", 0);
    tcp.transport = Transport::Tcp;
    // What comes from behind is whole even where the client is small: the server cuts it.
    stand.message(&question("www.example.org", 0), NOERROR, [many(100), &[], &[]]).await;
    let cut = Message::from_vec(&stand.hit(&question("www.example.org", 0)).unwrap()).unwrap();
    assert!(cut.metadata.truncation && cut.answers.len() < 40);
    let whole = Message::from_vec(&stand.hit(&tcp).unwrap()).unwrap();
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 100));
    // A buffer that is too small is the slow lane's.
    let source = stand.bench.done().plan.cache.clone().unwrap();
    let verdict = source.answer(&tcp.query(), &tcp.context(), &mut [0; 600]);
    assert_eq!(verdict, Verdict::Pass);
}

#[tokio::test]
async fn addresses_change_places_behind_their_cname() {
    let stand = Stand::new("cache");
    let target: &[u8] = b"\x03web\x07example\x03org\x00";
    let mut answer = vec![("", RecordType::CNAME, 60, target)];
    answer.extend((0..4).map(|last| ("web.example.org", RecordType::A, 60, &*vec![10, 0, 0, last].leak())));
    stand.message(&question("www.example.org", 0), NOERROR, [answer.leak(), &[], &[]]).await;
    let mut orders = HashSet::new();
    for random in 0..300u64 {
        let mut request = question("www.example.org", 0);
        request.shape.shuffle = true;
        request.moment.random = random;
        let message = Message::from_vec(&stand.hit(&request).unwrap()).unwrap();
        assert_eq!(message.answers[0].record_type(), hickory_proto::rr::RecordType::CNAME);
        let order: Vec<String> = message.answers[1..].iter().map(|record| record.data.to_string()).collect();
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 4, "{order:?}");
        orders.insert(order);
    }
    assert_eq!(orders.len(), 24, "every order comes up");
}
