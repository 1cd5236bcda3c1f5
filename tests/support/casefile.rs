//! The text form of the edge cases; tests/cases/README.md describes it.

use super::{Answer, Question};

/// A server, and the cases it is asked.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    pub name: String,
    pub zone: String,
    /// The TTL of the zone's records in seconds.
    pub ttl: u32,
    pub fast_only: bool,
    pub objects: Vec<String>,
    pub corefile: String,
    pub cases: Vec<Case>,
}

/// One numbered case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// File and line.
    pub place: String,
    pub number: u32,
    pub title: String,
    pub differs: Option<String>,
    pub later: Option<String>,
    pub elsewhere: Option<String>,
    pub exact: bool,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Ask(Ask),
    Write(String, String),
    Remove(String),
    RememberSerial,
    SameSerial,
    /// What a server that does not start says.
    Refuses(Vec<String>),
}

/// A question and what is right.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub place: String,
    /// Over UDP whatever the lane.
    pub udp: bool,
    pub question: String,
    pub rcode: String,
    pub aa: bool,
    pub tc: bool,
    /// The zone whose SOA stands in authority.
    pub soa: Option<String>,
    pub answer: Vec<String>,
    pub additional: Vec<String>,
    /// So many records that begin so.
    pub counts: Vec<(usize, String)>,
}

/// Reads a file of cases.
///
/// # Panics
/// Where it is not in the form; the message names the line.
pub fn parse(file: &str, text: &str) -> Vec<Fixture> {
    let mut fixtures: Vec<Fixture> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let place = format!("{file}:{}", index + 1);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word.is_empty() || word == "#" {
            continue;
        }
        let mut indented = Vec::new();
        while let Some((at, inner)) = lines.next_if(|(_, next)| next.starts_with("    ")) {
            indented.push((format!("{file}:{}", at + 1), inner[4..].to_owned()));
        }
        let block = || indented.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
        if word == "fixture" {
            fixtures.push(Fixture { name: rest.into(), zone: "cluster.local.".into(), ttl: 5, ..Fixture::default() });
            continue;
        }
        let fixture = fixtures.last_mut().unwrap_or_else(|| panic!("{place}: a fixture first"));
        match word {
            "zone" => fixture.zone = rest.into(),
            "ttl" => fixture.ttl = rest.parse().unwrap_or_else(|_| panic!("{place}: ttl SECONDS")),
            "lanes" => fixture.fast_only = rest == "fast",
            "objects" => fixture.objects = rest.split_whitespace().map(str::to_owned).collect(),
            "corefile" => fixture.corefile = block(),
            "case" => {
                let (number, title) = rest.split_once(' ').unwrap_or((rest, ""));
                let number = number.parse().unwrap_or_else(|_| panic!("{place}: case NUMBER TITLE"));
                fixture.cases.push(Case { place, number, title: title.into(), ..Case::default() });
            }
            _ => {
                let (zone, ttl) = (fixture.zone.clone(), fixture.ttl);
                let case = fixture.cases.last_mut().unwrap_or_else(|| panic!("{place}: a case first"));
                match word {
                    "differs" => case.differs = Some(rest.into()),
                    "later" => case.later = Some(rest.into()),
                    "elsewhere" => case.elsewhere = Some(rest.into()),
                    "exact" => case.exact = true,
                    "write" => case.steps.push(Step::Write(rest.into(), block())),
                    "remove" => case.steps.push(Step::Remove(rest.into())),
                    "remember" => case.steps.push(Step::RememberSerial),
                    "same" => case.steps.push(Step::SameSerial),
                    "refuses" => case.steps.push(Step::Refuses(indented.into_iter().map(|(_, line)| line).collect())),
                    "ask" => case.steps.push(Step::Ask(Ask::parse(place, rest, &indented, &zone, ttl))),
                    other => panic!("{place}: {other}?"),
                }
            }
        }
    }
    fixtures
}

impl Ask {
    fn parse(place: String, question: &str, expected: &[(String, String)], zone: &str, ttl: u32) -> Ask {
        let mut words = question.split_whitespace();
        let name = absolute(words.next().unwrap_or_default(), zone);
        let words: Vec<&str> = words.collect();
        let mut ask = Ask {
            udp: words.contains(&"udp"),
            question: std::iter::once(name.as_str())
                .chain(words.iter().copied().filter(|word| *word != "udp"))
                .collect::<Vec<_>>()
                .join(" "),
            place: place.clone(),
            rcode: "NOERROR".into(),
            aa: true,
            ..Ask::default()
        };
        if let Err(error) = Question::parse(&ask.question) {
            panic!("{place}: {error}");
        }
        assert!(!expected.is_empty(), "{place}: what is right stands indented below");
        for (place, line) in expected {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let first = words.first().copied().unwrap_or_default();
            if let ("NODATA" | "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "FORMERR" | "BADVERS" | "SOME", tail) =
                (first, &words)
            {
                let negative = matches!(first, "NODATA" | "NXDOMAIN");
                ask.tc = tail.contains(&"tc");
                ask.aa = !tail.contains(&"noaa") && (negative || first == "SOME" || tail.contains(&"aa"));
                let given = tail.get(1).filter(|word| !["aa", "noaa", "tc"].contains(word));
                ask.soa = match given {
                    _ if first == "SOME" => None,
                    Some(&"-") => None,
                    Some(zone) => Some((*zone).to_owned()),
                    None => negative.then(|| zone.to_owned()),
                };
                if !matches!(first, "NODATA" | "SOME") {
                    ask.rcode = first.into();
                }
                continue;
            }
            if words.get(1) == Some(&"of") {
                let count = first.parse().unwrap_or_else(|_| panic!("{place}: COUNT of RECORDS"));
                ask.counts.push((count, record(&words[2..], zone)));
                continue;
            }
            let additional = first == "+";
            if additional {
                words.remove(0);
            }
            let record = record(&words, zone);
            if additional { ask.additional.push(record) } else { ask.answer.push(record) }
        }
        if let Some(zone) = &ask.soa
            && zone != "."
        {
            let own = ttl.min(300);
            ask.soa = Some(format!("{zone} {own} SOA ns.dns.{zone} hostmaster.{zone} SERIAL 7200 1800 86400 {ttl}"));
        }
        ask
    }

    /// What of an answer is not right.
    pub fn verdict(&self, got: &Answer, exact: bool) -> Result<(), String> {
        let shown = || {
            format!(
                "{} [{}]\n      answer {:?}\n      authority {:?}\n      additional {:?}",
                got.rcode,
                got.flags.join(" "),
                got.answer,
                got.authority,
                got.additional
            )
        };
        let wrong = |what: &str| Err(format!("{what}, got {}", shown()));
        if got.rcode != self.rcode {
            return wrong(&format!("{} expected", self.rcode));
        }
        if got.has("AA") != self.aa {
            return wrong(if self.aa { "AA expected" } else { "no AA expected" });
        }
        if got.has("TC") != self.tc {
            return wrong(if self.tc { "TC expected" } else { "no TC expected" });
        }
        match (&self.soa, got.authority.as_slice()) {
            (None, []) => {}
            (Some(zone), [soa]) if zone == "." && soa.starts_with(". ") => {}
            (Some(right), [soa]) if same(right, soa, exact) => {}
            (None, _) => return wrong("an empty authority section expected"),
            (Some(right), _) => return wrong(&format!("authority {right} expected")),
        }
        if self.tc {
            return Ok(());
        }
        if !self.counts.is_empty() {
            let total: usize = self.counts.iter().map(|(count, _)| count).sum();
            let begins = |prefix: &str| got.answer.iter().filter(|record| record.starts_with(prefix)).count();
            let right = self.counts.iter().all(|(count, prefix)| begins(prefix) == *count);
            return if right && total == got.answer.len() {
                Ok(())
            } else {
                wrong(&format!("{:?} expected", self.counts))
            };
        }
        for (section, right, got) in
            [("answer", &self.answer, &got.answer), ("additional", &self.additional, &got.additional)]
        {
            let mut left: Vec<&String> = got.iter().collect();
            for record in right {
                match left.iter().position(|other| same(record, other, exact)) {
                    Some(at) => drop(left.swap_remove(at)),
                    None => return wrong(&format!("{section}: {record} expected")),
                }
            }
            if !left.is_empty() {
                return wrong(&format!("{section}: {left:?} not expected"));
            }
        }
        Ok(())
    }
}

fn absolute(name: &str, zone: &str) -> String {
    match name {
        "@" => zone.into(),
        absolute if absolute.ends_with('.') => absolute.into(),
        relative => format!("{relative}.{zone}"),
    }
}

/// A record with its names made absolute.
fn record(words: &[&str], zone: &str) -> String {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words[0] = absolute(&words[0], zone);
    let last = words.len() - 1;
    let name_at = match (words.get(2).map(String::as_str), words.len()) {
        (Some("CNAME" | "NS" | "PTR"), 4) | (Some("SRV"), 7) => Some(last),
        _ => None,
    };
    if let Some(at) = name_at {
        words[at] = absolute(&words[at], zone);
    }
    words.join(" ")
}

/// Whether two records are one; `SERIAL` stands for any serial.
fn same(right: &str, got: &str, exact: bool) -> bool {
    let any_serial = |record: &str| -> String {
        let mut words: Vec<&str> = record.split(' ').collect();
        if words.len() == 10 && words[2] == "SOA" && right.contains("SERIAL") {
            words[5] = "SERIAL";
        }
        words.join(" ")
    };
    let (right, got) = (right.to_owned(), any_serial(got));
    if exact { right == got } else { right.eq_ignore_ascii_case(&got) }
}
