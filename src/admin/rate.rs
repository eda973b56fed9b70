//! How often one key may call the admin face: the house's sliding window, over one minute. In
//! memory, because a restart may well forgive. Must never be used for the proxy's quotas, which are
//! the limiter's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::clock::Clock;
use crate::quota::{Count, Quota, Window};
use crate::refusal::{Exceeded, LimitKind, Refusal};

const MINUTE_NS: u64 = 60_000_000_000;
/// Beyond this many keys, those that rest are forgotten.
const KEYS_KEPT: usize = 4096;

pub(super) struct Rate {
    clock: Clock,
    quota: Quota,
    windows: Mutex<HashMap<Uuid, Window>>,
}

/// What an admitted caller is told about its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) quota: u64,
    pub(super) used: u64,
    pub(super) reset_at_ms: i64,
}

impl Rate {
    pub(super) fn new(clock: Clock, per_minute: u64) -> Self {
        let quota = Quota { calls: per_minute, window_ns: MINUTE_NS, unlimited: false };
        Self { clock, quota, windows: Mutex::new(HashMap::new()) }
    }

    /// The figures stand in the answer either way; a refusal says when to come back.
    pub(super) fn admit(&self, key: Uuid) -> (Left, Result<(), Refusal>) {
        let count = self.count(key);
        let wait_ms = count.free_in_ns.div_ceil(1_000_000);
        let wait = i64::try_from(wait_ms).unwrap_or(i64::MAX);
        let now_ms = self.clock.unix_ms();
        let reset_at_ms = now_ms.saturating_add(wait);
        let left = Left { quota: self.quota.calls, used: count.used, reset_at_ms };
        if count.admitted {
            return (left, Ok(()));
        }
        let times = (reset_at_ms, now_ms);
        let exceeded = Exceeded::at(LimitKind::Client, (left.quota, left.used), times);
        (left, Err(Refusal::rate_limited(exceeded, exceeded.sentence("requests per minute"))))
    }

    /// What is left to a key; nothing is counted.
    pub(super) fn look(&self, key: Uuid) -> Left {
        let now_ns = self.clock.monotonic_ns();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let count = windows.get_mut(&key).map(|window| window.look(self.quota, now_ns));
        let count = count.unwrap_or_default();
        let wait = i64::try_from(count.free_in_ns.div_ceil(1_000_000)).unwrap_or(i64::MAX);
        let reset_at_ms = self.clock.unix_ms().saturating_add(wait);
        Left { quota: self.quota.calls, used: count.used, reset_at_ms }
    }

    fn count(&self, key: Uuid) -> Count {
        let now_ns = self.clock.monotonic_ns();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_KEPT {
            windows.retain(|_, window| window.look(self.quota, now_ns).used > 0);
        }
        windows.entry(key).or_default().count(self.quota, now_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(quota: u64) -> (Rate, Clock) {
        let clock = Clock::settable(1_768_487_400_000);
        (Rate::new(clock.clone(), quota), clock)
    }

    fn used(rate: &Rate, key: Uuid) -> u64 {
        let (left, admitted) = rate.admit(key);
        admitted.unwrap();
        left.used
    }

    #[test]
    fn the_call_beyond_the_quota_is_told_when_it_may_come_back() {
        let (rate, clock) = rate(2);
        let key = Uuid::from_u128(1);
        assert_eq!(used(&rate, key), 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(used(&rate, key), 2);
        let refusal = rate.admit(key).1.unwrap_err();
        let exceeded = refusal.exceeded().unwrap();
        assert_eq!((exceeded.quota, exceeded.used), (2, 2));
        let wait =
            Duration::from_millis(u64::try_from(exceeded.free_at_ms - clock.unix_ms()).unwrap());
        assert!(wait <= Duration::from_secs(51), "{wait:?}");
        clock.advance(wait - Duration::from_millis(2));
        assert!(rate.admit(key).1.is_err());
        clock.advance(Duration::from_millis(2));
        assert_eq!(used(&rate, key), 2);
    }

    #[test]
    fn keys_do_not_share_a_window() {
        let (rate, _clock) = rate(1);
        assert!(rate.admit(Uuid::from_u128(1)).1.is_ok());
        assert!(rate.admit(Uuid::from_u128(2)).1.is_ok());
        assert!(rate.admit(Uuid::from_u128(1)).1.is_err());
    }

    #[test]
    fn no_minute_holds_more_than_the_quota() {
        let (rate, clock) = rate(5);
        let key = Uuid::from_u128(7);
        let mut admitted = Vec::new();
        for step in 0_u64..3000 {
            if rate.admit(key).1.is_ok() {
                admitted.push(step * 137);
            }
            clock.advance(Duration::from_millis(137));
        }
        for (index, start) in admitted.iter().enumerate() {
            let within = admitted[index..].iter().filter(|at| **at < start + 60_000).count();
            assert!(within <= 5, "{within} within a minute of {start}");
        }
        assert!(admitted.len() > 25, "and the quota is used: {}", admitted.len());
    }
}
