//! What a snapshot is made of: the store's objects make a store that answers alike.

use super::*;

const CLUSTER: &str = include_str!("../../../../tests/data/conformance/cluster.yaml");
const QUESTIONS: &str = include_str!("../../../../tests/data/conformance/questions.txt");
const MORE: &str = "10-240-0-1.default.pod.cluster.local. A
    us-west-2b.pin._zone.spread.shop.svc.cluster.local. SRV
    corp.example.com.pin._zone.corp.shop.svc.cluster.local. A
    172-0-0-2.c1.db.shop.svc.clusterset.local. A
    db.shop.svc.clusterset.local. SRV
    api.shop.svc.clusterset.local. AAAA";
const ZONES: [&str; 4] = ["cluster.local", "in-addr.arpa", "ip6.arpa", "clusterset.local"];

/// A cluster whose endpoints are called after their pods, or not.
fn fixture(pod_names: bool, objects: Vec<Object>) -> Fixture {
    let fixture = Fixture::new(&ZONES).grammar(|name, grammar| {
        (grammar.is_zonal, grammar.is_multicluster) = (true, name == "clusterset.local.");
    });
    let fixture = fixture.with(|plugin| {
        plugin.cluster = Arc::new(Cluster::for_tests(pod_names));
        plugin.pods = Pods::Verified;
    });
    fixture.list(objects);
    fixture.plugin.cluster.store().serial.set(7);
    fixture
}

fn kept(fixture: &Fixture) -> Vec<Object> {
    let mut objects = Vec::new();
    fixture.plugin.cluster.model().each_object(|object| objects.push(object));
    objects
}

#[test]
fn a_store_made_of_kept_objects_answers_alike() {
    for pod_names in [false, true] {
        let mut objects = crate::cluster::objects_from_text("cluster.yaml", CLUSTER).unwrap();
        objects.push(pod("default", "sailor", "10.240.0.1", false));
        for more in ["imports", "zonal", "outside"] {
            objects.extend(manifest(more));
        }
        let from_server = fixture(pod_names, objects);
        let from_file = fixture(pod_names, kept(&from_server));
        let mut answered = 0;
        for line in QUESTIONS.lines().chain(MORE.lines()) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(rtype)) = (words.next(), words.next()) else { continue };
            let rtype = rtype.parse::<hickory_proto::rr::RecordType>().unwrap();
            let ask = |fixture: &Fixture| match fixture.bytes(name, RecordType(rtype.into()), 7) {
                (Verdict::Answered(_), bytes) => Ok(Answered::read(&bytes)),
                (verdict, _) => Err(format!("{verdict:?}")),
            };
            let expected = ask(&from_server);
            answered += usize::from(expected.as_ref().is_ok_and(|answer| !answer.answer.is_empty()));
            assert_eq!(ask(&from_file), expected, "{line}, pod names: {pod_names}");
        }
        assert!(answered > 100, "{answered} answers with records");
    }
}

#[test]
fn slices_and_pods_keep_their_names_so_that_events_find_them() {
    let before = fixture(false, shop());
    before.apply(pod("shop", "p", "10.240.0.1", false));
    let after = fixture(false, kept(&before));
    let identity = |object: &Object| format!("{object:?}");
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        (kept(&before).iter().map(identity).collect(), kept(&after).iter().map(identity).collect());
    one.sort();
    other.sort();
    assert!(one.len() > 5);
    assert_eq!(one, other);
}
