//! What is fuzzed, and what must hold: the fuzzer calls these with whatever it makes up, tests/corpus.rs with the corpus.

use dunlin::cluster::{Details, Key, Kind, Object, Sink, objects_from_text, snapshot, tell_frame};
use dunlin::corefile;
use dunlin::engine::Fast;
use dunlin::server::bench::Bench;
use dunlin::wire::{self, Answer, HEADER, Message, NameBuffer, Owner, Query, Rcode, RecordType, ReplyView, Section};
use hickory_proto::op::Message as Decoded;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;

/// What is called with octets that somebody made up.
type Target = fn(&[u8]);

/// Every target by name.
pub const ALL: [(&str, Target); 8] = [
    ("question", question),
    ("lanes", lanes),
    ("answer", answer),
    ("corefile", corefile),
    ("manifests", manifests),
    ("protobuf", protobuf),
    ("reply", reply),
    ("snapshot", snapshot),
];

/// A query is read without harm, and what is read of it is what hickory-proto reads.
pub fn question(octets: &[u8]) {
    let mut names = NameBuffer::default();
    let Ok(query) = Query::parse(octets, &mut names) else { return };
    assert!(query.question_end() <= octets.len());
    assert!(query.name.wire().len() <= 255 && query.name.wire().iter().all(|octet| !octet.is_ascii_uppercase()));
    if let Ok(theirs) = Decoded::from_vec(octets) {
        let [asked] = &theirs.queries[..] else { panic!("one question, and hickory reads {}", theirs.queries.len()) };
        assert_eq!(u16::from(asked.query_type), query.qtype.0);
        assert_eq!(theirs.metadata.id, query.id());
    }
    let _ = Message::parse(octets);
}

/// Any datagram has a well-formed reply of at most 1232 octets from either lane, or silence.
pub fn lanes(octets: &[u8]) {
    static SERVED: LazyLock<Bench> = LazyLock::new(|| Bench::new(CLUSTER).unwrap_or_else(|error| panic!("{error}")));
    let (mut lane, mut out) = (SERVED.lane(), [0; 4096]);
    lane.batch_begins();
    let fast = lane.answer(octets, SocketAddr::from((Ipv4Addr::LOCALHOST, 53)), &mut out);
    if let Fast::Reply(len) = fast {
        well_formed(octets, &out[..len]);
    }
    if let Fast::Slow = fast
        && let Some(reply) = SERVED.slow(octets)
    {
        well_formed(octets, &reply);
    }
}

const CLUSTER: &str = ".:53 {
    chaos fuzzed
    hosts {
        192.0.2.1 www.example.org
        fallthrough
    }
    rewrite name suffix .rewritten.example. .example.org. answer auto
    template IN TXT template.example {
        answer \"{{ .Name }} 60 IN TXT {{ .Name }}\"
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests tests/data/conformance/cluster.yaml
        pods insecure
    }
    cache 30
    loadbalance
}
";

fn well_formed(query: &[u8], reply: &[u8]) {
    assert!(query.len() >= HEADER && query[2] & 0x80 == 0, "an answer to what is no query");
    assert!((HEADER..=1232).contains(&reply.len()), "{} octets", reply.len());
    assert_eq!((&reply[..2], reply[2] & 0x80), (&query[..2], 0x80), "id and QR");
    if let Err(error) = Decoded::from_vec(reply) {
        panic!("{error}");
    }
}

/// Records as the octets say, behind a question; hickory-proto reads back as many as were written.
pub fn answer(octets: &[u8]) {
    let Some((&[limit, edns], mut orders)) = octets.split_first_chunk() else { return };
    let mut packet = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01".to_vec();
    if edns & 1 != 0 {
        packet.extend(wire::opt(1232, edns & 2 != 0));
        packet[11] = 1;
    }
    let mut names = NameBuffer::default();
    let query = Query::parse(&packet, &mut names).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let (mut out, mut section, mut written) = ([0; 4096], 0, [0; 3]);
    let limit = 64 + 16 * usize::from(limit);
    let mut answer = Answer::begin(&query, &mut out, limit);
    while let Some((&[order, length], rest)) = orders.split_first_chunk() {
        let (rdata, rest) = rest.split_at(rest.len().min(usize::from(length)));
        orders = rest;
        section = usize::from(order & 3).clamp(section, 2);
        let place = [Section::Answer, Section::Authority, Section::Additional][section];
        let owner = match order >> 2 & 3 {
            0 => Owner::Question,
            1 => Owner::At(answer.question_label(1)),
            2 => Owner::Below(b"\x02ns", answer.question_label(0)),
            _ => Owner::Name(b"\x05other\x04test\0"),
        };
        // hickory-proto takes no empty RDATA where it does not know the type.
        let rdata = if rdata.is_empty() { &[order][..] } else { rdata };
        let fits = match order >> 4 & 3 {
            0 => answer.a(place, owner, 30, Ipv4Addr::LOCALHOST),
            1 => answer.aaaa(place, owner, 30, Ipv6Addr::LOCALHOST),
            // An unassigned type: any RDATA is right.
            _ => answer.record(place, owner, RecordType(65280), 30, &[rdata]),
        };
        written[section] += usize::from(fits);
    }
    let truncated = answer.is_truncated();
    let len = answer.finish(Rcode::NOERROR, true);
    assert!(len <= limit.max(packet.len()), "{len} octets of {limit}");
    let decoded = Decoded::from_vec(&out[..len]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!([decoded.answers.len(), decoded.authorities.len(), decoded.additionals.len()], written);
    assert_eq!((decoded.edns.is_some(), decoded.metadata.truncation), (edns & 1 != 0, truncated));
}

/// A Corefile is a tree or an error with its line.
pub fn corefile(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    // An import would read this machine's files.
    if text.contains("import") {
        return;
    }
    match corefile::parse(Path::new("Corefile"), text, &|_| Some("value".to_owned())) {
        Ok(tree) => drop(format!("{tree:?}")),
        Err(error) => assert!(error.to_string().contains("Corefile"), "{error}"),
    }
}

/// Manifests are objects or an error with their name.
pub fn manifests(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match objects_from_text("cluster.yaml", text) {
        Ok(objects) => drop(objects.len()),
        Err(error) => assert!(error.starts_with("cluster.yaml"), "{error}"),
    }
}

/// A frame of a protobuf watch is an event or an error.
pub fn protobuf(octets: &[u8]) {
    let Some((&first, frame)) = octets.split_first() else { return };
    let kinds = [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod];
    let _ = tell_frame(kinds[usize::from(first) % kinds.len()], Details::ALL, frame, &Nobody);
}

/// An upstream's reply is read, cut and relieved of its OPT without harm; what was well-formed stays so.
pub fn reply(octets: &[u8]) {
    // RDATA is relayed as it came; a name in it that leads into the header reads otherwise once a count has changed.
    let into_header = octets.windows(2).any(|pair| pair[0] == 0xc0 && usize::from(pair[1]) < HEADER);
    let theirs = !into_header && Decoded::from_vec(octets).is_ok();
    let stays = |what: &str, message: &[u8]| {
        if theirs && let Err(error) = Decoded::from_vec(message) {
            panic!("{what}: {error}");
        }
    };
    if let Some(view) = ReplyView::parse(octets) {
        let records = view.records().count();
        let counted = [Section::Answer, Section::Authority, Section::Additional].map(|section| view.count(section));
        assert!(records <= counted.into_iter().map(usize::from).sum());
        let _ = (view.lowest_ttl(), view.has_authority_soa(), view.reaches(RecordType::A), view.rcode());
        // A reply may come without a question; it is then nobody's.
        assert!(view.question().is_empty() || view.question_matches(view.question()));
        stays("without OPT", &view.without_opt());
        // No client takes less than 512 octets (RFC 1035 section 4.2.1); 300 holds any question and an OPT.
        for limit in [1232, 512, 300] {
            let cut = wire::cut(view.octets().to_vec(), limit);
            assert!(cut.len() <= limit, "{} octets of {limit}", cut.len());
            stays("cut", &cut);
        }
    }
    if let Some(message) = Message::parse(octets) {
        let again = message.to_octets(usize::from(u16::MAX));
        stays("written again", &again);
    }
}

/// A snapshot file is told whole or refused; one with a right checksum too.
pub fn snapshot(octets: &[u8]) {
    let open = |file: &[u8]| snapshot::Snapshot::open(file, "scope").map(|found| found.tell(&Nobody));
    let _ = open(octets);
    let empty = snapshot::Builder::new("scope", 0).finish();
    let digest: [u8; 32] = Sha256::digest(octets).into();
    let length = (octets.len() as u64).to_be_bytes();
    // Sixteen octets of mark, four of version, the length, the checksum.
    let _ = open(&[&empty[..20], &length, &digest, octets].concat());
}

struct Nobody;

impl Sink for Nobody {
    fn list_begins(&self, _: Kind) {}
    fn apply(&self, _: Object) {}
    fn delete(&self, _: Kind, _: &Key) {}
    fn list_breaks(&self, _: Kind) {}
    fn list_ends(&self, _: Kind) {}
}
