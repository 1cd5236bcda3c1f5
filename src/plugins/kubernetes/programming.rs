//! How long a change of endpoints takes from its cause to the answers: Kubernetes' DNS programming latency.

use super::store::Kind;
use crate::metrics::{Descriptor, MetricKind};
use prometheus::HistogramVec;
use std::time::{SystemTime, UNIX_EPOCH};

/// The histogram of the seconds from `endpoints.kubernetes.io/last-change-trigger-time` to the store.
pub(super) static PROGRAMMING: Descriptor = Descriptor {
    name: "coredns_kubernetes_dns_programming_duration_seconds",
    help: "Histogram of the time (in seconds) it took to program a dns instance.",
    labels: &["service_kind"],
    kind: MetricKind::Histogram(&BUCKETS),
};

/// From a millisecond, doubling, to almost nine minutes.
static BUCKETS: [f64; 20] = {
    let mut bounds = [0.001; 20];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2.0;
        at += 1;
    }
    bounds
};

/// Observes changes of slices.
pub(super) struct Programming(pub(super) HistogramVec);

impl Programming {
    /// A change that `trigger` (RFC 3339) brought about is now in the store.
    pub(super) fn observe(&self, trigger: &str, kind: &Kind) {
        let kind = match kind {
            Kind::Cluster => "cluster_ip",
            Kind::Headless => "headless_with_selector",
            _ => return,
        };
        let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
        match unix_seconds(trigger) {
            Some(then) => self.0.with_label_values(&[kind]).observe(now.as_secs_f64() - then),
            None => tracing::warn!(target: "plugin/kubernetes", "DnsProgrammingLatency cannot be calculated: \
                 '{trigger}' is not a time (RFC 3339)"),
        }
    }
}

/// Seconds since the Unix epoch of a time like `2026-11-23T17:30:00.123456789Z` or `…+01:00`.
fn unix_seconds(text: &str) -> Option<f64> {
    let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<u32>().ok().map(i64::from);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !text.is_ascii() || marks.iter().any(|(at, mark)| text.as_bytes().get(*at) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = text.get(19..)?;
    let digits =
        rest.strip_prefix('.').map_or(0, |fraction| 1 + fraction.bytes().take_while(u8::is_ascii_digit).count());
    let fraction: f64 = if digits > 1 { format!("0{}", &rest[..digits]).parse().ok()? } else { 0.0 };
    let offset = match &rest.as_bytes()[digits..] {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] if [h0, h1, m0, m1].iter().all(|digit| digit.is_ascii_digit()) => {
            let pair = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let minutes = pair(h0, h1) * 60 + pair(m0, m1);
            if *sign == b'+' { minutes * 60 } else { -minutes * 60 }
        }
        _ => return None,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds as f64 + fraction)
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:00:01Z", 951_825_601.0),
            ("2026-11-23T17:30:00.25Z", 1_795_455_000.25),
            ("2026-11-23T18:30:00+01:00", 1_795_455_000.0),
            ("2026-11-23T15:00:00-02:30", 1_795_455_000.0),
        ] {
            assert_eq!(unix_seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "2026-11-23",
            "2026-11-23T17:30:00",
            "2026-13-23T17:30:00Z",
            "2026-11-23T17:30:00.Zz",
            "2026-11-23T17:30:00+0100",
            "2026-11-23 17:30:00Z",
            "２026-11-23T17:30:00Z",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_change_is_observed_under_its_kind() {
        let metrics = crate::metrics::Metrics::new();
        let programming = Programming(metrics.histogram(&PROGRAMMING));
        programming.observe("2026-11-23T17:30:00Z", &Kind::Cluster);
        programming.observe("2026-11-23T17:30:00Z", &Kind::Absent);
        programming.observe("yesterday", &Kind::Headless);
        let count = |kind: &str| programming.0.with_label_values(&[kind]).get_sample_count();
        assert_eq!((count("cluster_ip"), count("headless_with_selector")), (1, 0));
        let line = "coredns_kubernetes_dns_programming_duration_seconds_count{service_kind=\"cluster_ip\"} 1";
        assert!(metrics.render().contains(line), "{}", metrics.render());
        assert_eq!(BUCKETS[19], 0.001 * f64::from(1 << 19));
    }
}
