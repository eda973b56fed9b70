//! What this node knows of every window in use: what Redis has counted, what it let in by itself
//! while Redis was away, and what is left of a lease. From that it judges alone when it must.
//! Must never let in by itself more than its share of what is left, nor forget to tell it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::bucket::{Bucket, Span};
use super::lease::Lease;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::tally::{Cell, Tally};

pub(super) struct Mirror {
    pub(super) name: Box<str>,
    /// Those who wait for a lease that somebody asks for, in their order.
    pub(super) leased: Notify,
    held: Mutex<Held>,
}

pub(super) struct Held {
    pub(super) span: Span,
    /// As Redis counts, of all nodes.
    pub(super) known: Tally,
    /// Grows with every change of the window in Redis.
    pub(super) version: u64,
    /// When something was last heard of it.
    pub(super) changed_us: u64,
    /// Let in by this node alone, and not told yet.
    pub(super) alone: Tally,
    /// Let in by others alone, as they said when this node came; they tell it themselves.
    pub(super) heard: Tally,
    /// Of former leases, not told yet: counted in Redis and used by nobody.
    pub(super) unused: Tally,
    /// Of both what is being told, until Redis has answered.
    telling: Option<Box<Telling>>,
    pub(super) lease: Lease,
    /// The month that was looked up in the database; 0: none was.
    pub(super) looked_up: u64,
    /// The volume of the diary in which this window stands.
    pub(super) noted_in: u64,
    /// Stands in the list of those that have something to tell.
    pub(super) is_listed: bool,
    is_gone: bool,
}

/// A correction of a window in Redis: the same one until an answer has come.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    /// Grows with every one of this process.
    pub(super) turn: u64,
    /// When it was first sent; 0: it was not.
    pub(super) first_us: u64,
    pub(super) alone: Tally,
    pub(super) unused: Tally,
}

static TURNS: AtomicU64 = AtomicU64::new(1);

/// What of a window is this node's while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As much as each of so many nodes has, after what is kept for those that were away before;
    /// at most what is kept for this one.
    Share { of: u64, kept: u64, most: u64 },
    /// The quota is too small for shares, and another node serves it.
    Nothing,
}

/// What a window says, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Seen {
    /// This call included, if it was counted. By all nodes, as far as this one knows.
    pub(in super::super) used: u64,
    /// What this node would let in still.
    pub(in super::super) left: u64,
    pub(in super::super) free_in_ns: u64,
    /// The part in which this call was counted, if it was.
    pub(in super::super) at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// One to each bucket.
    Counted(Vec<Seen>),
    /// Which one had no room.
    Over(usize, Seen),
}

#[derive(Default)]
pub(super) struct Mirrors {
    by_name: papaya::HashMap<Box<str>, Arc<Mirror>>,
}

impl Mirrors {
    pub(super) fn of(&self, bucket: &Bucket) -> Arc<Mirror> {
        self.named(&bucket.name, bucket.span)
    }

    /// The one of this name, which is made if there is none.
    pub(super) fn named(&self, name: &str, span: Span) -> Arc<Mirror> {
        let mirrors = self.by_name.pin();
        if let Some(mirror) = mirrors.get(name) {
            return Arc::clone(mirror);
        }
        let fresh = || Arc::new(Mirror::new(name.into(), span));
        Arc::clone(mirrors.get_or_insert_with(name.into(), fresh))
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Mirror>> {
        self.by_name.pin().get(name).cloned()
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> Vec<Arc<Mirror>> {
        self.by_name.pin().values().cloned().collect()
    }

    /// Puts away what rests.
    pub(super) fn sweep(&self, now_us: u64, unix_ms: i64) {
        self.by_name.pin().retain(|_, mirror| {
            let mut held = mirror.held();
            let now_us = held.moment(now_us);
            held.forget(now_us);
            if held.span.is_over(unix_ms) {
                held.forget_before(u64::MAX);
            }
            let rests = held.known.is_empty()
                && held.alone.is_empty()
                && held.unused.is_empty()
                && held.telling.is_none()
                && held.lease.left == 0
                && Arc::strong_count(mirror) == 1;
            held.is_gone |= rests;
            !rests
        });
    }
}

impl Mirror {
    fn new(name: Box<str>, span: Span) -> Self {
        let held = Held {
            span,
            known: Tally::default(),
            version: 0,
            changed_us: 0,
            alone: Tally::default(),
            heard: Tally::default(),
            unused: Tally::default(),
            telling: None,
            lease: Lease::default(),
            looked_up: 0,
            noted_in: 0,
            is_listed: false,
            is_gone: false,
        };
        Self { name, leased: Notify::new(), held: Mutex::new(held) }
    }

    /// Whoever asked for a lease has it, or will have none.
    pub(super) fn end_asking(&self, is_granted: bool) {
        let left = {
            let mut held = self.held();
            held.lease.is_asked_for = false;
            held.lease.left
        };
        match is_granted {
            // Each of these takes one call of it, and the last one asks for more.
            true => (0..=left).for_each(|_| self.leased.notify_one()),
            false => self.leased.notify_waiters(),
        }
    }

    /// Nothing behind this lock is left half-changed by a panic.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Redis says what one part holds at this version of the window.
    pub(super) fn see(&mut self, cell: Cell, version: u64, now_us: u64) {
        self.changed_us = now_us;
        // One change may say several parts, or one part twice: the last word counts.
        if version >= self.version {
            self.version = version;
            self.known.set(cell.part, cell.calls);
        } else {
            self.known.at_least(cell.part, cell.calls);
        }
    }

    /// A later month than the one that is known has begun; or the same, better known.
    pub(super) fn go_on_to(&mut self, span: Span) {
        let (known, told) = (self.span.part(0), span.part(0));
        if matches!(span, Span::Month(_)) && told > known {
            self.span = span;
        }
    }

    pub(super) fn forget(&mut self, now_us: u64) {
        self.forget_before(self.span.oldest(now_us));
    }

    fn forget_before(&mut self, oldest: u64) {
        self.known.forget_before(oldest);
        self.alone.forget_before(oldest);
        self.heard.forget_before(oldest);
        self.unused.forget_before(oldest);
    }

    /// A time that is a moment behind what is known already is that one.
    fn moment(&self, now_us: u64) -> u64 {
        now_us.max(self.newest().saturating_mul(self.span.part_us()))
    }

    /// What a call would find that this node judges alone: each of so many nodes may let in an
    /// equal share of what was left when Redis went away. So each call weighs as much as there are
    /// nodes.
    pub(super) fn look_alone(&mut self, bucket: &Bucket, part: Part, now_us: u64) -> (bool, Seen) {
        self.span = bucket.span;
        self.forget(now_us);
        let left = match part {
            Part::Share { of, kept, most } => {
                let shared = bucket.quota.saturating_sub(self.weight(of)).saturating_sub(kept);
                (shared / of.max(1)).min(most.saturating_sub(self.alone.used()))
            }
            Part::Nothing => 0,
        };
        let all = [&self.known, &self.alone, &self.heard];
        let used = all.iter().fold(0_u64, |sum, tally| sum.saturating_add(tally.used()));
        let oldest = all.iter().filter_map(|tally| tally.oldest()).min();
        let free_in_ns = oldest.map_or(0, |oldest| bucket.span.free_in_ns(oldest, now_us));
        (left > 0, Seen { used, left, free_in_ns, at: bucket.span.part(now_us) })
    }

    pub(super) fn count_alone(&mut self, bucket: &Bucket, part: Part, now_us: u64) -> Seen {
        self.alone.add(bucket.span.part(now_us), 1);
        self.changed_us = now_us;
        self.look_alone(bucket, part, now_us).1
    }

    /// Until enough has left the window for this node's next call. Where another node serves it,
    /// until all that it may have let in has left: then it surely has room.
    pub(super) fn free_alone_in_ns(&self, bucket: &Bucket, part: Part, now_us: u64) -> u64 {
        let whole_ns = bucket.span.free_in_ns(bucket.span.part(now_us), now_us);
        let (nodes, kept, most) = match part {
            Part::Share { of, kept, most } => (of, kept, most),
            Part::Nothing => return whole_ns,
        };
        let known = self.known.cells().iter().chain(self.heard.cells());
        let known = known.map(|cell| (cell.part, cell.calls, 0));
        let alone = self.alone.cells().iter();
        let alone = alone.map(|cell| (cell.part, cell.calls.saturating_mul(nodes), cell.calls));
        let mut parts: Vec<(u64, u64, u64)> = known.chain(alone).collect();
        parts.sort_unstable();
        let (mut weight, mut own) = (self.weight(nodes), self.alone.used());
        for (part, calls, alone) in parts {
            (weight, own) = (weight.saturating_sub(calls), own.saturating_sub(alone));
            if weight.saturating_add(nodes).saturating_add(kept) <= bucket.quota && own < most {
                return bucket.span.free_in_ns(part, now_us);
            }
        }
        whole_ns
    }

    fn weight(&self, nodes: u64) -> u64 {
        let of_others = self.known.used().saturating_add(self.heard.used());
        of_others.saturating_add(self.alone.used().saturating_mul(nodes))
    }

    /// A call out of the lease, if there is one of the running part.
    pub(super) fn take_leased(&mut self, bucket: &Bucket, now_us: u64) -> bool {
        let part = bucket.span.part(now_us);
        if self.lease.left == 0 || self.lease.part != part {
            return false;
        }
        self.lease.left -= 1;
        self.lease.used_at_us = now_us;
        true
    }

    /// So many calls were granted, one of which is spent at once.
    pub(super) fn lease(&mut self, part: u64, granted: u64, now_us: u64) {
        if self.lease.part != part {
            self.end_lease();
            self.lease.part = part;
        }
        self.lease.left += granted.saturating_sub(1);
        if granted > 1 {
            self.lease.size = granted;
        }
        self.lease.used_at_us = now_us;
    }

    /// What is left of it is nobody's: to be told.
    pub(super) fn end_lease(&mut self) {
        let left = std::mem::take(&mut self.lease.left);
        self.unused.add(self.lease.part, left);
        self.lease.size = 0;
    }

    /// What is in the window of calls, for what is told without asking.
    pub(super) fn seen(&mut self, bucket: &Bucket, now_us: u64) -> Seen {
        self.forget(now_us);
        let used = self.known.used().saturating_sub(self.spare());
        let oldest = self.known.oldest();
        let free_in_ns = oldest.map_or(0, |oldest| bucket.span.free_in_ns(oldest, now_us));
        let left = bucket.quota.saturating_sub(used);
        Seen { used, left, free_in_ns, at: bucket.span.part(now_us) }
    }

    /// Counted in Redis for this node, and used by nobody so far.
    pub(super) fn spare(&self) -> u64 {
        self.lease.left.saturating_add(self.unused.used())
    }

    /// The newest part with a call in it that Redis has told of; 0 where there is none.
    pub(super) fn newest(&self) -> u64 {
        self.known.cells().last().map_or(0, |cell| cell.part)
    }

    /// By this node alone, and nobody was told.
    pub(super) fn has_let_in(&self) -> bool {
        !self.alone.is_empty()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.alone.is_empty() || !self.unused.is_empty() || self.telling.is_some()
    }

    /// A call that was taken out of a lease is not made.
    pub(super) fn put_back(&mut self, part: u64) {
        match self.lease.part == part {
            true => self.lease.left += 1,
            false => self.unused.add(part, 1),
        }
    }

    /// What is to be told: what was begun before comes first.
    pub(super) fn begin_telling(&mut self) -> Option<Telling> {
        if self.telling.is_none() && self.has_news() {
            let (alone, unused) = (self.alone.clone(), self.unused.clone());
            let turn = TURNS.fetch_add(1, Ordering::Relaxed);
            self.telling = Some(Box::new(Telling { turn, first_us: 0, alone, unused }));
        }
        self.telling.as_deref().cloned()
    }

    /// It is on its way, and nobody knows what becomes of it.
    pub(super) fn is_sent(&mut self, now_us: u64) {
        if let Some(telling) = self.telling.as_mut().filter(|telling| telling.first_us == 0) {
            telling.first_us = now_us;
        }
    }

    /// Redis has answered.
    pub(super) fn end_telling(&mut self) {
        let Some(told) = self.telling.take() else { return };
        told.alone.cells().iter().for_each(|cell| self.alone.take_off(cell.part, cell.calls));
        told.unused.cells().iter().for_each(|cell| self.unused.take_off(cell.part, cell.calls));
    }

    /// A call that was counted is not made after all.
    pub(super) fn take_back(&mut self, part: u64) -> Option<Cell> {
        let is_alone = self.telling.is_none()
            && self.alone.cells().iter().any(|cell| cell.part == part && cell.calls > 0);
        if !is_alone {
            self.unused.add(part, 1);
            return None;
        }
        self.alone.take_off(part, 1);
        Some(Cell { part, calls: 1 })
    }
}
