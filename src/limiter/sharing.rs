//! Admission where several nodes share the limits: calls at once are this node's own, windows and
//! months are asked of the shared ones.
//! Must never count a call there that this node refuses itself.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::asked::Asked;
use super::presence::Presence;
use super::shared::{Bucket, Seen, Shared, Tally, Verdict, hand_ns};
use super::{
    Admission, Figures, Left, Limiter, ROWS_AT_ONCE, SharedParts, Turn, figures, refusing,
};
use crate::clock::Moment;
use crate::policy::Permit;
use crate::quota::{Count, Limits, Over, Period, Said};
use crate::refusal::{LimitKind, Refusal};
use crate::store;

/// A call that took longer to be asked for has waited, and is not sent away for that.
const A_WHILE_NS: u64 = 20_000_000;

/// A call that was counted; taken back where it is not made.
struct Counted<'a> {
    shared: &'a Arc<Shared>,
    buckets: &'a [Bucket],
    seen: &'a [Seen],
    is_made: bool,
}

impl Counted<'_> {
    fn made<T>(mut self, stands: Result<T, Refusal>) -> Result<T, Refusal> {
        self.is_made = stands.is_ok();
        stands
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.is_made {
            self.shared.take_back(self.buckets, self.seen);
        }
    }
}

impl Limiter {
    /// From here on the limits are shared, once `begin` has been called.
    pub(crate) fn sharing(mut self, parts: SharedParts) -> Self {
        self.shared = Some(Shared::new(parts));
        self
    }

    /// The first attempt to reach the others, before the doors open; short.
    pub(crate) async fn begin(&self) {
        if let Some(shared) = &self.shared {
            shared.begin().await;
            self.arrive(shared).await;
        }
    }

    /// Keeps what is shared; never ends where something is.
    pub(crate) async fn keep(self: Arc<Self>) {
        if let Some(shared) = self.shared.clone() {
            let attending = Arc::clone(&self).attend(Arc::clone(&shared));
            tokio::join!(shared.keep(), attending);
        }
    }

    /// Nobody need wait for this node any more.
    pub(crate) async fn leave(&self) {
        if let Some(shared) = &self.shared {
            let has_told_all = shared.leave().await;
            self.depart(has_told_all).await;
        }
    }

    /// Why the limits are not shared at this moment, though they should be.
    pub(crate) fn degraded(&self) -> Option<&'static str> {
        self.shared.as_ref()?.fault().map(super::shared::Why::sentence)
    }

    pub(super) async fn admit_shared(
        &self,
        shared: &Arc<Shared>,
        permit: &Permit,
        asked: &Asked<'_>,
    ) -> Result<Admission, Refusal> {
        let now = self.clock.now();
        let (count, turn) = self.turn(asked, now)?;
        // What is looked up before may be too little.
        let _too_early = shared.may_spend().await;
        let buckets = self
            .buckets(shared, asked, now)
            .await
            .map_err(|fault| refusing::without_month(&fault))?;
        let asked_ns = hand_ns();
        match shared.admit(&buckets).await {
            Verdict::Counted(seen) => {
                // Nobody holds a place while Redis is waited for: there would be none for others.
                let counted = Counted { shared, buckets: &buckets, seen: &seen, is_made: false };
                let has_waited = hand_ns().saturating_sub(asked_ns) > A_WHILE_NS;
                let stand = counted.made(self.stand_in_turn(permit, has_waited).await)?;
                let window = tightest(asked, &seen, &count, now);
                let figures = match self.month_shared(shared, asked, &seen, now) {
                    Some(month) => window.tighter(month),
                    None => window,
                };
                Ok(Admission::of(Some(figures), turn, stand))
            }
            Verdict::Over(place, seen) => {
                let until_ms = self.running_month(shared, asked, now).end_ms;
                Err(self.over(asked, (place, seen), (now, until_ms)))
            }
        }
    }

    pub(super) async fn left_shared(
        &self,
        shared: &Arc<Shared>,
        asked: &Asked<'_>,
    ) -> Result<Left, store::Error> {
        let now = self.clock.now();
        let buckets = self.buckets(shared, asked, now).await?;
        let seen = shared.look(&buckets).await;
        let slot = self.slots.held_by(asked.client);
        let count = super::look(slot.as_deref(), &asked.limits, now);
        let month = self.month_shared(shared, asked, &seen, now);
        Ok(Left { window: tightest(asked, &seen, &count, now), month })
    }

    /// What all nodes admitted before this one was started, as far as the database knows it: for
    /// the case that Redis does not.
    pub(super) async fn remember_shared(
        &self,
        shared: &Arc<Shared>,
        node: &str,
    ) -> Result<(), store::Error> {
        let former = self.store.nodes().await?.into_iter().find(|row| row.node == node);
        let alone_since = former.as_ref().map_or(0, |row| row.alone_since);
        let lost_since_ms = shared.has_lost(alone_since);
        if lost_since_ms.is_some() {
            shared.tell_lost();
        }
        let nodes = self.remember_others(shared, (node, lost_since_ms)).await?;
        if shared.alone_since_ms().is_none() {
            shared.suppose_nodes(nodes);
        }
        let presence = Presence::new(node, former.as_ref(), shared.alone_since_ms().is_some());
        self.presence.lock().await.replace(presence);
        Ok(())
    }

    /// What the database knows of all nodes; how many there are. What this one let in by itself
    /// since that time, and cannot read any more, is its own to tell.
    pub(super) async fn remember_others(
        &self,
        shared: &Arc<Shared>,
        (own, lost_since_ms): (&str, Option<i64>),
    ) -> Result<u64, store::Error> {
        let nodes = self.store.counting_nodes().await?;
        let rows = self.store.nodes().await?;
        let alone_of = |node: &str| {
            let row = rows.iter().find(|row| row.node == node);
            row.map(|row| row.alone_since).filter(|since| *since > 0)
        };
        // What the others admitted since Redis went away they admitted of their own shares.
        let alone_since_ms = shared.alone_since_ms().unwrap_or(i64::MAX);
        let trail_ms = self.store.newest_record().await?;
        let (mut known, mut alone, mut heard) = (HashMap::new(), HashMap::new(), HashMap::new());
        for node in &nodes {
            let mut behind = None;
            loop {
                let page = self.store.recent_calls(node, behind.as_ref(), ROWS_AT_ONCE).await?;
                let latest_ms = self.clock.unix_ms().max(trail_ms);
                for row in page.rows.iter().filter(|row| !row.is_to_come(latest_ms)) {
                    let is_own = node == own;
                    let is_lost = is_own && lost_since_ms.is_some_and(|ms| row.end_at > ms);
                    let began_ms = self.begins_at(row);
                    let into = match alone_of(node).is_some_and(|since| began_ms > since) {
                        _ if is_lost => &mut alone,
                        _ if began_ms > alone_since_ms => continue,
                        // It stands in this node's own folder.
                        true if is_own => continue,
                        true => &mut heard,
                        false => &mut known,
                    };
                    self.sort_in(shared, into, row);
                }
                behind = page.last;
                if behind.is_none() {
                    break;
                }
            }
        }
        for (bucket, tally) in known.values().filter(|(bucket, _)| !shared.is_recalled(bucket)) {
            shared.learn_database(bucket, tally);
        }
        alone.values().for_each(|(bucket, tally)| shared.count_up(bucket, tally));
        let heard = heard.values().filter(|_| !shared.standing().is_up);
        heard.for_each(|(bucket, tally)| shared.hear_of(bucket, tally));
        Ok(u64::try_from(nodes.len()).unwrap_or(0))
    }

    /// Redis is told what a node that does not come back let in by itself of the months, as far as
    /// it had written that down. False while Redis is away.
    pub(super) async fn tell_for(
        &self,
        shared: &Shared,
        gone: &store::NodeRow,
    ) -> Result<bool, store::Error> {
        if !shared.standing().is_up {
            return Ok(false);
        }
        let mut months: HashMap<(Uuid, Period), u64> = HashMap::new();
        let mut behind = None;
        loop {
            let page = self.store.recent_calls(&gone.node, behind.as_ref(), ROWS_AT_ONCE).await?;
            for row in page.rows.iter().filter(|row| row.end_at > gone.alone_since) {
                let month = Period::of(row.client_id, row.end_at, &self.settings.time_zone);
                let calls = months.entry((row.client_id, month)).or_default();
                *calls = calls.saturating_add(row.calls);
            }
            behind = page.last;
            if behind.is_none() {
                break;
            }
        }
        let months = months.into_iter().map(|((client, month), calls)| {
            // The quota is nobody's concern here.
            (Bucket::month(client, month, 0), calls)
        });
        Ok(shared.tell_for((&gone.node, &gone.boot), months).await)
    }

    fn begins_at(&self, row: &store::RecentCalls) -> i64 {
        row.end_at.saturating_sub(self.settings.window_ms() / 60)
    }

    /// As if each had come at the end of its span, but not so near to it that two clocks disagree
    /// about the part.
    fn sort_in(
        &self,
        shared: &Shared,
        into: &mut HashMap<Uuid, (Bucket, Tally)>,
        row: &store::RecentCalls,
    ) {
        let guard_ms = (self.settings.window_ms() / 240).clamp(1, 50);
        let age_ms = self.clock.unix_ms().saturating_sub(row.end_at.saturating_sub(guard_ms));
        let age_us = u64::try_from(age_ms).unwrap_or(0).saturating_mul(1000);
        let (bucket, tally) = into.entry(row.client_id).or_insert_with(|| {
            let quota = self.settings.window(0, false);
            (Bucket::window(row.client_id, None, quota), Tally::default())
        });
        tally.add(shared.part_ago(bucket, age_us), row.calls);
    }

    /// Calls at once; and what an unlimited key has used of this node.
    fn turn(&self, asked: &Asked<'_>, now: Moment) -> Result<(Count, Option<Turn>), Refusal> {
        let concurrent = asked.limits.concurrent;
        let window = self.settings.window(asked.limits.window.calls, true);
        let limits = Limits { window, concurrent, monthly: None };
        let said = self.slots.of_client(asked.client, |slot| slot.admit(&limits, None, now));
        match said {
            Said::Counted(count) | Said::CountedTwice(count, _) => {
                let slot = concurrent.and_then(|_| self.slots.held_by(asked.client));
                Ok((count, slot.map(Turn)))
            }
            Said::Over(over) | Said::OverOuter(over) => {
                Err(self.refusal((LimitKind::Client, asked.limits), over, now))
            }
            Said::MonthUnknown | Said::Gone | Said::OuterGone => Ok((Count::default(), None)),
        }
    }

    async fn buckets(
        &self,
        shared: &Shared,
        asked: &Asked<'_>,
        now: Moment,
    ) -> Result<Vec<Bucket>, store::Error> {
        let Some(quota) = asked.limits.monthly else { return Ok(Bucket::all(asked, None)) };
        let mut period = self.running_month(shared, asked, now);
        let bucket = Bucket::month(asked.client.id, period, quota);
        if !shared.has_looked_up(&bucket) {
            match self.month_used(asked.client, now.unix_ms).await {
                Ok((stored, used)) => {
                    period = stored;
                    let bucket = Bucket::month(asked.client.id, period, quota);
                    if shared.remember_month(&bucket, used) {
                        shared.tell_known().await;
                    }
                }
                Err(_) if shared.follows(&bucket) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Bucket::all(asked, Some(period)))
    }

    /// A later one that is known goes on where the clock was set back.
    fn running_month(&self, shared: &Shared, asked: &Asked<'_>, now: Moment) -> Period {
        let (client, zone) = (asked.client.id, &self.settings.time_zone);
        let period = Period::of(client, now.unix_ms, zone);
        let known = shared.month_of(client);
        let later = known.filter(|known| known.start_ms > period.start_ms);
        later.map_or(period, |later| Period::of(client, later.start_ms, zone))
    }

    fn month_shared(
        &self,
        shared: &Shared,
        asked: &Asked<'_>,
        seen: &[Seen],
        now: Moment,
    ) -> Option<Figures> {
        let (quota, seen) = (asked.limits.monthly?, seen.last()?);
        let end_ms = self.running_month(shared, asked, now).end_ms;
        let reset_unix_seconds = end_ms.div_euclid(1000);
        Some(Figures { quota, used: seen.used, remaining: seen.left, reset_unix_seconds })
    }

    fn over(
        &self,
        asked: &Asked<'_>,
        (place, seen): (usize, Seen),
        (now, until_ms): (Moment, i64),
    ) -> Refusal {
        let count = Count { admitted: false, used: seen.used, free_in_ns: seen.free_in_ns };
        let (inner, outer) = asked.kinds();
        let windows = [
            inner.filter(|(_, limits)| !limits.window.unlimited),
            Some((outer, asked.limits)).filter(|(_, limits)| !limits.window.unlimited),
        ];
        match windows.into_iter().flatten().nth(place) {
            Some(window) => self.refusal(window, Over::Window(count), now),
            None => {
                let over = Over::Month { used: seen.used, until_ms };
                self.refusal((LimitKind::Client, asked.limits), over, now)
            }
        }
    }
}

/// Of the windows, that of which least is left. An unlimited one says what this node counted.
fn tightest(asked: &Asked<'_>, seen: &[Seen], own: &Count, now: Moment) -> Figures {
    let mut seen = seen.iter();
    let mut of = |limits: &Limits| {
        let seen = match limits.window.unlimited {
            true => None,
            false => seen.next(),
        };
        let Some(Seen { used, left, free_in_ns, at: _ }) = seen.copied() else {
            return figures(limits, own, now);
        };
        let count = Count { admitted: true, used, free_in_ns };
        Figures { remaining: left, ..figures(limits, &count, now) }
    };
    let inner = asked.within.as_ref().map(|(_, limits)| of(limits));
    let outer = of(&asked.limits);
    inner.map_or(outer, |inner| inner.tighter(outer))
}
