//! A symbol as callers see it: what it is, how far its history is, and, one by one, its series and
//! what is missing of them.
//! Must never show a figure that the database does not have.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::words::{AssetClass, BackfillStatus, Interval};
use crate::clock::rfc3339;
use crate::market::Span;
use crate::store::{SeriesRow, SymbolRow};

const MS_NS: i64 = 1_000_000;

#[derive(Serialize, ToSchema)]
pub(super) struct Symbol {
    id: i64,
    #[schema(example = "AAPL")]
    symbol: String,
    #[schema(value_type = AssetClass)]
    asset_class: &'static str,
    active: bool,
    #[schema(format = DateTime)]
    date_added: String,
    #[schema(value_type = BackfillStatus)]
    backfill_status: &'static str,
    backfill_error: Option<String>,
    #[schema(format = DateTime)]
    last_backfill: Option<String>,
    /// Null: as the settings say.
    provider: Option<String>,
    #[schema(value_type = Option<Interval>)]
    interval: Option<&'static str>,
    /// Candles of all intervals.
    record_count: i64,
    #[schema(format = DateTime)]
    first: Option<String>,
    #[schema(format = DateTime)]
    last: Option<String>,
    /// Candles that came and were not stored.
    rejected: i64,
    /// Of the candles that came, those that were good; null while none has come.
    #[schema(minimum = 0, maximum = 1)]
    validation_rate: Option<f64>,
}

/// A page of symbols, by name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct Symbols {
    items: Vec<Symbol>,
    next_cursor: Option<String>,
}

/// A symbol with its series.
#[derive(Serialize, ToSchema)]
pub(super) struct SymbolShown {
    #[serde(flatten)]
    symbol: Symbol,
    /// Ranges of days, or hours of trade, of which no candle is there, of all series.
    #[schema(value_type = Vec<Gap>)]
    gaps: Vec<Value>,
    series: Vec<Series>,
}

/// The candles of one length.
#[derive(Serialize, ToSchema)]
pub(super) struct Series {
    #[schema(value_type = Interval)]
    interval: &'static str,
    record_count: i64,
    #[schema(format = DateTime)]
    first: Option<String>,
    #[schema(format = DateTime)]
    last: Option<String>,
    rejected: i64,
    /// Everything before this was asked for.
    #[schema(format = DateTime)]
    covered_to: Option<String>,
    /// Of the days on which there is trade, or its hours for lengths below a day, those of which
    /// there are candles.
    coverage: Option<f64>,
    #[schema(value_type = Vec<Gap>)]
    gaps: Vec<Value>,
}

/// Days in a row, but for those without trade; or hours of a day of which there are others.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone")]
pub(in super::super) struct Gap {
    #[schema(format = Date)]
    from: String,
    #[schema(format = Date)]
    to: String,
    /// Nought where only hours are missing.
    days: i64,
    hours: Option<i64>,
    #[schema(format = DateTime)]
    begins: Option<String>,
    #[schema(format = DateTime)]
    ends: Option<String>,
}

impl Symbol {
    /// Of all series, those of this symbol count.
    pub(super) fn of(row: &SymbolRow, series: &[SeriesRow]) -> Self {
        let own = || series.iter().filter(|series| series.symbol_id == row.id);
        let sum = |of: fn(&SeriesRow) -> i64| own().map(of).fold(0_i64, i64::saturating_add);
        let rejected = sum(|series| series.rejected);
        Self {
            id: row.id,
            symbol: row.symbol.clone(),
            asset_class: row.asset_class.as_str(),
            active: row.active,
            date_added: rfc3339(row.date_added),
            backfill_status: row.backfill_status.as_str(),
            backfill_error: row.backfill_error.clone(),
            last_backfill: row.last_backfill.map(rfc3339),
            provider: row.provider.clone(),
            interval: row.span.and_then(Span::of_seconds).map(Span::as_str),
            record_count: sum(|series| series.records),
            first: own().filter_map(|series| series.earliest).min().map(time),
            last: own().filter_map(|series| series.latest).max().map(time),
            rejected,
            validation_rate: share(rejected, sum(|series| series.seen)).map(|bad| 1.0 - bad),
        }
    }
}

impl SymbolShown {
    pub(super) fn of(row: &SymbolRow, series: &[SeriesRow]) -> Self {
        let own = series.iter().filter_map(Series::of);
        let series_shown: Vec<Series> = own.collect();
        let gaps = series_shown.iter().flat_map(|series| series.gaps.clone()).collect();
        Self { symbol: Symbol::of(row, series), gaps, series: series_shown }
    }
}

impl Series {
    fn of(row: &SeriesRow) -> Option<Self> {
        Some(Self {
            interval: Span::of_seconds(row.span)?.as_str(),
            record_count: row.records,
            first: row.earliest.map(time),
            last: row.latest.map(time),
            rejected: row.rejected,
            covered_to: row.covered_to.map(time),
            coverage: share(row.days_present, row.days_expected),
            gaps: list(&row.gaps),
        })
    }
}

/// What of a symbol may be changed, for the trail.
pub(super) fn alterable(row: &SymbolRow) -> Value {
    let interval = row.span.and_then(Span::of_seconds).map(Span::as_str);
    json!({
        "symbol": row.symbol, "active": row.active, "provider": row.provider, "interval": interval,
    })
}

pub(in super::super) fn time(ns: i64) -> String {
    rfc3339(ns.div_euclid(MS_NS))
}

/// For people: counts are far below where a floating point loses one.
pub(in super::super) fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What cannot be read is not told.
pub(in super::super) fn list(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap_or_default()
}
