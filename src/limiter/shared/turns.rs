//! How long a call has waited for Redis, counted in the turns that this process had itself: while
//! it stands still nobody reads what lies in its sockets, and that is no fault of Redis.
//! Must never let a call wait without end, however busy this machine is.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::wait as hand;

/// So often in a time-out, at least, this process shows that it has its turns.
const SLICES: u32 = 20;
const SHORTEST_SLICE: Duration = Duration::from_millis(5);
/// What no call waits for has a patience of its own, however long the time-out.
const LONGEST_SLICE: Duration = Duration::from_millis(25);
/// A turn that comes later than this was late itself.
const ON_TIME_SLICES: u64 = 2;
/// Nobody waits more than so many times as long.
pub(super) const MOST: u32 = 5;
/// A process that stood still for so long may be taken for one that is not there, soon.
const STALL: Duration = Duration::from_secs(5);
/// While nobody keeps it, no turn is late.
const NOT_KEPT: u64 = u64::MAX;

pub(super) struct Turns {
    slice: Duration,
    /// When it had its last turn.
    last_ns: AtomicU64,
    /// By how much its turns came late, all together.
    late_ns: AtomicU64,
    stalls: AtomicU64,
}

/// A moment, as the hand has it and in this process's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at_ns: u64,
    pub(super) own_ns: u64,
}

/// Of one that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    began: Mark,
    wait: Duration,
}

struct Kept<'a>(&'a Turns);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.last_ns.store(NOT_KEPT, Ordering::Release);
    }
}

impl Turns {
    pub(super) fn new(timeout: Duration) -> Self {
        let slice = (timeout / SLICES).clamp(SHORTEST_SLICE, LONGEST_SLICE);
        let (late_ns, stalls) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { slice, last_ns: AtomicU64::new(NOT_KEPT), late_ns, stalls }
    }

    /// Never ends. Stands in line for its turns as those do who read what Redis says.
    pub(super) async fn keep(&self) {
        let _kept = Kept(self);
        loop {
            self.came(hand::now_ns());
            tokio::time::sleep(self.slice).await;
        }
    }

    /// How often it has stood still for long, until this moment.
    pub(super) fn stalls(&self) -> u64 {
        // In this order: what ends meanwhile counts twice for a moment, and not never.
        let running_ns = self.late_by(hand::now_ns(), self.last_ns.load(Ordering::Acquire));
        self.former_stalls() + u64::from(running_ns >= nanoseconds(STALL))
    }

    /// Of these it has had a turn after.
    pub(super) fn former_stalls(&self) -> u64 {
        self.stalls.load(Ordering::Acquire)
    }

    pub(super) fn now(&self) -> Mark {
        self.at(hand::now_ns())
    }

    pub(super) fn patience(&self, wait: Duration) -> Patience {
        Patience { began: self.now(), wait }
    }

    /// What comes of it; None where it takes longer than that.
    pub(super) async fn within<T>(
        &self,
        wait: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        self.hear(&self.patience(wait), Mark::default, answer).await
    }

    /// Redis answers others as long as `heard` grows: then one waits on.
    pub(super) async fn hear<T>(
        &self,
        patience: &Patience,
        heard: impl Fn() -> Mark,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let left = patience.left(self.now(), heard());
            if left.is_zero() {
                break;
            }
            if let Ok(answer) = tokio::time::timeout(left, &mut answer).await {
                return Some(answer);
            }
        }
        // Whoever reads was woken in the same moment, perhaps: he goes first.
        tokio::task::yield_now().await;
        tokio::time::timeout(Duration::ZERO, answer).await.ok()
    }

    fn came(&self, now_ns: u64) {
        let late_ns = self.late_by(now_ns, self.last_ns.load(Ordering::Acquire));
        if late_ns >= nanoseconds(STALL) {
            self.stalls.fetch_add(1, Ordering::AcqRel);
        }
        // Whoever sees the turn sees what it was late with.
        self.late_ns.fetch_add(late_ns, Ordering::Release);
        self.last_ns.store(now_ns, Ordering::Release);
    }

    fn at(&self, now_ns: u64) -> Mark {
        let running_ns = self.late_by(now_ns, self.last_ns.load(Ordering::Acquire));
        let late_ns = self.late_ns.load(Ordering::Acquire).saturating_add(running_ns);
        Mark { at_ns: now_ns, own_ns: now_ns.saturating_sub(late_ns) }
    }

    fn late_by(&self, now_ns: u64, last_ns: u64) -> u64 {
        let on_time_ns = nanoseconds(self.slice).saturating_mul(ON_TIME_SLICES);
        now_ns.saturating_sub(last_ns).saturating_sub(on_time_ns)
    }
}

impl Patience {
    /// What is left of it, where Redis last said something at that time.
    pub(super) fn left(&self, now: Mark, heard: Mark) -> Duration {
        let since_ns = self.began.own_ns.max(heard.own_ns);
        let waited = Duration::from_nanos(now.own_ns.saturating_sub(since_ns));
        self.wait.saturating_sub(waited).min(self.most_left(now))
    }

    /// Whatever happens.
    pub(super) fn most_left(&self, now: Mark) -> Duration {
        let waited = Duration::from_nanos(now.at_ns.saturating_sub(self.began.at_ns));
        (self.wait * MOST).saturating_sub(waited)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const WAIT: Duration = Duration::from_millis(500);

    fn left_ms(turns: &Turns, patience: Patience, now_ms: u64) -> u128 {
        patience.left(turns.at(now_ms * MS), Mark::default()).as_millis()
    }

    /// Kept, and on time, until then.
    fn kept(turns: &Turns, from_ms: u64, until_ms: u64) {
        (from_ms..=until_ms).step_by(25).for_each(|ms| turns.came(ms * MS));
    }

    #[test]
    fn a_process_that_has_its_turns_waits_as_long_as_it_is_told() {
        for is_kept in [false, true] {
            let turns = Turns::new(WAIT);
            let patience = Patience { began: turns.at(1000 * MS), wait: WAIT };
            if is_kept {
                kept(&turns, 1000, 1475);
            }
            assert_eq!([1490, 1499].map(|ms| left_ms(&turns, patience, ms)), [10, 1]);
            assert_eq!(left_ms(&turns, patience, 1500), 0);
        }
    }

    #[test]
    fn a_stall_of_its_own_counts_once_and_no_wait_is_without_end() {
        let turns = Turns::new(WAIT);
        turns.came(1000 * MS);
        let patience = Patience { began: turns.at(1000 * MS), wait: WAIT };
        assert_eq!(left_ms(&turns, patience, 2000), 450, "while it lasts");
        turns.came(2000 * MS);
        assert_eq!(left_ms(&turns, patience, 2000), 450, "and afterwards");
        kept(&turns, 2025, 2425);
        assert_eq!([2449, 2450].map(|ms| left_ms(&turns, patience, ms)), [1, 0]);
        let patience = Patience { began: turns.at(2450 * MS), wait: WAIT };
        assert_eq!([2450, 4949, 4950].map(|ms| left_ms(&turns, patience, ms)), [500, 1, 0]);
    }

    #[test]
    fn one_waits_on_while_redis_answers_others() {
        let turns = Turns::new(WAIT);
        let at = |ms: u64| turns.at(ms * MS);
        let patience = Patience { began: at(1000), wait: WAIT };
        let left_ms = |now, heard| patience.left(at(now), at(heard)).as_millis();
        assert_eq!([left_ms(1600, 900), left_ms(1600, 1300), left_ms(1600, 1600)], [0, 200, 500]);
        assert_eq!([left_ms(3400, 3400), left_ms(3500, 3500)], [100, 0]);
    }

    #[tokio::test]
    async fn whoever_reads_goes_before_one_that_gives_up() {
        let (sender, answer) = tokio::sync::oneshot::channel();
        tokio::spawn(async move { sender.send(7) });
        let turns = Turns::new(WAIT);
        assert_eq!(turns.within(Duration::ZERO, answer).await, Some(Ok(7)));
    }
}
