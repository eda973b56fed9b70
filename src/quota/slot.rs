//! What one caller has used: his window, his month, his calls under way. All his limits are judged
//! together and counted together or not at all, under a lock that is held for a few additions. Must
//! never count a call that is refused.

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};
use super::{Count, Period, Quota, Window};
use crate::clock::Moment;

/// What one caller may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) window: Quota,
    /// Calls under way at once.
    pub(crate) concurrent: Option<u64>,
    /// Calls in a month.
    pub(crate) monthly: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Slot(Mutex<Held>);

/// What every call asks for stands together, in the first line that the processor fetches.
#[derive(Default)]
#[repr(C)]
struct Held {
    under_way: u32,
    /// Nobody finds this slot any more.
    is_gone: bool,
    /// None until somebody asks for a monthly quota.
    month: Option<Box<Month>>,
    window: Window,
}

struct Month {
    period: Period,
    used: u64,
}

/// What became of a call that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Counted(Count),
    /// By the second slot, too, whose count comes second.
    CountedTwice(Count, Count),
    Over(Over),
    /// By the limits of the second slot.
    OverOuter(Over),
    /// Nobody knows yet what was used of this month; see `tell_month`.
    MonthUnknown,
    /// The slot was put away meanwhile: ask for another one.
    Gone,
    /// The second one was.
    OuterGone,
}

/// Which limit had no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Window(Count),
    Concurrency { used: u64 },
    Month { used: u64, until_ms: i64 },
}

impl Limits {
    pub(crate) fn of_window(window: Quota) -> Self {
        Self { window, concurrent: None, monthly: None }
    }
}

impl Slot {
    /// Counts the call if every limit has room for it: this slot's and, where there is one, those
    /// of the slot around it.
    pub(crate) fn admit(
        &self,
        limits: &Limits,
        outer: Option<(&Self, &Limits)>,
        now: Moment,
    ) -> Said {
        // Always in this order, and nobody's outer slot has one around it.
        let mut held = self.held();
        let mut around = outer.map(|(outer, limits)| (outer.held(), limits));
        let (own, found) = match held.check_within(limits, &mut around, now) {
            Ok(found) => found,
            Err(said) => return said,
        };
        let outer = around.as_mut().zip(found);
        let outer = outer.map(|((outer, limits), found)| outer.count(found, limits, now));
        counted(held.count(own, limits, now), outer)
    }

    /// What `admit` would say, with nothing counted.
    pub(crate) fn look(
        &self,
        limits: &Limits,
        outer: Option<(&Self, &Limits)>,
        now: Moment,
    ) -> Said {
        let mut held = self.held();
        let mut around = outer.map(|(outer, limits)| (outer.held(), limits));
        match held.check_within(limits, &mut around, now) {
            Ok((own, outer)) => counted(own, outer),
            Err(said) => said,
        }
    }

    /// What is used of the window alone.
    pub(crate) fn window(&self, quota: Quota, now_ns: u64) -> Count {
        self.held().window.look(quota, now_ns)
    }

    /// A counted call has ended.
    pub(crate) fn leave(&self) {
        let mut held = self.held();
        held.under_way = held.under_way.saturating_sub(1);
    }

    /// What was used of a month before anybody counted here. An older month than the one that is
    /// known changes nothing, nor does the same.
    pub(crate) fn tell_month(&self, period: Period, used: u64) {
        let mut held = self.held();
        let is_news = match &held.month {
            Some(month) => month.period.end_ms < period.end_ms,
            None => true,
        };
        if is_news {
            held.month = Some(Box::new(Month { period, used }));
        }
    }

    /// Used of the running month, and until when it runs.
    pub(crate) fn month(&self, now_ms: i64) -> Option<(u64, Period)> {
        let held = self.held();
        let month = held.month.as_ref().filter(|month| now_ms < month.period.end_ms)?;
        Some((month.used, month.period))
    }

    /// A month is known: the running one, or the last in which somebody called.
    pub(crate) fn has_month(&self) -> bool {
        self.held().month.is_some()
    }

    /// Calls of before this slot was made.
    pub(crate) fn remember(&self, quota: Quota, now_ns: u64, age_ns: u64, calls: u32) {
        self.held().window.remember(quota, now_ns, age_ns, calls);
    }

    /// Puts the slot away if nothing of it is needed any more and nobody but the caller's table
    /// holds it. A month is needed until the house ends: only here it is whole.
    pub(crate) fn retire(slot: &Arc<Self>, quota: Quota, now_ns: u64) -> bool {
        let mut held = slot.held();
        let is_idle = held.under_way == 0
            && held.month.is_none()
            && Arc::strong_count(slot) == 1
            && held.window.look(quota, now_ns).used == 0;
        held.is_gone |= is_idle;
        is_idle
    }

    /// Nothing behind this lock is left half-changed by a panic.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(own: Count, outer: Option<Count>) -> Said {
    match outer {
        None => Said::Counted(own),
        Some(outer) => Said::CountedTwice(own, outer),
    }
}

impl Held {
    fn check_within(
        &mut self,
        limits: &Limits,
        around: &mut Option<(MutexGuard<'_, Self>, &Limits)>,
        now: Moment,
    ) -> Result<(Count, Option<Count>), Said> {
        let own = self.check(limits, now)?;
        match around.as_mut().map(|(outer, limits)| outer.check(limits, now)) {
            None => Ok((own, None)),
            Some(Ok(outer)) => Ok((own, Some(outer))),
            Some(Err(Said::Over(over))) => Err(Said::OverOuter(over)),
            Some(Err(Said::Gone)) => Err(Said::OuterGone),
            Some(Err(said)) => Err(said),
        }
    }

    fn check(&mut self, limits: &Limits, now: Moment) -> Result<Count, Said> {
        if self.is_gone {
            return Err(Said::Gone);
        }
        if let Some(most) = limits.concurrent
            && u64::from(self.under_way) >= most
        {
            return Err(Said::Over(Over::Concurrency { used: u64::from(self.under_way) }));
        }
        if let Some(most) = limits.monthly {
            let month = self.month.as_ref().filter(|month| now.unix_ms < month.period.end_ms);
            let month = month.ok_or(Said::MonthUnknown)?;
            if month.used >= most {
                let until_ms = month.period.end_ms;
                return Err(Said::Over(Over::Month { used: month.used, until_ms }));
            }
        }
        let count = self.window.look(limits.window, now.monotonic_ns);
        if count.admitted { Ok(count) } else { Err(Said::Over(Over::Window(count))) }
    }

    /// After `check` found room.
    fn count(&mut self, found: Count, limits: &Limits, now: Moment) -> Count {
        if limits.concurrent.is_some() {
            self.under_way = self.under_way.saturating_add(1);
        }
        // Counted as long as it is known, so that a quota that is taken away and given back finds
        // what was used meanwhile.
        if let Some(month) = &mut self.month {
            month.used = month.used.saturating_add(1);
        }
        self.window.count_after(found, limits.window, now.monotonic_ns)
    }
}
