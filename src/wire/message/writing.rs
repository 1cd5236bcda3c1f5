//! A message's octets: names compressed, and no more than a limit.

use super::super::HEADER;
use super::flags::TC;
use super::names::is_compressible;
use super::{Message, Opt, ResourceRecord};
use std::collections::HashMap;

impl Message {
    /// The message's octets, names compressed, at most `limit` of them: records that do not fit are left out from the
    /// first on, and TC is set (RFC 2181 section 9). Header, question and OPT always stand.
    pub fn to_octets(&self, limit: usize) -> Vec<u8> {
        let mut writer = Writer { out: Vec::with_capacity(512), names: HashMap::new() };
        let opt = self.opt.as_ref().map(Opt::to_octets).unwrap_or_default();
        writer.out.extend([0; HEADER]);
        writer.name(&self.question.name);
        writer.out.extend(self.question.qtype.0.to_be_bytes());
        writer.out.extend(self.question.qclass.to_be_bytes());
        let (mut flags, mut counts) = (self.flags, [0u16; 3]);
        'records: for (section, count) in self.sections().into_iter().zip(&mut counts) {
            for record in section {
                let before = writer.out.len();
                writer.record(record);
                if writer.out.len() + opt.len() > limit || *count == u16::MAX {
                    writer.out.truncate(before);
                    flags |= TC;
                    break 'records;
                }
                *count += 1;
            }
        }
        if !opt.is_empty() {
            writer.out.extend(opt);
            counts[2] = counts[2].saturating_add(1);
        }
        let header = [self.id, flags, 1, counts[0], counts[1], counts[2]];
        for (octets, word) in writer.out.chunks_exact_mut(2).zip(header) {
            octets.copy_from_slice(&word.to_be_bytes());
        }
        writer.out
    }
}

/// Octets being written, and where each name's tails stand.
struct Writer<'m> {
    out: Vec<u8>,
    names: HashMap<&'m [u8], u16>,
}

impl<'m> Writer<'m> {
    fn record(&mut self, record: &'m ResourceRecord) {
        self.name(&record.owner);
        self.out.extend(record.rtype.0.to_be_bytes());
        self.out.extend(record.class.to_be_bytes());
        self.out.extend(record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend([0; 2]);
        let mut copied = 0;
        if is_compressible(record.rtype) {
            for name in record.names() {
                self.out.extend(&record.rdata[copied..name.start]);
                copied = name.end;
                self.name(&record.rdata[name]);
            }
        }
        self.out.extend(&record.rdata[copied..]);
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Writes a whole name, the longest tail that stands already as a pointer (RFC 1035 section 4.1.4).
    fn name(&mut self, name: &'m [u8]) {
        let mut rest = name;
        while let [len @ 1..=63, ..] = rest {
            // What is cut away again is never pointed to: a cut ends the records.
            if let Some(at) = self.names.get(rest) {
                self.out.extend((0xc000 | at).to_be_bytes());
                return;
            }
            if self.out.len() < 0x4000 {
                self.names.insert(rest, self.out.len() as u16);
            }
            let (label, tail) = rest.split_at(rest.len().min(1 + usize::from(*len)));
            self.out.extend(label);
            rest = tail;
        }
        self.out.push(0);
    }
}
