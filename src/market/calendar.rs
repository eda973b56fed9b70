//! On which days there is trade: every day for crypto; for shares the days on which New York's
//! exchanges open. Public holidays by their rules, and the days of mourning and storm beside them.
//! Pure. Must never call a day a gap on which nobody could trade.

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;

use super::span::Span;
use crate::store::AssetClass;

const NEW_YORK: &str = "America/New_York";
const DAY_NS: i64 = 86_400_000_000_000;
/// An intraday candle of a share is of the day that it is four hours earlier in UTC, from the
/// first trade before the opening to the last behind the close, in summer and in winter.
const SHIFT_NS: i64 = 4 * HOUR_NS;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Closed for another reason than the calendar's.
const CLOSED: [(i16, i8, i8); 10] = [
    (2001, 9, 11),
    (2001, 9, 12),
    (2001, 9, 13),
    (2001, 9, 14),
    (2004, 6, 11),
    (2007, 1, 2),
    (2012, 10, 29),
    (2012, 10, 30),
    (2018, 12, 5),
    (2025, 1, 9),
];

/// How far into the days of UTC those of this series begin.
pub(super) fn offset_ns(asset_class: AssetClass, span: Span) -> i64 {
    match (asset_class, span) {
        // A candle of a day bears that day's midnight, be it New York's or UTC's.
        (AssetClass::Crypto, _) | (_, Span::Day) => 0,
        (AssetClass::Stock | AssetClass::Etf, _) => SHIFT_NS,
    }
}

/// The days since 1970 that are over at a time, first to last: those of which there must be
/// candles.
pub(super) fn days(
    (asset_class, span): (AssetClass, Span),
    (from, to): (i64, i64),
) -> impl Iterator<Item = i64> {
    let offset = offset_ns(asset_class, span);
    // One that had begun already was asked for in part.
    let first = from.saturating_sub(offset).saturating_add(DAY_NS - 1).div_euclid(DAY_NS);
    // A day counts once the next one has begun everywhere.
    let end = to.saturating_sub(SHIFT_NS + HOUR_NS).div_euclid(DAY_NS);
    (first..end).filter(move |day| match asset_class {
        AssetClass::Crypto => true,
        AssetClass::Stock | AssetClass::Etf => day_of(*day).is_some_and(is_trading_day),
    })
}

/// When the day of this time begins.
pub(super) fn day_begin((asset_class, span): (AssetClass, Span), time: i64) -> i64 {
    let offset = offset_ns(asset_class, span);
    let begin = time.saturating_sub(offset).div_euclid(DAY_NS).saturating_mul(DAY_NS);
    begin.saturating_add(offset)
}

/// The hours since 1970 of this day in which there is trade: around the clock for crypto; for
/// shares from the hour of the opening to that of the close in New York, or of an early close.
pub(super) fn hours(asset_class: AssetClass, day: i64) -> Vec<i64> {
    let first = day.saturating_mul(24);
    match asset_class {
        AssetClass::Crypto => (first..first.saturating_add(24)).collect(),
        AssetClass::Stock | AssetClass::Etf => day_of(day).map_or_else(Vec::new, session),
    }
}

/// When candles of this length begin, in nanoseconds, from one time on and before another, if
/// there is one in each that can be.
pub(crate) fn times(
    (asset_class, span): (AssetClass, Span),
    (from, to): (i64, i64),
) -> impl Iterator<Item = i64> {
    let around = from.div_euclid(DAY_NS).saturating_sub(1)..=to.div_euclid(DAY_NS);
    let traded = around.filter(move |day| match asset_class {
        AssetClass::Crypto => true,
        AssetClass::Stock | AssetClass::Etf => day_of(*day).is_some_and(is_trading_day),
    });
    let of_day = move |day: i64| {
        let hours = hours(asset_class, day);
        let (first, count) = (hours.first().copied().unwrap_or_default(), hours.len());
        let (begin, end) = (first * HOUR_NS, (first + counted(count)) * HOUR_NS);
        let is_share = asset_class != AssetClass::Crypto;
        let (begin, step) = match span {
            // Nine hours before the first of trade it was midnight in New York.
            Span::Day if is_share => (begin - 9 * HOUR_NS, end),
            Span::Day => (begin, end),
            Span::Hour => (begin, span.ns()),
            Span::Minute | Span::FiveMinutes | Span::Quarter if is_share => {
                (begin + HOUR_NS / 2, span.ns())
            }
            Span::Minute | Span::FiveMinutes | Span::Quarter => (begin, span.ns()),
        };
        let one = usize::from(span == Span::Day && count > 0);
        let many = if span == Span::Day { one } else { usize::MAX };
        std::iter::successors(Some(begin), move |time| time.checked_add(step))
            .take_while(move |time| *time < end)
            .take(many)
    };
    traded.flat_map(of_day).filter(move |time| (from..to).contains(time))
}

fn counted(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn session(day: Date) -> Vec<i64> {
    let Ok(midnight) = TimeZone::get(NEW_YORK).and_then(|zone| day.to_zoned(zone)) else {
        return Vec::new();
    };
    // No clock in New York is put forward or back but on a Sunday night.
    let first = midnight.timestamp().as_second().div_euclid(3600);
    let end = if is_short(day) { 13 } else { 16 };
    (9..end).map(|hour| first + hour).collect()
}

/// Does a candle of this length begin at this time? One of a day at midnight, New York's or UTC's.
pub(super) fn begins_one(span: Span, time: i64) -> bool {
    match span {
        Span::Minute | Span::FiveMinutes | Span::Quarter | Span::Hour => time % span.ns() == 0,
        // Four or five hours behind UTC, and no other time has been kept there.
        Span::Day => [0, 4, 5].iter().any(|hours| time.rem_euclid(DAY_NS) == hours * HOUR_NS),
    }
}

pub(super) fn day_of(days: i64) -> Option<Date> {
    let at = jiff::Timestamp::from_second(days.checked_mul(86_400)?).ok()?;
    Some(at.to_zoned(TimeZone::UTC).date())
}

/// Do New York's exchanges open on this day?
fn is_trading_day(day: Date) -> bool {
    let is_weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    !is_weekend
        && !holidays(day.year()).any(|holiday| holiday == Some(day))
        && !CLOSED.contains(&(day.year(), day.month(), day.day()))
}

/// Days on which the exchanges close at one: before the Fourth of July and Christmas, and behind
/// Thanksgiving.
fn is_short(day: Date) -> bool {
    match (day.month(), day.day()) {
        (7, 3) | (12, 24) => true,
        (11, 23..=29) => day.weekday() == Weekday::Friday,
        _ => false,
    }
}

fn holidays(year: i16) -> impl Iterator<Item = Option<Date>> {
    let new_year = date(year, 1, 1);
    // On a Saturday it is kept by nobody: the Friday before is the last day of a year.
    let is_saturday = new_year.weekday() == Weekday::Saturday;
    let new_year = (!is_saturday).then(|| kept(new_year));
    let nth = |month, nth, weekday| date(year, month, 1).nth_weekday_of_month(nth, weekday).ok();
    let since = |first: i16, day: Option<Date>| day.filter(|_| year >= first);
    [
        new_year,
        since(1998, nth(1, 3, Weekday::Monday)),
        nth(2, 3, Weekday::Monday),
        good_friday(year),
        nth(5, -1, Weekday::Monday),
        since(2022, Some(kept(date(year, 6, 19)))),
        Some(kept(date(year, 7, 4))),
        nth(9, 1, Weekday::Monday),
        nth(11, 4, Weekday::Thursday),
        Some(kept(date(year, 12, 25))),
    ]
    .into_iter()
}

/// On a weekend it is kept on the nearest day of the week.
fn kept(day: Date) -> Date {
    let moved = match day.weekday() {
        Weekday::Saturday => day.yesterday(),
        Weekday::Sunday => day.tomorrow(),
        Weekday::Monday
        | Weekday::Tuesday
        | Weekday::Wednesday
        | Weekday::Thursday
        | Weekday::Friday => Ok(day),
    };
    moved.unwrap_or(day)
}

/// Two days before Easter, by the rule of the Gregorian calendar (Meeus, Jones, Butcher).
fn good_friday(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let (golden, century, of_century) = (year % 19, year / 100, year % 100);
    let correction = (century + 8) / 25;
    let moon = (19 * golden + century - century / 4 - (century - correction + 1) / 3 + 15) % 30;
    let week = (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4) % 7;
    let late = (golden + 11 * moon + 22 * week) / 451;
    let sum = moon + week - 7 * late + 114;
    let easter = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(sum / 31).ok()?,
        i8::try_from(sum % 31 + 1).ok()?,
    );
    easter.ok()?.yesterday().ok()?.yesterday().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchanges_holidays_are_known() {
        let closed = [
            (2022, 1, 17),
            (2022, 4, 15),
            (2022, 6, 20),
            (2022, 12, 26),
            (2023, 1, 2),
            (2023, 4, 7),
            (2024, 1, 1),
            (2024, 1, 15),
            (2024, 2, 19),
            (2024, 3, 29),
            (2024, 5, 27),
            (2024, 6, 19),
            (2024, 7, 4),
            (2024, 9, 2),
            (2024, 11, 28),
            (2024, 12, 25),
            (2025, 1, 9),
            (2025, 4, 18),
            (2026, 4, 3),
            (2026, 6, 19),
            (2026, 7, 3),
            (2027, 12, 24),
        ];
        for (year, month, day) in closed {
            assert!(!is_trading_day(date(year, month, day)), "{year}-{month}-{day}");
        }
        for (year, month, day) in [(2021, 6, 18), (2021, 12, 31), (2027, 12, 31), (2024, 11, 29)] {
            assert!(is_trading_day(date(year, month, day)), "{year}-{month}-{day}");
        }
        let of = |year| {
            (0..366)
                .filter_map(move |n| date(year, 1, 1).checked_add(jiff::Span::new().days(n)).ok())
                .filter(move |day| day.year() == year && is_trading_day(*day))
                .count()
        };
        assert_eq!([2021, 2022, 2023, 2024, 2025].map(of), [252, 251, 250, 252, 250]);
    }

    #[test]
    fn a_candle_is_of_its_own_day_in_summer_and_in_winter() {
        let ns = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            i64::try_from(at.as_nanosecond()).unwrap()
        };
        let day = |class, span, text| (ns(text) - offset_ns(class, span)).div_euclid(DAY_NS);
        let of = |text: &str| ns(text).div_euclid(DAY_NS);
        for (text, on) in [
            ("2026-01-16T00:59:00Z", "2026-01-15T00:00:00Z"),
            ("2026-01-15T09:00:00Z", "2026-01-15T00:00:00Z"),
            ("2026-07-15T08:00:00Z", "2026-07-15T00:00:00Z"),
            ("2026-07-15T23:59:00Z", "2026-07-15T00:00:00Z"),
        ] {
            assert_eq!(day(AssetClass::Stock, Span::Minute, text), of(on), "{text}");
        }
        for text in ["2026-01-15T05:00:00Z", "2026-01-15T00:00:00Z"] {
            assert_eq!(day(AssetClass::Etf, Span::Day, text), of("2026-01-15T00:00:00Z"));
        }
    }

    #[test]
    fn an_hour_of_trade_is_one_in_summer_in_winter_and_before_a_holiday() {
        let of = |class, text: &str| {
            let at: jiff::Timestamp = format!("{text}T00:00:00Z").parse().unwrap();
            let day = at.as_second() / 86_400;
            let hours = hours(class, day);
            (hours[0] - day * 24, hours.len())
        };
        for (text, first, count) in [
            ("2026-01-15", 14, 7),
            ("2026-07-15", 13, 7),
            ("2025-07-03", 13, 4),
            ("2025-12-24", 14, 4),
            ("2025-11-28", 14, 4),
            ("2025-11-21", 14, 7),
        ] {
            assert_eq!(of(AssetClass::Etf, text), (first, count), "{text}");
        }
        assert_eq!(of(AssetClass::Crypto, "2026-01-17"), (0, 24));
    }

    #[test]
    fn every_time_at_which_a_candle_can_begin_is_on_its_grid_and_of_a_day_of_trade() {
        let ns = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            i64::try_from(at.as_nanosecond()).unwrap()
        };
        let year = (ns("2025-01-01T00:00:00Z"), ns("2026-01-01T00:00:00Z"));
        let count = |class, span| {
            let all: Vec<i64> = times((class, span), year).collect();
            assert!(all.is_sorted() && all.iter().all(|time| begins_one(span, *time)));
            all.len()
        };
        assert_eq!(count(AssetClass::Stock, Span::Day), 250);
        assert_eq!(count(AssetClass::Crypto, Span::Day), 365);
        assert_eq!(count(AssetClass::Crypto, Span::Hour), 365 * 24);
        // Three days are short.
        assert_eq!(count(AssetClass::Etf, Span::Hour), 250 * 7 - 3 * 3);
        assert_eq!(count(AssetClass::Stock, Span::Minute), 250 * 390 - 3 * 180);
        let day = (ns("2025-07-03T00:00:00Z"), ns("2025-07-04T00:00:00Z"));
        let minutes: Vec<i64> = times((AssetClass::Stock, Span::Minute), day).collect();
        assert_eq!(minutes.first(), Some(&ns("2025-07-03T13:30:00Z")));
        assert_eq!(minutes.last(), Some(&ns("2025-07-03T16:59:00Z")));
        let days: Vec<i64> = times((AssetClass::Stock, Span::Day), day).collect();
        assert_eq!(days, [ns("2025-07-03T04:00:00Z")]);
    }

    #[test]
    fn a_candle_begins_where_its_length_says() {
        let ns = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            i64::try_from(at.as_nanosecond()).unwrap()
        };
        for (span, text, begins) in [
            (Span::Minute, "2026-01-15T14:31:00Z", true),
            (Span::Minute, "2026-01-15T14:31:17Z", false),
            (Span::FiveMinutes, "2026-01-15T14:31:00Z", false),
            (Span::Hour, "2026-01-15T14:30:00Z", false),
            (Span::Day, "2026-01-15T05:00:00Z", true),
            (Span::Day, "2026-07-15T04:00:00Z", true),
            (Span::Day, "2026-07-15T00:00:00Z", true),
            (Span::Day, "2026-07-15T14:30:00Z", false),
            (Span::Day, "1969-12-31T05:00:00Z", true),
        ] {
            assert_eq!(begins_one(span, ns(text)), begins, "{span:?} {text}");
        }
    }

    #[test]
    fn today_is_no_gap() {
        let noon = 1_768_478_400_000_000_000;
        let of = |class| days((class, Span::Day), (noon - 4 * DAY_NS, noon)).collect::<Vec<_>>();
        // It is a Thursday, 2026-01-15.
        assert_eq!(of(AssetClass::Crypto), [20_465, 20_466, 20_467]);
        assert_eq!(of(AssetClass::Stock), [20_465, 20_466, 20_467]);
    }
}
