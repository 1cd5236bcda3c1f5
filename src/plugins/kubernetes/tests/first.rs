//! First lists, whose addresses readers see together: nothing of events waits, and nothing is left where an owner is
//! gone.

use super::*;

fn ptr(fixture: &Fixture, address: &str) -> Vec<String> {
    let mut octets: Vec<&str> = address.split('.').collect();
    octets.reverse();
    fixture.data(&format!("{}.in-addr.arpa.", octets.join(".")), RecordType::PTR)
}

/// With the Services listed, and a first list of EndpointSlices that is running.
fn fixture() -> Fixture {
    let fixture = Fixture::new(&["cluster.local", "in-addr.arpa"]);
    let model = fixture.plugin.cluster.model();
    [Kind::Namespace, Kind::Service].iter().for_each(|kind| model.list_begins(*kind));
    model.apply(namespace("shop"));
    model.apply(service("shop", "web", &["None"], &[]));
    [Kind::Namespace, Kind::Service].iter().for_each(|kind| model.list_ends(*kind));
    model.list_begins(Kind::EndpointSlice);
    fixture
}

#[test]
fn addresses_of_a_first_list_are_known_once_it_ends_or_breaks_off() {
    for how in [Sink::list_ends, Sink::list_breaks] {
        let fixture = fixture();
        fixture.apply(slice("shop", "web-1", "web", &["172.0.0.1", "172.0.0.2"], &[]));
        assert_eq!(fixture.a("web.shop.svc"), ["172.0.0.1", "172.0.0.2"]);
        how(fixture.plugin.cluster.model(), Kind::EndpointSlice);
        assert_eq!(ptr(&fixture, "172.0.0.2"), ["172-0-0-2.web.shop.svc.cluster.local."]);
    }
}

#[test]
fn events_of_a_kind_that_is_listed_are_seen_at_once() {
    let fixture = fixture();
    fixture.apply(slice("shop", "web-1", "web", &["172.0.0.1"], &[]));
    fixture.apply(service("shop", "one", &["10.0.0.1"], &[]));
    assert_eq!(ptr(&fixture, "10.0.0.1"), ["one.shop.svc.cluster.local."]);
    fixture.apply(service("shop", "one", &["10.0.0.2"], &[]));
    assert_eq!((ptr(&fixture, "10.0.0.1"), ptr(&fixture, "10.0.0.2").len()), (vec!["NXDOMAIN".to_owned()], 1));
    let model = fixture.plugin.cluster.model();
    model.list_ends(Kind::EndpointSlice);
    fixture.apply(slice("shop", "web-2", "web", &["172.0.0.7"], &[]));
    assert_eq!(ptr(&fixture, "172.0.0.7").len(), 1);
}

#[test]
fn what_changes_or_goes_in_a_first_list_leaves_nothing_behind() {
    let fixture = fixture();
    fixture.apply(slice("shop", "web-1", "web", &["172.0.0.1", "172.0.0.2"], &[]));
    fixture.apply(slice("shop", "web-2", "web", &["172.0.0.2", "172.0.0.3"], &[]));
    // Listed anew, as after a list that broke off, and otherwise.
    fixture.apply(slice("shop", "web-1", "web", &["172.0.0.4"], &[]));
    fixture.delete(Kind::EndpointSlice, "shop", "web-2");
    fixture.plugin.cluster.model().list_ends(Kind::EndpointSlice);
    for (address, names) in [("172.0.0.1", 0), ("172.0.0.2", 0), ("172.0.0.3", 0), ("172.0.0.4", 1)] {
        let known = ptr(&fixture, address);
        assert_eq!(known.iter().filter(|name| name.starts_with("172-")).count(), names, "{address}: {known:?}");
    }
    assert_eq!(fixture.plugin.cluster.store().addresses(), 1);
}

#[test]
fn a_first_list_of_many_is_not_held_back_as_a_whole() {
    let fixture = fixture();
    let address = |number: usize| format!("172.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    for first in (0..150_000).step_by(100) {
        let addresses: Vec<String> = (first..first + 100).map(address).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let service = format!("web-{first}");
        fixture.apply(slice("shop", &service, &service, &addresses, &[]));
    }
    assert!(fixture.plugin.cluster.store().addresses() >= 130_000);
    fixture.plugin.cluster.model().list_ends(Kind::EndpointSlice);
    assert_eq!(fixture.plugin.cluster.store().addresses(), 150_000);
}
