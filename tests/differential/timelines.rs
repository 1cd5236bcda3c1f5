//! Answers over time: `NAME.timelines` has timelines, each with its `cache`, what the upstream says from which second
//! on, and in which seconds is asked; behind each of these what was answered, and whether the upstream was asked for
//! it.
//!
//! All go side by side, each in a server block of its own. One whose seconds the machine did not keep goes again.

use super::answers::shown;
use super::script::{Scripted, Stage};
use super::support::{Client, Question, Scratch, Start, free_port, read, repository};
use super::{FOLDER, Recorded, Tally, names, recorded_program};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long behind an answer the upstream may be asked for its sake.
const ASKED: Duration = Duration::from_millis(500);
/// In which millisecond of a second of the system's clock a script begins: questions come half a second behind it.
const BEGIN: u32 = 550;
/// How late a question may be asked.
const LATE: Duration = Duration::from_millis(400);
/// How often a timeline is begun anew.
const ATTEMPTS: u8 = 5;
/// By how many seconds TTLs may differ.
const TOLERANCE: u64 = 1;
const WAIT: Duration = Duration::from_secs(3);

#[test]
fn answers_over_time_are_those_recorded() {
    let names = names(".timelines");
    for file in &names {
        let path = format!("{FOLDER}/{file}.timelines");
        let timelines: Vec<_> = read(&path).split("=== ").skip(1).map(Timeline::parse).collect();
        let upstream = Scripted::start();
        let corefile: String = timelines.iter().map(Timeline::block).collect();
        if let Some(program) = recorded_program() {
            let (scratch, port) = (Scratch::new(), free_port());
            let environment = [("PORT", port.to_string()), ("UPSTREAM", upstream.address.to_string())];
            let written = scratch.write("Corefile", &corefile);
            let running = Recorded::listening(&program, &written, port, &environment);
            let played = play(&timelines, SocketAddr::from(([127, 0, 0, 1], port)), &upstream);
            drop(running);
            let text: String = timelines.iter().zip(&played).map(|(timeline, seen)| timeline.text(seen)).collect();
            std::fs::write(repository(&path), text).expect("written");
            continue;
        }
        let dunlin = Start::corefile(&corefile).set("UPSTREAM", upstream.address).run();
        let played = play(&timelines, dunlin.address(), &upstream);
        let mut tally = Tally::new();
        for (timeline, seen) in timelines.iter().zip(&played) {
            for ((second, theirs), ours) in timeline.asked.iter().zip(seen) {
                let ours = if is_near(theirs, ours) { theirs } else { ours };
                tally.add(&format!("{file}: {} at {second}", timeline.name), theirs, ours);
            }
        }
        tally.report("differential timelines", &names);
    }
}

fn play(timelines: &[Timeline], server: SocketAddr, upstream: &Scripted) -> Vec<Vec<String>> {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            timelines.iter().map(|timeline| scope.spawn(move || timeline.play(server, upstream))).collect();
        running.into_iter().map(|one| one.join().expect("no panic")).collect()
    })
}

struct Timeline {
    name: String,
    /// The lines of its `cache`, and of the upstream's script, as the file has them.
    head: String,
    cache: String,
    stages: Vec<Stage>,
    /// When it is asked, and what was recorded of it.
    asked: Vec<(u64, String)>,
}

impl Timeline {
    fn parse(text: &str) -> Timeline {
        let (name, lines) = text.split_once('\n').expect("lines below a name");
        let mut timeline = Timeline {
            name: name.into(),
            head: String::new(),
            cache: String::new(),
            stages: Vec::new(),
            asked: Vec::new(),
        };
        for line in lines.lines().filter(|line| !line.is_empty()) {
            if let Some(asked) = line.strip_prefix("at ") {
                let (second, recorded) = asked.split_once(':').expect("at SECOND: ANSWER");
                timeline.asked.push((second.parse().expect("a second"), recorded.trim().to_owned()));
                continue;
            }
            timeline.head += &format!("{line}\n");
            match line.strip_prefix("up ") {
                Some(stage) => timeline.stages.push(Stage::parse(stage).unwrap_or_else(|| panic!("{name}: {line}"))),
                None => timeline.cache += &format!("    {line}\n"),
            }
        }
        timeline
    }

    fn text(&self, seen: &[String]) -> String {
        let asked: String =
            self.asked.iter().zip(seen).map(|((second, _), seen)| format!("at {second}: {seen}\n")).collect();
        format!("=== {}\n{}{asked}", self.name, self.head)
    }

    fn block(&self) -> String {
        let Timeline { name, cache, .. } = self;
        format!("{name}.test:{{$PORT}} {{\n    bind 127.0.0.1\n{cache}    forward . {{$UPSTREAM}}\n}}\n")
    }

    fn play(&self, server: SocketAddr, upstream: &Scripted) -> Vec<String> {
        for attempt in b'a'..b'a' + ATTEMPTS {
            // A cache knows nothing of another attempt's name.
            let label = char::from(attempt);
            if let Some(seen) = self.attempt(&format!("{label}.{}.test.", self.name), server, upstream) {
                let own = format!(" a.{}.test. ", self.name);
                return seen.iter().map(|line| line.replace(&own.replacen('a', &label.to_string(), 1), &own)).collect();
            }
        }
        panic!("{}: the machine kept no time in {ATTEMPTS} attempts", self.name)
    }

    /// What is seen in each of its seconds; `None` if one was missed.
    fn attempt(&self, name: &str, server: SocketAddr, upstream: &Scripted) -> Option<Vec<String>> {
        let (client, question) = (Client::new(server), Question::new(name, "A"));
        // Clocks that count whole seconds count as many as the timeline has: each question comes within the first part
        // of a second of the system's clock, and behind the middle of a second of the script.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_millis());
        std::thread::sleep(Duration::from_millis(u64::from(1000 + BEGIN - now) % 1000));
        upstream.begin(name, self.stages.clone());
        let began = Instant::now() + ASKED;
        let mut seen = Vec::new();
        for (second, _) in &self.asked {
            let due = began + Duration::from_secs(*second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let before = upstream.asked(name);
            if due.elapsed() > LATE {
                return None;
            }
            let answer = shown(&client, &question, WAIT, false);
            std::thread::sleep(ASKED);
            let asked = if upstream.asked(name) > before { "asked" } else { "not asked" };
            seen.push(format!("{answer} | {asked}"));
        }
        Some(seen)
    }
}

/// Whether two lines are the same but for numbers that a second makes another.
pub fn is_near(theirs: &str, ours: &str) -> bool {
    let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.split(' ').collect(), ours.split(' ').collect());
    let near = |(theirs, ours): (&&str, &&str)| match (theirs.parse::<u64>(), ours.parse::<u64>()) {
        (Ok(theirs), Ok(ours)) => theirs.abs_diff(ours) <= TOLERANCE,
        _ => theirs == ours,
    };
    theirs.len() == ours.len() && theirs.iter().zip(&ours).all(near)
}
