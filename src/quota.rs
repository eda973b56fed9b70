//! Windows as arithmetic: a quota over a sliding window, counted in sixty sub-windows and the
//! running one. Never more than the quota in any window; a freed call is usable a sixtieth later at
//! most. Pure: atomics, but no clock, no map, no I/O.

use std::sync::atomic::{AtomicU64, Ordering};

const SUB_WINDOWS: u64 = 60;
/// The running sub-window and the sixty before it.
const BUCKETS: usize = 61;

/// How many calls in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) calls: u64,
    pub(crate) window_ns: u64,
    /// Counted but never refused.
    pub(crate) unlimited: bool,
}

/// What counting says, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) admitted: bool,
    /// This call included, if it was admitted.
    pub(crate) used: u64,
    /// Until the oldest counted call leaves the window, or until the next call would be admitted.
    pub(crate) free_in_ns: u64,
}

/// The calls of one key. `state` is the running sub-window's number above, the sum below; a bucket
/// is the number of its sub-window above, its count below, so that no bucket ever needs to be
/// cleared.
pub(crate) struct Window {
    state: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Window {
    fn default() -> Self {
        Self { state: AtomicU64::new(0), buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

fn pack(epoch: u32, count: u32) -> u64 {
    (u64::from(epoch) << 32) | u64::from(count)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a packed word")]
fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl Quota {
    fn sub_window_ns(self) -> u64 {
        (self.window_ns / SUB_WINDOWS).max(1)
    }

    /// The number of the running sub-window. Wraps after 2^32 of them: 136 years of one-second
    /// ones.
    fn epoch(self, now_ns: u64) -> u32 {
        u32::try_from((now_ns / self.sub_window_ns() + 1) & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

impl Window {
    /// Counts one call if the quota has room for it. Lock-free: the sum moves only together with
    /// the sub-window it belongs to, so nobody can count into a window that has moved on.
    pub(crate) fn count(&self, quota: Quota, now_ns: u64) -> Count {
        let now_epoch = quota.epoch(now_ns);
        let mut seen = self.state.load(Ordering::Acquire);
        loop {
            let (epoch, sum) = unpack(seen);
            // Another thread may have read a later time: its epoch holds.
            let current = epoch.max(now_epoch);
            let live = sum - self.expired_between(epoch, current).min(sum);
            let room = quota.unlimited || u64::from(live) < quota.calls;
            let next = pack(current, live.saturating_add(u32::from(room)));
            match self.state.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    if room {
                        self.add_to(current);
                    }
                    let used = u64::from(live) + u64::from(room);
                    let free_in_ns = self.free_in_ns(quota, current, now_ns);
                    return Count { admitted: room, used, free_in_ns };
                }
                Err(now) => seen = now,
            }
        }
    }

    /// What a call would be told that has no room in the quota, without counting one that has.
    pub(crate) fn refusal(&self, quota: Quota, now_ns: u64) -> Option<Count> {
        Some(self.look(quota, now_ns)).filter(|count| count.used >= quota.calls)
    }

    /// What is used, and when the first of it is free again; counts nothing.
    pub(crate) fn look(&self, quota: Quota, now_ns: u64) -> Count {
        let used = self.used(quota, now_ns);
        let current = unpack(self.state.load(Ordering::Acquire)).0.max(quota.epoch(now_ns));
        let free_in_ns = self.free_in_ns(quota, current, now_ns);
        Count { admitted: false, used, free_in_ns }
    }

    /// What is used at this moment, without counting.
    pub(crate) fn used(&self, quota: Quota, now_ns: u64) -> u64 {
        let (epoch, sum) = unpack(self.state.load(Ordering::Acquire));
        let current = epoch.max(quota.epoch(now_ns));
        u64::from(sum - self.expired_between(epoch, current).min(sum))
    }

    /// Calls of sub-windows that were inside the window when `from` ran and are outside when `to`
    /// runs.
    fn expired_between(&self, from: u32, to: u32) -> u32 {
        if to == from {
            return 0;
        }
        if to - from > 60 {
            return u32::MAX;
        }
        let first = from.saturating_sub(60);
        let last = to.saturating_sub(61);
        (first..=last).map(|epoch| self.count_of(epoch)).fold(0, u32::saturating_add)
    }

    fn bucket(&self, epoch: u32) -> Option<&AtomicU64> {
        let index = usize::try_from(u64::from(epoch) % 61).unwrap_or_default();
        self.buckets.get(index)
    }

    fn count_of(&self, epoch: u32) -> u32 {
        let word = self.bucket(epoch).map_or(0, |bucket| bucket.load(Ordering::Acquire));
        match unpack(word) {
            (owner, count) if owner == epoch => count,
            _ => 0,
        }
    }

    fn add_to(&self, epoch: u32) {
        let Some(bucket) = self.bucket(epoch) else { return };
        // A closure that always answers Some never fails.
        let _former = bucket.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            Some(match unpack(word) {
                (owner, count) if owner == epoch => pack(epoch, count.saturating_add(1)),
                _ => pack(epoch, 1),
            })
        });
    }

    /// Until the oldest counted sub-window has left the window as a whole.
    fn free_in_ns(&self, quota: Quota, current: u32, now_ns: u64) -> u64 {
        let first = current.saturating_sub(60);
        let from = usize::try_from(first % 61).unwrap_or_default();
        let (wrapped, straight) = self.buckets.split_at_checked(from).unwrap_or_default();
        // In the order of time, without a division for each: this is walked for every call.
        let held = |(epoch, bucket): (u32, &AtomicU64)| {
            let (owner, count) = unpack(bucket.load(Ordering::Acquire));
            (owner == epoch && count > 0).then_some(epoch)
        };
        let oldest = (first..=current).zip(straight.iter().chain(wrapped)).find_map(held);
        let Some(oldest) = oldest else { return 0 };
        let sub_window_ns = quota.sub_window_ns();
        let into_current = now_ns % sub_window_ns;
        let windows = u64::from(oldest + 61 - current);
        (windows * sub_window_ns).saturating_sub(into_current)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Quota = Quota { calls: 3, window_ns: 60_000, unlimited: false };

    #[test]
    fn the_quota_is_admitted_and_not_one_more() {
        let window = Window::default();
        let used: Vec<u64> = (0..3).map(|_| window.count(MINUTE, 5).used).collect();
        assert_eq!(used, [1, 2, 3]);
        let refused = window.count(MINUTE, 5);
        assert!(!refused.admitted);
        assert_eq!(refused.used, 3);
    }

    #[test]
    fn a_refusal_names_the_moment_at_which_the_next_call_passes() {
        let window = Window::default();
        for at in [500, 1_500, 2_500] {
            assert!(window.count(MINUTE, at).admitted);
        }
        let refused = window.count(MINUTE, 3_000);
        let at = 3_000 + refused.free_in_ns;
        assert!(!window.count(MINUTE, at - 1).admitted);
        assert!(window.count(MINUTE, at).admitted);
        assert!(at - 500 <= 61_000, "a freed call is usable within a sixtieth");
    }

    #[test]
    fn unlimited_counts_and_never_refuses() {
        let window = Window::default();
        let quota = Quota { calls: 2, window_ns: 60_000, unlimited: true };
        let last = (0..10).map(|_| window.count(quota, 1)).last().unwrap();
        assert!(last.admitted);
        assert_eq!(last.used, 10);
    }

    #[test]
    fn parallel_callers_get_exactly_the_quota() {
        let window = Window::default();
        let quota = Quota { calls: 100, window_ns: 3_600_000_000_000, unlimited: false };
        let admitted = std::thread::scope(|scope| {
            let count = || (0..125).filter(|_| window.count(quota, 9).admitted).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(admitted, 100);
    }

    proptest! {
        /// Against the plain list of admitted times: never over in any window, and nothing refused
        /// that had been free for more than a sixtieth.
        #[test]
        fn no_window_ever_holds_more_than_the_quota(
            steps in proptest::collection::vec(0_u64..9_000, 1..200)
        ) {
            let window = Window::default();
            let mut admitted: Vec<u64> = Vec::new();
            let mut now = 0;
            for step in steps {
                now += step;
                let inside = |age: u64| admitted.iter().filter(|at| now - **at < age).count();
                let (strict, lenient) = (inside(60_000), inside(61_000));
                let count = window.count(MINUTE, now);
                prop_assert!(!count.admitted || strict < 3);
                prop_assert!(count.admitted || lenient >= 3);
                if count.admitted {
                    admitted.push(now);
                }
            }
        }
    }
}
