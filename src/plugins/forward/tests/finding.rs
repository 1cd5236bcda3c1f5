//! Where upstreams are found: hosts by name, files.

use super::*;
use crate::plugin::Command;
use std::path::PathBuf;

/// A file of this test's own; it goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("dunlin-forward-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }

    fn line(&self) -> String {
        format!("forward . {}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the block's chain says.
async fn ask(bench: &Bench) -> Outcome {
    let chain = bench.done().plan.chain.clone();
    Next::all(&chain).run(&question()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_looked_up_at_the_resolvers() {
    let upstream = good().await;
    // Over UDP it is truncated, and there is an address of another type beside it.
    let resolver = Fake::start(|seen| {
        let mut packet = answer(&seen.packet, 0);
        match seen.transport {
            Transport::Udp => packet[2] |= 0x02,
            Transport::Tcp if packet[HEADER + 11] == 28 => {}
            Transport::Tcp => {
                packet[7] = 2;
                packet.extend([0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 1, 44, 0, 2, 1, b'x']);
                packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 1]);
            }
        }
        vec![Act::Send(packet)]
    })
    .await;
    let closed = closed().await;
    let lines =
        format!("forward . dns.test:{} {{\nresolver {closed} {}\n}}", upstream.address.port(), resolver.address);
    let bench = Bench::new();
    bench.set_up(&DEFINITION, &lines).unwrap();
    assert!(matches!(ask(&bench).await, Outcome::Reply(_)));
    assert_eq!(upstream.seen().len(), 1);
    // No answer, no upstream.
    let nobody = Fake::start(|seen| {
        let mut packet = answer(&seen.packet, 0);
        packet[3] |= 3;
        vec![Act::Send(packet)]
    })
    .await;
    let lines = format!("forward . dns.test {{\nresolver {}\n}}", nobody.address);
    let error = Bench::new().set_up(&DEFINITION, &lines).unwrap_err().to_string();
    assert!(error.contains("'dns.test' cannot be resolved") && error.contains("no such host"), "{error}");
}

#[tokio::test]
async fn the_machine_knows_hosts_too() {
    let bench = Bench::new();
    bench.set_up(&DEFINITION, "forward . localhost:1053").unwrap();
    assert_eq!(bench.done().plan.chain.len(), 1);
}

#[tokio::test]
async fn a_bad_file_stops_nothing_and_is_read_again() {
    for (name, text, why) in [
        ("empty", "search a.test\n", "no nameservers found in"),
        ("own", "nameserver 127.0.0.1\n", "are this server itself: 127.0.0.1:53"),
        ("gone", "", "No such file"),
    ] {
        let file = Scratch::new(name, text);
        if name == "gone" {
            std::fs::remove_file(&file.0).unwrap();
        }
        let bench = Bench::new();
        bench.done().plan.server = "dns://:53".into();
        bench.set_up(&DEFINITION, &file.line()).unwrap();
        let warning = bench.done().process.warnings.join("\n");
        assert!(warning.starts_with("Corefile:2 - plugin/forward: ") && warning.contains(why), "{warning}");
        let outcome = ask(&bench).await;
        let failure = failure(&outcome);
        assert!(failure.rcode == Rcode::SERVFAIL && failure.reason.contains(why), "{failure:?}");
        let gauge = format!("dunlin_forward_unusable_files{{file=\"{}\"}}", file.0.display());
        assert!(bench.metrics.render().contains(&format!("{gauge} 1")));
        // CoreDNS's way on request.
        let strict = format!("{} {{\nstrict\n}}", file.line());
        let error = Bench::new();
        error.done().plan.server = "dns://:53".into();
        let error = error.set_up(&DEFINITION, &strict).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        // The configuration is loaded anew when the file is good.
        let mut commands = bench.commands();
        bench.serving();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(commands.try_recv().is_err(), "{name}");
        std::fs::write(&file.0, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(commands.recv().await, Some(Command::Reload), "{name}");
        let next = bench.reloaded();
        next.set_up(&DEFINITION, &file.line()).unwrap();
        assert!(next.done().process.warnings.is_empty());
        assert!(next.metrics.render().contains(&format!("{gauge} 0")));
    }
}

#[tokio::test]
async fn the_last_good_name_servers_outlive_a_bad_file() {
    let file = Scratch::new("last", "nameserver 192.0.2.1\n");
    let first = Bench::new();
    first.set_up(&DEFINITION, &file.line()).unwrap();
    std::fs::write(&file.0, "").unwrap();
    let second = first.reloaded();
    let third_of = |bench: &Bench| {
        bench.set_up(&DEFINITION, &file.line()).unwrap();
        let warning = bench.done().process.warnings.join("\n");
        assert!(warning.contains("its last name servers go on"), "{warning}");
        bench.reloaded()
    };
    // Also over the reload after that.
    let third = third_of(&second);
    third_of(&third);
}

#[tokio::test]
async fn this_server_is_left_out_where_there_are_others() {
    let file = Scratch::new("others", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n");
    for (server, binds, targets) in [
        ("dns://:53", vec![], 1),
        ("dns://:1053", vec![], 2),
        ("tls://:853", vec![], 2),
        ("dns://127.0.0.1:53", vec![[127, 0, 0, 1].into()], 1),
        ("dns://127.0.0.2:53", vec![[127, 0, 0, 2].into()], 2),
    ] {
        let bench = Bench::new();
        bench.done().plan.server = server.into();
        bench.done().plan.binds = binds;
        let text = format!(". {{\n{}\n}}\n", file.line());
        let corefile = crate::corefile::parse(std::path::Path::new("Corefile"), &text, &|_| None).unwrap();
        let directives = &corefile.blocks[0].directives;
        let read = bench.with_setup(directives, |setup| super::super::options::read(setup, &directives[0]));
        assert_eq!(read.unwrap().targets.len(), targets, "{server}");
    }
}
