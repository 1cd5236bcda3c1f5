//! What CoreDNS was recorded to answer, and which Corefiles it was recorded to take (tests/data/differential).
//!
//! `DUNLIN_RECORD=PROGRAM cargo test --test differential` records anew from another program; `DUNLIN_DIFFERENTIAL=WORD` runs
//! only what has WORD in its name.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod loads;
mod script;
mod timelines;

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{read, repository, wait_until};

const FOLDER: &str = "tests/data/differential";

/// The names of the files that end so, sorted.
fn names(ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(FOLDER)).expect("the recordings");
    let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let only = std::env::var("DUNLIN_DIFFERENTIAL").unwrap_or_default();
    let mut names: Vec<_> = files
        .filter_map(|file| file.strip_suffix(ending).map(str::to_owned))
        .filter(|name| name.contains(&only))
        .collect();
    names.sort();
    names
}

/// The program to record from, if that is what is wanted.
fn recorded_program() -> Option<String> {
    std::env::var("DUNLIN_RECORD").ok()
}

/// A process of the program that is recorded from; it ends with the value.
struct Recorded(Child);

impl Recorded {
    fn start(program: &str, corefile: &std::path::Path, environment: &[(&str, String)]) -> Recorded {
        let mut command = Command::new(program);
        command.arg("-conf").arg(corefile).envs(environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(corefile.parent().expect("a file has a directory"));
        let output = std::fs::File::create(corefile.with_extension("output")).expect("a file");
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        Recorded(command.spawn().expect("the program starts"))
    }

    /// Starts it and waits until it listens on this port.
    fn listening(program: &str, corefile: &std::path::Path, port: u16, environment: &[(&str, String)]) -> Recorded {
        let running = Recorded::start(program, corefile, environment);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(wait_until(Duration::from_secs(10), listens), "{}: it listens", corefile.display());
        running
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of `deliberate.txt`, `NAME: CASE: REASON`: what is another answer on purpose. A `*` in NAME or CASE is any text.
struct Deliberate(Vec<Line>);

struct Line {
    text: String,
    pattern: String,
    met: bool,
}

/// A difference that is a rule: a SOA that says no is held to its last field (RFC 2308 section 3).
const NEGATIVE_TTL: &str = "*: TTL of a negative SOA";
/// Another: an OPT, and the DO bit in it, is for those who sent one (RFC 6891 section 7, RFC 3225 section 3).
const UNASKED_OPT: &str = "*: OPT or DO bit that was not sent";
/// Another: a record of the name that was asked for has it as it was asked.
const ASKED_CASE: &str = "*: case of an owner's name";

impl Deliberate {
    fn load() -> Deliberate {
        let text = read(&format!("{FOLDER}/deliberate.txt"));
        let lines = text.lines().filter(|line| !line.is_empty()).map(|line| {
            let mut parts = line.splitn(3, ": ");
            let (Some(name), Some(case), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
                panic!("NAME: CASE: REASON expected: {line}");
            };
            Line { text: line.to_owned(), pattern: format!("{name}: {case}"), met: false }
        });
        Deliberate(lines.collect())
    }

    /// The first line that lists this case.
    fn of(&mut self, case: &str) -> Option<&mut Line> {
        self.0.iter_mut().find(|line| matches(&line.pattern, case))
    }
}

/// Whether the text is the pattern's, in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((front, rest)) => text.strip_prefix(front).is_some_and(|text| {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// Their answer with a negative SOA's TTL as RFC 2308 has it.
fn with_negative_ttl(theirs: &str) -> String {
    let held = |part: &str| -> Option<String> {
        let mut words: Vec<&str> = part.strip_prefix("authority ")?.split(' ').collect();
        let (ttl, minimum) = (words.get(1)?.parse::<u32>().ok()?, words.last()?.parse::<u32>().ok()?);
        let ttl = ttl.min(minimum).to_string();
        (words[2] == "SOA").then(|| words[1] = &ttl)?;
        Some(format!("authority {}", words.join(" ")))
    };
    theirs.split(" | ").map(|part| held(part).unwrap_or_else(|| part.to_owned())).collect::<Vec<_>>().join(" | ")
}

/// Their answer with the OPT and the DO bit that the question's own allow. A case ends in the question.
fn with_asked_opt(case: &str, theirs: &str) -> String {
    let words = ["edns=", "do", "nsid", "cookie", "pad=", "option=", "version="];
    let has = |word: &str| {
        case.split(' ').skip(3).any(|found| found == word || word.ends_with('=') && found.starts_with(word))
    };
    let (head, records) = theirs.split_once(" | ").map_or((theirs, None), |(head, records)| (head, Some(records)));
    let head = match head.split_once(" OPT") {
        Some((front, _)) if !words.iter().any(|word| has(word)) => front.to_owned(),
        Some((front, rest)) if !has("do") => format!("{front} OPT{}", rest.strip_prefix(" do").unwrap_or(rest)),
        _ => head.to_owned(),
    };
    records.map_or(head.clone(), |records| format!("{head} | {records}"))
}

/// Their answer with the owners' names that are the question's spelt as there.
fn with_asked_case(case: &str, theirs: &str) -> String {
    let asked = case.split(' ').nth(1).unwrap_or_default();
    let spelt = |part: &str| -> Option<String> {
        let mut words: Vec<&str> = part.split(' ').collect();
        let owner = words.get_mut(1).filter(|owner| owner.eq_ignore_ascii_case(asked))?;
        *owner = asked;
        Some(words.join(" "))
    };
    theirs.split(" | ").map(|part| spelt(part).unwrap_or_else(|| part.to_owned())).collect::<Vec<_>>().join(" | ")
}

/// Counts what is equal, differs as listed, and is wrong.
struct Tally {
    equal: usize,
    listed: usize,
    wrong: Vec<String>,
    deliberate: Deliberate,
}

impl Tally {
    fn new() -> Tally {
        Tally { equal: 0, listed: 0, wrong: Vec::new(), deliberate: Deliberate::load() }
    }

    /// Holds ours against what was recorded.
    fn add(&mut self, case: &str, theirs: &str, ours: &str) {
        let by_rules = [
            (NEGATIVE_TTL, with_negative_ttl(theirs)),
            (UNASKED_OPT, with_asked_opt(case, theirs)),
            (ASKED_CASE, with_asked_case(case, theirs)),
        ];
        let rule = by_rules.into_iter().find(|(_, theirs)| theirs == ours).map(|(rule, _)| rule);
        let line = self.deliberate.of(rule.unwrap_or(case));
        match (theirs == ours, line) {
            (true, _) => self.equal += 1,
            (false, Some(line)) => {
                line.met = true;
                self.listed += 1;
            }
            (false, None) => self.wrong.push(format!("{case}\n  theirs {theirs}\n  ours   {ours}")),
        }
    }

    /// Prints the counts; fails where something is wrong, or where a line for `names` lists what does not occur.
    fn report(mut self, what: &str, names: &[String]) {
        let ours = |line: &&Line| names.iter().any(|name| line.pattern.starts_with(&format!("{name}: ")));
        let idle = self.deliberate.0.iter().filter(ours).filter(|line| !line.met);
        self.wrong.extend(idle.map(|line| format!("listed, but it does not occur: {}", line.text)));
        support::say(format!("{what}: equal {}, deliberate {}, wrong {}", self.equal, self.listed, self.wrong.len()));
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}
