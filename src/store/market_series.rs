//! The table `market_series`: what is known of the candles of one symbol and span: how many, from
//! when to when, how many were rejected, to where it is covered, and which days are missing.
//! Must never be more than the candles beside it say, but for a page that is under way.

use super::backfill_parts::Progress;
use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct SeriesRow {
    pub(crate) symbol_id: i64,
    /// Seconds of one candle.
    pub(crate) span: i64,
    pub(crate) records: i64,
    pub(crate) earliest: Option<i64>,
    pub(crate) latest: Option<i64>,
    /// Candles that came, good or bad.
    pub(crate) seen: i64,
    pub(crate) rejected: i64,
    /// Everything before this time was asked for.
    pub(crate) covered_to: Option<i64>,
    pub(crate) days_expected: i64,
    pub(crate) days_present: i64,
    /// A JSON list of ranges.
    pub(crate) gaps: String,
}

/// Which days there are, and which should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quality {
    pub(crate) days_expected: i64,
    pub(crate) days_present: i64,
    pub(crate) gaps: String,
}

const OF_SYMBOL: &str = "SELECT symbol_id, span, records, earliest, latest, seen, rejected,
    covered_to, days_expected, days_present, gaps FROM market_series
    WHERE symbol_id >= $1 AND symbol_id <= $2 ORDER BY symbol_id, span";
const GROW: &str = "INSERT INTO market_series (symbol_id, span, records, earliest, latest, seen,
        rejected, days_expected, days_present, gaps)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '[]')
    ON CONFLICT (symbol_id, span) DO UPDATE SET
        records = market_series.records + excluded.records,
        earliest = CASE WHEN excluded.earliest IS NULL THEN market_series.earliest
            WHEN market_series.earliest < excluded.earliest THEN market_series.earliest
            ELSE excluded.earliest END,
        latest = CASE WHEN excluded.latest IS NULL THEN market_series.latest
            WHEN market_series.latest > excluded.latest THEN market_series.latest
            ELSE excluded.latest END,
        seen = market_series.seen + excluded.seen,
        rejected = market_series.rejected + excluded.rejected";
const JUDGE: &str = "UPDATE market_series SET days_expected = $3, days_present = $4, gaps = $5
    WHERE symbol_id = $1 AND span = $2";
const REACH: &str = "UPDATE market_series SET covered_to = $3
    WHERE symbol_id = $1 AND span = $2
        AND ((covered_to IS NULL AND $4 = 1) OR (covered_to >= $5 AND covered_to < $3))";

impl Store {
    /// Of all symbols, or of one.
    pub(crate) async fn series(&self, symbol_id: Option<i64>) -> Result<Vec<SeriesRow>, Error> {
        let (least, most) = symbol_id.map_or((i64::MIN, i64::MAX), |id| (id, id));
        let found = rows!(self, "market_series", sqlx::query(OF_SYMBOL).bind(least).bind(most));
        let read = |row: Result<SeriesRow, Unread>| row.ok();
        Ok(found.into_iter().filter_map(read).collect())
    }
}

/// Part of the transaction that stores a page.
pub(super) async fn grow(
    tx: &mut Tx,
    (symbol_id, span): (i64, i64),
    (new, ends): (i64, Option<(i64, i64)>),
    page: &Progress<'_>,
) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(GROW)
            .bind(symbol_id)
            .bind(span)
            .bind(new)
            .bind(ends.map(|(first, _)| first))
            .bind(ends.map(|(_, last)| last))
            .bind(page.candles + page.rejected)
            .bind(page.rejected)
    )?;
    Ok(())
}

/// Part of the transaction that ends a part.
pub(super) async fn cover(
    tx: &mut Tx,
    (symbol_id, span): (i64, i64),
    (way, is_from_the_beginning): ((i64, i64), bool),
    quality: &Quality,
) -> Result<(), Error> {
    reach(tx, (symbol_id, span), way, is_from_the_beginning).await?;
    changing!(
        tx,
        sqlx::query(JUDGE)
            .bind(symbol_id)
            .bind(span)
            .bind(quality.days_expected)
            .bind(quality.days_present)
            .bind(quality.gaps.as_str())
    )?;
    Ok(())
}

/// Part of the transaction that ends a part: what it stored is not asked for again, where nothing
/// is missing before it.
pub(super) async fn reach(
    tx: &mut Tx,
    (symbol_id, span): (i64, i64),
    (from, next): (i64, i64),
    is_from_the_beginning: bool,
) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(REACH)
            .bind(symbol_id)
            .bind(span)
            .bind(next)
            .bind(i64::from(is_from_the_beginning))
            .bind(from)
    )?;
    Ok(())
}
