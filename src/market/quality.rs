//! How whole a series is: which days there should be, which there are, and what is missing as
//! ranges. Pure.
//! Must never call a series whole of which nobody has looked at the calendar.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::calendar;
use crate::store::Quality;

/// Ranges that are named; the days of all are counted.
const MOST_RANGES: usize = 100;

/// `expected` in their order; what is there beside them does not count.
pub(super) fn of(expected: impl Iterator<Item = i64>, present: &BTreeSet<i64>) -> Quality {
    let (mut days_expected, mut days_present) = (0, 0);
    let mut gaps: Vec<(i64, i64, i64)> = Vec::new();
    let mut is_open = false;
    for day in expected {
        days_expected += 1;
        if present.contains(&day) {
            days_present += 1;
            is_open = false;
            continue;
        }
        match gaps.last_mut().filter(|_| is_open) {
            Some((_, last, days)) => {
                *last = day;
                *days += 1;
            }
            None => gaps.push((day, day, 1)),
        }
        is_open = true;
    }
    let name = |day: i64| calendar::day_of(day).map(|day| day.to_string());
    let range = |(from, to, days): &(i64, i64, i64)| json!({"from": name(*from), "to": name(*to), "days": days});
    let ranges: Vec<Value> = gaps.iter().take(MOST_RANGES).map(range).collect();
    Quality { days_expected, days_present, gaps: Value::from(ranges).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_days_in_a_row_are_one_gap_across_a_weekend() {
        // 20464 is a Sunday, 2026-01-11.
        let week = [20_461, 20_462, 20_465, 20_466, 20_467, 20_468];
        let present = BTreeSet::from([20_461, 20_466, 20_463]);
        let found = of(week.into_iter(), &present);
        assert_eq!((found.days_expected, found.days_present), (6, 2));
        assert_eq!(
            found.gaps,
            r#"[{"from":"2026-01-09","to":"2026-01-12","days":2},{"from":"2026-01-14","to":"2026-01-15","days":2}]"#
        );
    }
}
