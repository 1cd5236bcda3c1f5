use super::*;
use crate::wire::NameBuffer;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record as Resource, RecordType as HickoryType};
use proptest::prelude::*;

fn reply(answers: u8, soa: bool, edns: bool) -> Vec<u8> {
    let name = Name::from_ascii("WwW.example.org.").unwrap();
    let target = Name::from_ascii("web.example.org.").unwrap();
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.add_query(Question::query(name.clone(), HickoryType::A));
    if answers > 0 {
        message.add_answer(Resource::from_rdata(name.clone(), 300, RData::CNAME(CNAME(target.clone()))));
    }
    for last in 1..answers {
        message.add_answer(Resource::from_rdata(target.clone(), 60, RData::A(A::new(10, 0, 0, last))));
    }
    if soa {
        let soa = SOA::new(target.clone(), target, 1, 2, 3, 4, 5);
        message.add_authority(Resource::from_rdata(Name::from_ascii("example.org.").unwrap(), 30, RData::SOA(soa)));
    }
    if edns {
        message.set_edns(Edns::new());
    }
    message.to_vec().unwrap()
}

const QUESTION: &[u8] = b"\x03WwW\x07example\x03org\x00\x00\x01\x00\x01";

#[test]
fn a_reply_is_seen_whole() {
    let bytes = reply(3, true, true);
    let view = ReplyView::parse(&bytes).unwrap();
    assert_eq!((view.id(), view.rcode(), view.is_truncated()), (7, Rcode::NOERROR, false));
    assert!(view.question_is(QUESTION));
    assert!(!view.question_is(&QUESTION.to_ascii_lowercase()));
    assert!(view.question_matches(&QUESTION.to_ascii_lowercase()));
    assert!(!view.question_matches(b""));
    assert_eq!((view.lowest_ttl(), view.has_authority_soa(), view.has_opt()), (Some(30), true, true));
    assert!(view.reaches(RecordType::A) && !view.reaches(RecordType::SOA) && view.reaches(RecordType::ANY));
    let types: Vec<_> = view.records().map(|record| (record.section, record.rtype)).collect();
    let expected = [
        (Section::Answer, RecordType::CNAME),
        (Section::Answer, RecordType::A),
        (Section::Answer, RecordType::A),
        (Section::Authority, RecordType::SOA),
        (Section::Additional, RecordType::OPT),
    ];
    assert_eq!(types, expected);
}

#[test]
fn the_opt_is_left_out() {
    for (with, without) in
        [(reply(2, true, true), reply(2, true, false)), (reply(0, false, true), reply(0, false, false))]
    {
        let view = ReplyView::parse(&with).unwrap();
        assert_eq!(view.without_opt(), without);
        assert_eq!(ReplyView::parse(&without).unwrap().without_opt(), without);
    }
}

#[test]
fn addresses_behind_the_opt_are_kept() {
    let mut bytes = reply(2, false, true);
    bytes[11] = 3;
    bytes.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\x0a\x00\x00\x63");
    bytes.extend(b"\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00");
    let copy = ReplyView::parse(&bytes).unwrap().without_opt();
    let message = Message::from_vec(&copy).unwrap();
    assert_eq!((message.additionals.len(), message.additionals[0].ttl), (1, 9));
    assert!(message.edns.is_none());
}

#[test]
fn what_is_cut_is_cut_at_a_border_and_marked() {
    let whole = reply(40, true, false);
    for limit in 0..whole.len() + 20 {
        let mut bytes = whole.clone();
        let len = cut_reply(&mut bytes, limit);
        let message = Message::from_vec(&bytes[..len]).unwrap();
        assert!(len <= limit.max(HEADER + QUESTION.len()), "{limit}");
        assert_eq!(message.metadata.truncation, limit < whole.len(), "{limit}");
    }
}

#[test]
fn a_cut_keeps_the_opt() {
    let whole = reply(40, true, true);
    for limit in 60..whole.len() + 20 {
        let bytes = cut(whole.clone(), limit);
        let message = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= limit && message.edns.is_some(), "{limit}");
        assert_eq!(message.metadata.truncation, limit < whole.len(), "{limit}");
    }
}

/// Found by fuzzing: options larger than the room were kept, and the reply went past its limit.
#[test]
fn a_cut_gives_up_the_options_of_an_opt_that_has_no_room() {
    let mut whole = reply(40, true, false);
    whole.extend(opt(1232, true));
    let options = [&[0, 10, 1, 144][..], &[7; 400]].concat();
    let at = whole.len() - 2;
    whole[at..].copy_from_slice(&(options.len() as u16).to_be_bytes());
    whole.extend(options);
    whole[11] += 1;
    for (limit, kept) in [(512, 404), (440, 0), (60, 0)] {
        let bytes = cut(whole.clone(), limit);
        let message = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= limit && message.metadata.truncation, "{} octets of {limit}", bytes.len());
        assert!(message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok), "{limit}");
        let length = if kept == 0 { 0 } else { 11 + kept };
        assert!(bytes.len() >= HEADER + QUESTION.len() + length, "{limit}");
    }
}

#[test]
fn a_reply_is_addressed_to_another_client() {
    let mut packet = b"\xab\xcd\x00\x10\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    packet.extend(QUESTION.to_ascii_uppercase());
    packet[HEADER..HEADER + QUESTION.len() - 4].make_ascii_uppercase();
    packet.extend(opt(4096, true));
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).unwrap();
    for limit in [512, 1232] {
        let mut out = [0; 4096];
        let stored = reply(50, false, false);
        out[..stored.len()].copy_from_slice(&stored);
        let len = address_reply(&query, &mut out, stored.len(), limit);
        let message = Message::from_vec(&out[..len]).unwrap();
        assert!(len <= limit);
        assert_eq!((message.metadata.id, message.metadata.truncation), (0xabcd, limit == 512));
        assert_eq!((message.metadata.recursion_desired, message.metadata.checking_disabled), (false, true));
        assert_eq!(message.queries[0].name().to_string(), "WWW.EXAMPLE.ORG.");
        assert_eq!(message.edns.as_ref().map(|edns| edns.flags().dnssec_ok), Some(true));
    }
}

#[test]
fn what_is_no_reply_is_none() {
    let good = reply(2, false, false);
    let mut query = good.clone();
    query[2] &= 0x7f;
    let mut two_questions = good.clone();
    two_questions[5] = 2;
    let mut forward = good.clone();
    // The answer's owner points to itself, then beyond itself.
    let owner = HEADER + QUESTION.len();
    forward[owner + 1] = owner as u8;
    let mut beyond = good.clone();
    beyond[owner + 1] = owner as u8 + 4;
    let mut header = good.clone();
    header[owner + 1] = 3;
    for bytes in [&good[..good.len() - 1], &query, &two_questions, &forward, &beyond, &header, &good[..11], b""] {
        assert!(ReplyView::parse(bytes).is_none(), "{bytes:?}");
    }
}

#[test]
fn an_error_may_come_without_its_question() {
    let view = ReplyView::parse(b"\x00\x07\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00").map(|view| view.rcode());
    assert_eq!(view, Some(Rcode::FORMERR));
}

proptest! {
    #[test]
    fn no_octets_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 0usize..300) {
        if bytes.len() > 8 {
            bytes[2] |= 0x80;
            (bytes[4], bytes[5], bytes[6], bytes[8]) = (0, bytes[5] & 1, 0, 0);
        }
        if let Some(view) = ReplyView::parse(&bytes) {
            view.without_opt();
            view.records().for_each(drop);
        }
        cut_reply(&mut bytes, limit);
    }

    #[test]
    fn damage_is_noticed_or_harmless(answers in 0u8..6, soa: bool, edns: bool, at in 0usize..200, octet: u8, limit in 0usize..300) {
        let mut bytes = reply(answers, soa, edns);
        let at = at % bytes.len();
        bytes[at] = octet;
        let theirs = Message::from_vec(&bytes).ok();
        let ours = ReplyView::parse(&bytes);
        if let (Some(theirs), Some(ours)) = (&theirs, &ours) {
            let opts = u16::from(theirs.edns.is_some());
            prop_assert_eq!(theirs.answers.len(), usize::from(ours.count(Section::Answer)));
            prop_assert_eq!(theirs.authorities.len(), usize::from(ours.count(Section::Authority)));
            prop_assert_eq!(theirs.additionals.len() + usize::from(opts), usize::from(ours.count(Section::Additional)));
            prop_assert!(ReplyView::parse(&ours.without_opt()).is_some_and(|again| !again.has_opt()));
        }
        let mut cut = bytes.clone();
        let len = cut_reply(&mut cut, limit);
        prop_assert!(ours.is_none() || ReplyView::parse(&cut[..len]).is_some());
    }
}
