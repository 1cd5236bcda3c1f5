//! The classes of answers: success, denial, error.

use crate::plugin::Outcome;
use crate::wire::{Rcode, RecordType, ReplyView, Section};

/// A set of classes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Classes {
    success: bool,
    denial: bool,
    error: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Success,
    Denial,
    Error,
}

impl Classes {
    const ALL: Classes = Classes { success: true, denial: true, error: true };

    /// Adds the class of a word.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        match word {
            "all" => *self = Classes::ALL,
            "success" => self.success = true,
            "denial" => self.denial = true,
            "error" => self.error = true,
            _ => return Err(format!("'{word}' is no class; expected all, success, denial or error")),
        }
        Ok(())
    }

    /// These, or all where none was named.
    pub fn or_all(self) -> Classes {
        if self == Classes::default() { Classes::ALL } else { self }
    }

    /// Whether the outcome is in one of them.
    pub fn contain(self, outcome: &Outcome) -> bool {
        match classify(outcome) {
            Class::Success => self.success,
            Class::Denial => self.denial,
            Class::Error => self.error,
        }
    }

    /// How to see in an answer's header that it may be in one of them; `None` if nearly every answer is.
    pub fn seen_in_bytes(self) -> Option<fn(&[u8]) -> bool> {
        match (self.success, self.denial, self.error) {
            (true, ..) => None,
            (false, true, true) => Some(|answer| may_be_denial(answer) || is_error(answer)),
            (false, true, false) => Some(may_be_denial),
            _ => Some(is_error),
        }
    }
}

fn classify(outcome: &Outcome) -> Class {
    match outcome {
        Outcome::Reply(reply) => match (reply.rcode(), answers(&reply.packet)) {
            (Rcode::NOERROR, 0) if has_soa(&reply.packet) => Class::Denial,
            (Rcode::NOERROR, _) => Class::Success,
            (Rcode::NXDOMAIN, _) => Class::Denial,
            _ => Class::Error,
        },
        Outcome::Failed(_) | Outcome::Dropped => Class::Error,
    }
}

/// The values of the labels `log/class` and `log/type`.
pub(super) fn labels(outcome: &Outcome) -> (&'static str, &'static str) {
    let class = match classify(outcome) {
        Class::Success => "success",
        Class::Denial => "denial",
        Class::Error => "error",
    };
    let (rcode, is_referral) = match outcome {
        Outcome::Reply(reply) => (reply.rcode(), answers(&reply.packet) == 0 && is_referral(&reply.packet)),
        Outcome::Failed(failure) => (failure.rcode, false),
        Outcome::Dropped => (Rcode::NOERROR, false),
    };
    let kind = match (rcode, class) {
        (Rcode::NXDOMAIN, _) => "NXDOMAIN",
        (Rcode::NOERROR, "denial") => "NODATA",
        (Rcode::NOERROR, "success") if is_referral => "DELEGATION",
        (Rcode::NOERROR, _) => "NOERROR",
        (Rcode::SERVFAIL | Rcode::NOTIMP, _) => "SERVERERROR",
        _ => "OTHERERROR",
    };
    (class, kind)
}

fn rcode(packet: &[u8]) -> u8 {
    packet.get(3).copied().unwrap_or(2) & 0x0f
}

fn answers(packet: &[u8]) -> u16 {
    packet.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]))
}

fn is_error(packet: &[u8]) -> bool {
    !matches!(rcode(packet), 0 | 3)
}

fn may_be_denial(packet: &[u8]) -> bool {
    rcode(packet) == 3 || rcode(packet) == 0 && answers(packet) == 0
}

/// Whether it says that there is nothing (RFC 2308 section 2.2): without a SOA it says nothing.
fn has_soa(packet: &[u8]) -> bool {
    ReplyView::parse(packet).is_some_and(|reply| reply.has_authority_soa())
}

/// Whether the authority section has NS records and no SOA (RFC 2308 section 2.2); the answer section is empty.
fn is_referral(packet: &[u8]) -> bool {
    ReplyView::parse(packet).is_some_and(|reply| {
        let mut authority = reply.records().filter(|record| record.section == Section::Authority);
        !reply.has_authority_soa() && authority.any(|record| record.rtype == RecordType::NS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Failure, Reply};

    /// A reply to `a.` with an empty record of each type in its answer and authority sections.
    fn reply(rcode: u8, answers: &[u16], authority: &[u16]) -> Outcome {
        let mut packet = vec![0, 0, 0x80, rcode, 0, 1, 0, answers.len() as u8, 0, authority.len() as u8, 0, 0];
        packet.extend(b"\x01a\x00\x00\x01\x00\x01");
        for rtype in answers.iter().chain(authority) {
            packet.extend([0xc0, 0x0c, 0, *rtype as u8, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        Outcome::Reply(Reply::new(packet))
    }

    #[test]
    fn outcomes_are_classified() {
        for (outcome, class) in [
            (reply(0, &[1], &[]), Class::Success),
            (reply(0, &[], &[2, 2]), Class::Success),
            (reply(0, &[], &[6]), Class::Denial),
            (reply(0, &[], &[2, 6]), Class::Denial),
            (reply(0, &[], &[]), Class::Success),
            (reply(3, &[], &[6]), Class::Denial),
            (reply(3, &[5], &[6]), Class::Denial),
            (reply(2, &[], &[6]), Class::Error),
            (reply(5, &[], &[]), Class::Error),
            (Outcome::Failed(Failure::servfail("x")), Class::Error),
            (Outcome::Dropped, Class::Error),
        ] {
            assert_eq!(classify(&outcome), class, "{outcome:?}");
        }
    }

    #[test]
    fn what_is_in_a_class_is_seen_in_its_bytes() {
        let outcomes = [
            reply(0, &[1], &[]),
            reply(0, &[], &[2]),
            reply(0, &[], &[6]),
            reply(3, &[], &[6]),
            reply(2, &[], &[6]),
            reply(5, &[], &[]),
        ];
        for words in [&["denial"][..], &["error"], &["denial", "error"]] {
            let mut classes = Classes::default();
            words.iter().for_each(|word| classes.add(word).unwrap());
            let matches = classes.seen_in_bytes().unwrap();
            for outcome in &outcomes {
                let Outcome::Reply(reply) = outcome else { unreachable!() };
                assert!(!classes.contain(outcome) || matches(&reply.packet), "{words:?} {outcome:?}");
            }
            let Outcome::Reply(success) = &outcomes[0] else { unreachable!() };
            assert!(!matches(&success.packet), "{words:?}: answers with data stay in the fast lane");
        }
        assert!(Classes::default().or_all().seen_in_bytes().is_none());
    }
}
