//! One circuit breaker: after several failures in a row what it stands for is left alone for a
//! while, then one call may try it again. Closed, it costs whoever asks a load and whoever succeeds
//! another one. Must never let more than one call through in each rest.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// One failure may be chance, and a burst of calls fails together.
const FAILURES_TO_OPEN: u32 = 5;
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Shared by all threads; written only when something fails, or is well again.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Since the last success.
    failures: AtomicU32,
    /// On the clock that never goes back; 0 while the breaker is closed.
    rests_until_ns: AtomicU64,
    opened: AtomicU64,
}

/// What a breaker says to whoever wants to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    /// Nothing is known against it.
    Closed,
    /// This one call is the probe.
    Probe,
    /// For so long.
    Rests(Duration),
}

impl Breaker {
    pub(crate) fn is_closed(&self) -> bool {
        self.rests_until_ns.load(Ordering::Relaxed) == 0
    }

    /// Did the last call fail?
    pub(crate) fn is_doubtful(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
    }

    /// How often it opened since the start.
    pub(crate) fn openings(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How long it rests still. None: it may be tried.
    pub(crate) fn rest(&self, now_ns: u64) -> Option<Duration> {
        let until_ns = self.rests_until_ns.load(Ordering::Acquire);
        (until_ns > now_ns).then(|| Duration::from_nanos(until_ns - now_ns))
    }

    /// After a rest whoever asks first is the probe; all others rest on. A probe that never tells
    /// how it went is followed by another one after as long a rest.
    pub(crate) fn ask(&self, now_ns: u64) -> Try {
        let until_ns = self.rests_until_ns.load(Ordering::Acquire);
        if until_ns == 0 {
            return Try::Closed;
        }
        if let Some(rest) = self.rest(now_ns) {
            return Try::Rests(rest);
        }
        let rest = rest_after(self.failures.load(Ordering::Acquire));
        let next_ns = now_ns.saturating_add(nanoseconds(rest));
        let claim = self.rests_until_ns.compare_exchange(
            until_ns,
            next_ns,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match claim {
            Ok(_) => Try::Probe,
            // Closed meanwhile, or somebody else is the probe.
            Err(0) => Try::Closed,
            Err(_) => Try::Rests(rest),
        }
    }

    /// True if it opened just now. What was under way when it opened says nothing new: while it
    /// rests, only its probe counts.
    pub(crate) fn failed(&self, now_ns: u64, is_probe: bool) -> bool {
        self.failed_up_to(u32::MAX, now_ns, is_probe)
    }

    /// It took the call and said nothing. That may be the call's doing, so the rest stays short:
    /// whoever knows a call that hangs must not close the way for all.
    pub(crate) fn was_silent(&self, now_ns: u64, is_probe: bool) -> bool {
        self.failed_up_to(FAILURES_TO_OPEN, now_ns, is_probe)
    }

    fn failed_up_to(&self, most: u32, now_ns: u64, is_probe: bool) -> bool {
        if !self.is_closed() && !is_probe {
            return false;
        }
        let count = |failures: u32| Some(failures.saturating_add(1).min(most.max(failures)));
        let before = self.failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, count);
        let failures = before.ok().and_then(count).unwrap_or(most);
        if failures < FAILURES_TO_OPEN {
            return false;
        }
        let until_ns = now_ns.saturating_add(nanoseconds(rest_after(failures))).max(1);
        let opens = self.rests_until_ns.swap(until_ns, Ordering::AcqRel) == 0;
        if opens {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        opens
    }

    /// True if it closed just now.
    pub(crate) fn succeeded(&self) -> bool {
        if !self.is_doubtful() {
            return false;
        }
        self.failures.store(0, Ordering::Release);
        self.rests_until_ns.swap(0, Ordering::AcqRel) != 0
    }
}

/// Twice as long after each probe that failed.
fn rest_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_TO_OPEN).min(16);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn opened_at(now_ns: u64) -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_TO_OPEN {
            assert!(!breaker.failed(now_ns, false));
        }
        assert!(breaker.is_closed() && breaker.is_doubtful());
        assert!(breaker.failed(now_ns, false));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_between_them_forgets_all() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(1, false);
            assert!(!breaker.succeeded());
        }
        assert_eq!(breaker.ask(1), Try::Closed);
        assert_eq!(opened_at(1).ask(1), Try::Rests(FIRST_REST));
    }

    #[test]
    fn one_call_probes_after_each_rest_and_its_answer_closes() {
        let breaker = opened_at(1);
        let due = 1 + SECOND;
        assert_eq!(breaker.ask(due), Try::Probe);
        assert_eq!(breaker.ask(due), Try::Rests(FIRST_REST));
        assert!(breaker.succeeded());
        assert_eq!((breaker.ask(due), breaker.openings()), (Try::Closed, 1));
        assert!(!breaker.is_doubtful());
    }

    #[test]
    fn rests_double_up_to_half_a_minute_and_late_failures_do_not_count() {
        let breaker = opened_at(0);
        for _ in 0..100 {
            assert!(!breaker.failed(0, false), "it was under way before");
        }
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let Try::Rests(rest) = breaker.ask(now) else { panic!("it rests") };
            assert_eq!(rest, Duration::from_secs(seconds));
            now += seconds * SECOND;
            assert_eq!(breaker.ask(now), Try::Probe);
            assert!(!breaker.failed(now, true));
        }
        assert_eq!(breaker.openings(), 1);
    }

    #[test]
    fn silence_opens_it_and_does_not_make_the_rests_longer() {
        let breaker = Breaker::default();
        let opened = (0..5).filter(|_| breaker.was_silent(0, false)).count();
        assert_eq!(opened, 1);
        for second in 1..20 {
            assert_eq!(breaker.ask(second * SECOND), Try::Probe);
            breaker.was_silent(second * SECOND, true);
            assert_eq!(breaker.rest(second * SECOND), Some(FIRST_REST));
        }
    }

    #[test]
    fn a_probe_that_vanishes_is_followed_by_another() {
        let breaker = opened_at(0);
        assert_eq!(breaker.ask(SECOND), Try::Probe);
        assert_eq!(breaker.ask(SECOND + 1), Try::Rests(Duration::from_nanos(SECOND - 1)));
        assert_eq!(breaker.ask(2 * SECOND), Try::Probe);
    }

    #[test]
    fn of_many_threads_one_is_the_probe() {
        let breaker = opened_at(0);
        let probes = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if breaker.ask(SECOND) == Try::Probe {
                        probes.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(probes.into_inner(), 1);
    }
}
