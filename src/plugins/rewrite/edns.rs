//! Rules about the options in a question's OPT.

use super::read::Reader;
use super::*;
use crate::plugin::{Token, Transport};
use crate::wire::{Opt, UDP_PAYLOAD};
use std::net::IpAddr;

/// NSID's option code (RFC 5001).
const NSID: u16 = 3;
/// The client subnet's option code (RFC 7871).
const SUBNET: u16 = 8;

/// One option, and what to do with it.
pub(super) struct OptionRule {
    code: u16,
    verb: Verb,
    data: Data,
    revert: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Set,
    Append,
    Replace,
    Unset,
}

enum Data {
    Octets(Vec<u8>),
    Variable(Variable),
    /// A label of `metadata`; where it has no value there is nothing to set.
    Label(String),
    /// Prefix lengths for clients over IPv4 and IPv6.
    Subnet(u8, u8),
}

#[derive(Clone, Copy)]
enum Variable {
    Name,
    Type,
    ClientAddress,
    ClientPort,
    Protocol,
    ServerAddress,
    ServerPort,
}

/// What the option was before, for the answer's OPT. `None` where the rule asks for no reversal.
pub(super) struct Revert(Option<(u16, Option<Vec<u8>>)>);

pub(super) fn read(reader: &Reader<'_, '_>, words: &[&Token]) -> Result<OptionRule, Error> {
    const FORM: &str = "edns0 local|nsid|subnet set|append|replace|unset ... [revert]";
    let [kind, verb, rest @ ..] = words else { return Err(reader.expected(FORM)) };
    let error = |word: &Token, what: &str| reader.setup.error(word, format!("'{}' is {what}", word.text));
    let verb = match verb.text.to_ascii_lowercase().as_str() {
        "set" => Verb::Set,
        "append" => Verb::Append,
        "replace" => Verb::Replace,
        "unset" => Verb::Unset,
        _ => return Err(error(verb, "no action; expected set, append, replace or unset")),
    };
    let (rest, revert) = match rest {
        [rest @ .., last] if last.text == "revert" && verb != Verb::Unset => (rest, true),
        rest => (rest, false),
    };
    let (code, data) = match (kind.text.to_ascii_lowercase().as_str(), rest) {
        ("nsid", []) => (NSID, Data::Octets(Vec::new())),
        ("nsid", _) => return Err(reader.expected("edns0 nsid set|append|replace|unset [revert]")),
        ("subnet", []) if verb == Verb::Unset => (SUBNET, Data::Octets(Vec::new())),
        ("subnet", [v4, v6]) if verb != Verb::Unset => {
            let bits = |word: &Token, most: u64| {
                crate::corefile::values::integer(&word.text, 0..=most).map_err(|why| reader.setup.error(word, why))
            };
            (SUBNET, Data::Subnet(bits(v4, 32)? as u8, bits(v6, 128)? as u8))
        }
        ("subnet", _) => return Err(reader.expected("edns0 subnet set|append|replace V4-BITS V6-BITS [revert]")),
        ("local", [code]) if verb == Verb::Unset => {
            (number(&code.text).ok_or_else(|| error(code, "no option code"))?, Data::Octets(Vec::new()))
        }
        ("local", [code, data]) if verb != Verb::Unset => {
            let code = number(&code.text).ok_or_else(|| error(code, "no option code"))?;
            (code, read_data(&data.text).ok_or_else(|| error(data, "no hexadecimal data, nor a variable"))?)
        }
        ("local", _) => return Err(reader.expected("edns0 local set|append|replace|unset CODE [DATA] [revert]")),
        _ => return Err(error(kind, "no option; expected local, nsid or subnet")),
    };
    Ok(OptionRule { code, verb, data, revert })
}

/// A code in decimal or, behind `0x`, in hexadecimal.
fn number(word: &str) -> Option<u16> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

fn read_data(word: &str) -> Option<Data> {
    if let Some(digits) = word.strip_prefix("0x") {
        let octet = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let octets: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(octet).collect();
        return octets.map(Data::Octets);
    }
    let Some(variable) = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return Some(Data::Octets(word.as_bytes().to_vec()));
    };
    Some(Data::Variable(match variable {
        "qname" => Variable::Name,
        "qtype" => Variable::Type,
        "client_ip" => Variable::ClientAddress,
        "client_port" => Variable::ClientPort,
        "protocol" => Variable::Protocol,
        "server_ip" => Variable::ServerAddress,
        "server_port" => Variable::ServerPort,
        label if label.contains('/') => return Some(Data::Label(label.to_owned())),
        _ => return None,
    }))
}

impl OptionRule {
    pub(super) fn code(&self) -> u16 {
        self.code
    }

    /// Changes the query's OPT; `None` where there is nothing to change.
    pub(super) fn apply(&self, request: &Request, query: &mut Message) -> Option<Revert> {
        let options = query.opt.as_ref().map_or(&[][..], |opt| &opt.options);
        let found = options.iter().position(|(code, _)| *code == self.code);
        let before = found.map(|at| options[at].1.clone());
        let applies = match self.verb {
            Verb::Set => true,
            Verb::Append => found.is_none(),
            Verb::Replace | Verb::Unset => found.is_some(),
        };
        if !applies {
            return None;
        }
        let data = if self.verb == Verb::Unset { Vec::new() } else { self.data.octets(request, query)? };
        let opt = query.opt.get_or_insert_with(|| Opt::new(UDP_PAYLOAD, false));
        match (self.verb, found) {
            (Verb::Unset, _) => opt.options.retain(|(code, _)| *code != self.code),
            (_, Some(at)) => opt.options[at].1 = data,
            (_, None) => opt.options.push((self.code, data)),
        }
        Some(Revert(self.revert.then_some((self.code, before))))
    }
}

impl Data {
    /// The option's data for a query, as the rules before have left it.
    fn octets(&self, request: &Request, query: &Message) -> Option<Vec<u8>> {
        let address = |ip: IpAddr| match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        Some(match self {
            Data::Octets(octets) => octets.clone(),
            Data::Label(label) => request.metadata.value(label).filter(|value| !value.is_empty())?.into_bytes(),
            Data::Subnet(v4, v6) => {
                let octets = address(request.client.ip());
                let (family, bits) = if octets.len() == 4 { (1, *v4) } else { (2, *v6) };
                [&[0, family, bits, 0][..], &network(octets, bits)].concat()
            }
            Data::Variable(variable) => match variable {
                Variable::Name => Name::from_wire(&query.question.name)?.to_string().into_bytes(),
                Variable::Type => query.question.qtype.0.to_be_bytes().to_vec(),
                Variable::ClientAddress => address(request.client.ip()),
                Variable::ClientPort => request.client.port().to_be_bytes().to_vec(),
                Variable::Protocol => match request.transport {
                    Transport::Udp => b"udp".to_vec(),
                    Transport::Tcp => b"tcp".to_vec(),
                },
                Variable::ServerAddress => address(request.local.ip()),
                Variable::ServerPort => request.local.port().to_be_bytes().to_vec(),
            },
        })
    }
}

/// The octets that hold the first bits, the rest of the last one cleared (RFC 7871 section 6).
fn network(mut octets: Vec<u8>, bits: u8) -> Vec<u8> {
    octets.truncate(usize::from(bits).div_ceil(8));
    if let (Some(last), used @ 1..) = (octets.last_mut(), bits % 8) {
        *last &= 0xff << (8 - used);
    }
    octets
}

impl Revert {
    pub(super) fn apply(&self, message: &mut Message) {
        let (Some((code, before)), Some(opt)) = (&self.0, &mut message.opt) else { return };
        match before {
            Some(data) => {
                opt.options.iter_mut().filter(|(own, _)| own == code).for_each(|(_, own)| own.clone_from(data))
            }
            None => opt.options.retain(|(own, _)| own != code),
        }
    }
}
