//! A quota over a sliding window, counted in sixty sub-windows and the running one. Never more than
//! the quota in any window; a freed call is usable a sixtieth later at most.
//! Must never ask for the time: whoever counts says what time it is.

const SUB_WINDOWS: u32 = 60;
const PAST: usize = 60;
/// Numbers of sub-windows begin here, so that calls of before the start can be told of.
const FIRST: u64 = 61;

/// How many calls in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) calls: u64,
    pub(crate) window_ns: u64,
    /// Counted but never refused.
    pub(crate) unlimited: bool,
}

/// What a window says, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) admitted: bool,
    /// This call included, if it was admitted.
    pub(crate) used: u64,
    /// Until the oldest counted call leaves the window, or until the next call would be admitted.
    pub(crate) free_in_ns: u64,
}

/// The calls of one caller. Small, as there may be a million of them: what is asked for by every
/// call stands first, and a past sub-window takes two bytes as long as they are enough.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Window {
    /// The number of the running sub-window.
    running: u32,
    /// Of the oldest one in which a call was counted; the running one if there is none.
    oldest: u32,
    calls_running: u32,
    /// Of the sixty before the running one, all together.
    calls_past: u32,
    past: Past,
}

/// Calls of past sub-windows, each at its number's remainder by sixty.
enum Past {
    Narrow([u16; PAST]),
    Wide(Box<[u32; PAST]>),
}

impl Default for Past {
    fn default() -> Self {
        Self::Narrow([0; PAST])
    }
}

impl Quota {
    fn sub_window_ns(self) -> u64 {
        (self.window_ns / u64::from(SUB_WINDOWS)).max(1)
    }

    fn at(self, now_ns: u64) -> At {
        let sub_window_ns = self.sub_window_ns();
        let begun = now_ns / sub_window_ns;
        At {
            sub_window_ns,
            number: u32::try_from(begun + FIRST).unwrap_or(u32::MAX),
            into_running_ns: now_ns - begun * sub_window_ns,
        }
    }
}

/// A moment in sub-windows: worked out once for a call, as a division costs more than all the rest.
struct At {
    sub_window_ns: u64,
    /// The number of the running sub-window. Its end is out of reach: 136 years of one-second ones.
    number: u32,
    into_running_ns: u64,
}

impl Window {
    /// Counts one call if the quota has room for it.
    pub(crate) fn count(&mut self, quota: Quota, now_ns: u64) -> Count {
        let found = self.look(quota, now_ns);
        if found.admitted { self.count_after(found, quota, now_ns) } else { found }
    }

    /// Counts the call for which `look` has just found room, at the same moment.
    pub(crate) fn count_after(&mut self, found: Count, quota: Quota, now_ns: u64) -> Count {
        self.calls_running = self.calls_running.saturating_add(1);
        let free_in_ns = match found.used {
            0 => self.free_in_ns(&quota.at(now_ns)),
            _ => found.free_in_ns,
        };
        Count { admitted: true, used: found.used + 1, free_in_ns }
    }

    /// What counting would say, this call not included. For limits that must all have room before
    /// any of them counts.
    pub(crate) fn look(&mut self, quota: Quota, now_ns: u64) -> Count {
        let at = quota.at(now_ns);
        self.go_on_to(at.number);
        let used = u64::from(self.calls_past) + u64::from(self.calls_running);
        let admitted = quota.unlimited || used < quota.calls;
        let free_in_ns = if used == 0 { 0 } else { self.free_in_ns(&at) };
        Count { admitted, used, free_in_ns }
    }

    /// Counts calls of `age_ns` ago that were admitted before this window was made. Those of so
    /// long ago that they have left the window are no matter.
    pub(crate) fn remember(&mut self, quota: Quota, now_ns: u64, age_ns: u64, calls: u32) {
        let at = quota.at(now_ns);
        self.go_on_to(at.number);
        let back = match age_ns.checked_sub(at.into_running_ns) {
            None | Some(0) => 0,
            Some(beyond) => u32::try_from(beyond.div_ceil(at.sub_window_ns)).unwrap_or(u32::MAX),
        };
        if back > SUB_WINDOWS || calls == 0 {
            return;
        }
        if back == 0 {
            self.calls_running = self.calls_running.saturating_add(calls);
            return;
        }
        let number = self.running - back;
        let has_past = self.calls_past > 0;
        self.past.put(number, self.past.at(number).saturating_add(calls));
        self.calls_past = self.calls_past.saturating_add(calls);
        self.oldest = if has_past { self.oldest.min(number) } else { number };
    }

    /// The running sub-window becomes past, and what leaves the window is taken off. A caller whose
    /// clock was read a moment before another's counts into that one's sub-window.
    fn go_on_to(&mut self, number: u32) {
        if number <= self.running {
            return;
        }
        if number - self.running > SUB_WINDOWS {
            if self.calls_past > 0 || matches!(self.past, Past::Wide(_)) {
                self.past = Past::default();
            }
            (self.calls_past, self.calls_running) = (0, 0);
            (self.running, self.oldest) = (number, number);
            return;
        }
        let left = self.running;
        for gone in self.oldest.max(left.saturating_sub(SUB_WINDOWS))..number - SUB_WINDOWS {
            if gone < left {
                self.calls_past = self.calls_past.saturating_sub(self.past.at(gone));
                self.past.put(gone, 0);
            }
        }
        if self.calls_running > 0 {
            if self.calls_past == 0 {
                self.oldest = left;
            }
            self.past.put(left, self.calls_running);
            self.calls_past = self.calls_past.saturating_add(self.calls_running);
            self.calls_running = 0;
        }
        self.running = number;
        if self.calls_past == 0 {
            self.oldest = number;
            return;
        }
        let first = self.oldest.max(number - SUB_WINDOWS);
        self.oldest = (first..number).find(|past| self.past.at(*past) > 0).unwrap_or(number);
    }

    /// Until the oldest counted sub-window has left the window as a whole.
    fn free_in_ns(&self, at: &At) -> u64 {
        let oldest = if self.calls_past > 0 { self.oldest } else { self.running };
        let windows = u64::from(oldest + SUB_WINDOWS + 1 - self.running);
        // Another's clock may have been read a moment later than this one.
        let into_running_ns = if at.number == self.running { at.into_running_ns } else { 0 };
        (windows * at.sub_window_ns).saturating_sub(into_running_ns)
    }
}

impl Past {
    fn at(&self, number: u32) -> u32 {
        let place = place(number);
        match self {
            Self::Narrow(calls) => calls.get(place).map_or(0, |calls| u32::from(*calls)),
            Self::Wide(calls) => calls.get(place).copied().unwrap_or_default(),
        }
    }

    fn put(&mut self, number: u32, calls: u32) {
        if let (Self::Narrow(narrow), Err(_)) = (&*self, u16::try_from(calls)) {
            *self = Self::Wide(Box::new(narrow.map(u32::from)));
        }
        let place = place(number);
        match self {
            Self::Narrow(narrow) => {
                if let Some(held) = narrow.get_mut(place) {
                    *held = u16::try_from(calls).unwrap_or(u16::MAX);
                }
            }
            Self::Wide(wide) => {
                if let Some(held) = wide.get_mut(place) {
                    *held = calls;
                }
            }
        }
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number % SUB_WINDOWS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Quota = Quota { calls: 3, window_ns: 60_000, unlimited: false };

    #[test]
    fn the_quota_is_admitted_and_not_one_more() {
        let mut window = Window::default();
        let used: Vec<u64> = (0..3).map(|_| window.count(MINUTE, 5).used).collect();
        assert_eq!(used, [1, 2, 3]);
        let refused = window.count(MINUTE, 5);
        assert!(!refused.admitted);
        assert_eq!(refused.used, 3);
    }

    #[test]
    fn a_refusal_names_the_moment_at_which_the_next_call_passes() {
        let mut window = Window::default();
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
        let mut window = Window::default();
        let quota = Quota { calls: 2, window_ns: 60_000, unlimited: true };
        let last = (0..200_000).map(|_| window.count(quota, 1)).last().unwrap();
        assert!(last.admitted);
        assert_eq!(last.used, 200_000);
        assert_eq!(window.look(quota, 5_000).used, 200_000, "more than two bytes hold");
        assert_eq!(window.look(quota, 61_500).used, 0);
    }

    #[test]
    fn a_reader_of_an_older_clock_counts_with_the_others() {
        let mut window = Window::default();
        assert!(window.count(MINUTE, 5_000).admitted);
        let late = window.count(MINUTE, 3_999);
        assert_eq!((late.admitted, late.used), (true, 2));
        assert_eq!(late.free_in_ns, 61_000);
    }

    /// What a call did before a restart: when, and whether it was let in.
    fn replay(admitted: &[u64], now: u64, started: u64) -> Window {
        let mut window = Window::default();
        for at in admitted {
            window.remember(MINUTE, now - started, now - at, 1);
        }
        window
    }

    proptest! {
        /// Against the plain list of admitted times: never over in any window, and nothing refused
        /// that had been free for more than a sixtieth; nor the other way round what is told.
        #[test]
        fn no_window_ever_holds_more_than_the_quota(
            steps in proptest::collection::vec(0_u64..9_000, 1..200)
        ) {
            let mut window = Window::default();
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
                let oldest = admitted.iter().find(|at| now / 1_000 - **at / 1_000 <= 60).unwrap();
                prop_assert_eq!(now + count.free_in_ns, (oldest / 1_000 + 61) * 1_000);
            }
        }

        /// A restart in the middle of it: the new window, told what was admitted before, is never
        /// over either, and gives a call away a sixtieth later than the old one would have at most.
        #[test]
        fn a_window_that_was_told_of_the_past_keeps_the_quota(
            before in proptest::collection::vec(0_u64..9_000, 0..40),
            pause in 0_u64..70_000,
            after in proptest::collection::vec(0_u64..9_000, 1..40),
        ) {
            let (mut window, mut admitted, mut now) = (Window::default(), Vec::new(), 0_u64);
            for step in before {
                now += step;
                if window.count(MINUTE, now).admitted {
                    admitted.push(now);
                }
            }
            now += pause;
            let started = now;
            let mut window = replay(&admitted, now, started);
            for step in after {
                now += step;
                let inside = |age: u64| admitted.iter().filter(|at| now - **at < age).count();
                let (strict, lenient) = (inside(60_000), inside(62_000));
                let count = window.count(MINUTE, now - started);
                prop_assert!(!count.admitted || strict < 3);
                prop_assert!(count.admitted || lenient >= 3);
                if count.admitted {
                    admitted.push(now);
                }
            }
        }
    }
}
