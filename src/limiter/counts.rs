//! From what was counted to what the headers of an answer say of it.
//! Pure: moments are handed in.
//! Must never say that there is more left than the tightest of several limits leaves.

use super::Figures;
use crate::clock::Moment;
use crate::quota::{Count, Limits, Period, Slot};

impl Figures {
    /// Those of which less is left.
    pub(super) fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining { other } else { self }
    }
}

pub(super) fn of_month(quota: u64, used: u64, period: &Period) -> Figures {
    let reset_unix_seconds = period.end_ms.div_euclid(1000);
    Figures { quota, used, remaining: quota.saturating_sub(used), reset_unix_seconds }
}

pub(super) fn figures(limits: &Limits, count: &Count, now: Moment) -> Figures {
    let reset_at_ms = reset_at_ms(count, now);
    let reset_unix_seconds = reset_at_ms.div_euclid(1000) + i64::from(reset_at_ms % 1000 > 0);
    let quota = limits.window.calls;
    let remaining = quota.saturating_sub(count.used);
    Figures { quota, used: count.used, remaining, reset_unix_seconds }
}

/// Of the window alone, whatever the other limits say.
pub(super) fn look(slot: Option<&Slot>, limits: &Limits, now: Moment) -> Count {
    slot.map(|slot| slot.window(limits.window, now.monotonic_ns)).unwrap_or_default()
}

pub(super) fn reset_at_ms(count: &Count, now: Moment) -> i64 {
    now.unix_ms + milliseconds_up(count.free_in_ns)
}

fn milliseconds_up(ns: u64) -> i64 {
    i64::try_from(ns.div_ceil(1_000_000)).unwrap_or(i64::MAX)
}
