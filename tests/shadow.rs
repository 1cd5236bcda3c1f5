//! `shadow` between real servers: the recorded cluster, one with a changed Service, and a silent target.

mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};
use support::recorded::{Variant, variants};
use support::{Dunlin, Question, Scratch, Start, free_port, http_get, say, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

fn manifests(change: impl FnOnce(String) -> String) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("cluster.yaml", &change(support::read("tests/data/conformance/cluster.yaml")));
    scratch
}

/// A server of the cluster, with more lines in its block.
fn serving(manifests: &Scratch, more: &str) -> Dunlin {
    let corefile = format!(
        ".:{{$PORT}} {{
    bind 127.0.0.1
    {more}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods verified
        manifests {}
    }}
}}
",
        manifests.path().display()
    );
    Start::corefile(&corefile).run()
}

/// Everything that was recorded of the cluster's own zone, over UDP.
fn questions() -> Vec<Question> {
    let name = variants().into_iter().find(|name| name == "stock").expect("the stock configuration");
    let all = Variant::load(&name).questions();
    all.into_iter().filter(|question| question.name.ends_with("cluster.local.") && !question.tcp).collect()
}

/// The lines of the directive, and the port of its metrics.
fn shadow(target: &str) -> (String, u16) {
    let port = free_port();
    let lines = format!("prometheus 127.0.0.1:{port}\nshadow {target} {{\nsample 100%\nlimit 1000\ntimeout 500ms\n}}");
    (lines, port)
}

/// A counter of the shadow, 0 where it is not there.
fn metric(port: u16, name: &str) -> u64 {
    let (_, text) = http_get(port, "/metrics").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("dunlin_shadow_") && line.contains(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) as u64
}

fn result(port: u16, result: &str) -> u64 {
    metric(port, &format!("result=\"{result}\""))
}

/// Asks in portions that the ring has room for; how many were asked.
fn ask(dunlin: &Dunlin, port: u16, questions: &[Question]) -> u64 {
    let done = || {
        ["equal", "deliberate", "different", "unanswered"].iter().map(|of| result(port, of)).sum::<u64>()
            + metric(port, "dropped")
    };
    let before = done();
    for (index, portion) in questions.chunks(40).enumerate() {
        assert!(dunlin.client().ask_all(portion).iter().all(Result::is_ok));
        let expected = before + (index * 40 + portion.len()) as u64;
        assert!(wait_until(PATIENCE, || done() >= expected), "{} of {expected}", done());
    }
    questions.len() as u64
}

#[test]
fn the_recorded_cluster_has_equal_answers_and_a_changed_service_is_found() {
    let (same, changed) = (
        manifests(|text| text),
        manifests(|text| {
            assert_eq!(text.matches("clusterIP: 10.100.1.1,").count(), 1);
            text.replace("clusterIP: 10.100.1.1,", "clusterIP: 10.100.1.99,")
        }),
    );
    let target = serving(&same, "");
    let (lines, port) = shadow(&format!("127.0.0.1:{}", target.port));
    let dunlin = serving(&same, &lines);
    let asked = ask(&dunlin, port, &questions());
    let (equal, dropped) = (result(port, "equal"), metric(port, "dropped"));
    say(format!("shadow of the recorded cluster: {asked} asked, equal {equal}, dropped {dropped}"));
    assert_eq!((equal + dropped, result(port, "different"), result(port, "deliberate")), (asked, 0, 0));
    assert!(equal > asked / 2, "{equal} of {asked}");

    let target = serving(&changed, "");
    let (lines, port) = shadow(&format!("127.0.0.1:{}", target.port));
    let status = free_port();
    let dunlin = serving(&same, &format!("{lines}\nstatus 127.0.0.1:{status}"));
    let (web, api) = ("web.prod.svc.cluster.local.", "api.staging.svc.cluster.local.");
    ask(&dunlin, port, &[Question::new(web, "A"), Question::new(api, "A"), Question::new(web, "AAAA")]);
    assert_eq!((result(port, "equal"), result(port, "different")), (2, 1));
    let shown = wait_until(PATIENCE, || {
        http_get(status, "/status.json").is_some_and(|(_, text)| {
            text.contains("api.staging.svc.cluster.local. A") && text.contains("10.100.1.99 missing in ours")
        })
    });
    assert!(shown, "{:?}", http_get(status, "/status.json"));
    dunlin.wait_for_output("[WARNING] plugin/shadow: ");
    assert!(dunlin.output().contains("1 answers differ, as api.staging.svc.cluster.local. A: "), "{}", dunlin.output());
}

#[test]
fn a_silent_target_delays_nothing_and_is_left_alone() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let cluster = manifests(|text| text);
    let (lines, port) = shadow(&silent.local_addr().expect("its address").to_string());
    let dunlin = serving(&cluster, &lines);
    let questions: Vec<Question> = (0..500).map(|_| Question::new("web.prod.svc.cluster.local.", "A")).collect();
    let began = Instant::now();
    let answers = dunlin.client().ask_all(&questions);
    let took = began.elapsed();
    assert!(answers.iter().all(Result::is_ok));
    // One after another they would have waited for 250 s.
    assert!(took < Duration::from_millis(500) * 20, "{took:?}");
    assert!(wait_until(PATIENCE, || metric(port, "paused") == 1), "it goes on asking");
    assert!(result(port, "unanswered") >= 5);
    dunlin.wait_for_output("gives no answers; it is left alone for a while");
    assert_eq!(dunlin.output().matches("it is left alone").count(), 1);
}
