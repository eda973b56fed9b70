//! How whole a series is: which days there should be, and for lengths below a day which hours of
//! trade, which of them there are, and what is missing as ranges. Pure.
//! Must never call a series whole of which nobody has looked at the calendar.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::calendar;
use crate::clock::rfc3339;
use crate::store::{AssetClass, Quality};

/// Ranges that are named; what is missing of all is counted.
const MOST_RANGES: usize = 100;
const HOUR_MS: i64 = 3_600_000;

/// Days or hours in a row, but for those without trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Days {
        first: i64,
        last: i64,
        count: i64,
    },
    /// Of a day of which there are others.
    Hours {
        day: i64,
        first: i64,
        last: i64,
    },
}

/// `expected` days in their order; what is there beside them does not count.
pub(super) fn of_days(expected: impl Iterator<Item = i64>, present: &BTreeSet<i64>) -> Quality {
    let (mut all, mut there) = (0, 0);
    let mut gaps = Gaps::default();
    for day in expected {
        all += 1;
        match present.contains(&day) {
            true => {
                there += 1;
                gaps.end();
            }
            false => gaps.miss_day(day),
        }
    }
    gaps.told((all, there))
}

/// The same by the hours of trade of these days, from one on: before it nothing is missing.
pub(super) fn of_hours(
    asset_class: AssetClass,
    expected: impl Iterator<Item = i64>,
    (present, since): (&BTreeSet<i64>, i64),
) -> Quality {
    let (mut all, mut there) = (0, 0);
    let mut gaps = Gaps::default();
    for day in expected {
        let mut hours = calendar::hours(asset_class, day);
        hours.retain(|hour| *hour >= since);
        let found = hours.iter().filter(|hour| present.contains(hour)).count();
        all += counted(hours.len());
        there += counted(found);
        if hours.is_empty() {
            continue;
        }
        if found == 0 {
            gaps.miss_day(day);
            continue;
        }
        gaps.end();
        for hour in hours {
            match present.contains(&hour) {
                true => gaps.end(),
                false => gaps.miss_hour(day, hour),
            }
        }
        gaps.end();
    }
    gaps.told((all, there))
}

#[derive(Default)]
struct Gaps {
    closed: Vec<Gap>,
    open: Option<Gap>,
}

impl Gaps {
    fn miss_day(&mut self, day: i64) {
        self.open = match self.open.take() {
            Some(Gap::Days { first, count, .. }) => {
                Some(Gap::Days { first, last: day, count: count + 1 })
            }
            Some(Gap::Hours { .. }) | None => Some(Gap::Days { first: day, last: day, count: 1 }),
        };
    }

    fn miss_hour(&mut self, day: i64, hour: i64) {
        self.open = match self.open.take() {
            Some(Gap::Hours { first, .. }) => Some(Gap::Hours { day, first, last: hour }),
            Some(Gap::Days { .. }) | None => Some(Gap::Hours { day, first: hour, last: hour }),
        };
    }

    fn end(&mut self) {
        self.closed.extend(self.open.take());
    }

    fn told(mut self, (days_expected, days_present): (i64, i64)) -> Quality {
        self.end();
        let ranges: Vec<Value> = self.closed.iter().take(MOST_RANGES).map(Gap::told).collect();
        Quality { days_expected, days_present, gaps: Value::from(ranges).to_string() }
    }
}

impl Gap {
    fn told(&self) -> Value {
        let name = |day: i64| calendar::day_of(day).map(|day| day.to_string());
        match *self {
            Self::Days { first, last, count } => {
                json!({"from": name(first), "to": name(last), "days": count})
            }
            Self::Hours { day, first, last } => json!({
                "from": name(day), "to": name(day), "days": 0, "hours": last - first + 1,
                "begins": rfc3339(first.saturating_mul(HOUR_MS)),
                "ends": rfc3339((last + 1).saturating_mul(HOUR_MS)),
            }),
        }
    }
}

/// When the first of these gaps began, in milliseconds, of those that end behind `since`.
pub(super) fn first_since(gaps: &str, since_ms: i64) -> Option<i64> {
    let gaps: Vec<Value> = serde_json::from_str(gaps).unwrap_or_default();
    let begun = gaps.iter().filter_map(|gap| {
        let text = gap.get("begins").or_else(|| gap.get("from"))?.as_str()?;
        let begins_ms = match text.parse::<jiff::Timestamp>() {
            Ok(at) => at.as_millisecond(),
            Err(_) => {
                let day: jiff::civil::Date = text.parse().ok()?;
                day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()
            }
        };
        (begins_ms >= since_ms).then_some(begins_ms)
    });
    begun.min()
}

fn counted(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_days_in_a_row_are_one_gap_across_a_weekend() {
        // 20464 is a Sunday, 2026-01-11.
        let week = [20_461, 20_462, 20_465, 20_466, 20_467, 20_468];
        let present = BTreeSet::from([20_461, 20_466, 20_463]);
        let found = of_days(week.into_iter(), &present);
        assert_eq!((found.days_expected, found.days_present), (6, 2));
        assert_eq!(
            found.gaps,
            r#"[{"from":"2026-01-09","to":"2026-01-12","days":2},{"from":"2026-01-14","to":"2026-01-15","days":2}]"#
        );
    }

    #[test]
    fn missing_hours_of_a_day_are_a_gap_and_a_day_without_any_is_a_day() {
        // A Wednesday, 2026-01-14, and the two days behind it, from 14 to 20 o'clock in UTC.
        let hours = |day: i64| calendar::hours(AssetClass::Stock, day);
        let mut present: BTreeSet<i64> = hours(20_467).into_iter().collect();
        present.retain(|hour| ![15, 16, 20].contains(&(hour - 20_467 * 24)));
        present.extend(hours(20_469));
        // Before the opening there may be candles or none.
        present.insert(20_468 * 24 + 9);
        let found = of_hours(AssetClass::Stock, 20_467..20_470, (&present, 20_467 * 24));
        assert_eq!((found.days_expected, found.days_present), (21, 11));
        let gaps: Value = serde_json::from_str(&found.gaps).unwrap();
        assert_eq!(
            gaps,
            json!([
                {"from": "2026-01-14", "to": "2026-01-14", "days": 0, "hours": 2,
                    "begins": "2026-01-14T15:00:00Z", "ends": "2026-01-14T17:00:00Z"},
                {"from": "2026-01-14", "to": "2026-01-14", "days": 0, "hours": 1,
                    "begins": "2026-01-14T20:00:00Z", "ends": "2026-01-14T21:00:00Z"},
                {"from": "2026-01-15", "to": "2026-01-15", "days": 1},
            ])
        );
        let younger = of_hours(AssetClass::Stock, 20_467..20_469, (&present, 20_467 * 24 + 17));
        assert_eq!((younger.days_expected, younger.days_present), (11, 3));
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let first = |since: &str| first_since(&found.gaps, at(since));
        assert_eq!(first("2026-01-01T00:00:00Z"), Some(at("2026-01-14T15:00:00Z")));
        assert_eq!(first("2026-01-14T16:00:00Z"), Some(at("2026-01-14T20:00:00Z")));
        assert_eq!(first("2026-01-15T00:00:00Z"), Some(at("2026-01-15T00:00:00Z")));
        assert_eq!((first("2026-01-16T00:00:00Z"), first_since("x", 0)), (None, None));
    }
}
