//! CoreDNS's recorded answers, the list of deliberate differences, and the verdict on an answer of ours.

use super::{Answer, Question, read};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const FOLDER: &str = "tests/data/conformance";

/// A recorded answer, or what ours should be instead.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// The question as text.
    pub q: String,
    pub rcode: String,
    pub flags: String,
    pub answer: Vec<String>,
    pub authority: Vec<String>,
    pub additional: Vec<String>,
    pub edns: bool,
}

impl Recorded {
    fn name(&self) -> &str {
        self.q.split(' ').next().unwrap_or_default()
    }

    fn qtype(&self) -> &str {
        self.q.split(' ').nth(1).unwrap_or_default()
    }

    pub fn truncated(&self) -> bool {
        self.flags.contains("TC")
    }

    /// `DATA`, `NODATA`, or the rcode.
    fn outcome(&self) -> &str {
        match (self.rcode.as_str(), self.answer.is_empty()) {
            ("NOERROR", true) => "NODATA",
            ("NOERROR", false) => "DATA",
            (other, _) => other,
        }
    }
}

/// One configuration and everything that was recorded with it.
pub struct Variant {
    pub name: String,
    pub corefile: String,
    pub recorded: Vec<Recorded>,
}

impl Variant {
    pub fn load(name: &str) -> Variant {
        let recorded = read(&format!("{FOLDER}/variants/{name}/answers.jsonl"));
        Variant {
            name: name.into(),
            corefile: read(&format!("{FOLDER}/variants/{name}/Corefile")),
            recorded: recorded.lines().map(|line| serde_json::from_str(line).expect("a recorded answer")).collect(),
        }
    }

    pub fn questions(&self) -> Vec<Question> {
        self.recorded.iter().map(|recorded| Question::parse(&recorded.q).expect("a question")).collect()
    }

    fn find(&self, name: &str, qtype: &str) -> Option<&Recorded> {
        let q = format!("{name} {qtype}");
        self.recorded.iter().find(|recorded| recorded.q == q)
    }

    /// The SOA in authority of the zone that a name is in, as recorded.
    fn soa(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let within = |owner: &str| name == owner || name.ends_with(&format!(".{owner}"));
        let owners = self.recorded.iter().flat_map(|recorded| &recorded.authority);
        owners.filter(|soa| within(&owner(soa).to_lowercase())).max_by_key(|soa| owner(soa).len()).map(String::as_str)
    }

    /// All records of the answer to a question, from the recorded answer that was not cut.
    pub fn whole(&self, question: &Recorded) -> Option<&Recorded> {
        let same = |other: &&Recorded| other.name() == question.name() && other.qtype() == question.qtype();
        self.recorded.iter().filter(same).find(|other| !other.truncated())
    }
}

fn owner(record: &str) -> &str {
    record.split(' ').next().unwrap_or_default()
}

/// The names of all variants.
pub fn variants() -> Vec<String> {
    let entries = std::fs::read_dir(super::repository(&format!("{FOLDER}/variants"))).expect("the variants");
    let names = entries.map(|entry| entry.expect("a variant").file_name().to_string_lossy().into_owned());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// `deliberate.txt`, which explains its own form.
pub struct Deliberate {
    rules: Vec<Rule>,
}

struct Rule {
    name: String,
    variants: Variants,
    theirs: Vec<String>,
    ours: Ours,
    glue: Vec<String>,
    /// Name (or `*`, or `.ZONE` for all below it) and types.
    asks: Vec<(String, Vec<String>)>,
}

enum Ours {
    NoData,
    MissingAs(String, String),
    Cut,
    Records(Vec<String>),
}

struct Variants(Vec<String>);

impl Variants {
    fn read(text: &str) -> Variants {
        Variants(text.split_whitespace().map(str::to_owned).collect())
    }

    fn has(&self, variant: &str) -> bool {
        let named = |word: &String| word == variant || word == "*";
        self.0.iter().any(named) && !self.0.contains(&format!("-{variant}"))
    }
}

/// What a listed difference makes of a question: the rule, its `ask` line, and the right answer.
pub struct Difference {
    pub rule: String,
    /// The rule and the line of it that met the question.
    pub line: String,
    pub ours: Recorded,
    /// Whether TC must be set.
    pub cut: bool,
}

impl Deliberate {
    pub fn load() -> Deliberate {
        let mut all = Deliberate { rules: Vec::new() };
        for line in read(&format!("{FOLDER}/deliberate.txt")).lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => {}
                "rule" => all.rules.push(Rule {
                    name: rest.into(),
                    variants: Variants(Vec::new()),
                    theirs: Vec::new(),
                    ours: Ours::NoData,
                    glue: Vec::new(),
                    asks: Vec::new(),
                }),
                _ => all.rules.last_mut().expect("a rule first").read(word, rest),
            }
        }
        all
    }

    /// Every `ask` line of every rule, as [`Difference::line`] gives it.
    pub fn lines(&self) -> BTreeSet<String> {
        let lines = |rule: &Rule| rule.asks.iter().map(|(name, _)| rule.line(name)).collect::<Vec<_>>();
        self.rules.iter().flat_map(lines).collect()
    }

    /// The listed difference for a question of a variant, if there is one.
    pub fn difference(&self, variant: &Variant, recorded: &Recorded) -> Option<Difference> {
        let name = recorded.name();
        self.rules.iter().filter(|rule| rule.variants.has(&variant.name)).find_map(|rule| {
            let matches = |(asked, types): &&(String, Vec<String>)| {
                let (options, types): (Vec<_>, Vec<_>) = types.iter().partition(|word| word.contains('='));
                (asked == "*" || asked == name || asked.starts_with('.') && name.ends_with(asked.as_str()))
                    && types.iter().any(|word| *word == recorded.qtype())
                    && options.iter().all(|option| recorded.q.split(' ').any(|word| word == *option))
            };
            let (asked, _) = rule.asks.iter().find(matches)?;
            if !rule.theirs.iter().any(|word| word == recorded.outcome()) {
                return None;
            }
            let mut ours = recorded.clone();
            ours.answer.clear();
            ours.authority.clear();
            ours.additional.clear();
            match &rule.ours {
                Ours::NoData => {
                    ours.rcode = "NOERROR".into();
                    ours.authority.push(variant.soa(name)?.into());
                }
                Ours::MissingAs(other, qtype) => {
                    let other = variant.find(if other == "@" { name } else { other }, qtype)?;
                    // That one may be a listed difference itself: then the name exists.
                    if other.rcode != "NXDOMAIN" || self.difference(variant, other).is_some() {
                        return None;
                    }
                    ours = Recorded { q: recorded.q.clone(), edns: recorded.edns, ..other.clone() };
                }
                Ours::Cut => {
                    ours = recorded.clone();
                    ours.flags = recorded.flags.replace("AA", "AA TC");
                }
                Ours::Records(records) => {
                    let fill = |record: &String| fill(record, variant, name);
                    ours.rcode = "NOERROR".into();
                    ours.answer = records.iter().map(fill).collect();
                    ours.additional = rule.glue.iter().map(fill).collect();
                }
            }
            let cut = matches!(rule.ours, Ours::Cut);
            Some(Difference { rule: rule.name.clone(), line: rule.line(asked), ours, cut })
        })
    }
}

fn fill(record: &str, variant: &Variant, name: &str) -> String {
    let ttl = variant.soa(name).and_then(|soa| soa.split(' ').nth(1)).unwrap_or_default();
    record.replace("ZONE", name).replace("TTL", ttl)
}

impl Rule {
    fn read(&mut self, word: &str, rest: &str) {
        match word {
            "why" => assert!(!rest.is_empty(), "{}: a rule has a reason", self.name),
            "in" => self.variants = Variants::read(rest),
            "theirs" => self.theirs = rest.split_whitespace().map(str::to_owned).collect(),
            "ours" if rest == "NODATA" => self.ours = Ours::NoData,
            "ours" if rest == "CUT" => self.ours = Ours::Cut,
            "ours" => match (rest.strip_prefix("NXDOMAIN as "), &mut self.ours) {
                (Some(other), _) => {
                    let (name, qtype) = other.split_once(' ').expect("NXDOMAIN as NAME TYPE");
                    self.ours = Ours::MissingAs(name.into(), qtype.into());
                }
                (None, Ours::Records(records)) => records.push(rest.into()),
                (None, _) => self.ours = Ours::Records(vec![rest.into()]),
            },
            "glue" => self.glue.push(rest.into()),
            "ask" => {
                let mut words = rest.split_whitespace().map(str::to_owned);
                let name = words.next().expect("ask NAME TYPES");
                self.asks.push((name, words.collect()));
            }
            other => panic!("deliberate.txt, rule {}: {other}?", self.name),
        }
    }

    fn line(&self, asked: &str) -> String {
        format!("{}: ask {asked}", self.name)
    }
}

/// Holds an answer of ours against what is right. `Err` says what is wrong.
pub fn verdict(variant: &Variant, right: &Recorded, got: &Answer) -> Result<(), String> {
    if right.rcode != got.rcode {
        return Err(format!("rcode {} where {} is right", got.rcode, right.rcode));
    }
    let flags = |text: &str| text.split(' ').filter(|flag| *flag != "TC").map(str::to_owned).collect::<Vec<_>>();
    if flags(&right.flags) != flags(&got.flags.join(" ")) {
        return Err(format!("flags {} where {} is right", got.flags.join(" "), right.flags));
    }
    if got.edns.is_some() != right.edns {
        return Err("an OPT comes where one was sent".into());
    }
    if got.has("TC") && !right.truncated() {
        return Err("TC is set".into());
    }
    // Where theirs was cut, ours is held against the answer that was not.
    let whole = if right.truncated() { variant.whole(right).unwrap_or(right) } else { right };
    let sections = [
        ("answer", &whole.answer, &got.answer),
        ("authority", &whole.authority, &got.authority),
        ("additional", &whole.additional, &got.additional),
    ];
    for (section, right, got_records) in sections {
        let (missing, surplus) = difference(variant, right, got_records);
        // Of a cut answer any part will do.
        if !surplus.is_empty() || (!missing.is_empty() && !got.has("TC")) {
            return Err(format!(
                "{section}: {} missing {:?}, {} surplus {:?}",
                missing.len(),
                missing.iter().take(3).collect::<Vec<_>>(),
                surplus.len(),
                surplus.iter().take(3).collect::<Vec<_>>()
            ));
        }
    }
    Ok(())
}

/// The records only one side has: case is not significant, nor is the SOA's serial; the remaining TTL of what a cache
/// holds may be a few seconds off.
fn difference(variant: &Variant, right: &[String], got: &[String]) -> (Vec<String>, Vec<String>) {
    let slack = if variant.name == "cached" { 3 } else { 0 };
    let mut surplus: Vec<(String, u32)> = got.iter().map(|record| split_ttl(record)).collect();
    let mut missing = Vec::new();
    for record in right {
        let (rest, ttl) = split_ttl(record);
        match surplus.iter().position(|(other, got)| *other == rest && got.abs_diff(ttl) <= slack) {
            Some(at) => drop(surplus.swap_remove(at)),
            None => missing.push(record.clone()),
        }
    }
    (missing, surplus.into_iter().map(|(rest, ttl)| format!("{rest} (TTL {ttl})")).collect())
}

fn split_ttl(record: &str) -> (String, u32) {
    let mut words: Vec<&str> = record.split(' ').collect();
    let ttl = words.get(1).and_then(|ttl| ttl.parse().ok()).unwrap_or(u32::MAX);
    if words.len() == 10 && words[2] == "SOA" && words[0] != "." {
        words[5] = "SERIAL";
    }
    if words.len() > 1 {
        words.remove(1);
    }
    (words.join(" ").to_lowercase(), ttl)
}

/// The counts of one variant, and what was wrong.
#[derive(Default)]
pub struct Tally {
    pub equal: usize,
    pub deliberate: BTreeMap<String, usize>,
    pub wrong: Vec<String>,
    pub lines: BTreeSet<String>,
}

impl Tally {
    /// Holds all answers of ours to a variant's questions against the recorded ones and the listed differences.
    pub fn of(variant: &Variant, deliberate: &Deliberate, answers: Vec<Result<Answer, String>>) -> Tally {
        let mut tally = Tally::default();
        for (recorded, got) in variant.recorded.iter().zip(answers) {
            let listed = deliberate.difference(variant, recorded);
            let right = listed.as_ref().map_or(recorded, |difference| &difference.ours);
            let cut = listed.as_ref().is_some_and(|difference| difference.cut);
            let result = got.and_then(|got| match verdict(variant, right, &got) {
                Ok(()) if cut && !got.has("TC") => Err("TC is not set".into()),
                verdict => verdict,
            });
            match (result, listed) {
                (Ok(()), None) => tally.equal += 1,
                (Ok(()), Some(difference)) => {
                    *tally.deliberate.entry(difference.rule).or_default() += 1;
                    tally.lines.insert(difference.line);
                }
                (Err(why), listed) => {
                    let rule = listed.map(|difference| format!(" (rule {})", difference.rule)).unwrap_or_default();
                    tally.wrong.push(format!("{}: {why}{rule}", recorded.q));
                }
            }
        }
        tally
    }

    pub fn deliberate_total(&self) -> usize {
        self.deliberate.values().sum()
    }
}
