//! What this node decides while Redis is away: its share of what was left, by its own knowledge of
//! what all nodes have counted.
//! Must never count a call that nobody will tell Redis of, nor go on when Redis is back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::accord::Share;
use super::bucket::Bucket;
use super::diary::{Began, Found, What};
use super::learning::span_of;
use super::mirror::{Held, Mirror, Part, Seen, Verdict};
use super::{Shared, Span, lock};
use crate::quota::Period;

const NOTED_AT_ONCE: usize = 64;

impl Shared {
    /// By this node's own knowledge. None where Redis is back meanwhile, or nothing is sure to be
    /// this node's.
    pub(super) fn alone(
        &self,
        buckets: &[Bucket],
        mirrors: &[Arc<Mirror>],
        counts: bool,
    ) -> Option<Verdict> {
        let now_us = self.time.now_us();
        // Whoever only looks is told what would be its share.
        let supposed = (!counts).then(|| self.supposed_share());
        let share = self.share().or(supposed)?;
        let parts: Vec<Part> = buckets.iter().map(|one| self.part_of(one, share)).collect();
        // Always in this order: no window stands both before and behind another.
        let mut all: Vec<MutexGuard<'_, Held>> = mirrors.iter().map(|one| one.held()).collect();
        // Under the locks: what is counted now is told by whoever takes them next.
        if self.link.load().is_some() || all.iter().any(|held| held.is_gone()) {
            return None;
        }
        let mut seen = Vec::with_capacity(buckets.len());
        let each = buckets.iter().zip(&parts).zip(&mut all);
        for (place, ((bucket, part), held)) in each.enumerate() {
            let (has_room, one) = held.look_alone(bucket, *part, now_us);
            if !has_room && counts {
                self.metrics.limits().alone();
                let free_in_ns = held.free_alone_in_ns(bucket, *part, now_us);
                return Some(Verdict::Over(place, Seen { free_in_ns, ..one }));
            }
            seen.push(one);
        }
        if !counts {
            return Some(Verdict::Counted(seen));
        }
        if !self.list(mirrors, &mut all) {
            return None;
        }
        let each = buckets.iter().zip(&parts).zip(&mut all);
        let seen =
            each.map(|((bucket, part), held)| held.count_alone(bucket, *part, now_us)).collect();
        // Before the call is answered, and under the locks: in the order in which it was counted.
        let each = mirrors.iter().zip(&mut all);
        self.diary.note(|| self.began(), each.map(|(mirror, held)| (&**mirror, &mut **held)));
        self.metrics.limits().alone();
        Some(Verdict::Counted(seen))
    }

    fn supposed_share(&self) -> Share {
        let of = self.nodes.load(Ordering::Acquire).max(1);
        Share { of, absent: 0, least: of }
    }

    fn part_of(&self, bucket: &Bucket, share: Share) -> Part {
        let nodes = share.of.max(1);
        if bucket.quota >= nodes {
            // Those that were away before have spent their share, as far as is known.
            let kept = share.absent.saturating_mul(bucket.quota / share.least.max(1));
            let of = nodes.saturating_sub(share.absent).max(1);
            return Part::Share { of, kept, most: bucket.quota / nodes };
        }
        match self.owner_of(bucket).is_some_and(|owner| owner == self.node) {
            true => Part::Share { of: 1, kept: 0, most: bucket.quota },
            false => Part::Nothing,
        }
    }

    /// What all nodes have counted when Redis went away, for windows in which nobody calls until
    /// this node is killed.
    pub(super) async fn note_all(&self) {
        for mirrors in self.mirrors.all().chunks(NOTED_AT_ONCE) {
            if mirrors.iter().any(|mirror| !self.note_one(mirror)) {
                return;
            }
            tokio::task::yield_now().await;
        }
        self.diary.noted();
    }

    /// False where Redis is back.
    fn note_one(&self, mirror: &Mirror) -> bool {
        let mut held = mirror.held();
        if self.link.load().is_some() {
            return false;
        }
        if !self.diary.has_noted(&held) && !held.known.is_empty() {
            self.diary.note(|| self.began(), std::iter::once((mirror, &mut *held)));
        }
        true
    }

    pub(super) fn began(&self) -> Began {
        let (unix_ms, now_us) = (self.time.clock.unix_ms(), self.time.now_us());
        Began { unix_ms, now_us, nodes: self.nodes.load(Ordering::Acquire).max(1) }
    }

    /// What a former process let in by itself and did not tell: it is this node's still, and is
    /// told when Redis is back.
    pub(super) fn recall(&self, found: &Found) {
        let Some(began) = found.began else { return };
        let unix_us = began.unix_ms.saturating_mul(1000);
        self.time.suppose(i64::try_from(began.now_us).unwrap_or(unix_us).saturating_sub(unix_us));
        self.nodes.store(began.nodes.max(self.settings.nodes).max(1), Ordering::Release);
        let (now_us, volume) = (self.time.now_us(), self.diary.volume());
        let is_fresh = self.recalled_ms.is_some();
        if !is_fresh {
            self.diary.renew(self.began(), found);
        }
        for ((name, what, part), calls) in &found.cells {
            if *what == What::Known && !is_fresh {
                continue;
            }
            let mirror = self.mirrors.named(name, span_of(name).unwrap_or_else(|| month(*part)));
            let mut held = mirror.held();
            // A clock that was set back: no call was made in a time to come.
            let part = (*part).min(held.span.part(now_us));
            match what {
                What::Known => held.known.add(part, *calls),
                What::Alone => held.alone.add(part, *calls),
            }
            if is_fresh {
                (held.noted_in, held.version) = (volume, held.version.max(1));
            }
            held.forget(now_us);
            if held.has_news() && !held.is_listed {
                held.is_listed = true;
                drop(held);
                lock(&self.news).push(mirror);
            }
        }
    }

    /// Since when this node has been alone, as the former process knew it; and whether the diary
    /// says what was known of a window.
    pub(in super::super) fn alone_since_ms(&self) -> Option<i64> {
        self.recalled_ms
    }

    pub(in super::super) fn is_recalled(&self, bucket: &Bucket) -> bool {
        let mirror = self.mirrors.find(&bucket.name);
        mirror.is_some_and(|mirror| self.diary.has_noted(&mirror.held()))
    }

    /// These will have something to tell. False where Redis is back meanwhile.
    fn list(&self, mirrors: &[Arc<Mirror>], all: &mut [MutexGuard<'_, Held>]) -> bool {
        if all.iter().all(|held| held.is_listed) {
            return true;
        }
        let mut news = lock(&self.news);
        if self.link.load().is_some() {
            return false;
        }
        for (mirror, held) in mirrors.iter().zip(all) {
            if !held.is_listed {
                held.is_listed = true;
                news.push(Arc::clone(mirror));
            }
        }
        true
    }
}

/// Of which only the beginning was written down; whoever asks next says its end.
pub(super) fn month(start: u64) -> Span {
    const LONGEST_MS: i64 = 31 * 86_400_000;
    let start_ms = i64::try_from(start).unwrap_or(0);
    Span::Month(Period { start_ms, end_ms: start_ms.saturating_add(LONGEST_MS) })
}
