//! `GET …/symbols/{symbol}/candles`: what is kept of a symbol's history, for whoever looks at it in
//! the console; callers read it on the proxy's face. Each number is text, digit by digit as the
//! provider wrote it.
//! Must never ask a provider, nor turn a number into another.

use axum::extract::Path;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::{Answer, Page};
use super::super::call::Call;
use super::super::members::Members;
use super::super::page;
use super::super::refused::Refused;
use super::super::words::Interval;
use super::{found, interval, series, time};
use crate::market::{self, Span};
use crate::store::{CandleRow, SeriesRow};

const MS_NS: i64 = 1_000_000;

/// A candle; it begins at `time`.
#[derive(Serialize, ToSchema)]
pub(super) struct Candle {
    #[schema(format = DateTime)]
    time: String,
    #[schema(example = "191.25")]
    open: String,
    high: String,
    low: String,
    close: String,
    volume: String,
    vwap: Option<String>,
    trades: Option<i64>,
}

/// A page of candles, the oldest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct Candles {
    items: Vec<Candle>,
    next_cursor: Option<String>,
}

/// Show the candles of a symbol, the oldest first.
///
/// Without `interval` those of the symbol's own, else those of which there are most.
#[utoipa::path(get, path = "/api/v1/admin/symbols/{symbol}/candles", tag = "Symbols",
    params(("symbol" = String, Path, description = "As it is tracked; a pair in any form."),
        ("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime, description = "Before this moment."),
        ("interval" = Option<Interval>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Candles)))]
pub(super) async fn candles(
    call: Call,
    Path(symbol): Path<String>,
    uri: Uri,
) -> Result<Answer, Refused> {
    let row = found(&call, &symbol).await?;
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let from = query.time("from").value().map_or(i64::MIN, |ms| ms.saturating_mul(MS_NS));
    let to = query.time("to").value().map_or(i64::MAX, |ms| ms.saturating_mul(MS_NS));
    let span = interval(&mut query).value().map(Span::seconds);
    let cursor = page::after_text(&mut query).map(|text| text.parse::<i64>());
    if let Some(Err(_)) = &cursor {
        query.fault("cursor", "is not one that this list gave out");
    }
    query.finish()?;
    let from = match cursor {
        Some(Ok(after)) => after.saturating_add(1).max(from),
        Some(Err(_)) | None => from,
    };
    let span = match span.or(row.span) {
        Some(span) => Some(span),
        None => fullest(&series(&call, &row).await?),
    };
    let Some(span) = span else {
        return Answer::ok(&Page::<Candle> { items: Vec::new(), next_cursor: None });
    };
    let rows = call.house.store.candles((row.id, span), (from, to), limit + 1).await;
    let (rows, next_cursor) = page::split(rows.map_err(Refused::internal)?, limit, at);
    let items = rows.into_iter().map(Candle::of).collect::<Result<_, _>>()?;
    Answer::ok(&Page::<Candle> { items, next_cursor })
}

fn at(row: &CandleRow) -> String {
    row.time.to_string()
}

fn fullest(series: &[SeriesRow]) -> Option<i64> {
    series.iter().max_by_key(|series| series.records).map(|series| series.span)
}

impl Candle {
    /// What somebody has put in place of a number is no answer.
    fn of(row: CandleRow) -> Result<Self, Refused> {
        let CandleRow { open, high, low, close, volume, vwap, trades, .. } = row;
        let numbers = [&open, &high, &low, &close, &volume].into_iter().chain(vwap.as_ref());
        for number in numbers {
            if !market::is_number(number) {
                return Err(Refused::internal("a candle in the database holds what is no number"));
            }
        }
        Ok(Self { time: time(row.time), open, high, low, close, volume, vwap, trades })
    }
}
