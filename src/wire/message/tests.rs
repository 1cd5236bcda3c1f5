use super::*;
use crate::wire::NameBuffer;
use hickory_proto::op::Message as Independent;

fn name(text: &str) -> Vec<u8> {
    let mut wire: Vec<u8> = text
        .split('.')
        .filter(|label| !label.is_empty())
        .flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes()))
        .collect();
    wire.push(0);
    wire
}

fn record(owner: &str, rtype: RecordType, rdata: &[u8]) -> ResourceRecord {
    ResourceRecord { owner: name(owner), rtype, class: 1, ttl: 60, rdata: rdata.to_vec() }
}

fn sample() -> Message {
    let mut packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03WeB\x04test\x00\x00\x01\x00\x01".to_vec();
    packet.extend(b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00");
    let mut buffer = NameBuffer::default();
    let mut message = Message::answering(&Query::parse(&packet, &mut buffer).unwrap());
    message.answers = vec![
        record("WeB.test", RecordType::CNAME, &name("a.WeB.test")),
        record("a.WeB.test", RecordType::SRV, &[&[0, 1, 0, 2, 0, 53], &name("b.test")[..]].concat()),
        record("a.WeB.test", RecordType::MX, &[&[0, 9], &name("mail.test")[..]].concat()),
        record("a.WeB.test", RecordType::NAPTR, &[&[0, 1, 0, 2, 1, b'u', 0, 0], &name("n.test")[..]].concat()),
    ];
    let numbers = [0; 20];
    message.authorities =
        vec![record("test", RecordType::SOA, &[&name("ns.test")[..], &name("admin.test"), &numbers].concat())];
    message.additionals = vec![record("b.test", RecordType::A, &[10, 0, 0, 1])];
    message
}

#[test]
fn an_independent_decoder_reads_what_we_write_and_we_read_it_back() {
    let message = sample();
    let octets = message.to_octets(4096);
    let independent = Independent::from_vec(&octets).unwrap();
    let texts: Vec<_> = independent.answers.iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "WeB.test. 60 IN CNAME a.WeB.test.");
    assert_eq!(texts[1], "a.WeB.test. 60 IN SRV 1 2 53 b.test.");
    assert_eq!((independent.authorities.len(), independent.additionals.len()), (1, 1));
    assert!(independent.edns.is_some());
    assert_eq!(Message::parse(&octets), Some(message.clone()));
    // Pointers save most of it.
    assert!(octets.len() < 230, "{}", octets.len());
}

#[test]
fn names_in_rdata_are_found() {
    let names: Vec<Vec<_>> = sample()
        .answers
        .iter()
        .chain(&sample().authorities)
        .map(|record| record.names().into_iter().map(|range| record.rdata[range].to_vec()).collect())
        .collect();
    assert_eq!(names[..3], [[name("a.WeB.test")], [name("b.test")], [name("mail.test")]]);
    assert_eq!(names[3..], [vec![name("n.test")], vec![name("ns.test"), name("admin.test")]]);
}

#[test]
fn what_does_not_fit_is_left_out_and_opt_stands() {
    let octets = sample().to_octets(100);
    let independent = Independent::from_vec(&octets).unwrap();
    assert!(octets.len() <= 100 && independent.metadata.truncation && independent.edns.is_some());
    assert_eq!(independent.answers.len(), 3);
}

#[test]
fn loops_and_cuts_are_none() {
    let octets = sample().to_octets(4096);
    for end in 0..octets.len() {
        assert!(Message::parse(&octets[..end]).is_none(), "{end}");
    }
    let header = b"\0\0\x80\0\0\x01\0\0\0\0\0\0".to_vec();
    for question in [&b"\xc0\x0c\0\x01\0\x01"[..], b"\xc0\x0e\0\x01\0\x01", b"\x01a\xc0\x0c\0\x01\0\x01"] {
        assert!(Message::parse(&[&header[..], question].concat()).is_none(), "{question:?}");
    }
}

#[test]
fn codes_and_extended_errors_go_into_opt() {
    let mut message = sample();
    message.set_rcode(Rcode::BADVERS);
    message.add_extended_error(15, "no");
    let read = Message::parse(&message.to_octets(4096)).unwrap();
    assert_eq!(read.rcode(), Rcode::BADVERS);
    assert_eq!(read.opt.unwrap().options, [(15, b"\x00\x0fno".to_vec())]);
}

proptest::proptest! {
    #[test]
    fn whatever_was_changed_on_the_way_is_read_or_refused(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..6),
        limit in 0usize..600,
    ) {
        let mut octets = sample().to_octets(4096);
        for (place, octet) in changes {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        if let Some(message) = Message::parse(&octets) {
            let written = message.to_octets(limit);
            let read = Message::parse(&written);
            proptest::prop_assert!(read.is_some_and(|read| read.question == message.question));
            proptest::prop_assert!(message.sections().into_iter().flatten().all(|record| record.names().len() < 3));
        }
    }
}
