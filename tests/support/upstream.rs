//! The tests' upstream: hickory-server's sockets and codec around a zone file, answering as an authoritative server.
//!
//! hickory's own zone store puts the targets of CNAMEs into the additional section; a recursive client's upstream has
//! them in the answer. So the look-up is written here, on hickory's types: RFC 1034 section 4.3.2 without delegations
//! and wildcards. Beside the zone, names under `servfail.test.` get SERVFAIL, names under `silent.test.` silence, and
//! names under `seen.test.` a TXT record of what the OPT in the query said.

use hickory_proto::op::{Edns, Header, HeaderCounts, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_proto::serialize::txt::Parser;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

/// A running upstream; it ends with the value.
pub struct Upstream {
    pub address: SocketAddr,
    asked: Arc<AtomicU32>,
    _runtime: tokio::runtime::Runtime,
}

impl Upstream {
    /// Serves the recorded answers' zone, which is authoritative for the root.
    pub fn start() -> Upstream {
        Upstream::serving(&super::read("tests/data/conformance/upstream.zone"))
    }

    /// Serves a zone file's text for the root zone.
    pub fn serving(zone: &str) -> Upstream {
        let (_, records) = Parser::new(zone, None, Some(Name::root())).parse().expect("the zone parses");
        let asked = Arc::new(AtomicU32::new(0));
        let handler = Zone { records, asked: asked.clone() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = runtime.block_on(async {
            let mut server = Server::new(handler);
            let (address, datagrams, listener) = sockets().await;
            server.register_socket(datagrams);
            server.register_listener(listener, Duration::from_secs(30), 64);
            tokio::spawn(async move { server.block_until_done().await });
            address
        });
        Upstream { address, asked, _runtime: runtime }
    }

    /// How many queries have come so far.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Sockets on one free port. A process that another test starts has, until it executes its program, a copy of the socket
/// that `free_port` tried the port with: then the port is taken after all, and the next one is tried.
pub(super) async fn sockets() -> (SocketAddr, UdpSocket, TcpListener) {
    for _ in 0..100 {
        let address = SocketAddr::from(([127, 0, 0, 1], super::free_port()));
        if let (Ok(datagrams), Ok(listener)) = (UdpSocket::bind(address).await, TcpListener::bind(address).await) {
            return (address, datagrams, listener);
        }
    }
    panic!("no port of a hundred is free over UDP and TCP");
}

struct Zone {
    records: BTreeMap<RrKey, RecordSet>,
    asked: Arc<AtomicU32>,
}

/// The sections of an answer.
#[derive(Default)]
struct Sections {
    code: ResponseCode,
    answer: Vec<Record>,
    authority: Vec<Record>,
    additional: Vec<Record>,
}

impl Sections {
    /// About the octets of the message. (hickory's own truncation leaves half a record behind the message.)
    fn octets(&self) -> usize {
        let mut message = Message::response(0, OpCode::Query);
        message.answers.clone_from(&self.answer);
        message.authorities.clone_from(&self.authority);
        message.additionals.clone_from(&self.additional);
        message.to_vec().map_or(0, |octets| octets.len() + 32)
    }
}

impl Zone {
    fn look_up(&self, name: &LowerName, qtype: RecordType) -> Sections {
        if Name::from(name).to_string().ends_with("servfail.test.") {
            return Sections { code: ResponseCode::ServFail, ..Sections::default() };
        }
        let mut sections = Sections::default();
        let mut name = name.clone();
        while sections.answer.len() < 8 {
            if let Some(found) = self.records.get(&RrKey::new(name.clone(), qtype)) {
                sections.answer.extend(found.records_without_rrsigs().cloned());
                sections.additional = self.addresses_of(&sections.answer);
                return sections;
            }
            let Some(alias) = self.records.get(&RrKey::new(name.clone(), RecordType::CNAME)) else { break };
            sections.answer.extend(alias.records_without_rrsigs().cloned());
            match &sections.answer[sections.answer.len() - 1].data {
                RData::CNAME(target) => name = LowerName::new(&target.0),
                _ => break,
            }
        }
        if !self.records.keys().any(|key| name.zone_of(&key.name)) {
            sections.code = ResponseCode::NXDomain;
        }
        sections.authority = self.negative_soa();
        sections
    }

    /// RFC 2308 section 3: the SOA's TTL is the smaller of its own and its minimum.
    fn negative_soa(&self) -> Vec<Record> {
        let soa = self.records.get(&RrKey::new(LowerName::new(&Name::root()), RecordType::SOA));
        let mut records: Vec<Record> = soa.into_iter().flat_map(RecordSet::records_without_rrsigs).cloned().collect();
        for record in &mut records {
            if let RData::SOA(soa) = &record.data {
                record.ttl = record.ttl.min(soa.minimum);
            }
        }
        records
    }

    fn addresses_of(&self, answer: &[Record]) -> Vec<Record> {
        let targets = answer.iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(&mx.exchange),
            RData::SRV(srv) => Some(&srv.target),
            RData::NS(ns) => Some(&ns.0),
            _ => None,
        });
        let mut found = Vec::new();
        for target in targets {
            for family in [RecordType::A, RecordType::AAAA] {
                let set = self.records.get(&RrKey::new(LowerName::new(target), family));
                found.extend(set.into_iter().flat_map(RecordSet::records_without_rrsigs).cloned());
            }
        }
        found
    }

    async fn respond(&self, request: &Request, mut to: impl ResponseHandler) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        metadata.recursion_available = false;
        let header = Header { metadata, counts: HeaderCounts::default() };
        let silence = ResponseInfo::from(header);
        let Ok(info) = request.request_info() else { return silence };
        if Name::from(info.query.name()).to_string().ends_with("silent.test.") {
            return silence;
        }
        let mut sections = match seen(&info.query.name().into(), request.edns.as_ref()) {
            Some(answer) => Sections { answer: vec![answer], ..Sections::default() },
            None => self.look_up(info.query.name(), info.query.query_type()),
        };
        if request.protocol() == Protocol::Udp && sections.octets() > usize::from(request.max_payload()) {
            metadata.truncation = true;
            sections = Sections { code: sections.code, ..Sections::default() };
        }
        metadata.response_code = sections.code;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, 4096)).set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let Sections { answer, authority, additional, .. } = &sections;
        to.send_response(builder.build(metadata, answer, authority, [], additional)).await.unwrap_or(silence)
    }
}

/// What the OPT of a query for a name under `seen.test.` said: `opt`, its DO bit, its options as `CODE=HEX`; or `none`.
fn seen(name: &Name, edns: Option<&Edns>) -> Option<Record> {
    name.to_string().to_ascii_lowercase().ends_with("seen.test.").then_some(())?;
    let mut text = String::from("none");
    if let Some(edns) = edns {
        text = format!("opt{}", if edns.flags().dnssec_ok { " do" } else { "" });
        for (code, option) in edns.options().as_ref() {
            let octets = Vec::<u8>::try_from(option).expect("an option");
            let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            text += &format!(" {}={digits}", u16::from(*code));
        }
    }
    Some(Record::from_rdata(name.clone(), 60, RData::TXT(TXT::new(vec![text]))))
}

/// The form `#[async_trait]` gives the method, written out: the macro is not worth a dependency here.
impl RequestHandler for Zone {
    fn handle_request<'zone, 'request, 'future, R, T>(
        &'zone self,
        request: &'request Request,
        to: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'future>>
    where
        R: ResponseHandler + 'future,
        T: Time + 'future,
        'zone: 'future,
        'request: 'future,
        Self: 'future,
    {
        Box::pin(self.respond(request, to))
    }
}
