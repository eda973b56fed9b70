//! The table `alerts`: what somebody has to know of. One row stands for each kind and subject until
//! its cause is gone; what is to be delivered of it is written in the same transaction.
//! Must never let two stand for one cause, however many nodes see it, nor change one that is
//! resolved.

use uuid::Uuid;

use super::alert_deliveries::{self, Event};
use super::alert_words::{AlertKind, AlertState, Severity};
use super::columns::{Place, signed};
use super::dialect::{Tx, changing, row, row_within, rows};
use super::lenient::Unread;
use super::{Error, Store, alert_places};

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// `secret`, `client`, `provider`, `symbol`, `node`, `address`, `finding`, `installation`.
    pub(crate) sort: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertRow {
    pub(crate) id: Uuid,
    pub(crate) kind: AlertKind,
    pub(crate) severity: Severity,
    pub(crate) state: AlertState,
    pub(crate) subject: Subject,
    /// Of kinds that come in steps: a higher one is told anew.
    pub(crate) level: i64,
    pub(crate) detail: String,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) count: u64,
    pub(crate) acknowledged_at: Option<i64>,
    pub(crate) acknowledged_by: Option<String>,
    pub(crate) resolved_at: Option<i64>,
}

/// A cause, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: AlertKind,
    pub(crate) severity: Severity,
    pub(crate) subject: Subject,
    pub(crate) level: i64,
    pub(crate) detail: String,
    pub(crate) at: i64,
}

/// What becomes of alerts in one transaction.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// It happened: one that stands already counts one more.
    Happened(Seen),
    /// It is so, as it was at the look before: nothing is counted.
    IsSo(Seen),
    /// The cause is gone: why, and when.
    Gone(AlertKind, Subject, String, i64),
}

/// How an event is told to whoever is not asked: the body that is delivered.
pub(crate) type Telling = fn(&AlertRow, Event, i64) -> String;

#[derive(sqlx::FromRow)]
struct RawAlert {
    id: String,
    kind: String,
    severity: String,
    state: String,
    subject_type: String,
    subject_id: String,
    subject_name: String,
    level: i64,
    detail: String,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    acknowledged_at: Option<i64>,
    acknowledged_by: Option<String>,
    resolved_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, severity, state, subject_type, subject_id, subject_name, level,
            detail, first_seen, last_seen, count, acknowledged_at, acknowledged_by, resolved_at
            FROM alerts ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO alerts (id, kind, severity, state, subject_type, subject_id,
    subject_name, level, detail, first_seen, last_seen, count, standing)
    VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $9, 1, $10)
    ON CONFLICT (standing) DO NOTHING";
const SEEN_AGAIN: &str = "UPDATE alerts SET last_seen = $2, count = $3, detail = $4
    WHERE id = $1 AND standing IS NOT NULL";
// Whoever has seen it knows of less than there is by now.
const WORSE: &str = "UPDATE alerts SET last_seen = $2, count = $3, detail = $4, level = $5,
    severity = $6, state = 'open', acknowledged_at = NULL, acknowledged_by = NULL
    WHERE id = $1 AND standing IS NOT NULL AND level < $5";
const RESOLVE: &str = "UPDATE alerts SET state = 'resolved', standing = NULL, resolved_at = $2,
    last_seen = CASE WHEN last_seen > $2 THEN last_seen ELSE $2 END, detail = $3
    WHERE id = $1 AND standing IS NOT NULL";
const ACKNOWLEDGE: &str = "UPDATE alerts SET state = 'acknowledged', acknowledged_at = $2,
    acknowledged_by = $3 WHERE id = $1 AND state = 'open'";
const FORGET: &str = "DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < $1";
/// No count of anything comes near this.
const MOST: u64 = 1 << 52;

impl Seen {
    fn standing(&self) -> String {
        standing(self.kind, &self.subject)
    }
}

impl Store {
    /// All of it, or nothing; and how far the trail was read for it.
    pub(crate) async fn move_alerts(
        &self,
        moves: &[Move],
        places: &[(String, u64)],
        telling: Telling,
    ) -> Result<(), Error> {
        // Nothing has happened at a time that is still to come, whatever clock says so.
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        for one in moves {
            match one {
                Move::Happened(seen) => happened(&mut tx, seen, (true, now_ms), telling).await?,
                Move::IsSo(seen) => happened(&mut tx, seen, (false, now_ms), telling).await?,
                Move::Gone(kind, subject, why, at) => {
                    let name = standing(*kind, subject);
                    if let Some(row) = standing_row(&mut tx, &name).await? {
                        resolve(&mut tx, &row, (why, (*at).min(now_ms)), telling).await?;
                    }
                }
            }
        }
        alert_places::put(&mut tx, places).await?;
        Ok(tx.commit().await?)
    }

    /// Those whose cause is still there. One that cannot be read hides no other.
    pub(crate) async fn standing_alerts(&self) -> Result<Vec<AlertRow>, Error> {
        const STANDING: &str = select!("WHERE standing IS NOT NULL ORDER BY id");
        let raw = rows!(self, "alerts", sqlx::query(STANDING));
        Ok(readable(raw))
    }

    /// Newest first, older than `before`.
    pub(crate) async fn alerts_page(
        &self,
        (state, kind): (Option<AlertState>, Option<AlertKind>),
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<AlertRow>, Error> {
        const PAGE: &str = select!(
            "WHERE ($1 = '' OR state = $1) AND ($2 = '' OR kind = $2) AND id < $3
            ORDER BY id DESC LIMIT $4"
        );
        let before = before.map_or_else(|| String::from("~"), |id| id.to_string());
        let raw = rows!(
            self,
            "alerts",
            sqlx::query(PAGE)
                .bind(state.map_or("", AlertState::as_str))
                .bind(kind.map_or("", AlertKind::as_str))
                .bind(before.as_str())
                .bind(i64::from(limit))
        );
        Ok(readable(raw))
    }

    pub(crate) async fn alert(&self, id: Uuid) -> Result<Option<AlertRow>, Error> {
        const ONE: &str = select!("WHERE id = $1");
        let raw = row!(self, "alerts", sqlx::query(ONE).bind(id.to_string()))?;
        raw.map(from_raw).transpose()
    }

    /// False where it is not open any more.
    pub(crate) async fn acknowledge_alert(
        &self,
        id: Uuid,
        by: &str,
        at: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done =
            changing!(&mut tx, sqlx::query(ACKNOWLEDGE).bind(id.to_string()).bind(at).bind(by))?;
        tx.commit().await?;
        Ok(done > 0)
    }

    pub(crate) async fn forget_alerts(&self, resolved_before: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FORGET).bind(resolved_before))?;
        Ok(tx.commit().await?)
    }
}

async fn happened(
    tx: &mut Tx,
    seen: &Seen,
    (counts, now_ms): (bool, i64),
    telling: Telling,
) -> Result<(), Error> {
    let at = seen.at.min(now_ms);
    let Some(row) = standing_row(tx, &seen.standing()).await? else {
        return raise(tx, seen, at, telling).await;
    };
    let count = if counts { row.count.saturating_add(1).min(MOST) } else { row.count };
    let now = AlertRow {
        count,
        last_seen: row.last_seen.min(now_ms).max(at),
        detail: seen.detail.clone(),
        ..row
    };
    if now.level < seen.level {
        return worsen(tx, now, seen, telling).await;
    }
    // As grave as it was told: its end is for the same people.
    changing!(
        tx,
        sqlx::query(SEEN_AGAIN)
            .bind(now.id.to_string())
            .bind(now.last_seen)
            .bind(signed(now.count))
            .bind(now.detail.as_str())
    )?;
    Ok(())
}

/// The same alert, told anew: its end is told once, under the id that everybody knows.
async fn worsen(tx: &mut Tx, row: AlertRow, seen: &Seen, telling: Telling) -> Result<(), Error> {
    let row = AlertRow {
        level: seen.level,
        severity: seen.severity,
        state: AlertState::Open,
        acknowledged_at: None,
        acknowledged_by: None,
        ..row
    };
    let done = changing!(
        tx,
        sqlx::query(WORSE)
            .bind(row.id.to_string())
            .bind(row.last_seen)
            .bind(signed(row.count))
            .bind(row.detail.as_str())
            .bind(row.level)
            .bind(row.severity.as_str())
    )?;
    if done > 0 {
        let body = telling(&row, Event::Raised, row.last_seen);
        let event = (row.id, Event::Raised);
        alert_deliveries::add_to_all(tx, event, &body, row.last_seen).await?;
    }
    Ok(())
}

async fn raise(tx: &mut Tx, seen: &Seen, at: i64, telling: Telling) -> Result<(), Error> {
    let row = AlertRow {
        id: Uuid::now_v7(),
        kind: seen.kind,
        severity: seen.severity,
        state: AlertState::Open,
        subject: seen.subject.clone(),
        level: seen.level,
        detail: seen.detail.clone(),
        first_seen: at,
        last_seen: at,
        count: 1,
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: None,
    };
    let added = changing!(
        tx,
        sqlx::query(INSERT)
            .bind(row.id.to_string())
            .bind(row.kind.as_str())
            .bind(row.severity.as_str())
            .bind(row.subject.sort.as_str())
            .bind(row.subject.id.as_str())
            .bind(row.subject.name.as_str())
            .bind(row.level)
            .bind(row.detail.as_str())
            .bind(row.first_seen)
            .bind(seen.standing())
    )?;
    // Another node was faster: then it tells.
    if added > 0 {
        let body = telling(&row, Event::Raised, at);
        alert_deliveries::add_to_all(tx, (row.id, Event::Raised), &body, at).await?;
    }
    Ok(())
}

async fn resolve(
    tx: &mut Tx,
    row: &AlertRow,
    (why, at): (&str, i64),
    telling: Telling,
) -> Result<(), Error> {
    let done = changing!(tx, sqlx::query(RESOLVE).bind(row.id.to_string()).bind(at).bind(why))?;
    if done == 0 {
        return Ok(());
    }
    let resolved = AlertRow {
        state: AlertState::Resolved,
        resolved_at: Some(at),
        last_seen: row.last_seen.max(at),
        detail: why.to_owned(),
        ..row.clone()
    };
    let body = telling(&resolved, Event::Resolved, at);
    alert_deliveries::add_to_all(tx, (row.id, Event::Resolved), &body, at).await
}

async fn standing_row(tx: &mut Tx, name: &str) -> Result<Option<AlertRow>, Error> {
    const ONE: &str = select!("WHERE standing = $1");
    const DROP: &str = "DELETE FROM alerts WHERE standing = $1";
    let raw = match row_within!(tx, "alerts", sqlx::query(ONE).bind(name)) {
        Ok(raw) => raw,
        Err(Error::Contradiction { .. }) => {
            changing!(tx, sqlx::query(DROP).bind(name))?;
            return Ok(None);
        }
        Err(fault) => return Err(fault),
    };
    match raw.map(from_raw) {
        None => Ok(None),
        Some(Ok(row)) => Ok(Some(row)),
        // What somebody has edited stands in the way of none: another one takes its place.
        Some(Err(_)) => {
            changing!(tx, sqlx::query(DROP).bind(name))?;
            Ok(None)
        }
    }
}

fn standing(kind: AlertKind, subject: &Subject) -> String {
    format!("{} {} {}", kind.as_str(), subject.sort, subject.id)
}

fn readable(raw: Vec<Result<RawAlert, Unread>>) -> Vec<AlertRow> {
    raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect()
}

fn from_raw(raw: RawAlert) -> Result<AlertRow, Error> {
    let place = Place { table: "alerts", row: &raw.id };
    Ok(AlertRow {
        id: place.id("id", &raw.id)?,
        kind: place.word("kind", &raw.kind, AlertKind::parse)?,
        severity: place.word("severity", &raw.severity, Severity::parse)?,
        state: place.word("state", &raw.state, AlertState::parse)?,
        count: place.count("count", raw.count)?,
        level: raw.level,
        first_seen: raw.first_seen,
        last_seen: raw.last_seen,
        acknowledged_at: raw.acknowledged_at,
        resolved_at: raw.resolved_at,
        acknowledged_by: raw.acknowledged_by,
        detail: raw.detail,
        subject: Subject { sort: raw.subject_type, id: raw.subject_id, name: raw.subject_name },
    })
}
