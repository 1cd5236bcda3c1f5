use super::*;
use crate::metrics::Sample;
use crate::plugin::{Clients, Table};
use crate::plugins::testing::Bench;
use crate::wire::{LowerName, Name, Rcode};
use serde_json::{Value, json};
use std::net::IpAddr;

fn read(bench: &Bench, path: &str) -> Value {
    serde_json::from_slice(&bench.get(path).body).unwrap()
}

#[test]
fn the_page_and_its_parts_are_served_on_the_loopback() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status").unwrap();
    for (path, _, body) in page::ASSETS {
        assert_eq!(bench.get(path).body, body.as_bytes(), "{path}");
    }
    let done = bench.done();
    assert!(done.process.endpoints.iter().all(|endpoint| endpoint.address == ADDRESS && !endpoint.required));
    assert!(done.process.sampled.is_some());
}

#[test]
fn nothing_stands_inline_or_comes_from_elsewhere() {
    let document = page::ASSETS[0].2;
    for word in ["http:", "https:", "//", "style=", "<style", "onclick", "onload", "javascript:"] {
        assert!(!document.contains(word), "{word}");
    }
    for (tag, _) in document.match_indices("<script") {
        assert!(document[tag..].starts_with("<script src=\"status.js\""), "an inline script");
    }
}

#[test]
fn the_second_block_s_is_warned_of() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status").unwrap();
    bench.set_up(&DEFINITION, "status :8091").unwrap();
    let done = bench.done();
    assert!(done.process.warnings[0].contains("another server block has it already"), "{:?}", done.process.warnings);
    assert!(done.process.endpoints.iter().all(|endpoint| endpoint.address == ADDRESS));
}

#[test]
fn what_is_counted_and_sampled_is_shown() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status").unwrap();
    let table =
        Table { columns: vec!["object", "held"], rows: vec![vec!["Service".into(), "3".into()]], ..Table::default() };
    bench.done().process.sections.add("Objects held", move || table.clone());
    let sampled = bench.done().process.sampled.clone().unwrap();
    let name = Name::from_text("web.default.svc.cluster.local").unwrap();
    sampled.record_shared(Sample { name: name.wire(), client: [10, 0, 0, 9].into(), rcode: Rcode::NOERROR }, 1, 1);
    let status = read(&bench, "/status.json");
    assert_eq!(status["state"], "healthy");
    assert_eq!(status["top"]["names"][0]["name"], "web.default.svc.cluster.local.");
    assert_eq!(status["top"]["clients"][0]["name"], "10.0.0.9");
    assert_eq!((&status["top"]["namespaces"], &status["top"]["namespaces_from"]), (&json!([]), &json!("search lists")));
    assert_eq!(status["sections"][0]["rows"][0][1], "3");
    assert!(status["top"]["memory_octets"].as_u64().unwrap() < 200 * 1024);
}

/// One pod in `shop`.
struct Pod;

impl Clients for Pod {
    fn search_list(&self, _: &LowerName<'_>, _: IpAddr) -> Option<Vec<Vec<u8>>> {
        None
    }
    fn namespace(&self, client: IpAddr) -> Option<String> {
        (client == IpAddr::from([10, 0, 0, 9])).then(|| "shop".to_owned())
    }
}

#[test]
fn namespaces_are_those_of_pods_or_of_search_lists() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status").unwrap();
    let sampled = bench.done().process.sampled.clone().unwrap();
    for (name, client) in
        [("api.example.com.prod.svc.cluster.local", 9), ("gone.test", 9), ("gone.test", 10), ("gone.test", 11)]
    {
        let name = Name::from_text(name).unwrap();
        let client = [10, 0, 0, client].into();
        sampled.record_shared(Sample { name: name.wire(), client, rcode: Rcode::NXDOMAIN }, 1, 1);
    }
    let top = read(&bench, "/status.json")["top"].take();
    assert_eq!(
        (&top["namespaces"], &top["namespaces_from"]),
        (&json!([{"name": "prod", "share": 0.25}]), &json!("search lists"))
    );
    bench.done().process.clients.add(Arc::new(Pod));
    let top = read(&bench, "/status.json")["top"].take();
    assert_eq!(
        (&top["namespaces"], &top["namespaces_from"]),
        (&json!([{"name": "shop", "share": 0.5}]), &json!("pods"))
    );
}

#[test]
fn samples_live_on_across_a_reload() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status").unwrap();
    let next = bench.reloaded();
    next.set_up(&DEFINITION, "status :8091").unwrap();
    let (before, after) = (bench.done().process.sampled.clone().unwrap(), next.done().process.sampled.clone().unwrap());
    assert!(Arc::ptr_eq(&before, &after));
}

/// DNS rebinding: a page of somebody else's whose name leads here.
#[test]
fn only_who_asks_by_a_name_of_ours_is_answered() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "status :8090 {\nhost dns.example\n}").unwrap();
    let paths = page::ASSETS.iter().map(|(path, ..)| *path).chain(["/status.json", "/explain.json"]);
    for path in paths {
        let refused = bench.get_from(path, "evil.example:8090");
        assert_eq!(refused.status, 403, "{path}");
        let why = String::from_utf8(refused.body).unwrap();
        assert!(why.starts_with("403 forbidden: 'evil.example' is no name of this page"), "{why}");
        assert_ne!(bench.get_from(path, "dns.example:8090").status, 403, "{path}");
    }
}

#[test]
fn errors() {
    Bench::errors(
        &DEFINITION,
        &[
            ("status 8090", "expecting [HOST]:PORT"),
            ("status :1 :2", "expected: status [ADDRESS]"),
            ("status {\nnope\n}", "unknown property 'nope'"),
            ("status {\nhost\n}", "expected: host NAME..."),
            ("status {\nhost a..b\n}", "'a..b' is no host name"),
            ("status\nstatus", "once"),
        ],
    );
}
