//! What the provider's answers say is left. Answers overtake each other: of a window the least that
//! any of them said holds, less the calls that are under way, as nobody knows whether they were
//! counted in it. Pure.
//! Must never take an old answer for what is left now.

use super::{Notice, Wait};

/// Answers of one window name its end alike, but for the seconds that are cut off.
const SAME_END_NS: u64 = 1_500_000_000;
/// Figures that come with a good answer close the door for so long at most; then one call asks.
const LONGEST_NS: u64 = 300_000_000_000;
const MARGIN_NS: u64 = 50_000_000;
/// Of what the last calls cost, where one costs more than one.
const MEMORY: f64 = 0.8;
/// A drop counts for so many times the usual at most: another limit may have been told, or others
/// use the key.
const JUMP: f64 = 4.0;
/// Answers in a row that say nothing though their window has ended: nobody counts any more.
const SILENT: u32 = 3;

pub(super) struct Told {
    limit: Option<u64>,
    /// The least that was said of this window.
    least: u64,
    /// Calls of which nobody says whether they were counted.
    lost: u64,
    seen_ns: u64,
    /// None: a new window has begun, and no answer has said when it ends.
    end_ns: Option<u64>,
    length_ns: u64,
    refills: bool,
    /// What a call takes of it; 1 or more.
    cost: f64,
    /// What the cheapest ones take.
    cheapest: f64,
    /// Answers since the least was said.
    answers: u64,
    /// Answers since the window ended that said nothing.
    silent: u32,
}

impl Told {
    /// What says nothing of a time is no limit.
    pub(super) fn hear(told: &mut Option<Self>, notice: &Notice, now_ns: u64) {
        let (Some(remaining), Some(reset_in_ns)) = (notice.remaining, notice.reset_in_ns) else {
            return;
        };
        // Of what fills up little by little the time says how fast.
        let longest_ns = if notice.refills { u64::MAX } else { LONGEST_NS };
        let end_ns = now_ns.saturating_add(reset_in_ns.min(longest_ns)).saturating_add(MARGIN_NS);
        let fresh = Self {
            limit: notice.limit,
            least: remaining,
            lost: 0,
            seen_ns: now_ns,
            end_ns: Some(end_ns),
            length_ns: reset_in_ns,
            refills: notice.refills,
            cost: 1.0,
            cheapest: 1.0,
            answers: 0,
            silent: 0,
        };
        let Some(known) = told else {
            *told = Some(fresh);
            return;
        };
        let known_end_ns = known.end_ns.unwrap_or(0);
        known.silent = 0;
        if fresh.refills {
            let length_ns = known.length_ns.max(fresh.length_ns);
            *known = Self { length_ns, ..fresh };
        } else if end_ns > known_end_ns.saturating_add(SAME_END_NS) {
            if known.end_ns.is_some() {
                known.begin_anew();
            }
            let length_ns = known.length_ns.max(fresh.length_ns);
            let (cost, cheapest) = (known.cost, known.cheapest);
            *known = Self { cost, cheapest, length_ns, ..fresh };
        } else if end_ns.saturating_add(SAME_END_NS) >= known_end_ns {
            known.hear_more(notice.limit, remaining);
        }
    }

    /// Of the same window.
    fn hear_more(&mut self, limit: Option<u64>, remaining: u64) {
        let is_same = limit.is_none() || self.limit.is_none() || limit == self.limit;
        self.answers += 1;
        if remaining < self.least {
            if is_same {
                self.learn_cost(self.least - remaining);
            }
            (self.least, self.lost, self.answers) = (remaining, 0, 0);
            self.limit = limit.or(self.limit);
        } else if is_same {
            self.limit = limit.or(self.limit);
        }
    }

    fn learn_cost(&mut self, taken: u64) {
        let calls = self.answers.saturating_add(self.lost).max(1);
        let each = (as_f64(taken) / as_f64(calls)).clamp(1.0, self.cost * JUMP);
        self.cost = self.cost * MEMORY + each * (1.0 - MEMORY);
        self.cheapest = each.min(self.cheapest * MEMORY + each * (1.0 - MEMORY));
    }

    /// What was learnt of the cost may have been others' doing: half of it is forgotten.
    fn begin_anew(&mut self) {
        let half = |cost: f64| f64::midpoint(cost, 1.0);
        (self.cost, self.cheapest) = (half(self.cost), half(self.cheapest));
    }

    /// Another version of the key: where nothing was left, one call asks.
    pub(super) fn renew(&mut self) {
        (self.cost, self.cheapest, self.lost) = (1.0, 1.0, 0);
        if self.least == 0 {
            self.end_ns = None;
        }
    }

    /// A call that left then was served, and its answer says nothing.
    pub(super) fn unsaid(told: &mut Option<Self>, left_ns: u64) {
        let Some(known) = told else { return };
        if known.is_over(left_ns) {
            known.silent += 1;
            if known.silent >= SILENT {
                *told = None;
            }
        }
    }

    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }

    /// Calls, and in how many seconds.
    pub(super) fn limit(&self) -> Option<(u64, u64)> {
        Some((self.limit?, self.length_ns.div_ceil(1_000_000_000).max(1)))
    }

    pub(super) fn wait(&mut self, under_way: u64, now_ns: u64) -> Option<Wait> {
        if let (Some(end_ns), false) = (self.end_ns, self.refills)
            && end_ns <= now_ns
        {
            // As much as there ever is, until the first answer says how much.
            (self.least, self.lost) = (self.limit.unwrap_or(1).max(1), 0);
            (self.end_ns, self.answers) = (None, 0);
            self.begin_anew();
        }
        let taken = as_f64(under_way + self.lost + 1) * self.cost;
        let level = self.level(now_ns);
        // Alone, a call may be one of the cheapest.
        let is_alone = under_way + self.lost == 0;
        if taken <= level || is_alone && self.cheapest <= level {
            return None;
        }
        // A fresh window: whoever is under way comes back and says.
        let soon = Wait { until_ns: now_ns.saturating_add(MARGIN_NS), is_certain: false };
        let Some(end_ns) = self.end_ns else {
            // The one call that asks.
            return (under_way > 0).then_some(soon);
        };
        let is_certain = under_way == 0;
        if !self.refills {
            return Some(Wait { until_ns: end_ns, is_certain });
        }
        let rate = self.rate();
        if rate <= 0.0 || under_way == 0 && self.is_over(now_ns) {
            return (under_way > 0).then_some(soon);
        }
        let full_ns = now_ns.saturating_add(whole((taken - level) / rate));
        let until_ns = full_ns.min(self.seen_ns.saturating_add(LONGEST_NS).max(soon.until_ns));
        Some(Wait { until_ns, is_certain })
    }

    /// What was said holds no more.
    fn is_over(&self, now_ns: u64) -> bool {
        let end_ns = self.end_ns.unwrap_or(0);
        let longest_ns = self.seen_ns.saturating_add(LONGEST_NS);
        now_ns >= if self.refills { end_ns.min(longest_ns) } else { end_ns }
    }

    /// What is left by now.
    fn level(&self, now_ns: u64) -> f64 {
        let least = as_f64(self.least);
        match (self.refills, self.limit) {
            (true, Some(limit)) => {
                let filled = as_f64(now_ns.saturating_sub(self.seen_ns)) * self.rate();
                (least + filled).min(as_f64(limit))
            }
            _ => least,
        }
    }

    /// Calls in a nanosecond by which it fills up.
    fn rate(&self) -> f64 {
        let (Some(limit), Some(end_ns)) = (self.limit, self.end_ns) else { return 0.0 };
        let lacks = limit.saturating_sub(self.least);
        as_f64(lacks) / as_f64(end_ns.saturating_sub(self.seen_ns).max(1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls, and times that nobody waits for")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and what is negative is over"
)]
fn whole(number: f64) -> u64 {
    number.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn hear(told: &mut Option<Told>, remaining: u64, reset_in_ns: u64, now_ns: u64) {
        let notice = Notice {
            limit: Some(100),
            remaining: Some(remaining),
            reset_in_ns: Some(reset_in_ns),
            ..Notice::default()
        };
        Told::hear(told, &notice, now_ns);
    }

    #[test]
    fn answers_that_overtake_each_other_give_nobody_a_call_too_many() {
        let mut told = None;
        hear(&mut told, 2, 30 * SECOND, 0);
        // The one that was counted before it comes later.
        hear(&mut told, 3, 30 * SECOND - 5_000_000, 5_000_000);
        let told = told.as_mut().unwrap();
        assert_eq!((told.wait(0, 6_000_000), told.wait(1, 6_000_000)), (None, None));
        let full = told.wait(2, 6_000_000).unwrap();
        assert_eq!((full.until_ns, full.is_certain), (30 * SECOND + MARGIN_NS, false));
        assert_eq!(told.wait(2, full.until_ns), None, "the window has begun anew");
    }

    #[test]
    fn a_new_window_begins_with_what_its_first_answer_says() {
        let mut told = None;
        hear(&mut told, 0, 10 * SECOND, 0);
        assert!(told.as_mut().unwrap().wait(0, SECOND).unwrap().is_certain);
        assert_eq!(told.as_mut().unwrap().wait(0, 11 * SECOND), None);
        hear(&mut told, 40, 59 * SECOND, 12 * SECOND);
        // An answer of the former window.
        hear(&mut told, 1, 0, 12 * SECOND);
        assert_eq!(told.as_mut().unwrap().wait(39, 12 * SECOND), None);
        assert!(told.as_mut().unwrap().wait(40, 12 * SECOND).is_some());
    }

    #[test]
    fn what_fills_up_little_by_little_is_waited_for_as_long_as_that_takes() {
        let mut told = None;
        let notice = Notice {
            limit: Some(60),
            remaining: Some(0),
            reset_in_ns: Some(60 * SECOND),
            refills: true,
            ..Notice::default()
        };
        Told::hear(&mut told, &notice, 0);
        let told = told.as_mut().unwrap();
        let wait = told.wait(0, 0).unwrap().until_ns;
        assert!(wait.abs_diff(SECOND) < SECOND / 100, "{wait}");
        assert_eq!(told.wait(0, 2 * SECOND), None);
        assert!(told.wait(2, 2 * SECOND).is_some());
    }

    #[test]
    fn a_call_that_costs_more_than_one_is_known_by_what_is_left_after_it() {
        let mut told = None;
        for answer in 0..40 {
            hear(&mut told, 1000 - 10 * answer, 30 * SECOND, answer);
        }
        let told = told.as_mut().unwrap();
        assert!((9.0..=10.5).contains(&told.cost), "{}", told.cost);
        assert!(told.wait(55, 50).is_none() && told.wait(75, 50).is_some());
    }
}
