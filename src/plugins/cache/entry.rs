//! One stored answer: a message that is ready but for its client.

use super::bailiwick::{self, Extent};
use super::options::Prefetch;
use crate::plugin::Context;
use crate::wire::{self, Query, Rcode, RecordType, ReplyView, Section};
use foldhash::quality::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Octets of the largest message that is stored.
const LARGEST: usize = 16 * 1024;
/// Seconds by which the clocks of two workers may differ: each reads its own once a batch.
const CLOCK_SLACK: u64 = 2;

/// What an answer is found by: the name without case, type, class, DO and CD.
pub(super) struct Key<'a> {
    /// The name in lower case, type and class follow.
    name: &'a [u8],
    qtype: u16,
    qclass: u16,
    flags: u8,
    /// Never 0.
    pub hash: u64,
}

impl<'a> Key<'a> {
    #[inline]
    pub fn of(query: &Query<'a>, seed: &RandomState) -> Key<'a> {
        let flags = flags(query.dnssec_ok(), query.checking_disabled());
        let mut hasher = seed.build_hasher();
        hasher.write(query.name.wire());
        hasher.write_u64(u64::from(query.qtype.0) << 32 | u64::from(query.qclass) << 16 | u64::from(flags));
        Key { name: query.name.wire(), qtype: query.qtype.0, qclass: query.qclass, flags, hash: hasher.finish() | 1 }
    }
}

fn flags(dnssec_ok: bool, checking_disabled: bool) -> u8 {
    u8::from(dnssec_ok) | u8::from(checking_disabled) << 1
}

/// A reply without its OPT, the places of its TTLs, and when it ends.
pub(super) struct Entry {
    /// The message, and behind it where its TTLs are, two octets each: one piece of memory, for a table in use is cold.
    octets: Box<[u8]>,
    /// Where the message ends.
    end: u16,
    addresses: Box<[Addresses]>,
    flags: u8,
    /// It has what was asked for, and is no denial.
    positive: bool,
    /// Seconds since the Unix epoch.
    stored: u64,
    ttl: u32,
    /// Hits in a row, and when the last one was (seconds, low bits).
    hits: AtomicU32,
    last_hit: AtomicU32,
    /// It is being fetched again.
    refreshing: AtomicBool,
    /// Until when it is not fetched again, after the upstream failed.
    quiet_until: AtomicU64,
}

/// Address records in a row with one owner: their RDATA may change places.
struct Addresses {
    /// Where the first one's RDATA starts, and how far the next is.
    first: u16,
    stride: u16,
    count: u16,
    /// 4 or 16.
    size: u16,
}

/// When an entry is worth its place: what a table knows of it without fetching it from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Seconds since the Unix epoch, the lower half.
    from: u32,
    seconds: u32,
}

impl Span {
    /// In one word.
    pub fn packed(self) -> u64 {
        u64::from(self.from) << 32 | u64::from(self.seconds)
    }

    /// Out of that word.
    pub fn unpacked(word: u64) -> Span {
        Span { from: (word >> 32) as u32, seconds: word as u32 }
    }

    /// Whether it is over, or the clock went back before its beginning.
    pub fn is_over(self, now: u64) -> bool {
        let age = i64::from((now as u32).wrapping_sub(self.from) as i32);
        age < -(CLOCK_SLACK as i64) || age.max(0) >= i64::from(self.seconds)
    }
}

impl Entry {
    /// Stores the reply to `query` for `ttl` seconds from `now`. `None` if it is too large, or has what the question does
    /// not lead to.
    pub fn new(query: &Query<'_>, reply: &ReplyView<'_>, ttl: u32, now: u64) -> Option<Entry> {
        let (without_opt, cut);
        let mut view = *reply;
        if reply.has_opt() {
            without_opt = reply.without_opt();
            view = ReplyView::parse(&without_opt)?;
        }
        if view.octets().len() > LARGEST {
            return None;
        }
        match bailiwick::extent(&view) {
            Extent::Whole => {}
            Extent::Up { to, additional } => {
                let mut octets = view.octets()[..to].to_vec();
                octets[10..wire::HEADER].copy_from_slice(&additional.to_be_bytes());
                cut = octets;
                view = ReplyView::parse(&cut)?;
            }
            Extent::Nothing => return None,
        }
        let end = view.octets().len();
        let mut octets = Vec::with_capacity(end + 2 * view.all_records());
        octets.extend(view.octets());
        octets.extend(view.records().flat_map(|record| (record.ttl_at as u16).to_ne_bytes()));
        let addresses = address_runs(&view);
        let flags = flags(query.dnssec_ok(), query.checking_disabled());
        Some(Entry {
            octets: octets.into(),
            end: end as u16,
            addresses,
            flags,
            positive: matches!(view.rcode(), Rcode::NOERROR) && view.reaches(query.qtype),
            stored: now,
            ttl,
            hits: AtomicU32::new(0),
            last_hit: AtomicU32::new(0),
            refreshing: AtomicBool::new(false),
            quiet_until: AtomicU64::new(0),
        })
    }

    #[inline]
    fn packet(&self) -> &[u8] {
        &self.octets[..usize::from(self.end)]
    }

    /// Whether this is the answer of a key.
    #[inline]
    pub fn is_for(&self, key: &Key<'_>) -> bool {
        let name_end = wire::HEADER + key.name.len();
        let Some(question) = self.octets.get(wire::HEADER..name_end + 4) else { return false };
        let (name, fixed) = question.split_at(key.name.len());
        let [t0, t1] = key.qtype.to_be_bytes();
        let [c0, c1] = key.qclass.to_be_bytes();
        self.flags == key.flags && fixed == [t0, t1, c0, c1] && name.eq_ignore_ascii_case(key.name)
    }

    /// The seconds it has left; `None` when it has expired, or when the clock went back before its beginning.
    #[inline]
    pub fn remaining(&self, now: u64) -> Option<u32> {
        let age = (now + CLOCK_SLACK).checked_sub(self.stored)?.saturating_sub(CLOCK_SLACK);
        let age = u32::try_from(age).ok()?;
        self.ttl.checked_sub(age).filter(|left| *left > 0)
    }

    /// Whether it has expired, but less than `window` seconds ago, and says something: an error is not worth it.
    pub fn is_stale(&self, now: u64, window: u64) -> bool {
        let ends = self.stored + u64::from(self.ttl);
        (ends..ends.saturating_add(window)).contains(&now) && matches!(self.packet()[3] & 0x0f, 0 | 3)
    }

    /// Whether it may be given, fresh or less than `window` seconds after its end, and says something.
    pub fn is_usable(&self, now: u64, window: u64) -> bool {
        let says_something = matches!(self.packet()[3] & 0x0f, 0 | 3);
        says_something && self.remaining(now).is_some() || self.is_stale(now, window)
    }

    /// When it is worth its place in the table; an expired one is for `window` seconds more.
    pub fn span(&self, window: u64) -> Span {
        let kept = if matches!(self.packet()[3] & 0x0f, 0 | 3) { window } else { 0 };
        let seconds = u32::try_from(u64::from(self.ttl).saturating_add(kept)).unwrap_or(u32::MAX);
        Span { from: self.stored as u32, seconds }
    }

    /// Whether it has what was asked for.
    pub fn is_positive(&self) -> bool {
        self.positive
    }

    /// Whether it is popular and near its end. Counts a hit.
    pub fn is_due(&self, now: u64, left: u32, prefetch: &Prefetch) -> bool {
        let now = now as u32;
        let gap = now.wrapping_sub(self.last_hit.swap(now, Relaxed));
        // Racing hits may count as one; popularity needs no precision.
        let hits = if gap > prefetch.within { 1 } else { self.hits.load(Relaxed).saturating_add(1) };
        self.hits.store(hits, Relaxed);
        let threshold = (u64::from(self.ttl) * u64::from(prefetch.percent)).div_ceil(100);
        hits >= prefetch.amount && u64::from(left) <= threshold
    }

    /// Whether it is not to be fetched again now: that is going on, or has failed a moment ago.
    pub fn is_quiet(&self, now: u64) -> bool {
        self.refreshing.load(Relaxed) || self.is_resting(now)
    }

    /// Whether it is not to be fetched again because that has failed a moment ago.
    pub fn is_resting(&self, now: u64) -> bool {
        now < self.quiet_until.load(Relaxed)
    }

    /// Takes the task to fetch it again. False if another one has it.
    pub fn begin_refresh(&self, now: u64) -> bool {
        !self.is_quiet(now) && !self.refreshing.swap(true, Relaxed)
    }

    /// The refresh has ended; if it failed, the next one is not before `quiet_until`.
    pub fn end_refresh(&self, quiet_until: u64) {
        self.quiet_until.store(quiet_until, Relaxed);
        self.stop_refreshing();
    }

    /// The refresh has ended, nobody knows how.
    pub fn stop_refreshing(&self) {
        self.refreshing.store(false, Relaxed);
    }

    /// The TTL it was stored with, in seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Octets of memory, about.
    pub fn size(&self) -> usize {
        size_of::<Entry>() + self.octets.len() + size_of_val(&*self.addresses)
    }

    /// Octets of the answer at most.
    pub fn answer_size(&self) -> usize {
        self.packet().len() + 11
    }

    /// Writes the answer to `query` with this TTL. `None` if the buffer is too small for it.
    ///
    /// AA is set as CoreDNS sets it on hits; AD only goes to clients that asked for it (RFC 6840 section 5.8).
    #[inline]
    pub fn write(&self, query: &Query<'_>, context: &Context, ttl: u32, out: &mut [u8]) -> Option<usize> {
        let (packet, ttls) = self.octets.split_at(usize::from(self.end));
        let len = packet.len();
        out.get_mut(..len)?.copy_from_slice(packet);
        out[2] |= 0x04;
        if !query.dnssec_ok() && !query.authentic_data() {
            out[3] &= !0x20;
        }
        let ttl = ttl.to_be_bytes();
        for at in ttls.as_chunks().0 {
            let at = usize::from(u16::from_ne_bytes(*at));
            out[at..at + 4].copy_from_slice(&ttl);
        }
        if context.shape.shuffle {
            self.addresses.iter().for_each(|addresses| addresses.shuffle(out, context.moment.random));
        }
        Some(wire::address_reply(query, out, len, context.limit))
    }
}

fn address_runs(view: &ReplyView<'_>) -> Box<[Addresses]> {
    if view.count(Section::Answer) < 2 {
        return Box::default();
    }
    let octets = view.octets();
    let mut runs: Vec<Addresses> = Vec::new();
    let mut previous: Option<(&[u8], RecordType, usize)> = None;
    for record in view.records().take_while(|record| record.section == Section::Answer) {
        let size = match record.rtype {
            RecordType::A => 4,
            RecordType::AAAA => 16,
            _ => 0,
        };
        if size == 0 || record.rdata.len() != size {
            previous = None;
            continue;
        }
        let owner = &octets[record.start..record.ttl_at - 4];
        match (runs.last_mut(), previous) {
            (Some(run), Some((last_owner, rtype, first))) if last_owner == owner && rtype == record.rtype => {
                run.stride = ((record.rdata.start - first) / usize::from(run.count)) as u16;
                run.count += 1;
            }
            _ => {
                previous = Some((owner, record.rtype, record.rdata.start));
                runs.push(Addresses { first: record.rdata.start as u16, stride: 0, count: 1, size: size as u16 });
            }
        }
    }
    runs.retain(|run| run.count > 1);
    runs.into()
}

impl Addresses {
    /// Fisher and Yates', with splitmix64's dice: good enough for spreading load.
    fn shuffle(&self, out: &mut [u8], mut random: u64) {
        let at = |index: u64| usize::from(self.first) + index as usize * usize::from(self.stride);
        let size = usize::from(self.size);
        for index in (1..u64::from(self.count)).rev() {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (random ^ random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let other = ((mixed >> 32) * (index + 1)) >> 32;
            if other != index {
                let (low, high) = out.split_at_mut(at(index));
                low[at(other)..at(other) + size].swap_with_slice(&mut high[..size]);
            }
        }
    }
}
