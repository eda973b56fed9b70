//! What this node and the others know of each other beside Redis: whether this one may spend yet,
//! whose share is kept, and what the others let in by themselves.
//! Must never make the share of a node that is alone larger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::alone::month;
use super::bucket::Bucket;
use super::diary::{Found, What};
use super::keeper::PATIENCE;
use super::learning::span_of;
use super::mirror::{Mirror, Seen, Verdict};
use super::tally::Tally;
use super::{How, Kept, Shared, lock};

const A_SECOND_NS: u64 = 1_000_000_000;
const A_MOMENT: Duration = Duration::from_millis(20);

/// Where this node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Standing {
    /// Redis counts, and has been told what this node let in without it.
    pub(in super::super) is_up: bool,
    /// The memory of Redis that this node has met last.
    pub(in super::super) era: String,
}

impl Shared {
    pub(in super::super) fn standing(&self) -> Standing {
        let is_up = self.is_settled.load(Ordering::Acquire) && self.link.load().is_some();
        Standing { is_up, era: lock(&self.era).clone() }
    }

    /// This node has just come, and nobody may spend anything here yet.
    pub(in super::super) fn hold(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }

    /// Something has become of Redis.
    pub(in super::super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Waits for a short while until calls may be counted. False where they may not yet.
    pub(in super::super) async fn may_spend(&self) -> bool {
        if !*self.is_held.borrow() {
            return true;
        }
        let mut held = self.is_held.subscribe();
        let released = held.wait_for(|is_held| !is_held);
        let _late = tokio::time::timeout(A_MOMENT, released).await;
        !*self.is_held.borrow()
    }

    /// What is said to a call that comes too early: nobody knows yet what is left.
    pub(super) fn too_early(&self, buckets: &[Bucket], how: How) -> Verdict {
        let now_us = self.time.now_us();
        let seen = buckets.iter().map(|one| self.mirrors.of(one).held().seen(one, now_us));
        let seen: Vec<Seen> = seen.collect();
        match how {
            How::Look => Verdict::Counted(seen),
            How::Count | How::CountNow => {
                let used = seen.first().map_or(0, |seen| seen.used);
                Verdict::Over(0, Seen { used, left: 0, free_in_ns: A_SECOND_NS, at: 0 })
            }
        }
    }

    /// These judge alone, or did when they were last seen: what they may be spending stays theirs.
    pub(in super::super) fn keep_for(&self, nodes: Vec<Kept>) {
        *lock(&self.kept) = nodes;
    }

    /// While Redis is away these share, too. Nobody is counted out until it is back.
    pub(in super::super) fn count_with(&self, nodes: impl Iterator<Item = String>) {
        let mut names = lock(&self.names);
        for name in nodes.chain([self.node.clone()]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
        self.nodes.fetch_max(count.max(self.settings.nodes), Ordering::AcqRel);
    }

    /// Who finds no such file later knows that it was lost.
    pub(in super::super) fn begin_diary(&self) {
        self.diary.note(|| self.began(), std::iter::empty());
    }

    /// Since when what was let in alone has to be counted up from the trail, because the file that
    /// said it is gone or damaged.
    pub(in super::super) fn has_lost(&self, alone_since_ms: i64) -> Option<i64> {
        match (self.lost.is_damaged, self.lost.is_missing) {
            (true, _) => Some(self.lost.since_ms.max(1).min(alone_since_ms.max(1))),
            (false, true) if alone_since_ms > 0 => Some(alone_since_ms),
            (false, true | false) => None,
        }
    }

    /// What this node let in by itself as the trail knows it.
    pub(in super::super) fn count_up(&self, bucket: &Bucket, tally: &Tally) {
        let mirror = self.mirrors.of(bucket);
        let mut held = mirror.held();
        tally.cells().iter().for_each(|cell| held.alone.at_least(cell.part, cell.calls));
        for cell in tally.cells() {
            self.diary.note_part(|| self.began(), (&mirror, &mut held), cell.part);
        }
        if held.has_news() && !held.is_listed {
            held.is_listed = true;
            drop(held);
            lock(&self.news).push(mirror);
        }
    }

    /// What the others said when this one came: they know the same of the time before, and each
    /// has let in something by itself.
    pub(in super::super) fn learn_spent<'a>(&self, texts: impl Iterator<Item = &'a str>) {
        let mut spent: BTreeMap<(Box<str>, u64), (u64, u64)> = BTreeMap::new();
        for ((name, what, part), calls) in texts.flat_map(|text| Found::read(text).cells) {
            let (known, alone) = spent.entry((name, part)).or_default();
            match what {
                What::Known => *known = calls.max(*known),
                What::Alone => *alone = alone.saturating_add(calls),
            }
        }
        for ((name, part), (known, alone)) in spent {
            let span = span_of(&name).unwrap_or_else(|| month(part));
            let mirror = self.mirrors.named(&name, span);
            self.know(&mirror, part, known);
            mirror.held().heard.at_least(part, alone);
        }
    }

    /// What the database knows of those that are alone: they tell it Redis themselves.
    pub(in super::super) fn hear_of(&self, bucket: &Bucket, tally: &Tally) {
        let mirror = self.mirrors.of(bucket);
        let mut held = mirror.held();
        tally.cells().iter().for_each(|cell| held.heard.at_least(cell.part, cell.calls));
    }

    /// Redis knows it by now, or keeps their share.
    pub(super) fn forget_heard(&self) {
        self.mirrors.all().iter().for_each(|mirror| mirror.held().heard = Tally::default());
    }

    /// What the database knows of all nodes.
    pub(in super::super) fn learn_database(&self, bucket: &Bucket, tally: &Tally) {
        let mirror = self.mirrors.of(bucket);
        tally.cells().iter().for_each(|cell| self.know(&mirror, cell.part, cell.calls));
    }

    pub(super) fn know(&self, mirror: &Arc<Mirror>, part: u64, calls: u64) {
        let mut held = mirror.held();
        let before = held.known.used();
        held.known.at_least(part, calls);
        held.version = held.version.max(1);
        if held.known.used() != before {
            held.changed_us = self.time.now_us();
            drop(held);
            lock(&self.behind).push(Arc::clone(mirror));
        }
    }

    /// Redis, where it is there, learns what was learnt elsewhere.
    pub(in super::super) async fn tell_known(&self) {
        let mut behind = std::mem::take(&mut *lock(&self.behind));
        behind.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        behind.dedup_by(|left, right| Arc::ptr_eq(left, right));
        let Some(link) = self.link.load_full() else { return };
        for mirror in behind {
            if let Err(why) = self.tell_all_of(&link, &mirror, PATIENCE).await {
                self.end(&link, why);
                return;
            }
        }
    }

    /// Months are looked up anew: more is known of them by now.
    pub(in super::super) fn forget_months(&self) {
        self.mirrors.all().iter().for_each(|mirror| mirror.held().looked_up = 0);
    }
}
