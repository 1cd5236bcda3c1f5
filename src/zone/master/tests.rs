use super::*;
use crate::wire::{CLASS_IN, Message, NameBuffer, Query, Rcode, ResourceRecord, flags};
use std::path::PathBuf;

const ZONE: &str = r#"
$TTL 1h
@       IN SOA  ns1 hostmaster 7 7200 3600 1209600 300 ; comment
        IN NS   ns1
        NS      ns2.elsewhere.test.
ns1     A       192.0.2.1
web 60  IN A    192.0.2.10
web     60 A    192.0.2.11
web     60 A    192.0.2.11
        AAAA    2001:db8::10
www     CNAME   web
out     CNAME   far.away.test.
gone    CNAME   nothing
loop1   CNAME   loop2
loop2   CNAME   loop1
@       MX      10 mail
mail    A       192.0.2.25
_sip._tcp SRV   1 2 5060 web
txt     TXT     "two words" and\;one "a\"b\065"
a.b.ent A       192.0.2.30
*.wild  TXT     ( "any"
                  "thing" ) ; over two lines
b.wild  A       192.0.2.31
sub     NS      ns.sub
        NS      ns1
        DS      1 8 2 0011 aaFF
ns.sub  A       192.0.2.53
to-sub  CNAME   x.sub
moved   DNAME   there.example.test.
x.there A       192.0.2.40
s       DNAME   a-longer-target
odd     TYPE65400 \# 3 01 0203
other.example.org. A 192.0.2.99
"#;

fn file(text: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("dunlin-zone-{}-{number}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

/// A zone `example.test` from the text of its file.
pub(super) fn zone(text: &str) -> Result<MasterZone, String> {
    let file = file(text);
    let zone = read(&file, &Name::from_text("example.test").unwrap());
    std::fs::remove_file(file).unwrap();
    zone
}

fn ask(zone: &MasterZone, name: &str, qtype: RecordType) -> (Found, Message) {
    let name = Name::from_text(name).unwrap();
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(name.wire());
    packet.extend(qtype.0.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    let mut buffer = NameBuffer::default();
    let mut message = Message::answering(&Query::parse(&packet, &mut buffer).unwrap());
    let found = zone.answer(&name, &mut message);
    (found, message)
}

fn shown(records: &[ResourceRecord]) -> String {
    let show = |record: &ResourceRecord| {
        let owner = Name::from_wire(&record.owner).unwrap();
        let data = match (record.rtype, record.target()) {
            (RecordType::SOA, _) => String::new(),
            (_, Some(target)) => format!(" {}", Name::from_wire(target).unwrap()),
            (RecordType::A, None) => format!(" {}", record.rdata[3]),
            _ => String::new(),
        };
        let owner = owner.to_string().replace("example.test.", "~");
        format!("{owner} {} {}{}", record.ttl, record.rtype, data.replace("example.test.", "~"))
    };
    records.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[test]
fn questions_have_the_answers_of_rfc_1034() {
    let zone = zone(ZONE).unwrap();
    assert_eq!((zone.serial(), zone.outside()), (7, 1));
    let (ns, soa) = ("~ 3600 NS ns1.~, ~ 3600 NS ns2.elsewhere.test.", "~ 300 SOA");
    let nx = Rcode::NXDOMAIN;
    let ok = Rcode::NOERROR;
    let cases = [
        ("web", RecordType::A, ok, "web.~ 60 A 10, web.~ 60 A 11", ns, ""),
        ("web", RecordType::TXT, ok, "", soa, ""),
        ("", RecordType::SOA, ok, "~ 3600 SOA", ns, ""),
        ("", RecordType::NS, ok, ns, "", "ns1.~ 3600 A 1"),
        ("", RecordType::MX, ok, "~ 3600 MX mail.~", ns, "mail.~ 3600 A 25"),
        (
            "_sip._tcp",
            RecordType::SRV,
            ok,
            "_sip._tcp.~ 3600 SRV web.~",
            ns,
            "web.~ 60 A 10, web.~ 60 A 11, web.~ 3600 AAAA",
        ),
        ("www", RecordType::A, ok, "www.~ 3600 CNAME web.~, web.~ 60 A 10, web.~ 60 A 11", ns, ""),
        ("www", RecordType::CNAME, ok, "www.~ 3600 CNAME web.~", ns, ""),
        ("www", RecordType::MX, ok, "www.~ 3600 CNAME web.~", soa, ""),
        ("gone", RecordType::A, nx, "gone.~ 3600 CNAME nothing.~", soa, ""),
        ("nothing", RecordType::A, nx, "", soa, ""),
        ("below.web", RecordType::A, nx, "", soa, ""),
        ("b.ent", RecordType::A, ok, "", soa, ""),
        ("ent", RecordType::A, ok, "", soa, ""),
        ("c.ent", RecordType::A, nx, "", soa, ""),
        ("x.wild", RecordType::TXT, ok, "x.wild.~ 3600 TXT", ns, ""),
        ("x.y.wild", RecordType::TXT, ok, "x.y.wild.~ 3600 TXT", ns, ""),
        ("x.wild", RecordType::A, ok, "", soa, ""),
        ("b.wild", RecordType::TXT, ok, "", soa, ""),
        ("x.b.wild", RecordType::TXT, nx, "", soa, ""),
        ("moved", RecordType::A, ok, "", soa, ""),
        ("moved", RecordType::DNAME, ok, "moved.~ 3600 DNAME there.~", ns, ""),
        (
            "x.moved",
            RecordType::A,
            ok,
            "moved.~ 3600 DNAME there.~, x.moved.~ 3600 CNAME x.there.~, x.there.~ 3600 A 40",
            ns,
            "",
        ),
        ("x.moved", RecordType::CNAME, ok, "moved.~ 3600 DNAME there.~, x.moved.~ 3600 CNAME x.there.~", ns, ""),
        ("sub", RecordType::DS, ok, "sub.~ 3600 DS", ns, ""),
        ("odd", RecordType(65400), ok, "odd.~ 3600 TYPE65400", ns, ""),
        ("web", RecordType::ANY, ok, "web.~ 60 A 10, web.~ 60 A 11", ns, ""),
    ];
    for (name, qtype, rcode, answers, authorities, additionals) in cases {
        let full = if name.is_empty() { "example.test".to_owned() } else { format!("{name}.example.test") };
        let (found, message) = ask(&zone, &full, qtype);
        let sections = message.sections().map(|section| shown(section));
        assert_eq!(found, Found::Whole(rcode), "{name} {qtype}");
        assert_eq!(sections, [answers, authorities, additionals], "{name} {qtype}");
        assert!(message.flags & flags::AA != 0 && message.rcode() == rcode, "{name} {qtype}");
    }
}

#[test]
fn delegations_are_referrals_without_aa() {
    let zone = zone(ZONE).unwrap();
    let (servers, glue) = ("sub.~ 3600 NS ns.sub.~, sub.~ 3600 NS ns1.~", "ns.sub.~ 3600 A 53, ns1.~ 3600 A 1");
    for name in ["sub.example.test", "a.b.sub.example.test", "ns.sub.example.test"] {
        let (found, message) = ask(&zone, name, RecordType::A);
        assert_eq!(found, Found::Whole(Rcode::NOERROR));
        assert_eq!(message.sections().map(|section| shown(section)), ["", servers, glue], "{name}");
        assert_eq!(message.flags & flags::AA, 0, "{name}");
    }
    let (_, message) = ask(&zone, "to-sub.example.test", RecordType::A);
    assert_eq!(shown(&message.answers), "to-sub.~ 3600 CNAME x.sub.~");
    assert_eq!((shown(&message.authorities).as_str(), message.flags & flags::AA), (servers, flags::AA));
}

#[test]
fn aliases_lead_out_of_the_zone_or_end() {
    let zone = zone(ZONE).unwrap();
    let (found, message) = ask(&zone, "out.example.test", RecordType::A);
    assert_eq!(found, Found::Alias(Name::from_text("far.away.test").unwrap()));
    assert_eq!(shown(&message.answers), "out.~ 3600 CNAME far.away.test.");
    assert_eq!(ask(&zone, "loop1.example.test", RecordType::A).0, Found::Whole(Rcode::SERVFAIL));
    let long = vec!["a".repeat(60); 3].join(".") + "." + &"b".repeat(45);
    let (found, message) = ask(&zone, &format!("{long}.s.example.test"), RecordType::A);
    assert_eq!(
        (found, shown(&message.answers).as_str()),
        (Found::Whole(Rcode::YXDOMAIN), "s.~ 3600 DNAME a-longer-target.~")
    );
}

#[test]
fn texts_and_octets_are_read_as_written() {
    let zone = zone(ZONE).unwrap();
    let rdata = |name: &str, rtype| ask(&zone, name, rtype).1.answers[0].rdata.clone();
    assert_eq!(rdata("txt.example.test", RecordType::TXT), b"\x09two words\x07and;one\x04a\"bA");
    assert_eq!(rdata("x.wild.example.test", RecordType::TXT), b"\x03any\x05thing");
    assert_eq!(rdata("odd.example.test", RecordType(65400)), [1, 2, 3]);
    assert_eq!(rdata("sub.example.test", RecordType::DS), [0, 1, 8, 2, 0, 0x11, 0xaa, 0xff]);
}

#[test]
fn errors_name_file_and_line() {
    let soa = "@ SOA ns host 1 2 3 4 5\n";
    for (text, expected) in [
        ("a A 192.0.2.1\n", ": no SOA for example.test."),
        ("@ SOA ns host 1 2 3 4 5\n\na A 192.0.2\n", ":3: '192.0.2' is not an IPv4 address"),
        (&format!("{soa}a MX ten mail"), ":2: 'ten' is not a number up to 65535"),
        (&format!("{soa}a A 192.0.2.1 192.0.2.2"), ":2: '192.0.2.2' is more than A takes"),
        (&format!("{soa}{soa}"), ":2: the zone has a SOA already"),
        (&format!("{soa}a NOTYPE x"), ":2: 'NOTYPE' is no type of records"),
        (&format!("{soa}a CH TXT x"), ":2: the class must be IN"),
        (&format!("{soa}a TXT \"open"), ":2: a quote is not closed"),
        (&format!("{soa}a TXT ( x\n\n"), ":2: '(' is not closed"),
        (&format!("{soa}a TXT x )"), ":2: ')' without '('"),
        (&format!("{soa}$GENERATE 1-2 a A 192.0.2.$"), ":2: '$GENERATE' is not read"),
        (&format!("{soa}a RRSIG A 8 2"), ":2: RRSIG is read in its generic form only"),
        (&format!("{soa}a TYPE65400 \\# 2 00"), ":2: '2' is not the length"),
        (&format!("{soa}a A"), ":2: expected an IPv4 address"),
        (" A 192.0.2.1", ":1: the first record has no owner"),
        (&format!("{soa}$INCLUDE no-such-file"), "no-such-file: "),
    ] {
        let error = zone(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn included_files_keep_origin_and_owner_to_themselves() {
    let included = file("x A 192.0.2.77\n$ORIGIN y\nz A 192.0.2.78\n");
    let text =
        format!("@ 60 SOA ns host 1 2 3 4 5\nowner A 192.0.2.1\n$INCLUDE {} in\n AAAA ::1\n", included.display());
    let zone = zone(&text).unwrap();
    std::fs::remove_file(included).unwrap();
    assert_eq!(shown(&ask(&zone, "x.in.example.test", RecordType::A).1.answers), "x.in.~ 60 A 77");
    assert_eq!(shown(&ask(&zone, "z.y.in.example.test", RecordType::A).1.answers), "z.y.in.~ 60 A 78");
    assert_eq!(ask(&zone, "owner.example.test", RecordType::AAAA).1.answers.len(), 1);
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let this = file("");
    std::fs::write(&this, format!("$INCLUDE {}\n", this.display())).unwrap();
    let error = read(&this, &Name::from_text("example.test").unwrap()).unwrap_err();
    std::fs::remove_file(this).unwrap();
    assert!(error.contains("nests more than 7 deep"), "{error}");
}

#[test]
fn times_have_units() {
    for (text, seconds) in [("0", Some(0)), ("1h30m", Some(5400)), ("1W2d", Some(777_600)), ("90", Some(90))] {
        assert_eq!(rdata::ttl(text), seconds, "{text}");
    }
    for text in ["h", "1x", "", "5000000000", "1hh"] {
        assert_eq!(rdata::ttl(text), None, "{text}");
    }
}
