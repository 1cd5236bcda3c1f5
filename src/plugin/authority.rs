//! How a plugin with whole zones (`file`, `auto`, `secondary`) answers from them, and holds their files.

use super::{Failure, Fallthrough, Next, Outcome, Request};
use crate::wire::{Message, Name, NameBuffer, Rcode, RecordType, flags};
use crate::zone::master::{self, Found, MasterZone};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Answers a request whose name is within the zone. Names that the zone does not have go to the next plugin where
/// `fallthrough` lets them.
pub async fn answer_from(zone: &MasterZone, fallthrough: &Fallthrough, request: &Request, next: Next<'_>) -> Outcome {
    if matches!(request.qtype(), RecordType::AXFR | RecordType::IXFR) {
        return refused("a zone is handed out by `transfer` alone");
    }
    // Data as the answer would tell its sender that the zone is being transferred.
    if request.query().opcode() != 0 {
        return refused("NOTIFY is for the zones of `secondary`");
    }
    let mut message = request.answer();
    match zone.answer(&request.name, &mut message) {
        Found::Whole(Rcode::NXDOMAIN) if message.answers.is_empty() && falls(fallthrough, &request.name) => {
            return next.run(request).await;
        }
        Found::Whole(_) => {}
        Found::Alias(target) => chase(&target, request, &mut message).await,
    }
    if let Some(rule) = request.shape.ttl {
        rule.hold(&mut message);
    }
    request.reply(&message)
}

/// What becomes of a name outside all zones: the next plugin's, or REFUSED where there is none.
pub async fn not_ours(request: &Request, next: Next<'_>) -> Outcome {
    if next.name().is_empty() { refused("not a zone of this server") } else { next.run(request).await }
}

fn refused(why: &str) -> Outcome {
    Outcome::Failed(Failure { rcode: Rcode::REFUSED, reason: why.to_owned() })
}

fn falls(fallthrough: &Fallthrough, name: &Name) -> bool {
    let mut buffer = NameBuffer::default();
    buffer.lower(name.wire()).is_some_and(|name| fallthrough.lets(&name))
}

/// Adds what the whole server has for an alias's target. A server that does not know it leaves the client the alias.
async fn chase(target: &Name, request: &Request, message: &mut Message) {
    let rcode = match request.lookup(target.wire(), request.qtype()).await {
        Outcome::Reply(reply) => match Message::parse(&reply.packet) {
            Some(inner) => {
                message.answers.extend(inner.answers.iter().cloned());
                // Beside an alias of a name outside that has nothing, servers would look like a referral.
                if inner.answers.is_empty() {
                    message.authorities.clear();
                }
                message.flags |= inner.flags & flags::TC;
                inner.rcode()
            }
            None => Rcode::SERVFAIL,
        },
        Outcome::Failed(failure) => failure.rcode,
        Outcome::Dropped => Rcode::SERVFAIL,
    };
    message.set_rcode(if rcode == Rcode::REFUSED { Rcode::NOERROR } else { rcode });
}

/// When a file was changed, and its size: another one is another file.
type FileVersion = (SystemTime, u64);

/// The version of a file; `None` where there is none.
fn file_version(file: &Path) -> Option<FileVersion> {
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// One zone's file, as it was last looked at.
#[derive(Clone, Debug, Default)]
pub struct ZoneFile {
    version: Option<FileVersion>,
    /// The zone; `None` until the file could be read once.
    pub zone: Option<Arc<MasterZone>>,
}

impl ZoneFile {
    /// Looks at the file: reads it where it has changed, and takes it where its serial has too, or `by_time` is set.
    /// Returns whether it was taken. A file that is gone for a moment, as while it is being replaced, takes nothing away.
    ///
    /// # Errors
    /// What is wrong with the file, once a version; the zone before it stays.
    pub fn look(&mut self, file: &Path, origin: &Name, by_time: bool) -> Result<bool, String> {
        let version = file_version(file);
        if version.is_none() || version == self.version {
            return Ok(false);
        }
        self.version = version;
        let zone = master::read(file, origin)?;
        let is_new = self.zone.as_ref().is_none_or(|before| by_time || before.serial() != zone.serial());
        if is_new {
            self.zone = Some(Arc::new(zone));
        }
        Ok(is_new)
    }
}
