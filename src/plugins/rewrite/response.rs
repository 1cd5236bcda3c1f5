//! The way back: the client's question, and what rules do to answers.

use super::pattern::replace_whole;
use super::*;
use crate::wire::ResourceRecord;
use crate::wire::flags::TC;

/// What a rule that applied does to the answer.
pub(super) enum Change<'r> {
    /// The question alone, which is put back anyway.
    Question,
    /// The question had this name before the rule made it another.
    Names {
        pattern: &'r Pattern,
        answer: &'r Answer,
        before: Vec<u8>,
        to: &'r str,
        /// What the name became.
        after: String,
    },
    Ttl(TtlBounds),
    Rcode(Option<Rcode>, Rcode),
    Cname(&'r Pattern, &'r str),
    Edns(edns::Revert),
}

/// Makes the outcome of the rewritten request that of the client's.
pub(super) async fn restore(request: &Request, outcome: Outcome, changes: Vec<Change<'_>>) -> Outcome {
    let (mut message, reason) = match outcome {
        Outcome::Reply(reply) => match Message::parse(&reply.packet) {
            Some(message) => (message, reply.reason),
            None => return Outcome::Failed(Failure::servfail("the reply to a rewritten query cannot be read")),
        },
        Outcome::Failed(failure) => match server_made(failure.rcode, &changes) {
            Some(rcode) => {
                let mut message = request.answer();
                message.set_rcode(rcode);
                (message, Some(failure.reason).filter(|reason| !reason.is_empty()))
            }
            None => return Outcome::Failed(failure),
        },
        Outcome::Dropped => return Outcome::Dropped,
    };
    let mut code = message.rcode();
    for change in changes.iter().rev() {
        match change {
            Change::Question => {}
            Change::Names { pattern, answer, before, to, after } => {
                rename(&mut message, pattern, answer, before, to, after);
            }
            Change::Ttl(bounds) => {
                let records = message.sections_mut().into_iter().flatten();
                records.for_each(|record| record.ttl = record.ttl.clamp(bounds.min, bounds.max));
            }
            Change::Rcode(from, to) => {
                if from.is_none_or(|from| code == from) {
                    code = *to;
                }
            }
            Change::Cname(pattern, to) => {
                message.set_rcode(code);
                retarget(request, &mut message, pattern, to).await;
                code = message.rcode();
            }
            Change::Edns(revert) => revert.apply(&mut message),
        }
    }
    let Some(asked) = Message::parse(&request.packet) else { return Outcome::Dropped };
    message.set_rcode(code);
    message.question = asked.question;
    message.id = asked.id;
    if asked.opt.is_none() {
        // A code of more than four bits cannot be said without an OPT (RFC 6891 section 6.1.3).
        if code.0 > 0x0f {
            message.set_rcode(Rcode::SERVFAIL);
        }
        message.opt = None;
    }
    match request.reply(&message) {
        Outcome::Reply(mut reply) => {
            reply.reason = reason;
            Outcome::Reply(reply)
        }
        other => other,
    }
}

/// The code that rules make of one that the server would write itself, if they change it.
fn server_made(rcode: Rcode, changes: &[Change<'_>]) -> Option<Rcode> {
    let changed = changes.iter().rev().fold(rcode, |code, change| match change {
        Change::Rcode(from, to) if from.is_none_or(|from| from == code) => *to,
        _ => code,
    });
    (changed != rcode).then_some(rcode)
}

fn rename(message: &mut Message, pattern: &Pattern, answer: &Answer, before: &[u8], to: &str, after: &str) {
    let back = |name: &[u8]| match pattern {
        Pattern::Exact(..) => put_name_back(name, to, before),
        Pattern::Suffix(from) if answer.auto => {
            let text = text(name)?;
            text.strip_suffix(to).and_then(|rest| wire(&format!("{rest}{from}")))
        }
        _ if answer.auto => put_name_back(name, after, before),
        _ => None,
    };
    let edit = |edits: &[(Regex, String)], name: &[u8]| {
        // The way back is from the last to the first: what the rule does by itself comes behind what is said of answers.
        let mut result: Option<Vec<u8>> = None;
        for (regex, to) in edits.iter().rev() {
            let current = result.as_deref().unwrap_or(name);
            let edited = text(current).and_then(|text| replace_whole(regex, &text, to)).and_then(|new| wire(&new));
            result = edited.or(result);
        }
        back(result.as_deref().unwrap_or(name)).or(result)
    };
    for record in message.sections_mut().into_iter().flatten() {
        if let Some(owner) = edit(&answer.owners, &record.owner) {
            record.owner = owner;
        }
        edit_values(record, |name| edit(&answer.values, name));
    }
}

fn edit_values(record: &mut ResourceRecord, edit: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    // A SOA's second name is a mailbox.
    let count = if record.rtype == RecordType::SOA { 1 } else { usize::MAX };
    // From the last to the first, so that places stay what they are.
    for range in record.names().into_iter().take(count).rev() {
        if let Some(name) = edit(&record.rdata[range.clone()]) {
            record.rdata.splice(range, name);
        }
    }
}

/// The name before in place of the rewritten one, and in names below it.
fn put_name_back(name: &[u8], rewritten: &str, before: &[u8]) -> Option<Vec<u8>> {
    let rewritten = Name::from_text(rewritten).ok()?;
    let lower = Name::from_wire(name)?;
    if !lower.is_within(&rewritten) || rewritten.is_root() {
        return None;
    }
    let kept = &name[..name.len() - rewritten.wire().len()];
    let result = [kept, before].concat();
    (result.len() <= crate::wire::MAX_NAME).then_some(result)
}

/// Gives the first CNAME whose target matches another, and looks up what follows it.
async fn retarget(request: &Request, message: &mut Message, pattern: &Pattern, to: &str) {
    let target = |record: &ResourceRecord| {
        let text = (record.rtype == RecordType::CNAME).then(|| record.target().and_then(text)).flatten()?;
        pattern.replace(&text, to).and_then(|new| wire(&new))
    };
    let Some((at, target)) = message.answers.iter().enumerate().find_map(|(at, record)| Some((at, target(record)?)))
    else {
        return;
    };
    message.answers[at].rdata.clone_from(&target);
    if request.qtype() == RecordType::CNAME {
        return;
    }
    message.answers.truncate(at + 1);
    if let Outcome::Reply(reply) = request.lookup(&target, request.qtype()).await
        && let Some(found) = Message::parse(&reply.packet)
    {
        message.flags |= found.flags & TC;
        message.set_rcode(found.rcode());
        message.answers.extend(found.answers);
        message.authorities = found.authorities;
        message.additionals = found.additionals;
    }
}

fn text(name: &[u8]) -> Option<String> {
    Some(Name::from_wire(name)?.to_string())
}

fn wire(text: &str) -> Option<Vec<u8>> {
    Some(Name::from_text(text).ok()?.wire().to_vec())
}
