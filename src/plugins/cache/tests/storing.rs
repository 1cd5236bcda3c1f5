//! What may be stored, and for how long.

use super::*;
use crate::plugin::Failure;

const CNAME: RecordType = RecordType::CNAME;
const TARGET: &[u8] = b"\x03web\x07example\x03org\x00";

/// Whether the reply to a question is a hit afterwards, and the TTL both show.
async fn stored(lines: &str, flags: u16, sections: [&'static [Line<'static>]; 3]) -> (bool, Vec<u32>) {
    let stand = Stand::new(lines);
    let first = stand.message(&question("www.example.org", 0), flags, sections).await;
    let ttls = first.answers.iter().chain(&first.authorities).chain(&first.additionals).map(|record| record.ttl);
    (stand.hit(&question("www.example.org", 0)).is_some(), ttls.collect())
}

#[tokio::test]
async fn one_ttl_for_all_records_already_in_the_first_reply() {
    let answer = |ttl| -> [&'static [Line<'static>]; 3] {
        [vec![("", RecordType::A, ttl, A), ("", RecordType::A, 4000, A)].leak(), &[], &[]]
    };
    for (lines, ttl, expected) in [
        ("cache", 60, 60),
        ("cache", 1, 5),
        ("cache", 0, 5),
        ("cache", 86400, 3600),
        ("cache 10", 3600, 10),
        ("cache 10", 1, 5),
        ("cache 3", 1, 3),
        ("cache {\nsuccess 9984 100 20\n}", 1, 20),
        ("cache {\nsuccess 9984 100 0\n}", 1, 1),
    ] {
        assert_eq!(stored(lines, NOERROR, answer(ttl)).await, (true, vec![expected; 2]), "{lines} {ttl}");
    }
    // The glue's TTL counts too.
    let glue: [&[Line<'_>]; 3] = [&[("", RecordType::A, 60, A)], &[], &[("web.example.org", RecordType::A, 7, A)]];
    assert_eq!(stored("cache", NOERROR, glue).await, (true, vec![7, 7]));
    // A minimum of zero lets an answer through that holds for nobody else.
    assert_eq!(stored("cache {\nsuccess 9984 100 0\n}", NOERROR, answer(0)).await, (false, vec![0; 2]));
}

#[tokio::test]
async fn denials_have_their_own_range() {
    const DENIED: [&[Line<'static>]; 3] = [&[], &[("example.org", RecordType::SOA, 300, SOA)], &[]];
    for (lines, expected) in [("cache", 300), ("cache 30", 30), ("cache 30 {\ndenial 9984 7\n}", 7)] {
        assert_eq!(stored(lines, NOERROR, DENIED).await, (true, vec![expected]), "NODATA, {lines}");
        assert_eq!(stored(lines, 0x0083, DENIED).await, (true, vec![expected]), "NXDOMAIN, {lines}");
    }
}

#[tokio::test]
async fn what_says_nothing_of_its_time_is_kept_briefly() {
    let stand = Stand::new("cache");
    stand.message(&question("www.example.org", 0), NOERROR, [&[], &[], &[]]).await;
    assert!(stand.hit(&question("www.example.org", 4)).is_some());
    assert!(stand.hit(&question("www.example.org", 5)).is_none());
}

#[tokio::test]
async fn what_is_not_stored() {
    let dangling: [&[Line<'static>]; 3] = [&[("", CNAME, 60, TARGET)], &[], &[]];
    let chased: [&[Line<'static>]; 3] =
        [&[("", CNAME, 60, TARGET), ("web.example.org", RecordType::A, 60, A)], &[], &[]];
    let nodata: [&[Line<'static>]; 3] = [&[("", CNAME, 60, TARGET)], &[("example.org", RecordType::SOA, 60, SOA)], &[]];
    for (what, flags, sections, expected) in [
        ("an answer", NOERROR, ONE, true),
        ("a truncated answer", NOERROR | 0x0200, ONE, false),
        ("REFUSED", 0x0085, [[].as_slice(); 3], false),
        ("FORMERR", 0x0081, [[].as_slice(); 3], false),
        ("NXDOMAIN without a SOA", 0x0083, [[].as_slice(); 3], false),
        ("SERVFAIL", 0x0082, [[].as_slice(); 3], true),
        ("NOTIMP", 0x0084, [[].as_slice(); 3], true),
        ("a CNAME into the void", NOERROR, dangling, false),
        ("a CNAME and its target", NOERROR, chased, true),
        ("a CNAME to no data", NOERROR, nodata, true),
    ] {
        assert_eq!(stored("cache", flags, sections).await.0, expected, "{what}");
    }
}

#[tokio::test]
async fn what_gives_way_to_others_is_counted() {
    let stand = Stand::new("cache {\nsuccess 1024\n}");
    for host in 0..2000 {
        stand.message(&question(&format!("h{host}.example.org"), 0), NOERROR, ONE).await;
    }
    let evictions = stand.counted("coredns_cache_evictions_total{server=\"dns://:53\",type=\"success\"").await;
    assert!((900.0..2000.0).contains(&evictions), "{evictions}");
}

#[tokio::test]
async fn servfail_is_kept_as_long_as_said() {
    for (lines, seconds) in [("cache", 5), ("cache {\nservfail 10s\n}", 10), ("cache {\nservfail 0\n}", 0)] {
        let stand = Stand::new(lines);
        stand.message(&question("www.example.org", 0), 0x0082, [&[], &[], &[]]).await;
        assert_eq!(stand.hit(&question("www.example.org", 0)).is_some(), seconds > 0, "{lines}");
        assert!(stand.hit(&question("www.example.org", seconds)).is_none(), "{lines}");
    }
}

#[tokio::test]
async fn a_failure_of_our_own_is_never_stored() {
    let stand = Stand::new("cache");
    for _ in 0..3 {
        let request = question("www.example.org", 0);
        let outcome = stand.ask(&request, |_| Outcome::Failed(Failure::servfail("i/o timeout"))).await;
        assert_eq!(outcome, Outcome::Failed(Failure::servfail("i/o timeout")));
    }
    assert_eq!(stand.asked(), 3);
}

#[tokio::test]
async fn a_reply_to_another_question_is_not_stored() {
    let stand = Stand::new("cache");
    let other = reply(&question("other.example.org", 0).packet, NOERROR, ONE);
    stand.ask(&question("www.example.org", 0), move |_| Outcome::Reply(Reply::new(other.clone()))).await;
    assert!(stand.hit(&question("www.example.org", 0)).is_none());
    assert!(stand.hit(&question("other.example.org", 0)).is_none());
    assert_eq!(stand.counted("coredns_cache_drops_total{server=\"dns://:53\"").await, 1.0);
}

#[tokio::test]
async fn disabled_classes_still_hold_ttls() {
    let stand = Stand::new("cache 30 {\ndisable success example.org\ndisable denial\n}");
    let first = stand.message(&question("www.example.org", 0), NOERROR, ONE).await;
    assert_eq!(first.answers[0].ttl, 30);
    assert!(stand.hit(&question("www.example.org", 0)).is_none());
    stand.message(&question("www.example.com", 0), NOERROR, ONE).await;
    assert!(stand.hit(&question("www.example.com", 0)).is_some());
    stand
        .message(&question("no.example.com", 0), 0x0083, [&[], &[("example.org", RecordType::SOA, 300, SOA)], &[]])
        .await;
    assert!(stand.hit(&question("no.example.com", 0)).is_none());
}

#[tokio::test]
async fn other_zones_pass_untouched() {
    let stand = Stand::new("cache 30 example.org");
    let first = stand.message(&question("www.example.com", 0), NOERROR, ONE).await;
    assert_eq!(first.answers[0].ttl, 60);
    assert!(stand.hit(&question("www.example.com", 0)).is_none());
}

#[tokio::test]
async fn an_answer_replaces_a_denial_and_the_other_way_round() {
    let stand = Stand::new("cache");
    let at = |seconds| question("www.example.org", seconds);
    stand.message(&at(0), 0x0083, [&[], &[("example.org", RecordType::SOA, 10, SOA)], &[]]).await;
    let again = stand.message(&at(10), NOERROR, ONE).await;
    assert_eq!((again.answers.len(), stand.asked()), (1, 2));
    assert_eq!(stand.hit(&at(11)).unwrap()[3] & 0x0f, 0);
    stand.message(&at(100), 0x0083, [&[], &[("example.org", RecordType::SOA, 10, SOA)], &[]]).await;
    assert_eq!(stand.hit(&at(101)).unwrap()[3] & 0x0f, 3);
}

#[tokio::test]
async fn expired_signatures_are_not_stored() {
    let now = 1_700_000_000u32;
    for (inception, expiration, expected) in
        [(now - 100, now + 100, true), (now - 100, now - 1, false), (now + 10, now + 100, false)]
    {
        let mut rdata = vec![0, 1, 8, 2, 0, 0, 0, 60];
        rdata.extend(expiration.to_be_bytes());
        rdata.extend(inception.to_be_bytes());
        rdata.extend([0, 1, 0, 1, 2, 3]);
        let answer: &'static [Line<'static>] =
            vec![("", RecordType::A, 60, A), ("", RecordType::RRSIG, 60, &*rdata.leak())].leak();
        let packet = crate::plugins::testing::query_with_edns("www.example.org", RecordType::A, 1232, true);
        let stand = Stand::new("cache");
        stand
            .ask(&request(packet.clone()), move |request| {
                Outcome::Reply(Reply::new(reply(&request.packet, NOERROR, [answer, &[], &[]])))
            })
            .await;
        assert_eq!(stand.hit(&request(packet)).is_some(), expected, "{inception} {expiration}");
    }
}

#[tokio::test]
async fn what_the_question_does_not_lead_to_is_not_stored() {
    const A_TYPE: RecordType = RecordType::A;
    const HOST: &[u8] = b"\x02ns\x07example\x03net\x00";
    const PARENT: &[u8] = b"\x07example\x03net\x00";
    let alias: Line<'_> = ("", CNAME, 60, TARGET);
    let target: Line<'_> = ("WEB.example.org", A_TYPE, 60, A);
    let of = |answer: &[Line<'static>], authority: &[Line<'static>], additional: &[Line<'static>]| {
        let leak = |lines: &[Line<'static>]| -> &'static [Line<'static>] { lines.to_vec().leak() };
        [leak(answer), leak(authority), leak(additional)]
    };
    let own: Line<'_> = ("", A_TYPE, 60, A);
    let foreign: Line<'_> = ("www.bank.test", A_TYPE, 60, A);
    let glue: Line<'_> = ("NS.example.net", A_TYPE, 60, A);
    for (what, sections, kept) in [
        ("an alias and its target", of(&[alias, target], &[], &[]), Some(2)),
        ("the target before its alias", of(&[target, alias], &[], &[]), Some(2)),
        ("a target without its alias", of(&[own, target], &[], &[]), None),
        ("another name's address", of(&[own, foreign], &[], &[]), None),
        ("an alias of another name", of(&[own, ("a.bank.test", CNAME, 60, TARGET)], &[], &[]), None),
        ("an alias above the name", of(&[own, ("org", RecordType::DNAME, 60, PARENT)], &[], &[]), Some(2)),
        ("an alias of other names", of(&[own, ("test", RecordType::DNAME, 60, PARENT)], &[], &[]), None),
        ("a loop of aliases", of(&[own, ("", CNAME, 60, b"\x03www\x07example\x03org\x00")], &[], &[]), Some(2)),
        ("the zone's name servers", of(&[own], &[("example.org", RecordType::NS, 60, HOST)], &[glue]), Some(3)),
        ("another zone's", of(&[own], &[("bank.test", RecordType::NS, 60, HOST)], &[]), None),
        ("one below", of(&[own], &[("sub.www.example.org", RecordType::NS, 60, HOST)], &[]), None),
        ("an address nobody names", of(&[own], &[], &[glue]), Some(1)),
        ("a named and a foreign one", of(&[own], &[("org", RecordType::NS, 60, HOST)], &[glue, foreign]), Some(3)),
    ] {
        let stand = Stand::new("cache");
        let question = question("www.example.org", 0);
        stand.message(&question, NOERROR, sections).await;
        let hit = stand.hit(&question).map(|hit| Message::from_vec(&hit).unwrap());
        let records = hit.map(|hit| hit.answers.len() + hit.authorities.len() + hit.additionals.len());
        assert_eq!(records, kept, "{what}");
    }
    // A denial is the zone's to make.
    let other: [&[Line<'static>]; 3] = [&[], &[("bank.test", RecordType::SOA, 300, SOA)], &[]];
    assert!(!stored("cache", 0x0083, other).await.0);
}
