//! `compare A B`: asks two servers everything that a cluster implies, and says where B answers otherwise than A.
//!
//! A is the server that runs, B the dunlin that is to take its place. Both are asked over UDP, and over TCP after TC,
//! at a bounded rate. What differs is asked once more a little later: a cluster changes while it is being compared.
//! Exit codes: 0 where nothing differs, 1 where something does or a server is silent, 2 for words that are wrong, 3
//! where the names cannot be read.

mod names;
mod source;

use super::options::{Argument, arguments};
use super::{Said, usage};
use crate::client::{self, Server};
use crate::comparison::{self, Ttl, Verdict};
use crate::wire::{Name, RecordType};
use source::Source;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Questions a second, where nothing else is said.
const RATE: f64 = 500.0;
/// Questions in flight.
const IN_FLIGHT: usize = 64;
/// How long a server has for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a cluster has to tell both servers what has changed.
const SETTLE: Duration = Duration::from_secs(1);

/// A name and a type.
type Question = (Name, RecordType);

/// What is compared.
struct Compared {
    servers: [Server; 2],
    sources: Vec<Source>,
    zone: Name,
    rate: f64,
    ttl: Ttl,
}

/// How one question went.
enum Outcome {
    Verdict(Verdict),
    /// A server was silent: which, and what is known of it.
    Silence(String),
}

pub(super) fn run(words: &[String]) -> Said {
    let compared = match read(words) {
        Ok(compared) => compared,
        Err(why) => return usage("compare", &why),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let told = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let told = runtime.block_on(compare(&compared));
        runtime.shutdown_background();
        told
    });
    told.unwrap_or_else(|why| Said { error: format!("{why}\n"), code: 3, ..Said::default() })
}

async fn compare(compared: &Compared) -> Result<Said, String> {
    // A second provider could only come from a dependency's feature; then the first one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut questions = Vec::new();
    for source in &compared.sources {
        questions.extend(source.questions(&compared.zone).await?);
    }
    questions.sort();
    questions.dedup();
    let mut outcomes = ask_all(compared, &questions).await;
    let doubtful: Vec<usize> = (0..questions.len()).filter(|at| !is_settled(&outcomes[*at])).collect();
    if !doubtful.is_empty() {
        sleep(SETTLE).await;
        let again: Vec<Question> = doubtful.iter().map(|at| questions[*at].clone()).collect();
        for (at, outcome) in doubtful.into_iter().zip(ask_all(compared, &again).await) {
            outcomes[at] = outcome;
        }
    }
    Ok(tell(&questions, &outcomes))
}

fn is_settled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Verdict(Verdict::Equal | Verdict::Deliberate(_)))
}

/// Asks both servers all questions, so many a second.
async fn ask_all(compared: &Compared, questions: &[Question]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    outcomes.resize_with(questions.len(), || Outcome::Silence("it was not asked".into()));
    let mut pace = interval(Duration::from_secs_f64(1.0 / compared.rate));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flying = JoinSet::new();
    for (at, (name, qtype)) in questions.iter().enumerate() {
        pace.tick().await;
        if flying.len() >= IN_FLIGHT {
            take(flying.join_next().await, &mut outcomes);
        }
        let ([a, b], query, ttl) = (compared.servers.clone(), client::query(name, *qtype), compared.ttl);
        flying.spawn(async move { (at, ask(&a, &b, &query, ttl).await) });
    }
    while let Some(done) = flying.join_next().await {
        take(Some(done), &mut outcomes);
    }
    outcomes
}

fn take(done: Option<Result<(usize, Outcome), tokio::task::JoinError>>, outcomes: &mut [Outcome]) {
    if let Some(Ok((at, outcome))) = done {
        outcomes[at] = outcome;
    }
}

async fn ask(a: &Server, b: &Server, query: &[u8], ttl: Ttl) -> Outcome {
    match tokio::join!(a.ask(query, TIMEOUT), b.ask(query, TIMEOUT)) {
        (Ok(theirs), Ok(ours)) => Outcome::Verdict(comparison::compare(query, &theirs, &ours, ttl)),
        (Err(trouble), _) => Outcome::Silence(format!("{}: {trouble}", a.address)),
        (_, Err(trouble)) => Outcome::Silence(format!("{}: {trouble}", b.address)),
    }
}

/// A line a difference, then the reasons, then the counts.
fn tell(questions: &[Question], outcomes: &[Outcome]) -> Said {
    let (mut said, mut equal, mut different, mut unanswered) = (Said::default(), 0, 0, 0);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ((name, qtype), outcome) in questions.iter().zip(outcomes) {
        match outcome {
            Outcome::Verdict(Verdict::Equal) => equal += 1,
            Outcome::Verdict(Verdict::Deliberate(reason)) => *reasons.entry(reason).or_default() += 1,
            Outcome::Verdict(Verdict::Different(why)) => {
                different += 1;
                said.output += &format!("different: {name} {qtype}: {why}\n");
            }
            Outcome::Silence(why) => {
                unanswered += 1;
                said.output += &format!("unanswered: {name} {qtype}: {why}\n");
            }
        }
    }
    for (reason, count) in &reasons {
        said.output += &format!("deliberate, {count} times: {reason}\n");
    }
    let deliberate: usize = reasons.values().sum();
    said.output += &format!("equal {equal}, deliberate {deliberate}, different {different}, unanswered {unanswered}\n");
    said.code = u8::from(different + unanswered > 0);
    said
}

fn read(words: &[String]) -> Result<Compared, String> {
    let values = ["names", "manifests", "kubeconfig", "zone", "rate"];
    let (mut plain, mut sources, mut kubeconfig, mut zone) = (Vec::new(), Vec::new(), None, "cluster.local");
    let (mut cluster, mut rate, mut ttl) = (false, RATE, Ttl::Remaining);
    for argument in arguments(words, &["cluster", "exact-ttl"], &values)? {
        match argument {
            Argument::Plain(word) => plain.push(super::query::address(word, crate::cli::DNS_PORT)?.0),
            Argument::Switch("cluster") => cluster = true,
            Argument::Switch(_) => ttl = Ttl::Exact,
            Argument::Value("names", path) => sources.push(Source::Names(path.into())),
            Argument::Value("manifests", path) => sources.push(Source::Manifests(path.into())),
            Argument::Value("kubeconfig", path) => kubeconfig = Some(path.into()),
            Argument::Value("zone", value) => zone = value,
            Argument::Value(_, value) => {
                let number = value.parse().ok().filter(|rate| (1.0..=100_000.0).contains(rate));
                rate = number.ok_or_else(|| format!("--rate '{value}' is no number from 1 to 100000"))?;
            }
        }
    }
    let [a, b] = plain[..] else { return Err("two servers are expected".to_owned()) };
    match (cluster, kubeconfig) {
        (true, kubeconfig) => sources.push(Source::Cluster(kubeconfig)),
        (false, Some(_)) => return Err("--kubeconfig needs --cluster".to_owned()),
        (false, None) => {}
    }
    if sources.is_empty() {
        return Err("--names, --manifests or --cluster is expected".to_owned());
    }
    let zone = Name::from_text(zone).map_err(|why| format!("--zone '{zone}': {why}"))?;
    Ok(Compared { servers: [a, b].map(Server::plain), sources, zone, rate, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let of = |line: &str| read(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let compared = of("::1 192.0.2.1:1053 --cluster --kubeconfig x --names y --rate 10 --exact-ttl").unwrap();
        assert_eq!(compared.servers[1].address, "192.0.2.1:1053".parse().unwrap());
        assert!(compared.sources.len() == 2 && compared.rate == 10.0 && compared.ttl == Ttl::Exact);
        for (line, why) in [
            ("::1 --cluster", "two servers are expected"),
            ("::1 ::2", "--names, --manifests or --cluster is expected"),
            ("::1 ::2 --names x --kubeconfig y", "--kubeconfig needs --cluster"),
            ("::1 ::2 --cluster --rate 0", "--rate '0' is no number from 1 to 100000"),
            ("::1 ::2 --cluster --zone a..b", "--zone 'a..b'"),
            ("::1 ::2 --cluster --slow", "--slow is not known"),
        ] {
            let Err(found) = of(line) else { panic!("{line}") };
            assert!(found.starts_with(why), "{line}: {found}");
        }
    }
}
