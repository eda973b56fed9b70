//! One call judged: by Redis, as often as it must be asked, and by this node alone where that takes
//! too long; and when Redis is given up.
//! Must never let a call wait longer than the time-out for a Redis that is slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bucket::Bucket;
use super::fault::Why;
use super::link::Link;
use super::mirror::{Mirror, Verdict};
use super::pace::{self, Trip};
use super::turns::{Mark, Patience};
use super::{How, Sent, Shared, Snag, lock, owner};

/// Answers that ask to be asked again: more of them than this make no sense.
const MOST_ROUNDS: usize = 5;
/// Room that is kept for a node which may be away is free soon, where that node is back already.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);
const MOST_KEPT_ROUNDS: usize = 8;
const MOST_LEASE_ROUNDS: usize = 20;

/// A call that waits for leases that others ask for.
#[derive(Default)]
struct InLine {
    rounds: usize,
    /// Of which bucket, and the question that was on its way when it came.
    questions: BTreeMap<usize, u64>,
}

impl Shared {
    pub(super) async fn judge(self: &Arc<Self>, buckets: &[Bucket], mut how: How) -> Verdict {
        if buckets.is_empty() {
            return Verdict::Counted(Vec::new());
        }
        let patience = self.turns.patience(self.settings.timeout);
        if !self.may_spend().await || !self.is_awake().await {
            return self.too_early(buckets, how);
        }
        let (mut rounds, mut kept_rounds, mut parted_ns) = (0, 0, None);
        let (mut sent, mut line) = (Sent::new(self), InLine::default());
        loop {
            let mirrors: Vec<_> = buckets.iter().map(|bucket| self.mirrors.of(bucket)).collect();
            let Some(link) = self.link(&patience).await else {
                if how != How::Look && !self.may_judge(&mut parted_ns).await {
                    return self.too_early(buckets, how);
                }
                match self.alone(buckets, &mirrors, how != How::Look) {
                    Some(verdict) => return verdict,
                    None => continue,
                }
            };
            if patience.left(self.turns.now(), link.pace.heard()).is_zero() {
                self.end(&link, Why::Slow);
                continue;
            }
            rounds += 1;
            let said = self.ask(&link, buckets, &mirrors, (how, &patience, &mut sent)).await;
            let said = match said {
                Err(Snag::Leased(place, mirror)) => {
                    self.stand_in_line(&mut line, (place, mirror)).await
                }
                Ok(_) | Err(_) => said,
            };
            match said {
                Ok(verdict) => return verdict,
                Err(Snag::Again) if rounds < MOST_ROUNDS => {}
                Err(Snag::Kept(verdict)) if kept_rounds == MOST_KEPT_ROUNDS => return verdict,
                Err(Snag::Kept(verdict)) if self.left(&patience).is_zero() => return verdict,
                Err(Snag::Kept(_)) => {
                    (rounds, kept_rounds) = (0, kept_rounds + 1);
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                Err(Snag::Leased(_, _)) => {
                    rounds = 0;
                    if line.rounds >= MOST_LEASE_ROUNDS || self.left(&patience).is_zero() {
                        how = How::CountNow;
                    }
                }
                Err(Snag::Again) => self.end(&link, Why::Odd),
                Err(Snag::Broken(why)) => self.end(&link, why),
            }
        }
    }

    /// Until a lease is there that somebody else asks for, or the answer that there is none: it is
    /// one to all who were there when it was asked for.
    async fn stand_in_line(
        &self,
        line: &mut InLine,
        (place, mirror): (usize, Arc<Mirror>),
    ) -> Result<Verdict, Snag> {
        line.rounds += 1;
        let mut turn = std::pin::pin!(mirror.leased.notified());
        // From here on no answer is missed.
        turn.as_mut().enable();
        let lease = mirror.held().lease;
        let question = line.questions.entry(place).or_insert(lease.asked);
        if lease.is_asked_for && lease.left == 0 {
            self.turns.within(pace::slow(self.settings.timeout), turn).await;
        }
        let refused = mirror.held().lease.refused_after(*question);
        let Some(refused) = refused else { return Err(Snag::Leased(place, Arc::clone(&mirror))) };
        *question = refused.question;
        match Verdict::Over(place, refused.seen) {
            verdict if refused.is_kept => Err(Snag::Kept(verdict)),
            verdict => Ok(verdict),
        }
    }

    /// Whatever Redis says to others meanwhile.
    fn left(&self, patience: &Patience) -> Duration {
        patience.left(self.turns.now(), Mark::default())
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
    async fn link(&self, patience: &Patience) -> Option<Arc<Link>> {
        let link = self.link.load_full();
        if link.is_some() || !*self.is_between.borrow() {
            return link;
        }
        let mut between = self.is_between.subscribe();
        let settled = between.wait_for(|is_between| !is_between);
        let wait = self.between().min(self.left(patience));
        let _late = self.turns.within(wait, settled).await;
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
