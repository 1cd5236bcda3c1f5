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

/// Each part grows by about what its objects take.
#[test]
fn memory_is_told_by_part() {
    let of = |endpoints: u32, services: u32| {
        let addresses: Vec<String> =
            (0..endpoints).map(|n| std::net::Ipv4Addr::from(0x0a01_0000 + n).to_string()).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut objects = vec![namespace("shop"), slice("shop", "db-1", "db", &addresses, &["http/80/TCP"])];
        objects.extend(
            (0..services).map(|n| service("shop", &format!("s{n}"), &[&format!("10.2.{}.{}", n >> 8, n & 255)], &[])),
        );
        objects.push(pod("shop", "p", "10.240.0.1", false));
        fixture(false, objects).plugin.cluster.store().octets().map(|octets| octets as f64)
    };
    let [none, few, more] = [of(0, 0), of(1000, 0), of(1000, 1000)];
    let grown = |from: [f64; 5], to: [f64; 5]| -> [f64; 5] { std::array::from_fn(|part| to[part] - from[part]) };
    let [namespaces, services, endpoints, addresses, pods] = grown(none, few);
    assert_eq!((namespaces, pods, addresses), (0.0, 0.0, 8000.0));
    assert!((4000.0..6000.0).contains(&endpoints) && (0.0..6000.0).contains(&services), "{endpoints} {services}");
    let [namespaces, services, endpoints, addresses, _] = grown(few, more);
    assert_eq!((namespaces, endpoints, addresses), (0.0, 0.0, 8000.0));
    assert!((100_000.0..600_000.0).contains(&services), "{services}");
    assert!(none[4] > 0.0, "a pod");
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
                (Verdict::Answered(_), bytes) => Ok(without_serial(Answered::read(&bytes))),
                (verdict, _) => Err(format!("{verdict:?}")),
            };
            let expected = ask(&from_server);
            answered += usize::from(expected.as_ref().is_ok_and(|answer| !answer.answer.is_empty()));
            assert_eq!(ask(&from_file), expected, "{line}, pod names: {pod_names}");
        }
        assert!(answered > 100, "{answered} answers with records");
    }
}

/// Each store counts serials from the second in which it was made.
fn without_serial(mut answered: Answered) -> Answered {
    for record in answered.answer.iter_mut().chain(&mut answered.authority) {
        let mut words: Vec<&str> = record.split(' ').collect();
        if words.get(3) == Some(&"SOA") {
            words.remove(6);
            *record = words.join(" ");
        }
    }
    answered
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
