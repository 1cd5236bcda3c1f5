//! The 158 edge cases of tests/cases, through the whole server: the fast lane over UDP, the slow lane over TCP.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::casefile::{Ask, Case, Fixture, Step, parse};
use support::{Answer, Dunlin, Question, Scratch, Start, Upstream, free_port, read, repository, say};

/// How long a changed manifest may take to show.
const VISIBLE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Lane {
    /// As configured, over UDP.
    Fast,
    /// With `log` in every block, over TCP.
    Slow,
}

fn fixtures() -> Vec<Fixture> {
    let mut files: Vec<_> = std::fs::read_dir(repository("tests/cases"))
        .expect("the cases")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let text = |path: &Path| std::fs::read_to_string(path).expect("a file of cases");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.iter().flat_map(|path| parse(&name(path), &text(path))).collect()
}

#[test]
fn every_case_is_there() {
    let mut numbers = BTreeMap::new();
    for case in fixtures().into_iter().flat_map(|fixture| fixture.cases) {
        let empty = case.steps.is_empty() && case.later.is_none() && case.elsewhere.is_none();
        assert!(!empty, "{}: case {} asks nothing and does not say why", case.place, case.number);
        if let Some(file) = case.elsewhere.as_deref().and_then(|text| text.split(' ').next()) {
            assert!(repository(file).exists(), "{}: {file} does not exist", case.place);
        }
        *numbers.entry(case.number).or_insert(0) += 1;
    }
    let missing: Vec<u32> = (1..=158).filter(|number| !numbers.contains_key(number)).collect();
    assert!(missing.is_empty() && numbers.len() == 158, "missing {missing:?}");
}

#[test]
fn every_case_is_answered_right() {
    let upstream = Upstream::start();
    let fixtures = fixtures();
    let jobs: Vec<(usize, Lane)> = (0..fixtures.len())
        .flat_map(|at| [(at, Lane::Fast), (at, Lane::Slow)])
        .filter(|(at, lane)| fixtures[*at].runs() && (*lane == Lane::Fast || fixtures[*at].has_slow_lane()))
        .collect();
    let jobs = Mutex::new(jobs);
    let wrong = Mutex::new(Vec::new());
    // A few at a time: most of it is waiting for processes to start.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((at, lane)) = jobs.lock().expect("no panic").pop() else { return };
                    let failures = fixtures[at].run(lane, &upstream);
                    wrong.lock().expect("no panic").extend(failures);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    let cases: Vec<&Case> = fixtures.iter().flat_map(|fixture| &fixture.cases).collect();
    let count = |which: fn(&&&Case) -> bool| {
        cases.iter().filter(which).map(|case| case.number).collect::<std::collections::BTreeSet<_>>().len()
    };
    let run = count(|case| !case.steps.is_empty());
    let later = count(|case| case.later.is_some());
    let differ = count(|case| case.differs.is_some());
    for case in cases.iter().filter(|case| case.later.is_some()) {
        say(format!("case {} later: {}: {}", case.number, case.title, case.later.as_deref().unwrap_or_default()));
    }
    say(format!("cases: {run} run ({differ} of them unlike CoreDNS on purpose), {later} later, {} wrong", wrong.len()));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The second half of case 155: a SERVFAIL that the upstream wrote is kept, so that it is not asked each time.
#[test]
fn a_written_servfail_is_kept() {
    let upstream = Upstream::start();
    let corefile = ".:{$PORT} {\n    bind 127.0.0.1\n    cache\n    forward . {$UPSTREAM}\n}\n";
    let dunlin = Start::corefile(corefile).set("UPSTREAM", upstream.address).run();
    for _ in 0..5 {
        assert_eq!(dunlin.ask("a.servfail.test. A").rcode, "SERVFAIL");
    }
    assert_eq!(upstream.asked(), 1);
}

impl Fixture {
    /// Whether anything of it is asked.
    fn runs(&self) -> bool {
        self.cases.iter().any(|case| !case.steps.is_empty())
    }

    fn has_slow_lane(&self) -> bool {
        !self.fast_only && !self.cases.iter().flat_map(|case| &case.steps).any(|step| matches!(step, Step::Refuses(_)))
    }

    /// Starts the server and goes through its cases: what was wrong.
    fn run(&self, lane: Lane, upstream: &Upstream) -> Vec<String> {
        let manifests = Scratch::new();
        for file in &self.objects {
            manifests.write(file, &read(&format!("tests/cases/manifests/{file}")));
        }
        let corefile = if lane == Lane::Slow { with_log(&self.corefile) } else { self.corefile.clone() };
        let closed = free_port();
        let no_api = kubeconfig_of_nobody(closed);
        let start = Start::corefile(&corefile)
            .set("MANIFESTS", manifests.path().display())
            .set("UPSTREAM", upstream.address)
            .set("CLOSED", format!("127.0.0.1:{closed}"))
            .set("NO_API", no_api.path().join("kubeconfig").display());
        if self.cases.iter().flat_map(|case| &case.steps).any(|step| matches!(step, Step::Refuses(_))) {
            let (code, output) = start.run_to_end();
            return self.refusals(code, &output);
        }
        let dunlin = match start.try_run() {
            Ok(dunlin) => dunlin,
            Err(why) => return vec![format!("fixture {}, {lane:?} lane: {why}", self.name)],
        };
        self.cases.iter().flat_map(|case| case.run(self, lane, &dunlin, &manifests)).collect()
    }

    fn refusals(&self, code: i32, output: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for case in &self.cases {
            for step in &case.steps {
                let Step::Refuses(says) = step else { continue };
                let missing: Vec<_> =
                    says.iter().filter(|text| !output.to_lowercase().contains(&text.to_lowercase())).collect();
                if code != 1 || !missing.is_empty() {
                    wrong.push(format!(
                        "{} case {}: exit code {code}, expected 1; not said: {missing:?}; said:\n{output}",
                        case.place, case.number
                    ));
                }
            }
        }
        wrong
    }
}

/// A kubeconfig for an API server that is down.
fn kubeconfig_of_nobody(port: u16) -> Scratch {
    let folder = Scratch::new();
    folder.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
             users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             current-context: c\n"
        ),
    );
    folder
}

/// The same configuration with `log` in every server block.
fn with_log(corefile: &str) -> String {
    let mut text = String::new();
    for line in corefile.lines() {
        text.push_str(line);
        text.push('\n');
        if line.ends_with('{') && !line.starts_with([' ', '(']) {
            text.push_str("    log\n");
        }
    }
    text
}

impl Case {
    fn run(&self, fixture: &Fixture, lane: Lane, dunlin: &Dunlin, manifests: &Scratch) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut changed = false;
        let mut remembered = String::new();
        let serial = || dunlin.ask(&format!("{} SOA", fixture.zone)).answer.first().cloned().unwrap_or_default();
        for step in &self.steps {
            let result = match step {
                Step::Ask(ask) => self.ask(ask, lane, dunlin, changed),
                Step::Write(file, text) => {
                    changed = true;
                    manifests.write(file, text);
                    Ok(())
                }
                Step::Remove(file) => {
                    changed = true;
                    std::fs::remove_file(manifests.path().join(file)).map_err(|error| error.to_string())
                }
                Step::RememberSerial => {
                    remembered = serial();
                    // A serial counts seconds.
                    std::thread::sleep(Duration::from_millis(1100));
                    Ok(())
                }
                Step::SameSerial if serial() == remembered => Ok(()),
                Step::SameSerial => Err(format!("{}: {remembered} became {}", self.place, serial())),
                Step::Refuses(_) => Ok(()),
            };
            if let Err(why) = result {
                wrong.push(format!("case {} ({}), {lane:?} lane: {why}", self.number, fixture.name));
            }
        }
        wrong
    }

    /// Asks; after a change, until the answer is right or the time is up.
    fn ask(&self, ask: &Ask, lane: Lane, dunlin: &Dunlin, changed: bool) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let result = answer(ask, lane, dunlin).and_then(|answer| ask.verdict(&answer, self.exact));
            match result {
                Err(_) if changed && begun.elapsed() < VISIBLE => std::thread::sleep(Duration::from_millis(5)),
                other => return other.map_err(|why| format!("{}: {}: {why}", ask.place, ask.question)),
            }
        }
    }
}

fn answer(ask: &Ask, lane: Lane, dunlin: &Dunlin) -> Result<Answer, String> {
    let mut question = Question::parse(&ask.question)?;
    question.tcp |= lane == Lane::Slow && !ask.udp;
    dunlin.client().ask_all(&[question]).pop().unwrap_or_else(|| Err("nothing".into()))
}
