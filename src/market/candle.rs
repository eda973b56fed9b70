//! What a candle must be to be stored: a time in its place, numbers that are numbers, the highest
//! not below the lowest, open and close between them. Each fault has its name, and is counted.
//! Must never alter a number.

use std::collections::BTreeMap;

use super::calendar;
use super::decimal::{Decimal, Flaw};
use super::span::Span;
use crate::store::NewCandle;

/// A candle as the provider wrote it, each member as its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// Milliseconds since 1970.
    pub(super) time: Option<&'a str>,
    pub(super) open: Option<&'a str>,
    pub(super) high: Option<&'a str>,
    pub(super) low: Option<&'a str>,
    pub(super) close: Option<&'a str>,
    pub(super) volume: Option<&'a str>,
    pub(super) vwap: Option<&'a str>,
    pub(super) trades: Option<&'a str>,
}

/// Why a candle is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    BadTime,
    OffGrid,
    /// It begins before the range, which begins in it.
    Before,
    OutsideRange,
    Duplicate,
    OutOfOrder,
    Missing,
    NotANumber,
    TooLong,
    Negative,
    ZeroPrice,
    HighBelowLow,
    OpenOutside,
    CloseOutside,
}

impl Fault {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BadTime => "bad_time",
            Self::OffGrid => "off_grid",
            Self::OutsideRange | Self::Before => "outside_range",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::Missing => "missing_member",
            Self::NotANumber => "not_a_number",
            Self::TooLong => "too_many_digits",
            Self::Negative => "negative",
            Self::ZeroPrice => "zero_price",
            Self::HighBelowLow => "high_below_low",
            Self::OpenOutside => "open_outside",
            Self::CloseOutside => "close_outside",
        }
    }
}

impl Fault {
    /// It may be good, and is not where it belongs.
    pub(super) fn is_of_place(self) -> bool {
        match self {
            Self::Before | Self::OutsideRange | Self::Duplicate | Self::OutOfOrder => true,
            Self::BadTime
            | Self::OffGrid
            | Self::Missing
            | Self::NotANumber
            | Self::TooLong
            | Self::Negative
            | Self::ZeroPrice
            | Self::HighBelowLow
            | Self::OpenOutside
            | Self::CloseOutside => false,
        }
    }
}

/// Judges the candles of one symbol, page after page.
pub(super) struct Judge {
    span: Span,
    range: (i64, i64),
    last: Option<i64>,
}

/// How often what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons(BTreeMap<String, i64>);

impl Judge {
    /// Of candles of this length, from one time on and before another.
    pub(super) fn of(span: Span, range: (i64, i64)) -> Self {
        Self { span, range, last: None }
    }

    pub(super) fn judge<'a>(&mut self, written: &Written<'a>) -> Result<NewCandle<'a>, Fault> {
        let time = written.time.and_then(nanoseconds).ok_or(Fault::BadTime)?;
        if !(self.range.0..self.range.1).contains(&time) {
            let reaches = time < self.range.0 && time.saturating_add(self.span.ns()) > self.range.0;
            return Err(if reaches { Fault::Before } else { Fault::OutsideRange });
        }
        if !calendar::begins_one(self.span, time) {
            return Err(Fault::OffGrid);
        }
        match self.last {
            Some(last) if last == time => return Err(Fault::Duplicate),
            Some(last) if last > time => return Err(Fault::OutOfOrder),
            Some(_) | None => {}
        }
        let candle = judged(written, time)?;
        self.last = Some(time);
        Ok(candle)
    }
}

fn judged<'a>(written: &Written<'a>, time: i64) -> Result<NewCandle<'a>, Fault> {
    let (open_text, open) = price(written.open)?;
    let (high_text, high) = price(written.high)?;
    let (low_text, low) = price(written.low)?;
    let (close_text, close) = price(written.close)?;
    let (volume, _) = number(written.volume)?;
    let vwap = written.vwap.filter(|text| *text != "null");
    let vwap = vwap.map(|text| number(Some(text))).transpose()?.map(|(text, _)| text);
    let trades = written.trades.filter(|text| *text != "null").map(count).transpose()?;
    if high < low {
        return Err(Fault::HighBelowLow);
    }
    if open < low || open > high {
        return Err(Fault::OpenOutside);
    }
    if close < low || close > high {
        return Err(Fault::CloseOutside);
    }
    let (open, high, low, close) = (open_text, high_text, low_text, close_text);
    Ok(NewCandle { time, open, high, low, close, volume, vwap, trades })
}

fn price(text: Option<&str>) -> Result<(&str, Decimal), Fault> {
    let (text, price) = number(text)?;
    if price.is_zero() { Err(Fault::ZeroPrice) } else { Ok((text, price)) }
}

fn number(text: Option<&str>) -> Result<(&str, Decimal), Fault> {
    let text = text.ok_or(Fault::Missing)?;
    let number = Decimal::parse(text).map_err(|flaw| match flaw {
        Flaw::NoNumber => Fault::NotANumber,
        Flaw::Negative => Fault::Negative,
        Flaw::TooLong => Fault::TooLong,
    })?;
    Ok((text, number))
}

fn count(text: &str) -> Result<i64, Fault> {
    let count: i64 = text.parse().map_err(|_| Fault::NotANumber)?;
    if count < 0 { Err(Fault::Negative) } else { Ok(count) }
}

fn nanoseconds(text: &str) -> Option<i64> {
    let ms: i64 = text.parse().ok()?;
    ms.checked_mul(1_000_000)
}

impl Reasons {
    pub(super) fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    pub(super) fn add(&mut self, fault: Fault) {
        *self.0.entry(fault.as_str().to_owned()).or_insert(0) += 1;
    }

    pub(super) fn count(&self) -> i64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn json(&self) -> String {
        serde_json::json!(self.0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: Written<'static> = Written {
        time: Some("60000"),
        open: Some("10.10"),
        high: Some("10.9"),
        low: Some("9.9"),
        close: Some("10"),
        volume: Some("1.5e6"),
        vwap: Some("10.000001"),
        trades: Some("7"),
    };

    fn judge(written: &Written<'_>) -> Result<(), Fault> {
        Judge::of(Span::Minute, (0, i64::MAX)).judge(written).map(drop)
    }

    #[test]
    fn a_good_candle_keeps_its_digits() {
        let candle = Judge::of(Span::Minute, (0, i64::MAX)).judge(&GOOD).unwrap();
        assert_eq!((candle.time, candle.open, candle.volume), (60_000_000_000, "10.10", "1.5e6"));
        assert_eq!((candle.vwap, candle.trades), (Some("10.000001"), Some(7)));
        let bare = Written { vwap: None, trades: Some("null"), volume: Some("0"), ..GOOD };
        assert_eq!(judge(&bare), Ok(()));
    }

    #[test]
    fn each_fault_has_its_name() {
        for (written, fault) in [
            (Written { time: Some("x"), ..GOOD }, Fault::BadTime),
            (Written { time: Some("-60000"), ..GOOD }, Fault::OutsideRange),
            (Written { time: Some("60001"), ..GOOD }, Fault::OffGrid),
            (Written { open: None, ..GOOD }, Fault::Missing),
            (Written { high: Some("NaN"), ..GOOD }, Fault::NotANumber),
            (Written { high: Some("\"10.9\""), ..GOOD }, Fault::NotANumber),
            (Written { low: Some("-9.9"), ..GOOD }, Fault::Negative),
            (Written { volume: Some("-1"), ..GOOD }, Fault::Negative),
            (Written { close: Some("0"), ..GOOD }, Fault::ZeroPrice),
            (Written { high: Some("9.8"), ..GOOD }, Fault::HighBelowLow),
            (Written { open: Some("10.90000001"), ..GOOD }, Fault::OpenOutside),
            (Written { close: Some("9.89"), ..GOOD }, Fault::CloseOutside),
            (Written { trades: Some("1.5"), ..GOOD }, Fault::NotANumber),
            (Written { vwap: Some("1e99"), ..GOOD }, Fault::TooLong),
        ] {
            assert_eq!(judge(&written), Err(fault), "{written:?}");
        }
    }

    #[test]
    fn order_is_judged_across_pages_and_a_bad_candle_is_no_mark() {
        let mut judge = Judge::of(Span::Minute, (0, i64::MAX));
        let at = |time| Written { time: Some(time), ..GOOD };
        assert!(judge.judge(&at("60000")).is_ok());
        assert_eq!(judge.judge(&at("60000")), Err(Fault::Duplicate));
        assert!(judge.judge(&Written { open: None, ..at("180000") }).is_err());
        assert!(judge.judge(&at("120000")).is_ok());
        assert_eq!(judge.judge(&at("60000")), Err(Fault::OutOfOrder));
    }

    proptest! {
        #[test]
        fn whatever_is_let_through_holds_together(o in 1_u32..200, h in 1_u32..200,
            l in 1_u32..200, c in 1_u32..200) {
            let texts = [o, h, l, c].map(|number| format!("{number}.0"));
            let [open, high, low, close] = [0, 1, 2, 3].map(|at| Some(texts[at].as_str()));
            let fine = judge(&Written { open, high, low, close, ..GOOD }).is_ok();
            prop_assert_eq!(fine, h >= l && (l..=h).contains(&o) && (l..=h).contains(&c));
        }
    }
}
