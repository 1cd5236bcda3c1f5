//! CoreDNS's recorded answers to plugins whose answers are deterministic (tests/data/differential): a Corefile, questions,
//! and what was answered. `DUNLIN_RECORD=PROGRAM cargo test --test differential` records anew from another program.

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Answer, Client, Question, Scratch, Start, Upstream, free_port, read, repository, say, wait_until};

const FOLDER: &str = "tests/data/differential";

#[test]
fn answers_are_those_recorded() {
    let upstream = Upstream::start();
    let deliberate = read(&format!("{FOLDER}/deliberate.txt"));
    let (mut equal, mut listed, mut wrong) = (0, 0, Vec::new());
    for name in names() {
        let corefile = read(&format!("{FOLDER}/{name}.Corefile"));
        let questions: Vec<String> = read(&format!("{FOLDER}/{name}.questions")).lines().map(str::to_owned).collect();
        let asked: Vec<_> = questions.iter().map(|text| Question::parse(text).expect("a question")).collect();
        // One after another: what a cache holds depends on what was asked before.
        let ask = |client: Client| -> Vec<String> {
            asked.iter().map(|question| shown(client.ask_all(std::slice::from_ref(question)).pop())).collect()
        };
        let path = format!("{FOLDER}/{name}.answers");
        if let Ok(program) = std::env::var("DUNLIN_RECORD") {
            let text: String =
                record(&program, &corefile, &upstream, ask).iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(repository(&path), text).expect("written");
            continue;
        }
        let dunlin = Start::corefile(&corefile).set("UPSTREAM", upstream.address).run();
        let recorded = read(&path);
        assert_eq!(recorded.lines().count(), questions.len(), "{name}: an answer for each question");
        for ((question, right), got) in questions.iter().zip(recorded.lines()).zip(ask(dunlin.client())) {
            let reason = deliberate.lines().find(|line| line.starts_with(&format!("{name}: {question}: ")));
            match (right == got, reason) {
                (true, None) => equal += 1,
                (false, Some(_)) => listed += 1,
                (true, Some(line)) => wrong.push(format!("listed, but equal: {line}")),
                (false, None) => wrong.push(format!("{name}: {question}\n  theirs {right}\n  ours   {got}")),
            }
        }
    }
    say(format!("differential: equal {equal}, deliberate {listed}, wrong {}", wrong.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(repository(FOLDER)).expect("the recordings");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "Corefile"))
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// What must be equal, in one line: rcode, AA, answer with TTLs, authority, whether an OPT came. Serials are not compared.
fn shown(answer: Option<Result<Answer, String>>) -> String {
    let Some(Ok(answer)) = answer else { return format!("{answer:?}") };
    let aa = if answer.has("AA") { " AA" } else { "" };
    let mut text = format!("{}{aa}{}", answer.rcode, if answer.edns.is_some() { " OPT" } else { "" });
    for (section, records) in [("answer", &answer.answer), ("authority", &answer.authority)] {
        records.iter().for_each(|record| text += &format!(" | {section} {record}"));
    }
    text.to_lowercase()
}

fn record(program: &str, corefile: &str, upstream: &Upstream, ask: impl Fn(Client) -> Vec<String>) -> Vec<String> {
    let (scratch, port) = (Scratch::new(), free_port());
    let file = scratch.write("Corefile", corefile);
    let mut command = Command::new(program);
    command.arg("-conf").arg(file).env("PORT", port.to_string()).env("UPSTREAM", upstream.address.to_string());
    let mut child = command.current_dir(scratch.path()).stdout(Stdio::null()).spawn().expect("the program starts");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    assert!(wait_until(Duration::from_secs(10), || std::net::TcpStream::connect(address).is_ok()), "it listens");
    let answers = ask(Client::new(address));
    child.kill().and_then(|()| child.wait()).expect("ended");
    answers
}
