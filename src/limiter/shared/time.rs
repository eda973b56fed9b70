//! The time that all nodes have in common: what Redis takes for it, carried on by this node's own
//! clock, which never jumps.
//! Must never ask the wall what time it is, but before Redis was asked once.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Later than any time that Redis will tell.
const NEVER_US: u64 = 1 << 52;

pub(super) struct Time {
    pub(super) clock: Clock,
    ahead_us: AtomicI64,
    is_known: AtomicBool,
}

impl Time {
    pub(super) fn new(clock: Clock) -> Self {
        let ahead_us = clock.unix_ms().saturating_mul(1000) - monotonic_us(&clock);
        Self { clock, ahead_us: AtomicI64::new(ahead_us), is_known: AtomicBool::new(false) }
    }

    pub(super) fn now_us(&self) -> u64 {
        let now_us = monotonic_us(&self.clock) + self.ahead_us.load(Ordering::Acquire);
        u64::try_from(now_us).unwrap_or(0)
    }

    /// So far ahead of the wall the nodes' time was when Redis was last asked, by a former process.
    pub(super) fn suppose(&self, ahead_of_wall_us: i64) {
        let wall_us = self.clock.unix_ms().saturating_mul(1000);
        let ahead_us = wall_us.saturating_add(ahead_of_wall_us) - monotonic_us(&self.clock);
        self.ahead_us.store(ahead_us, Ordering::Release);
    }

    /// None before Redis was asked.
    pub(super) fn known_us(&self) -> Option<u64> {
        self.is_known.load(Ordering::Acquire).then(|| self.now_us())
    }

    /// When an answer that is waited for so long is of no use any more.
    pub(super) fn late_us(&self, wait: Duration) -> u64 {
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(0);
        self.known_us().map_or(NEVER_US, |now_us| now_us + wait_us)
    }

    /// An answer was true when it was made, so the one that came quickest is nearest. `anew`: now
    /// and then all are forgotten, as clocks drift.
    pub(super) fn synchronise(&self, now_us: u64, anew: bool) {
        let ahead_us = i64::try_from(now_us).unwrap_or(i64::MAX) - monotonic_us(&self.clock);
        match anew {
            true => self.ahead_us.store(ahead_us, Ordering::Release),
            false => {
                self.ahead_us.fetch_max(ahead_us, Ordering::AcqRel);
            }
        }
        self.is_known.store(true, Ordering::Release);
    }
}

fn monotonic_us(clock: &Clock) -> i64 {
    i64::try_from(clock.monotonic_ns() / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_counts_and_the_wall_does_not() {
        let clock = Clock::settable(1_768_487_400_000);
        let time = Time::new(clock.clone());
        assert_eq!((time.known_us(), time.late_us(Duration::ZERO)), (None, NEVER_US));
        time.synchronise(5_000_000, true);
        time.synchronise(4_000_000, false);
        clock.jump_wall(9_000_000);
        clock.advance(Duration::from_millis(1));
        assert_eq!(time.known_us(), Some(5_001_000));
        time.synchronise(4_000_000, true);
        assert_eq!(time.now_us(), 4_000_000);
    }
}
