//! # Description
//! `chaos` answers questions of the class CH about the server itself.
//!
//! # Syntax
//! ```text
//! chaos [VERSION [AUTHOR...]]
//! ```
//! - **VERSION** (`dunlin-` and the version): the answer for `version.bind` and `version.server`.
//! - **AUTHOR...** (`dunlin`): the answers for `authors.bind`.
//!
//! `hostname.bind` and `id.server` are the machine's name, which in a cluster is the pod's. All are TXT records with the
//! TTL 0 and without AA; a text is cut at 255 octets. Other questions go to the next plugin. With this directive in a
//! server block, its listeners let all classes in.
//!
//! # Examples
//! Does not tell what runs:
//! ```corefile
//! . {
//!     chaos DNS cluster-operators@example.org
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `nsid`. RFC 4892 for `id.server`.

use crate::plugin::{BoxFuture, Definition, Error, Handler, Next, Outcome, Request, Setup};
use crate::wire::{CLASS_CH, RecordType, ResourceRecord};
use std::sync::Arc;

/// `chaos`.
pub const DEFINITION: Definition = Definition { directive: "chaos", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.first()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let mut words = directive.args.iter().map(|word| word.text.clone());
    let version = words.next().unwrap_or_else(|| concat!("dunlin-", env!("CARGO_PKG_VERSION")).to_owned());
    let mut authors: Vec<String> = words.collect();
    if authors.is_empty() {
        authors.push("dunlin".to_owned());
    }
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    setup.plan.any_class = true;
    setup.plan.chain.push(Arc::new(Chaos { version, authors, hostname }));
    Ok(())
}

struct Chaos {
    version: String,
    authors: Vec<String>,
    hostname: String,
}

impl Chaos {
    /// The texts for a name.
    fn texts(&self, name: &str) -> Option<&[String]> {
        match name {
            "version.bind." | "version.server." => Some(std::slice::from_ref(&self.version)),
            "authors.bind." => Some(&self.authors),
            "hostname.bind." | "id.server." => Some(std::slice::from_ref(&self.hostname)),
            _ => None,
        }
    }

    fn answer(&self, request: &Request) -> Option<Outcome> {
        if request.qclass() != CLASS_CH || request.qtype() != RecordType::TXT {
            return None;
        }
        let texts = self.texts(&request.name.to_string())?;
        let mut message = request.answer();
        message.answers = texts.iter().map(|text| record(request, text)).collect();
        Some(request.reply(&message))
    }
}

fn record(request: &Request, text: &str) -> ResourceRecord {
    let text = &text.as_bytes()[..text.len().min(255)];
    let rdata = [&[text.len() as u8], text].concat();
    let owner = request.name_as_asked().to_vec();
    ResourceRecord { owner, rtype: RecordType::TXT, class: CLASS_CH, ttl: 0, rdata }
}

impl Handler for Chaos {
    fn name(&self) -> &'static str {
        "chaos"
    }

    fn handle<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        match self.answer(request) {
            Some(outcome) => Box::pin(async { outcome }),
            None => next.run(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Bench, query, request};
    use hickory_proto::op::Message;

    async fn texts(lines: &str, name: &str) -> Option<Vec<String>> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        assert!(bench.done().plan.any_class);
        let mut packet = query(name, RecordType::TXT);
        let class = packet.len() - 1;
        packet[class] = CLASS_CH as u8;
        let Outcome::Reply(reply) = bench.ask(&request(packet), Outcome::Dropped).await else { return None };
        let message = Message::from_vec(&reply.packet).unwrap();
        assert!(!message.metadata.authoritative);
        Some(message.answers.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn the_server_speaks_of_itself() {
        let lines = "chaos DNS-9 one \"two words\"";
        let expected = |name: &str, text: &str| Some(vec![format!("{name}. 0 CH TXT {text}")]);
        assert_eq!(texts(lines, "Version.bind").await, expected("Version.bind", "DNS-9"));
        assert_eq!(texts(lines, "version.server").await, expected("version.server", "DNS-9"));
        let authors = ["authors.bind. 0 CH TXT one", "authors.bind. 0 CH TXT two words"].map(str::to_owned);
        assert_eq!(texts(lines, "authors.bind").await, Some(authors.to_vec()));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(texts("chaos", "id.server").await, expected("id.server", host.trim()));
        assert_eq!(texts("chaos", "hostname.bind").await, expected("hostname.bind", host.trim()));
        let version = format!("dunlin-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(texts("chaos", "version.bind").await, expected("version.bind", &version));
        assert_eq!(texts(lines, "other.bind").await, None);
    }

    #[tokio::test]
    async fn other_classes_pass() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "chaos").unwrap();
        let outcome = bench.ask(&request(query("version.bind", RecordType::TXT)), Outcome::Dropped).await;
        assert_eq!(outcome, Outcome::Dropped);
    }

    #[test]
    fn errors() {
        Bench::errors(&DEFINITION, &[("chaos {\nx\n}", "unknown property 'x'")]);
    }
}
