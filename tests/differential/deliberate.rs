//! What is another answer on purpose: why, and which.

use super::FOLDER;
use super::timelines::is_near;
use crate::support::{read, repository};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The lines of `deliberate.txt`, `NAME: CASE: REASON`: what is another answer on purpose. A `*` in NAME or CASE is any
/// text.
pub struct Deliberate(Vec<Line>);

pub struct Line {
    text: String,
    pattern: String,
    pub met: bool,
}

/// A difference that is a rule: a SOA that says no is held to its last field (RFC 2308 section 3).
const NEGATIVE_TTL: &str = "*: TTL of a negative SOA";
/// Another: an OPT, and the DO bit in it, is for those who sent one (RFC 6891 section 7, RFC 3225 section 3).
const UNASKED_OPT: &str = "*: OPT or DO bit that was not sent";
/// Another: a record of the name that was asked for has it as it was asked.
const ASKED_CASE: &str = "*: case of an owner's name";

impl Deliberate {
    pub fn load() -> Deliberate {
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
    pub fn of(&mut self, case: &str) -> Option<&mut Line> {
        self.0.iter_mut().find(|line| matches(&line.pattern, case))
    }

    /// What is listed for these names and did not occur, a sentence each.
    pub fn idle(&self, names: &[String]) -> Vec<String> {
        let is_theirs = |line: &&Line| names.iter().any(|name| line.pattern.starts_with(&format!("{name}: ")));
        let idle = self.0.iter().filter(is_theirs).filter(|line| !line.met);
        idle.map(|line| format!("listed, but it does not occur: {}", line.text)).collect()
    }
}

/// The rule by which ours differs from theirs, if it is nothing else.
pub fn rule(case: &str, theirs: &str, ours: &str) -> Option<&'static str> {
    let by_rules = [
        (NEGATIVE_TTL, with_negative_ttl(theirs)),
        (UNASKED_OPT, with_asked_opt(case, theirs)),
        (ASKED_CASE, with_asked_case(case, theirs)),
    ];
    by_rules.into_iter().find(|(_, theirs)| theirs == ours).map(|(rule, _)| rule)
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

/// What dunlin answers to the cases that are listed one by one, `CASE => ANSWER`: a difference on purpose is a known one.
pub struct Ours {
    kept: BTreeMap<String, String>,
    seen: BTreeMap<String, String>,
}

const OURS: &str = "ours.txt";
/// Between a case and what is answered to it.
const BETWEEN: &str = " => ";
/// The tests run side by side, and write one file.
static WRITING: Mutex<()> = Mutex::new(());

impl Ours {
    pub fn load() -> Ours {
        let text = read(&format!("{FOLDER}/{OURS}"));
        let pair = |line: &str| {
            let (case, answer) =
                line.split_once(BETWEEN).unwrap_or_else(|| panic!("CASE{BETWEEN}ANSWER expected: {line}"));
            (case.to_owned(), answer.to_owned())
        };
        Ours { kept: text.lines().map(pair).collect(), seen: BTreeMap::new() }
    }

    /// What is to be said of an answer that is not the one that was kept.
    pub fn differs(&mut self, case: &str, answer: &str) -> Option<String> {
        let answer = answer.replace('\n', "\\n");
        let kept = self.kept.get(case).map_or("nothing", String::as_str);
        let is_wrong = !is_near(kept, &answer) && !is_writing();
        let said = is_wrong
            .then(|| format!("{case}: on purpose another answer, but not this one\n  kept {kept}\n  ours {answer}"));
        self.seen.insert(case.to_owned(), answer);
        said
    }

    /// Writes what was seen, where that is wanted.
    pub fn save(&self) {
        if is_writing() {
            let _turn = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
            let mut all = Ours::load().kept;
            all.extend(self.seen.clone());
            let lines: String = all.iter().map(|(case, answer)| format!("{case}{BETWEEN}{answer}\n")).collect();
            std::fs::write(repository(&format!("{FOLDER}/{OURS}")), lines).expect("the file is written");
        }
    }
}

fn is_writing() -> bool {
    std::env::var_os("DUNLIN_WRITE_OURS").is_some()
}
