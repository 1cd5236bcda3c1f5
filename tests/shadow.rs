//! `shadow` between real servers: CoreDNS's recorded answers, a changed Service, a silent target; and on a mirror of
//! traffic.

mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};
use support::recorded::{Deliberate, Variant};
use support::{Answer, Dunlin, Question, Recording, Scratch, Start, Upstream, free_port, http_get, say, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

fn manifests(change: impl FnOnce(String) -> String) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("cluster.yaml", &change(support::read("tests/data/conformance/cluster.yaml")));
    scratch
}

/// A Corefile for the cluster, with more lines in its block.
fn corefile(manifests: &Scratch, more: &str) -> String {
    format!(
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
    )
}

fn serving(manifests: &Scratch, more: &str) -> Dunlin {
    Start::corefile(&corefile(manifests, more)).run()
}

/// The lines of the directive with one more option, and the port of its metrics.
fn shadow(target: impl std::fmt::Display, option: &str) -> (String, u16) {
    let port = free_port();
    let options = format!("sample 100%\nlimit 1000\ntimeout 500ms\n{option}");
    (format!("prometheus 127.0.0.1:{port}\nshadow {target} {{\n{options}\n}}"), port)
}

/// What a shadow has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    equal: u64,
    deliberate: u64,
    different: u64,
    unanswered: u64,
    dropped: u64,
}

impl Counts {
    fn of(port: u16) -> Counts {
        let result = |result: &str| metric(port, &format!("result=\"{result}\""));
        Counts {
            equal: result("equal"),
            deliberate: result("deliberate"),
            different: result("different"),
            unanswered: result("unanswered"),
            dropped: metric(port, "dropped"),
        }
    }

    fn all(self) -> u64 {
        self.equal + self.deliberate + self.different + self.unanswered + self.dropped
    }

    fn add(&mut self, now: Counts, before: Counts) {
        self.equal += now.equal - before.equal;
        self.deliberate += now.deliberate - before.deliberate;
        self.different += now.different - before.different;
        self.unanswered += now.unanswered - before.unanswered;
        self.dropped += now.dropped - before.dropped;
    }
}

/// A metric of the shadow, 0 where it is not there.
fn metric(port: u16, name: &str) -> u64 {
    let (_, text) = http_get(port, "/metrics").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("dunlin_shadow_") && line.contains(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) as u64
}

/// Octets of the longest answer that is copied, as the manual has it.
const LONGEST: usize = 4096;

/// Asks in portions that the ring has room for, and has each compared whole: where the ring was busy just when a copy
/// came, the portion is asked again.
fn compared(dunlin: &Dunlin, port: u16, questions: &[Question]) -> Counts {
    let mut counts = Counts::default();
    for portion in questions.chunks(40) {
        let all_copied = (0..10).any(|_| {
            let before = Counts::of(port);
            let answers: Result<Vec<Answer>, String> = dunlin.client().ask_all(portion).into_iter().collect();
            let answers = answers.expect("every question is answered");
            let expected = before.all() + portion.len() as u64;
            assert!(wait_until(PATIENCE, || Counts::of(port).all() >= expected), "{:?}", Counts::of(port));
            let (now, too_long) = (Counts::of(port), answers.iter().filter(|answer| answer.size > LONGEST).count());
            let is_whole = now.dropped - before.dropped == too_long as u64;
            if is_whole {
                counts.add(now, before);
            }
            is_whole
        });
        assert!(all_copied, "copies are dropped again and again: {:?}", Counts::of(port));
    }
    counts
}

/// Every question that was recorded of CoreDNS's stock configuration, against every answer that was.
#[test]
fn of_the_recorded_answers_none_differs_but_on_purpose() {
    let variant = Variant::load("stock");
    let (recording, upstream) = (Recording::start(&variant), Upstream::start());
    let cluster = Scratch::new();
    for file in ["cluster.yaml", "kubernetes-service.yaml", "kubernetes-endpoints.yaml"] {
        cluster.write(file, &support::read(&format!("tests/data/conformance/{file}")));
    }
    let (lines, port) = shadow(recording.address, "");
    let corefile = variant.corefile.replace("kubeconfig {$KUBECONFIG}", "manifests {$MANIFESTS}");
    let shadowed = corefile.replace("    errors\n", &format!("    errors\n{lines}\n"));
    assert_ne!(corefile, shadowed);
    let start = Start::corefile(&shadowed).set("MANIFESTS", cluster.path().display());
    let dunlin = start.set("UPSTREAM", upstream.address).run();
    let questions = variant.questions();
    let Counts { equal, deliberate, different, unanswered, dropped } = compared(&dunlin, port, &questions);
    say(format!(
        "shadow over the recorded cluster: {} questions: equal {equal}, deliberate {deliberate}, different {different}, \
         unanswered {unanswered}, too long to be copied {dropped}",
        questions.len()
    ));
    let list = Deliberate::load();
    let listed = variant.recorded.iter().filter_map(|recorded| list.difference(&variant, recorded));
    // Of a cut answer any part will do.
    let listed = listed.filter(|difference| !difference.cut).count() as u64;
    assert_eq!((deliberate, different, unanswered), (listed, 0, 0), "{}", dunlin.output());

    let question = "api.staging.svc.cluster.local. A";
    let change = |line: &mut String| *line = line.replace("10.100.1.1", "10.100.1.99");
    recording.change(question, |recorded| recorded.answer.iter_mut().for_each(change), &variant);
    let counts = compared(&dunlin, port, &[Question::parse(question).expect("a question")]);
    assert_eq!(counts, Counts { different: 1, ..Counts::default() });
    dunlin.wait_for_output("1 answers differ, as api.staging.svc.cluster.local. A: answer: ");
}

#[test]
fn a_changed_service_is_found_and_shown() {
    let (same, changed) = (
        manifests(|text| text),
        manifests(|text| {
            assert_eq!(text.matches("clusterIP: 10.100.1.1,").count(), 1);
            text.replace("clusterIP: 10.100.1.1,", "clusterIP: 10.100.1.99,")
        }),
    );
    let target = serving(&changed, "");
    let (lines, port) = shadow(target.address(), "");
    let status = free_port();
    let dunlin = serving(&same, &format!("{lines}\nstatus 127.0.0.1:{status}"));
    let (web, api) = ("web.prod.svc.cluster.local.", "api.staging.svc.cluster.local.");
    let asked = [Question::new(web, "A"), Question::new(api, "A"), Question::new(web, "AAAA")];
    assert_eq!(compared(&dunlin, port, &asked), Counts { equal: 2, different: 1, ..Counts::default() });
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
fn on_a_mirror_answers_are_compared_and_none_leaves() {
    let (cluster, upstream) = (manifests(|text| text), Upstream::start());
    let forward = format!("forward . {}", upstream.address);
    let target = serving(&cluster, &forward);
    let (lines, port) = shadow(target.address(), "mirror");
    let ready = free_port();
    let more = format!("{forward}\nready 127.0.0.1:{ready}");
    let dunlin = serving(&cluster, &format!("{more}\n{lines}"));
    let silent = |octets: &[u8]| dunlin.client().send_raw(octets, Duration::from_millis(300)).is_none();
    // A hit and a miss of the fast lane, and the slow one's.
    let web = Question::new("web.prod.svc.cluster.local.", "A");
    for (number, name) in [web.name.as_str(), "gone.prod.svc.cluster.local.", "www.example.com."].iter().enumerate() {
        let question = Question::new(name, "A");
        assert!(silent(&question.message(7)), "{name} is answered");
        let compared = || Counts::of(port) == Counts { equal: number as u64 + 1, ..Counts::default() };
        assert!(wait_until(PATIENCE, compared), "{name}: {:?}", Counts::of(port));
    }
    // Nor is an error said: an opcode that nobody has, and what is no query.
    let mut odd = web.message(7);
    odd[2] = 6 << 3;
    assert!(silent(&odd) && silent(&web.message(7)[..14]));
    let over_tcp = Question { tcp: true, ..web.clone() };
    assert_eq!(dunlin.client().ask_all(&[over_tcp])[0].as_ref().expect("an answer over TCP").rcode, "NOERROR");
    assert_eq!(http_get(ready, "/ready"), Some((503, "shadow mirror".into())));
    // Without the word it is a server like any other.
    dunlin.scratch().write("Corefile", &corefile(&cluster, &format!("{more}\n{}", lines.replace("mirror\n", ""))));
    dunlin.signal("USR1");
    assert!(wait_until(PATIENCE, || dunlin.client().send_raw(&web.message(8), Duration::from_millis(300)).is_some()));
    assert!(wait_until(PATIENCE, || http_get(ready, "/ready") == Some((200, "OK".into()))));
}

#[test]
fn a_silent_target_delays_nothing_and_is_left_alone() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let cluster = manifests(|text| text);
    let (lines, port) = shadow(silent.local_addr().expect("its address"), "");
    let dunlin = serving(&cluster, &lines);
    let questions: Vec<Question> = (0..500).map(|_| Question::new("web.prod.svc.cluster.local.", "A")).collect();
    let began = Instant::now();
    let answers = dunlin.client().ask_all(&questions);
    let took = began.elapsed();
    assert!(answers.iter().all(Result::is_ok));
    // One after another they would have waited for 250 s.
    assert!(took < Duration::from_millis(500) * 20, "{took:?}");
    assert!(wait_until(PATIENCE, || metric(port, "paused") == 1), "it goes on asking");
    assert!(Counts::of(port).unanswered >= 5);
    dunlin.wait_for_output("gives no answers; it is left alone for a while");
    assert_eq!(dunlin.output().matches("it is left alone").count(), 1);
}
