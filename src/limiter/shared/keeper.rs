//! Keeps the link to Redis: makes it, says four times a second that this node is there, tells what
//! was let in without it, gives leases back, and makes it anew when it ends.
//! Must never say that this node has told everything before it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fault::Why;
use super::link::Link;
use super::mirror::Mirror;
use super::pace::{self, Trip};
use super::{Kept, Shared, Tidings, lock, wait as hand};

const BEAT_EVERY: Duration = Duration::from_millis(250);
/// A node that is silent for so long may be cut off, and spending its share by itself.
const SILENT_AFTER_US: u64 = 1_500_000;
/// And is counted out after this.
const FORGOTTEN_AFTER_US: u64 = 5_000_000;
/// For what no call waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts; longer each time where Redis was there and slow.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A link that held for so long was none of a row of failures.
const GOOD_AFTER_NS: u64 = 10_000_000_000;
/// A lease that nobody used for so long goes back.
const IDLE_AFTER_US: u64 = 1_000_000;
/// Answers in a row, each in time, before a Redis that was slow is trusted again.
const PROBES: usize = 3;

/// Of every link of this process another one.
pub(super) static LINKS: AtomicU64 = AtomicU64::new(1);

/// Of a beat: when, how many nodes, how many of them have told all, whether the state was lost, who
/// they are, which memory this is, and who is shut out.
type Beat = (u64, u64, u64, u8, String, String, String);

impl Shared {
    /// The first attempt, before the doors open.
    pub(in super::super) async fn begin(self: &Arc<Self>) {
        if let Err(why) = self.connect(PATIENCE).await {
            self.metrics.limits().away(why.label());
            self.is_away(why);
        }
    }

    /// Never ends.
    pub(in super::super) async fn keep(self: Arc<Self>) {
        let turns = Arc::clone(&self.turns);
        tokio::join!(turns.keep(), self.keep_link());
    }

    async fn keep_link(self: Arc<Self>) {
        let mut row = 0_u32;
        loop {
            let Some(link) = self.link.load_full() else {
                let pause = FIRST_PAUSE.saturating_mul(1 << row.min(2)).min(LONGEST_PAUSE);
                tokio::time::sleep(pause).await;
                self.diary.tick(self.time.clock.unix_ms());
                if let Err(why) = self.connect(PATIENCE).await {
                    *lock(&self.last_fault) = Some(why);
                    self.is_parted();
                    row += u32::from(why == Why::Slow);
                }
                continue;
            };
            let begun_ns = hand::now_ns();
            let why = self.stay(&link).await;
            if hand::now_ns().saturating_sub(begun_ns) > GOOD_AFTER_NS {
                row = 0;
            }
            if !*self.is_between.borrow() {
                row += 1;
                self.is_away(why);
            } else if let Err(why) = self.connect_at_once().await {
                self.is_away(why);
            }
            if self.link.load().is_none() {
                self.note_all().await;
            }
        }
    }

    /// Says good-bye: nobody waits for this node's share. False where it had something to tell and
    /// could not.
    pub(in super::super) async fn leave(&self) -> bool {
        let Some(link) = self.link.load_full() else { return false };
        self.end_leases(|_| true);
        let told = async {
            self.tell_unheard(&link).await?;
            self.tell_news(&link, self.take_news()).await
        };
        let has_told_all = told.await.is_ok();
        if has_told_all {
            let mut gone = redis::cmd("HDEL");
            gone.arg(self.key("nodes")).arg(&self.node);
            let _said: Result<u64, Why> = link.ask(&gone, PATIENCE).await;
        }
        self.link.store(None);
        has_told_all
    }

    /// As long as the link holds; why it ended.
    async fn stay(self: &Arc<Self>, link: &Arc<Link>) -> Why {
        loop {
            tokio::select! {
                () = self.ended.notified() => {}
                () = tokio::time::sleep(BEAT_EVERY) => {}
            }
            if self.link.load().as_ref().is_none_or(|held| held.id != link.id) {
                return lock(&self.last_fault).unwrap_or(Why::Unreachable);
            }
            let now_us = self.time.now_us();
            self.end_leases(|held| {
                held.lease.part != held.span.part(now_us)
                    || held.lease.used_at_us + IDLE_AFTER_US < now_us
            });
            if let Err(why) = self.say_all(link, self.settings.timeout * 4).await {
                self.end(link, why);
                return why;
            }
        }
    }

    /// All that Redis has to be told, and then that this node is there.
    async fn say_all(&self, link: &Link, wait: Duration) -> Result<(), Why> {
        self.tell_unheard(link).await?;
        self.tell_news(link, self.take_news()).await?;
        self.beat(link, true, wait).await
    }

    async fn connect(self: &Arc<Self>, wait: Duration) -> Result<(), Why> {
        let link = self.reach(wait).await?;
        self.come_back(&link).await?;
        self.settle(link).await
    }

    /// While calls wait for it. Once they need not, nothing is broken off: what was told by half
    /// would be told by nobody.
    async fn connect_at_once(self: &Arc<Self>) -> Result<(), Why> {
        let reaching = Box::pin(self.reach(self.between()));
        let reached = self.turns.within(self.between(), reaching).await;
        let link = reached.unwrap_or(Err(Why::Slow))?;
        self.come_back(&link).await?;
        self.settle(link).await
    }

    /// A link over which all is known that Redis has counted.
    async fn reach(self: &Arc<Self>, wait: Duration) -> Result<Arc<Link>, Why> {
        let id = LINKS.fetch_add(1, Ordering::Relaxed);
        let link = Link::open(self, id, wait).await?;
        for _ in 0..PROBES {
            let wait = pace::slow(self.settings.timeout);
            let _pong: String = link.ask(&redis::cmd("PING"), wait).await?;
        }
        self.scripts.load(&link, PATIENCE).await?;
        self.beat(&link, false, PATIENCE).await?;
        self.tell_unheard(&link).await?;
        self.newest_link.store(id, Ordering::Release);
        self.learn(&link).await?;
        Ok(Arc::new(link))
    }

    /// Calls are asked over it from here on.
    async fn settle(&self, link: Arc<Link>) -> Result<(), Why> {
        let news = {
            // Whoever judges alone looks at the link under this lock, or is in this list.
            let mut news = lock(&self.news);
            self.link.store(Some(Arc::clone(&link)));
            self.is_linked();
            std::mem::take(&mut *news)
        };
        let told = match self.tell_news(&link, news).await {
            Ok(()) => self.beat(&link, true, PATIENCE).await,
            Err(why) => Err(why),
        };
        if let Err(why) = told {
            self.end(&link, why);
            return Err(why);
        }
        self.diary.end(|| self.is_whole(&link));
        self.forget_heard();
        self.is_settled.store(true, Ordering::Release);
        // From here on it asks as soon as the link ends.
        self.has_told();
        self.metrics.limits().back();
        self.is_between.send_replace(false);
        if self.is_said_away.swap(false, Ordering::AcqRel) {
            (self.bell)(Tidings::Back);
        }
        Ok(())
    }

    /// Nobody judges alone, and nobody has.
    fn is_whole(&self, link: &Link) -> bool {
        let is_it = self.link.load().as_ref().is_some_and(|held| held.id == link.id);
        is_it && lock(&self.news).is_empty()
    }

    fn is_away(&self, why: Why) {
        *lock(&self.last_fault) = Some(why);
        self.is_between.send_replace(false);
        self.is_parted();
        if !self.is_said_away.swap(true, Ordering::AcqRel) {
            (self.bell)(Tidings::Away(why));
        }
    }

    pub(super) async fn beat(
        &self,
        link: &Link,
        has_told_all: bool,
        wait: Duration,
    ) -> Result<(), Why> {
        let time = self.time.known_us().map_or_else(String::new, |now_us| now_us.to_string());
        let mut call = self.scripts.beat.prepare_invoke();
        call.key(self.key("state")).key(self.key("nodes")).key(self.key("active"));
        call.arg(&self.node).arg(u8::from(has_told_all)).arg(time).arg(self.settings.nodes);
        call.arg(SILENT_AFTER_US).arg(FORGOTTEN_AFTER_US);
        // No two beats of all nodes say the same.
        call.arg(format!("{}.{}", self.node, hand::now_ns() ^ self.time.now_us()));
        call.arg(format!("{}.{}", self.process, link.id));
        let kept = lock(&self.kept).clone();
        call.arg(kept.len());
        for Kept { node, plea } in &kept {
            let of = plea.as_ref().map_or(0, |plea| plea.of);
            let is_granted = plea.as_ref().is_some_and(|plea| plea.is_granted);
            let plea = plea.as_ref().map_or("-", |plea| plea.name.as_str());
            call.arg(node).arg(plea).arg(of).arg(u8::from(is_granted));
        }
        for name in lock(&self.names).iter() {
            call.arg(name);
        }
        let sent = self.turns.now();
        let (now_us, all, _here, _is_new, names, era, shut): Beat = link.run(&call, wait).await?;
        self.took(link, Trip { sent, came: self.turns.now(), heard_us: now_us });
        *lock(&self.era) = era;
        self.time.synchronise(now_us, true);
        self.nodes.store(all.max(1), Ordering::Release);
        *lock(&self.names) = names.split(' ').map(str::to_owned).collect();
        self.are_shut(&shut);
        if self.is_current(link) {
            self.has_heard(now_us);
        }
        Ok(())
    }

    /// The connection of this link has ended.
    pub(super) fn hung_up(&self, id: u64) {
        if let Some(link) = self.link.load_full().filter(|link| link.id == id) {
            self.end(&link, Why::Unreachable);
        }
    }

    fn take_news(&self) -> Vec<Arc<Mirror>> {
        std::mem::take(&mut *lock(&self.news))
    }

    fn end_leases(&self, is_over: impl Fn(&super::Held) -> bool) {
        let leased = std::mem::take(&mut *lock(&self.leased));
        for mirror in leased {
            let mut held = mirror.held();
            if held.lease.left > 0 && !is_over(&held) {
                drop(held);
                lock(&self.leased).push(mirror);
                continue;
            }
            held.end_lease();
            if held.has_news() && !held.is_listed {
                held.is_listed = true;
                drop(held);
                lock(&self.news).push(mirror);
            }
        }
    }
}
