//! `GET /api/v1/market/{symbol}`: the candles that are kept of a tracked symbol, the oldest first,
//! as JSON or CSV, each number as the provider wrote it. For callers whose scopes allow the path
//! under the name `market`. Must never ask a provider, nor turn a number into another.

use std::fmt::Write as _;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::form::decoded;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::corridor::{Answer, OwnCall};
use crate::market::{self, Span};
use crate::policy;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::store::{CandleRow, SymbolRow};

/// As scopes name it.
const NAME: &str = "market";
pub(super) const PATH: &str = "/api/v1/market/";
const NEXT: HeaderName = HeaderName::from_static("x-sealgate-next-cursor");
const USUAL: u32 = 1000;
const MOST: u32 = 50_000;
const MS_NS: i64 = 1_000_000;

/// What is asked for.
struct Asked {
    from: i64,
    to: i64,
    /// Behind this time.
    cursor: Option<i64>,
    limit: u32,
    span: Option<Span>,
    as_csv: bool,
}

pub(super) async fn candles(mut call: OwnCall<'_>) -> Answer {
    let told = async {
        let Some(caller) = call.caller().await? else { return Err(call.nobody().await) };
        let asked = Asked::read(&call)?;
        let name = symbol(&call)?;
        let found = tracked(&call, &name).await;
        // Of a pair that has several names the one under which it is tracked counts, so that no
        // other one leads around a scope; whether there is one is for whoever may read it.
        let name = found.as_ref().map_or(name.as_str(), |row| row.symbol.as_str());
        policy::may_read_own(&caller.client, NAME, &[name]).map_err(|denied| {
            Refusal::new(Reason::Forbidden, denied.sentence_for(&caller.client))
        })?;
        let row = found?;
        let (rows, next) = page(&call, &row, &asked).await?;
        Ok((asked.as_csv, rows, next))
    };
    match told.await {
        Ok((false, rows, next)) => call.answered(StatusCode::OK, json(&rows, next)),
        Ok((true, rows, next)) => {
            let mut answer = call.answered(StatusCode::OK, csv(&rows));
            let kind = HeaderValue::from_static("text/csv; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            if let Some(next) = next {
                answer.headers_mut().insert(NEXT, HeaderValue::from(next));
            }
            answer
        }
        Err(refusal) => call.refused(&refusal),
    }
}

/// The name in the path.
fn symbol(call: &OwnCall<'_>) -> Result<String, Refusal> {
    let path = call.parts().uri.path();
    let rest = path.strip_prefix(PATH).unwrap_or_default();
    let bytes = decoded(rest.replace('+', "%2B").as_bytes());
    let name = String::from_utf8(bytes).map_err(|_| nothing())?;
    if name.is_empty() || name.contains('/') {
        return Err(nothing());
    }
    Ok(name.to_ascii_uppercase())
}

/// By its name, or, for a pair, by any that means the same.
async fn tracked(call: &OwnCall<'_>, name: &str) -> Result<SymbolRow, Refusal> {
    let found = market::tracked(&call.rooms().store, name, None).await;
    found.map_err(|fault| failed(&fault))?.ok_or_else(nothing)
}

/// One more than is shown is asked for: whether there is one says whether there is a next page.
async fn page(
    call: &OwnCall<'_>,
    row: &SymbolRow,
    asked: &Asked,
) -> Result<(Vec<CandleRow>, Option<i64>), Refusal> {
    let usual = call.rooms().settings.candle_seconds;
    let span = asked.span.map(Span::seconds).or(row.span).unwrap_or(usual);
    let from = asked.cursor.map_or(asked.from, |cursor| cursor.saturating_add(1).max(asked.from));
    let found = call.rooms().store.candles((row.id, span), (from, asked.to), asked.limit + 1);
    let mut rows = found.await.map_err(|fault| failed(&fault))?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(|last| last.time).filter(|_| has_more);
    // What somebody has put in place of a number is no answer.
    if rows.iter().any(|row| !texts(row).into_iter().flatten().all(market::is_number)) {
        tracing::error!(symbol = row.symbol, "a candle in the database holds what is no number");
        return Err(Refusal::internal());
    }
    Ok((rows, next))
}

fn texts(row: &CandleRow) -> [Option<&str>; 6] {
    let CandleRow { open, high, low, close, volume, vwap, .. } = row;
    let [open, high, low, close, volume] =
        [open, high, low, close, volume].map(|text| Some(text.as_str()));
    [open, high, low, close, volume, vwap.as_deref()]
}

impl Asked {
    fn read(call: &OwnCall<'_>) -> Result<Self, Refusal> {
        let accept = call.parts().headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let as_csv = accept.is_some_and(|accept| accept.starts_with("text/csv"));
        let (from, to, limit) = (i64::MIN, i64::MAX, USUAL);
        let mut asked = Self { from, to, cursor: None, limit, span: None, as_csv };
        let mut faults = Vec::new();
        let catalogue = call.rooms().catalogue.now();
        let query = call.parts().uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decoded(name.as_bytes())).into_owned();
            let value = String::from_utf8_lossy(&decoded(value.as_bytes())).into_owned();
            if !asked.take(&name, &value) && !catalogue.is_query_slot(&name.to_ascii_lowercase()) {
                let field = name.chars().take(40).collect();
                let fault = String::from(EXPECTED);
                faults.push(FieldFault { field, fault });
            }
        }
        if faults.is_empty() { Ok(asked) } else { Err(Refusal::invalid(faults)) }
    }

    /// False where it is no parameter of this call, or its value is none.
    fn take(&mut self, name: &str, value: &str) -> bool {
        let taken = match name {
            "from" => time(value).map(|time| self.from = time),
            "to" => time(value).map(|time| self.to = time),
            "interval" => Span::parse(value).map(|span| self.span = Some(span)),
            "cursor" => value.parse().ok().map(|cursor| self.cursor = Some(cursor)),
            "limit" => value
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .map(|limit| self.limit = limit),
            "format" => ["json", "csv"]
                .iter()
                .position(|format| *format == value)
                .map(|format| self.as_csv = format == 1),
            _ => None,
        };
        taken.is_some()
    }
}

/// A time, or a day, which begins in UTC.
fn time(text: &str) -> Option<i64> {
    let text = text.replace(' ', "+");
    let ms = parse_rfc3339(&text).or_else(|| parse_rfc3339(&format!("{text}T00:00:00Z")));
    ms?.checked_mul(MS_NS)
}

fn json(rows: &[CandleRow], next: Option<i64>) -> Vec<u8> {
    let mut text = String::with_capacity(rows.len() * 160 + 40);
    text.push_str("{\"items\":[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let CandleRow { open, high, low, close, volume, .. } = row;
        let _infallible = write!(
            text,
            "{comma}{{\"time\":\"{}\",\"open\":{open},\"high\":{high},\"low\":{low},\
             \"close\":{close},\"volume\":{volume}",
            written(row.time)
        );
        if let Some(vwap) = &row.vwap {
            let _infallible = write!(text, ",\"vwap\":{vwap}");
        }
        if let Some(trades) = row.trades {
            let _infallible = write!(text, ",\"trades\":{trades}");
        }
        text.push('}');
    }
    let next = next.map_or_else(|| String::from("null"), |next| format!("\"{next}\""));
    let _infallible = write!(text, "],\"next_cursor\":{next}}}");
    text.into_bytes()
}

fn csv(rows: &[CandleRow]) -> Vec<u8> {
    let mut text = String::from("time,open,high,low,close,volume,vwap,trades\r\n");
    for row in rows {
        let CandleRow { open, high, low, close, volume, .. } = row;
        let trades = row.trades.map(|trades| trades.to_string()).unwrap_or_default();
        let vwap = row.vwap.as_deref().unwrap_or_default();
        let _infallible = write!(
            text,
            "{},{open},{high},{low},{close},{volume},{vwap},{trades}\r\n",
            written(row.time)
        );
    }
    text.into_bytes()
}

/// To the nanosecond, where there are any.
fn written(ns: i64) -> String {
    match ns % MS_NS {
        0 => rfc3339(ns / MS_NS),
        _ => jiff::Timestamp::from_nanosecond(i128::from(ns))
            .map_or_else(|_| String::from("out of range"), |at| at.to_string()),
    }
}

fn nothing() -> Refusal {
    Refusal::new(Reason::NotFound, "No symbol of this name is tracked.")
}

fn failed(fault: &crate::store::Error) -> Refusal {
    tracing::error!(%fault, "candles could not be read");
    Refusal::new(Reason::Overloaded, "The database does not answer; try again.")
}

const EXPECTED: &str = "is not what this call takes: from and to (a time such as \
                        2026-01-15T14:30:00Z, or a day), interval (1m, 5m, 15m, 1h, 1d), limit (1 \
                        to 50000), cursor, format (json, csv)";
