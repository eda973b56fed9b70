//! Admission where several nodes share the limits: calls at once are this node's own, windows and
//! months are asked of the shared ones.
//! Must never count a call there that this node refuses itself.

use std::sync::Arc;

use super::asked::Asked;
use super::shared::{Bucket, Seen, Shared, Verdict};
use super::{Admission, Figures, Left, Limiter, ROWS_AT_ONCE, SharedParts, Turn, figures};
use crate::clock::Moment;
use crate::policy::Permit;
use crate::quota::{Count, Limits, Over, Period, Said};
use crate::refusal::{LimitKind, Reason, Refusal};
use crate::store;

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
        }
    }

    /// Keeps what is shared; never ends where something is.
    pub(crate) async fn keep(self: Arc<Self>) {
        if let Some(shared) = self.shared.clone() {
            shared.keep().await;
        }
    }

    /// Nobody need wait for this node any more.
    pub(crate) async fn leave(&self) {
        if let Some(shared) = &self.shared {
            shared.leave().await;
        }
    }

    pub(super) async fn admit_shared(
        &self,
        shared: &Arc<Shared>,
        permit: &Permit,
        asked: &Asked<'_>,
    ) -> Result<Admission, Refusal> {
        let stand = self.stand_in_turn(permit).await?;
        let now = self.clock.now();
        let (count, turn) = self.turn(asked, now)?;
        let buckets = self.buckets(shared, asked, now).await.map_err(|fault| {
            tracing::error!(%fault, "a monthly quota could not be looked up");
            Refusal::new(Reason::Overloaded, super::NO_MONTH)
        })?;
        match shared.admit(&buckets).await {
            Verdict::Counted(seen) => {
                let figures = tightest(asked, &seen, &count, now);
                Ok(Admission { figures: Some(figures), _turn: turn, _stand: stand })
            }
            Verdict::Over(place, seen) => Err(self.over(asked, (place, seen), now)),
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
        let month = asked.limits.monthly.map(|quota| Figures {
            quota,
            used: seen.last().map_or(0, |seen| seen.used),
            remaining: seen.last().map_or(quota, |seen| seen.left),
            reset_unix_seconds: self.period(asked.client, now.unix_ms).end_ms.div_euclid(1000),
        });
        Ok(Left { window: tightest(asked, &seen, &count, now), month })
    }

    /// What all nodes admitted before this one was started, as far as the database knows it: for
    /// the case that Redis does not.
    pub(super) async fn remember_shared(&self, shared: &Arc<Shared>) -> Result<(), store::Error> {
        let quota = self.settings.window(0, false);
        let nodes = self.store.counting_nodes().await?;
        // What the others admitted since Redis went away they admitted of their own shares.
        let alone_since_ms = shared.alone_since_ms().unwrap_or(i64::MAX);
        let span_ms = self.settings.window_ms() / 60;
        for node in &nodes {
            let mut behind = None;
            loop {
                let page = self.store.recent_calls(node, behind.as_ref(), ROWS_AT_ONCE).await?;
                let now_ms = self.clock.unix_ms();
                let counts = |row: &&store::RecentCalls| {
                    !row.is_to_come(now_ms) && row.end_at.saturating_sub(span_ms) <= alone_since_ms
                };
                for row in page.rows.iter().filter(counts) {
                    let age_ms = now_ms.saturating_sub(row.end_at.saturating_sub(1));
                    let age_us = u64::try_from(age_ms).unwrap_or(0).saturating_mul(1000);
                    let bucket = Bucket::window(row.client_id, None, quota);
                    if !shared.is_recalled(&bucket) {
                        shared.remember(&bucket, age_us, row.calls);
                    }
                }
                behind = page.last;
                if behind.is_none() {
                    break;
                }
            }
        }
        if shared.alone_since_ms().is_none() {
            shared.suppose_nodes(u64::try_from(nodes.len()).unwrap_or(0));
        }
        Ok(())
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
        let monthly = asked.limits.monthly;
        let period = monthly.map(|_| self.period(asked.client, now.unix_ms));
        if let (Some(quota), Some(period)) = (monthly, period) {
            let month = Bucket::month(asked.client.id, period, quota);
            if !shared.knows(&month) {
                let used = self.store.monthly_calls(asked.client.id, period.start_ms).await?;
                shared.remember_month(&month, used);
            }
        }
        Ok(Bucket::all(asked, period))
    }

    fn over(&self, asked: &Asked<'_>, (place, seen): (usize, Seen), now: Moment) -> Refusal {
        let count = Count { admitted: false, used: seen.used, free_in_ns: seen.free_in_ns };
        let (inner, outer) = asked.kinds();
        let windows = [
            inner.filter(|(_, limits)| !limits.window.unlimited),
            Some((outer, asked.limits)).filter(|(_, limits)| !limits.window.unlimited),
        ];
        match windows.into_iter().flatten().nth(place) {
            Some(window) => self.refusal(window, Over::Window(count), now),
            None => {
                let Period { end_ms: until_ms, .. } = self.period(asked.client, now.unix_ms);
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
        let Some(Seen { used, left, free_in_ns }) = seen.copied() else {
            return figures(limits, own, now);
        };
        let count = Count { admitted: true, used, free_in_ns };
        Figures { remaining: left, ..figures(limits, &count, now) }
    };
    let inner = asked.within.as_ref().map(|(_, limits)| of(limits));
    let outer = of(&asked.limits);
    inner.map_or(outer, |inner| inner.tighter(outer))
}
