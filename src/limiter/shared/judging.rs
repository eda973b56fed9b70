//! One call judged: by Redis, as often as it must be asked, and by this node alone where that takes
//! too long; and when Redis is given up.
//! Must never let a call wait longer than the time-out for a Redis that is slow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bucket::Bucket;
use super::fault::Why;
use super::link::Link;
use super::mirror::Verdict;
use super::pace::Trip;
use super::{How, Sent, Shared, Snag, lock, owner, wait as hand};

/// Answers that ask to be asked again: more of them than this make no sense.
const MOST_ROUNDS: usize = 5;
/// A call that has waited for as long as the time-out waits on so often while answers come in, to
/// calls that Redis heard in time: then this machine is busy, and knows less by itself.
const MOST_MORE: u32 = 4;
/// Room that is kept for a node which may be away is free soon, where that node is back already.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);
const MOST_KEPT_ROUNDS: usize = 8;
const MOST_LEASE_ROUNDS: usize = 20;

impl Shared {
    pub(super) async fn judge(self: &Arc<Self>, buckets: &[Bucket], mut how: How) -> Verdict {
        if buckets.is_empty() {
            return Verdict::Counted(Vec::new());
        }
        let mut until_ns = self.deadline_ns();
        if !self.may_spend().await {
            return self.too_early(buckets, how);
        }
        let (mut rounds, mut kept_rounds, mut lease_rounds) = (0, 0, 0);
        let (mut more, mut answers) = (MOST_MORE, 0);
        let mut sent = Sent::new(self);
        loop {
            let mirrors: Vec<_> = buckets.iter().map(|bucket| self.mirrors.of(bucket)).collect();
            let Some(link) = self.link(until_ns).await else {
                match self.alone(buckets, &mirrors, how != How::Look) {
                    Some(verdict) => return verdict,
                    None => continue,
                }
            };
            let wait = self.until(until_ns);
            if wait.is_zero() {
                let is_brisk = link.is_brisk(&mut answers);
                match more.checked_sub(1).filter(|_| is_brisk) {
                    Some(left) => (more, until_ns) = (left, self.deadline_ns()),
                    None => self.end(&link, Why::Slow),
                }
                continue;
            }
            rounds += 1;
            match self.ask(&link, buckets, &mirrors, (how, wait, &mut sent)).await {
                Ok(verdict) => return verdict,
                Err(Snag::Again) if rounds < MOST_ROUNDS => {}
                Err(Snag::Kept(verdict)) if kept_rounds == MOST_KEPT_ROUNDS => return verdict,
                Err(Snag::Kept(verdict)) if self.until(until_ns).is_zero() => return verdict,
                Err(Snag::Kept(_)) => {
                    (rounds, kept_rounds) = (0, kept_rounds + 1);
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                Err(Snag::Leased(mirror)) => {
                    (rounds, lease_rounds) = (0, lease_rounds + 1);
                    if lease_rounds == MOST_LEASE_ROUNDS {
                        how = How::CountNow;
                    }
                    let answered = mirror.leased.notified();
                    let _late = tokio::time::timeout(ASK_AGAIN_AFTER, answered).await;
                }
                Err(Snag::Again) => self.end(&link, Why::Odd),
                Err(Snag::Broken(why)) => self.end(&link, why),
            }
        }
    }

    /// When a call has waited for Redis long enough, however often it asked.
    pub(super) fn deadline_ns(&self) -> u64 {
        let wait_ns = u64::try_from(self.settings.timeout.as_nanos()).unwrap_or(u64::MAX);
        hand::now_ns().saturating_add(wait_ns)
    }

    pub(super) fn until(&self, deadline_ns: u64) -> Duration {
        Duration::from_nanos(deadline_ns.saturating_sub(hand::now_ns()))
    }

    /// An answer came. Where they are slow all the time, nobody waits for the next one.
    pub(super) fn took(&self, link: &Link, trip: Trip) {
        if link.pace.took(trip, self.settings.timeout) {
            self.end(link, Why::Slow);
        }
    }

    /// Which node serves this window while Redis is away, where the quota is too small for a share.
    /// None where it is large enough, and where not all nodes are known.
    pub(super) fn owner_of(&self, bucket: &Bucket) -> Option<String> {
        let nodes = self.nodes.load(Ordering::Acquire).max(1);
        if bucket.quota >= nodes {
            return None;
        }
        let names = lock(&self.names);
        let is_known = u64::try_from(names.len()).is_ok_and(|known| known >= nodes);
        owner::of(&bucket.name, &names).filter(|_| is_known).map(str::to_owned)
    }

    /// The link to Redis. Where it ended a moment ago, the next one is waited for.
    async fn link(&self, until_ns: u64) -> Option<Arc<Link>> {
        let link = self.link.load_full();
        if link.is_some() || !*self.is_between.borrow() {
            return link;
        }
        let mut between = self.is_between.subscribe();
        let settled = between.wait_for(|is_between| !is_between);
        let wait = self.between().min(self.until(until_ns));
        let _late = tokio::time::timeout(wait, settled).await;
        self.link.load_full()
    }

    /// How long a new link may take, where Redis ended the last one. One that is not there says so
    /// at once.
    pub(super) fn between(&self) -> Duration {
        self.settings.timeout * 4
    }

    pub(super) fn is_current(&self, link: &Link) -> bool {
        self.link.load().as_ref().is_some_and(|held| held.id == link.id)
    }

    /// Nobody asks through this link any more.
    pub(super) fn end(&self, link: &Link, why: Why) {
        let held = self.link.load();
        let is_it = held.as_ref().is_some_and(|held| held.id == link.id);
        if !is_it {
            return;
        }
        let former = self.link.compare_and_swap(&*held, None);
        if former.as_ref().is_none_or(|former| former.id != link.id) {
            return;
        }
        *lock(&self.last_fault) = Some(why);
        // A connection that ended may be made anew at once; one that is slow may not.
        if matches!(why, Why::Unreachable | Why::Forgot) {
            self.is_between.send_replace(true);
        }
        self.is_settled.store(false, Ordering::Release);
        self.metrics.limits().away(why.label());
        self.ended.notify_one();
        self.stirred.notify_one();
    }
}
