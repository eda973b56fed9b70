//! Candles of whatever time is asked for: made up from the ticker and the time alone, so that two
//! askers, and two askings, see the same market. On the days and hours on which there is trade.
//! Must never answer for a time to come.

use std::fmt::Write as _;

use crate::clock::Clock;
use crate::market::{Span, candle_times};
use crate::store::AssetClass;

/// What is asked for, out of path and query.
pub(super) struct Asked<'a> {
    pub(super) ticker: &'a str,
    pub(super) span: Span,
    /// Nanoseconds; from the first, before the second.
    pub(super) range: (i64, i64),
    pub(super) newest_first: bool,
    pub(super) limit: usize,
    /// From 1.
    pub(super) page: u32,
}

/// A page of them, as the members of a list, how many, and whether others follow.
pub(super) struct Page {
    pub(super) list: String,
    pub(super) count: usize,
    pub(super) follows: bool,
}

const MS_NS: i64 = 1_000_000;
const DAY_MS: i64 = 86_400_000;

/// A day or milliseconds; the end is counted in.
pub(super) fn bound(text: &str, (ticker, is_end): (&str, bool)) -> Option<i64> {
    let ms = match text.parse::<i64>() {
        Ok(ms) => ms.saturating_add(i64::from(is_end)),
        Err(_) => {
            let day: jiff::civil::Date = text.parse().ok()?;
            let begin = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
            // A day of New York ends when that of UTC is four or five hours over.
            let over = if class(ticker) == AssetClass::Crypto { 0 } else { DAY_MS / 6 };
            begin + if is_end { DAY_MS + over } else { 0 }
        }
    };
    Some(ms.saturating_mul(MS_NS))
}

fn class(ticker: &str) -> AssetClass {
    if ticker.starts_with("X:") { AssetClass::Crypto } else { AssetClass::Stock }
}

pub(super) fn page(asked: &Asked<'_>) -> Page {
    let now = Clock::system().unix_ms().saturating_mul(MS_NS);
    let range = (asked.range.0.max(0), asked.range.1.min(now));
    let times = candle_times((class(asked.ticker), asked.span), range);
    let page = usize::try_from(asked.page.saturating_sub(1)).unwrap_or(usize::MAX);
    let passed = page.saturating_mul(asked.limit);
    let mut some: Vec<i64> = match asked.newest_first {
        false => times.skip(passed).take(asked.limit + 1).collect(),
        true => {
            let all: Vec<i64> = times.collect();
            all.into_iter().rev().skip(passed).take(asked.limit + 1).collect()
        }
    };
    let follows = some.len() > asked.limit;
    some.truncate(asked.limit);
    let mut list = String::with_capacity(some.len() * 120);
    for (index, time) in some.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _infallible = write!(list, "{comma}{}", candle(asked.ticker, asked.span, *time));
    }
    Page { list, count: some.len(), follows }
}

fn candle(ticker: &str, span: Span, time: i64) -> String {
    let seconds = time.div_euclid(1_000_000_000);
    let (open, close) = (price(ticker, seconds), price(ticker, seconds + span.seconds()));
    let chance = |salt: u64| share(mixed(seed(ticker) ^ salt ^ seconds.cast_unsigned()));
    let wide = 0.0004 * seconds_root(span);
    let high = open.max(close) * (1.0 + wide * chance(1));
    let low = open.min(close) * (1.0 - wide * chance(2));
    let volume = 20.0 * (0.5 + chance(3)) * f64::from(u32::try_from(span.seconds()).unwrap_or(0));
    let (mean, trades) = ((open + close + high + low) / 4.0, (volume / 90.0).ceil());
    format!(
        r#"{{"v":{volume:.0},"vw":{mean:.4},"o":{open:.4},"c":{close:.4},"h":{high:.4},"l":{low:.4},"t":{},"n":{trades:.0}}}"#,
        time / MS_NS
    )
}

/// Slow waves about a price that is the ticker's own.
fn price(ticker: &str, seconds: i64) -> f64 {
    let own = seed(ticker);
    let days = f64::from(i32::try_from(seconds / 60).unwrap_or(i32::MAX)) / 1440.0;
    let wave = |salt: u64, length: f64, height: f64| {
        let phase = share(mixed(own ^ salt)) * std::f64::consts::TAU;
        height * (days / length * std::f64::consts::TAU + phase).sin()
    };
    let waves = wave(11, 410.0, 0.22)
        + wave(12, 67.0, 0.06)
        + wave(13, 9.3, 0.02)
        + wave(14, 1.7, 0.006)
        + wave(15, 0.09, 0.002);
    (20.0 + 380.0 * share(mixed(own))) * (1.0 + waves)
}

/// Longer candles are higher.
fn seconds_root(span: Span) -> f64 {
    f64::from(u32::try_from(span.seconds() / 60).unwrap_or(0)).sqrt()
}

/// FNV-1a.
fn seed(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Every bit of it depends on every other (the finisher of MurmurHash3).
fn mixed(mut number: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        number = (number ^ (number >> 33)).wrapping_mul(factor);
    }
    number ^ (number >> 33)
}

/// From nought to one.
fn share(number: u64) -> f64 {
    f64::from(u32::try_from(number >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(span: Span, from: &str, to: &str, page: u32) -> Asked<'static> {
        let range = (bound(from, ("A", false)).unwrap(), bound(to, ("A", true)).unwrap());
        Asked { ticker: "AAPL", span, range, newest_first: false, limit: 10, page }
    }

    #[test]
    fn a_month_has_a_candle_for_each_day_of_trade_and_is_the_same_each_time() {
        let pages: Vec<Page> =
            (1..=3).map(|p| page(&asked(Span::Day, "2024-01-01", "2024-01-31", p))).collect();
        let counts: Vec<_> = pages.iter().map(|page| (page.count, page.follows)).collect();
        assert_eq!(counts, [(10, true), (10, true), (1, false)]);
        let again = page(&asked(Span::Day, "2024-01-01", "2024-01-31", 2));
        assert_eq!(again.list, pages[1].list);
        let first: serde_json::Value =
            serde_json::from_str(&format!("[{}]", pages[0].list)).unwrap();
        assert_eq!(first[0]["t"], 1_704_171_600_000_i64, "the second of January in New York");
        for candle in first.as_array().unwrap() {
            let of = |name: &str| candle[name].as_f64().unwrap();
            assert!(of("l") <= of("o").min(of("c")) && of("h") >= of("o").max(of("c")), "{candle}");
            assert!(of("l") > 0.0 && of("v") > 0.0 && of("vw") <= of("h") && of("vw") >= of("l"));
        }
    }

    #[test]
    fn the_newest_come_first_where_that_is_asked_for_and_nothing_is_of_a_time_to_come() {
        let newest = Asked {
            newest_first: true,
            limit: 2,
            ..asked(Span::Hour, "2026-01-15", "2026-01-15", 1)
        };
        let last = page(&newest).list;
        let list: serde_json::Value = serde_json::from_str(&format!("[{last}]")).unwrap();
        assert_eq!(
            list[0]["t"],
            bound("2026-01-15", ("A", false)).unwrap() / MS_NS + 20 * 3_600_000
        );
        assert_eq!(page(&asked(Span::Day, "2990-01-01", "2990-02-01", 1)).count, 0);
        assert_eq!((bound("x", ("A", false)), bound("2026-13-01", ("A", true))), (None, None));
    }
}
