//! One call asked of Redis: what is sent, what leases spare, and what the answer means.
//! Must never spend a lease for a call that was not counted elsewhere, nor keep what Redis counted
//! for a call that did not wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bucket::Bucket;
use super::fault::Why;
use super::link::{Link, Reply, Window};
use super::mirror::{Mirror, Seen, Verdict};
use super::pace::Trip;
use super::tally::Cell;
use super::turns::Patience;
use super::{How, Sent, Shared, Snag, lock};

/// A call that is being asked for; what it took of leases goes back unless it was counted.
struct Asking<'a> {
    mirrors: &'a [Arc<Mirror>],
    /// Taken out of a lease, of this part.
    spent: Vec<(usize, u64)>,
    /// Asked for; whether for a lease.
    wanted: Vec<(usize, bool)>,
    is_counted: bool,
}

impl Shared {
    pub(super) async fn ask(
        self: &Arc<Self>,
        link: &Link,
        buckets: &[Bucket],
        mirrors: &[Arc<Mirror>],
        (how, patience, sent): (How, &Patience, &mut Sent<'_>),
    ) -> Result<Verdict, Snag> {
        let (counts, now_us, went) = (how != How::Look, self.time.now_us(), self.turns.now());
        let mut asking = Asking::new(mirrors, !counts);
        let mut arguments = Vec::with_capacity(mirrors.len());
        for (place, (bucket, mirror)) in buckets.iter().zip(mirrors).enumerate() {
            let mut held = mirror.held();
            held.span = bucket.span;
            if counts && bucket.is_leased() && held.take_leased(bucket, now_us) {
                asking.spent.push((place, held.lease.part));
                continue;
            }
            let (want, is_lease) = match (counts, bucket.is_leased()) {
                (false, _) => (0, false),
                (true, false) => (1, false),
                (true, true) => match held.lease.wanted(bucket, self.nodes.load(Ordering::Acquire))
                {
                    Some(want) => (want, true),
                    None if how == How::CountNow => (1, false),
                    None => return Err(Snag::Leased(place, Arc::clone(mirror))),
                },
            };
            asking.wanted.push((place, is_lease));
            let ttl_ms = bucket.span.ttl_ms(self.time.clock.unix_ms());
            let (part_us, part) = (bucket.span.part_us(), bucket.span.part(now_us));
            let (version, newest) = (held.version, held.newest());
            drop(held);
            let values = [part_us, part, ttl_ms, bucket.quota, want, version, newest];
            arguments.push((bucket, values, self.owner_of(bucket)));
        }
        if arguments.is_empty() {
            asking.is_counted = true;
            return Ok(Verdict::Counted(self.seen(buckets, &asking, now_us)));
        }
        let late_us = self.time.late_us(patience.most_left(went));
        let mut call = self.scripts.admit(arguments.len() + 1);
        call.arg(self.key("state"));
        arguments.iter().for_each(|(bucket, _, _)| {
            call.arg(self.key(&bucket.name));
        });
        call.arg(late_us);
        let number = link.asked.name_call(&mut call, counts);
        arguments.iter().for_each(|(_, values, owner)| {
            call.arg(&values[..]).arg(owner.as_deref().unwrap_or_default());
        });
        sent.say_former(link, &mut call);
        let reply = match counts {
            true => sent.count(link, (&call, patience), (number, late_us)).await,
            false => link.count(&call, patience).await,
        };
        let reply = reply.map_err(Snag::Broken)?;
        let came = self.turns.now();
        self.metrics.limits().answered(came.at_ns.saturating_sub(went.at_ns));
        let left = patience.left(came, link.pace.heard());
        let said = self.understood(link, (buckets, asking), (&reply, left)).await;
        sent.came(link, &reply, matches!(said, Err(Snag::Again)));
        if let Some(heard_us) = reply.now_us() {
            self.took(link, Trip { sent: went, came, heard_us });
        }
        said
    }

    async fn understood(
        self: &Arc<Self>,
        link: &Link,
        (buckets, mut asking): (&[Bucket], Asking<'_>),
        (reply, left): (&Reply, Duration),
    ) -> Result<Verdict, Snag> {
        let mirrors = asking.mirrors;
        if let Some(now_us) = reply.now_us() {
            self.time.synchronise(now_us, matches!(reply, Reply::Late { .. }));
        }
        match reply {
            Reply::Counted { now_us, windows } => {
                for ((place, _), window) in asking.wanted.iter().zip(windows) {
                    let Some(mirror) = mirrors.get(*place) else { continue };
                    let mut held = mirror.held();
                    // Whoever judges alone looks at the link under this lock, too: from then on he
                    // knows of no more calls, and none may be let in beside those he knows of.
                    if !self.is_current(link) {
                        return Err(Snag::Again);
                    }
                    let cell = Cell { part: window.at, calls: window.running };
                    held.see(cell, window.version, self.time.now_us());
                }
                self.take_leases(buckets, &asking, (windows, *now_us));
                asking.is_counted = true;
                let mut seen = self.seen(buckets, &asking, *now_us);
                for ((place, _), window) in asking.wanted.iter().zip(windows) {
                    if let (Some(seen), Some(bucket)) = (seen.get_mut(*place), buckets.get(*place))
                    {
                        // Of a lease what was spent of it.
                        let mirror = mirrors.get(*place);
                        let spare = mirror.map_or(0, |mirror| mirror.held().spare());
                        seen.used = window.used.saturating_sub(spare);
                        seen.at = window.at;
                        seen.left = bucket.quota.saturating_sub(seen.used);
                        seen.free_in_ns = free_in_ns(bucket, window.oldest, *now_us);
                    }
                }
                Ok(Verdict::Counted(seen))
            }
            Reply::Over { now_us, place, window } => {
                let (place, is_lease) = *asking.wanted.get(*place).ok_or(Snag::Broken(Why::Odd))?;
                let bucket = buckets.get(place).ok_or(Snag::Broken(Why::Odd))?;
                let free_in_ns = free_in_ns(bucket, window.oldest, *now_us);
                let seen = Seen { used: window.used, left: 0, free_in_ns, at: window.at };
                let is_kept = window.used < bucket.quota;
                let soon = Seen { free_in_ns: 1_000_000_000, ..seen };
                let seen = if is_kept { soon } else { seen };
                if is_lease && let Some(mirror) = mirrors.get(place) {
                    mirror.held().lease.is_refused(seen, is_kept);
                }
                match is_kept {
                    true => Err(Snag::Kept(Verdict::Over(place, seen))),
                    false => Ok(Verdict::Over(place, seen)),
                }
            }
            Reply::Late { .. } => Err(Snag::Again),
            Reply::Behind { place, .. } => {
                let (place, _) = *asking.wanted.get(*place).ok_or(Snag::Broken(Why::Odd))?;
                let mirror = mirrors.get(place).ok_or(Snag::Broken(Why::Odd))?;
                self.tell_all_of(link, mirror, left).await.map_err(Snag::Broken)?;
                Err(Snag::Again)
            }
            Reply::Forgotten => Err(Snag::Broken(Why::Forgot)),
        }
    }

    /// What was granted beyond this call is spent by the next ones.
    fn take_leases(
        &self,
        buckets: &[Bucket],
        asking: &Asking<'_>,
        (windows, now_us): (&[Window], u64),
    ) {
        for ((place, _), window) in asking.wanted.iter().zip(windows) {
            if let (Some(bucket), Some(mirror)) = (buckets.get(*place), asking.mirrors.get(*place))
                && bucket.is_leased()
                && window.granted > 0
            {
                mirror.held().lease(window.at, window.granted, now_us);
                self.note_lease(mirror);
            }
        }
    }

    fn note_lease(&self, mirror: &Arc<Mirror>) {
        let mut leased = lock(&self.leased);
        if !leased.iter().any(|known| Arc::ptr_eq(known, mirror)) {
            leased.push(Arc::clone(mirror));
        }
    }

    fn seen(&self, buckets: &[Bucket], asking: &Asking<'_>, now_us: u64) -> Vec<Seen> {
        let each = buckets.iter().zip(asking.mirrors);
        let mut seen: Vec<Seen> =
            each.map(|(bucket, mirror)| mirror.held().seen(bucket, now_us)).collect();
        for (place, part) in &asking.spent {
            if let Some(seen) = seen.get_mut(*place) {
                seen.at = *part;
            }
        }
        seen
    }
}

impl<'a> Asking<'a> {
    fn new(mirrors: &'a [Arc<Mirror>], is_counted: bool) -> Self {
        Self { mirrors, spent: Vec::new(), wanted: Vec::new(), is_counted }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        for (place, is_lease) in &self.wanted {
            if *is_lease && let Some(mirror) = self.mirrors.get(*place) {
                mirror.end_asking(self.is_counted);
            }
        }
        if self.is_counted {
            return;
        }
        for (place, part) in &self.spent {
            if let Some(mirror) = self.mirrors.get(*place) {
                mirror.held().put_back(*part);
            }
        }
    }
}

fn free_in_ns(bucket: &Bucket, oldest: u64, now_us: u64) -> u64 {
    bucket.span.free_in_ns(oldest, now_us)
}
