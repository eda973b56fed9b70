//! How often one key may call the admin face: a window of sixty seconds, counted in sixty-one
//! sub-windows of one second, so that no minute ever holds more than the quota. In memory, because
//! a restart may well forgive; must never be used for the proxy's quotas.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::clock::Clock;
use crate::refusal::{Exceeded, LimitKind, Refusal};

const SECONDS: u64 = 60;
const SLOTS: usize = 61;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// Beyond this many keys, those that rest are forgotten.
const KEYS_KEPT: usize = 4096;

pub(super) struct Rate {
    clock: Clock,
    quota: u64,
    windows: Mutex<HashMap<Uuid, Window>>,
}

/// What an admitted caller is told about its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) quota: u64,
    pub(super) used: u64,
    pub(super) reset_at_ms: i64,
}

struct Window {
    counts: [u64; SLOTS],
    /// The running second.
    second: u64,
}

impl Rate {
    pub(super) fn new(clock: Clock, quota: u64) -> Self {
        Self { clock, quota, windows: Mutex::new(HashMap::new()) }
    }

    pub(super) fn admit(&self, key: Uuid) -> Result<Left, Refusal> {
        let now_ns = self.clock.monotonic_ns();
        let second = now_ns / NS_PER_SECOND;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_KEPT {
            windows.retain(|_, window| window.second + SECONDS >= second);
        }
        let window = windows.entry(key).or_insert_with(|| Window::starting(second));
        window.move_to(second);
        let used = window.total();
        let admitted = used < self.quota;
        if admitted {
            window.count_one();
        }
        let free_ns = window.oldest().saturating_add(SECONDS + 1).saturating_mul(NS_PER_SECOND);
        drop(windows);
        let wait_ms = free_ns.saturating_sub(now_ns).div_ceil(1_000_000);
        let reset_at_ms =
            self.clock.unix_ms().saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        if admitted {
            return Ok(Left { quota: self.quota, used: used + 1, reset_at_ms });
        }
        let exceeded = Exceeded {
            limit: LimitKind::Client,
            quota: self.quota,
            used,
            reset_at_ms: Some(reset_at_ms),
            retry_after_seconds: wait_ms.div_ceil(1000).max(1),
        };
        let detail = format!("This key may call the admin face {} times a minute.", self.quota);
        Err(Refusal::rate_limited(exceeded, detail))
    }
}

impl Window {
    fn starting(second: u64) -> Self {
        Self { counts: [0; SLOTS], second }
    }

    /// Empties the slots of the seconds that have left the window.
    fn move_to(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second).min(SLOTS as u64);
        for ahead in 1..=passed {
            let index = slot(second - passed + ahead);
            if let Some(count) = self.counts.get_mut(index) {
                *count = 0;
            }
        }
        self.second = self.second.max(second);
    }

    fn count_one(&mut self) {
        if let Some(count) = self.counts.get_mut(slot(self.second)) {
            *count += 1;
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The oldest second that still counts; the running one where none does.
    fn oldest(&self) -> u64 {
        let first = self.second.saturating_sub(SECONDS);
        let counted = |second: &u64| self.counts.get(slot(*second)).is_some_and(|count| *count > 0);
        (first..=self.second).find(counted).unwrap_or(self.second)
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(quota: u64) -> (Rate, Clock) {
        let clock = Clock::settable(1_768_487_400_000);
        (Rate::new(clock.clone(), quota), clock)
    }

    #[test]
    fn the_call_beyond_the_quota_is_told_when_it_may_come_back() {
        let (rate, clock) = rate(2);
        let key = Uuid::from_u128(1);
        assert_eq!(rate.admit(key).unwrap().used, 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(rate.admit(key).unwrap().used, 2);
        let exceeded = rate.admit(key).unwrap_err().exceeded.unwrap();
        assert_eq!((exceeded.quota, exceeded.used), (2, 2));
        let wait = Duration::from_millis(
            u64::try_from(exceeded.reset_at_ms.unwrap() - clock.unix_ms()).unwrap(),
        );
        assert!(wait <= Duration::from_secs(51), "{wait:?}");
        clock.advance(wait - Duration::from_millis(2));
        assert!(rate.admit(key).is_err());
        clock.advance(Duration::from_millis(2));
        assert_eq!(rate.admit(key).unwrap().used, 2);
    }

    #[test]
    fn keys_do_not_share_a_window() {
        let (rate, _clock) = rate(1);
        assert!(rate.admit(Uuid::from_u128(1)).is_ok());
        assert!(rate.admit(Uuid::from_u128(2)).is_ok());
        assert!(rate.admit(Uuid::from_u128(1)).is_err());
    }

    #[test]
    fn no_minute_holds_more_than_the_quota() {
        let (rate, clock) = rate(5);
        let key = Uuid::from_u128(7);
        let mut admitted = Vec::new();
        for step in 0_u64..3000 {
            if rate.admit(key).is_ok() {
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
