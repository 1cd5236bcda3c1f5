//! SRV: the ports of services and endpoints, and the names that they lead to.

use super::*;

#[test]
fn service_ports() {
    let shop = Fixture::shop();
    let web: &[&str] = &["0 100 80 web.shop.svc.cluster.local."];
    check(
        &shop,
        RecordType::SRV,
        &[
            ("_http._tcp.web.shop.svc", web),
            ("web.shop.svc", web),
            ("two.shop.svc", &["0 50 80 two.shop.svc.cluster.local.", "0 50 9090 two.shop.svc.cluster.local."]),
            ("unnamed.shop.svc", &["0 100 80 unnamed.shop.svc.cluster.local."]),
            ("_._tcp.unnamed.shop.svc", &["0 100 80 unnamed.shop.svc.cluster.local."]),
            ("_x._tcp.unnamed.shop.svc", NXDOMAIN),
            ("dual.shop.svc", &["0 50 80 dual.shop.svc.cluster.local."]),
            (
                "kube-dns.kube-system.svc",
                &[
                    "0 33 53 kube-dns.kube-system.svc.cluster.local.",
                    "0 33 9153 kube-dns.kube-system.svc.cluster.local.",
                ],
            ),
            ("raw.shop.svc", NODATA),
            ("bare.shop.svc", NODATA),
            ("_http._tcp.bare.shop.svc", NXDOMAIN),
            ("ext.shop.svc", NODATA),
            ("_http._tcp.ext.shop.svc", NXDOMAIN),
            ("hollow.shop.svc", NXDOMAIN),
            ("svc", NODATA),
            ("shop.svc", NODATA),
            ("ghost.svc", NXDOMAIN),
        ],
    );
    let dual = shop.ask("dual.shop.svc", RecordType::SRV);
    assert_eq!(
        dual.additional,
        ["dual.shop.svc.cluster.local. 5 IN A 10.0.0.3", "dual.shop.svc.cluster.local. 5 IN AAAA 10::3"]
    );
}

#[test]
fn endpoint_ports() {
    let shop = Fixture::shop();
    let db = shop.ask("_http._tcp.db.shop.svc", RecordType::SRV);
    let owner = "_http._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 16 80";
    let targets = ["172-0-0-2", "172-0-0-3", "5678-abcd--1", "5678-abcd--2", "twin"];
    assert_eq!(db.answer, targets.map(|target| format!("{owner} {target}.db.shop.svc.cluster.local.")));
    let glue: Vec<String> = [
        "172-0-0-2 A 172.0.0.2",
        "172-0-0-3 A 172.0.0.3",
        "5678-abcd--1 AAAA 5678:abcd::1",
        "5678-abcd--2 AAAA 5678:abcd::2",
        "twin A 172.0.0.4",
        "twin A 172.0.0.5",
    ]
    .map(|text| text.replacen(' ', ".db.shop.svc.cluster.local. 5 IN ", 1))
    .into();
    assert_eq!(db.additional, glue);
    let twin = shop.ask("twin.db.shop.svc", RecordType::SRV);
    assert_eq!(twin.answer, ["twin.db.shop.svc.cluster.local. 5 IN SRV 0 50 80 twin.db.shop.svc.cluster.local."]);
    assert_eq!(twin.additional, glue[4..]);
}

#[test]
fn an_endpoint_in_two_slices_is_one_target() {
    let shop = Fixture::shop();
    shop.list(vec![
        namespace("prod"),
        service("prod", "db", &["None"], &["pg/5432/TCP", "admin/8008/TCP"]),
        slice("prod", "db-a", "db", &["10.244.1.10=db-0", "10.244.1.11=db-1"], &["pg/5432/TCP", "admin/8008/TCP"]),
        slice("prod", "db-b", "db", &["10.244.2.10", "10.244.1.10=db-0"], &["pg/5432/TCP"]),
    ]);
    let zone = "db.prod.svc.cluster.local.";
    let db = shop.ask("db.prod.svc", RecordType::SRV);
    let target = |port: &str, label: &str| format!("{zone} 5 IN SRV 0 16 {port} {label}.{zone}");
    assert_eq!(
        db.answer,
        [
            target("5432", "10-244-2-10"),
            target("5432", "db-0"),
            target("5432", "db-1"),
            target("8008", "db-0"),
            target("8008", "db-1"),
        ]
    );
    assert_eq!(
        db.additional,
        [
            format!("10-244-2-10.{zone} 5 IN A 10.244.2.10"),
            format!("db-0.{zone} 5 IN A 10.244.1.10"),
            format!("db-1.{zone} 5 IN A 10.244.1.11"),
        ]
    );
    assert_eq!(shop.ask("db-0.db.prod.svc", RecordType::SRV).answer.len(), 2);
    assert_eq!(shop.ask("db-0.db.prod.svc", RecordType::SRV).additional.len(), 1);
    assert_eq!(shop.a("db.prod.svc").len(), 3);
}

#[test]
fn targets_keep_the_objects_spelling_and_the_zones() {
    let shop = Fixture::shop();
    let web = shop.ask("_HtTp._TcP.wEb.ShOp.SvC.cLuStEr.LoCaL.", RecordType::SRV);
    let owner = "_HtTp._TcP.wEb.ShOp.SvC.cLuStEr.LoCaL.";
    assert_eq!(web.answer, [format!("{owner} 5 IN SRV 0 100 80 web.shop.svc.cLuStEr.LoCaL.")]);
    assert_eq!(web.additional, ["web.shop.svc.cLuStEr.LoCaL. 5 IN A 10.0.0.1"]);
    let db = shop.ask("TWIN.Db.shop.svc.Cluster.local.", RecordType::SRV);
    assert_eq!(db.answer, ["TWIN.Db.shop.svc.Cluster.local. 5 IN SRV 0 50 80 twin.db.shop.svc.Cluster.local."]);
    assert_eq!(db.additional[0], "twin.db.shop.svc.Cluster.local. 5 IN A 172.0.0.4");
}
