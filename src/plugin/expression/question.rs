//! What a query is to an expression: CoreDNS's functions.

use super::check::Function;
use super::evaluate::Facts;
use super::value::{Kind, Value};
use crate::corefile::values;
use crate::wire::{CLASS_ANY, CLASS_CH, CLASS_IN, Query, Transport, UDP_PLAIN};
use std::net::{IpAddr, SocketAddr};

/// The functions about a query.
pub const QUESTION: &[Function] = {
    use Kind::{Integer, Text, Truth};
    &[
        plain("type", Text),
        plain("name", Text),
        plain("class", Text),
        plain("proto", Text),
        plain("size", Integer),
        plain("client_ip", Text),
        plain("port", Text),
        plain("id", Integer),
        plain("opcode", Integer),
        plain("do", Truth),
        plain("bufsize", Integer),
        plain("server_ip", Text),
        plain("server_port", Text),
        Function { name: "incidr", parameters: &[Text, Text], result: Truth, known: Some(network_is_one) },
        Function { name: "metadata", parameters: &[Text], result: Text, known: None },
    ]
};

const fn plain(name: &'static str, result: Kind) -> Function {
    Function { name, parameters: &[], result, known: None }
}

/// One query, as expressions see it.
pub struct Asked<'a> {
    /// The query as received.
    pub query: &'a Query<'a>,
    /// The client.
    pub client: SocketAddr,
    /// The address the client sent to; `None` where that is not known.
    pub local: Option<SocketAddr>,
    /// The transport it came by.
    pub transport: Transport,
    /// The value of a metadata label, empty where there is none.
    pub metadata: &'a dyn Fn(&str) -> String,
}

impl Facts for Asked<'_> {
    fn call(&self, function: &str, arguments: &[Value]) -> Result<Value, String> {
        let query = self.query;
        let ip = |address: SocketAddr| Value::text(address.ip().to_canonical().to_string());
        Ok(match (function, arguments) {
            ("type", []) => Value::text(query.qtype.to_string()),
            ("name", []) => Value::text(query.name.to_name().to_string()),
            ("class", []) => Value::text(class(query.qclass)),
            ("proto", []) => Value::text(if self.transport == Transport::Udp { "udp" } else { "tcp" }),
            ("size", []) => Value::Integer(query.packet.len() as i64),
            ("client_ip", []) => ip(self.client),
            ("port", []) => Value::text(self.client.port().to_string()),
            ("id", []) => Value::Integer(query.id().into()),
            ("opcode", []) => Value::Integer(query.opcode().into()),
            ("do", []) => Value::Truth(query.dnssec_ok()),
            ("bufsize", []) => Value::Integer(self.size().into()),
            ("server_ip", []) => self.local.map_or(Value::text(""), ip),
            ("server_port", []) => self.local.map_or(Value::text(""), |local| Value::text(local.port().to_string())),
            ("incidr", [Value::Text(address), Value::Text(network)]) => Value::Truth(is_in(address, network)?),
            ("metadata", [Value::Text(label)]) => Value::text((self.metadata)(label)),
            _ => return Err(format!("{function} is not known")),
        })
    }
}

impl Asked<'_> {
    /// The octets of the largest answer that the client says it takes.
    fn size(&self) -> u16 {
        match (self.transport, self.query.edns) {
            (Transport::Udp, None) => UDP_PLAIN,
            (Transport::Udp, Some(edns)) => edns.payload.max(UDP_PLAIN),
            _ => u16::MAX,
        }
    }
}

fn class(class: u16) -> String {
    match class {
        CLASS_IN => "IN".to_owned(),
        CLASS_CH => "CH".to_owned(),
        CLASS_ANY => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

/// A network that stands in the Corefile is looked at when that is read.
fn network_is_one(place: usize, value: &Value) -> Result<(), String> {
    match (place, value) {
        (1, Value::Text(text)) => read_network(text).map(drop),
        _ => Ok(()),
    }
}

fn read_network(text: &str) -> Result<(IpAddr, u8), String> {
    if !text.contains('/') {
        return Err(format!("'{text}' is no network; expecting ADDRESS/LENGTH, as 10.0.0.0/8 or fd00::/8"));
    }
    values::network(text)
}

fn is_in(address: &str, network: &str) -> Result<bool, String> {
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = plain.parse().map_err(|_| format!("'{address}' is no IP address"))?;
    let (first, length) = read_network(network)?;
    Ok(match (address.to_canonical(), first) {
        (IpAddr::V4(address), IpAddr::V4(first)) => same(address.to_bits().into(), first.to_bits().into(), 32, length),
        (IpAddr::V6(address), IpAddr::V6(first)) => same(address.to_bits(), first.to_bits(), 128, length),
        _ => false,
    })
}

/// Whether two addresses of so many bits begin with the same bits.
fn same(a: u128, b: u128, bits: u32, length: u8) -> bool {
    (a ^ b).checked_shr(bits.saturating_sub(length.into())).unwrap_or(0) == 0
}
