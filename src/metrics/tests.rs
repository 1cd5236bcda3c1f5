use super::*;
use crate::wire::{Rcode, RecordType, Transport};
use std::time::Duration;

const HITS: Descriptor = Descriptor {
    name: "coredns_cache_hits_total",
    help: "The count of cache hits.",
    labels: &["server", "type"],
    kind: MetricKind::Counter,
};

fn lines<'a>(text: &'a str, family: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(family)).collect()
}

#[test]
fn traffic_has_the_names_and_labels_dashboards_use() {
    let metrics = Metrics::new();
    let traffic = metrics.traffic("dns://:53", "cluster.local.", "", "errors");
    let mut shard = traffic.shard();
    let first = Counted {
        transport: Transport::Udp,
        family: Family::V4,
        qtype: RecordType::A,
        dnssec_ok: false,
        request: 50,
        response: 120,
        rcode: Rcode::NOERROR,
    };
    shard.record(first);
    shard.record(Counted {
        family: Family::V6,
        qtype: RecordType::NAPTR,
        dnssec_ok: true,
        rcode: Rcode::NXDOMAIN,
        ..first
    });
    shard.record_durations(2, Duration::from_micros(300));
    traffic.record_shared(
        Counted { transport: Transport::Tcp, qtype: RecordType::SRV, request: 40, response: 70_000, ..first },
        Duration::from_secs(9),
    );
    let text = metrics.render();
    let block = r#"server="dns://:53""#;
    let zone = r#"view="",zone="cluster.local.""#;
    assert_eq!(
        lines(&text, "coredns_dns_requests_total"),
        [
            format!(r#"coredns_dns_requests_total{{family="1",proto="tcp",{block},type="SRV",{zone}}} 1"#),
            format!(r#"coredns_dns_requests_total{{family="1",proto="udp",{block},type="A",{zone}}} 1"#),
            format!(r#"coredns_dns_requests_total{{family="2",proto="udp",{block},type="other",{zone}}} 1"#),
        ]
    );
    assert_eq!(
        lines(&text, "coredns_dns_responses_total"),
        [
            format!(r#"coredns_dns_responses_total{{plugin="errors",rcode="NOERROR",{block},{zone}}} 2"#),
            format!(r#"coredns_dns_responses_total{{plugin="errors",rcode="NXDOMAIN",{block},{zone}}} 1"#),
        ]
    );
    assert_eq!(
        lines(&text, "coredns_dns_do_requests_total"),
        [format!(r#"coredns_dns_do_requests_total{{{block},{zone}}} 1"#)]
    );
    let lanes = |fast: u64, slow: &[u64]| {
        let line = |lane, count: u64| format!(r#"dunlin_lane_queries_total{{lane="{lane}",{block},{zone}}} {count}"#);
        std::iter::once(line("fast", fast)).chain(slow.iter().map(|count| line("slow", *count))).collect::<Vec<_>>()
    };
    assert_eq!(lines(&text, "dunlin_lane_queries_total"), lanes(3, &[]));
    let durations = lines(&text, "coredns_dns_request_duration_seconds");
    assert_eq!(
        durations[0],
        format!(r#"coredns_dns_request_duration_seconds_bucket{{{block},{zone},le="0.00025"}} 0"#)
    );
    assert_eq!(durations[1], format!(r#"coredns_dns_request_duration_seconds_bucket{{{block},{zone},le="0.0005"}} 2"#));
    assert_eq!(durations[15], format!(r#"coredns_dns_request_duration_seconds_bucket{{{block},{zone},le="8.192"}} 2"#));
    assert_eq!(durations[16], format!(r#"coredns_dns_request_duration_seconds_bucket{{{block},{zone},le="+Inf"}} 3"#));
    assert_eq!(durations[17], format!(r#"coredns_dns_request_duration_seconds_sum{{{block},{zone}}} 9.0006"#));
    let sizes = lines(&text, "coredns_dns_response_size_bytes");
    traffic.record_slow(first, Duration::from_millis(1));
    assert_eq!(lines(&metrics.render(), "dunlin_lane_queries_total"), lanes(3, &[1]));
    assert_eq!(sizes.len(), 2 * 17);
    assert_eq!(
        sizes[13],
        format!(r#"coredns_dns_response_size_bytes_bucket{{proto="tcp",{block},{zone},le="64000"}} 0"#)
    );
    assert_eq!(sizes[15], format!(r#"coredns_dns_response_size_bytes_sum{{proto="tcp",{block},{zone}}} 70000"#));
    assert_eq!(
        sizes[19],
        format!(r#"coredns_dns_response_size_bytes_bucket{{proto="udp",{block},{zone},le="200"}} 2"#)
    );
}

#[test]
fn families_are_sorted_and_quiet_ones_left_out() {
    let metrics = Metrics::new();
    metrics.traffic("dns://:53", ".", "", "");
    metrics.counter(&HITS).with_label_values(&["dns://:53", "denial"]).inc();
    let text = metrics.render();
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(families.is_sorted(), "{families:?}");
    assert!(families.contains(&"process_resident_memory_bytes gauge"), "{families:?}");
    assert!(!text.contains("coredns_dns_requests_total"));
    assert_eq!(lines(&text, "coredns_panics_total"), ["coredns_panics_total 0"]);
    assert_eq!(lines(&text, "coredns_build_info").len(), 1);
}

#[test]
fn a_descriptor_is_one_metric_however_often_it_is_asked_for() {
    let metrics = Metrics::new();
    metrics.counter(&HITS).with_label_values(&["a", "b"]).inc();
    metrics.clone().counter(&HITS).with_label_values(&["a", "b"]).inc();
    assert_eq!(
        lines(&metrics.render(), "coredns_cache_hits_total"),
        [r#"coredns_cache_hits_total{server="a",type="b"} 2"#]
    );
}

#[test]
fn traffic_with_the_same_labels_is_the_same() {
    let metrics = Metrics::new();
    let one = metrics.traffic("dns://:53", ".", "", "errors");
    assert!(Arc::ptr_eq(&one, &metrics.traffic("dns://:53", ".", "", "errors")));
    assert!(!Arc::ptr_eq(&one, &metrics.traffic("dns://:54", ".", "", "errors")));
}
