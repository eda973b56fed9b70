//! What this node decides while Redis is away: its share of what was left, by its own knowledge of
//! what all nodes have counted.
//! Must never count a call that nobody will tell Redis of, nor go on when Redis is back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::bucket::Bucket;
use super::mirror::{Held, Mirror, Seen, Verdict};
use super::{Shared, lock};

impl Shared {
    /// By this node's own knowledge. None where Redis is back meanwhile.
    pub(super) fn alone(
        &self,
        buckets: &[Bucket],
        mirrors: &[Arc<Mirror>],
        counts: bool,
    ) -> Option<Verdict> {
        let (now_us, nodes) = (self.time.now_us(), self.nodes.load(Ordering::Acquire).max(1));
        // Always in this order: no window stands both before and behind another.
        let mut all: Vec<MutexGuard<'_, Held>> = mirrors.iter().map(|one| one.held()).collect();
        // Under the locks: what is counted now is told by whoever takes them next.
        if self.link.load().is_some() || all.iter().any(|held| held.is_gone()) {
            return None;
        }
        let mut seen = Vec::with_capacity(buckets.len());
        for (place, (bucket, held)) in buckets.iter().zip(&mut all).enumerate() {
            let (has_room, one) = held.look_alone(bucket, nodes, now_us);
            if !has_room && counts {
                self.metrics.limits().alone();
                return Some(Verdict::Over(
                    place,
                    Seen { used: one.used.min(bucket.quota), ..one },
                ));
            }
            seen.push(one);
        }
        if !counts {
            return Some(Verdict::Counted(seen));
        }
        if !self.list(mirrors, &mut all) {
            return None;
        }
        let each = buckets.iter().zip(&mut all);
        let seen = each.map(|(bucket, held)| held.count_alone(bucket, nodes, now_us)).collect();
        self.metrics.limits().alone();
        Some(Verdict::Counted(seen))
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
