//! Signals, reloads, flags and exit codes: what scripts and kubelets rely on.

mod support;

use std::time::{Duration, Instant};
use support::{Dunlin, SHOP, Scratch, Start, free_port, http_get, wait_until};

const PATIENCE: Duration = Duration::from_secs(15);

/// A Corefile of one zone with these lines in its block.
fn corefile(ttl: u32, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "cluster.local:{{$PORT}} {{\n    bind 127.0.0.1\n    errors\n{more}    kubernetes {{\n        \
         manifests {{$MANIFESTS}}\n        ttl {ttl}\n    }}\n}}\n"
    )
}

fn start(ttl: u32, more: &[&str]) -> (Dunlin, Scratch, u16, u16) {
    let manifests = Scratch::new();
    manifests.write("shop.yaml", SHOP);
    let (health, ready) = (free_port(), free_port());
    let dunlin = Start::corefile(&corefile(ttl, more))
        .set("MANIFESTS", manifests.path().display())
        .set("HEALTH", health)
        .set("READY", ready)
        .run();
    (dunlin, manifests, health, ready)
}

fn ttl_of(dunlin: &Dunlin) -> String {
    let answer = dunlin.ask("web.shop.svc.cluster.local. A");
    answer
        .answer
        .first()
        .and_then(|record| record.split(" ").nth(1))
        .map_or_else(|| format!("{answer:?}"), str::to_owned)
}

#[test]
fn sigterm_answers_through_lameduck_and_ends_with_0() {
    let options = ["health 127.0.0.1:{$HEALTH} {", "    lameduck 2s", "}", "ready 127.0.0.1:{$READY}"];
    let (mut dunlin, _manifests, health, ready) = start(5, &options);
    assert!(wait_until(PATIENCE, || http_get(ready, "/ready") == Some((200, "OK".into()))));
    dunlin.signal("TERM");
    let begun = Instant::now();
    dunlin.wait_for_output("[INFO] SIGTERM: Shutting down servers then terminating");
    let unready = wait_until(Duration::from_secs(1), || !matches!(http_get(ready, "/ready"), Some((200, _))));
    assert!(unready, "/ready falls at once");
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(dunlin.ask("web.shop.svc.cluster.local. A").data(), ["10.0.0.1"]);
        assert_eq!(http_get(health, "/health"), Some((200, "OK".into())), "/health stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(dunlin.wait_for_end(PATIENCE), 0);
    assert!(begun.elapsed() >= Duration::from_secs(2), "lameduck lasts its time");
}

#[test]
fn an_automatic_lameduck_answers_until_nobody_asks() {
    let options = ["health 127.0.0.1:{$HEALTH} {", "    lameduck auto 20s", "}", "ready 127.0.0.1:{$READY}"];
    let (mut dunlin, manifests, _, ready) = start(5, &options);
    assert!(wait_until(PATIENCE, || http_get(ready, "/ready") == Some((200, "OK".into()))));
    dunlin.signal("TERM");
    let begun = Instant::now();
    let unready = wait_until(Duration::from_secs(1), || matches!(http_get(ready, "/ready"), Some((503, _))));
    assert!(unready, "/ready falls at once");
    // Longer than the shortest drain, and what is asked for is news.
    manifests.write("new.yaml", &SHOP.replace("name: web", "name: newer").replace("10.0.0.1", "10.0.0.2"));
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(7) {
        assert_eq!(dunlin.ask("web.shop.svc.cluster.local. A").data(), ["10.0.0.1"]);
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(dunlin.ask("newer.shop.svc.cluster.local. A").data(), ["10.0.0.2"]);
    assert!(asked > 100);
    assert_eq!(dunlin.wait_for_end(PATIENCE), 0);
    let took = begun.elapsed();
    assert!((10.0..14.0).contains(&took.as_secs_f64()), "three seconds after the last query: {took:?}");
}

#[test]
fn sigterm_without_lameduck_ends_soon() {
    let (mut dunlin, _manifests, ..) = start(5, &[]);
    dunlin.signal("TERM");
    let begun = Instant::now();
    assert_eq!(dunlin.wait_for_end(PATIENCE), 0);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn sigint_ends_with_0_and_a_second_one_forces() {
    let (mut dunlin, _manifests, ..) = start(5, &[]);
    dunlin.signal("INT");
    assert_eq!(dunlin.wait_for_end(PATIENCE), 0);
    let (mut dunlin, _manifests, ..) = start(5, &["health 127.0.0.1:{$HEALTH} {", "    lameduck 20s", "}"]);
    dunlin.signal("INT");
    dunlin.wait_for_output("SIGINT: Shutting down");
    dunlin.signal("INT");
    assert_eq!(dunlin.wait_for_end(Duration::from_secs(5)), 2);
}

#[test]
fn sighup_is_nothing_and_sigquit_ends_at_once() {
    let (mut dunlin, _manifests, ..) = start(5, &["health 127.0.0.1:{$HEALTH} {", "    lameduck 20s", "}"]);
    dunlin.signal("HUP");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ttl_of(&dunlin), "5");
    dunlin.signal("QUIT");
    assert_eq!(dunlin.wait_for_end(Duration::from_secs(3)), 0);
}

#[test]
fn sigusr1_runs_the_changed_corefile() {
    let (dunlin, _manifests, ..) = start(5, &[]);
    assert_eq!(ttl_of(&dunlin), "5");
    dunlin.scratch().write("Corefile", &corefile(17, &[]));
    dunlin.signal("USR1");
    dunlin.wait_for_output("[INFO] Reloading complete");
    assert!(dunlin.output().contains("[INFO] Reloading\n"), "{}", dunlin.output());
    assert_eq!(ttl_of(&dunlin), "17");
}

#[test]
fn a_bad_reload_changes_nothing_and_says_what_is_wrong() {
    let (mut dunlin, _manifests, ..) = start(5, &[]);
    for (bad, says) in [
        (corefile(5, &["nonsense"]), "Unknown directive 'nonsense'"),
        (corefile(99999, &[]), "ttl"),
        ("cluster.local:{$PORT} {\n".to_owned(), "Corefile"),
    ] {
        let before = dunlin.output().len();
        dunlin.scratch().write("Corefile", &bad);
        dunlin.signal("USR1");
        let said = wait_until(PATIENCE, || dunlin.output()[before..].contains("[ERROR] Restart failed:"));
        assert!(said && dunlin.output()[before..].contains(says), "{says}:\n{}", dunlin.output());
        assert_eq!(ttl_of(&dunlin), "5");
        assert!(dunlin.ended().is_none());
    }
    dunlin.scratch().write("Corefile", &corefile(23, &[]));
    dunlin.signal("USR1");
    dunlin.wait_for_output("[INFO] Reloading complete");
    assert_eq!(ttl_of(&dunlin), "23");
}

#[test]
fn the_reload_plugin_sees_a_change_by_itself() {
    let (dunlin, _manifests, ..) = start(5, &["reload 2s 1s"]);
    dunlin.wait_for_output("Running configuration SHA512 = ");
    dunlin.scratch().write("Corefile", &corefile(29, &["reload 2s 1s"]));
    let seen = wait_until(PATIENCE, || ttl_of(&dunlin) == "29");
    assert!(seen, "{}", dunlin.output());
}

/// A ConfigMap's file is a link that is exchanged.
#[test]
fn the_reload_plugin_follows_a_configmap() {
    let folder = Scratch::new();
    let manifests = Scratch::new();
    manifests.write("shop.yaml", SHOP);
    folder.write("..one/Corefile", &corefile(5, &["reload 2s 1s"]));
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("..one", at("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/Corefile", at("Corefile")).expect("a link");
    let start = Start::bare().set("MANIFESTS", manifests.path().display()).inside(folder.path());
    let dunlin = start.argument("-conf").argument(&at("Corefile").display().to_string()).run();
    assert_eq!(ttl_of(&dunlin), "5");
    folder.write("..two/Corefile", &corefile(31, &["reload 2s 1s"]));
    std::os::unix::fs::symlink("..two", at("..data_tmp")).expect("a link");
    std::fs::rename(at("..data_tmp"), at("..data")).expect("the exchange");
    let seen = wait_until(PATIENCE, || ttl_of(&dunlin) == "31");
    assert!(seen, "{}", dunlin.output());
}

#[test]
fn a_broken_corefile_at_the_start_runs_the_last_good_one() {
    let files = Scratch::new();
    let kept = files.path().join("last-good");
    let file = files.write("Corefile", ".:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n");
    let start = |file: &std::path::Path| {
        let flag = |start: Start, flag: &str, path: &std::path::Path| {
            start.argument(flag).argument(path.to_str().expect("a plain path"))
        };
        flag(flag(Start::bare(), "-conf", file), "-last-good", &kept)
    };
    let broken = "nonsense.example {\n    no_such_plugin\n}\n";
    files.write("Other", broken);
    let (code, said) = start(&files.path().join("Other")).run_to_end();
    assert!(code == 1 && said.contains("no_such_plugin") && said.contains("no last good configuration"), "{said}");
    let good = start(&file).run();
    assert!(wait_until(PATIENCE, || kept.exists()), "kept once it runs");
    drop(good);
    files.write("Corefile", broken);
    let dunlin = start(&file).run();
    dunlin.wait_for_output("[ERROR] THE COREFILE IS BROKEN: running the last good configuration");
    assert!(dunlin.output().contains("Unknown directive 'no_such_plugin'"), "{}", dunlin.output());
    assert_eq!(dunlin.ask("any.example. A").rcode, "NOERROR");
    // It is not taken for good, and mended it runs.
    assert!(std::fs::read_to_string(&kept).expect("kept").contains("whoami"));
    files.write("Corefile", ".:{$PORT} {\n    bind 127.0.0.1\n    template IN A {\n        rcode NXDOMAIN\n    }\n}\n");
    dunlin.signal("USR1");
    dunlin.wait_for_output("Reloading complete");
    assert_eq!(dunlin.ask("any.example. A").rcode, "NXDOMAIN");
    let is_new = || std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("template"));
    assert!(wait_until(PATIENCE, is_new), "the mended one is kept");
}

#[test]
fn a_port_that_is_taken_refuses_the_start() {
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let start = Start::corefile(".:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n").on_port(port);
    let (code, output) = start.run_to_end();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains(&format!("127.0.0.1:{port}")), "{output}");
}

#[test]
fn the_pidfile_comes_and_goes() {
    let folder = Scratch::new();
    let file = folder.path().join("dunlin.pid");
    let text = ".:{$PORT} {\n    bind 127.0.0.1\n    whoami\n}\n";
    let mut dunlin = Start::corefile(text).argument("-pidfile").argument(&file.display().to_string()).run();
    assert!(wait_until(PATIENCE, || file.exists()));
    assert!(wait_until(PATIENCE, || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == format!("{}\n", dunlin.id()))
    }));
    dunlin.signal("TERM");
    assert_eq!(dunlin.wait_for_end(PATIENCE), 0);
    assert!(!file.exists());
}

#[test]
fn flags() {
    let run = |arguments: &[&str]| {
        arguments.iter().fold(Start::bare(), |start, argument| start.argument(argument)).run_to_end()
    };
    let (code, output) = run(&["-version"]);
    assert!(code == 0 && output.contains(env!("CARGO_PKG_VERSION")), "{code} {output}");
    let (code, output) = run(&["--version"]);
    assert!(code == 0 && output.contains(env!("CARGO_PKG_VERSION")), "{code} {output}");
    let (code, output) = run(&["-plugins"]);
    assert!(code == 0 && output.contains("kubernetes") && output.contains("forward"), "{code} {output}");
    let (code, output) = run(&["-conf", "nowhere/Corefile"]);
    assert!(code == 1 && output.contains("nowhere/Corefile"), "{code} {output}");
    let (code, output) = run(&["-nonsense"]);
    assert!(code == 2 && output.contains("-conf"), "a bad flag shows the usage: {code} {output}");
    let (code, output) = run(&["left", "over"]);
    assert!(code == 1 && output.contains("extra command line arguments: [left over]"), "{code} {output}");
}

#[test]
fn the_first_lines_say_what_is_served() {
    let (dunlin, _manifests, ..) = start(5, &[]);
    let port = dunlin.port;
    dunlin.wait_for_output(&format!("cluster.local.:{port} on 127.0.0.1\n"));
    dunlin.wait_for_output("dunlin-");
    let folder = Scratch::new();
    folder.write("Corefile", "example.org {\n    bind 127.0.0.1\n    whoami\n}\n");
    let start = Start::bare().inside(folder.path());
    let port = free_port();
    let dunlin = start.on_port(port).argument("-dns.port").argument(&port.to_string()).run();
    dunlin.wait_for_output(&format!("example.org.:{port} on 127.0.0.1\n"));
}

/// Every mistake of a Corefile is said at once, each with its place.
#[test]
fn a_corefile_with_mistakes_is_refused_with_file_and_line() {
    let text = "example.org:{$PORT} {\n    bind 127.0.0.1\n    nonsense\n    forward\n}\n";
    let (code, output) = Start::corefile(text).run_to_end();
    assert_eq!(code, 1);
    for says in ["Corefile:3", "Unknown directive 'nonsense'", "Corefile:4", "forward"] {
        assert!(output.contains(says), "{says}:\n{output}");
    }
}
