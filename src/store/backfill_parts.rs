//! The table `backfill_parts`: one symbol's part of a run: what is asked for, to where it is
//! stored, what it came to and why it failed. The checkpoint moves with the candles alone.
//! Must never let two go on from the same checkpoint.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{Tx, changing, row_within, rows};
use super::lenient::Unread;
use super::market_data::PageEnd;
use super::market_series::{self, Quality};
use super::symbols::BackfillStatus;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartRow {
    pub(crate) run: Uuid,
    pub(crate) symbol_id: i64,
    pub(crate) symbol: String,
    pub(crate) provider: String,
    pub(crate) span: i64,
    pub(crate) state: BackfillStatus,
    pub(crate) error: Option<String>,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) tally: Tally,
    pub(crate) quality: Quality,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Everything before this time is stored.
    pub(crate) next: i64,
    pub(crate) pages: i64,
    pub(crate) candles: i64,
    pub(crate) rejected: i64,
    /// A JSON object: how many for which reason.
    pub(crate) reasons: String,
}

/// What one page adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress<'a> {
    pub(crate) next: i64,
    pub(crate) candles: i64,
    pub(crate) rejected: i64,
    /// All of the part so far.
    pub(crate) reasons: &'a str,
}

#[derive(sqlx::FromRow)]
struct RawPart {
    run_id: String,
    symbol_id: i64,
    symbol: String,
    provider: String,
    span: i64,
    state: String,
    error: Option<String>,
    from_ns: i64,
    to_ns: i64,
    next_ns: i64,
    pages: i64,
    candles: i64,
    rejected: i64,
    reasons: String,
    days_expected: i64,
    days_present: i64,
    gaps: String,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

const INSERT: &str = "INSERT INTO backfill_parts (run_id, symbol_id, symbol, provider, span, state,
        from_ns, to_ns, next_ns, pages, candles, rejected, reasons, days_expected, days_present,
        gaps)
    VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $6, 0, 0, 0, '{}', 0, 0, '[]')
    ON CONFLICT (run_id, symbol_id) DO NOTHING";
const OF_RUN: &str = "SELECT run_id, symbol_id, symbol, provider, span, state, error, from_ns,
        to_ns, next_ns, pages, candles, rejected, reasons, days_expected, days_present, gaps,
        started_at, finished_at
    FROM backfill_parts WHERE run_id = $1 ORDER BY symbol_id";
const ADVANCE: &str = "UPDATE backfill_parts SET next_ns = $4, pages = pages + 1,
        candles = candles + $5, rejected = rejected + $6, reasons = $7
    WHERE run_id = $1 AND symbol_id = $2 AND next_ns = $3 AND state = 'in_progress'";
const BEGIN: &str = "UPDATE backfill_parts SET state = 'in_progress',
        started_at = COALESCE(started_at, $3)
    WHERE run_id = $1 AND symbol_id = $2 AND state IN ('pending', 'in_progress')";
const UNTRACKED: &str = "SELECT symbol_id FROM backfill_parts
    WHERE run_id = $1 AND state IN ('pending', 'in_progress')
        AND symbol_id IN (SELECT id FROM symbols WHERE active = 0)";
const NEXT: &str = "SELECT next_ns FROM backfill_parts WHERE run_id = $1 AND symbol_id = $2";
const END: &str = "UPDATE backfill_parts SET state = $3, error = $4, finished_at = $5,
        days_expected = $6, days_present = $7, gaps = $8
    WHERE run_id = $1 AND symbol_id = $2 AND state IN ('pending', 'in_progress')";

impl Store {
    /// Those that are not there yet; the run begins with them.
    pub(super) async fn add_parts(tx: &mut Tx, parts: &[PartRow]) -> Result<(), Error> {
        for part in parts {
            changing!(
                tx,
                sqlx::query(INSERT)
                    .bind(part.run.to_string())
                    .bind(part.symbol_id)
                    .bind(part.symbol.as_str())
                    .bind(part.provider.as_str())
                    .bind(part.span)
                    .bind(part.from)
                    .bind(part.to)
            )?;
        }
        Ok(())
    }

    /// In the order of their ids. One that cannot be read is left out.
    pub(crate) async fn parts(&self, run: Uuid) -> Result<Vec<PartRow>, Error> {
        let found = rows!(self, "backfill_parts", sqlx::query(OF_RUN).bind(run.to_string()));
        let read = |row: Result<RawPart, Unread>| from_raw(row.ok()?).ok();
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Open parts of this run whose symbols are tracked no longer.
    pub(crate) async fn untracked_parts(&self, run: Uuid) -> Result<Vec<i64>, Error> {
        let found = rows!(self, "backfill_parts", sqlx::query(UNTRACKED).bind(run.to_string()));
        found.into_iter().map(|row: Result<(i64,), Unread>| Ok(row?.0)).collect()
    }

    /// False where it has ended.
    pub(crate) async fn begin_part(&self, part: &PartRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let begun = changing!(
            &mut tx,
            sqlx::query(BEGIN)
                .bind(part.run.to_string())
                .bind(part.symbol_id)
                .bind(self.clock.unix_ms())
        )?;
        tx.commit().await?;
        Ok(begun > 0)
    }

    /// As `state` and `error` of the row say, with what is missing of its range; where it went
    /// well, the series is covered to its end, if it joins on to what is, and `whole` is what is
    /// missing of all of it; else to
    /// its checkpoint, which is read anew.
    pub(crate) async fn end_part(
        &self,
        part: &PartRow,
        whole: &Quality,
        is_from_the_beginning: bool,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(END)
                .bind(part.run.to_string())
                .bind(part.symbol_id)
                .bind(part.state.as_str())
                .bind(part.error.as_deref())
                .bind(self.clock.unix_ms())
                .bind(part.quality.days_expected)
                .bind(part.quality.days_present)
                .bind(part.quality.gaps.as_str())
        )?;
        if part.state == BackfillStatus::Completed {
            let series = (part.symbol_id, part.span);
            let way = (part.from, part.to);
            market_series::cover(&mut tx, series, (way, is_from_the_beginning), whole).await?;
        } else {
            let next = row_within!(
                &mut tx,
                "backfill_parts",
                sqlx::query(NEXT).bind(part.run.to_string()).bind(part.symbol_id)
            );
            // What failed at its end has been found to be no history.
            let is_on_its_way = |(next,): &(i64,)| (part.from + 1..part.to).contains(next);
            if let Some((next,)) = next?.filter(is_on_its_way) {
                let (series, way) = ((part.symbol_id, part.span), (part.from, next));
                market_series::reach(&mut tx, series, way, is_from_the_beginning).await?;
            }
        }
        Ok(tx.commit().await?)
    }
}

/// False where the part has ended, or its checkpoint is another one.
pub(super) async fn advance(tx: &mut Tx, end: &PageEnd<'_>) -> Result<bool, Error> {
    let advanced = changing!(
        tx,
        sqlx::query(ADVANCE)
            .bind(end.run.to_string())
            .bind(end.symbol_id)
            .bind(end.from)
            .bind(end.progress.next)
            .bind(end.progress.candles)
            .bind(end.progress.rejected)
            .bind(end.progress.reasons)
    )?;
    Ok(advanced > 0)
}

fn from_raw(raw: RawPart) -> Result<PartRow, Error> {
    let place = Place { table: "backfill_parts", row: &raw.run_id };
    Ok(PartRow {
        run: place.id("run_id", &raw.run_id)?,
        symbol_id: raw.symbol_id,
        symbol: raw.symbol,
        provider: raw.provider,
        span: raw.span,
        state: place.word("state", &raw.state, BackfillStatus::parse)?,
        error: raw.error,
        from: raw.from_ns,
        to: raw.to_ns,
        tally: Tally {
            next: raw.next_ns,
            pages: raw.pages,
            candles: raw.candles,
            rejected: raw.rejected,
            reasons: raw.reasons,
        },
        quality: Quality {
            days_expected: raw.days_expected,
            days_present: raw.days_present,
            gaps: raw.gaps,
        },
        started_at: raw.started_at,
        finished_at: raw.finished_at,
    })
}
