//! The search box: what would be answered, to whom, by which block, plugin and object.

use crate::plugin::{Explainer, Explanation, Question, Way};
use crate::wire::{Name, Rcode, RecordType};
use hickory_proto::op::Message;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Questions that are answered at a time: one may wait for an upstream.
const AT_ONCE: usize = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// Answers the search box.
pub(super) struct Explaining {
    explainer: Explainer,
    busy: Arc<AtomicUsize>,
}

impl Explaining {
    pub fn new(explainer: Explainer) -> Explaining {
        Explaining { explainer, busy: Arc::default() }
    }

    /// The status and the answer to a query string. Called on the blocking pool.
    pub fn answer(&self, query: &str) -> (u16, Value) {
        let said = |status, why: &str| (status, json!({"error": why}));
        let question = match read(query) {
            Ok(question) => question,
            Err(why) => return said(400, &why),
        };
        let (Some(explain), Ok(runtime)) = (self.explainer.get(), tokio::runtime::Handle::try_current()) else {
            return said(503, "the server is still starting");
        };
        let _place = match Place::take(&self.busy) {
            Some(place) => place,
            None => return said(503, "several questions are being answered already; try again"),
        };
        let asked = question.clone();
        let answer = async { tokio::time::timeout(PATIENCE, explain.explain(asked)).await };
        match runtime.block_on(answer) {
            Ok(explanations) => (200, told(&question, &explanations)),
            Err(_) => said(504, "no answer within 6 s"),
        }
    }
}

/// One of the places, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Place> {
        let place = Place(Arc::clone(busy));
        (busy.fetch_add(1, Ordering::Relaxed) < AT_ONCE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `name=NAME&type=TYPE&client=IP`; an address as the name is its reverse name, of which PTR is asked.
fn read(query: &str) -> Result<Question, String> {
    let (mut name, mut qtype, mut client) = (String::new(), String::new(), String::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or_else(|| format!("'{pair}' is not readable"))?;
        match key {
            "name" => name = value,
            "type" => qtype = value,
            "client" => client = value,
            _ => return Err(format!("'{key}' is not known; expected name, type, client")),
        }
    }
    let client = match client.trim() {
        "" => IpAddr::from(Ipv4Addr::LOCALHOST),
        text => text.parse().map_err(|_| format!("the client '{text}' is no IP address"))?,
    };
    let name = name.trim();
    if name.is_empty() {
        return Err("name=NAME is expected: a name or an IP address".to_owned());
    }
    let upper = qtype.trim().to_ascii_uppercase();
    let known = |text: &str| RecordType::from_mnemonic(text).ok_or_else(|| format!("'{text}' is no record type"));
    if let Ok(address) = name.parse::<IpAddr>() {
        let qtype = if upper.is_empty() || upper == "A" { RecordType::PTR } else { known(&upper)? };
        let name = Name::from_text(&reverse_name(address)).map_err(|why| why.to_string())?;
        return Ok(Question { name, qtype, client });
    }
    let qtype = if upper.is_empty() { RecordType::A } else { known(&upper)? };
    let name = Name::from_text(name).map_err(|why| format!("the name '{name}': {why}"))?;
    Ok(Question { name, qtype, client })
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let nibbles =
                address.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 0xf, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa."
        }
    }
}

/// A part of a query string: `%2E` and `+` mean what they do in forms.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

fn told(question: &Question, explanations: &[Explanation]) -> Value {
    json!({
        "name": question.name.to_string(),
        "type": question.qtype.to_string(),
        "client": question.client.to_string(),
        "answers": explanations.iter().map(one).collect::<Vec<_>>(),
    })
}

fn one(explanation: &Explanation) -> Value {
    let (lane, asked) = match &explanation.way {
        Way::Fast(_) => ("fast", Vec::new()),
        Way::Slow(steps) => {
            ("slow", steps.iter().filter(|(depth, _)| *depth == 0).map(|(_, name)| *name).collect::<Vec<_>>())
        }
    };
    let block = explanation.block.as_ref();
    let message = explanation.reply.as_ref().and_then(|reply| Message::from_vec(reply).ok());
    let records = |records: &[hickory_proto::rr::Record]| records.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "zone": block.map(|(zone, _)| zone.to_string()),
        "at": block.map(|(_, span)| span.to_string()),
        "view": explanation.view,
        "listens": explanation.listens.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "lane": lane,
        "asked": asked,
        "answered_by": explanation.way.answered_by(),
        "object": explanation.object,
        "reason": explanation.reason,
        "rcode": explanation.reply.as_ref().map(|reply| rcode(reply)),
        "answer": message.as_ref().map(|message| records(&message.answers)),
        "authority": message.as_ref().map(|message| records(&message.authorities)),
    })
}

fn rcode(reply: &[u8]) -> String {
    Rcode(u16::from(reply.get(3).copied().unwrap_or_default() & 0x0f)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(query: &str) -> String {
        match read(query) {
            Ok(question) => format!("{} {} {}", question.name, question.qtype, question.client),
            Err(why) => why,
        }
    }

    #[test]
    fn questions_are_read() {
        for (query, expected) in [
            ("name=WEB.test", "web.test. A 127.0.0.1"),
            ("name=web%2Etest&type=aaaa&client=10.0.0.1", "web.test. AAAA 10.0.0.1"),
            ("name=+10.96.0.1+", "1.0.96.10.in-addr.arpa. PTR 127.0.0.1"),
            ("name=10.96.0.1&type=A", "1.0.96.10.in-addr.arpa. PTR 127.0.0.1"),
            ("name=10.96.0.1&type=SOA", "1.0.96.10.in-addr.arpa. SOA 127.0.0.1"),
            ("", "name=NAME is expected: a name or an IP address"),
            ("name=a&type=b", "'B' is no record type"),
            ("name=a&client=b", "the client 'b' is no IP address"),
            ("name=%2", "'name=%2' is not readable"),
            ("name=%ff", "'name=%ff' is not readable"),
            ("nope=1", "'nope' is not known; expected name, type, client"),
        ] {
            assert_eq!(text(query), expected, "{query}");
        }
        let v6 = text("name=2001:db8::1");
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa. PTR 127.0.0.1"), "{v6}");
        assert!(text("name=a..b").starts_with("the name 'a..b'"));
    }

    #[test]
    fn only_so_many_are_answered_at_a_time() {
        let busy = Arc::default();
        let places: Vec<_> = (0..AT_ONCE).map(|_| Place::take(&busy).unwrap()).collect();
        assert!(Place::take(&busy).is_none());
        drop(places);
        assert!(Place::take(&busy).is_some());
    }

    #[test]
    fn before_the_listeners_are_open_there_is_nobody_to_ask() {
        let (status, said) = Explaining::new(Explainer::default()).answer("name=a.test");
        assert_eq!((status, said["error"].as_str()), (503, Some("the server is still starting")));
    }
}
