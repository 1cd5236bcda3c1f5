//! The targets of aliases in the fast lane: asked of the whole server, as the client would ask them.

use super::lanes::Asking;
use crate::plugin::Verdict;
use crate::wire::{CLASS_IN, HEADER, NameBuffer, Query, ReplyView, join_alias, set_ttls, skip_name};

/// Octets of a query for a target; a longer one is the slow lane's.
const QUERY_ROOM: usize = 512;
/// Octets of the reply to it: the most that UDP carries.
const REPLY_ROOM: usize = 4096;

/// One worker's memory for the question and the answer behind an alias.
pub(super) struct Targets {
    names: NameBuffer,
    query: [u8; QUERY_ROOM],
    reply: [u8; REPLY_ROOM],
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { names: NameBuffer::default(), query: [0; QUERY_ROOM], reply: [0; REPLY_ROOM] }
    }
}

impl Targets {
    /// Completes the answer in `out`, of `alias.0` octets and with the target's name at `alias.1`, by what the server's
    /// memory has for that name; `count` is told of the question for it and the reply. `None` is the slow lane's: nothing
    /// in memory, another alias, or an answer that takes more than a copy.
    pub fn follow(
        &mut self,
        asking: &Asking<'_>,
        index: usize,
        query: &Query<'_>,
        alias: (usize, usize),
        out: &mut [u8],
        count: impl FnOnce(usize, &Query<'_>, &[u8]),
    ) -> Option<usize> {
        let len = self.ask_for(query, out.get(alias.1..alias.0)?)?;
        let inner = Query::parse(&self.query[..len], &mut self.names).ok()?;
        let found = asking.routes.find(&inner, asking.asker).ok().flatten()?;
        let Verdict::Answered(len) = asking.sources(found, &inner, &mut self.reply, |_| {}) else { return None };
        let reply = &self.reply[..len];
        let context = asking.context(index, query);
        let len = join_alias(query, out, alias, reply, context.limit)?;
        if let Some(rule) = context.shape.ttl {
            let lowest = ReplyView::parse(&out[..len])?.lowest_ttl()?;
            set_ttls(&mut out[..len], rule.positive.hold(lowest));
        }
        if !asking.plan(index).may_send(&query.name, &out[..len]) {
            return None;
        }
        count(found, &inner, reply);
        Some(len)
    }

    /// Makes the client's query one for the name that `octets` begin with. Returns its length.
    fn ask_for(&mut self, query: &Query<'_>, octets: &[u8]) -> Option<usize> {
        let name = &octets[..skip_name(octets, 0)?];
        let fixed = [query.qtype.0.to_be_bytes(), CLASS_IN.to_be_bytes()];
        let parts = [&query.packet[..HEADER], name, fixed.as_flattened(), &query.packet[query.question_end()..]];
        let mut at = 0;
        for part in parts {
            self.query.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        Some(at)
    }
}
