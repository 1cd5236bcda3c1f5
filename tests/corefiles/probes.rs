//! The text form of a probe list: what a node gives a Corefile, and what the server that runs it must answer.
//! tests/data/corefiles/README.md describes it.

use super::support::{Answer, Question, read};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Where probe lists and their Corefiles stand.
pub const FOLDER: &str = "tests/data/corefiles";

/// A probe list.
#[derive(Default)]
pub struct List {
    /// Addresses of the node.
    pub addresses: Vec<IpAddr>,
    /// Addresses of upstream servers; the first stands in /etc/resolv.conf.
    pub upstreams: Vec<IpAddr>,
    /// An upstream that also speaks DNS over TLS under this name, and the file its authority is given in.
    pub encrypted: Option<(String, String)>,
    pub environment: Vec<(String, String)>,
    /// Words that the distribution replaces in the Corefile.
    pub filled: Vec<(String, String)>,
    pub files: Vec<(String, String)>,
    /// Plugins that are not there yet: until they are, the Corefile must be refused for their sake.
    pub waits: Vec<String>,
    pub probes: Vec<Probe>,
}

pub struct Probe {
    /// File and line.
    pub place: String,
    /// The directives that it shows.
    pub shows: Vec<String>,
    pub what: What,
}

pub enum What {
    Ask(Ask),
    /// An HTTP request to this URL answers 200, and these texts.
    Get(String, Vec<String>),
    /// It answers something else than 200, or nobody answers.
    GetFails(String),
    /// The server's log has a line with this text.
    Log(String),
    /// It has none so far.
    NoLog(String),
    /// The upstreams were asked so: `udp 192.0.2.53 www.example.com. A`, with the texts in that line.
    Asked(String),
    /// No answer from this address.
    Closed(SocketAddr),
    /// The addresses of this question come in more than one order.
    Rotates(SocketAddr, String),
    /// The upstreams go away.
    Stop,
    /// SIGTERM: the server still answers, or ends with this code.
    Term(Option<i32>),
}

/// A question and what is right.
pub struct Ask {
    pub at: SocketAddr,
    pub from: Option<IpAddr>,
    pub question: Question,
    expected: Vec<Vec<String>>,
}

impl List {
    /// Reads `NAME.probes`.
    ///
    /// # Panics
    /// Where it is not in the form; the message names the line.
    pub fn load(name: &str) -> List {
        let mut reader = Reader {
            list: List::default(),
            at: SocketAddr::from(([127, 0, 0, 1], 53)),
            shows: Vec::new(),
            lets: BTreeMap::new(),
        };
        reader.file(&format!("{name}.probes"));
        assert!(!reader.list.probes.is_empty(), "{name}: a list of probes");
        reader.list
    }

    /// Every directive that some probe shows.
    pub fn shown(&self) -> BTreeSet<&str> {
        self.probes.iter().flat_map(|probe| &probe.shows).map(String::as_str).collect()
    }
}

struct Reader {
    list: List,
    at: SocketAddr,
    shows: Vec<String>,
    lets: BTreeMap<String, String>,
}

impl Reader {
    fn file(&mut self, file: &str) {
        let text = read(&format!("{FOLDER}/{file}"));
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let place = format!("{file}:{}", index + 1);
            let mut block = Vec::new();
            while let Some((_, inner)) = lines.next_if(|(_, next)| next.starts_with("    ")) {
                block.push(self.replaced(&inner[4..]));
            }
            let line = self.replaced(line);
            if !line.is_empty() && !line.starts_with('#') {
                self.line(&place, &line, block);
            }
        }
    }

    fn replaced(&self, line: &str) -> String {
        self.lets.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("${name}"), value))
    }

    fn line(&mut self, place: &str, line: &str, block: Vec<String>) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (name, value) = rest.split_once(' ').unwrap_or_else(|| panic!("{place}: {word} NAME VALUE"));
            (name.to_owned(), value.to_owned())
        };
        let addresses =
            || rest.split_whitespace().map(|ip| ip.parse::<IpAddr>().unwrap_or_else(|_| panic!("{place}: {ip}")));
        let list = &mut self.list;
        match word {
            "include" => self.file(rest),
            "let" => {
                let (name, value) = pair();
                self.lets.entry(name).or_insert(value);
            }
            "address" => list.addresses.extend(addresses()),
            "upstream" => list.upstreams.extend(addresses()),
            "encrypted" => list.encrypted = Some(pair()),
            "env" => list.environment.push(pair()),
            "fill" => list.filled.push(pair()),
            "file" => list.files.push((rest.to_owned(), block.join("\n") + "\n")),
            "waits" => list.waits.extend(rest.split_whitespace().map(str::to_owned)),
            "at" => self.at = socket(rest).unwrap_or_else(|| panic!("{place}: at ADDRESS[:PORT]")),
            _ if line.starts_with('[') => {
                self.shows = line.trim_matches(['[', ']']).split_whitespace().map(str::to_owned).collect();
            }
            _ => {
                assert!(!self.shows.is_empty(), "{place}: a probe shows [DIRECTIVES]");
                let what = match word {
                    "ask" => What::Ask(Ask::parse(place, self.at, rest, &block)),
                    "get" => What::Get(rest.into(), block),
                    "get-fails" => What::GetFails(rest.into()),
                    "log" => What::Log(rest.into()),
                    "no-log" => What::NoLog(rest.into()),
                    "asked" => What::Asked(rest.into()),
                    "closed" => What::Closed(socket(rest).unwrap_or_else(|| panic!("{place}: closed ADDRESS"))),
                    "rotates" => What::Rotates(self.at, rest.into()),
                    "stop" => What::Stop,
                    "term" => What::Term(rest.parse().ok()),
                    other => panic!("{place}: {other}?"),
                };
                self.list.probes.push(Probe { place: place.into(), shows: self.shows.clone(), what });
            }
        }
    }
}

fn socket(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)))
}

impl Ask {
    fn parse(place: &str, at: SocketAddr, text: &str, expected: &[String]) -> Ask {
        let words = || text.split_whitespace();
        let from = words().find_map(|word| word.strip_prefix("from=")).map(|ip| ip.parse().expect("from=ADDRESS"));
        let question: Vec<_> = words().filter(|word| !word.starts_with("from=")).collect();
        let question = Question::parse(&question.join(" ")).unwrap_or_else(|why| panic!("{place}: {why}"));
        assert!(!expected.is_empty(), "{place}: what is right stands indented below");
        let expected = expected.iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        Ask { at, from, question, expected }
    }

    /// What of an answer is not right.
    pub fn verdict(&self, got: &Answer) -> Result<(), String> {
        let (mut answer, mut additional, mut rcode) = (Vec::new(), Vec::new(), "NOERROR");
        for words in &self.expected {
            let first = words[0].as_str();
            let flag = |word: &str| got.has(&word.to_uppercase());
            match first {
                "NODATA" | "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "FORMERR" | "NOTIMP" => {
                    rcode = if first == "NODATA" { "NOERROR" } else { first };
                    if let Some(zone) = words.get(1)
                        && !got.authority.iter().any(|soa| soa.starts_with(&format!("{zone} ")))
                    {
                        return Err(format!("the SOA of {zone} in authority expected, got {}", shown(got)));
                    }
                }
                "aa" | "tc" | "ra" if !flag(first) => return Err(format!("{first} expected, got {}", shown(got))),
                "noaa" | "notc" if flag(&first[2..]) => return Err(format!("{first} expected, got {}", shown(got))),
                "aa" | "tc" | "ra" | "noaa" | "notc" => {}
                "option" => {
                    let code: u16 = words[1].parse().expect("option CODE");
                    if !got.edns.as_ref().is_some_and(|opt| opt.options.contains(&code)) {
                        return Err(format!("EDNS option {code} expected, got {:?}", got.edns));
                    }
                }
                "payload" => {
                    let payload: u16 = words[1].parse().expect("payload OCTETS");
                    if got.edns.as_ref().map(|opt| opt.payload) != Some(payload) {
                        return Err(format!("a payload of {payload} expected, got {:?}", got.edns));
                    }
                }
                "+" => additional.push(&words[1..]),
                _ => answer.push(&words[..]),
            }
        }
        if got.rcode != rcode {
            return Err(format!("{rcode} expected, got {}", shown(got)));
        }
        if got.has("TC") && answer.is_empty() {
            return Ok(());
        }
        self.records("answer", &answer, &got.answer).map_err(|why| format!("{why}, got {}", shown(got)))?;
        if additional.is_empty() {
            return Ok(());
        }
        self.records("additional", &additional, &got.additional).map_err(|why| format!("{why}, got {}", shown(got)))
    }

    fn records(&self, section: &str, right: &[&[String]], got: &[String]) -> Result<(), String> {
        let mut left: Vec<&String> = got.iter().collect();
        for record in right {
            match left.iter().position(|other| self.same(record, other)) {
                Some(at) => drop(left.swap_remove(at)),
                None => return Err(format!("{section}: {} expected", record.join(" "))),
            }
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{section}: {left:?} not expected")) }
    }

    /// `@` is the name asked, `*` any word, `~N` a TTL of 1 to N.
    fn same(&self, right: &[String], got: &str) -> bool {
        let got: Vec<&str> = got.split(' ').collect();
        let same = |(right, got): (&String, &&str)| match right.as_str() {
            "*" => true,
            "@" => got.eq_ignore_ascii_case(&self.question.name),
            word if word.starts_with('~') => {
                let most: u32 = word[1..].parse().expect("~SECONDS");
                got.parse::<u32>().is_ok_and(|ttl| (1..=most).contains(&ttl))
            }
            word => word.eq_ignore_ascii_case(got),
        };
        right.len() == got.len() && right.iter().zip(&got).all(same)
    }
}

fn shown(got: &Answer) -> String {
    let Answer { rcode, flags, answer, authority, .. } = got;
    let answer = answer.iter().take(6).collect::<Vec<_>>();
    format!("{rcode} [{}] {answer:?} authority {authority:?}", flags.join(" "))
}
