//! A window that somebody names beforehand: so many calls in any stretch of that length, counted
//! from the moment in which the provider must have counted them. Pure.
//! Must never forget a call before its window is over.

use std::collections::VecDeque;

use super::Wait;

/// Entries of a long window are put together within this part of it.
const PARTS: u64 = 256;
/// So many calls are kept one by one.
const FEW: u64 = 512;
/// This part of the window, for clocks that do not run alike.
const MARGIN: u64 = 240;
const LEAST_MARGIN_NS: u64 = 20_000_000;

pub(super) struct Span {
    calls: u64,
    window_ns: u64,
    /// When calls leave the window, and how many at that moment.
    ends: VecDeque<(u64, u64)>,
    counted: u64,
}

impl Span {
    pub(super) fn new(calls: u64, window_ns: u64) -> Self {
        Self { calls, window_ns, ends: VecDeque::new(), counted: 0 }
    }

    pub(super) fn is_of(&self) -> (u64, u64) {
        (self.calls, self.window_ns)
    }

    /// None where there is room beside the calls that are under way.
    pub(super) fn wait(&mut self, under_way: u64, now_ns: u64) -> Option<Wait> {
        while let Some((end_ns, calls)) = self.ends.front().copied()
            && end_ns <= now_ns
        {
            self.counted = self.counted.saturating_sub(calls);
            self.ends.pop_front();
        }
        if self.counted.saturating_add(under_way) < self.calls {
            return None;
        }
        Some(match self.ends.front() {
            Some((end_ns, _)) => Wait { until_ns: *end_ns, is_certain: under_way == 0 },
            // All of them are under way: one of them has to come back first.
            None => Wait { until_ns: now_ns.saturating_add(self.window_ns), is_certain: false },
        })
    }

    /// A call came back: by now the provider has counted it.
    pub(super) fn count(&mut self, now_ns: u64) {
        self.count_back(now_ns, 0);
    }

    /// One came back so long ago.
    pub(super) fn count_back(&mut self, now_ns: u64, age_ns: u64) {
        let margin_ns = (self.window_ns / MARGIN).max(LEAST_MARGIN_NS);
        let lasts_ns = self.window_ns.saturating_add(margin_ns).saturating_sub(age_ns);
        let mut end_ns = now_ns.saturating_add(lasts_ns);
        if self.calls > FEW {
            end_ns = end_ns.next_multiple_of((self.window_ns / PARTS).max(1));
        }
        self.counted = self.counted.saturating_add(1);
        match self.ends.back_mut() {
            Some((last_ns, calls)) if *last_ns >= end_ns => *calls += 1,
            _ => self.ends.push_back((end_ns, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn calls_under_way_hold_their_places_and_leave_the_window_after_their_answers() {
        let mut span = Span::new(3, 60 * SECOND);
        assert_eq!(span.wait(2, 0), None);
        assert!(!span.wait(3, 0).unwrap().is_certain);
        span.count(90 * SECOND);
        span.count(91 * SECOND);
        assert_eq!(span.wait(0, 91 * SECOND), None);
        let full = span.wait(1, 92 * SECOND).unwrap();
        assert_eq!(full.until_ns, 150 * SECOND + SECOND / 4);
        assert!(span.wait(1, full.until_ns - 1).is_some());
        assert_eq!(span.wait(1, full.until_ns), None);
    }

    #[test]
    fn calls_of_a_former_process_leave_the_window_when_their_time_comes() {
        let mut span = Span::new(2, 60 * SECOND);
        for age in [50, 10] {
            span.count_back(SECOND, age * SECOND);
        }
        let full = span.wait(0, SECOND).unwrap();
        assert_eq!(full.until_ns, 11 * SECOND + SECOND / 4);
        assert_eq!(span.wait(0, full.until_ns), None);
        assert!(span.wait(1, full.until_ns).is_some());
        assert_eq!(span.wait(1, 51 * SECOND + SECOND / 4), None);
    }

    #[test]
    fn a_window_of_many_calls_takes_little_memory_and_is_kept_all_the_same() {
        let (calls, window_ns) = (100_000, 60 * SECOND);
        let mut span = Span::new(calls, window_ns);
        for call in 0..calls {
            assert_eq!(span.wait(0, call * 100_000), None);
            span.count(call * 100_000);
        }
        let last = calls * 100_000;
        let wait = span.wait(0, last).unwrap();
        assert!(wait.is_certain && wait.until_ns >= window_ns);
        assert!(wait.until_ns < window_ns + SECOND, "{wait:?}");
        assert!(span.ends.len() < 300, "{}", span.ends.len());
    }
}
