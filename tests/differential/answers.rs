//! Answers: `NAME.Corefile`, `NAME.questions`, and in `NAME.answers` a line for each question, behind them what was
//! logged.

use super::support::{Answer, Client, Question, Scratch, Start, Upstream, controlplane, free_port, read, repository};
use super::support::{controlplane::ControlPlane, wait_until};
use super::{FOLDER, Recorded, Tally, names, recorded_program};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long an answer may take; where none comes, none was meant to.
const WAIT: Duration = Duration::from_millis(1500);
/// How long what is logged behind an answer may take.
const LOGGED: Duration = Duration::from_secs(2);
const CLUSTER: [&str; 3] = [
    "tests/data/differential/cluster.yaml",
    "tests/data/conformance/cluster.yaml",
    "tests/data/conformance/kubernetes-service.yaml",
];

#[test]
fn answers_are_those_recorded() {
    let upstream = Upstream::start();
    let names = names(".Corefile");
    let all = Mutex::new(names.clone());
    let tally = Mutex::new(Tally::new());
    let program = recorded_program();
    let cluster = program.as_ref().and_then(|_| cluster());
    // Two at a time: the machine is shared.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = { all.lock().expect("no panic").pop() } {
                    let case = Case::load(&name);
                    match &program {
                        Some(program) => case.record(program, &upstream, cluster.as_ref()),
                        None => case.compare(&upstream, &tally),
                    }
                }
            });
        }
    });
    if program.is_none() {
        tally.into_inner().expect("no panic").report("differential answers", &names);
    }
}

/// The cluster of the recorded answers behind an API server, for a program that reads no manifests.
fn cluster() -> Option<ControlPlane> {
    let control = controlplane::start("recording")?;
    control.kubectl("apply -f -", &read("tests/data/differential/serviceimports.yaml"));
    control.kubectl("wait --for=condition=Established crd/serviceimports.multicluster.x-k8s.io", "");
    // The API server makes the Service of the last file itself.
    CLUSTER[..2].iter().for_each(|file| control.load(file));
    Some(control)
}

struct Case {
    name: String,
    corefile: String,
    questions: Vec<String>,
}

impl Case {
    fn load(name: &str) -> Case {
        // What users have is all asked the same.
        let asked = if name.starts_with("user-") { "user" } else { name };
        let lines = read(&format!("{FOLDER}/{asked}.questions"));
        let questions = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Case {
            name: name.into(),
            corefile: read(&format!("{FOLDER}/{name}.Corefile")),
            questions: questions.map(str::to_owned).collect(),
        }
    }

    /// One after another: what a cache holds depends on what was asked before.
    fn ask(&self, client: Client) -> Vec<String> {
        let question =
            |text: &String| Question::parse(text).unwrap_or_else(|why| panic!("{}: {text}: {why}", self.name));
        let mask = self.corefile.contains("kubernetes");
        self.questions.iter().map(question).map(|question| shown(&client, &question, WAIT, mask)).collect()
    }

    /// The lines that the Corefile's `log` and `errors` wrote, sorted: a line is written when its answer is already sent.
    fn logged(output: &str) -> Vec<String> {
        let own = |line: &&str| line.contains("[INFO] says ") || line.contains("[ERROR] plugin/errors: ");
        let mut lines: Vec<_> =
            output.lines().filter(own).map(|line| format!("logged {}", &line[line.find('[').unwrap_or(0)..])).collect();
        lines.sort();
        lines
    }

    fn compare(&self, upstream: &Upstream, tally: &Mutex<Tally>) {
        let recorded = read(&format!("{FOLDER}/{}.answers", self.name));
        let (lines, answers): (Vec<&str>, Vec<&str>) = recorded.lines().partition(|line| line.starts_with("logged "));
        assert_eq!(answers.len(), self.questions.len(), "{}: an answer for each question", self.name);
        let manifests = Scratch::new();
        for file in CLUSTER {
            manifests.write(&file.replace('/', "-"), &read(file));
        }
        let corefile = self.corefile.replace("kubeconfig {$KUBECONFIG}", "manifests {$MANIFESTS}");
        let dunlin = Start::corefile(&corefile)
            .set("UPSTREAM", upstream.address)
            .set("FILES", repository(FOLDER).join("files").display())
            .set("MANIFESTS", manifests.path().display())
            .run();
        let begun = Instant::now();
        let answered = self.ask(dunlin.client());
        let seconds = if self.corefile.contains("cache") { begun.elapsed().as_secs() + 1 } else { 0 };
        let mut tally = tally.lock().expect("no panic");
        for ((question, theirs), ours) in self.questions.iter().zip(&answers).zip(&answered) {
            let ours = if is_countdown(theirs, ours, seconds) { theirs } else { ours.as_str() };
            tally.add(&format!("{}: {question}", self.name), theirs, ours);
        }
        wait_until(LOGGED, || Case::logged(&dunlin.output()).len() >= lines.len());
        let logged = Case::logged(&dunlin.output());
        for at in 0..lines.len().max(logged.len()) {
            let ours = logged.get(at).map_or("nothing", String::as_str);
            tally.add(&format!("{}: line {}", self.name, at + 1), lines.get(at).unwrap_or(&"nothing"), ours);
        }
    }

    fn record(&self, program: &str, upstream: &Upstream, cluster: Option<&ControlPlane>) {
        let (scratch, port) = (Scratch::new(), free_port());
        let file = scratch.write("Corefile", &self.corefile);
        let environment = [
            ("PORT", port.to_string()),
            ("UPSTREAM", upstream.address.to_string()),
            ("FILES", repository(FOLDER).join("files").display().to_string()),
            ("KUBECONFIG", cluster.map(|cluster| cluster.kubeconfig().display().to_string()).unwrap_or_default()),
        ];
        let running = Recorded::listening(program, &file, port, &environment);
        let mut lines = self.ask(Client::new(SocketAddr::from(([127, 0, 0, 1], port))));
        std::thread::sleep(LOGGED / 4);
        drop(running);
        lines.extend(Case::logged(&std::fs::read_to_string(file.with_extension("output")).unwrap_or_default()));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(repository(&format!("{FOLDER}/{}.answers", self.name)), text).expect("written");
    }
}

/// What must be equal, in one line: the rcode, the flags but QR and RD, the OPT's DO bit and options, the records of all
/// sections with their TTLs. The client's port is `PORT`; where `mask`, a SOA's serial is `SERIAL`, being a time.
pub fn shown(client: &Client, question: &Question, wait: Duration, mask: bool) -> String {
    let (answer, port) = match client.ask_once(question, wait) {
        None => return "nothing".into(),
        Some((Err(why), _)) => return format!("unreadable: {why}"),
        Some((Ok(answer), port)) => (answer, port),
    };
    let mut text = answer.rcode.clone();
    for flag in answer.flags.iter().filter(|flag| !matches!(**flag, "QR" | "RD")) {
        text += &format!(" {flag}");
    }
    if answer.has("RD") != question.recursion_desired {
        text += " (RD changed)";
    }
    if answer.question != question.octets() {
        text += " (question changed)";
    }
    text += &opt_shown(&answer);
    for (section, records) in
        [("answer", &answer.answer), ("authority", &answer.authority), ("additional", &answer.additional)]
    {
        for record in records {
            text += &format!(" | {section} {}", masked(record, port, mask));
        }
    }
    text
}

/// Whether ours is theirs but for numbers that so many seconds may have counted down: the TTLs of what is cached.
fn is_countdown(theirs: &str, ours: &str, seconds: u64) -> bool {
    let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.split(' ').collect(), ours.split(' ').collect());
    let near = |(theirs, ours): (&&str, &&str)| match (theirs.parse::<u64>(), ours.parse::<u64>()) {
        (Ok(theirs), Ok(ours)) => (ours..=ours + seconds).contains(&theirs),
        _ => theirs == ours,
    };
    theirs.len() == ours.len() && theirs.iter().zip(&ours).all(near)
}

fn opt_shown(answer: &Answer) -> String {
    let Some(opt) = &answer.edns else { return String::new() };
    let codes: Vec<_> = opt.options.iter().map(u16::to_string).collect();
    let dnssec_ok = if opt.dnssec_ok { " do" } else { "" };
    let options = if codes.is_empty() { String::new() } else { format!(" options {}", codes.join(",")) };
    format!(" OPT{dnssec_ok}{options}")
}

fn masked(record: &str, port: u16, mask: bool) -> String {
    let words = record.split(' ').enumerate().map(|(at, word)| match word {
        _ if word == port.to_string() => "PORT",
        _ if mask && at == 5 && record.contains(" SOA ") => "SERIAL",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
