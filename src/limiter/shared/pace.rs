//! Whether Redis is so slow that callers are better off without it: one that hears of calls late,
//! again and again, is as bad as one that is away. Told by the time that its answers carry, less
//! what this process itself was late with. Pure.
//! Must never take one slow answer for a slow Redis.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::turns::Mark;

/// This part of the time-out is slow.
const SLOW: u32 = 4;

pub(super) struct Pace {
    /// How far Redis's time is ahead of this process's, by the answer that came quickest.
    ahead_us: AtomicI64,
    /// Since when every call reached it late, in this process's own time; 0: the last one did not.
    slow_since_us: AtomicU64,
    /// When the last answer came; in its own time, too.
    heard_ns: AtomicU64,
}

/// One question and its answer, by the hands of this process, and when Redis says that it heard it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) sent: Mark,
    pub(super) came: Mark,
    pub(super) heard_us: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ahead_us: AtomicI64::new(i64::MIN),
            slow_since_us: AtomicU64::new(0),
            heard_ns: AtomicU64::new(0),
        }
    }
}

/// A good answer does not take so long.
pub(super) fn slow(timeout: Duration) -> Duration {
    timeout / SLOW
}

impl Pace {
    /// True where all calls were late for as long as the time-out.
    pub(super) fn took(&self, trip: Trip, timeout: Duration) -> bool {
        self.heard_ns.fetch_max(trip.came.own_ns, Ordering::Relaxed);
        let [sent_us, came_us] = [trip.sent, trip.came].map(|mark| signed(mark.at_ns / 1000));
        let [sent_own_us, came_own_us] = [trip.sent, trip.came].map(|mark| mark.own_ns / 1000);
        let stalled_us = came_us - sent_us - signed(came_own_us.saturating_sub(sent_own_us));
        let heard_us = signed(trip.heard_us);
        let bar_us = signed(u64::try_from(slow(timeout).as_micros()).unwrap_or(u64::MAX));
        let ahead_us = heard_us.saturating_sub(came_us);
        if came_us.saturating_sub(sent_us) < bar_us {
            // Clocks drift: what is known of the other one is renewed by every quick answer.
            self.ahead_us.store(ahead_us, Ordering::Relaxed);
            self.slow_since_us.store(0, Ordering::Relaxed);
            return false;
        }
        let ahead_us = ahead_us.max(self.ahead_us.fetch_max(ahead_us, Ordering::Relaxed));
        // Where it stood still nobody knows: before it sent the call, or before it read the answer.
        let there_us = heard_us.saturating_sub(ahead_us).saturating_sub(sent_us);
        if there_us.saturating_sub(stalled_us) < bar_us {
            self.slow_since_us.store(0, Ordering::Relaxed);
            return false;
        }
        let sent_own_us = sent_own_us.max(1);
        let order = Ordering::Relaxed;
        let since_us = self.slow_since_us.compare_exchange(0, sent_own_us, order, order);
        let since_us = since_us.err().unwrap_or(sent_own_us);
        let slow_for_us = came_own_us.saturating_sub(since_us);
        Duration::from_micros(slow_for_us) >= timeout
    }

    /// When it last answered a call that it had heard in time; long ago where it is slow.
    pub(super) fn heard(&self) -> Mark {
        match self.is_slow() {
            true => Mark::default(),
            false => Mark { at_ns: 0, own_ns: self.heard_ns.load(Ordering::Relaxed) },
        }
    }

    /// The last call reached it late.
    fn is_slow(&self) -> bool {
        self.slow_since_us.load(Ordering::Relaxed) != 0
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    /// Redis's clock is a second ahead.
    fn took(pace: &Pace, sent_ms: u64, heard_ms: u64, came_ms: u64) -> bool {
        took_stalled(pace, (sent_ms, heard_ms, came_ms), 0)
    }

    /// This process stood still for so long meanwhile.
    fn took_stalled(pace: &Pace, (sent, heard, came): (u64, u64, u64), stalled_ms: u64) -> bool {
        let mark = |at_ms: u64, late_ms: u64| Mark {
            at_ns: at_ms * 1_000_000,
            own_ns: (at_ms - late_ms) * 1_000_000,
        };
        let (sent, came) = (mark(sent, 0), mark(came, stalled_ms));
        pace.took(Trip { sent, came, heard_us: (heard + 1000) * 1000 }, TIMEOUT)
    }

    #[test]
    fn a_row_of_calls_that_are_heard_late_counts_and_one_alone_does_not() {
        let pace = Pace::default();
        assert!(!took(&pace, 1000, 1001, 1002));
        assert!(!took(&pace, 1010, 1450, 1460));
        assert!(pace.is_slow());
        assert!(!took(&pace, 1470, 1475, 1480), "a quick one between");
        assert!(!took(&pace, 2000, 2300, 2300));
        assert!(!took(&pace, 2000, 2301, 2301), "at once");
        assert!(took(&pace, 2301, 2600, 2600));
    }

    #[test]
    fn what_this_process_is_late_with_is_no_fault_of_redis() {
        let pace = Pace::default();
        assert!(!took(&pace, 1000, 1001, 1002));
        for begin in [2000, 3000, 4000] {
            assert!(!took(&pace, begin, begin + 10, begin + 900));
        }
        assert!(!pace.is_slow());
        // It stood still before it sent the call.
        for begin in [5000, 6000, 7000] {
            assert!(!took_stalled(&pace, (begin, begin + 800, begin + 810), 700));
            assert_eq!(pace.heard().own_ns, (begin + 110) * 1_000_000);
        }
        assert!(!took_stalled(&pace, (8000, 8800, 8810), 600), "one alone");
        assert_eq!(pace.heard(), Mark::default());
        assert!(took_stalled(&pace, (9000, 9800, 9810), 200));
    }
}
