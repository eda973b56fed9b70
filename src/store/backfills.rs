//! The table `backfill_history`: runs that fetch the history of symbols, those to come, the one
//! under way and those of before. A run is one row, each symbol of it another in
//! `backfill_parts`. Must never lose a run that has not ended.

use uuid::Uuid;

use super::backfill_parts::PartRow;
use super::columns::{ABOVE_ALL_IDS, Place, words};
use super::dialect::{changing, row, rows, within};
use super::lenient::Unread;
use super::symbols::BackfillStatus;
use super::{Error, Store};

words! {
    /// Why a run was made.
    RunCause {
        Asked = "asked",
        Schedule = "schedule",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) id: Uuid,
    pub(crate) cause: RunCause,
    pub(crate) asked_by: String,
    /// None: every symbol that is active when it begins.
    pub(crate) wanted: Option<Vec<String>>,
    pub(crate) from_ms: Option<i64>,
    pub(crate) to_ms: i64,
    pub(crate) span: Option<i64>,
    pub(crate) state: BackfillStatus,
    pub(crate) error: Option<String>,
    /// Who wants it to end before its time.
    pub(crate) cancelled_by: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
}

/// What the parts of a run add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct RunSums {
    pub(crate) symbols: i64,
    pub(crate) completed: i64,
    pub(crate) failed: i64,
    pub(crate) candles: i64,
    pub(crate) rejected: i64,
    pub(crate) pages: i64,
}

#[derive(sqlx::FromRow)]
struct RawRun {
    id: String,
    cause: String,
    asked_by: String,
    wanted: Option<String>,
    from_ms: Option<i64>,
    to_ms: i64,
    span: Option<i64>,
    state: String,
    error: Option<String>,
    cancelled_by: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, cause, asked_by, wanted, from_ms, to_ms, span, state, error,
            cancelled_by, created_at, started_at, finished_at FROM backfill_history ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO backfill_history
    (id, cause, asked_by, wanted, from_ms, to_ms, span, state, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8)";
const OPEN: &str =
    "SELECT COUNT(*) FROM backfill_history WHERE state IN ('pending', 'in_progress')";
const BEGIN: &str = "UPDATE backfill_history SET state = 'in_progress', started_at = $2
    WHERE id = $1 AND state = 'pending'";
const CANCEL: &str = "UPDATE backfill_history SET cancelled_by = COALESCE(cancelled_by, $2)
    WHERE id = $1 AND state IN ('pending', 'in_progress')";
/// One that waits has nobody who would end it before its turn comes.
const DROP: &str = "UPDATE backfill_history SET state = 'failed', error = $2, finished_at = $3
    WHERE id = $1 AND state = 'pending'";
const CANCELLED: &str = "SELECT cancelled_by FROM backfill_history WHERE id = $1";
const END: &str = "UPDATE backfill_history SET state = $2, error = $3, finished_at = $4
    WHERE id = $1 AND state IN ('pending', 'in_progress')";
const SUMS: &str = "SELECT COUNT(*) AS symbols,
    COUNT(CASE WHEN state = 'completed' THEN 1 END) AS completed,
    COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed,
    CAST(COALESCE(SUM(candles), 0) AS BIGINT) AS candles,
    CAST(COALESCE(SUM(rejected), 0) AS BIGINT) AS rejected,
    CAST(COALESCE(SUM(pages), 0) AS BIGINT) AS pages
    FROM backfill_parts WHERE run_id = $1";

impl Store {
    /// False where so many wait already.
    pub(crate) async fn add_run(&self, run: &RunRow, most_open: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let open: i64 = within!(&mut tx, db => sqlx::query_scalar(OPEN).fetch_one(db))?;
        if open >= most_open {
            return Ok(false);
        }
        let wanted = run.wanted.as_ref().map(|wanted| serde_json::json!(wanted).to_string());
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(run.id.to_string())
                .bind(run.cause.as_str())
                .bind(run.asked_by.as_str())
                .bind(wanted)
                .bind(run.from_ms)
                .bind(run.to_ms)
                .bind(run.span)
                .bind(run.created_at)
        )?;
        tx.commit().await?;
        Ok(true)
    }

    /// False where it has ended. One that is under way is ended by whoever makes it.
    pub(crate) async fn cancel_run(&self, id: Uuid, by: &str) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let marked = changing!(&mut tx, sqlx::query(CANCEL).bind(id.to_string()).bind(by))?;
        let (line, now_ms) = (format!("cancelled by {by}"), self.clock.unix_ms());
        changing!(&mut tx, sqlx::query(DROP).bind(id.to_string()).bind(line).bind(now_ms))?;
        tx.commit().await?;
        Ok(marked > 0)
    }

    /// Who wants this run to end.
    pub(crate) async fn run_cancelled_by(&self, id: Uuid) -> Result<Option<String>, Error> {
        let found = row!(self, "backfill_history", sqlx::query(CANCELLED).bind(id.to_string()))?;
        Ok(found.and_then(|(by,): (Option<String>,)| by))
    }

    /// Is one of this cause under way, or waiting?
    pub(crate) async fn has_open_run(&self, cause: RunCause) -> Result<bool, Error> {
        const SOME: &str =
            select!("WHERE cause = $1 AND state IN ('pending', 'in_progress') ORDER BY id LIMIT 1");
        let found = rows!(self, "backfill_history", sqlx::query(SOME).bind(cause.as_str()));
        Ok(found.into_iter().any(|row: Result<RawRun, Unread>| row.is_ok()))
    }

    /// The one that is under way, else the oldest that waits.
    pub(crate) async fn next_run(&self) -> Result<Option<RunRow>, Error> {
        const NEXT: &str =
            select!("WHERE state IN ('pending', 'in_progress') ORDER BY state, id LIMIT 100");
        let found = rows!(self, "backfill_history", sqlx::query(NEXT));
        let read = |row: Result<RawRun, Unread>| from_raw(row.ok()?).ok();
        Ok(found.into_iter().find_map(read))
    }

    pub(crate) async fn run(&self, id: Uuid) -> Result<Option<RunRow>, Error> {
        const ONE: &str = select!("WHERE id = $1");
        let found: Option<RawRun> =
            row!(self, "backfill_history", sqlx::query(ONE).bind(id.to_string()))?;
        found.map(from_raw).transpose()
    }

    /// The newest first. One that cannot be read hides no other.
    pub(crate) async fn runs(
        &self,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RunRow>, Error> {
        const PAGE: &str = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let before = before.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let found =
            rows!(self, "backfill_history", sqlx::query(PAGE).bind(before).bind(i64::from(limit)));
        let read = |row: Result<RawRun, Unread>| from_raw(row.ok()?).ok();
        Ok(found.into_iter().filter_map(read).collect())
    }

    pub(crate) async fn run_sums(&self, id: Uuid) -> Result<RunSums, Error> {
        let found = row!(self, "backfill_parts", sqlx::query(SUMS).bind(id.to_string()))?;
        Ok(found.unwrap_or_default())
    }

    /// It is under way from now on, with these parts. False where somebody was quicker.
    pub(crate) async fn begin_run(&self, id: Uuid, parts: &[PartRow]) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let begun =
            changing!(&mut tx, sqlx::query(BEGIN).bind(id.to_string()).bind(self.clock.unix_ms()))?;
        if begun == 0 {
            return Ok(false);
        }
        Self::add_parts(&mut tx, parts).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(crate) async fn end_run(
        &self,
        id: Uuid,
        state: BackfillStatus,
        error: Option<&str>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(END)
                .bind(id.to_string())
                .bind(state.as_str())
                .bind(error)
                .bind(self.clock.unix_ms())
        )?;
        Ok(tx.commit().await?)
    }

    /// A line for each run that says what cannot be.
    pub(crate) async fn run_faults(&self) -> Result<Vec<String>, Error> {
        const ALL: &str = select!("ORDER BY id");
        let found = rows!(self, "backfill_history", sqlx::query(ALL));
        let fault = |row: Result<RawRun, Unread>| {
            let fault = row.map_err(Error::from).and_then(from_raw).err()?;
            Some(format!("{fault} It is in no list until then, and is not gone on with."))
        };
        Ok(found.into_iter().filter_map(fault).collect())
    }
}

fn from_raw(raw: RawRun) -> Result<RunRow, Error> {
    let place = Place { table: "backfill_history", row: &raw.id };
    Ok(RunRow {
        id: place.id("id", &raw.id)?,
        cause: place.word("cause", &raw.cause, RunCause::parse)?,
        wanted: place.texts("wanted", raw.wanted.as_deref())?,
        state: place.word("state", &raw.state, BackfillStatus::parse)?,
        asked_by: raw.asked_by,
        from_ms: raw.from_ms,
        to_ms: raw.to_ms,
        span: raw.span,
        error: raw.error,
        cancelled_by: raw.cancelled_by,
        created_at: raw.created_at,
        started_at: raw.started_at,
        finished_at: raw.finished_at,
    })
}
