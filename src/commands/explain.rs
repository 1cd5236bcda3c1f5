//! `explain FILE NAME TYPE [--client IP]`: one answer, and what made it.

use super::{Said, usage};
use crate::corefile;
use crate::plugin::{Explanation, Question, Way};
use crate::server::explain::{Explained, explain};
use crate::wire::{Name, Rcode, RecordType};
use hickory_proto::op::Message;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

pub(super) fn run(words: &[String]) -> Said {
    let (file, question) = match read(words) {
        Ok(read) => read,
        Err(why) => return usage("explain", &why),
    };
    let corefile = corefile::load(Path::new(file)).map_err(|error| error.to_string());
    match corefile.and_then(|corefile| explain(&corefile, &question)) {
        Ok(explained) => Said { output: told(&explained), ..Said::default() },
        Err(why) => Said { error: format!("{why}\n"), code: 1, ..Said::default() },
    }
}

/// The file and the question in the command's words.
fn read(words: &[String]) -> Result<(&str, Question), String> {
    let (mut plain, mut client) = (Vec::new(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|_| word.len() > 1);
        let address = match flag.map(|flag| flag.split_once('=').unwrap_or((flag, ""))) {
            None => {
                plain.push(word);
                continue;
            }
            Some(("client", "")) => words.next().unwrap_or_default(),
            Some(("client", address)) => address,
            Some(_) => return Err(format!("{word} is not known")),
        };
        client = address.parse().map_err(|_| format!("--client '{address}' is no IP address"))?;
    }
    let [file, name, qtype] = plain[..] else {
        return Err("a file, a name and a type are expected".to_owned());
    };
    let name = Name::from_text(name).map_err(|why| format!("the name '{name}': {why}"))?;
    let upper = qtype.to_ascii_uppercase();
    let qtype = RecordType::from_mnemonic(&upper).ok_or_else(|| format!("'{qtype}' is no record type"))?;
    Ok((file, Question { name, qtype, client }))
}

fn told(explained: &Explained) -> String {
    let mut text = String::new();
    for plugin in &explained.waiting {
        text += &format!("not ready: {plugin}; the answer is what a server would give meanwhile\n");
    }
    for (index, explanation) in explained.explanations.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = tell(explanation, &mut text);
    }
    text
}

fn tell(explanation: &Explanation, text: &mut String) -> std::fmt::Result {
    let listens: Vec<_> = explanation.listens.iter().map(ToString::to_string).collect();
    match &explanation.block {
        Some((zone, span)) => writeln!(text, "block: {zone} at {span}, on {}", listens.join(" "))?,
        None => writeln!(text, "block: none stands for this name, on {}", listens.join(" "))?,
    }
    if let Some(view) = &explanation.view {
        writeln!(text, "view: {view}")?;
    }
    match &explanation.way {
        Way::Fast(by) => writeln!(text, "lane: fast\nanswered by: {by}")?,
        Way::Slow(steps) => {
            let asked = |lookups: bool| -> Vec<&str> {
                steps.iter().filter(|(depth, _)| (*depth > 0) == lookups).map(|(_, name)| *name).collect()
            };
            let (first, nested) = (asked(false), asked(true));
            writeln!(text, "lane: slow\nasked: {}", first.join(", "))?;
            if !nested.is_empty() {
                writeln!(text, "asked by lookups: {}", nested.join(", "))?;
            }
            writeln!(text, "answered by: {}", explanation.way.answered_by())?;
        }
    }
    if let Some(object) = &explanation.object {
        writeln!(text, "object: {object}")?;
    }
    if let Some(reason) = &explanation.reason {
        writeln!(text, "reason: {reason}")?;
    }
    match &explanation.reply {
        Some(reply) => tell_reply(reply, text),
        None => writeln!(text, "reply: none, the query is dropped"),
    }
}

fn tell_reply(reply: &[u8], text: &mut String) -> std::fmt::Result {
    let word = |at: usize| reply.get(at).copied().unwrap_or_default();
    writeln!(text, "rcode: {}", Rcode(u16::from(word(3) & 0x0f)))?;
    let bits = u16::from_be_bytes([word(2), word(3)]);
    let flags = [
        (0x8000, "qr"),
        (0x0400, "aa"),
        (0x0200, "tc"),
        (0x0100, "rd"),
        (0x0080, "ra"),
        (0x0020, "ad"),
        (0x0010, "cd"),
    ];
    let set: Vec<_> = flags.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    writeln!(text, "flags: {}", set.join(" "))?;
    let Ok(message) = Message::from_vec(reply) else { return writeln!(text, "the message cannot be read") };
    let sections =
        [("answer", &message.answers), ("authority", &message.authorities), ("additional", &message.additionals)];
    for (section, records) in sections {
        for record in records {
            writeln!(text, "{section}: {record}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_question_is_read() {
        let of = |line: &str| {
            let words = words(line);
            let (file, question) = read(&words).unwrap();
            format!("{file} {} {} {}", question.name, question.qtype, question.client)
        };
        assert_eq!(of("Corefile WWW.test a"), "Corefile www.test. A 127.0.0.1");
        assert_eq!(of("--client ::1 c . NS"), "c . NS ::1");
        assert_eq!(of("c a. AAAA --client=192.0.2.1"), "c a. AAAA 192.0.2.1");
        for (line, why) in [
            ("c a", "a file, a name and a type are expected"),
            ("c a NOTYPE", "'NOTYPE' is no record type"),
            ("c a..b A", "the name 'a..b'"),
            ("c a A --client", "--client '' is no IP address"),
            ("c a A --server x", "--server is not known"),
        ] {
            let said = run(&words(line));
            assert!(said.error.contains(why) && said.code == 2, "{line}: {said:?}");
        }
    }
}
