//! Who waits for whom.

use super::*;
use crate::plugin::{Failure, Transport};
use crate::plugins::testing::query_with_edns;
use futures_util::future::join_all;

#[tokio::test]
async fn clients_who_miss_together_share_one_query() {
    let stand = Stand::new("cache");
    let requests: Vec<_> = (0..50u8)
        .map(|index| {
            let mut request = question(if index % 2 == 0 { "www.example.org" } else { "WWW.example.org" }, 0);
            request.packet[1] = index;
            request
        })
        .collect();
    let answer = |request: &Request| Outcome::Reply(Reply::new(reply(&request.packet, NOERROR, ONE)));
    let outcomes = join_all(requests.iter().map(|request| stand.ask(request, answer))).await;
    assert_eq!(stand.asked(), 1);
    for (index, (outcome, request)) in outcomes.iter().zip(&requests).enumerate() {
        let Outcome::Reply(reply) = outcome else { panic!("{outcome:?}") };
        assert_eq!((reply.packet[1], &reply.packet[12..30]), (index as u8, &request.packet[12..30]));
        assert_eq!(Message::from_vec(&reply.packet).unwrap().answers.len(), 1);
    }
}

#[tokio::test]
async fn failures_are_shared_too() {
    let stand = Stand::new("cache");
    let request = question("www.example.org", 0);
    let fail = |_: &Request| Outcome::Failed(Failure::servfail("no"));
    let outcomes = join_all((0..10).map(|_| stand.ask(&request, fail))).await;
    assert_eq!(stand.asked(), 1);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Failed(Failure::servfail("no"))));
}

#[tokio::test]
async fn who_takes_another_message_asks_another_time() {
    let stand = Stand::new("cache");
    let plain = question("www.example.org", 0);
    let mut tcp = question("www.example.org", 0);
    tcp.transport = Transport::Tcp;
    let edns = request(query_with_edns("www.example.org", RecordType::A, 1232, false));
    let mut checking_disabled = question("www.example.org", 0);
    checking_disabled.packet[3] |= 0x10;
    let probe = request(query("www.example.org", RecordType::HINFO));
    let all = [&plain, &tcp, &edns, &checking_disabled, &probe, &probe];
    let fail = |_: &Request| Outcome::Failed(Failure::servfail("no"));
    join_all(all.map(|request| stand.ask(request, fail))).await;
    assert_eq!(stand.asked(), 6, "a probe of `loop` never waits for another one");
}

#[tokio::test]
async fn followers_ask_for_themselves_when_their_leader_goes() {
    let stand = Stand::new("cache");
    let request = question("www.example.org", 0);
    let mut leader = Box::pin(stand.ask(&request, |_| panic!("it never gets that far")));
    assert!(futures_util::poll!(leader.as_mut()).is_pending());
    let answer = |request: &Request| Outcome::Reply(Reply::new(reply(&request.packet, NOERROR, ONE)));
    let mut follower = Box::pin(stand.ask(&request, answer));
    assert!(futures_util::poll!(follower.as_mut()).is_pending());
    assert_eq!(stand.asked(), 1);
    drop(leader);
    assert!(matches!(follower.await, Outcome::Reply(_)));
    assert_eq!(stand.asked(), 2);
    assert!(stand.hit(&request).is_some());
}
