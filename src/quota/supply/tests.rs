//! A provider's hidden limit, met call by call: what is learnt of it, how much of it is used, and
//! how often it refuses once it is known. Time passes as the test says.
//! Must never look into what was learnt: what counts is what leaves.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;

/// What the provider does, and tells nobody.
struct Hidden {
    rate: f64,
    depth: f64,
    level: f64,
    at_ns: u64,
    says: Says,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    RetryAfter,
    /// Limit, what is left and when it is full.
    All,
}

impl Hidden {
    fn new(rate: f64, depth: f64, says: Says) -> Self {
        Self { rate, depth, level: depth, at_ns: 0, says }
    }

    fn call(&mut self, now_ns: u64) -> Option<Notice> {
        let since = (now_ns - self.at_ns) as f64 / 1e9;
        self.level = (self.level + since * self.rate).min(self.depth);
        self.at_ns = now_ns;
        let passes = self.level >= 1.0;
        if passes {
            self.level -= 1.0;
        }
        let all = Notice {
            limit: Some(self.depth as u64),
            remaining: Some(self.level as u64),
            reset_in_ns: Some(((self.depth - self.level) / self.rate * 1e9) as u64),
            refills: true,
            ..Notice::default()
        };
        let told = if self.says == Says::All { all } else { Notice::default() };
        if passes {
            return (self.says == Says::All).then_some(told);
        }
        let retry_in_ns = (self.says != Says::Nothing).then_some(SECOND_NS);
        Some(Notice { is_refusal: true, retry_in_ns, ..told })
    }
}

/// Callers who always want more, with so long a way to the provider: what passed and what was
/// refused in each second.
fn run(hidden: &mut Hidden, way_ms: u64, seconds: u64) -> Vec<(u32, u32)> {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    let mut away: VecDeque<(u64, Ticket)> = VecDeque::new();
    let mut came = vec![(0, 0); usize::try_from(seconds).unwrap()];
    for ms in 0..seconds * 1000 {
        while away.front().is_some_and(|(at_ms, _)| *at_ms <= ms) {
            let (_, ticket) = away.pop_front().unwrap();
            let said = hidden.call(clock.monotonic_ns());
            let second = &mut came[usize::try_from(ms / 1000).unwrap()];
            match said.is_some_and(|said| said.is_refusal) {
                true => second.1 += 1,
                false => second.0 += 1,
            }
            ticket.answered(said);
        }
        while away.len() < 20
            && let Some(ticket) = supply.take(&clock)
        {
            ticket.leaves();
            away.push_back((ms + way_ms, ticket));
        }
        clock.advance(Duration::from_millis(1));
    }
    came
}

#[test]
fn a_hidden_bucket_is_learnt_and_nearly_all_of_it_is_used_without_one_refusal_more() {
    for says in [Says::Nothing, Says::RetryAfter, Says::All] {
        for (rate, depth) in [(20.0, 10.0), (20.0, 40.0), (100.0, 20.0), (5.0, 5.0), (50.0, 50.0)] {
            for way_ms in [2, 20] {
                let mut hidden = Hidden::new(rate, depth, says);
                let came = run(&mut hidden, way_ms, 240);
                let (warm, steady) = came.split_at(120);
                let refused: u32 = steady.iter().map(|(_, refused)| refused).sum();
                let passed: u32 = steady.iter().map(|(passed, _)| passed).sum();
                let part = f64::from(passed) / (rate * 120.0);
                let burnt: u32 = warm.iter().map(|(_, refused)| refused).sum();
                let line = format!("{rate}/s, {depth} deep, {way_ms} ms: {part:.3}, {burnt} burnt");
                assert_eq!(refused, 0, "{line}");
                assert!(part >= 0.95, "{line}");
                assert!(burnt <= 200, "{line}");
            }
        }
    }
}

#[test]
fn a_provider_that_says_no_and_nothing_else_is_asked_ever_more_rarely() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    let no = Notice { is_refusal: true, ..Notice::default() };
    let mut asked = 0;
    for _ in 0..600 {
        if let Some(ticket) = supply.take(&clock) {
            ticket.leaves();
            ticket.answered(Some(no));
            asked += 1;
        }
        clock.advance(Duration::from_secs(1));
    }
    assert!((10..=20).contains(&asked), "{asked}");
}

#[test]
fn a_refusal_closes_until_the_time_that_it_names_and_what_was_under_way_changes_nothing() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    let (one, other) = (supply.take(&clock).unwrap(), supply.take(&clock).unwrap());
    one.leaves();
    other.leaves();
    clock.advance(Duration::from_secs(1));
    let retry_in_ns = Some(30 * SECOND_NS);
    one.answered(Some(Notice { is_refusal: true, retry_in_ns, ..Notice::default() }));
    let wait = supply.wait(clock.monotonic_ns()).unwrap();
    assert!(wait.is_certain && supply.take(&clock).is_none());
    other.answered(None);
    assert_eq!(supply.wait(clock.monotonic_ns()), Some(wait));
    clock.advance(Duration::from_secs(31));
    assert!(supply.take(&clock).is_some());
}

#[test]
fn a_ticket_that_is_not_used_gives_its_place_back_and_one_that_left_does_not() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    supply.allow(None);
    assert!(!supply.is_bound());
    supply.allow(Some((2, 60 * SECOND_NS)));
    let kept = supply.take(&clock).unwrap();
    drop(supply.take(&clock).unwrap());
    let left = supply.take(&clock).unwrap();
    left.leaves();
    drop(left);
    assert!(supply.take(&clock).is_none());
    drop(kept);
    assert!(supply.take(&clock).is_some());
    let standing = supply.standing(clock.monotonic_ns());
    assert_eq!((standing.limit, standing.under_way), (Some((2, 60)), 0));
    let anyhow = supply.take_anyhow(&clock);
    assert_eq!(supply.standing(0).under_way, 1);
    drop(anyhow);
    supply.allow(None);
    assert!(supply.take(&clock).is_some(), "the entry names no limit any more");
}

#[test]
fn what_was_learnt_holds_after_a_restart_without_one_refusal() {
    let mut hidden = Hidden::new(20.0, 10.0, Says::RetryAfter);
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    supply.recall(Lesson { closed_in_ns: Some(SECOND_NS), rate: Some((19_600, 5)) }, 0);
    assert!(supply.take(&clock).is_none());
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..20_000 {
        clock.advance(Duration::from_millis(1));
        if let Some(ticket) = supply.take(&clock) {
            ticket.leaves();
            let said = hidden.call(clock.monotonic_ns());
            if said.is_some() {
                refused += 1
            } else {
                passed += 1
            }
            ticket.answered(said);
        }
    }
    assert_eq!(refused, 0);
    assert!((360..=400).contains(&passed), "{passed}");
    let kept = supply.lesson(clock.monotonic_ns());
    assert_eq!(kept, Lesson { closed_in_ns: None, rate: Some((19_600, 5)) });
    assert_eq!(Arc::new(Supply::default()).lesson(0), Lesson::default());
}

#[test]
fn a_no_though_something_is_left_is_of_another_limit_and_is_asked_about_ever_more_rarely() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    let no = Notice {
        limit: Some(100),
        remaining: Some(57),
        reset_in_ns: Some(3_000 * SECOND_NS),
        is_refusal: true,
        ..Notice::default()
    };
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let ticket = supply.take(&clock).unwrap();
        ticket.leaves();
        ticket.answered(Some(no));
        let until_ns = supply.wait(clock.monotonic_ns()).unwrap().until_ns;
        let pause = Duration::from_nanos(until_ns - clock.monotonic_ns());
        pauses.push(pause.as_secs());
        clock.advance(pause);
    }
    assert_eq!(pauses, [1, 2, 4, 8]);
}

/// Sent, and answered with this at once.
fn call(clock: &Clock, supply: &Arc<Supply>, said: Option<Notice>) -> bool {
    let Some(ticket) = supply.take(clock) else { return false };
    ticket.leaves();
    ticket.answered(said);
    true
}

fn figures(limit: u64, remaining: u64, reset_seconds: u64) -> Option<Notice> {
    Some(Notice {
        limit: Some(limit),
        remaining: Some(remaining),
        reset_in_ns: Some(reset_seconds * SECOND_NS),
        ..Notice::default()
    })
}

fn refusal(retry_seconds: Option<u64>) -> Option<Notice> {
    let retry_in_ns = retry_seconds.map(|seconds| seconds * SECOND_NS);
    Some(Notice { is_refusal: true, retry_in_ns, ..Notice::default() })
}

#[test]
fn figures_of_another_limit_lock_no_secret() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    // A route that tells of its own limit now and then, and one that tells of millions.
    for window in 0..20_u64 {
        assert!(call(&clock, &supply, figures(5_000, 4_999 - window, 60)));
        assert!(call(&clock, &supply, figures(10, 9, 60)));
        clock.advance(Duration::from_secs(61));
        assert!(call(&clock, &supply, figures(5_000, 4_990, 60)));
        assert!(call(&clock, &supply, figures(5_000, 900, 60)));
        clock.advance(Duration::from_secs(61));
    }
    let mut served = 0;
    for left in (0..100).rev() {
        served += u32::from(call(&clock, &supply, figures(100, left, 60)));
    }
    assert_eq!(served, 100, "a call takes one of it");
}

#[test]
fn a_limit_that_is_told_no_more_holds_nobody_up() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    assert!(call(&clock, &supply, figures(1, 0, 10)));
    assert!(supply.take(&clock).is_none());
    clock.advance(Duration::from_secs(11));
    for _ in 0..3 {
        let asks = supply.take(&clock).unwrap();
        assert!(supply.take(&clock).is_none(), "one at a time, as nobody knows how many");
        asks.leaves();
        asks.answered(None);
    }
    let many: Vec<_> = (0..50).map(|_| supply.take(&clock).unwrap()).collect();
    assert_eq!(many.len(), 50);
}

#[test]
fn a_ban_of_days_is_asked_about_each_hour_and_ends_with_a_good_check_or_a_new_version() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    let shut = || {
        let ticket = supply.take_anyhow(&clock);
        ticket.leaves();
        ticket.answered(refusal(Some(4 * 86_400)));
        assert!(supply.take(&clock).is_none());
    };
    clock.advance(Duration::from_secs(1));
    shut();
    let mut asked = 0;
    for _ in 0..24 * 60 {
        asked += u32::from(call(&clock, &supply, refusal(Some(4 * 86_400))));
        clock.advance(Duration::from_secs(60));
    }
    assert!((20..=24).contains(&asked), "{asked}");
    shut();
    supply.open(clock.monotonic_ns());
    let first = supply.take(&clock).unwrap();
    assert!(supply.take(&clock).is_none(), "one asks first");
    first.leaves();
    first.answered(None);
    assert!(supply.take(&clock).is_some());
    clock.advance(Duration::from_secs(1));
    shut();
    supply.renew(clock.monotonic_ns());
    assert!(supply.take(&clock).is_some());
    clock.advance(Duration::from_secs(1));
    shut();
    supply.forget();
    assert_eq!(supply.standing(clock.monotonic_ns()).closed_until_ns, None);
    assert!((0..40).map(|_| supply.take(&clock)).all(|ticket| ticket.is_some()));
}

#[test]
fn another_version_asks_where_nothing_was_left_and_keeps_what_was_said_elsewhere() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    assert!(call(&clock, &supply, figures(10, 2, 60)));
    supply.renew(clock.monotonic_ns());
    let held = (supply.take(&clock).unwrap(), supply.take(&clock).unwrap());
    assert!(supply.take(&clock).is_none());
    drop(held);
    assert!(call(&clock, &supply, figures(10, 0, 60)));
    assert!(supply.take(&clock).is_none());
    supply.renew(clock.monotonic_ns());
    let asks = supply.take(&clock).unwrap();
    assert!(supply.take(&clock).is_none());
    asks.leaves();
    asks.answered(figures(10, 9, 60));
    assert!(supply.take(&clock).is_some());
}

#[test]
fn a_refusal_that_comes_while_it_is_closed_opens_nothing_sooner() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    clock.advance(Duration::from_secs(1));
    assert!(call(&clock, &supply, refusal(Some(60))));
    clock.advance(Duration::from_secs(1));
    let check = supply.take_anyhow(&clock);
    check.leaves();
    check.failed(refusal(Some(2)));
    clock.advance(Duration::from_secs(50));
    assert!(supply.take(&clock).is_none());
    clock.advance(Duration::from_secs(10));
    assert!(supply.take(&clock).is_some());
}

#[test]
fn noes_in_vain_slow_nothing_down_and_after_others_have_used_the_key_it_is_as_fast_as_before() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    supply.recall(Lesson { closed_in_ns: None, rate: Some((19_600, 5)) }, 0);
    let rate = || supply.lesson(0).rate.unwrap().0;
    clock.advance(Duration::from_secs(1));
    // For an hour every call is refused, as some other limit is used up.
    for _ in 0..3_600 {
        call(&clock, &supply, refusal(Some(1)));
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(rate(), 19_600);
    // For another one somebody else takes most of it.
    for second in 0..3_600 {
        for call_of in 0..20 {
            call(&clock, &supply, refusal(Some(1)).filter(|_| call_of > 5 && second % 3 == 0));
            clock.advance(Duration::from_millis(50));
        }
    }
    let slowed = rate();
    assert!((1_200..19_000).contains(&slowed), "{slowed}");
    let mut hidden = Hidden::new(20.0, 10.0, Says::RetryAfter);
    hidden.at_ns = clock.monotonic_ns();
    let mut passed = vec![0; 1_500];
    for ms in 0..1_500_000_usize {
        if let Some(ticket) = supply.take(&clock) {
            ticket.leaves();
            let said = hidden.call(clock.monotonic_ns());
            passed[ms / 1_000] += u32::from(said.is_none());
            ticket.answered(said);
        }
        clock.advance(Duration::from_millis(1));
    }
    let last: u32 = passed[1_400..].iter().sum();
    assert!(last >= 1_900, "{last} of 2000, {}", rate());
}

#[test]
fn a_rate_that_was_proven_is_kept_while_a_faster_one_is_looked_for() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    supply.recall(Lesson { closed_in_ns: None, rate: Some((19_600, 5)) }, 0);
    for _ in 0..1_000_000 {
        clock.advance(Duration::from_millis(1));
        call(&clock, &supply, None);
    }
    // By then it is faster than ever, and nothing has said where the end is.
    let standing = supply.standing(clock.monotonic_ns());
    assert!(standing.learnt_per_minute.unwrap() > 20 * 60, "{standing:?}");
    assert_eq!(supply.lesson(0).rate, Some((19_600, 5)));
}

#[test]
fn after_noes_in_vain_that_nobody_explains_one_goes_at_a_time_until_one_has_passed() {
    for nothing in [None, Some(0)] {
        let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
        clock.advance(Duration::from_secs(1));
        assert!(call(&clock, &supply, refusal(nothing)));
        for pause_ms in [1_030, 2_030, 4_030] {
            assert!(supply.take(&clock).is_none());
            clock.advance(Duration::from_millis(pause_ms));
            assert!(call(&clock, &supply, refusal(nothing)));
        }
        clock.advance(Duration::from_millis(8_030));
        let one = supply.take(&clock).unwrap();
        assert!(supply.take(&clock).is_none());
        one.leaves();
        one.answered(None);
        assert!((0..50).map(|_| supply.take(&clock)).all(|ticket| ticket.is_some()));
    }
}

#[test]
fn a_call_that_did_not_leave_after_all_is_counted_nowhere_and_a_failed_one_proves_nothing() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    supply.allow(Some((2, 60 * SECOND_NS)));
    for _ in 0..10 {
        let ticket = supply.take(&clock).unwrap();
        ticket.leaves();
        ticket.stays();
    }
    assert_eq!(supply.standing(0).under_way, 0);
    supply.allow(None);
    clock.advance(Duration::from_secs(1));
    assert!(call(&clock, &supply, refusal(None)));
    clock.advance(Duration::from_secs(2));
    assert!(call(&clock, &supply, refusal(None)));
    clock.advance(Duration::from_secs(3));
    let ticket = supply.take(&clock).unwrap();
    ticket.leaves();
    ticket.failed(None);
    let again = supply.take(&clock).unwrap();
    assert!(supply.take(&clock).is_none(), "none has passed yet");
    drop(again);
}

#[test]
fn what_fills_up_little_by_little_is_not_waited_for_until_it_is_full() {
    let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
    clock.advance(Duration::from_secs(1));
    let empty = Notice { refills: true, is_refusal: true, ..figures(50, 0, 60).unwrap() };
    assert!(call(&clock, &supply, Some(empty)));
    let wait_ns = supply.wait(clock.monotonic_ns()).unwrap().until_ns - clock.monotonic_ns();
    assert!((SECOND_NS..2 * SECOND_NS).contains(&wait_ns), "{wait_ns}");
    clock.advance(Duration::from_millis(1_300));
    assert!(call(&clock, &supply, None));
}

/// Numbers that look drawn, the same in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Whatever a provider may say, sense or none.
    fn notice(&mut self) -> Option<Notice> {
        let seconds = [0, 1, 7, 60, 3_000, 90_000];
        let mut maybe = |choices: &[u64]| {
            let at = usize::try_from(self.throw(choices.len() as u64 + 1)).unwrap();
            choices.get(at).copied()
        };
        let limit = maybe(&[0, 1, 10, 5_000, u64::MAX]);
        let remaining = maybe(&[0, 1, 3, 4_999, u64::MAX]);
        let reset_in_ns = maybe(&seconds).map(|seconds| seconds * SECOND_NS);
        let retry_in_ns = maybe(&seconds).map(|seconds| seconds * SECOND_NS);
        let (refills, is_refusal) = (maybe(&[1]).is_some(), maybe(&[1]).is_some());
        let said = Notice { limit, remaining, reset_in_ns, refills, is_refusal, retry_in_ns };
        maybe(&[1]).map(|_| said)
    }
}

#[test]
fn whatever_a_provider_has_said_no_ticket_is_lost_and_nobody_waits_for_longer_than_an_hour() {
    for seed in 1..400 {
        let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
        let (mut dice, mut held) = (Dice(seed * 0x9e37_79b9), Vec::new());
        for _ in 0..200 {
            match dice.throw(10) {
                0 | 1 => clock.advance(Duration::from_millis(dice.throw(5_000))),
                2 => clock.advance(Duration::from_secs(dice.throw(600))),
                3..=5 => held.extend(supply.take(&clock)),
                6 => held.push(supply.take_anyhow(&clock)),
                _ if held.is_empty() => {}
                end => {
                    let at = usize::try_from(dice.throw(held.len() as u64)).unwrap();
                    let ticket: Ticket = held.swap_remove(at);
                    let notice = dice.notice();
                    match (end, dice.throw(4)) {
                        (7, 0) => continue,
                        (7, 1) => ticket.leaves(),
                        (7, _) => {
                            ticket.leaves();
                            ticket.stays();
                        }
                        (_, 0) => ticket.failed(notice),
                        (_, _) => {
                            ticket.leaves();
                            ticket.answered(notice);
                        }
                    }
                }
            }
            let standing = supply.standing(clock.monotonic_ns());
            let waits_ns = |until_ns: u64| until_ns.saturating_sub(clock.monotonic_ns());
            assert!(standing.closed_until_ns.is_none_or(|ns| waits_ns(ns) <= 3_601 * SECOND_NS));
        }
        drop(held);
        assert_eq!(supply.state().under_way, 0, "{seed}");
        // From here on the provider takes every call and says nothing.
        let mut waited = 0;
        while !call(&clock, &supply, None) {
            waited += 1;
            assert!(waited < 3_700, "{seed}");
            clock.advance(Duration::from_secs(1));
        }
    }
}
