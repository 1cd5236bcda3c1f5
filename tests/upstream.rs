//! Upstreams: the tests' own answers as the one did that CoreDNS's answers were recorded with, Debian's are relayed as
//! they are, and a dead one slows no name of the cluster.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{Client, Question, SHOP, Scratch, Start, Upstream, free_port, say, wait_until};

#[test]
fn the_upstream_answers_as_recorded() {
    let upstream = Upstream::start();
    let recorded = support::read("tests/data/conformance/variants/plain/answers.jsonl");
    let recorded: Vec<serde_json::Value> =
        recorded.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outside = ["example.com. ", "com. ", "local. ", ". "];
    let forwarded: Vec<_> = recorded
        .iter()
        .filter(|answer| {
            let question = answer["q"].as_str().unwrap_or_default();
            outside.iter().any(|tail| question.starts_with(tail)) || question.contains(".example.com. ")
        })
        .collect();
    assert_eq!(forwarded.len(), 100, "questions that are forwarded");
    let questions: Vec<_> =
        forwarded.iter().map(|answer| Question::parse(answer["q"].as_str().unwrap()).unwrap()).collect();
    for (expected, got) in forwarded.iter().zip(Client::new(upstream.address).ask_all(&questions)) {
        let got = got.unwrap_or_else(|why| panic!("{}: {why}", expected["q"]));
        let tc = got.has("TC");
        assert_eq!(expected["rcode"], got.rcode, "{}", expected["q"]);
        assert_eq!(expected["flags"], got.flags.join(" "), "{}", expected["q"]);
        for (section, records) in
            [("answer", &got.answer), ("authority", &got.authority), ("additional", &got.additional)]
        {
            assert!(tc || expected[section] == serde_json::json!(records), "{} {section}: {records:?}", expected["q"]);
        }
    }
}

/// A thousand clients wait for an upstream that says nothing; a name of the cluster takes what it takes without them.
#[test]
fn a_dead_upstream_slows_no_cluster_name() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port that nobody reads");
    let manifests = Scratch::new();
    manifests.write("shop.yaml", SHOP);
    let corefile = "\
.:{$PORT} {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa {
        manifests {$MANIFESTS}
    }
    forward . {$UPSTREAM}
    cache 30
}
";
    let dunlin = Start::corefile(corefile)
        .set("MANIFESTS", manifests.path().display())
        .set("UPSTREAM", silent.local_addr().expect("an address"))
        .run();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(dunlin.address()).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let cluster = Question::new("web.shop.svc.cluster.local.", "A");
    let mut buffer = [0; 4096];
    let mut median = |with_dead: bool| {
        let mut times: Vec<Duration> = (0..500u16)
            .map(|number| {
                if with_dead {
                    for twin in 0..2 {
                        let dead = Question::new(&format!("n{number}-{twin}.example.com."), "A");
                        socket.send(&dead.message(0x8000 | number)).expect("sent");
                    }
                }
                let began = Instant::now();
                socket.send(&cluster.message(number)).expect("sent");
                loop {
                    let length = socket.recv(&mut buffer).expect("an answer for the cluster's name");
                    if buffer[..2] == number.to_be_bytes() {
                        assert!(length > 12 && buffer[3] & 15 == 0 && buffer[7] == 1);
                        return began.elapsed();
                    }
                }
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let alone = median(false);
    let beside = median(true);
    say(format!("\na cluster name: {alone:?} alone, {beside:?} beside 1000 queries that wait for a dead upstream"));
    // The two queries before it take their share of one core; a timeout of the upstream is two seconds.
    assert!(beside < 20 * alone + Duration::from_millis(5), "{beside:?}, {alone:?} alone");
}

/// Two upstreams, one of which takes questions and says nothing; then neither says anything. What each is asked is
/// counted.
#[test]
fn a_dead_upstream_costs_one_query_in_many_and_two_are_not_hammered() {
    const QUERIES: usize = 400;
    let (alive, dead) = (Upstream::start(), Mute::start());
    let corefile = "\
.:{$PORT} {
    bind 127.0.0.1
    forward . {$DEAD} {$ALIVE} {
        policy round_robin
        read_timeout 300ms
        health_check 100ms domain check.test
    }
}
";
    let dunlin = Start::corefile(corefile).set("DEAD", dead.address).set("ALIVE", alive.address).run();
    let (mut slow, mut slowest) = (0, Duration::ZERO);
    for number in 0..QUERIES {
        let began = Instant::now();
        assert_eq!(dunlin.ask("www.example.com. A").rcode, "NOERROR", "query {number}");
        let took = began.elapsed();
        slow += usize::from(took >= Duration::from_millis(300));
        slowest = slowest.max(took);
    }
    say(format!(
        "\none of two upstreams dead: {QUERIES} queries, all answered, the dead one was asked for {}, {slow} waited for it, the longest {slowest:?}",
        dead.asked()
    ));
    // Without memory every second query would have waited for it.
    assert!((1..=QUERIES / 50).contains(&dead.asked()) && slow <= dead.asked(), "{} {slow}", dead.asked());
    // A client of the kind that resolvers are waits five seconds.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");

    // Both dead: every client hears so, and a flood of theirs is a trickle there.
    let dead = [Mute::start(), Mute::start()];
    let corefile = corefile.replace("{$DEAD} {$ALIVE}", "{$ONE} {$OTHER}");
    let dunlin = Start::corefile(&corefile).set("ONE", dead[0].address).set("OTHER", dead[1].address).run();
    let questions: Vec<_> = (0..QUERIES).map(|number| Question::new(&format!("n{number}.example.com."), "A")).collect();
    let asked = || dead[0].asked() + dead[1].asked();
    let began = Instant::now();
    let mut failed = 0;
    while began.elapsed() < Duration::from_secs(4) {
        let answers = dunlin.client().ask_all(&questions[..50]);
        failed += answers.iter().flatten().filter(|answer| answer.rcode == "SERVFAIL").count();
    }
    let (before, from) = (asked(), Instant::now());
    let mut later = 0;
    while from.elapsed() < Duration::from_secs(2) {
        later += dunlin.client().ask_all(&questions).iter().flatten().filter(|a| a.rcode == "SERVFAIL").count();
    }
    let (extra, seconds) = (asked() - before, from.elapsed().as_secs_f64());
    say(format!(
        "both dead: {failed} SERVFAIL in the first {:?}; then {later} SERVFAIL in {seconds:.1} s, for which the two were asked {extra} times",
        from - began
    ));
    // Twenty a second each at most, and their checks.
    assert!(failed > 0 && later >= QUERIES, "{failed} {later}");
    assert!((extra as f64) < 40.0 * (seconds + 1.0) && extra < later / 4, "{extra} of {later}");
}

/// An upstream that takes questions and says nothing; health checks are not counted.
struct Mute {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Mute {
    fn start() -> Mute {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (address, asked) = (socket.local_addr().expect("an address"), Arc::<AtomicUsize>::default());
        let count = asked.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                let is_check = buffer[..length].to_ascii_lowercase().windows(6).any(|part| part == b"\x05check");
                count.fetch_add(usize::from(!is_check), Ordering::Relaxed);
            }
        });
        Mute { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// What is too long for a datagram, both ways: from the upstream (TC, then TCP where `prefer_udp` says so) and to the
/// client.
#[test]
fn long_answers_come_whole_over_tcp() {
    let strings = vec![format!("\"{}\"", "x".repeat(250)); 8].join(" ");
    let zone = format!(". 60 IN SOA ns.test. ops.test. 1 2 3 4 60\nlarge.test. 60 IN TXT {strings}\n");
    let upstream = Upstream::serving(&zone);
    for (option, over_udp) in [("", 1), ("prefer_udp", 2), ("force_tcp", 1)] {
        let corefile = format!(
            ".:{{$PORT}} {{
    bind 127.0.0.1
    bufsize 4096
    cache 30
    forward . {{$UPSTREAM}} {{
        max_fails 0
        {option}
    }}
}}
"
        );
        let dunlin = Start::corefile(&corefile).set("UPSTREAM", upstream.address).run();
        let before = upstream.asked();
        // To a client without EDNS: cut, and marked so.
        let cut = dunlin.ask("large.test. TXT");
        assert!(cut.has("TC") && cut.answer.is_empty(), "{option}: {cut:?}");
        let first = upstream.asked() - before;
        // Over TCP, and over UDP to one who takes so much.
        for words in ["tcp", "edns=4096"] {
            let whole = dunlin.ask(&format!("large.test. TXT {words}"));
            assert!(!whole.has("TC") && whole.answer.len() == 1, "{option} {words}: {whole:?}");
        }
        say(format!(
            "a reply of 2 KB, {}: the upstream was asked {first} times for the first query, {} times for three",
            if option.is_empty() { "as the client asks" } else { option },
            upstream.asked() - before
        ));
        assert_eq!(first, over_udp, "{option}");
    }
}

/// Debian's resolvers and servers, where they are installed: what they answer is what their clients get by way of us.
#[test]
fn real_servers_are_relayed() {
    let zone = "example.org";
    let records = "$ORIGIN example.org.\n$TTL 300\n@ SOA ns.example.org. admin.example.org. 1 2 3 4 60\n@ NS ns\nns A 192.0.2.53\n\
                   www A 192.0.2.1\nalias CNAME www\n*.wild TXT \"any\"\nlarge TXT \"";
    // Too large for a datagram to a client without EDNS.
    let strings = vec!["x".repeat(250); 4].join("\" \"");
    let records = format!("{records}{strings}\"\n");
    let mut tried = 0;
    for server in ["nsd", "knotd", "unbound"] {
        let Some(running) = RealServer::start(server, zone, &records) else {
            say(format!("SKIPPED: real_servers_are_relayed: {server} is not installed"));
            continue;
        };
        tried += 1;
        let corefile = ".:{$PORT} {\n    bind 127.0.0.1\n    forward . {$UPSTREAM} {\n        prefer_udp\n    }\n    cache 30\n}\n";
        let dunlin = Start::corefile(corefile).set("UPSTREAM", running.address).run();
        for question in [
            "www.example.org. A",
            "WwW.eXample.org. A",
            "alias.example.org. A",
            "x.wild.example.org. TXT",
            "no.example.org. A",
            "www.example.org. AAAA",
            "large.example.org. TXT",
        ] {
            let asked = Question::parse(question).expect("a question");
            let direct = Client::new(running.address).ask_all(std::slice::from_ref(&asked)).remove(0);
            let direct = direct.unwrap_or_else(|why| panic!("{server}: {question}: {why}"));
            // Twice: from the upstream and from the cache.
            for _ in 0..2 {
                let relayed = dunlin.ask(question);
                assert_eq!(relayed.rcode, direct.rcode, "{server}: {question}");
                if !direct.has("TC") && !relayed.has("TC") {
                    let owners = |answer: &[String]| {
                        let text = answer.iter().map(|record| record.to_lowercase());
                        // The cache gives all records one TTL.
                        let mut lines: Vec<String> = text.map(without_ttl).collect();
                        lines.sort();
                        lines
                    };
                    assert_eq!(owners(&relayed.answer), owners(&direct.answer), "{server}: {question}");
                }
            }
        }
    }
    say(format!("\nreal servers relayed: {tried} of 3"));
}

fn without_ttl(record: String) -> String {
    record
        .split_whitespace()
        .enumerate()
        .filter(|(place, _)| *place != 1)
        .map(|(_, word)| word)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A server of Debian's with one zone; it ends with the value.
struct RealServer {
    address: SocketAddr,
    process: Child,
    _scratch: Scratch,
}

impl RealServer {
    /// `None` where it is not installed.
    fn start(server: &str, zone: &str, records: &str) -> Option<RealServer> {
        let path = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(|folder| format!("{folder}/{server}"));
        let program = path.into_iter().find(|path| std::path::Path::new(path).exists())?;
        let (scratch, port) = (Scratch::new(), free_port());
        scratch.write("zone", records);
        let folder = scratch.path().display().to_string();
        let mut command = Command::new(program);
        match server {
            "nsd" => {
                scratch.write(
                    "conf",
                    &format!(
                        "server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{folder}\"\n  \
                         pidfile: \"{folder}/pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  xfrdir: \"{folder}\"\n  zonelistfile: \"{folder}/list\"\n\
                         remote-control:\n  control-enable: no\nzone:\n  name: {zone}\n  zonefile: zone\n"
                    ),
                );
                command.args(["-d", "-c", &format!("{folder}/conf")]);
            }
            "knotd" => {
                scratch.write(
                    "conf",
                    &format!(
                        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n\ndatabase:\n  storage: {folder}\n\nzone:\n  - domain: {zone}\n    \
                         storage: {folder}\n    file: zone\n    zonefile-sync: -1\n    journal-content: none\n"
                    ),
                );
                command.args(["-c", &format!("{folder}/conf")]);
            }
            _ => {
                let local = records.lines().filter(|line| !line.starts_with('$'));
                let local: String = local.map(|line| local_data(line, zone)).collect();
                scratch.write(
                    "conf",
                    &format!(
                        "server:\n  interface: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  directory: \"{folder}\"\n  pidfile: \"\"\n  \
                         do-daemonize: no\n  use-syslog: no\n  logfile: \"{folder}/log\"\n  module-config: \"iterator\"\n  local-zone: {zone} static\n{local}"
                    ),
                );
                command.args(["-d", "-c", &format!("{folder}/conf")]);
            }
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let running = RealServer { address, process, _scratch: scratch };
        let question = Question::new("www.example.org.", "A");
        let answers = || Client::new(address).ask_all(std::slice::from_ref(&question)).remove(0).is_ok();
        assert!(wait_until(Duration::from_secs(20), answers), "{server} does not answer");
        Some(running)
    }
}

/// A line of the zone as unbound's own data.
fn local_data(line: &str, zone: &str) -> String {
    let (owner, rest) = line.split_once(' ').unwrap_or_default();
    // It has no wildcards in local data, and qualifies no names.
    let rest = if rest == "CNAME www" { format!("CNAME www.{zone}.") } else { rest.to_owned() };
    match owner {
        "@" | "*.wild" => String::new(),
        owner => format!("  local-data: '{owner}.{zone}. 300 IN {rest}'\n"),
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
