//! Events: what a change of an object does, and what a relist does not.

use super::*;

const NXDOMAIN: &[&str] = &["NXDOMAIN"];

fn ptr(fixture: &Fixture, address: &str) -> Vec<String> {
    let mut octets: Vec<&str> = address.split('.').collect();
    octets.reverse();
    fixture.data(&format!("{}.in-addr.arpa.", octets.join(".")), RecordType::PTR)
}

fn set_serial(fixture: &Fixture, serial: u32) {
    fixture.plugin.cluster.store().serial.set(serial);
}

#[test]
fn a_relist_of_the_same_changes_nothing() {
    let fixture = Fixture::shop();
    let store = fixture.plugin.cluster.store();
    let before = store.services.view(b"\x02db\x04shop");
    set_serial(&fixture, 7);
    fixture.list(shop());
    let after = store.services.view(b"\x02db\x04shop");
    // The very same entry: not even its shard was written anew.
    assert!(std::ptr::eq(before.get().unwrap(), after.get().unwrap()));
    assert_eq!((fixture.serial(), fixture.a("web.shop.svc")), (7, vec!["10.0.0.1".to_owned()]));
}

#[test]
fn a_relist_takes_away_what_it_does_not_have() {
    let fixture = Fixture::shop();
    fixture.apply(pod("shop", "p", "10.240.0.1", false));
    let model = fixture.plugin.cluster.model();
    for kind in [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod] {
        model.list_begins(kind);
    }
    model.apply(namespace("shop"));
    model.apply(service("shop", "web", &["10.0.0.1"], &["http/80/TCP"]));
    assert_eq!((fixture.a("dual.shop.svc"), fixture.a("db.shop.svc").len()), (vec!["10.0.0.3".to_owned()], 4));
    for kind in [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod] {
        model.list_ends(kind);
    }
    assert_eq!(
        (fixture.a("web.shop.svc"), fixture.a("dual.shop.svc")),
        (vec!["10.0.0.1".to_owned()], vec!["NXDOMAIN".to_owned()])
    );
    let store = fixture.plugin.cluster.store();
    assert_eq!((store.services.count(), store.namespaces.count()), (1, 1));
    assert_eq!(ptr(&fixture, "172.0.0.2"), NXDOMAIN);
    assert_eq!(ptr(&fixture, "10.0.0.1"), ["web.shop.svc.cluster.local."]);
    assert!(!store.has_pod("10.240.0.1".parse().unwrap(), &store.namespaces.get(b"shop").unwrap()));
}

#[test]
fn a_list_that_was_cut_off_takes_nothing_away() {
    let fixture = Fixture::shop();
    let model = fixture.plugin.cluster.model();
    model.list_begins(Kind::Service);
    model.apply(service("shop", "web", &["10.0.0.1"], &["http/80/TCP"]));
    assert_eq!(fixture.a("dual.shop.svc"), ["10.0.0.3"]);
    model.list_begins(Kind::Service);
    model.apply(service("shop", "dual", &["10.0.0.3", "10::3"], &["http/80/TCP"]));
    model.list_ends(Kind::Service);
    assert_eq!(
        (fixture.a("dual.shop.svc"), fixture.a("web.shop.svc")),
        (vec!["10.0.0.3".to_owned()], vec!["NXDOMAIN".to_owned()])
    );
}

#[test]
fn services_change_kind_and_address() {
    let fixture = Fixture::shop();
    fixture.apply(service("shop", "web", &["10.0.7.7"], &["http/80/TCP"]));
    assert_eq!(fixture.a("web.shop.svc"), ["10.0.7.7"]);
    assert_eq!(
        (ptr(&fixture, "10.0.0.1"), ptr(&fixture, "10.0.7.7")),
        (vec!["NXDOMAIN".to_owned()], vec!["web.shop.svc.cluster.local.".to_owned()])
    );
    fixture.apply(service("shop", "web", &["None"], &["http/80/TCP"]));
    assert_eq!(fixture.a("web.shop.svc"), ["172.0.0.1"]);
    assert_eq!(ptr(&fixture, "10.0.7.7"), NXDOMAIN);
    fixture.apply(external("shop", "web", "dual.shop.svc.cluster.local"));
    assert_eq!(fixture.a("web.shop.svc").len(), 2);
    fixture.delete(Kind::Service, "shop", "web");
    assert_eq!(fixture.a("web.shop.svc"), NXDOMAIN);
    assert_eq!(ptr(&fixture, "172.0.0.1"), ["ep1a.web.shop.svc.cluster.local."]);
    fixture.delete(Kind::EndpointSlice, "shop", "web-1");
    assert_eq!(ptr(&fixture, "172.0.0.1"), NXDOMAIN);
    assert!(fixture.plugin.cluster.store().services.get(b"\x03web\x04shop").is_none());
}

#[test]
fn slices_come_before_their_service_change_and_move() {
    let fixture = Fixture::shop();
    fixture.apply(slice("shop", "new-1", "new", &["172.1.0.1", "172.1.0.2"], &[]));
    assert_eq!(fixture.a("new.shop.svc"), NXDOMAIN);
    fixture.apply(service("shop", "new", &["None"], &[]));
    assert_eq!(fixture.a("new.shop.svc"), ["172.1.0.1", "172.1.0.2"]);
    fixture.apply(slice("shop", "new-1", "new", &["172.1.0.2", "172.1.0.3=named"], &[]));
    assert_eq!(fixture.a("new.shop.svc"), ["172.1.0.2", "172.1.0.3"]);
    assert_eq!(
        (ptr(&fixture, "172.1.0.1"), ptr(&fixture, "172.1.0.3")),
        (vec!["NXDOMAIN".to_owned()], vec!["named.new.shop.svc.cluster.local.".to_owned()])
    );
    fixture.apply(slice("shop", "new-1", "raw", &["172.1.0.2"], &[]));
    assert_eq!((fixture.a("new.shop.svc"), fixture.a("raw.shop.svc").len()), (vec!["NXDOMAIN".to_owned()], 2));
    fixture.apply(slice("shop", "new-1", "", &["172.1.0.2"], &[]));
    assert_eq!((fixture.a("raw.shop.svc").len(), ptr(&fixture, "172.1.0.2")), (1, vec!["NXDOMAIN".to_owned()]));
}

#[test]
fn a_namespace_hides_and_shows_all_in_it_at_once() {
    let fixture = Fixture::shop();
    fixture.delete(Kind::Namespace, "", "shop");
    assert_eq!(
        (fixture.a("web.shop.svc"), fixture.a("shop.svc")),
        (vec!["NXDOMAIN".to_owned()], vec!["NXDOMAIN".to_owned()])
    );
    fixture.apply(namespace("shop"));
    assert_eq!(fixture.a("web.shop.svc"), ["10.0.0.1"]);
}

#[test]
fn namespaces_that_come_and_go_leave_nothing_behind() {
    let fixture = Fixture::shop();
    let store = fixture.plugin.cluster.store();
    let before = store.namespaces.count();
    for number in 0..50 {
        let name = format!("ci-{number}");
        fixture.apply(namespace(&name));
        fixture.apply(service(&name, "web", &["10.1.0.1"], &["http/80/TCP"]));
        fixture.apply(slice(&name, "web-1", "web", &["172.9.0.1"], &["odd/1/TCP"]));
        fixture.apply(pod(&name, "p", "10.240.9.9", false));
        fixture.delete(Kind::Namespace, "", &name);
        fixture.delete(Kind::Service, &name, "web");
        fixture.delete(Kind::EndpointSlice, &name, "web-1");
        fixture.delete(Kind::Pod, &name, "p");
    }
    assert_eq!(store.namespaces.count(), before);
    assert_eq!(ptr(&fixture, "172.9.0.1"), NXDOMAIN);
}

#[test]
fn a_pod_that_ends_keeps_its_record_until_deleted() {
    let fixture = Fixture::shop().with(|plugin| plugin.pods = Pods::Verified);
    fixture.apply(pod("shop", "p", "10.240.0.1", false));
    fixture.apply(pod("shop", "p", "10.240.0.1", true));
    fixture.apply(pod("shop", "late", "10.240.0.2", true));
    assert_eq!(
        (fixture.a("10-240-0-1.shop.pod"), fixture.a("10-240-0-2.shop.pod")),
        (vec!["10.240.0.1".to_owned()], vec!["NXDOMAIN".to_owned()])
    );
    fixture.apply(pod("shop", "twin", "10.240.0.1", false));
    fixture.delete(Kind::Pod, "shop", "p");
    assert_eq!(fixture.a("10-240-0-1.shop.pod"), ["10.240.0.1"]);
    fixture.apply(pod("shop", "twin", "10.240.0.3", false));
    assert_eq!(
        (fixture.a("10-240-0-1.shop.pod"), fixture.a("10-240-0-3.shop.pod")),
        (vec!["NXDOMAIN".to_owned()], vec!["10.240.0.3".to_owned()])
    );
}

#[test]
fn the_serial_moves_with_names_and_ports_only() {
    let fixture = Fixture::shop();
    assert!(fixture.serial() > 1_600_000_000);
    let moved = |change: &dyn Fn()| {
        set_serial(&fixture, 1);
        change();
        fixture.serial() != 1
    };
    assert!(!moved(&|| fixture.apply(service("shop", "web", &["10.0.7.7"], &["http/80/TCP"]))), "cluster IP");
    assert!(moved(&|| fixture.apply(service("shop", "web", &["10.0.7.7"], &["http/81/TCP"]))), "port");
    assert!(moved(&|| fixture.apply(external("shop", "ext", "other.test"))), "alias");
    assert!(!moved(&|| fixture.apply(slice("shop", "raw-1", "raw", &["172.0.0.20"], &[]))), "same slice");
    assert!(moved(&|| fixture.apply(slice("shop", "raw-1", "raw", &["172.0.0.21"], &[]))), "endpoint");
    assert!(moved(&|| fixture.delete(Kind::EndpointSlice, "shop", "raw-1")), "slice gone");
    assert!(!moved(&|| fixture.delete(Kind::EndpointSlice, "shop", "raw-1")), "slice gone already");
    assert!(!moved(&|| fixture.apply(namespace("more"))), "namespace");
    assert!(moved(&|| fixture.delete(Kind::Service, "shop", "web")), "service gone");
}

#[test]
fn objects_that_are_no_names_are_left_out() {
    let fixture = Fixture::shop();
    let before = fixture.plugin.cluster.store().services.count();
    let long = "x".repeat(64);
    fixture.apply(service("shop", &long, &["10.0.0.50"], &[]));
    fixture.apply(service("shop", "a.b", &["10.0.0.51"], &[]));
    fixture.apply(service("shop", "", &["10.0.0.52"], &[]));
    fixture.apply(service("", "web", &["10.0.0.53"], &[]));
    fixture.apply(slice("shop", "s", &long, &["10.0.0.54"], &[]));
    assert_eq!(fixture.plugin.cluster.store().services.count(), before);
    assert_eq!(ptr(&fixture, "10.0.0.50"), NXDOMAIN);
    fixture.delete(Kind::Service, "shop", &long);
    fixture.apply(external("shop", "odd", "a..b"));
    assert_eq!(fixture.a("odd.shop.svc"), NXDOMAIN);
}

#[test]
fn readers_see_whole_services_while_a_writer_changes_them() {
    let fixture = Fixture::shop();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut answers = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || answers == 0 {
                let found = fixture.a("raw.shop.svc");
                assert!(found == ["172.0.0.20"] || found == ["172.2.0.1", "172.2.0.2"], "{found:?}");
                answers += 1;
            }
        });
        for _ in 0..500 {
            fixture.apply(slice("shop", "raw-1", "raw", &["172.2.0.1", "172.2.0.2"], &[]));
            fixture.apply(slice("shop", "raw-1", "raw", &["172.0.0.20"], &[]));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}
