//! Questions from a file, as packets.

use std::fs;
use std::io;

/// Octets of a header, behind which the question starts.
pub const HEADER: usize = 12;

/// Reads a file of `name TYPE` lines, as dnsperf does; lines of other forms are left out. `edns` adds an OPT that offers
/// 1232 octets.
///
/// # Errors
/// The file cannot be read, or has no question.
pub fn read(path: &str, edns: bool) -> io::Result<Vec<Vec<u8>>> {
    let questions: Vec<_> = fs::read_to_string(path)?.lines().filter_map(|line| packet(line, edns)).collect();
    if questions.is_empty() { Err(io::Error::other(format!("{path} has no questions"))) } else { Ok(questions) }
}

fn packet(line: &str, edns: bool) -> Option<Vec<u8>> {
    let (name, kind) = line.split_once(char::is_whitespace)?;
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for label in name.trim_end_matches('.').split('.') {
        packet.push(u8::try_from(label.len()).ok()?);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(type_number(kind.trim())?.to_be_bytes());
    packet.extend([0, 1]);
    if edns {
        packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    Some(packet)
}

fn type_number(name: &str) -> Option<u16> {
    Some(match name {
        "A" => 1,
        "NS" => 2,
        "CNAME" => 5,
        "SOA" => 6,
        "PTR" => 12,
        "TXT" => 16,
        "AAAA" => 28,
        "SRV" => 33,
        "ANY" => 255,
        _ => return None,
    })
}

/// Writes `counter` as eight hexadecimal digits over the first label, where that has eight octets: a name that nobody
/// has asked for yet.
pub fn make_unique(packet: &mut [u8], counter: u32) {
    if packet.get(HEADER) == Some(&8) {
        for (index, octet) in packet[HEADER + 1..HEADER + 9].iter_mut().enumerate() {
            *octet = b"0123456789abcdef"[(counter >> (28 - 4 * index) & 0xf) as usize];
        }
    }
}

/// The offset behind the question of a query, whose name is not compressed.
pub fn question_end(packet: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    while *packet.get(at)? != 0 {
        at += 1 + usize::from(packet[at]);
    }
    (at + 5 <= packet.len()).then_some(at + 5)
}
