//! A node that has lost Redis: it asks the others to keep its share, lets in nothing until it is
//! sure that they do, and before it counts by Redis again it keeps the shares of those that asked.
//! Must never let in a call by itself for which no accord was found, but without a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::accord::{Plea, Share, Word};
use super::diary::{Found, What};
use super::fault::Why;
use super::keeper::{self, PATIENCE};
use super::learning::span_of;
use super::link::Link;
use super::sync::Mutex;
use super::{Shared, alone, lock, wait as hand};

/// A call waits no longer for the others to keep this node's share.
const LONGEST_WAIT_NS: u64 = 2_000_000_000;
/// Nodes' times differ by less, and what one has heard the other may hear so much later.
const MARGIN_US: u64 = 3_000_000;

#[derive(Default)]
pub(super) struct Parting {
    /// Somebody tells the others what this node says of itself, and it what they say.
    is_attended: AtomicBool,
    asked: Mutex<Asked>,
    granted: watch::Sender<Option<Granted>>,
    /// Whom Redis has shut out, as it last said.
    shut: Mutex<Vec<Word>>,
    /// All that Redis had counted by then is known.
    heard_us: AtomicU64,
    /// So often this process had stood still when it last looked for what became of the others.
    looked: AtomicU64,
}

#[derive(Default)]
struct Asked {
    /// Of this time without Redis.
    plea: Option<Plea>,
    since_ns: u64,
    /// The others may have read it.
    is_said: bool,
    /// This node is about to count by Redis again.
    is_coming: bool,
    /// Over this link, once the others know.
    returning: Option<Arc<Link>>,
    cleared: u64,
    /// No link up to this one may come back.
    number: u64,
    /// By how many the share was kept of which not all was told.
    former_of: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Granted {
    share: Share,
    until_ns: u64,
}

/// One whose share is kept.
#[derive(Clone, Debug)]
pub(in super::super) struct Kept {
    pub(in super::super) node: String,
    /// None: it has not asked for it, and it is kept where Redis does not hear of it.
    pub(in super::super) plea: Option<Plea>,
}

impl Shared {
    /// From here on what the other nodes say is read.
    pub(in super::super) fn is_attended(&self) {
        self.parting.is_attended.store(true, Ordering::Release);
    }

    /// What this node asks of the others while it has no Redis. Whoever calls this tells them.
    pub(in super::super) fn plea(&self) -> Option<Plea> {
        let mut asked = lock(&self.parting.asked);
        if asked.is_coming || self.link.load().is_some() || *self.is_between.borrow() {
            return None;
        }
        let granted = *self.parting.granted.borrow();
        let is_over = granted.is_some_and(|granted| granted.until_ns <= hand::now_ns());
        if is_over {
            // Nobody need have kept it until now.
            self.parting.granted.send_replace(None);
            asked.plea = None;
        }
        if asked.plea.is_none() {
            asked.number = keeper::LINKS.fetch_add(1, Ordering::Relaxed);
            asked.since_ns = hand::now_ns();
            let name = format!("{}.{}", self.process, asked.number);
            let nodes = self.nodes.load(Ordering::Acquire).max(1);
            let owes = self.mirrors.all().iter().any(|mirror| mirror.held().has_let_in());
            // As much is kept for it as was kept for it before.
            let of = if owes { nodes.min(asked.former_of.unwrap_or(nodes)) } else { nodes };
            let heard_us = self.parting.heard_us.load(Ordering::Acquire);
            let (is_granted, is_leaving) = (false, false);
            asked.plea = Some(Plea { name, heard_us, of, is_granted, is_leaving, owes });
        }
        asked.is_said = true;
        asked.plea.clone()
    }

    /// An accord was found for this plea: its share is this node's until then.
    pub(in super::super) fn grant(&self, plea: &Plea, share: Share, until_ns: u64) {
        let mut asked = lock(&self.parting.asked);
        let Some(standing) = asked.plea.as_mut().filter(|known| known.name == plea.name) else {
            return;
        };
        let share = Share { of: share.of.max(self.nodes.load(Ordering::Acquire)), ..share };
        standing.is_granted = true;
        if !standing.owes {
            standing.of = share.of;
        }
        let of = standing.of;
        asked.former_of = Some(asked.former_of.map_or(of, |former| former.min(of)));
        self.parting.granted.send_replace(Some(Granted { share, until_ns }));
    }

    /// The others keep it until then at least.
    pub(in super::super) fn renew(&self, until_ns: u64) {
        self.parting.granted.send_if_modified(|granted| {
            // One that is over already stays so: nobody need have kept it meanwhile.
            if let Some(one) = granted.as_mut().filter(|one| hand::now_ns() < one.until_ns) {
                one.until_ns = until_ns;
            }
            false
        });
    }

    /// Nobody can say what the others know, as there is no database.
    pub(in super::super) fn grant_unsaid(&self, until_ns: u64) {
        let plea = lock(&self.parting.asked).plea.clone();
        if let Some(plea) = plea.filter(|plea| !plea.is_granted) {
            self.grant(&plea, Share { of: plea.of, absent: 0, least: plea.of }, until_ns);
        }
    }

    /// For so long it has asked for its share, and has not got it.
    pub(in super::super) fn asks_for(&self) -> Option<Duration> {
        let asked = lock(&self.parting.asked);
        asked.plea.as_ref().filter(|plea| !plea.is_granted)?;
        Some(Duration::from_nanos(hand::now_ns().saturating_sub(asked.since_ns)))
    }

    /// What of a quota this node may let in by itself. None: nothing yet.
    pub(super) fn share(&self) -> Option<Share> {
        let granted = *self.parting.granted.borrow();
        self.share_of(granted)
    }

    fn share_of(&self, granted: Option<Granted>) -> Option<Share> {
        let nodes = self.nodes.load(Ordering::Acquire).max(1);
        if !self.parting.is_attended.load(Ordering::Acquire) {
            return Some(Share { of: nodes, absent: 0, least: nodes });
        }
        let Granted { share, .. } = granted.filter(|one| hand::now_ns() < one.until_ns)?;
        Some(Share { of: share.of.max(nodes), ..share })
    }

    /// Until this node may judge by itself, or Redis is back. False where neither came in time.
    pub(super) async fn may_judge(&self, since_ns: &mut Option<u64>) -> bool {
        if self.share().is_some() {
            return true;
        }
        let since_ns = *since_ns.get_or_insert_with(hand::now_ns);
        let waited_ns = hand::now_ns().saturating_sub(since_ns);
        let wait = Duration::from_nanos(LONGEST_WAIT_NS.saturating_sub(waited_ns));
        let mut granted = self.parting.granted.subscribe();
        let may = |granted: &Option<Granted>| {
            self.share_of(*granted).is_some() || self.link.load().is_some()
        };
        tokio::time::timeout(wait, granted.wait_for(may)).await.is_ok()
    }

    /// How often this process has stood still for long.
    pub(in super::super) fn stalls(&self) -> u64 {
        self.turns.former_stalls()
    }

    /// What the others say was read, after it had stood still so often.
    pub(in super::super) fn has_looked(&self, stalls: u64) {
        self.parting.looked.fetch_max(stalls, Ordering::AcqRel);
    }

    /// After this process has stood still the others may have taken it for dead, and share without
    /// it: it looks first. False where it could not.
    pub(super) async fn is_awake(&self) -> bool {
        let is_awake = || {
            !self.parting.is_attended.load(Ordering::Acquire)
                || self.turns.stalls() <= self.parting.looked.load(Ordering::Acquire)
        };
        if is_awake() {
            return true;
        }
        self.stirred.notify_one();
        let awake = async {
            while !is_awake() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_nanos(LONGEST_WAIT_NS), awake).await.is_ok()
    }

    /// Those who wait look again.
    pub(super) fn is_linked(&self) {
        let mut asked = lock(&self.parting.asked);
        let (number, former_of) = (asked.number, asked.former_of);
        *asked = Asked { is_coming: true, number, former_of, ..Asked::default() };
        self.parting.granted.send_replace(None);
    }

    /// Redis was told of all that was let in without it.
    pub(super) fn has_told(&self) {
        lock(&self.parting.asked).former_of = None;
        self.is_parted();
    }

    /// It does not come back for now, and may ask for its share.
    pub(super) fn is_parted(&self) {
        let mut asked = lock(&self.parting.asked);
        (asked.is_coming, asked.returning) = (false, None);
        drop(asked);
        self.stirred.notify_one();
    }

    /// All that Redis had counted by then is known.
    pub(super) fn has_heard(&self, now_us: u64) {
        self.parting.heard_us.store(now_us, Ordering::Release);
    }

    pub(super) fn are_shut(&self, words: &str) {
        *lock(&self.parting.shut) = words.split(' ').filter_map(Word::read).collect();
    }

    /// Before calls are counted over a new link: nobody takes this node any more for one that does
    /// not, and the shares of those that asked are kept.
    pub(super) async fn come_back(&self, link: &Arc<Link>) -> Result<(), Why> {
        {
            let mut asked = lock(&self.parting.asked);
            if link.id <= asked.number {
                return Err(Why::Unreachable);
            }
            asked.is_coming = true;
            if !asked.is_said {
                return Ok(());
            }
            (asked.returning, asked.plea) = (Some(Arc::clone(link)), None);
            self.parting.granted.send_replace(None);
        }
        self.stirred.notify_one();
        let is_cleared = async {
            while lock(&self.parting.asked).cleared != link.id {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, is_cleared).await.is_err() {
            // Without a database: whoever is not here may have been told that he need not wait.
            self.keep_for_all();
            self.beat(link, false, PATIENCE).await?;
        }
        Ok(())
    }

    /// The link over which this node is about to come back.
    pub(in super::super) fn returning(&self) -> Option<Arc<Link>> {
        lock(&self.parting.asked).returning.clone()
    }

    /// It was said that this node does not ask any more, and whose share is kept.
    pub(in super::super) fn is_cleared(&self, link: &Link) {
        lock(&self.parting.asked).cleared = link.id;
    }

    /// Shuts those out of Redis that asked for it, and says of whom that is so. None where Redis
    /// does not answer.
    pub(in super::super) async fn shut_out(&self, returning: Option<&Link>) -> Option<Vec<Word>> {
        let current = self.link.load_full();
        let link = returning.or(current.as_deref())?;
        let is_told = returning.is_none() && self.is_settled.load(Ordering::Acquire);
        if let Err(why) = self.beat(link, is_told, self.settings.timeout * 2).await {
            self.end(link, why);
            return None;
        }
        let is_it = returning.is_some() || self.is_current(link);
        is_it.then(|| lock(&self.parting.shut).clone())
    }

    fn keep_for_all(&self) {
        let mut kept = lock(&self.kept);
        for name in lock(&self.names).iter().filter(|name| **name != self.node) {
            if !kept.iter().any(|one| one.node == *name) {
                kept.push(Kept { node: name.clone(), plea: None });
            }
        }
    }

    /// What changed of all windows since then, and what of it this node let in by itself; for one
    /// that has just come, everything.
    pub(in super::super) fn spent_since(&self, heard_us: u64) -> String {
        let mut found = Found { began: Some(self.began()), ..Found::default() };
        for mirror in self.mirrors.all() {
            let held = mirror.held();
            if held.changed_us.saturating_add(MARGIN_US) < heard_us {
                continue;
            }
            for (what, tally) in [(What::Known, &held.known), (What::Alone, &held.alone)] {
                for cell in tally.cells() {
                    found.cells.insert((mirror.name.clone(), what, cell.part), cell.calls);
                }
            }
        }
        found.write()
    }

    /// What the others knew when the accord was found.
    pub(in super::super) fn learn_counted<'a>(&self, texts: impl Iterator<Item = &'a str>) {
        for ((name, what, part), calls) in texts.flat_map(|text| Found::read(text).cells) {
            if what == What::Known {
                let span = span_of(&name).unwrap_or_else(|| alone::month(part));
                let mirror = self.mirrors.named(&name, span);
                mirror.held().go_on_to(span);
                self.know(&mirror, part, calls);
            }
        }
    }
}
