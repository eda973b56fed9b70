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
    assert_eq!(supply.take_anyhow(&clock).supply.standing(0).under_way, 1);
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
