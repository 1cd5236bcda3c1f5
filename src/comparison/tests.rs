//! The rules, each with answers that it holds for and answers that it does not.

use super::*;
use crate::client;
use crate::wire::{Name, Question};

/// An answer: `RCODE NAME TYPE`, then records `SECTION OWNER TTL TYPE DATA`.
fn message(asked: &str, records: &[&str]) -> Message {
    let words: Vec<&str> = asked.split(' ').collect();
    let mut message = Message {
        id: 1,
        flags: flags::QR | flags::AA,
        question: Question { name: cased(words[1]), qtype: RecordType::from_mnemonic(words[2]).unwrap(), qclass: 1 },
        answers: Vec::new(),
        authorities: Vec::new(),
        additionals: Vec::new(),
        opt: None,
    };
    message.set_rcode(crate::wire::Rcode::from_mnemonic(words[0]).unwrap());
    for record in records {
        let words: Vec<&str> = record.split(' ').collect();
        let rtype = RecordType::from_mnemonic(words[3]).unwrap();
        let rdata = match rtype {
            RecordType::A => words[4].parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
            RecordType::SOA => [&cased("ns")[..], &cased("who"), words[4].as_bytes(), &[0; 16]].concat(),
            _ => cased(words[4]),
        };
        let section = ["answer", "authority", "additional"].iter().position(|name| *name == words[0]).unwrap();
        let owner = cased(words[1]);
        let record = ResourceRecord { owner, rtype, class: 1, ttl: words[2].parse().unwrap(), rdata };
        message.sections_mut()[section].push(record);
    }
    message
}

/// Wire form in the case that is written.
fn cased(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).collect();
    wire.push(0);
    wire
}

fn held(theirs: &Message, ours: &Message) -> Verdict {
    let query = client::query(&Name::root(), RecordType::A);
    compare(&query, &theirs.to_octets(65535), &ours.to_octets(65535), Ttl::Remaining)
}

fn is_deliberate(theirs: &Message, ours: &Message) -> bool {
    matches!(held(theirs, ours), Verdict::Deliberate(_))
}

const ONE: &str = "answer web.prod.svc.k.test 30 A 10.0.0.1";
const TWO: &str = "answer web.prod.svc.k.test 30 A 10.0.0.2";
const SOA: &str = "authority k.test 30 SOA 1234";

#[test]
fn order_case_and_serial_are_no_part_of_an_answer() {
    let asked = "NOERROR web.prod.svc.k.test A";
    assert_eq!(held(&message(asked, &[ONE, TWO]), &message(asked, &[TWO, ONE])), Verdict::Equal);
    assert_eq!(held(&message(asked, &[&ONE.replace("web", "Web")]), &message(asked, &[ONE])), Verdict::Equal);
    let missing = "NXDOMAIN gone.k.test A";
    assert_eq!(held(&message(missing, &[SOA]), &message(missing, &[&SOA.replace("1234", "9876")])), Verdict::Equal);
}

#[test]
fn what_differs_is_said() {
    let asked = "NOERROR web.prod.svc.k.test A";
    let whole = message(asked, &[ONE, TWO]);
    let said = |theirs: &Message, ours: &Message| match held(theirs, ours) {
        Verdict::Different(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&whole, &message(asked, &[ONE])), "answer: web.prod.svc.k.test. 30 A 10.0.0.2 missing in ours");
    assert_eq!(said(&message(asked, &[ONE]), &whole), "answer: web.prod.svc.k.test. 30 A 10.0.0.2 only in ours");
    assert_eq!(said(&whole, &message("NXDOMAIN web.prod.svc.k.test A", &[SOA])), "2 records, ours NXDOMAIN");
    // A Service that is missing there does not hide behind a rule.
    let missing = message("NXDOMAIN web.prod.svc.k.test AAAA", &[SOA]);
    assert_eq!(said(&missing, &message("NOERROR web.prod.svc.k.test AAAA", &[SOA])), "NXDOMAIN, ours NODATA");
    let mut relayed = whole.clone();
    relayed.flags &= !flags::AA;
    assert_eq!(said(&whole, &relayed), "in authority, ours not in authority");
    let mut extended = whole.clone();
    extended.opt = Some(crate::wire::Opt::new(1232, false));
    assert_eq!(said(&whole, &extended), "without an OPT, ours with an OPT");
    let query = client::query(&Name::root(), RecordType::A);
    assert!(matches!(compare(&query, b"", &whole.to_octets(512), Ttl::Exact), Verdict::Different(_)));
}

#[test]
fn ttls_may_be_what_is_left_in_their_cache() {
    let asked = "NOERROR web.prod.svc.k.test A";
    let (whole, left) = (message(asked, &[ONE]), message(asked, &[&ONE.replace("30", "7")]));
    assert_eq!(held(&left, &whole), Verdict::Equal);
    assert!(matches!(held(&whole, &left), Verdict::Different(why) if why.ends_with("TTL 7 in ours")));
    let query = client::query(&Name::root(), RecordType::A);
    let exact = compare(&query, &left.to_octets(512), &whole.to_octets(512), Ttl::Exact);
    assert!(matches!(exact, Verdict::Different(_)));
}

#[test]
fn of_a_cut_answer_any_part_will_do() {
    let asked = "NOERROR web.prod.svc.k.test A";
    let (whole, mut part) = (message(asked, &[ONE, TWO]), message(asked, &[TWO]));
    part.flags |= flags::TC;
    assert_eq!((held(&whole, &part), held(&part, &whole)), (Verdict::Equal, Verdict::Equal));
    let mut other = message(asked, &[&TWO.replace("0.2", "0.3")]);
    other.flags |= flags::TC;
    assert!(matches!(held(&whole, &other), Verdict::Different(_)));
}

#[test]
fn a_reason_holds_for_its_own_names_only() {
    for (name, qtype, deliberate) in [
        ("k.test", "TXT", true),
        ("prod.svc.k.test", "TXT", true),
        ("_tcp.web.prod.svc.k.test", "A", true),
        ("ns.dns.k.test", "TXT", true),
        ("web.prod.svc.k.test", "TXT", false),
        ("1-1-1-1.prod.pod.k.test", "A", false),
        ("x.web.prod.svc.k.test", "A", false),
    ] {
        let theirs = message(&format!("NXDOMAIN {name} {qtype}"), &[SOA]);
        let ours = message(&format!("NOERROR {name} {qtype}"), &[SOA]);
        assert_eq!(is_deliberate(&theirs, &ours), deliberate, "{name} {qtype}");
        assert!(!is_deliberate(&ours, &theirs), "{name} {qtype}: the other way round");
    }
    let of =
        |name: &str, qtype: &str, rcode: &str, records: &[&str]| message(&format!("{rcode} {name} {qtype}"), records);
    let soa = |name| is_deliberate(&of(name, "SOA", "NOERROR", &[SOA]), &of(name, "SOA", "NXDOMAIN", &[SOA]));
    assert!(soa("gone.k.test"));
    let ns = "answer k.test 30 NS ns.dns.k.test";
    assert!(is_deliberate(&of("k.test", "NS", "NOERROR", &[SOA]), &of("k.test", "NS", "NOERROR", &[ns])));
    let odd = "answer k.test 30 NS other.k.test";
    assert!(!is_deliberate(&of("k.test", "NS", "NOERROR", &[SOA]), &of("k.test", "NS", "NOERROR", &[odd])));
    let pod = |name, there, here| is_deliberate(&of(name, "A", there, &[SOA]), &of(name, "A", here, &[SOA]));
    assert!(pod("x.1-1-1-1.prod.pod.k.test", "NOERROR", "NXDOMAIN"));
    assert!(!pod("1-1-1-1.prod.pod.k.test", "NOERROR", "NXDOMAIN"));
}

/// A rehearsal stands beside the Service that the server it is compared with stands behind.
#[test]
fn the_name_server_is_the_service_in_front() {
    let answer = |record: &str| message("NOERROR k.test NS", &[record]);
    let beside = answer("answer k.test 30 NS ns.dns.k.test");
    let behind = answer("answer k.test 30 NS kube-dns.kube-system.svc.k.test");
    assert!(is_deliberate(&behind, &beside));
    assert!(!is_deliberate(&beside, &behind), "ours names a Service that theirs does not know of");
    assert!(!is_deliberate(&answer("answer k.test 30 NS elsewhere.test"), &beside));
    assert!(!is_deliberate(&behind, &answer("answer k.test 30 NS other.svc.k.test")));
}

#[test]
fn what_an_alias_leads_to_is_another_s() {
    let asked = "NOERROR ext.prod.svc.k.test A";
    let alias = "answer ext.prod.svc.k.test 30 CNAME www.example";
    let (one, two) = ("answer www.example 5 A 192.0.2.1", "answer www.example 5 A 192.0.2.2");
    assert!(is_deliberate(&message(asked, &[alias, one]), &message(asked, &[alias, two])));
    let other = alias.replace("www.example", "w.example");
    assert!(!is_deliberate(&message(asked, &[alias, one]), &message(asked, &[&other, two])));
}
